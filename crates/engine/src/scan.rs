//! The state machine of `scan`, as a DataFusion window function over rows in their order.
//!
//! A *sequence* is the rows that have met the steps so far; each step holds at most one. For each row the steps are
//! asked from the last to the first: first whether the row takes the sequence of the step before on to this one, then
//! whether it continues the step's own. Only the first step begins sequences. For each row the function gives the list
//! of the steps that it met and that have output, since a row can meet several.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::array::{BooleanArray, StructArray, UInt64Array, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, PartitionEvaluator, Signature, SortExpr, Volatility, WindowUDF, WindowUDFImpl, lit,
};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use kql::tree::ScanOutput;
use std::sync::Arc;

/// The field of the result that numbers the sequences.
pub const MATCH_ID: &str = "id";
/// The field of the result that numbers the rows of the output, from 1.
pub const NUMBER: &str = "number";

/// The field of the result that holds the value of a slot.
pub fn slot_name(slot: usize) -> String {
    format!("s{slot}")
}

/// What `scan` does, in terms of the fields of its expressions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// The arguments of the function, by the names that expressions know them by.
    pub inputs: Vec<(String, DataType)>,
    /// The columns that steps may assign.
    pub slots: Vec<Slot>,
    /// What expressions ask of rows that met a step before.
    pub memory: Vec<Remembered>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    pub data_type: DataType,
    /// The value where the step does not assign one.
    pub own: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    Input(usize),
    Constant(ScalarValue),
}

/// A value of the last row of the sequence that met a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remembered {
    /// The name that expressions know it by.
    pub field: String,
    pub step: usize,
    pub of: Source,
    /// The value while no row of the sequence has met the step.
    pub empty: ScalarValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Input(usize),
    Slot(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    pub condition: Expr,
    /// The slot and its value.
    pub assignments: Vec<(usize, Expr)>,
    pub output: ScanOutput,
}

/// A call over the rows that agree in `group`, in the order of `order`: for each row a list of structs with the fields
/// [`slot_name`], [`MATCH_ID`] and [`NUMBER`].
pub fn call(program: Program, arguments: Vec<Expr>, group: Vec<Expr>, order: SortExpr) -> Result<Expr> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let udf = WindowUDF::from(ScanWindow { program, signature });
    Expr::from(WindowFunction::new(Arc::new(udf), arguments)).partition_by(group).order_by(vec![order]).build()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ScanWindow {
    program: Program,
    signature: Signature,
}

impl WindowUDFImpl for ScanWindow {
    fn name(&self) -> &str {
        "kql_scan"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Machine::new(&self.program)?))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new_list(args.name(), item_field(&self.program), true)))
    }
}

fn item_fields(program: &Program) -> Fields {
    let slots = program.slots.iter().enumerate();
    let slots = slots.map(|(i, slot)| Field::new(slot_name(i), slot.data_type.clone(), true));
    slots.chain([Field::new(MATCH_ID, DataType::Int64, true), Field::new(NUMBER, DataType::UInt64, true)]).collect()
}

fn item_field(program: &Program) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(item_fields(program)), true))
}

/// An expression that is ready to be computed for a row.
#[derive(Debug)]
struct Formula {
    physical: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// Where the fields of the schema come from.
    operands: Vec<Operand>,
}

#[derive(Debug, Clone, Copy)]
enum Operand {
    Input(usize),
    Memory(usize),
}

impl Formula {
    fn new(expr: &Expr, program: &Program) -> Result<Formula> {
        let refs = expr.column_refs();
        let is_named = |name: &str| refs.iter().any(|c| c.name == name);
        let mut fields: Vec<Field> = Vec::new();
        let mut operands = Vec::new();
        for (i, (name, data_type)) in program.inputs.iter().enumerate().filter(|(_, (name, _))| is_named(name)) {
            fields.push(Field::new(name, data_type.clone(), true));
            operands.push(Operand::Input(i));
        }
        for (i, memory) in program.memory.iter().enumerate().filter(|(_, memory)| is_named(&memory.field)) {
            fields.push(Field::new(&memory.field, memory.empty.data_type(), true));
            operands.push(Operand::Memory(i));
        }
        let schema = Arc::new(Schema::new(fields));
        let physical = crate::formula::physical(expr, &schema)?;
        Ok(Formula { physical, schema, operands })
    }

    fn remembers(&self) -> bool {
        self.operands.iter().any(|operand| matches!(operand, Operand::Memory(_)))
    }

    fn compute(&self, rows: usize, operand: impl Fn(Operand) -> ArrayRef) -> Result<ArrayRef> {
        let arrays = self.operands.iter().map(|o| operand(*o)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        self.physical.evaluate(&batch)?.into_array(rows)
    }

    fn of_row(&self, inputs: &[ArrayRef], row: usize, memory: &[ArrayRef]) -> Result<ArrayRef> {
        self.compute(1, |operand| match operand {
            Operand::Input(i) => inputs[i].slice(row, 1),
            Operand::Memory(i) => memory[i].clone(),
        })
    }
}

#[derive(Debug)]
struct CompiledStep {
    /// The part of the condition that a row decides by itself, computed for all rows at once.
    own: Formula,
    /// The part that asks what came before.
    with_memory: Option<Formula>,
    assignments: Vec<(usize, Formula)>,
    output: ScanOutput,
}

#[derive(Debug)]
struct Machine {
    program: Program,
    steps: Vec<CompiledStep>,
}

/// The rows that have met the steps so far.
#[derive(Debug)]
struct Sequence {
    id: i64,
    /// What is remembered, in the order of [`Program::memory`].
    memory: Vec<ArrayRef>,
    /// The output of the last row, which the next row of the same step replaces where only the last is wanted.
    last: Option<usize>,
}

/// A row that met a step.
struct Found {
    row: usize,
    id: i64,
    values: Vec<ArrayRef>,
    is_replaced: bool,
}

impl Machine {
    fn new(program: &Program) -> Result<Machine> {
        let mut steps = Vec::with_capacity(program.steps.len());
        for step in &program.steps {
            let asks_memory = |e: &Expr| {
                let refs = e.column_refs();
                program.memory.iter().any(|m| refs.iter().any(|c| c.name == m.field))
            };
            let all = |parts: Vec<&Expr>| parts.into_iter().cloned().reduce(Expr::and);
            let (with_memory, own): (Vec<&Expr>, Vec<&Expr>) =
                split_conjunction(&step.condition).into_iter().partition(|e| asks_memory(e));
            let assignments = step.assignments.iter();
            steps.push(CompiledStep {
                own: Formula::new(&all(own).unwrap_or_else(|| lit(true)), program)?,
                with_memory: all(with_memory).map(|e| Formula::new(&e, program)).transpose()?,
                assignments: assignments
                    .map(|(slot, e)| Ok((*slot, Formula::new(e, program)?)))
                    .collect::<Result<_>>()?,
                output: step.output,
            });
        }
        Ok(Machine { program: program.clone(), steps })
    }

    /// Whether the row meets the part of the step's condition that asks what came before.
    fn continues(&self, step: usize, inputs: &[ArrayRef], row: usize, memory: &[ArrayRef]) -> Result<bool> {
        let Some(formula) = &self.steps[step].with_memory else { return Ok(true) };
        Ok(is_true(formula.of_row(inputs, row, memory)?.as_boolean(), 0))
    }

    /// Takes a row that met the step into the sequence; the values of the slots.
    fn take(
        &self,
        step: usize,
        inputs: &[ArrayRef],
        row: usize,
        constants: &[Option<ArrayRef>],
        sequence: &mut Sequence,
    ) -> Result<Vec<ArrayRef>> {
        let mut values = Vec::with_capacity(self.program.slots.len());
        for (i, slot) in self.program.slots.iter().enumerate() {
            let assigned = self.steps[step].assignments.iter().find(|(target, _)| *target == i);
            values.push(match (assigned, &slot.own, &constants[i]) {
                (Some((_, formula)), ..) => formula.of_row(inputs, row, &sequence.memory)?,
                (None, _, Some(constant)) => constant.clone(),
                (None, Origin::Input(input), None) => inputs[*input].slice(row, 1),
                (None, Origin::Constant(value), None) => value.to_array()?,
            });
        }
        for (remembered, value) in self.program.memory.iter().zip(&mut sequence.memory) {
            if remembered.step == step {
                *value = match remembered.of {
                    Source::Input(input) => inputs[input].slice(row, 1),
                    Source::Slot(slot) => values[slot].clone(),
                };
            }
        }
        Ok(values)
    }

    fn run(&self, inputs: &[ArrayRef], rows: usize) -> Result<Vec<Found>> {
        let constants: Vec<Option<ArrayRef>> = (self.program.slots.iter())
            .map(|slot| match &slot.own {
                Origin::Constant(value) => value.to_array().map(Some),
                Origin::Input(_) => Ok(None),
            })
            .collect::<Result<_>>()?;
        let nothing: Vec<ArrayRef> = self.program.memory.iter().map(|m| m.empty.to_array()).collect::<Result<_>>()?;
        let mut own: Vec<BooleanArray> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            debug_assert!(!step.own.remembers());
            let met = step.own.compute(rows, |operand| match operand {
                Operand::Input(i) => inputs[i].clone(),
                Operand::Memory(i) => nothing[i].clone(),
            })?;
            own.push(met.as_boolean().clone());
        }
        let mut found: Vec<Found> = Vec::new();
        let mut sequences: Vec<Option<Sequence>> = self.steps.iter().map(|_| None).collect();
        let mut next_id = 0;
        for row in 0..rows {
            for step in (0..self.steps.len()).rev().filter(|step| is_true(&own[*step], row)) {
                let moves_on = match step.checked_sub(1).and_then(|before| sequences[before].as_ref()) {
                    Some(sequence) => self.continues(step, inputs, row, &sequence.memory)?,
                    None => false,
                };
                let mut sequence = if moves_on {
                    sequences[step - 1].take().map(|before| Sequence { last: None, ..before })
                } else {
                    let memory = match &sequences[step] {
                        Some(sequence) => &sequence.memory,
                        None if step == 0 => &nothing,
                        None => continue,
                    };
                    if !self.continues(step, inputs, row, memory)? {
                        continue;
                    }
                    sequences[step].take()
                };
                let sequence = sequence.get_or_insert_with(|| {
                    next_id += 1;
                    Sequence { id: next_id - 1, memory: nothing.clone(), last: None }
                });
                let values = self.take(step, inputs, row, &constants, sequence)?;
                if self.steps[step].output != ScanOutput::None {
                    if let (ScanOutput::Last, Some(before)) = (self.steps[step].output, sequence.last) {
                        found[before].is_replaced = true;
                    }
                    sequence.last = Some(found.len());
                    found.push(Found { row, id: sequence.id, values, is_replaced: false });
                }
                let Sequence { id, last, .. } = *sequence;
                let memory = std::mem::take(&mut sequence.memory);
                sequences[step] = Some(Sequence { id, memory, last });
            }
        }
        found.retain(|f| !f.is_replaced);
        Ok(found)
    }
}

fn is_true(flags: &BooleanArray, row: usize) -> bool {
    flags.is_valid(row) && flags.value(row)
}

impl PartitionEvaluator for Machine {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let found = self.run(values, rows)?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.program.slots.len() + 2);
        for (i, slot) in self.program.slots.iter().enumerate() {
            let cells: Vec<&dyn Array> = found.iter().map(|f| f.values[i].as_ref()).collect();
            columns.push(if cells.is_empty() { new_empty_array(&slot.data_type) } else { concat(&cells)? });
        }
        columns.push(Arc::new(found.iter().map(|f| Some(f.id)).collect::<Int64Array>()));
        columns.push(Arc::new((1..=found.len() as u64).map(Some).collect::<UInt64Array>()));
        let mut lengths = vec![0; rows];
        found.iter().for_each(|f| lengths[f.row] += 1);
        let structs = StructArray::try_new(item_fields(&self.program), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(item_field(&self.program), offsets, Arc::new(structs), None)?))
    }
}
