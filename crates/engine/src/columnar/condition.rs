//! Conditions on the rows of segments: what is cheap to ask is asked first, and what is costly of the rows that are left.

use super::Segment;
use super::program::{Program, Selection, truths};
use crate::functions::terms::is_any_kernel;
use datafusion::arrow::array::{Array, BooleanArray, UInt32Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{ScalarFunctionExpr, split_conjunction};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// A condition: it holds where one of its parts does.
#[derive(Debug)]
pub(super) struct Condition {
    parts: Vec<Program>,
}

/// The conditions that all must hold for `expressions` to hold, the cheapest first.
pub(super) fn conditions(expressions: &[Arc<dyn PhysicalExpr>], table: &SchemaRef) -> Result<Vec<Condition>> {
    let mut conditions = Vec::new();
    for part in expressions.iter().flat_map(split_conjunction) {
        let mut alternatives = Vec::new();
        split_disjunction(part, &mut alternatives)?;
        let mut parts = alternatives.iter().map(|part| Program::new(part, table)).collect::<Result<Vec<_>>>()?;
        parts.sort_by_key(Program::cost);
        conditions.push(Condition { parts });
    }
    conditions.sort_by_key(|condition| condition.parts.iter().map(Program::cost).sum::<usize>());
    Ok(conditions)
}

/// The parts of which one must hold; a search in several texts is one in each of them.
fn split_disjunction(expression: &Arc<dyn PhysicalExpr>, parts: &mut Vec<Arc<dyn PhysicalExpr>>) -> Result<()> {
    if let Some(either) = expression.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Or) {
        split_disjunction(either.left(), parts)?;
        return split_disjunction(either.right(), parts);
    }
    match expression.downcast_ref::<ScalarFunctionExpr>().filter(|call| is_any_kernel(call.name())) {
        Some(call) => {
            let Some((needle, texts)) = call.args().split_first() else { return Ok(()) };
            for text in texts {
                parts.push(expression.clone().with_new_children(vec![needle.clone(), text.clone()])?);
            }
        }
        None => parts.push(expression.clone()),
    }
    Ok(())
}

/// The rows for which all of the conditions hold.
pub(super) fn select(conditions: &[Condition], segment: &dyn Segment) -> Result<Selection> {
    let mut selection = Selection::All;
    for condition in conditions {
        if selection.count(segment) == 0 {
            break;
        }
        selection = condition.select(segment, selection)?;
    }
    Ok(selection)
}

impl Condition {
    /// Those of the rows for which the condition holds.
    fn select(&self, segment: &dyn Segment, selection: Selection) -> Result<Selection> {
        if let [only] = self.parts.as_slice() {
            return match only.known(segment) {
                Some(true) => Ok(selection),
                Some(false) => Ok(Selection::none()),
                None => Ok(selection.filtered(&truths(&only.evaluate(segment, &selection)?)?)),
            };
        }
        let mut kept: Vec<u32> = Vec::new();
        let mut left = selection;
        for part in &self.parts {
            if left.count(segment) == 0 {
                break;
            }
            let holds = truths(&part.evaluate(segment, &left)?)?;
            // A condition that is null holds no more than one that is false.
            let holds: BooleanArray = match holds.nulls() {
                Some(nulls) => BooleanArray::new(holds.values() & nulls.inner(), None),
                None => holds,
            };
            if holds.false_count() == 0 && kept.is_empty() {
                return Ok(left);
            }
            if holds.true_count() > 0 {
                if let Selection::Rows(rows) = left.filtered(&holds) {
                    kept.extend(rows.values());
                } else {
                    kept.extend(0..segment.rows() as u32);
                }
                left = left.filtered(&BooleanArray::new(!holds.values(), None));
            }
        }
        kept.sort_unstable();
        Ok(Selection::Rows(UInt32Array::from(kept)))
    }
}
