//! A table as queries read it: its files and its hot rows, as one.

use crate::cache::SegmentCache;
use crate::layout::Layout;
use crate::segments::{FileSegment, HotSegment};
use crate::table_file::{DataFile, TIME_COLUMN};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use engine::columnar::{Segment, SegmentScan};
use std::sync::Arc;

/// The rows of a table at one moment.
#[derive(Debug)]
pub(crate) struct WorkspaceTable {
    pub layout: Arc<Layout>,
    pub files: Arc<Vec<DataFile>>,
    /// The rows in memory in pieces, each with a number that no others have.
    pub hot: Vec<(u64, RecordBatch)>,
    /// Where columns are kept.
    pub cache: SegmentCache,
}

impl WorkspaceTable {
    /// The segments that may hold rows of a span of time, in ticks.
    fn segments(&self, (least, greatest): (i64, i64)) -> Result<Vec<Arc<dyn Segment>>> {
        let mut segments: Vec<Arc<dyn Segment>> = Vec::new();
        let time = self.layout.columns.iter().position(|column| column.name == TIME_COLUMN);
        let is_live = |times: Option<(i64, i64)>| times.is_none_or(|(from, to)| from <= greatest && to >= least);
        for file in self.files.iter().filter(|file| is_live(file.times)) {
            let of_file = FileSegment::of_file(&self.layout, file, &self.cache);
            for segment in of_file.map_err(|e| DataFusionError::External(Box::new(e)))? {
                let bounds = time.and_then(|time| segment.bounds(time));
                if is_live(bounds.map(|bounds| (bounds.least, bounds.greatest))) {
                    segments.push(Arc::new(segment));
                }
            }
        }
        let hot = |(number, batch): &(u64, RecordBatch)| HotSegment::new(*number, batch.clone(), &self.cache);
        segments.extend(self.hot.iter().map(|piece| Arc::new(hot(piece)) as Arc<dyn Segment>));
        Ok(segments)
    }
}

#[async_trait::async_trait]
impl TableProvider for WorkspaceTable {
    fn schema(&self) -> SchemaRef {
        self.layout.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize>;
        let projection = match projection {
            Some(projection) => projection,
            None => {
                all = (0..self.layout.columns.len()).collect();
                &all
            }
        };
        let schema = DFSchema::try_from(self.layout.schema.as_ref().clone())?;
        let conditions = filters.iter().map(|filter| state.create_physical_expr(filter.clone(), &schema));
        let scan = SegmentScan::new(
            &self.layout.schema,
            self.segments(time_bounds(filters))?,
            projection,
            conditions.collect::<Result<_>>()?,
            state.config().target_partitions(),
        )?;
        Ok(scan.with_fetch(limit).unwrap_or_else(|| Arc::new(scan)))
    }
}

/// The span of time that the filters leave, in ticks.
fn time_bounds(filters: &[Expr]) -> (i64, i64) {
    let (mut least, mut greatest) = (i64::MIN, i64::MAX);
    for filter in filters {
        for (operator, ticks) in conjuncts(filter).into_iter().filter_map(time_comparison) {
            match operator {
                Operator::Gt | Operator::GtEq => least = least.max(ticks),
                Operator::Lt | Operator::LtEq => greatest = greatest.min(ticks),
                Operator::Eq => (least, greatest) = (least.max(ticks), greatest.min(ticks)),
                _ => {}
            }
        }
    }
    (least, greatest)
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

/// `TimeGenerated op literal`, whichever way round it stands.
fn time_comparison(expr: &Expr) -> Option<(Operator, i64)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (column, operator, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    match value {
        ScalarValue::Int64(Some(ticks)) if column.name == TIME_COLUMN => Some((operator, *ticks)),
        _ => None,
    }
}
