//! Conditions on the rows of segments: what is cheap to ask is asked first, and what is costly of the rows that are left.
//!
//! Some conditions are known before the query runs. Others come from operators above, which learn while they run what they
//! have no use for: a join, which keys its other side has; the first rows in an order, how good a row must be.

use super::Segment;
use super::needed::Needed;
use super::program::{Program, Selection, truths};
use crate::functions::terms::is_any_kernel;
use datafusion::arrow::array::{Array, BooleanArray, UInt32Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{ScalarFunctionExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// A condition: it holds where one of its parts does.
#[derive(Debug)]
struct Condition {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    program: Program,
    /// The terms that a row must have.
    needed: Option<Needed>,
}

/// Conditions that all must hold.
#[derive(Debug)]
pub(super) struct Conditions {
    fixed: Vec<Condition>,
    learnt: Vec<Learnt>,
}

/// A condition that is learnt is not asked any more when it has been asked of so many rows...
const LEARNT_TRIAL_ROWS: usize = 1 << 17;
/// ...and has kept more than this share of them: who has learnt it asks it too.
const LEARNT_KEPT_PERCENT_MAX: usize = 80;

/// What an operator above has learnt so far.
#[derive(Debug)]
struct Learnt {
    /// Changes while the query runs, and says so by its generation.
    from: Arc<dyn PhysicalExpr>,
    table: SchemaRef,
    generation: u64,
    conditions: Vec<Condition>,
    asked_rows: usize,
    kept_rows: usize,
}

impl Conditions {
    /// Conditions over the columns of a table: those that stay as they are, and those that are learnt.
    pub fn new(
        fixed: &[Arc<dyn PhysicalExpr>],
        learnt: &[Arc<dyn PhysicalExpr>],
        table: &SchemaRef,
    ) -> Result<Conditions> {
        let learnt = learnt.iter().map(|from| Learnt {
            from: from.clone(),
            table: table.clone(),
            generation: 0,
            conditions: Vec::new(),
            asked_rows: 0,
            kept_rows: 0,
        });
        Ok(Conditions { fixed: conditions(fixed, |part| Program::new(part, table))?, learnt: learnt.collect() })
    }

    /// The rows for which all of the conditions hold, as far as they are known now.
    pub fn select(&mut self, segment: &dyn Segment) -> Result<Selection> {
        for learnt in &mut self.learnt {
            learnt.refresh()?;
        }
        let mut all = self.fixed.iter().chain(self.learnt.iter().flat_map(|learnt| &learnt.conditions));
        if all.clone().any(|condition| condition.known(segment) == Some(false)) {
            return Ok(Selection::none());
        }
        // Asked only of segments that are about to be read.
        if all.any(|condition| condition.parts.iter().all(|part| part.is_met_nowhere(segment))) {
            return Ok(Selection::none());
        }
        let mut selection = select(&self.fixed, segment, Selection::All)?;
        for learnt in &mut self.learnt {
            selection = learnt.select(segment, selection)?;
        }
        Ok(selection)
    }
}

impl Learnt {
    /// Takes over what has been learnt since.
    fn refresh(&mut self) -> Result<()> {
        let generation = snapshot_generation(&self.from);
        if generation == self.generation {
            return Ok(());
        }
        let now = snapshot_physical_expr(self.from.clone())?;
        let program = |part: &Arc<dyn PhysicalExpr>| Program::of_this_query(part, &self.table);
        let whole = program(&now)?;
        // What asks one source alone is asked of its values at once.
        self.conditions = match whole.is_of_one_source() {
            true => vec![Condition { parts: vec![Part::new(whole, &now)] }],
            false => conditions(&[now], program)?,
        };
        (self.generation, self.asked_rows, self.kept_rows) = (generation, 0, 0);
        Ok(())
    }

    fn select(&mut self, segment: &dyn Segment, selection: Selection) -> Result<Selection> {
        let is_useless =
            self.asked_rows >= LEARNT_TRIAL_ROWS && self.kept_rows > self.asked_rows / 100 * LEARNT_KEPT_PERCENT_MAX;
        if is_useless {
            return Ok(selection);
        }
        self.asked_rows += selection.count(segment);
        let kept = select(&self.conditions, segment, selection)?;
        self.kept_rows += kept.count(segment);
        Ok(kept)
    }
}

/// The conditions that all must hold for `expressions` to hold, the cheapest first.
fn conditions(
    expressions: &[Arc<dyn PhysicalExpr>],
    program: impl Fn(&Arc<dyn PhysicalExpr>) -> Result<Program>,
) -> Result<Vec<Condition>> {
    let mut conditions = Vec::new();
    for part in expressions.iter().flat_map(split_conjunction) {
        let mut alternatives = Vec::new();
        split_disjunction(part, &mut alternatives)?;
        let part = |alternative: &Arc<dyn PhysicalExpr>| Ok(Part::new(program(alternative)?, alternative));
        let mut parts = alternatives.iter().map(part).collect::<Result<Vec<_>>>()?;
        parts.sort_by_key(|part| part.program.cost());
        conditions.push(Condition { parts });
    }
    conditions.sort_by_key(|condition| condition.parts.iter().map(|part| part.program.cost()).sum::<usize>());
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

/// Those of the rows for which all of the conditions hold.
fn select(conditions: &[Condition], segment: &dyn Segment, mut selection: Selection) -> Result<Selection> {
    for condition in conditions {
        if selection.count(segment) == 0 {
            break;
        }
        selection = condition.select(segment, selection)?;
    }
    Ok(selection)
}

impl Part {
    fn new(program: Program, expression: &Arc<dyn PhysicalExpr>) -> Part {
        Part { program, needed: Needed::of(expression) }
    }

    /// Whether it is certain that no row of a segment meets it: by the bounds of columns, or for want of terms.
    fn is_met_nowhere(&self, segment: &dyn Segment) -> bool {
        let is_lacking = |needed: &Needed| needed.is_lacking(segment);
        self.program.known(segment) == Some(false) || self.needed.as_ref().is_some_and(is_lacking)
    }
}

impl Condition {
    /// Whether the condition holds for all rows of a segment (`true`), for none (`false`), as far as that can be told
    /// without reading it.
    fn known(&self, segment: &dyn Segment) -> Option<bool> {
        let mut none = true;
        for part in &self.parts {
            match part.program.known(segment) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => none = false,
            }
        }
        none.then_some(false)
    }

    /// Those of the rows for which the condition holds.
    fn select(&self, segment: &dyn Segment, selection: Selection) -> Result<Selection> {
        match self.known(segment) {
            Some(true) => return Ok(selection),
            Some(false) => return Ok(Selection::none()),
            None => {}
        }
        if let [only] = self.parts.as_slice() {
            return only.program.select(segment, selection);
        }
        let mut kept: Vec<u32> = Vec::new();
        let mut left = selection;
        for part in &self.parts {
            if left.count(segment) == 0 {
                break;
            }
            if part.is_met_nowhere(segment) {
                continue;
            }
            let holds = truths(&part.program.evaluate(segment, &left)?)?;
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
