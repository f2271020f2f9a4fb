//! The rows of `range x from a to b step s`, made as they are read.

use crate::types::{Column, arrow_schema};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{SortExpr, ident};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

const BATCH_ROWS: usize = 8192;

/// A range of ticks, longs or reals. Empty when the step leads away from the end.
#[derive(Debug, Clone)]
pub(crate) struct RangeTable {
    schema: SchemaRef,
    values: Values,
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Longs { from: i64, to: i64, step: i64 },
    Reals { from: f64, to: f64, step: f64 },
}

impl RangeTable {
    /// `bounds` are from, to and step. The error says what is wrong with them.
    pub fn new(column: &Column, bounds: &[ScalarValue]) -> std::result::Result<RangeTable, String> {
        let values = match bounds {
            [ScalarValue::Int64(Some(from)), ScalarValue::Int64(Some(to)), ScalarValue::Int64(Some(step))] => {
                Values::Longs { from: *from, to: *to, step: *step }
            }
            [ScalarValue::Float64(Some(from)), ScalarValue::Float64(Some(to)), ScalarValue::Float64(Some(step))] => {
                Values::Reals { from: *from, to: *to, step: *step }
            }
            _ => return Err("the bounds of a range must not be null".to_owned()),
        };
        if matches!(values, Values::Longs { step: 0, .. })
            || matches!(values, Values::Reals { step, .. } if step == 0.0 || !step.is_finite())
        {
            return Err("the step of a range must not be zero".to_owned());
        }
        Ok(RangeTable { schema: arrow_schema(std::slice::from_ref(column)), values })
    }

    pub fn is_ascending(&self) -> bool {
        match self.values {
            Values::Longs { step, .. } => step > 0,
            Values::Reals { step, .. } => step > 0.0,
        }
    }

    pub fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        let table = StreamingTable::try_new(self.schema.clone(), vec![Arc::new(self.clone())])?;
        let order = SortExpr::new(ident(self.schema.field(0).name()), self.is_ascending(), false);
        Ok(Arc::new(table.with_sort_order(vec![order])))
    }

    /// Rows `start` to `start + BATCH_ROWS`, fewer at the end.
    fn batch(&self, start: usize) -> Option<Result<RecordBatch>> {
        let array: ArrayRef = match self.values {
            Values::Longs { from, to, step } => {
                let value = |i: usize| i64::try_from(i).ok()?.checked_mul(step)?.checked_add(from);
                let inside = |v: &i64| if step > 0 { *v <= to } else { *v >= to };
                Arc::new((start..start + BATCH_ROWS).map_while(|i| value(i).filter(inside)).collect::<Int64Array>())
            }
            Values::Reals { from, to, step } => {
                let inside = |v: &f64| if step > 0.0 { *v <= to } else { *v >= to };
                let values = (start..start + BATCH_ROWS).map(|i| from + i as f64 * step);
                Arc::new(values.take_while(inside).collect::<Float64Array>())
            }
        };
        (!array.is_empty()).then(|| Ok(RecordBatch::try_new(self.schema.clone(), vec![array])?))
    }
}

impl PartitionStream for RangeTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let table = self.clone();
        let batches = (0..).step_by(BATCH_ROWS).map_while(move |start| table.batch(start));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}
