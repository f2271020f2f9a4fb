//! `parse`, `parse-where` and `parse-kv`.

use super::Parser;
use crate::token::{Symbol, TokenKind};
use crate::tree::{ColumnDeclaration, Expr, ExprKind, Literal, OperatorKind, Parse, ParseKv, ParseMode, ParsePart};
use crate::{Diagnostic, Type};

impl Parser<'_> {
    pub(super) fn parse(&mut self, drops_others: bool) -> OperatorKind {
        let mut mode = ParseMode::Simple;
        let mut flags = String::new();
        for (name, value) in self.hints(&["kind", "flags"]) {
            let Some(word) = self.word_of(value) else { continue };
            match (name.text.as_str(), word.text.as_str()) {
                ("flags", _) => flags = word.text,
                (_, "simple") => mode = ParseMode::Simple,
                (_, "relaxed") => mode = ParseMode::Relaxed,
                (_, "regex") => mode = ParseMode::Regex,
                _ => self.report(Diagnostic::syntax(word.span, "expected 'simple', 'relaxed' or 'regex'")),
            }
        }
        let value = self.expression();
        self.expect_word("with");
        let mut pattern = Vec::new();
        while !self.silenced {
            if self.at_symbol(Symbol::Star) {
                pattern.push(ParsePart::Skip(self.advance().span));
            } else if matches!(self.peek().kind, TokenKind::String { .. }) {
                if let Some(Expr { kind: ExprKind::Literal(Literal::String(text)), .. }) = self.literal() {
                    pattern.push(ParsePart::Literal(text));
                }
            } else if matches!(self.peek().kind, TokenKind::Name | TokenKind::Symbol(Symbol::OpenBracket)) {
                let name = self.name("a column name");
                // Here the original refuses these too, unless they are quoted.
                if matches!(name.text.as_str(), "from" | "to") && name.span.text(self.source) == name.text {
                    let message = format!("'{}' is a keyword and cannot be used as a name", name.text);
                    let hint = format!("Quote it: ['{}'].", name.text);
                    self.report(Diagnostic::syntax(name.span, message).with_hint(hint));
                }
                let column_type = if self.take_symbol(Symbol::Colon) { self.type_name() } else { Type::String };
                pattern.push(ParsePart::Column(ColumnDeclaration { name, column_type }));
            } else {
                break;
            }
        }
        if pattern.is_empty() {
            self.error_expected("a pattern of texts, columns and '*'");
        }
        OperatorKind::Parse(Parse { mode, flags, value, pattern, drops_others })
    }

    pub(super) fn parse_kv(&mut self) -> OperatorKind {
        let value = self.expression();
        self.expect_word("as");
        self.expect_symbol(Symbol::OpenParen);
        let columns = self.comma_separated(|p| {
            let name = p.name("a column name");
            p.expect_symbol(Symbol::Colon);
            ColumnDeclaration { name, column_type: p.type_name() }
        });
        self.expect_symbol(Symbol::CloseParen);
        let mut options = Vec::new();
        if self.take_word("with") {
            self.expect_symbol(Symbol::OpenParen);
            options = self.comma_separated(|p| {
                let name = p.name("an option");
                p.expect_symbol(Symbol::Equal);
                (name, p.expression())
            });
            self.expect_symbol(Symbol::CloseParen);
        }
        OperatorKind::ParseKv(ParseKv { value, columns, options })
    }
}
