//! A relation: rows in the making, with their columns' KQL names and types.

use super::{Typed, internal, unknown};
use crate::types::{Column, null_value};
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, SortExpr, ident, lit};
use kql::tree::Name;
use kql::{Diagnostic, Span, Type};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// Its output fields are, in order and by name, the columns.
    pub builder: LogicalPlanBuilder,
    pub columns: Vec<Column>,
    /// The order that the rows are known to have, for aggregates that keep it.
    pub order: Vec<SortExpr>,
    /// The name of the table that the rows come from, where they come from one.
    pub table: Option<String>,
}

impl Relation {
    pub fn new(builder: LogicalPlanBuilder, columns: Vec<Column>) -> Relation {
        Relation { builder, columns, order: Vec::new(), table: None }
    }

    /// A stand-in with no columns.
    pub fn no_columns() -> Relation {
        Relation::new(LogicalPlanBuilder::empty(true), Vec::new())
    }

    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The column `name`, or a diagnostic.
    pub fn require(&self, name: &Name) -> super::Result<&Column> {
        self.find(&name.text)
            .ok_or_else(|| unknown("column", name, self.columns.iter().map(|c| c.name.as_str())).into())
    }

    pub fn filter(self, predicate: Expr, span: Span) -> super::Result<Relation> {
        let builder = self.builder.filter(predicate).map_err(|e| internal(span, &e))?;
        Ok(Relation { builder, ..self })
    }

    /// Replaces the columns by `outputs`. The known order stays as far as its keys do.
    pub fn project(self, outputs: Vec<(String, Typed)>, span: Span) -> super::Result<Relation> {
        let columns: Vec<Column> =
            outputs.iter().map(|(name, typed)| Column::new(name.clone(), typed.value_type)).collect();
        let kept = |key: &SortExpr| {
            matches!(&key.expr, Expr::Column(c) if outputs.iter().any(|(name, typed)| {
                *name == c.name && matches!(&typed.expr, Expr::Column(from) if from.name == c.name)
            }))
        };
        let order: Vec<SortExpr> = self.order.iter().take_while(|k| kept(k)).cloned().collect();
        let expressions: Vec<Expr> = outputs.into_iter().map(|(name, typed)| typed.expr.alias(name)).collect();
        // Not LogicalPlanBuilder::project: where an expression equals one that made an input column it takes that
        // column instead, which is wrong when the name has been given a new meaning (`extend x = x + 1` twice).
        let build = |input: LogicalPlan| -> datafusion::common::Result<LogicalPlanBuilder> {
            let expressions = expressions.into_iter().map(|e| normalize_col(e, &input)).collect::<Result<_, _>>()?;
            let projection = Projection::try_new(expressions, Arc::new(input))?;
            Ok(LogicalPlanBuilder::from(LogicalPlan::Projection(projection)))
        };
        let builder = self.builder.build().and_then(build).map_err(|e| internal(span, &e))?;
        Ok(Relation { builder, columns, order, table: self.table })
    }

    /// The columns as expressions, in order.
    pub fn outputs(&self) -> Vec<(String, Typed)> {
        self.columns.iter().map(|c| (c.name.clone(), column(c))).collect()
    }

    /// Adds columns, or replaces those of the same name where they stand.
    pub fn extend(self, added: Vec<(String, Typed)>, span: Span) -> super::Result<Relation> {
        let mut outputs = self.outputs();
        for (name, typed) in added {
            match outputs.iter_mut().find(|(existing, _)| *existing == name) {
                Some(existing) => existing.1 = typed,
                None => outputs.push((name, typed)),
            }
        }
        self.project(outputs, span)
    }

    pub fn limit(self, count: usize, span: Span) -> super::Result<Relation> {
        let builder = self.builder.limit(0, Some(count)).map_err(|e| internal(span, &e))?;
        Ok(Relation { builder, ..self })
    }

    pub fn sort(self, keys: Vec<SortExpr>, span: Span) -> super::Result<Relation> {
        let builder = self.builder.sort(keys.clone()).map_err(|e| internal(span, &e))?;
        Ok(Relation { builder, order: keys, ..self })
    }
}

/// A column as an expression.
pub(crate) fn column(column: &Column) -> Typed {
    Typed::new(ident(&column.name), column.column_type)
}

/// The null of a type as an expression; `""` for strings.
pub(crate) fn null(of: Type) -> Typed {
    Typed::new(lit(null_value(of)), of)
}

/// A name that none of `taken` has: `name`, else `name1`, `name2` …
pub(crate) fn unique_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    (1..).map(|n| format!("{name}{n}")).find(|candidate| !taken(candidate)).unwrap_or_else(|| name.to_owned())
}

/// The diagnostic for an operand of the wrong type.
pub(crate) fn wrong_type(span: Span, what: &str, found: Type, wanted: &str) -> super::Stop {
    Diagnostic::semantic(span, format!("{what} is of type {found}, expected {wanted}")).into()
}
