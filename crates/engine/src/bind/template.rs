//! Operators that are said best in KQL itself.
//!
//! Their rows are put under columns of known names, and a query text over them is bound in the place of the operator.

use super::relation::{Column, Relation};
use super::source::constant_rows;
use super::{Binder, Meaning, Names, Result, Stop, Surroundings, Typed, internal};
use crate::types::renamed;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr as Plan;
use kql::{Diagnostic, Span};
use std::collections::HashMap;

/// What a text can refer to by name.
pub(super) enum Given {
    Rows(Relation),
    /// A value that is the same for all rows.
    Value(Typed),
}

impl Binder<'_> {
    /// Binds `text`, a query of this program's own making. Where the user's rows or values do not fit it, that is told
    /// at `span`.
    pub(super) fn expand(&mut self, text: &str, given: Vec<(&str, Given)>, span: Span) -> Result<Relation> {
        let parsed = kql::parse(text);
        if let Some(problem) = parsed.diagnostics.first() {
            let message = format!("failed to write this operator out: {}", problem.one_line(text));
            return Err(Diagnostic::semantic(span, message).into());
        }
        let no_parameters = HashMap::new();
        let surroundings = Surroundings {
            catalog: self.catalog,
            functions: &[],
            database: self.database,
            now_ticks: self.now_ticks,
            parameters: &no_parameters,
            caller: self.caller,
        };
        let mut inner = Binder::new(surroundings, self.known);
        inner.next_subquery = self.next_subquery;
        inner.depth = self.depth;
        let names = given.into_iter().fold(Names::default(), |names, (name, given)| {
            let meaning = match given {
                Given::Rows(relation) => Meaning::Table(relation),
                Given::Value(typed) => Meaning::Value(typed),
            };
            names.with(name, meaning)
        });
        let bound = inner.body(&parsed.script, names, span).and_then(|(names, last)| inner.pipeline(last, &names));
        self.next_subquery = inner.next_subquery;
        self.needs_single_stream |= inner.needs_single_stream;
        bound.map_err(|stop| match stop {
            Stop::Wrong(found) => Stop::Wrong(found.into_iter().map(|inner| Diagnostic { span, ..inner }).collect()),
            other => other,
        })
    }
}

impl Binder<'_> {
    /// Rows that are read more than once, and come out the same each time: where they would not, because the query asks
    /// for random values, they are read first.
    pub(super) fn settled(&mut self, relation: Relation, span: Span) -> Result<Relation> {
        let plan = relation.builder.clone().build().map_err(|e| internal(span, &e))?;
        let mut is_volatile = false;
        let looked = plan.apply(|node| {
            is_volatile |= node.expressions().iter().any(Plan::is_volatile);
            Ok(if is_volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        looked.map_err(|e| internal(span, &e))?;
        if !is_volatile {
            return Ok(relation);
        }
        let read = self.subquery(relation.plain(span)?, span)?;
        let rows = renamed(&read.batches, &read.columns).map_err(|e| internal(span, &e.into()))?;
        constant_rows("rows", &read.columns, vec![rows], span)
    }
}

/// A name as a query writes it, whatever letters it has.
pub(super) fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("['{}']", escaped.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
}

/// `, ['a'], ['b']`: columns to add to a list.
pub(super) fn listed(columns: &[Column]) -> String {
    columns.iter().map(|c| format!(", {}", quoted(&c.name))).collect()
}
