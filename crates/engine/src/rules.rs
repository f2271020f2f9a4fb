//! Which of DataFusion's rules a plan is planned with.
//!
//! When an answer is short, planning takes longer than computing it, and most rules are about operators that most plans
//! do not have. A straight plan, one table with projections, filters, limits and sorts over it, is planned with the rules
//! that can do something to it. Those that cannot are listed by name, so that a rule which a newer DataFusion brings is
//! used for every plan until somebody has looked at it.

use crate::columnar::UseSegments;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{FetchType, LogicalPlan, SkipType};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use std::sync::{Arc, LazyLock};

type LogicalRules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;
type PhysicalRules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// Rules about subqueries, joins, unions, aggregates and windows, which a straight plan has none of.
const NOT_FOR_STRAIGHT_PLANS: &[&str] = &[
    "rewrite_set_comparison",
    "optimize_unions",
    "unions_to_filter",
    "replace_distinct_aggregate",
    "eliminate_join",
    "decorrelate_predicate_subquery",
    "scalar_subquery_to_join",
    "decorrelate_lateral_join",
    "extract_equijoin_predicate",
    "eliminate_cross_join",
    "filter_null_join_keys",
    "eliminate_outer_join",
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
    "aggregate_statistics",
    "join_selection",
    "LimitedDistinctAggregation",
    "WindowTopN",
    "CombinePartialFinalAggregate",
    "OptimizeAggregateOrder",
    "LimitAggregation",
    "LimitPushPastWindows",
    "HashJoinBuffering",
    "TopKRepartition",
];

/// A limit up to this is soon reached by one reader: others would be started for nothing.
const FEW_ROWS: usize = 1000;

/// The rules for plans of a shape.
#[derive(Clone)]
pub(crate) struct Rules {
    pub logical: LogicalRules,
    pub physical: PhysicalRules,
}

static ALL: LazyLock<Rules> = LazyLock::new(|| {
    let mut physical = PhysicalOptimizer::new().rules;
    physical.push(Arc::new(UseSegments));
    Rules { logical: Optimizer::new().rules, physical }
});

static FOR_STRAIGHT_PLANS: LazyLock<Rules> = LazyLock::new(|| {
    let is_of_use = |name: &str| !NOT_FOR_STRAIGHT_PLANS.contains(&name);
    let mut rules = ALL.clone();
    rules.logical.retain(|rule| is_of_use(rule.name()));
    rules.physical.retain(|rule| is_of_use(rule.name()));
    rules
});

/// What a plan is made of, as far as planning it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One table with projections, filters, limits and sorts over it.
    Straight {
        /// Whether all that is asked of the table are a few rows, whichever come first.
        reads_few_rows: bool,
    },
    Other,
}

impl Shape {
    pub fn of(plan: &LogicalPlan) -> Shape {
        let (mut is_straight, mut is_selective, mut fetched) = (true, false, None);
        // The visitor gives no errors.
        let _ = plan.apply(|node| {
            match node {
                LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::TableScan(_) => {}
                LogicalPlan::Filter(_) | LogicalPlan::Sort(_) => is_selective = true,
                LogicalPlan::Limit(limit) => {
                    let skip = limit.get_skip_type().ok();
                    if let (Some(SkipType::Literal(0)), Ok(FetchType::Literal(Some(rows)))) =
                        (skip, limit.get_fetch_type())
                    {
                        fetched = Some(fetched.map_or(rows, |known: usize| known.min(rows)));
                    }
                }
                _ => is_straight = false,
            }
            Ok(if is_straight { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        match is_straight {
            true => Shape::Straight { reads_few_rows: !is_selective && fetched.is_some_and(|rows| rows <= FEW_ROWS) },
            false => Shape::Other,
        }
    }

    pub fn rules(self) -> &'static Rules {
        match self {
            Shape::Straight { .. } => &FOR_STRAIGHT_PLANS,
            Shape::Other => &ALL,
        }
    }

    /// How many streams a plan of this shape is worth spreading over.
    pub fn parallelism(self, available: usize) -> usize {
        match self {
            Shape::Straight { reads_few_rows: true } => 1,
            _ => available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rules_that_are_left_out_are_known_by_these_names() {
        let logical = ALL.logical.iter().map(|rule| rule.name().to_owned());
        let physical = ALL.physical.iter().map(|rule| rule.name().to_owned());
        let all: BTreeSet<String> = logical.chain(physical).collect();
        for name in NOT_FOR_STRAIGHT_PLANS {
            assert!(all.contains(*name), "there is no rule '{name}' any more");
        }
        assert!(FOR_STRAIGHT_PLANS.logical.len() < ALL.logical.len());
    }
}
