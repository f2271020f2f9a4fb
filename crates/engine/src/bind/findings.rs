//! What is wrong with a query, gathered.
//!
//! Parts that do not depend on each other are all looked at, and what is wrong with any is told together, so that a
//! person sees all mistakes at once. What follows a mistake is looked at too, as far as its meaning does not hang on
//! what went wrong.

use super::relation::Relation;
use super::{Binder, Meaning, Names, Result, Stop};
use kql::Diagnostic;
use kql::tree::{ExprKind, NamedExpr, Operator, OperatorKind, Statement};

/// More findings than this help nobody.
const FINDINGS_MAX: usize = 50;

/// What is wrong with the parts looked at so far.
#[derive(Default)]
pub(super) struct Findings {
    is_wrong: bool,
    found: Vec<Diagnostic>,
}

impl Findings {
    /// The value of a part, or `None` where it is wrong, which is noted. A part that waits for rows stops the whole, as
    /// what is already known to be wrong does before it.
    pub(super) fn note<T>(&mut self, part: Result<T>) -> Result<Option<T>> {
        match part {
            Ok(value) => Ok(Some(value)),
            Err(Stop::Wrong(found)) => {
                self.is_wrong = true;
                self.found.extend(found);
                Ok(None)
            }
            Err(_) if self.is_wrong => Err(self.stop()),
            Err(stop) => Err(stop),
        }
    }

    /// `value`, if nothing is wrong.
    pub(super) fn end<T>(mut self, value: T) -> Result<T> {
        if self.is_wrong { Err(self.stop()) } else { Ok(value) }
    }

    pub(super) fn stop(&mut self) -> Stop {
        Stop::Wrong(std::mem::take(&mut self.found))
    }
}

/// The values of two parts, or what is wrong with either.
pub(super) fn both<A, B>(a: Result<A>, b: Result<B>) -> Result<(A, B)> {
    let mut findings = Findings::default();
    match (findings.note(a)?, findings.note(b)?) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(findings.stop()),
    }
}

/// The values of all parts, or what is wrong with any.
pub(super) fn all<T>(parts: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut findings = Findings::default();
    let mut values = Vec::new();
    for part in parts {
        values.extend(findings.note(part)?);
    }
    findings.end(values)
}

/// Findings in the order of the text, each once.
pub(super) fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|d| (d.span.start, d.span.end));
    found.dedup();
    found.truncate(FINDINGS_MAX);
    found
}

/// Rows as they may be after an operator that is wrong.
pub(super) struct Guess<'q> {
    pub relation: Relation,
    pub names: Names<'q>,
    /// Whether columns are known by their names alone, so that not all that follows can be looked at.
    pub is_vague: bool,
}

impl<'q> Binder<'q> {
    /// Adds what a statement declares. Where it is wrong its name is known all the same, and told no second time.
    pub(super) fn noted_declaration(
        &mut self,
        statement: &'q Statement,
        names: &Names<'q>,
        findings: &mut Findings,
    ) -> Result<Names<'q>> {
        let declared = self.declaration(statement, names);
        Ok(match (findings.note(declared)?, statement) {
            (Some(names), _) => names,
            (None, Statement::Let { name, .. }) => names.with(&name.text, Meaning::Mistaken(Vec::new())),
            (None, Statement::Parameters(parameters)) => parameters.iter().fold(names.clone(), |names, parameter| {
                names.with(&parameter.name.text, Meaning::Mistaken(Vec::new()))
            }),
            (None, _) => names.clone(),
        })
    }

    /// What can be known of the rows after an operator that is wrong; `None` where that is too little to go on.
    pub(super) fn after_mistake(
        &self,
        input: Relation,
        operator: &'q Operator,
        names: &Names<'q>,
    ) -> Option<Guess<'q>> {
        let (kept, items): (Relation, Vec<&'q NamedExpr>) = match &operator.kind {
            OperatorKind::Where(_)
            | OperatorKind::Sort(_)
            | OperatorKind::Take(_)
            | OperatorKind::Top { .. }
            | OperatorKind::Sample(_) => {
                return Some(Guess { relation: input, names: names.clone(), is_vague: false });
            }
            OperatorKind::Extend(items) | OperatorKind::Serialize(items) => (input, items.iter().collect()),
            OperatorKind::Project(items) | OperatorKind::Distinct(items) => {
                (Relation::no_columns(), items.iter().collect())
            }
            OperatorKind::Summarize { aggregates, by } => {
                (Relation::no_columns(), by.iter().chain(aggregates).collect())
            }
            _ => return None,
        };
        let mut guess = Guess { relation: kept, names: names.clone(), is_vague: true };
        for item in items {
            let given: Vec<&str> = match (item.names.as_slice(), &item.value.kind) {
                ([], ExprKind::Name(name)) => vec![name],
                ([], _) => return None,
                (names, _) => names.iter().map(|name| name.text.as_str()).collect(),
            };
            for name in given {
                guess.relation.columns.retain(|column| column.name != name);
                guess.names = guess.names.with(name, Meaning::Mistaken(Vec::new()));
            }
        }
        Some(guess)
    }

    /// Notes what is wrong with what an operator holds beside its input.
    pub(super) fn note_inner(
        &mut self,
        operator: &'q Operator,
        names: &Names<'q>,
        findings: &mut Findings,
    ) -> Result<()> {
        if let OperatorKind::Join(join) | OperatorKind::Lookup(join) = &operator.kind {
            let right = self.pipeline(&join.right, names);
            findings.note(right)?;
        }
        Ok(())
    }
}

/// Whether an operator looks at its input through expressions alone.
pub(super) fn reads_expressions(operator: &Operator) -> bool {
    matches!(
        operator.kind,
        OperatorKind::Where(_)
            | OperatorKind::Extend(_)
            | OperatorKind::Project(_)
            | OperatorKind::Distinct(_)
            | OperatorKind::Summarize { .. }
            | OperatorKind::Sort(_)
            | OperatorKind::Take(_)
            | OperatorKind::Top { .. }
            | OperatorKind::Count
            | OperatorKind::Render { .. }
    )
}
