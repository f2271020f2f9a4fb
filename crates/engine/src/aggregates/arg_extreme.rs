//! `arg_max` and `arg_min`: of each group the row whose key is the largest or smallest.

use super::{Groups, struct_fields};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
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
    bytes: usize,
}

struct Best {
    key: OwnedRow,
    row: OwnedRow,
}

impl ArgExtreme {
    pub(super) fn new(types: &[DataType], largest: bool) -> Result<ArgExtreme> {
        let options = SortOptions { descending: false, nulls_first: largest };
        let keys = RowConverter::new(vec![SortField::new_with_options(types[0].clone(), options)])?;
        let rows = RowConverter::new(types.iter().map(|t| SortField::new(t.clone())).collect())?;
        Ok(ArgExtreme { types: types.to_vec(), keys, rows, largest, best: Vec::new(), bytes: 0 })
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
        let nulls: Vec<ArrayRef> = self.types.iter().map(|t| datafusion::arrow::array::new_null_array(t, 1)).collect();
        let empty = self.rows.convert_columns(&nulls)?.row(0).owned();
        let rows = best.iter().map(|b| b.as_ref().map_or(empty.row(), |b| b.row.row()));
        Ok(self.rows.convert_rows(rows)?)
    }
}

impl Groups for ArgExtreme {
    fn resize(&mut self, groups: usize) {
        self.best.resize_with(groups, || None);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let keys = self.keys.convert_columns(&[self.key(&values[0])])?;
        // First the winners within the batch, so that only their rows are copied.
        let mut winners: std::collections::HashMap<usize, usize> = std::collections::HashMap::new();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let key = keys.row(row);
            let better = |than: datafusion::arrow::row::Row<'_>| if self.largest { key > than } else { key < than };
            let wins = match (winners.get(g), &self.best[*g]) {
                (Some(other), _) => better(keys.row(*other)),
                (None, Some(best)) => better(best.key.row()),
                (None, None) => true,
            };
            if wins {
                winners.insert(*g, row);
            }
        }
        if winners.is_empty() {
            return Ok(());
        }
        let picked: Vec<(usize, usize)> = winners.into_iter().collect();
        let indices =
            datafusion::arrow::array::UInt64Array::from_iter_values(picked.iter().map(|(_, row)| *row as u64));
        let taken: Vec<ArrayRef> = values
            .iter()
            .map(|v| datafusion::arrow::compute::take(v, &indices, None))
            .collect::<std::result::Result<_, _>>()?;
        let rows = self.rows.convert_columns(&taken)?;
        for (i, (g, row)) in picked.into_iter().enumerate() {
            let best = Best { key: keys.row(row).owned(), row: rows.row(i).owned() };
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
