//! Reading segments: filters and expressions are computed where the rows are, only what is left of them goes on.

use super::condition::Conditions;
use super::estimate;
use super::leading::Leading;
use super::program::{Program, Programs, Selection};
use super::{Segment, plain};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream, apply_expression_roots,
};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The rows of segments that meet all conditions, as the values of expressions.
#[derive(Debug, Clone)]
pub struct SegmentScan {
    /// The columns of the table.
    table: SchemaRef,
    segments: Arc<Vec<Arc<dyn Segment>>>,
    /// Conditions over the columns of the table.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Conditions over the columns of the table that operators above learn while the query runs. They ask them too.
    learnt: Vec<Arc<dyn PhysicalExpr>>,
    /// Where only the first rows by a key are asked for.
    leading: Option<Leading>,
    /// What is given for each row, over the columns of the table.
    outputs: Vec<Output>,
    /// The fields of the outputs.
    schema: SchemaRef,
    /// At most so many rows of each partition are asked for.
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

#[derive(Debug, Clone)]
pub(super) struct Output {
    pub name: String,
    pub expression: Arc<dyn PhysicalExpr>,
}

impl SegmentScan {
    /// The rows of `segments`, columns of `table`, that meet the conditions; of each the columns at the places in
    /// `projection`. They come in at most `partitions` streams.
    pub fn new(
        table: &SchemaRef,
        segments: Vec<Arc<dyn Segment>>,
        projection: &[usize],
        filters: Vec<Arc<dyn PhysicalExpr>>,
        partitions: usize,
    ) -> Result<SegmentScan> {
        let column = |at: &usize| {
            let name = table.field(*at).name();
            Output { name: name.clone(), expression: Arc::new(Column::new(name, *at)) }
        };
        let partitions = partitions.min(segments.len()).max(1);
        let properties = properties(table.clone(), partitions);
        let scan = SegmentScan {
            table: table.clone(),
            segments: Arc::new(segments),
            filters,
            learnt: Vec::new(),
            leading: None,
            outputs: Vec::new(),
            schema: table.clone(),
            fetch: None,
            properties,
        };
        scan.with_outputs(projection.iter().map(column).collect())
    }

    /// The scan of so many of the segments that they have so many rows. Few segments are read in few streams: starting
    /// one takes longer than reading some rows.
    fn of_first_segments(self, rows: usize) -> SegmentScan {
        let mut missing = rows;
        let needed = self.segments.iter().take_while(|segment| {
            let is_needed = missing > 0;
            missing = missing.saturating_sub(segment.rows());
            is_needed
        });
        let segments: Vec<Arc<dyn Segment>> = needed.cloned().collect();
        let partitions = self.partitions().min(segments.len()).max(1);
        let partitioning = Partitioning::UnknownPartitioning(partitions);
        let properties = Arc::new(self.properties.as_ref().clone().with_partitioning(partitioning));
        SegmentScan { segments: Arc::new(segments), properties, ..self }
    }

    pub(super) fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn with_outputs(self, outputs: Vec<Output>) -> Result<SegmentScan> {
        let field = |output: &Output| {
            let of = output.expression.data_type(&self.table)?;
            Ok(Field::new(&output.name, of, output.expression.nullable(&self.table)?))
        };
        let schema = Arc::new(Schema::new(outputs.iter().map(field).collect::<Result<Vec<_>>>()?));
        let properties = properties(schema.clone(), self.partitions());
        Ok(SegmentScan { outputs, schema, properties, ..self })
    }

    /// What reads the outputs of this scan, in terms of the table's columns. `None` where that would compute something
    /// more often than now.
    pub(super) fn through(&self, expressions: &[&Arc<dyn PhysicalExpr>]) -> Result<Option<Vec<Arc<dyn PhysicalExpr>>>> {
        let mut uses = vec![0usize; self.outputs.len()];
        let mut is_taken = vec![false; self.outputs.len()];
        for expression in expressions {
            // What is taken as it is is computed once, however often.
            if let Some(column) = expression.downcast_ref::<Column>() {
                uses[column.index()] += usize::from(!std::mem::replace(&mut is_taken[column.index()], true));
                continue;
            }
            expression.apply(|node| {
                if let Some(column) = node.downcast_ref::<Column>() {
                    uses[column.index()] += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let is_costly = |output: &Output| output.expression.children().iter().any(|child| !child.children().is_empty());
        // What differs each time it is computed would be another in each place that it is put.
        let repeats =
            self.outputs.iter().zip(&uses).any(|(output, uses)| {
                (*uses > 0 && is_volatile(&output.expression)) || (*uses > 1 && is_costly(output))
            });
        if repeats {
            return Ok(None);
        }
        let outputs: Vec<Arc<dyn PhysicalExpr>> = self.outputs.iter().map(|o| o.expression.clone()).collect();
        let replaced = expressions.iter().map(|expression| over(expression, &outputs));
        replaced.collect::<Result<Option<Vec<_>>>>()
    }

    /// This scan with a condition on its outputs that an operator above is going to learn; `None` where it cannot be
    /// asked here.
    pub(super) fn learning(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<SegmentScan>> {
        let outputs: Vec<Arc<dyn PhysicalExpr>> = self.outputs.iter().map(|o| o.expression.clone()).collect();
        self.learning_of(condition, &outputs)
    }

    /// The same for a condition on `columns`, given over those of the table.
    pub(super) fn learning_of(
        &self,
        condition: &Arc<dyn PhysicalExpr>,
        columns: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Option<SegmentScan>> {
        // A limit counts rows that the condition would leave out.
        let condition = if self.fetch.is_some() { None } else { over(condition, columns)? };
        Ok(condition.filter(|condition| !is_volatile(condition)).map(|condition| {
            let mut learnt = self.learnt.clone();
            learnt.push(condition);
            SegmentScan { learnt, ..self.clone() }
        }))
    }

    /// This scan where only the first `rows` rows are asked for by a key, given over its outputs, and maybe others after
    /// it.
    pub(super) fn leading(
        &self,
        key: &Arc<dyn PhysicalExpr>,
        options: SortOptions,
        rows: usize,
    ) -> Result<Option<SegmentScan>> {
        if self.fetch.is_some() || self.leading.is_some() {
            return Ok(None);
        }
        let Some(key) = self.through(&[key])?.and_then(|mut keys| keys.pop()) else { return Ok(None) };
        let Some(leading) = Leading::new(key, options, rows, &self.table) else { return Ok(None) };
        let mut segments = self.segments.as_ref().clone();
        leading.sort(&mut segments);
        Ok(Some(SegmentScan { segments: Arc::new(segments), leading: Some(leading), ..self.clone() }))
    }

    /// This scan with other outputs, given over its present ones.
    pub(super) fn project(&self, outputs: &[(&Arc<dyn PhysicalExpr>, &str)]) -> Result<Option<SegmentScan>> {
        let expressions: Vec<_> = outputs.iter().map(|(expression, _)| *expression).collect();
        let Some(expressions) = self.through(&expressions)? else { return Ok(None) };
        let names = outputs.iter().map(|(_, name)| (*name).to_owned());
        let outputs = expressions.into_iter().zip(names).map(|(expression, name)| Output { name, expression });
        Ok(Some(self.clone().with_outputs(outputs.collect())?))
    }

    /// This scan with one more condition, given over its outputs.
    pub(super) fn filter(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<SegmentScan>> {
        if self.fetch.is_some() || self.leading.is_some() {
            return Ok(None);
        }
        let Some(mut conditions) = self.through(&[condition])? else { return Ok(None) };
        let mut filters = self.filters.clone();
        filters.append(&mut conditions);
        Ok(Some(SegmentScan { filters, ..self.clone() }))
    }

    /// This scan in the place of a node that was known to give its rows with such properties.
    pub(super) fn known_as(self, node: &dyn ExecutionPlan) -> SegmentScan {
        let known = node.properties().equivalence_properties().clone();
        let properties = Arc::new(self.properties.as_ref().clone().with_eq_properties(known));
        SegmentScan { properties, ..self }
    }

    pub(super) fn table(&self) -> &SchemaRef {
        &self.table
    }

    /// Whether not all rows that meet the conditions are given.
    pub(super) fn is_limited(&self) -> bool {
        self.fetch.is_some() || self.leading.is_some()
    }

    /// The conditions, those that are learnt too.
    pub(super) fn all_conditions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.filters.iter().chain(&self.learnt)
    }

    /// The conditions, ready to be asked.
    pub(super) fn conditions(&self) -> Result<Conditions> {
        Conditions::new(&self.filters, &self.learnt, &self.table)
    }

    /// The segments that one partition reads.
    pub(super) fn share(&self, partition: usize) -> Vec<Arc<dyn Segment>> {
        self.segments.iter().skip(partition).step_by(self.partitions()).cloned().collect()
    }
}

/// An expression over `columns`, put in the places of its own; `None` where it has others.
pub(super) fn over(
    expression: &Arc<dyn PhysicalExpr>,
    columns: &[Arc<dyn PhysicalExpr>],
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut is_known = true;
    let by_column = |node: Arc<dyn PhysicalExpr>| {
        Ok(match node.downcast_ref::<Column>().map(|column| columns.get(column.index())) {
            Some(Some(column)) => Transformed::yes(column.clone()),
            Some(None) => {
                is_known = false;
                Transformed::no(node)
            }
            None => Transformed::no(node),
        })
    };
    // From the top down would go on into what has been put in.
    let replaced = expression.clone().transform_up(by_column)?.data;
    Ok(is_known.then_some(replaced))
}

fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    let properties = PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative))
}

impl DisplayAs for SegmentScan {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentScan: segments={}", self.segments.len())?;
        let outputs: Vec<String> = self.outputs.iter().map(|o| format!("{} as {}", o.expression, o.name)).collect();
        write!(f, ", outputs=[{}]", outputs.join(", "))?;
        if !self.filters.is_empty() {
            let filters: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
            write!(f, ", filters=[{}]", filters.join(" AND "))?;
        }
        if !self.learnt.is_empty() {
            let learnt: Vec<String> = self.learnt.iter().map(ToString::to_string).collect();
            write!(f, ", learnt=[{}]", learnt.join(" AND "))?;
        }
        if let Some(leading) = &self.leading {
            write!(f, ", first={leading}")?;
        }
        self.fetch.map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
    }
}

impl ExecutionPlan for SegmentScan {
    fn name(&self) -> &str {
        "SegmentScan"
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
        apply_expression_roots(self.outputs.iter().map(|o| &o.expression).chain(self.all_conditions()), f)
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

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        if self.leading.is_some() {
            return None;
        }
        let scan = SegmentScan { fetch: limit, ..self.clone() };
        Some(Arc::new(match limit {
            Some(limit) if scan.all_conditions().next().is_none() => scan.of_first_segments(limit),
            _ => scan,
        }))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows = match arguments.partition() {
            Some(partition) => estimate::rows(self.share(partition).iter(), &self.filters),
            None => estimate::rows(self.segments.iter(), &self.filters),
        };
        let rows = self.fetch.map_or(rows, |fetch| rows.min(fetch.saturating_mul(self.partitions())));
        let num_rows = match self.all_conditions().next().is_none() && !self.is_limited() {
            true => Precision::Exact(rows),
            false => Precision::Inexact(rows),
        };
        Ok(Arc::new(Statistics { num_rows, ..Statistics::new_unknown(&self.schema) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let key = self.leading.as_ref().map(|leading| leading.program(&self.table)).transpose()?;
        let mut outputs = Programs::over(&self.table);
        let mut reader = Reader {
            segments: self.share(partition).into(),
            conditions: self.conditions()?,
            leading: key.zip(self.leading.clone()),
            places: self.outputs.iter().map(|o| outputs.add(&o.expression)).collect::<Result<_>>()?,
            outputs,
            schema: self.schema.clone(),
            left: self.fetch.unwrap_or(usize::MAX),
            batch_rows: context.session_config().batch_size(),
            ready: None,
        };
        let batches = futures::stream::iter(std::iter::from_fn(move || reader.next().transpose()));
        let stream = RecordBatchStreamAdapter::new(self.schema.clone(), batches);
        Ok(Box::pin(cooperative(stream)))
    }
}

/// The state of reading one partition.
struct Reader {
    segments: VecDeque<Arc<dyn Segment>>,
    conditions: Conditions,
    leading: Option<(Program, Leading)>,
    outputs: Programs,
    /// For each output its place among the programs.
    places: Vec<usize>,
    schema: SchemaRef,
    /// How many rows are still asked for.
    left: usize,
    batch_rows: usize,
    /// The rows of the present segment that have not been given yet.
    ready: Option<RecordBatch>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if let Some(batch) = self.ready.take() {
                let rows = batch.num_rows().min(self.batch_rows).min(self.left);
                if rows < batch.num_rows() {
                    self.ready = Some(batch.slice(rows, batch.num_rows() - rows));
                }
                self.left -= rows;
                return Ok(Some(batch.slice(0, rows)));
            }
            let Some(segment) = self.segments.pop_front() else { return Ok(None) };
            self.ready = self.read(segment.as_ref())?;
        }
    }

    fn read(&mut self, segment: &dyn Segment) -> Result<Option<RecordBatch>> {
        let mut selection = self.conditions.select(segment)?;
        if selection.count(segment) == 0 {
            return Ok(None);
        }
        if let Some((key, leading)) = &self.leading {
            selection = leading.select(key, segment, selection)?;
        }
        selection.truncate(self.left, segment);
        let values = self.outputs.evaluate(segment, &selection)?;
        let values = values.iter().map(plain).collect::<Result<Vec<_>>>()?;
        let arrays: Vec<ArrayRef> = self.places.iter().map(|place| values[*place].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(selection.count(segment)));
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?))
    }
}

impl Selection {
    /// Leaves out all but the first rows.
    fn truncate(&mut self, rows: usize, segment: &dyn Segment) {
        if rows >= self.count(segment) {
            return;
        }
        *self = match self {
            Selection::All => Selection::Rows((0..rows as u32).collect()),
            Selection::Rows(selected) => Selection::Rows(selected.slice(0, rows)),
        };
    }
}
