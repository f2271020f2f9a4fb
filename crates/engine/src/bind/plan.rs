//! Nodes of plans over a plan.
//!
//! DataFusion's builder looks through the whole plan below for each column that an expression names, which takes the
//! square of a table's width times the length of a query. Here fields have names of their own; only those of a table
//! that is being scanned are known by the table's name too.

use super::{Result, internal};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, SchemaError, TableReference};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr, Window,
};
use kql::Span;
use std::collections::HashMap;
use std::sync::Arc;

type Planned<T> = datafusion::common::Result<T>;

/// The expressions with the columns of tables under their full names. A column that is not there is an error.
fn qualified(expressions: Vec<Expr>, schema: &DFSchema) -> Planned<Vec<Expr>> {
    let tables: HashMap<&str, Option<&TableReference>> =
        schema.iter().map(|(table, field)| (field.name().as_str(), table)).collect();
    let name = |expr: Expr| match expr {
        Expr::Column(c) if c.relation.is_none() => match tables.get(c.name.as_str()) {
            Some(Some(table)) => Ok(Transformed::yes(Expr::Column(Column::new(Some((*table).clone()), c.name)))),
            Some(None) => Ok(Transformed::no(Expr::Column(c))),
            None => {
                let missing = SchemaError::FieldNotFound { field: Box::new(c), valid_fields: Vec::new() };
                Err(DataFusionError::SchemaError(Box::new(missing), Box::new(None)))
            }
        },
        other => Ok(Transformed::no(other)),
    };
    expressions.into_iter().map(|expr| Ok(expr.transform(name)?.data)).collect()
}

fn over(
    builder: LogicalPlanBuilder,
    span: Span,
    make: impl FnOnce(Arc<LogicalPlan>) -> Planned<LogicalPlan>,
) -> Result<LogicalPlanBuilder> {
    let made = builder.build().and_then(|plan| make(Arc::new(plan)));
    made.map(LogicalPlanBuilder::from).map_err(|e| internal(span, &e))
}

/// The expressions for each row.
pub(super) fn select(
    builder: LogicalPlanBuilder,
    expressions: impl IntoIterator<Item = Expr>,
    span: Span,
) -> Result<LogicalPlanBuilder> {
    over(builder, span, |plan| {
        let expressions = qualified(expressions.into_iter().collect(), plan.schema())?;
        Ok(LogicalPlan::Projection(Projection::try_new(expressions, plan)?))
    })
}

/// The rows for which the condition holds.
pub(super) fn filter(builder: LogicalPlanBuilder, condition: Expr, span: Span) -> Result<LogicalPlanBuilder> {
    over(builder, span, |plan| {
        let condition = qualified(vec![condition], plan.schema())?.remove(0);
        Ok(LogicalPlan::Filter(Filter::try_new(condition, plan)?))
    })
}

pub(super) fn sort(builder: LogicalPlanBuilder, keys: Vec<SortExpr>, span: Span) -> Result<LogicalPlanBuilder> {
    over(builder, span, |plan| {
        let values = qualified(keys.iter().map(|key| key.expr.clone()).collect(), plan.schema())?;
        let keys = keys.into_iter().zip(values).map(|(key, expr)| SortExpr { expr, ..key }).collect();
        Ok(LogicalPlan::Sort(Sort { expr: keys, input: plan, fetch: None }))
    })
}

/// One row for each key.
pub(super) fn aggregate(
    builder: LogicalPlanBuilder,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    span: Span,
) -> Result<LogicalPlanBuilder> {
    over(builder, span, |plan| {
        let (keys, aggregates) = (qualified(keys, plan.schema())?, qualified(aggregates, plan.schema())?);
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(plan, keys, aggregates)?))
    })
}

/// Adds the result of a window function to each row.
pub(super) fn window(builder: LogicalPlanBuilder, call: Expr, span: Span) -> Result<LogicalPlanBuilder> {
    over(builder, span, |plan| {
        let calls = qualified(vec![call], plan.schema())?;
        Ok(LogicalPlan::Window(Window::try_new(calls, plan)?))
    })
}
