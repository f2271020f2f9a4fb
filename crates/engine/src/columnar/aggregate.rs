//! Grouping the rows of segments, and the aggregates of the groups, as far as each partition can tell: the first of two
//! steps, whose result the second, DataFusion's own, puts together.

use super::best::{BestRows, Found};
use super::condition::Conditions;
use super::groups::Groups;
use super::program::{Programs, Selection, truths};
use super::scan::SegmentScan;
use super::{Segment, plain};
use crate::aggregates::{takes_dictionaries, wants_largest};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::take;
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
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// The states of aggregates over the rows of a scan, group by group.
#[derive(Debug, Clone)]
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

    /// The same with a condition on its rows that an operator above is going to learn, where it is one on the keys: groups
    /// that nothing has a use for are not made. `None` where it is not.
    pub fn learning(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<SegmentAggregate>> {
        if self.keys.is_empty() {
            // Of no rows there is a group all the same.
            return Ok(None);
        }
        let scan = self.scan.learning_of(condition, &self.keys)?;
        Ok(scan.map(|scan| SegmentAggregate { scan, ..self.clone() }))
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
        apply_expression_roots(self.keys.iter().chain(of_aggregates).chain(self.scan.all_conditions()), f)
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
        let run = Run {
            state: State::new(self, &context)?,
            segments: self.scan.share(partition),
            next: 0,
            is_done: false,
            states: None,
        };
        let batches = futures::stream::try_unfold(run, Run::step);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.boxed())))
    }
}

/// The grouping of one partition: segment after segment, and then, or when there are too many, the states of the groups.
struct Run {
    state: State,
    segments: Vec<Arc<dyn Segment>>,
    /// The segment that comes next.
    next: usize,
    is_done: bool,
    /// States that are to be given before anything else.
    states: Option<States>,
}

impl Run {
    async fn step(mut self) -> Result<Option<(RecordBatch, Run)>> {
        loop {
            if let Some(states) = &mut self.states {
                if let Some(batch) = states.next(&self.state, &self.segments)? {
                    return Ok(Some((batch, self)));
                }
                self.states = None;
            }
            if self.is_done {
                return Ok(None);
            }
            match self.segments.get(self.next) {
                Some(segment) => {
                    self.state.update(self.next, segment.as_ref())?;
                    self.next += 1;
                    if !self.state.fits() {
                        self.states = self.state.take()?;
                    }
                }
                None => {
                    self.is_done = true;
                    self.states = self.state.take()?;
                }
            }
            // Others may run, and a query that nobody waits for any more ends here.
            tokio::task::yield_now().await;
        }
    }
}

/// What one partition knows of the groups.
struct State {
    conditions: Conditions,
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
    of: Accumulator,
    /// The place of the condition among the programs.
    condition: Option<usize>,
}

enum Accumulator {
    /// Of the values of all rows.
    Values {
        accumulator: Box<dyn GroupsAccumulator>,
        /// The places of the arguments among the programs.
        arguments: Vec<usize>,
        takes_dictionaries: bool,
    },
    /// Of the best row of each group; `key` is the place of the key among the programs.
    Best { rows: BestRows, key: usize },
}

impl Accumulated {
    fn new(aggregate: &Aggregate, programs: &mut Programs, table: &SchemaRef) -> Result<Accumulated> {
        let condition = aggregate.condition.as_ref().map(|c| programs.add(c)).transpose()?;
        let function = aggregate.function.clone();
        if let (Some(largest), Some((key, others))) = (wants_largest(function.fun()), aggregate.arguments.split_first())
        {
            let of = key.data_type(table)?;
            if BestRows::can_compare(&of) {
                let mut given = Programs::over(table);
                let places = others.iter().map(|other| given.add(other)).collect::<Result<_>>()?;
                let rows = BestRows::new(&of, largest, given, places);
                return Ok(Accumulated { of: Accumulator::Best { rows, key: programs.add(key)? }, condition });
            }
        }
        let of = Accumulator::Values {
            takes_dictionaries: takes_dictionaries(function.fun()),
            accumulator: match function.groups_accumulator_supported() {
                true => function.create_groups_accumulator()?,
                false => Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())),
            },
            arguments: aggregate.arguments.iter().map(|a| programs.add(a)).collect::<Result<_>>()?,
        };
        Ok(Accumulated { of, condition })
    }

    fn size(&self) -> usize {
        match &self.of {
            Accumulator::Values { accumulator, .. } => accumulator.size(),
            Accumulator::Best { rows, .. } => rows.size(),
        }
    }
}

impl State {
    fn new(plan: &SegmentAggregate, context: &TaskContext) -> Result<State> {
        let table = plan.scan.table();
        let mut programs = Programs::over(table);
        let keys = plan.keys.iter().map(|key| programs.add(key)).collect::<Result<Vec<_>>>()?;
        let types = plan.schema.fields()[..keys.len()].iter().map(|field| field.data_type().clone());
        let groups = Groups::new(&types.collect::<Vec<DataType>>());
        let accumulated = |aggregate| Accumulated::new(aggregate, &mut programs, table);
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

    fn update(&mut self, number: usize, segment: &dyn Segment) -> Result<()> {
        let selection: Selection = self.conditions.select(segment)?;
        let rows = selection.count(segment);
        if rows == 0 {
            return Ok(());
        }
        let values = self.programs.evaluate(segment, &selection)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| values[*key].clone()).collect();
        self.groups.assign(&keys, rows, &mut self.assigned)?;
        let groups = self.groups.len();
        for Accumulated { of, condition } in &mut self.accumulators {
            let condition = condition.map(|place| truths(&values[place])).transpose()?;
            match of {
                Accumulator::Values { accumulator, arguments, takes_dictionaries } => {
                    let argument = |place: &usize| match *takes_dictionaries {
                        true => Ok(values[*place].clone()),
                        false => plain(&values[*place]),
                    };
                    let arguments = arguments.iter().map(argument).collect::<Result<Vec<_>>>()?;
                    accumulator.update_batch(&arguments, &self.assigned, condition.as_ref(), groups)?;
                }
                Accumulator::Best { rows, key } => {
                    rows.resize(groups);
                    rows.update(number, &selection, &values[*key], &self.assigned, condition.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Whether what is known is within the memory of the query.
    fn fits(&mut self) -> bool {
        let accumulators: usize = self.accumulators.iter().map(Accumulated::size).sum();
        self.memory.try_resize(accumulators + self.groups.size()).is_ok()
    }

    /// The groups met so far and their states, which are forgotten. Without keys there is one group, of no rows even.
    fn take(&mut self) -> Result<Option<States>> {
        let groups = self.groups.len();
        if groups == 0 {
            return Ok(None);
        }
        // Whoever takes the states counts them from here on.
        self.memory.free();
        let mut order = None;
        let keys = self.groups.take_keys()?;
        let mut columns: Vec<Columns> = keys.into_iter().map(Columns::Known).collect();
        for (number, Accumulated { of, .. }) in self.accumulators.iter_mut().enumerate() {
            match of {
                Accumulator::Values { accumulator, arguments, .. } => {
                    if self.keys.is_empty() {
                        // An accumulator that has seen no row does not know of the group.
                        let none: Vec<ArrayRef> =
                            arguments.iter().map(|a| self.programs.empty(*a)).collect::<Result<_>>()?;
                        accumulator.update_batch(&none, &[], None, 1)?;
                    }
                    columns.extend(accumulator.state(EmitTo::All)?.into_iter().map(Columns::Known));
                }
                Accumulator::Best { rows, .. } => {
                    rows.resize(groups);
                    order.get_or_insert_with(|| rows.order());
                    let (keys, found) = rows.keys();
                    columns.push(Columns::Known(keys));
                    columns.push(Columns::Of { accumulator: number, found });
                }
            }
        }
        Ok(Some(States { columns, order, groups, given: 0 }))
    }
}

/// The states of groups that are to be given, batch by batch.
struct States {
    columns: Vec<Columns>,
    /// The groups in the order in which they are given, where that is not that of their numbers.
    order: Option<Vec<u32>>,
    groups: usize,
    /// How many have been given.
    given: usize,
}

enum Columns {
    Known(ArrayRef),
    /// Those that are still to be read of the best rows of an accumulator.
    Of {
        accumulator: usize,
        found: Found,
    },
}

impl States {
    fn next(&mut self, state: &State, segments: &[Arc<dyn Segment>]) -> Result<Option<RecordBatch>> {
        let rows = state.batch_rows.min(self.groups - self.given);
        if rows == 0 {
            return Ok(None);
        }
        let start = self.given;
        self.given += rows;
        let chosen: UInt32Array = match &self.order {
            Some(order) => order[start..self.given].iter().copied().collect(),
            None => (start as u32..self.given as u32).collect(),
        };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(state.schema.fields().len());
        for columns in &self.columns {
            match columns {
                Columns::Known(all) if self.order.is_none() => arrays.push(all.slice(start, rows)),
                Columns::Known(all) => arrays.push(take(all, &chosen, None)?),
                Columns::Of { accumulator, found } => {
                    if let Accumulator::Best { rows, .. } = &state.accumulators[*accumulator].of {
                        arrays.append(&mut rows.others(found, chosen.values(), segments)?);
                    }
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(state.schema.clone(), arrays, &options)?))
    }
}
