//! Grouping the rows of segments, and the aggregates of the groups, as far as each partition can tell: the first of two
//! steps, whose result the second, DataFusion's own, puts together.

use super::condition::{Condition, select};
use super::groups::Groups;
use super::program::{Programs, Selection, truths};
use super::scan::SegmentScan;
use super::{Segment, plain};
use crate::aggregates::takes_dictionaries;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream, apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// The states of aggregates over the rows of a scan, group by group.
#[derive(Debug)]
pub(super) struct SegmentAggregate {
    scan: SegmentScan,
    /// What is grouped by, over the columns of the table.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Aggregate>,
    /// The keys, and behind them the states of the aggregates.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

/// An aggregate, with its arguments and its condition over the columns of the table.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub function: Arc<AggregateFunctionExpr>,
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub condition: Option<Arc<dyn PhysicalExpr>>,
}

impl SegmentAggregate {
    /// The first step of grouping, in the place of `node`, which takes it over the rows of a scan.
    pub fn new(
        scan: SegmentScan,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        aggregates: Vec<Aggregate>,
        node: &AggregateExec,
    ) -> SegmentAggregate {
        let schema = node.schema();
        let properties = PlanProperties::new(
            node.properties().equivalence_properties().clone(),
            Partitioning::UnknownPartitioning(scan.partitions()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        SegmentAggregate { scan, keys, aggregates, schema, properties }
    }
}

impl DisplayAs for SegmentAggregate {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|a| a.function.name()).collect();
        write!(f, "SegmentAggregate: by=[{}], aggregates=[{}], over ", keys.join(", "), aggregates.join(", "))?;
        self.scan.fmt_as(format, f)
    }
}

impl ExecutionPlan for SegmentAggregate {
    fn name(&self) -> &str {
        "SegmentAggregate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let of_aggregates = self.aggregates.iter().flat_map(|a| a.arguments.iter().chain(&a.condition));
        apply_expression_roots(self.keys.iter().chain(of_aggregates).chain(self.scan.filters()), f)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut state = State::new(self, &context)?;
        let segments = self.scan.share(partition);
        let batches = async move {
            let mut batches = Vec::new();
            for segment in segments {
                state.update(segment.as_ref())?;
                if !state.fits() {
                    batches.append(&mut state.emit()?);
                }
                // Others may run, and a query that nobody waits for any more ends here.
                tokio::task::yield_now().await;
            }
            batches.append(&mut state.emit()?);
            Ok::<_, datafusion::common::DataFusionError>(futures::stream::iter(batches.into_iter().map(Ok)))
        };
        let stream = futures::stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream.boxed())))
    }
}

/// What one partition knows of the groups.
struct State {
    conditions: Vec<Condition>,
    /// What is computed for each row.
    programs: Programs,
    /// The places of the keys among the programs.
    keys: Vec<usize>,
    accumulators: Vec<Accumulated>,
    groups: Groups,
    /// Scratch: the group of each row.
    assigned: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    memory: MemoryReservation,
}

struct Accumulated {
    accumulator: Box<dyn GroupsAccumulator>,
    /// The places of the arguments and the condition among the programs.
    arguments: Vec<usize>,
    condition: Option<usize>,
    takes_dictionaries: bool,
}

impl State {
    fn new(plan: &SegmentAggregate, context: &TaskContext) -> Result<State> {
        let mut programs = Programs::over(plan.scan.table());
        let keys = plan.keys.iter().map(|key| programs.add(key)).collect::<Result<Vec<_>>>()?;
        let types = plan.schema.fields()[..keys.len()].iter().map(|field| field.data_type().clone());
        let groups = Groups::new(&types.collect::<Vec<DataType>>());
        let accumulated = |aggregate: &Aggregate| {
            let function = aggregate.function.clone();
            Ok(Accumulated {
                takes_dictionaries: takes_dictionaries(function.fun()),
                accumulator: match function.groups_accumulator_supported() {
                    true => function.create_groups_accumulator()?,
                    false => Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())),
                },
                arguments: aggregate.arguments.iter().map(|a| programs.add(a)).collect::<Result<_>>()?,
                condition: aggregate.condition.as_ref().map(|c| programs.add(c)).transpose()?,
            })
        };
        let accumulators = plan.aggregates.iter().map(accumulated).collect::<Result<Vec<_>>>()?;
        Ok(State {
            conditions: plan.scan.conditions()?,
            programs,
            keys,
            accumulators,
            groups,
            assigned: Vec::new(),
            schema: plan.schema.clone(),
            batch_rows: context.session_config().batch_size(),
            memory: MemoryConsumer::new("SegmentAggregate").register(context.memory_pool()),
        })
    }

    fn update(&mut self, segment: &dyn Segment) -> Result<()> {
        let selection: Selection = select(&self.conditions, segment)?;
        let rows = selection.count(segment);
        if rows == 0 {
            return Ok(());
        }
        let values = self.programs.evaluate(segment, &selection)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| values[*key].clone()).collect();
        self.groups.assign(&keys, rows, &mut self.assigned)?;
        let groups = self.groups.len();
        for accumulated in &mut self.accumulators {
            let argument = |place: &usize| match accumulated.takes_dictionaries {
                true => Ok(values[*place].clone()),
                false => plain(&values[*place]),
            };
            let arguments = accumulated.arguments.iter().map(argument).collect::<Result<Vec<_>>>()?;
            let condition = accumulated.condition.map(|place| truths(&values[place])).transpose()?;
            accumulated.accumulator.update_batch(&arguments, &self.assigned, condition.as_ref(), groups)?;
        }
        Ok(())
    }

    /// Whether what is known is within the memory of the query.
    fn fits(&mut self) -> bool {
        let accumulators: usize = self.accumulators.iter().map(|a| a.accumulator.size()).sum();
        self.memory.try_resize(accumulators + self.groups.size()).is_ok()
    }

    /// The groups met so far and their states, which are forgotten. Without keys there is one group, of no rows even.
    fn emit(&mut self) -> Result<Vec<RecordBatch>> {
        let groups = self.groups.len();
        if groups == 0 {
            return Ok(Vec::new());
        }
        let mut columns = self.groups.take_keys()?;
        for accumulated in &mut self.accumulators {
            if self.keys.is_empty() {
                // An accumulator that has seen no row does not know of the group.
                let none: Vec<ArrayRef> =
                    accumulated.arguments.iter().map(|a| self.programs.empty(*a)).collect::<Result<_>>()?;
                accumulated.accumulator.update_batch(&none, &[], None, 1)?;
            }
            columns.append(&mut accumulated.accumulator.state(EmitTo::All)?);
        }
        self.memory.free();
        let options = RecordBatchOptions::new().with_row_count(Some(groups));
        let all = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let starts = (0..groups).step_by(self.batch_rows);
        Ok(starts.map(|start| all.slice(start, self.batch_rows.min(groups - start))).collect())
    }
}
