//! KQL's window functions as DataFusion window functions: each looks at the rows before or after, in their order.
//!
//! The order is that of a field that numbers the rows (`bind::window`), so all rows are one partition, and each
//! function sees the values of all of them at once.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, PartitionEvaluator, Signature, SortExpr, Volatility, WindowUDF, WindowUDFImpl,
};
use std::sync::Arc;

/// Which window function. What the arguments are is said of each; a restart is a bool that begins anew at its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The value so many rows before, after when negative: value, what stands where there is no such row.
    Shift { rows_back: i64 },
    /// The number of the row: start, restart.
    RowNumber,
    /// The sum so far: value, restart. Nulls count as zero.
    RunningSum,
    /// The number of runs of equal values so far: value, restart.
    RankDense,
    /// The number of the row at which the run of equal values began: value, restart.
    RankMin,
    /// The time at which the session of the row began: time, longest session, longest gap, restart.
    SessionStart,
}

/// A call of `kind` over the rows that agree in `group`, in the order of `order`.
pub fn call(kind: Kind, arguments: Vec<Expr>, group: Vec<Expr>, order: SortExpr) -> Result<Expr> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let udf = WindowUDF::from(KqlWindow { kind, signature });
    Expr::from(WindowFunction::new(Arc::new(udf), arguments)).partition_by(group).order_by(vec![order]).build()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KqlWindow {
    kind: Kind,
    signature: Signature,
}

impl WindowUDFImpl for KqlWindow {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Shift { rows_back } if rows_back < 0 => "kql_next",
            Kind::Shift { .. } => "kql_prev",
            Kind::RowNumber => "kql_row_number",
            Kind::RunningSum => "kql_row_cumsum",
            Kind::RankDense => "kql_row_rank_dense",
            Kind::RankMin => "kql_row_rank_min",
            Kind::SessionStart => "kql_row_window_session",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator { kind: self.kind }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let of_value = args.input_fields().first().map_or(DataType::Int64, |f| f.data_type().clone());
        let data_type = match self.kind {
            Kind::Shift { .. } | Kind::RunningSum => of_value,
            Kind::RowNumber | Kind::RankDense | Kind::RankMin | Kind::SessionStart => DataType::Int64,
        };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }
}

#[derive(Debug)]
struct Evaluator {
    kind: Kind,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        match self.kind {
            Kind::Shift { rows_back } => shift(&values[0], &values[1], rows_back),
            Kind::RowNumber => Ok(row_numbers(values[0].as_primitive::<Int64Type>(), values[1].as_boolean(), rows)),
            Kind::RunningSum => running_sum(&values[0], values[1].as_boolean()),
            Kind::RankDense => ranks(&values[0], values[1].as_boolean(), |rank, _| rank + 1),
            Kind::RankMin => ranks(&values[0], values[1].as_boolean(), |_, row| row),
            Kind::SessionStart => {
                let longs = |i: usize| values[i].as_primitive::<Int64Type>();
                Ok(session_starts(longs(0), longs(1), longs(2), values[3].as_boolean()))
            }
        }
    }
}

fn is_true(flags: &BooleanArray, row: usize) -> bool {
    flags.is_valid(row) && flags.value(row)
}

fn shift(values: &ArrayRef, defaults: &ArrayRef, rows_back: i64) -> Result<ArrayRef> {
    let rows = values.len();
    let source = |row: usize| i64::try_from(row).ok().and_then(|r| r.checked_sub(rows_back));
    let taken: Vec<(usize, usize)> = (0..rows)
        .map(|row| match source(row).and_then(|r| usize::try_from(r).ok()).filter(|r| *r < rows) {
            Some(there) => (0, there),
            None => (1, row),
        })
        .collect();
    Ok(interleave(&[values.as_ref(), defaults.as_ref()], &taken)?)
}

fn row_numbers(starts: &Int64Array, restarts: &BooleanArray, rows: usize) -> ArrayRef {
    let mut number = 0;
    let numbers = (0..rows).map(|row| {
        let begins = row == 0 || is_true(restarts, row);
        number = if begins { starts.value(row) } else { i64::wrapping_add(number, 1) };
        number
    });
    Arc::new(numbers.collect::<Int64Array>())
}

fn running_sum(values: &ArrayRef, restarts: &BooleanArray) -> Result<ArrayRef> {
    fn sums<T: Copy + Default>(rows: usize, restarts: &BooleanArray, next: impl Fn(T, usize) -> T) -> Vec<T> {
        let mut sum = T::default();
        (0..rows)
            .map(|row| {
                sum = next(if is_true(restarts, row) { T::default() } else { sum }, row);
                sum
            })
            .collect()
    }
    let rows = values.len();
    Ok(match values.data_type() {
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            let value = |row: usize| if values.is_valid(row) { values.value(row) } else { 0.0 };
            Arc::new(Float64Array::from(sums(rows, restarts, |sum: f64, row| sum + value(row))))
        }
        DataType::Decimal128(precision, scale) => {
            let values = values.as_primitive::<Decimal128Type>();
            let value = |row: usize| if values.is_valid(row) { values.value(row) } else { 0 };
            let sums = Decimal128Array::from(sums(rows, restarts, |sum: i128, row| sum.saturating_add(value(row))));
            Arc::new(sums.with_precision_and_scale(*precision, *scale)?)
        }
        _ => {
            let values = values.as_primitive::<Int64Type>();
            let value = |row: usize| if values.is_valid(row) { values.value(row) } else { 0 };
            Arc::new(Int64Array::from(sums(rows, restarts, |sum: i64, row| sum.wrapping_add(value(row)))))
        }
    })
}

/// Ranks that change where the value does. `next` makes the next rank of the one before and the number of the row.
fn ranks(values: &ArrayRef, restarts: &BooleanArray, next: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let keys = converter.convert_columns(std::slice::from_ref(values))?;
    let (mut rank, mut number) = (0, 0);
    let ranks = (0..values.len()).map(|row| {
        let begins = row == 0 || is_true(restarts, row);
        number = if begins { 1 } else { number + 1 };
        if begins {
            rank = 1;
        } else if keys.row(row) != keys.row(row - 1) {
            rank = next(rank, number);
        }
        rank
    });
    Ok(Arc::new(ranks.collect::<Int64Array>()))
}

/// A session begins where one is too long, where the gap before a row is too wide, and at restarts. A row without a
/// time belongs to no session.
fn session_starts(times: &Int64Array, longest: &Int64Array, gaps: &Int64Array, restarts: &BooleanArray) -> ArrayRef {
    let mut session: Option<(i64, i64)> = None;
    let starts = (0..times.len()).map(|row| {
        if is_true(restarts, row) {
            session = None;
        }
        let time = times.is_valid(row).then(|| times.value(row))?;
        let exceeds = |from: i64, limits: &Int64Array| {
            limits.is_valid(row) && time.saturating_sub(from).saturating_abs() > limits.value(row)
        };
        let start = match session {
            Some((start, before)) if !exceeds(start, longest) && !exceeds(before, gaps) => start,
            _ => time,
        };
        session = Some((start, time));
        Some(start)
    });
    Arc::new(starts.collect::<Int64Array>())
}
