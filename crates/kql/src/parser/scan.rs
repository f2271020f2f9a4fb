//! `scan` and its steps.

use super::Parser;
use crate::Diagnostic;
use crate::token::Symbol;
use crate::tree::{Scan, ScanColumn, ScanOutput, ScanStep};

impl Parser<'_> {
    pub(super) fn scan(&mut self) -> Scan {
        let mut scan = Scan { match_id: None, declared: Vec::new(), steps: Vec::new() };
        for (_, value) in self.hints(&["with_match_id"]) {
            scan.match_id = self.word_of(value);
        }
        if self.take_word("declare") {
            self.expect_symbol(Symbol::OpenParen);
            scan.declared = self.comma_separated(|p| {
                let column = p.column_declaration();
                let default = p.take_symbol(Symbol::Equal).then(|| p.expression());
                ScanColumn { column, default }
            });
            self.expect_symbol(Symbol::CloseParen);
        }
        self.expect_word("with");
        self.expect_symbol(Symbol::OpenParen);
        while !self.silenced && (scan.steps.is_empty() || self.at_word("step")) {
            scan.steps.push(self.scan_step());
            if !self.take_symbol(Symbol::Semicolon) {
                break;
            }
        }
        self.expect_symbol(Symbol::CloseParen);
        scan
    }

    fn scan_step(&mut self) -> ScanStep {
        self.expect_word("step");
        let name = self.name("a name for the step");
        let mut output = ScanOutput::All;
        for (_, value) in self.hints(&["output"]) {
            let Some(word) = self.word_of(value) else { continue };
            output = match word.text.as_str() {
                "all" => ScanOutput::All,
                "last" => ScanOutput::Last,
                "none" => ScanOutput::None,
                _ => {
                    self.report(Diagnostic::syntax(word.span, "expected 'all', 'last' or 'none'"));
                    ScanOutput::All
                }
            };
        }
        self.expect_symbol(Symbol::Colon);
        let condition = self.expression();
        let assigns = self.take_symbol(Symbol::FatArrow);
        let assignments = if assigns { self.comma_separated(Self::named_expression) } else { Vec::new() };
        ScanStep { name, output, condition, assignments }
    }
}
