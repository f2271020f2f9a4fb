//! `search` and `find`: conditions over several tables.

use super::Printer;
use crate::tree::{Find, Search, UnionLeg};

impl Printer {
    pub(super) fn search(&mut self, search: &Search) {
        self.write(if search.is_case_sensitive { "search kind=case_sensitive " } else { "search " });
        self.tables(&search.tables);
        self.expression(&search.predicate);
    }

    pub(super) fn find(&mut self, find: &Find) {
        self.write("find");
        self.option("withsource", find.with_source.as_ref());
        self.write(" ");
        self.tables(&find.tables);
        self.word_and_expression("where", &find.predicate);
        let Some(project) = &find.project else { return };
        self.write(" project ");
        self.listed(&project.columns, |p, (name, of)| {
            p.name(name);
            if let Some(of) = of {
                p.write(": ");
                p.write(of.name());
            }
        });
        if project.packs {
            self.write(if project.columns.is_empty() { "pack_all()" } else { ", pack_all()" });
        }
    }

    fn tables(&mut self, tables: &[UnionLeg]) {
        if !tables.is_empty() {
            self.write("in (");
            self.listed(tables, Self::union_leg);
            self.write(") ");
        }
    }
}
