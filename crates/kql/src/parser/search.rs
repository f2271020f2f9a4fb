//! `search` and `find`: conditions over several tables.

use super::Parser;
use crate::Diagnostic;
use crate::token::{Symbol, TokenKind};
use crate::tree::{Expr, ExprKind, Find, FindProject, OperatorKind, Search};

impl Parser<'_> {
    pub(super) fn search(&mut self) -> OperatorKind {
        let mut is_case_sensitive = false;
        for (_, value) in self.hints(&["kind"]) {
            if let Some(word) = self.word_of(value) {
                match word.text.as_str() {
                    "case_sensitive" => is_case_sensitive = true,
                    "case_insensitive" | "default" => {}
                    _ => self.report(Diagnostic::syntax(word.span, "expected 'case_sensitive' or 'case_insensitive'")),
                }
            }
        }
        let mut tables = Vec::new();
        if self.at_word("in") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen) {
            self.advance();
            self.expect_symbol(Symbol::OpenParen);
            tables = self.comma_separated(Self::union_leg);
            self.expect_symbol(Symbol::CloseParen);
        }
        let outer = std::mem::replace(&mut self.in_search, true);
        let predicate = self.expression();
        self.in_search = outer;
        OperatorKind::Search(Search { is_case_sensitive, tables, predicate })
    }

    pub(super) fn find(&mut self) -> Find {
        let mut find = Find {
            with_source: None,
            tables: Vec::new(),
            predicate: Expr { kind: ExprKind::Error, span: self.span() },
            project: None,
        };
        for (name, value) in self.hints(&["withsource", "with_source", "datascope"]) {
            if name.text != "datascope" {
                find.with_source = self.word_of(value);
            }
        }
        if self.at_word("in") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen) {
            self.advance();
            self.expect_symbol(Symbol::OpenParen);
            find.tables = self.comma_separated(Self::union_leg);
            self.expect_symbol(Symbol::CloseParen);
        }
        self.take_word("where");
        let outer = std::mem::replace(&mut self.in_search, true);
        find.predicate = self.expression();
        self.in_search = outer;
        if self.at_word("project") {
            let word = self.dashed_word();
            match word.as_str() {
                "project" => find.project = Some(self.find_project()),
                "project-smart" => {}
                _ => self.error_expected("'project' or 'project-smart'"),
            }
        }
        find
    }

    fn find_project(&mut self) -> FindProject {
        let mut project = FindProject { columns: Vec::new(), packs: false };
        self.comma_separated(|p| {
            let name = p.name("a column");
            if matches!(name.text.as_str(), "pack" | "pack_all") && p.take_symbol(Symbol::OpenParen) {
                p.take_symbol(Symbol::Star);
                p.expect_symbol(Symbol::CloseParen);
                project.packs = true;
                return;
            }
            let of = p.take_symbol(Symbol::Colon).then(|| p.type_name());
            project.columns.push((name, of));
        });
        project
    }
}
