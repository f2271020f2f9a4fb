//! Plan expressions computed outside of a plan, over the columns of a batch.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, cast::AsArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;
use std::sync::{Arc, LazyLock};

/// An expression that is ready to be computed over batches of a schema.
pub(crate) fn physical(expr: &Expr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    CONTEXT.create_physical_expr(expr.clone(), &DFSchema::try_from(schema.clone())?)
}

/// The value of an expression for each row of a batch.
pub(crate) fn evaluate(expr: &Expr, batch: &RecordBatch) -> Result<ArrayRef> {
    physical(expr, &batch.schema())?.evaluate(batch)?.into_array(batch.num_rows())
}

/// The rows of a batch for which a condition holds; not those for which it is null.
pub(crate) fn holds(condition: &Expr, batch: &RecordBatch) -> Result<BooleanArray> {
    let flags = evaluate(condition, batch)?;
    let flags = flags.as_boolean();
    Ok(match flags.nulls() {
        None => flags.clone(),
        Some(nulls) => BooleanArray::new(flags.values() & nulls.inner(), None),
    })
}
