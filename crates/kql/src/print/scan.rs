//! `scan` and its steps.

use super::Printer;
use crate::tree::{Scan, ScanOutput, ScanStep};

impl Printer {
    pub(super) fn scan(&mut self, scan: &Scan) {
        self.write("scan");
        self.option("with_match_id", scan.match_id.as_ref());
        if !scan.declared.is_empty() {
            self.write(" declare (");
            self.listed(&scan.declared, |p, declared| {
                p.column_declaration(&declared.column);
                p.clause(" = ", declared.default.as_ref());
            });
            self.write(")");
        }
        self.block(" with (", ")", |p| {
            for (i, step) in scan.steps.iter().enumerate() {
                if i > 0 {
                    p.line();
                }
                p.scan_step(step);
            }
        });
    }

    fn scan_step(&mut self, step: &ScanStep) {
        self.write("step ");
        self.name(&step.name);
        self.write(match step.output {
            ScanOutput::All => ": ",
            ScanOutput::Last => " output=last: ",
            ScanOutput::None => " output=none: ",
        });
        self.expression(&step.condition);
        if !step.assignments.is_empty() {
            self.write(" => ");
            self.listed(&step.assignments, Self::named_expression);
        }
        self.write(";");
    }
}
