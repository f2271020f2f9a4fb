//! Expressions over segments: what of them can be asked of a dictionary's values is asked there.

use super::{Segment, Source, encoded, is_dictionary, plain};
use crate::functions::Kernel;
use crate::functions::conversion::PARSE_JSON;
use crate::functions::dynamic::{PATH, members};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNullExpr, Literal};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// Which rows of a segment an operator works on.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    All,
    Rows(UInt32Array),
}

impl Selection {
    /// No rows.
    pub fn none() -> Selection {
        Selection::Rows(UInt32Array::from(Vec::<u32>::new()))
    }

    /// The number of rows.
    pub fn count(&self, segment: &dyn Segment) -> usize {
        self.len_of(segment.rows())
    }

    /// The values of the rows.
    fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let Selection::Rows(rows) = self else { return Ok(array.clone()) };
        match array.as_any_dictionary_opt() {
            // The values stay as they are; a general `take` would do as much, and check it.
            Some(dictionary) => over(dictionary.values(), take(dictionary.keys(), rows, None)?),
            None => Ok(take(array, rows, None)?),
        }
    }

    /// Those of the rows for which `keeps` is true.
    pub fn filtered(&self, keeps: &BooleanArray) -> Selection {
        let is_true = match keeps.nulls() {
            Some(nulls) => keeps.values() & nulls.inner(),
            None => keeps.values().clone(),
        };
        match self {
            _ if is_true.count_set_bits() == is_true.len() => self.clone(),
            Selection::All => Selection::Rows(is_true.set_indices_u32().collect()),
            Selection::Rows(rows) => Selection::Rows(is_true.set_indices().map(|i| rows.value(i)).collect()),
        }
    }

    /// Those of the rows whose value is one of those that are true; `keys` are the places of the values of all rows.
    fn filtered_by(self, keys: &UInt32Array, truths: &[bool]) -> Selection {
        match truths.iter().filter(|truth| **truth).count() {
            0 => return Selection::none(),
            n if n == truths.len() => return self,
            _ => {}
        }
        let keys = keys.values();
        // Written without a branch: which rows are kept cannot be foreseen.
        let mut kept = vec![0u32; self.len_of(keys.len())];
        let mut count = 0;
        let mut keep = |row: u32| {
            kept[count] = row;
            count += usize::from(truths[keys[row as usize] as usize]);
        };
        match &self {
            Selection::All => (0..keys.len() as u32).for_each(&mut keep),
            Selection::Rows(rows) => rows.values().iter().for_each(|row| keep(*row)),
        }
        if count == kept.len() {
            return self;
        }
        kept.truncate(count);
        Selection::Rows(UInt32Array::from(kept))
    }

    /// The number of rows, of so many in all.
    fn len_of(&self, all: usize) -> usize {
        match self {
            Selection::All => all,
            Selection::Rows(rows) => rows.len(),
        }
    }
}

fn over(values: &ArrayRef, keys: ArrayRef) -> Result<ArrayRef> {
    let keys = keys.as_primitive::<UInt32Type>().clone();
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(keys, values.clone())?))
}

/// An expression, ready to be asked of segments.
#[derive(Debug, Clone)]
pub(super) struct Program {
    inputs: Vec<Input>,
    /// What is computed of the inputs, as columns in their order.
    rest: Arc<dyn PhysicalExpr>,
    /// The whole over the columns of the table, for what fails on values that no row asks for.
    whole: Arc<dyn PhysicalExpr>,
    table: SchemaRef,
    /// Whether what is computed of dictionaries is kept for queries to come.
    is_kept: bool,
}

/// A part of an expression that reads one source alone.
#[derive(Debug, Clone)]
struct Input {
    source: Source,
    /// What is computed of the source, which is its only column; `None` for the source itself.
    expression: Option<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
}

enum Lowered {
    /// Reads nothing.
    Constant(Arc<dyn PhysicalExpr>),
    /// Reads one source, as its only column.
    Of(Source, Arc<dyn PhysicalExpr>),
    /// Reads the program's inputs.
    Mixed(Arc<dyn PhysicalExpr>),
}

impl Program {
    /// An expression over the columns of a table.
    pub fn new(expression: &Arc<dyn PhysicalExpr>, table: &SchemaRef) -> Result<Program> {
        let rest = Arc::new(Literal::new(ScalarValue::Null));
        let (whole, table) = (expression.clone(), table.clone());
        let mut program = Program { inputs: Vec::new(), rest, whole, table, is_kept: true };
        let lowered = program.lower(expression)?;
        program.rest = program.mixed(lowered)?;
        Ok(program)
    }

    /// The same for an expression that no other query will have.
    pub fn of_this_query(expression: &Arc<dyn PhysicalExpr>, table: &SchemaRef) -> Result<Program> {
        Ok(Program { is_kept: false, ..Program::new(expression, table)? })
    }

    /// The type of the value.
    pub fn data_type(&self) -> Result<DataType> {
        self.whole.data_type(&self.table)
    }

    /// How much it costs to ask, for an order among filters.
    pub fn cost(&self) -> usize {
        let of = |input: &Input| match (&input.source, &input.data_type) {
            (Source::Column(_), _) if self.inputs.len() == 1 && !is_text(&self.table, &input.source) => 0,
            (Source::Column(_), _) => 1,
            (Source::Member { .. }, _) => 2,
        };
        self.inputs.iter().map(|input| of(input) + 1).sum()
    }

    fn lower(&mut self, expression: &Arc<dyn PhysicalExpr>) -> Result<Lowered> {
        if let Some(source) = source(expression) {
            return Ok(Lowered::Of(source, only_column()));
        }
        let children = expression.children();
        if children.is_empty() {
            return Ok(match expression.is_volatile_node() {
                true => Lowered::Mixed(expression.clone()),
                false => Lowered::Constant(expression.clone()),
            });
        }
        let lowered = children.into_iter().map(|child| self.lower(child)).collect::<Result<Vec<_>>>()?;
        let mut single: Option<&Source> = None;
        let is_of_one = !expression.is_volatile_node()
            && lowered.iter().all(|child| match child {
                Lowered::Constant(_) => true,
                Lowered::Of(source, _) => *single.get_or_insert(source) == source,
                Lowered::Mixed(_) => false,
            });
        match single.cloned().filter(|_| is_of_one) {
            Some(source) => {
                let children = lowered.into_iter().map(|child| match child {
                    Lowered::Constant(child) | Lowered::Of(_, child) | Lowered::Mixed(child) => child,
                });
                Ok(Lowered::Of(source, expression.clone().with_new_children(children.collect())?))
            }
            None if is_of_one => Ok(Lowered::Constant(expression.clone())),
            None => {
                let children = lowered.into_iter().map(|child| self.mixed(child)).collect::<Result<Vec<_>>>()?;
                Ok(Lowered::Mixed(expression.clone().with_new_children(children)?))
            }
        }
    }

    /// A part as an expression over the program's inputs.
    fn mixed(&mut self, lowered: Lowered) -> Result<Arc<dyn PhysicalExpr>> {
        let (source, expression) = match lowered {
            Lowered::Constant(expression) | Lowered::Mixed(expression) => return Ok(expression),
            Lowered::Of(source, expression) => (source, expression),
        };
        let source_type = match &source {
            Source::Column(column) => self.table.field(*column).data_type().clone(),
            Source::Member { .. } => DataType::Utf8View,
        };
        let data_type = expression.data_type(&one_column(source_type))?;
        let expression = (!expression.is::<Column>()).then_some(expression);
        let same = |input: &Input| input.source == source && input.expression == expression;
        let at = self.inputs.iter().position(same).unwrap_or_else(|| {
            self.inputs.push(Input { source, expression, data_type });
            self.inputs.len() - 1
        });
        Ok(Arc::new(Column::new(&input_name(at), at)))
    }

    /// The values for the rows selected, plain or as a dictionary.
    pub fn evaluate(&self, segment: &dyn Segment, selection: &Selection) -> Result<ArrayRef> {
        self.evaluate_inputs(segment, selection).or_else(|_| self.evaluate_whole(segment, selection))
    }

    fn evaluate_inputs(&self, segment: &dyn Segment, selection: &Selection) -> Result<ArrayRef> {
        if let (Some(column), [input]) = (self.rest.downcast_ref::<Column>(), self.inputs.as_slice()) {
            debug_assert_eq!(column.index(), 0);
            return input.evaluate(segment, selection, self.is_kept);
        }
        let mut fields = Vec::with_capacity(self.inputs.len());
        let mut arrays = Vec::with_capacity(self.inputs.len());
        for (i, input) in self.inputs.iter().enumerate() {
            fields.push(Field::new(input_name(i), input.data_type.clone(), true));
            arrays.push(plain(&input.evaluate(segment, selection, self.is_kept)?)?);
        }
        evaluate_over(&self.rest, fields, arrays, selection.count(segment))
    }

    /// The value computed from the table's own columns, row by row.
    fn evaluate_whole(&self, segment: &dyn Segment, selection: &Selection) -> Result<ArrayRef> {
        let rows = selection.count(segment);
        let used: Vec<usize> = self.inputs.iter().map(|input| input.source.column()).collect();
        let mut arrays = Vec::with_capacity(self.table.fields().len());
        for (i, field) in self.table.fields().iter().enumerate() {
            arrays.push(match used.contains(&i) {
                true => plain(&selection.of(&segment.column(i)?)?)?,
                false => datafusion::arrow::array::new_null_array(field.data_type(), rows),
            });
        }
        let fields = self.table.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        evaluate_over(&self.whole, fields.collect(), arrays, rows)
    }

    /// Those of the rows for which the condition holds.
    pub fn select(&self, segment: &dyn Segment, selection: Selection) -> Result<Selection> {
        let of_values = match (self.rest.downcast_ref::<Column>(), self.inputs.as_slice()) {
            (Some(_), [input]) => input.truths_of_values(segment, &selection, self.is_kept)?,
            _ => None,
        };
        match of_values {
            Some((keys, truths)) => Ok(selection.filtered_by(&keys, &truths)),
            None => Ok(selection.filtered(&truths(&self.evaluate(segment, &selection)?)?)),
        }
    }

    /// Whether the program reads one source alone.
    pub fn is_of_one_source(&self) -> bool {
        self.inputs.len() == 1 && self.rest.is::<Column>()
    }

    /// Whether the condition holds for all rows of a segment (`true`), for none (`false`), as far as that can be told
    /// without reading it.
    pub fn known(&self, segment: &dyn Segment) -> Option<bool> {
        known(&self.whole, segment)
    }
}

/// What the bounds of a segment's columns tell of a condition: that it holds for all rows, or for none.
pub(super) fn known(condition: &Arc<dyn PhysicalExpr>, segment: &dyn Segment) -> Option<bool> {
    if let Some(literal) = condition.downcast_ref::<Literal>() {
        return Some(*literal.value() == ScalarValue::Boolean(Some(true)));
    }
    if let Some(null) = condition.downcast_ref::<IsNullExpr>() {
        let bounds = segment.bounds(null.arg().downcast_ref::<Column>()?.index())?;
        return (!bounds.has_nulls).then_some(false);
    }
    let comparison = condition.downcast_ref::<BinaryExpr>()?;
    let (left, right) = (comparison.left(), comparison.right());
    match comparison.op() {
        Operator::And => match (known(left, segment), known(right, segment)) {
            (Some(false), _) | (_, Some(false)) => return Some(false),
            (Some(true), Some(true)) => return Some(true),
            _ => return None,
        },
        Operator::Or => match (known(left, segment), known(right, segment)) {
            (Some(true), _) | (_, Some(true)) => return Some(true),
            (Some(false), Some(false)) => return Some(false),
            _ => return None,
        },
        _ => {}
    }
    let (column, value, operator) = match (left.downcast_ref::<Column>(), right.downcast_ref::<Literal>()) {
        (Some(column), Some(value)) => (column, value, *comparison.op()),
        _ => (right.downcast_ref::<Column>()?, left.downcast_ref::<Literal>()?, comparison.op().swap()?),
    };
    let ScalarValue::Int64(Some(value)) = value.value() else { return None };
    let bounds = segment.bounds(column.index())?;
    let (all, none) = match operator {
        Operator::Gt => (bounds.least > *value, bounds.greatest <= *value),
        Operator::GtEq => (bounds.least >= *value, bounds.greatest < *value),
        Operator::Lt => (bounds.greatest < *value, bounds.least >= *value),
        Operator::LtEq => (bounds.greatest <= *value, bounds.least > *value),
        Operator::Eq => (false, *value < bounds.least || *value > bounds.greatest),
        _ => (false, false),
    };
    if none {
        return Some(false);
    }
    (all && !bounds.has_nulls).then_some(true)
}

impl Input {
    /// Where the source is held as a dictionary of not too many values: the keys of all rows, and whether the condition
    /// holds for each of the values.
    fn truths_of_values(
        &self,
        segment: &dyn Segment,
        selection: &Selection,
        is_kept: bool,
    ) -> Result<Option<(UInt32Array, Vec<bool>)>> {
        let Some(expression) = &self.expression else { return Ok(None) };
        if self.source.is_better_read_few(segment, selection) {
            return Ok(None);
        }
        let held = self.source.read(segment)?;
        let Some((keys, values)) = keys_and_values(&held) else { return Ok(None) };
        if values.len() > selection.count(segment) {
            return Ok(None);
        }
        // What fails on a value may not fail on any row that is asked about.
        let Ok(found) = self.of_values(segment, expression, values, is_kept) else { return Ok(None) };
        let found = as_boolean_array(&found)?;
        let truths = (0..found.len()).map(|at| found.is_valid(at) && found.value(at)).collect();
        Ok(Some((keys.clone(), truths)))
    }

    /// What is computed of the values of a dictionary.
    fn of_values(
        &self,
        segment: &dyn Segment,
        expression: &Arc<dyn PhysicalExpr>,
        values: &ArrayRef,
        is_kept: bool,
    ) -> Result<ArrayRef> {
        let mut make = || evaluate_one(expression, values);
        match is_kept {
            true => segment.derived(&self.source, Some(expression), &mut make),
            false => make(),
        }
    }

    fn evaluate(&self, segment: &dyn Segment, selection: &Selection, is_kept: bool) -> Result<ArrayRef> {
        if let Some(values) = self.source.read_few(segment, selection)? {
            return self.expression.as_ref().map_or_else(|| Ok(values.clone()), |e| evaluate_one(e, &values));
        }
        let values = self.source.read(segment)?;
        let Some(expression) = &self.expression else { return selection.of(&values) };
        match values.as_any_dictionary_opt() {
            Some(dictionary) if dictionary.values().len() <= selection.count(segment) => {
                let computed = self.of_values(segment, expression, dictionary.values(), is_kept)?;
                let keys: ArrayRef = Arc::new(dictionary.keys().as_primitive::<UInt32Type>().clone());
                selection.of(&over(&computed, keys)?)
            }
            _ => evaluate_one(expression, &plain(&selection.of(&values)?)?),
        }
    }
}

impl Source {
    /// The column of the table that it reads.
    pub fn column(&self) -> usize {
        match self {
            Source::Column(column) | Source::Member { column, .. } => *column,
        }
    }

    /// Whether it is better to compute the values of the selected rows alone than to keep those of all rows for queries
    /// to come.
    fn is_better_read_few(&self, segment: &dyn Segment, selection: &Selection) -> bool {
        let is_few = selection.count(segment).saturating_mul(FEW_ONE_IN) < segment.rows();
        matches!(self, Source::Member { .. }) && is_few && !segment.is_kept(self)
    }

    /// The values of the selected rows, where that is better.
    fn read_few(&self, segment: &dyn Segment, selection: &Selection) -> Result<Option<ArrayRef>> {
        let Source::Member { column, path } = self else { return Ok(None) };
        if !self.is_better_read_few(segment, selection) {
            return Ok(None);
        }
        let texts = plain(&selection.of(&segment.column(*column)?)?)?;
        Ok(Some(members(&texts, path)?))
    }

    /// The values of all rows of a segment.
    pub(super) fn read(&self, segment: &dyn Segment) -> Result<ArrayRef> {
        match self {
            Source::Column(column) => segment.column(*column),
            Source::Member { column, path } => segment.derived(self, None, &mut || {
                let texts = segment.column(*column)?;
                match texts.as_any_dictionary_opt() {
                    Some(dictionary) => {
                        let keys: ArrayRef = Arc::new(dictionary.keys().as_primitive::<UInt32Type>().clone());
                        over(&members(dictionary.values(), path)?, keys)
                    }
                    None => encoded(&members(&texts, path)?),
                }
            }),
        }
    }
}

/// Where a segment has more than so many rows for each that is asked for, only what they need is computed of its texts.
const FEW_ONE_IN: usize = 64;

/// The source that an expression is, if it is one.
pub(super) fn source(expression: &Arc<dyn PhysicalExpr>) -> Option<Source> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return Some(Source::Column(column.index()));
    }
    let (document, steps) = call_of(expression, &PATH)?.split_first()?;
    let step = |step: &Arc<dyn PhysicalExpr>| match step.downcast_ref::<Literal>()?.value() {
        ScalarValue::Utf8View(Some(text)) => Some(text.clone()),
        _ => None,
    };
    let steps = steps.iter().map(step).collect::<Option<Vec<_>>>()?;
    // Text that is no JSON has no members, and neither has what it is parsed to.
    let document = call_of(document, &PARSE_JSON).and_then(<[_]>::first).unwrap_or(document);
    Some(match source(document)? {
        Source::Column(column) => Source::Member { column, path: steps },
        Source::Member { column, path } => Source::Member { column, path: [path, steps].concat() },
    })
}

/// The arguments of a call of `kernel`.
pub(super) fn call_of<'e>(
    expression: &'e Arc<dyn PhysicalExpr>,
    kernel: &Kernel,
) -> Option<&'e [Arc<dyn PhysicalExpr>]> {
    let call = expression.downcast_ref::<ScalarFunctionExpr>()?;
    (call.name() == kernel.name).then(|| call.args())
}

fn is_text(table: &SchemaRef, source: &Source) -> bool {
    *table.field(source.column()).data_type() == DataType::Utf8View
}

const ONLY_COLUMN: &str = "x";

fn only_column() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(ONLY_COLUMN, 0))
}

fn one_column(data_type: DataType) -> Schema {
    Schema::new(vec![Field::new(ONLY_COLUMN, data_type, true)])
}

fn input_name(at: usize) -> String {
    format!("i{at}")
}

fn evaluate_one(expression: &Arc<dyn PhysicalExpr>, values: &ArrayRef) -> Result<ArrayRef> {
    let field = Field::new(ONLY_COLUMN, values.data_type().clone(), true);
    evaluate_over(expression, vec![field], vec![values.clone()], values.len())
}

fn evaluate_over(
    expression: &Arc<dyn PhysicalExpr>,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<ArrayRef> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
    expression.evaluate(&batch)?.into_array(rows)
}

/// Expressions that are asked of the same rows, each once.
#[derive(Debug)]
pub(super) struct Programs {
    table: SchemaRef,
    programs: Vec<Program>,
}

impl Programs {
    pub fn over(table: &SchemaRef) -> Programs {
        Programs { table: table.clone(), programs: Vec::new() }
    }

    /// Adds an expression over the columns of the table, unless it is there and always the same; its place among the
    /// values.
    pub fn add(&mut self, expression: &Arc<dyn PhysicalExpr>) -> Result<usize> {
        let known = self.programs.iter().position(|program| program.whole.eq(expression));
        if let Some(known) = known.filter(|_| !is_volatile(expression)) {
            return Ok(known);
        }
        self.programs.push(Program::new(expression, &self.table)?);
        Ok(self.programs.len() - 1)
    }

    /// The type of one of them.
    pub fn data_type(&self, place: usize) -> Result<DataType> {
        self.programs[place].data_type()
    }

    /// The value of one of them for no rows.
    pub fn empty(&self, place: usize) -> Result<ArrayRef> {
        Ok(datafusion::arrow::array::new_empty_array(&self.data_type(place)?))
    }

    /// The values of all of them for the rows selected, plain or as dictionaries.
    pub fn evaluate(&self, segment: &dyn Segment, selection: &Selection) -> Result<Vec<ArrayRef>> {
        self.programs.iter().map(|program| program.evaluate(segment, selection)).collect()
    }
}

/// A truth value for each row, however they are held.
pub(super) fn truths(found: &ArrayRef) -> Result<BooleanArray> {
    Ok(match keys_and_values(found) {
        Some((keys, values)) => spread(as_boolean_array(values)?, keys),
        None => as_boolean_array(found)?.clone(),
    })
}

/// A truth value for each row from those of a dictionary.
fn spread(values: &BooleanArray, keys: &UInt32Array) -> BooleanArray {
    let is_true: Vec<bool> = (0..values.len()).map(|i| values.is_valid(i) && values.value(i)).collect();
    let keys = keys.values();
    let bits = match is_true.iter().filter(|t| **t).count() {
        0 => BooleanBuffer::new_unset(keys.len()),
        n if n == is_true.len() => BooleanBuffer::new_set(keys.len()),
        _ => BooleanBuffer::collect_bool(keys.len(), |row| is_true[keys[row] as usize]),
    };
    BooleanArray::new(bits, None)
}

/// Whether a value is held as a dictionary; for operators that take either.
pub(crate) fn keys_and_values(array: &ArrayRef) -> Option<(&UInt32Array, &ArrayRef)> {
    is_dictionary(array).then(|| {
        let dictionary = array.as_dictionary::<UInt32Type>();
        (dictionary.keys(), dictionary.values())
    })
}
