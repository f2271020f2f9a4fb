//! Which parts of a plan are computed over segments as they are held.

use super::aggregate::{Aggregate, SegmentAggregate};
use super::groups::Groups;
use super::scan::SegmentScan;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, InputOrderMode, Partitioning, PhysicalExpr, replace_children_if_necessary,
};
use std::sync::Arc;

/// Gives filters, expressions, the first step of aggregates and limits of sorted rows right above a scan of segments to
/// the scan.
#[derive(Debug)]
pub(crate) struct UseSegments;

impl PhysicalOptimizerRule for UseSegments {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan
            .transform_up(|node| {
                Ok(match taken_over(&node)? {
                    Some(replacement) => Transformed::yes(replacement),
                    None => Transformed::no(node),
                })
            })?
            .data)
    }

    fn name(&self) -> &str {
        "UseSegments"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What does the work of `node`, where that is right above a scan of segments and can be done by it.
fn taken_over(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let children = node.children();
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        let Some(rows) = sort.fetch() else { return Ok(None) };
        let Some(input) = leading(sort.input(), sort.expr().first(), rows)? else { return Ok(None) };
        return Ok(Some(replace_children_if_necessary(node.clone(), vec![input])?));
    }
    let [child] = children[..] else { return Ok(None) };
    if let Some(scan) = dealt_out(child) {
        let Some(taken) = taken_over(&replace_children_if_necessary(node.clone(), vec![scan.clone()])?)? else {
            return Ok(None);
        };
        // Groups of one segment are made where it is read; there is little left to deal out.
        return Ok(Some(match node.is::<AggregateExec>() {
            true => taken,
            false => replace_children_if_necessary(child.clone(), vec![taken])?,
        }));
    }
    let Some(scan) = child.downcast_ref::<SegmentScan>() else { return Ok(None) };
    // Nodes above may rely on what is known of the node's rows, such as which columns are the same in all.
    let given = |scan: SegmentScan| -> Arc<dyn ExecutionPlan> { Arc::new(scan.known_as(node.as_ref())) };
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let outputs: Vec<_> = projection.expr().iter().map(|p| (&p.expr, p.alias.as_str())).collect();
        return Ok(scan.project(&outputs)?.map(given));
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        let Some(filtered) = scan.filter(filter.predicate())? else { return Ok(None) };
        let Some(projection) = filter.projection() else {
            return Ok(Some(with_fetch_of(filter.fetch(), given(filtered))));
        };
        let schema = scan.schema();
        let columns: Vec<Arc<dyn PhysicalExpr>> = projection
            .iter()
            .map(|i| Arc::new(datafusion::physical_expr::expressions::Column::new(schema.field(*i).name(), *i)) as _)
            .collect();
        let outputs: Vec<_> = columns.iter().zip(projection.iter().map(|i| schema.field(*i).name().as_str())).collect();
        let projected = filtered.project(&outputs)?.map(given);
        return Ok(projected.map(|scan| with_fetch_of(filter.fetch(), scan)));
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        return aggregated(aggregate, scan);
    }
    Ok(None)
}

/// A plan of whose rows only the first ones by a key are asked for, as far as its scans can give them alone.
fn leading(
    plan: &Arc<dyn ExecutionPlan>,
    key: &PhysicalSortExpr,
    rows: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<SegmentScan>() {
        let scan = scan.leading(&key.expr, key.options, rows)?;
        return Ok(scan.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>));
    }
    if let Some(scan) = dealt_out(plan) {
        let Some(scan) = leading(scan, key, rows)? else { return Ok(None) };
        return Ok(Some(replace_children_if_necessary(plan.clone(), vec![scan])?));
    }
    match plan.is::<UnionExec>() {
        true => with_legs(plan, |leg| leading(leg, key, rows)),
        false => Ok(None),
    }
}

/// The scan of segments whose rows a node deals out in turns, as is done where a table has fewer segments than there are
/// processors.
fn dealt_out(node: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let dealing = node.downcast_ref::<RepartitionExec>()?;
    let is_in_turns = matches!(dealing.partitioning(), Partitioning::RoundRobinBatch(_));
    (is_in_turns && dealing.input().is::<SegmentScan>()).then(|| dealing.input())
}

/// A union with other legs for those that `replace` has one for; `None` where it has none. Columns are at the same places in
/// all legs, whatever they are called there.
pub(super) fn with_legs(
    union: &Arc<dyn ExecutionPlan>,
    replace: impl Fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let replaced = union.children().into_iter().map(replace).collect::<Result<Vec<_>>>()?;
    if replaced.iter().all(Option::is_none) {
        return Ok(None);
    }
    let legs = replaced.into_iter().zip(union.children()).map(|(new, old)| new.unwrap_or_else(|| old.clone()));
    replace_children_if_necessary(union.clone(), legs.collect()).map(Some)
}

fn with_fetch_of(fetch: Option<usize>, scan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(_) => scan.with_fetch(fetch).unwrap_or(scan),
        None => scan,
    }
}

fn aggregated(node: &AggregateExec, scan: &SegmentScan) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let group = node.group_expr();
    let can = matches!(node.mode(), AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned)
        && !scan.is_limited()
        && !group.has_grouping_set()
        && node.limit_options().is_none()
        && *node.input_order_mode() == InputOrderMode::Linear
        && node.aggr_expr().iter().all(|function| function.order_bys().is_empty());
    if !can {
        return Ok(None);
    }
    for (key, _) in group.expr() {
        if !Groups::can_group_by(&key.data_type(&scan.schema())?) {
            return Ok(None);
        }
    }
    // All that is asked of the scan, in one list: keys, then for each aggregate its arguments and its condition.
    let arguments: Vec<Vec<Arc<dyn PhysicalExpr>>> = node.aggr_expr().iter().map(|f| f.expressions()).collect();
    let mut asked: Vec<&Arc<dyn PhysicalExpr>> = group.expr().iter().map(|(key, _)| key).collect();
    for (arguments, condition) in arguments.iter().zip(node.filter_expr()) {
        asked.extend(arguments);
        asked.extend(condition);
    }
    let Some(asked) = scan.through(&asked)? else { return Ok(None) };
    let mut asked = asked.into_iter();
    let keys: Vec<_> = asked.by_ref().take(group.expr().len()).collect();
    let mut aggregates = Vec::with_capacity(arguments.len());
    for ((function, arguments), condition) in node.aggr_expr().iter().zip(&arguments).zip(node.filter_expr()) {
        aggregates.push(Aggregate {
            function: function.clone(),
            arguments: asked.by_ref().take(arguments.len()).collect(),
            condition: condition.as_ref().and_then(|_| asked.next()),
        });
    }
    if *node.mode() == AggregateMode::Partial {
        return Ok(Some(Arc::new(SegmentAggregate::new(scan.clone(), keys, aggregates, node))));
    }
    // Both steps in one are taken apart, the second to be DataFusion's, which can spill.
    let none = vec![None; aggregates.len()];
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        group.clone(),
        node.aggr_expr().to_vec(),
        node.filter_expr().to_vec(),
        node.input().clone(),
        node.input_schema(),
    )?;
    let partial = Arc::new(SegmentAggregate::new(scan.clone(), keys, aggregates, &first));
    let last = AggregateExec::try_new(
        AggregateMode::Final,
        group.as_final(),
        node.aggr_expr().to_vec(),
        none,
        partial,
        node.input_schema(),
    )?;
    Ok(Some(Arc::new(last)))
}
