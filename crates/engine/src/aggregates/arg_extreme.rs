//! `arg_max` and `arg_min`: of each group the row whose key is the largest or smallest.

use super::{Groups, struct_fields};
use crate::columnar::plain;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{SortOptions, sort_to_indices};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::sync::Arc;

/// Keys and rows are kept in Arrow's row format, whose bytes compare as the values do. A null key loses
/// against every other, and a group with null keys alone still gives one of its rows.
pub(super) struct ArgExtreme {
    types: Vec<DataType>,
    keys: RowConverter,
    rows: RowConverter,
    largest: bool,
    best: Vec<Option<Best>>,
    /// Scratch: for each group its best row in the present batch.
    winners: Vec<u32>,
    bytes: usize,
}

/// No row of the batch.
const NONE: u32 = u32::MAX;

struct Best {
    key: OwnedRow,
    row: OwnedRow,
}

impl ArgExtreme {
    pub(super) fn new(types: &[DataType], largest: bool) -> Result<ArgExtreme> {
        let options = SortOptions { descending: false, nulls_first: largest };
        let keys = RowConverter::new(vec![SortField::new_with_options(types[0].clone(), options)])?;
        let rows = RowConverter::new(types.iter().map(|t| SortField::new(t.clone())).collect())?;
        Ok(ArgExtreme { types: types.to_vec(), keys, rows, largest, best: Vec::new(), winners: Vec::new(), bytes: 0 })
    }

    /// The key as it is compared. NaN beats every number, whichever end is asked for; Arrow has one above them all,
    /// and, with its sign set, one below.
    fn key(&self, key: &ArrayRef) -> ArrayRef {
        match key.as_primitive_opt::<Float64Type>() {
            Some(reals) if !self.largest => {
                let below = |x: f64| if x.is_nan() { -f64::NAN.abs() } else { x };
                Arc::new(reals.unary::<_, Float64Type>(below))
            }
            _ => key.clone(),
        }
    }

    fn emit(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let best = emit.take_needed(&mut self.best);
        self.winners.truncate(self.best.len());
        let nulls: Vec<ArrayRef> = self.types.iter().map(|t| datafusion::arrow::array::new_null_array(t, 1)).collect();
        let empty = self.rows.convert_columns(&nulls)?.row(0).owned();
        let rows = best.iter().map(|b| b.as_ref().map_or(empty.row(), |b| b.row.row()));
        Ok(self.rows.convert_rows(rows)?)
    }
}

/// What the keys of a batch are compared by.
enum Order {
    /// Numbers that compare as the keys do, and which of the keys are none.
    Ranks(Vec<i64>, Option<NullBuffer>),
    Rows(Rows),
}

impl Order {
    /// Whether the key of one row is better than that of another.
    fn is_better(&self, row: usize, other: usize, largest: bool) -> bool {
        match self {
            Order::Ranks(ranks, nulls) => match nulls.as_ref().map(|n| (n.is_valid(row), n.is_valid(other))) {
                Some((false, _)) => false,
                Some((true, false)) => true,
                _ if largest => ranks[row] > ranks[other],
                _ => ranks[row] < ranks[other],
            },
            Order::Rows(rows) if largest => rows.row(row) > rows.row(other),
            Order::Rows(rows) => rows.row(row) < rows.row(other),
        }
    }
}

impl ArgExtreme {
    /// The order of keys: by number where they are longs or few different values, else byte by byte.
    fn order(&self, keys: &ArrayRef) -> Result<Order> {
        if let Some(dictionary) = keys.as_any_dictionary_opt() {
            let mut ranks = vec![0; dictionary.values().len()];
            for (rank, value) in sort_to_indices(dictionary.values(), None, None)?.values().iter().enumerate() {
                ranks[*value as usize] = rank as i64;
            }
            let ranks = dictionary.normalized_keys().into_iter().map(|key| ranks[key]).collect();
            return Ok(Order::Ranks(ranks, keys.logical_nulls()));
        }
        match keys.as_primitive_opt::<Int64Type>() {
            Some(longs) => Ok(Order::Ranks(longs.values().to_vec(), longs.nulls().cloned())),
            None => Ok(Order::Rows(self.keys.convert_columns(&[self.key(keys)])?)),
        }
    }
}

impl Groups for ArgExtreme {
    fn resize(&mut self, groups: usize) {
        self.best.resize_with(groups, || None);
        self.winners.resize(groups, NONE);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let order = self.order(&values[0])?;
        let largest = self.largest;
        // First the winners within the batch, so that only their rows are copied.
        let mut touched: Vec<usize> = Vec::new();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let winner = &mut self.winners[*g];
            if *winner == NONE {
                touched.push(*g);
                *winner = row as u32;
            } else if order.is_better(row, *winner as usize, largest) {
                *winner = row as u32;
            }
        }
        let picked: UInt32Array = touched.iter().map(|g| std::mem::replace(&mut self.winners[*g], NONE)).collect();
        if picked.is_empty() {
            return Ok(());
        }
        let taken: Vec<ArrayRef> = values
            .iter()
            .map(|v| plain(&datafusion::arrow::compute::take(v, &picked, None)?))
            .collect::<Result<_>>()?;
        let keys = self.keys.convert_columns(&[self.key(&taken[0])])?;
        let rows = self.rows.convert_columns(&taken)?;
        for (i, g) in touched.into_iter().enumerate() {
            let key = keys.row(i);
            let is_better = |best: &Best| if largest { key > best.key.row() } else { key < best.key.row() };
            if !self.best[g].as_ref().is_none_or(is_better) {
                continue;
            }
            let best = Best { key: key.owned(), row: rows.row(i).owned() };
            self.bytes += size_of::<Best>() + best.key.as_ref().len() + best.row.as_ref().len();
            if let Some(old) = self.best[g].replace(best) {
                self.bytes -= size_of::<Best>() + old.key.as_ref().len() + old.row.as_ref().len();
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        // A state is a row; that of an empty group has only nulls, as an absent row has.
        self.update(states, group, &|row| states.iter().any(|s| s.is_valid(row)))
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let fields = struct_fields(&self.types);
        Ok(Arc::new(StructArray::new(fields, self.emit(emit)?, None)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emit(emit)
    }

    fn size(&self) -> usize {
        self.bytes + self.best.capacity() * size_of::<Option<Best>>()
    }
}
