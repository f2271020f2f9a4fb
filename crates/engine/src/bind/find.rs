//! `find`: rows that meet a condition in any of several tables.

use super::evaluate::names_in;
use super::expression::text;
use super::relation::{Column, Relation, column, null};
use super::{Binder, Names, Result, Typed, unknown};
use crate::functions::dynamic;
use kql::tree::{Find, Name};
use kql::{Diagnostic, Span, Type};

/// The column that says which table a row is from, where the query gives it no name.
const SOURCE: &str = "source_";
/// The column of the bag with what has no column of its own.
const PACK: &str = "pack_";

impl<'q> Binder<'q> {
    pub(super) fn find(&mut self, find: &'q Find, span: Span, names: &Names<'q>) -> Result<Relation> {
        let mut legs: Vec<(String, Relation)> = Vec::new();
        if find.tables.is_empty() {
            self.add_all_tables(&mut legs, span, names)?;
        } else {
            self.add_legs(&mut legs, &find.tables, false, names)?;
        }
        if legs.is_empty() {
            return Err(Diagnostic::semantic(span, "there are no tables to look in").into());
        }
        for (name, _) in find.project.iter().flat_map(|p| &p.columns) {
            let known = || legs.iter().flat_map(|(_, leg)| &leg.columns).map(|c| c.name.as_str());
            if !known().any(|column| column == name.text) {
                return Err(unknown("column", name, known()).into());
            }
        }
        let (outputs, packs) = output_columns(find, &legs);
        let filtered = self.filtered(legs, &find.predicate, false, span, names)?;
        let mut projected: Vec<(String, Relation)> = Vec::with_capacity(filtered.len());
        for (label, leg) in filtered {
            let own = |(name, of): &(String, Type)| {
                leg.columns.iter().find(|c| c.name == *name && c.column_type == *of).map_or_else(|| null(*of), column)
            };
            let mut values: Vec<(String, Typed)> = outputs.iter().map(|o| (o.0.clone(), own(o))).collect();
            if packs {
                let mut items = Vec::new();
                for c in leg.columns.iter().filter(|c| !is_output(&outputs, c)) {
                    items.push(text(&c.name));
                    items.push(self.in_json(column(c), span)?.expr);
                }
                values.push((PACK.to_owned(), Typed::new(dynamic::BAG_PACK.call(items), Type::Dynamic)));
            }
            projected.push((label, leg.project(values, span)?));
        }
        let with_matches = self.with_matches(projected, span)?;
        let source = find.with_source.clone().unwrap_or(Name { text: SOURCE.to_owned(), span });
        self.unite(with_matches, Some(&source), true, span)
    }
}

fn is_output(outputs: &[(String, Type)], c: &Column) -> bool {
    outputs.iter().any(|(name, of)| *name == c.name && *of == c.column_type)
}

/// The columns of the result, and whether the others are packed: those that are projected, else those that the
/// condition names, those that all tables have, and a bag where something is left.
fn output_columns(find: &Find, legs: &[(String, Relation)]) -> (Vec<(String, Type)>, bool) {
    let mut outputs: Vec<(String, Type)> = Vec::new();
    let all = || legs.iter().flat_map(|(_, leg)| &leg.columns);
    let mut add = |name: &str, of: Option<Type>| {
        for c in all().filter(|c| c.name == name && of.is_none_or(|of| c.column_type == of)) {
            if !outputs.iter().any(|(n, t)| *n == c.name && *t == c.column_type) {
                outputs.push((c.name.clone(), c.column_type));
            }
        }
    };
    if let Some(project) = &find.project {
        for (name, of) in &project.columns {
            add(&name.text, *of);
        }
        return (outputs, project.packs);
    }
    let mut named = Vec::new();
    names_in(&find.predicate, &mut named);
    named.iter().for_each(|name| add(name, None));
    let first = legs.first().map(|(_, leg)| leg.columns.as_slice()).unwrap_or_default();
    for c in first {
        let has = |leg: &Relation| leg.find(&c.name).is_some_and(|own| own.column_type == c.column_type);
        if legs.iter().all(|(_, leg)| has(leg)) {
            add(&c.name, Some(c.column_type));
        }
    }
    let packs = all().any(|c| !is_output(&outputs, c));
    (outputs, packs)
}
