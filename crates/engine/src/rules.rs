//! Which of DataFusion's rules a plan is planned with.
//!
//! When an answer is short, planning takes longer than computing it, and most rules are about operators that most plans
//! do not have. A plan is planned with the rules that can do something to it. What the others are about is listed by name,
//! so that a rule which a newer DataFusion brings is used for every plan until somebody has looked at it.

use crate::columnar::{TellScans, UseSegments};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{FetchType, LogicalPlan, SkipType};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use std::sync::{Arc, LazyLock, OnceLock};

type LogicalRules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;
type PhysicalRules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// What the binder never makes: it runs subqueries by itself.
    Subqueries,
    /// What the session has switched off.
    Nothing,
    Joins,
    Unions,
    /// Grouping, and what removes duplicates.
    Groups,
    Windows,
}

/// What each of these rules is about. All others are about expressions, filters, projections, limits and sorts, which any
/// plan may have.
const ABOUT: &[(&str, About)] = &[
    ("rewrite_set_comparison", About::Subqueries),
    ("decorrelate_predicate_subquery", About::Subqueries),
    ("scalar_subquery_to_join", About::Subqueries),
    ("decorrelate_lateral_join", About::Subqueries),
    ("extract_leaf_expressions", About::Nothing),
    ("push_down_leaf_projections", About::Nothing),
    ("optimize_unions", About::Unions),
    ("unions_to_filter", About::Unions),
    ("eliminate_join", About::Joins),
    ("extract_equijoin_predicate", About::Joins),
    ("eliminate_cross_join", About::Joins),
    ("filter_null_join_keys", About::Joins),
    ("eliminate_outer_join", About::Joins),
    ("join_selection", About::Joins),
    ("HashJoinBuffering", About::Joins),
    ("replace_distinct_aggregate", About::Groups),
    ("single_distinct_aggregation_to_group_by", About::Groups),
    ("eliminate_group_by_constant", About::Groups),
    ("aggregate_statistics", About::Groups),
    ("LimitedDistinctAggregation", About::Groups),
    ("CombinePartialFinalAggregate", About::Groups),
    ("OptimizeAggregateOrder", About::Groups),
    ("LimitAggregation", About::Groups),
    ("WindowTopN", About::Windows),
    ("LimitPushPastWindows", About::Windows),
];

/// A limit up to this is soon reached by one reader: others would be started for nothing.
const FEW_ROWS: usize = 1000;

/// The rules for plans of a shape.
#[derive(Clone)]
pub(crate) struct Rules {
    pub logical: LogicalRules,
    pub physical: PhysicalRules,
}

/// DataFusion's rule by which operators tell the scans below them what they learn, which [`TellScans`] stands for.
const TELLS_BY_NAME: &str = "FilterPushdown(Post)";

static ALL: LazyLock<Rules> = LazyLock::new(|| {
    let mut physical = PhysicalOptimizer::new().rules;
    physical.retain(|rule| rule.name() != TELLS_BY_NAME);
    physical.push(Arc::new(UseSegments));
    physical.push(Arc::new(TellScans));
    Rules { logical: Optimizer::new().rules, physical }
});

/// What a plan is made of, as far as planning it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    has_joins: bool,
    has_unions: bool,
    has_groups: bool,
    has_windows: bool,
    /// Nodes of our own or of kinds that are not looked at here: they may become anything.
    has_others: bool,
    /// Whether all that is asked of one table are a few rows, whichever come first.
    reads_few_rows: bool,
}

impl Shape {
    pub fn of(plan: &LogicalPlan) -> Shape {
        let mut shape = Shape::default();
        let (mut is_selective, mut fetched) = (false, None);
        // The visitor gives no errors.
        let _ = plan.apply(|node| {
            match node {
                LogicalPlan::Projection(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::EmptyRelation(_)
                | LogicalPlan::Values(_) => {}
                LogicalPlan::TableScan(scan) => is_selective |= scan.source.table_type() != TableType::Base,
                LogicalPlan::Filter(_) | LogicalPlan::Sort(_) => is_selective = true,
                LogicalPlan::Limit(limit) => {
                    let skip = limit.get_skip_type().ok();
                    if let (Some(SkipType::Literal(0)), Ok(FetchType::Literal(Some(rows)))) =
                        (skip, limit.get_fetch_type())
                    {
                        fetched = Some(fetched.map_or(rows, |known: usize| known.min(rows)));
                    }
                }
                LogicalPlan::Join(_) => shape.has_joins = true,
                LogicalPlan::Union(_) => shape.has_unions = true,
                LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => shape.has_groups = true,
                LogicalPlan::Window(_) => shape.has_windows = true,
                _ => shape.has_others = true,
            }
            Ok(TreeNodeRecursion::Continue)
        });
        let is_straight =
            !(shape.has_joins || shape.has_unions || shape.has_groups || shape.has_windows || shape.has_others);
        shape.reads_few_rows = is_straight && !is_selective && fetched.is_some_and(|rows| rows <= FEW_ROWS);
        shape
    }

    /// Whether a rule can do something to plans of this shape.
    fn is_served_by(self, rule: &str) -> bool {
        let about = ABOUT.iter().find(|(name, _)| *name == rule).map(|(_, about)| *about);
        match about {
            None => true,
            Some(About::Subqueries | About::Nothing) => false,
            Some(About::Joins) => self.has_joins || self.has_others,
            Some(About::Unions) => self.has_unions || self.has_others,
            Some(About::Groups) => self.has_groups || self.has_others,
            Some(About::Windows) => self.has_windows || self.has_others,
        }
    }

    /// The rules that plans of this shape are planned with, in DataFusion's order.
    pub fn rules(self) -> &'static Rules {
        /// A list for every combination of what a plan may have.
        static KNOWN: [OnceLock<Rules>; 32] = [const { OnceLock::new() }; 32];
        let flags = [self.has_joins, self.has_unions, self.has_groups, self.has_windows, self.has_others];
        let place = flags.iter().fold(0, |place, flag| place << 1 | usize::from(*flag));
        KNOWN[place].get_or_init(|| {
            let mut rules = ALL.clone();
            rules.logical.retain(|rule| self.is_served_by(rule.name()));
            rules.physical.retain(|rule| self.is_served_by(rule.name()));
            rules
        })
    }

    /// How many streams a plan of this shape is worth spreading over.
    pub fn parallelism(self, available: usize) -> usize {
        if self.reads_few_rows { 1 } else { available }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};
    use std::collections::BTreeSet;

    #[test]
    fn rules_are_known_by_the_names_that_stand_here() {
        let logical = ALL.logical.iter().map(|rule| rule.name().to_owned());
        let physical = ALL.physical.iter().map(|rule| rule.name().to_owned());
        let all: BTreeSet<String> = logical.chain(physical).collect();
        for (name, _) in ABOUT {
            assert!(all.contains(*name), "there is no rule '{name}' any more");
        }
        let own = PhysicalOptimizer::new().rules;
        assert!(own.iter().any(|rule| rule.name() == TELLS_BY_NAME) && !all.contains(TELLS_BY_NAME));
    }

    #[test]
    fn a_plan_gets_the_rules_for_what_it_has() {
        let has = |shape: Shape, name: &str| {
            let rules = shape.rules();
            rules.logical.iter().any(|rule| rule.name() == name)
                || rules.physical.iter().any(|rule| rule.name() == name)
        };
        let straight = Shape::default();
        assert!(has(straight, "push_down_filter") && has(straight, "EnsureRequirements"));
        assert!(!has(straight, "join_selection") && !has(straight, "CombinePartialFinalAggregate"));
        let joins = Shape { has_joins: true, ..straight };
        assert!(has(joins, "join_selection") && !has(joins, "CombinePartialFinalAggregate"));
        let others = Shape { has_others: true, ..straight };
        assert!(has(others, "join_selection") && has(others, "CombinePartialFinalAggregate"));
    }

    #[test]
    fn a_few_rows_of_one_table_are_read_by_one() {
        let rows = || LogicalPlanBuilder::values(vec![vec![lit(1)]]).expect("rows");
        let shape = |plan: LogicalPlanBuilder| Shape::of(&plan.build().expect("a plan"));
        let few = shape(rows().limit(0, Some(3)).expect("a limit"));
        assert!(few.reads_few_rows);
        assert_eq!((few.parallelism(8), Shape::default().parallelism(8)), (1, 8));
        for other in [
            rows().limit(0, Some(FEW_ROWS + 1)).expect("a limit"),
            rows().limit(1, Some(3)).expect("a limit"),
            rows().filter(lit(true)).expect("a filter").limit(0, Some(3)).expect("a limit"),
            rows().distinct().expect("distinct").limit(0, Some(3)).expect("a limit"),
            rows(),
        ] {
            assert!(!shape(other).reads_few_rows);
        }
    }
}
