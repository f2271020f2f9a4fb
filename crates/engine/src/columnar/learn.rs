//! What operators learn while they run, told to the scans below them.
//!
//! Once a hash join has read one side it knows which keys rows of the other can have; the first rows in an order tell how
//! good a row must be to be among them. Both are expressions that change while the query runs. A scan asks them of its
//! segments and rows; the operator asks them too, so that it does not matter whether a scan does.
//!
//! DataFusion has a rule for this, which finds columns by their names where it passes other operators. Here names come twice:
//! the keys of one grouping are called as those of another below it, and the legs of a union have names of their own. So
//! columns are found by their places, and what is passed is named here.

use super::aggregate::SegmentAggregate;
use super::rule::with_legs;
use super::scan::{SegmentScan, over};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, replace_children_if_necessary};
use std::sync::Arc;

type Plan = Arc<dyn ExecutionPlan>;

/// Has hash joins and limits of sorted rows tell scans of segments what they learn. It comes after scans have taken over
/// what they can do.
#[derive(Debug)]
pub(crate) struct TellScans;

impl PhysicalOptimizerRule for TellScans {
    fn optimize(&self, plan: Plan, _config: &ConfigOptions) -> Result<Plan> {
        // Whoever runs a plan asks all of its partitions.
        tell(&plan, true)
    }

    fn name(&self) -> &str {
        "TellScans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A plan whose operators tell the scans below them. `asks_all` is whether rows are asked for of every partition of it:
/// a join need not ask for those that can match nothing.
fn tell(node: &Plan, asks_all: bool) -> Result<Plan> {
    let children = node.children();
    let asks_all_below = if gathers(node) { true } else { asks_all && (children.len() < 2 || node.is::<UnionExec>()) };
    let told_children = children.iter().map(|child| tell(child, asks_all_below)).collect::<Result<Vec<_>>>()?;
    let node = replace_children_if_necessary(node.clone(), told_children)?;
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return Ok(sort_telling(sort)?.unwrap_or(node));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return Ok(join_telling(join, asks_all)?.unwrap_or(node));
    }
    Ok(node)
}

/// Whether a node asks for the rows of all partitions of its child by itself.
fn gathers(node: &Plan) -> bool {
    node.is::<RepartitionExec>() || node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>()
}

/// A limit of sorted rows.
fn sort_telling(sort: &SortExec) -> Result<Option<Plan>> {
    let mut told = None;
    // A sort without a limit gives none.
    for condition in sort.dynamic_expressions_produced() {
        told = learning(told.as_ref().unwrap_or(sort.input()), &condition)?.or(told);
    }
    let Some(input) = told else { return Ok(None) };
    let sort: Plan = Arc::new(sort.clone());
    Ok(Some(replace_children_if_necessary(sort, vec![input])?))
}

fn join_telling(join: &HashJoinExec, asks_all: bool) -> Result<Option<Plan>> {
    let (_, leaves_out_of_right) = join.join_type().on_lr_is_preserved();
    // Partitions of a join with one table of keys wait for one another; those that share none are counted when dropped.
    let is_alone = join.right().properties().output_partitioning().partition_count() == 1;
    let is_free = *join.partition_mode() == PartitionMode::Partitioned || is_alone || asks_all;
    if !leaves_out_of_right || !is_free {
        return Ok(None);
    }
    let keys = join.on().iter().map(|(_, right)| right.clone()).collect();
    let condition = Arc::new(DynamicFilterPhysicalExpr::new(keys, lit(true)));
    let as_expression: Arc<dyn PhysicalExpr> = condition.clone();
    let Some(right) = learning(join.right(), &as_expression)? else { return Ok(None) };
    let join = join.builder().with_new_children(vec![join.left().clone(), right])?.build()?;
    Ok(Some(Arc::new(join.with_dynamic_filter_expr(condition)?)))
}

/// A plan in which a scan asks a condition on the rows that the plan gives; `None` where no scan can.
fn learning(node: &Plan, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<Plan>> {
    if let Some(scan) = node.downcast_ref::<SegmentScan>() {
        return Ok(scan.learning(condition)?.map(|scan| Arc::new(scan) as Plan));
    }
    if let Some(aggregate) = node.downcast_ref::<SegmentAggregate>() {
        return Ok(aggregate.learning(condition)?.map(|aggregate| Arc::new(aggregate) as Plan));
    }
    if node.fetch().is_some() {
        // A limit counts rows that the condition would leave out.
        return Ok(None);
    }
    if node.is::<UnionExec>() {
        return with_legs(node, |leg| learning(leg, condition));
    }
    let [child] = node.children()[..] else { return Ok(None) };
    let Some(below) = below(node, condition)? else { return Ok(None) };
    let Some(child) = learning(child, &below)? else { return Ok(None) };
    Ok(Some(replace_children_if_necessary(node.clone(), vec![child])?))
}

/// A condition on the rows of a node as one on those of its child; `None` where it cannot be asked there.
fn below(node: &Plan, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let passes = node.is::<RepartitionExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<CooperativeExec>()
        || node.downcast_ref::<FilterExec>().is_some_and(|filter| filter.projection().is_none());
    if passes {
        return Ok(Some(condition.clone()));
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let columns: Vec<_> = projection.expr().iter().map(|column| column.expr.clone()).collect();
        return over(condition, &columns);
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let group = aggregate.group_expr();
        if group.has_grouping_set() || group.expr().is_empty() || aggregate.limit_options().is_some() {
            return Ok(None);
        }
        // Groups are made or not made as a whole. The second of two steps has the keys where the first one gives them.
        let keys: Vec<Arc<dyn PhysicalExpr>> = group.expr().iter().map(|(key, _)| key.clone()).collect();
        return over(condition, &keys);
    }
    Ok(None)
}
