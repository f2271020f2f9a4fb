//! How many rows meet conditions, as far as the bounds of segments tell: what joins are planned by. It is no promise.

use super::Segment;
use super::program::known;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// The share of rows that is taken to meet a condition of which nothing is known; that of DataFusion.
const UNKNOWN_SHARE: f64 = 0.2;

/// How many rows of segments meet all conditions.
pub(super) fn rows<'s>(
    segments: impl Iterator<Item = &'s Arc<dyn Segment>>,
    conditions: &[Arc<dyn PhysicalExpr>],
) -> usize {
    let parts: Vec<&Arc<dyn PhysicalExpr>> = conditions.iter().flat_map(split_conjunction).collect();
    let of_segment = |segment: &Arc<dyn Segment>| {
        let shares = parts.iter().map(|part| share(part, segment.as_ref()));
        segment.rows() as f64 * shares.product::<f64>()
    };
    segments.map(of_segment).sum::<f64>().ceil() as usize
}

/// The share of a segment's rows that meets a condition. Values are taken to be spread evenly between the bounds.
fn share(condition: &Arc<dyn PhysicalExpr>, segment: &dyn Segment) -> f64 {
    match known(condition, segment) {
        Some(true) => 1.0,
        Some(false) => 0.0,
        None => share_within(condition, segment).unwrap_or(UNKNOWN_SHARE),
    }
}

fn share_within(condition: &Arc<dyn PhysicalExpr>, segment: &dyn Segment) -> Option<f64> {
    let comparison = condition.downcast_ref::<BinaryExpr>()?;
    let column = comparison.left().downcast_ref::<Column>()?;
    let ScalarValue::Int64(Some(value)) = comparison.right().downcast_ref::<Literal>()?.value() else { return None };
    let bounds = segment.bounds(column.index())?;
    let width = bounds.greatest.saturating_sub(bounds.least) as f64;
    let below = (value.saturating_sub(bounds.least) as f64 / width.max(1.0)).clamp(0.0, 1.0);
    match comparison.op() {
        Operator::Lt | Operator::LtEq => Some(below),
        Operator::Gt | Operator::GtEq => Some(1.0 - below),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;
    use datafusion::arrow::array::ArrayRef;
    use datafusion::common::Result;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    #[derive(Debug)]
    struct Rows(Bounds);

    impl Segment for Rows {
        fn rows(&self) -> usize {
            1000
        }

        fn column(&self, _column: usize) -> Result<ArrayRef> {
            datafusion::common::internal_err!("an estimate reads nothing")
        }

        fn bounds(&self, column: usize) -> Option<Bounds> {
            (column == 0).then_some(self.0)
        }
    }

    #[test]
    fn rows_are_estimated_by_the_bounds_of_segments() {
        use datafusion::arrow::datatypes::{DataType, Field, Schema};
        let schema = Schema::new(vec![Field::new("t", DataType::Int64, false), Field::new("x", DataType::Int64, true)]);
        let segment =
            |least, greatest| Arc::new(Rows(Bounds { least, greatest, has_nulls: false })) as Arc<dyn Segment>;
        let segments = [segment(0, 100), segment(100, 200), segment(200, 300)];
        let compared = |name, operator, value: i64| {
            binary(col(name, &schema).expect("a column"), operator, lit(value), &schema).expect("a condition")
        };
        let of = |conditions: &[Arc<dyn PhysicalExpr>]| rows(segments.iter(), conditions);
        assert_eq!(of(&[]), 3000);
        assert_eq!(of(&[compared("t", Operator::Gt, 150)]), 1500);
        assert_eq!(of(&[compared("t", Operator::Gt, 300)]), 0);
        assert_eq!(of(&[compared("t", Operator::GtEq, 150), compared("t", Operator::Lt, 175)]), 500 * 3 / 4);
        assert_eq!(of(&[compared("x", Operator::Eq, 7)]), 600);
    }
}
