//! `arg_max` and `arg_min`: of each group the row whose key is the largest or smallest.

use super::best_rows::BestValues;
use super::{Groups, struct_fields};
use crate::columnar::plain;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::cmp::Ordering;
use std::sync::Arc;

/// A null key loses against every other, and a group with null keys alone still gives one of its rows.
pub(super) struct ArgExtreme {
    types: Vec<DataType>,
    largest: bool,
    best: Best,
}

enum Best {
    /// Values by column, the key first; and which groups have a row.
    Columns { columns: Vec<BestValues>, is_met: Vec<bool> },
    /// For types that are compared in ways of their own: in Arrow's row format, whose bytes compare as the values do.
    Rows { keys: RowConverter, rows: RowConverter, best: Vec<Option<KeyAndRow>>, bytes: usize },
}

struct KeyAndRow {
    key: OwnedRow,
    row: OwnedRow,
}

impl ArgExtreme {
    pub(super) fn new(types: &[DataType], largest: bool) -> Result<ArgExtreme> {
        let by_column = BestValues::can_compare(&types[0]) && types.iter().all(BestValues::can_hold);
        let best = match by_column {
            true => Best::Columns { columns: types.iter().map(BestValues::new).collect(), is_met: Vec::new() },
            false => {
                let options = SortOptions { descending: false, nulls_first: largest };
                let keys = RowConverter::new(vec![SortField::new_with_options(types[0].clone(), options)])?;
                let rows = RowConverter::new(types.iter().map(|t| SortField::new(t.clone())).collect())?;
                Best::Rows { keys, rows, best: Vec::new(), bytes: 0 }
            }
        };
        Ok(ArgExtreme { types: types.to_vec(), largest, best })
    }

    fn emit(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        match &mut self.best {
            Best::Columns { columns, is_met } => {
                emit.take_needed(is_met);
                Ok(columns.iter_mut().map(|column| column.emit(emit)).collect())
            }
            Best::Rows { rows, best, .. } => {
                let best = emit.take_needed(best);
                let null = |t| datafusion::arrow::array::new_null_array(t, 1);
                let nulls: Vec<ArrayRef> = self.types.iter().map(null).collect();
                let empty = rows.convert_columns(&nulls)?.row(0).owned();
                Ok(rows.convert_rows(best.iter().map(|b| b.as_ref().map_or(empty.row(), |b| b.row.row())))?)
            }
        }
    }
}

/// The key as it is compared. NaN beats every number, whichever end is asked for; Arrow has one above them all, and, with
/// its sign set, one below.
fn compared(key: &ArrayRef, largest: bool) -> ArrayRef {
    match key.as_primitive_opt::<Float64Type>() {
        Some(reals) if !largest => {
            let below = |x: f64| if x.is_nan() { -f64::NAN.abs() } else { x };
            Arc::new(reals.unary::<_, Float64Type>(below))
        }
        _ => key.clone(),
    }
}

impl Groups for ArgExtreme {
    fn resize(&mut self, groups: usize) {
        match &mut self.best {
            Best::Columns { columns, is_met } => {
                columns.iter_mut().for_each(|column| column.resize(groups));
                is_met.resize(groups, false);
            }
            Best::Rows { best, .. } => best.resize_with(groups, || None),
        }
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let largest = self.largest;
        match &mut self.best {
            Best::Columns { columns, is_met } => {
                let rows = columns.iter_mut().zip(values).map(|(column, array)| column.rows(array));
                let rows = rows.collect::<Result<Vec<_>>>()?;
                let keys = values[0].logical_nulls();
                let is_null = |row| keys.as_ref().is_some_and(|nulls| nulls.is_null(row));
                for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
                    let is_better = !is_met[*g]
                        || match columns[0].compare(&rows[0], row, *g) {
                            Ordering::Greater => largest || columns[0].is_null(*g),
                            Ordering::Less => !largest && !is_null(row),
                            Ordering::Equal => false,
                        };
                    if is_better {
                        is_met[*g] = true;
                        columns.iter_mut().zip(&rows).for_each(|(column, rows)| column.set(rows, row, *g));
                    }
                }
            }
            Best::Rows { keys, rows, best, bytes } => {
                let values = values.iter().map(plain).collect::<Result<Vec<_>>>()?;
                let keys = keys.convert_columns(&[compared(&values[0], largest)])?;
                let all = rows.convert_columns(&values)?;
                for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
                    let key = keys.row(row);
                    let is_better = |old: &KeyAndRow| if largest { key > old.key.row() } else { key < old.key.row() };
                    if best[*g].as_ref().is_none_or(is_better) {
                        let new = KeyAndRow { key: key.owned(), row: all.row(row).owned() };
                        *bytes += new.size();
                        *bytes -= best[*g].replace(new).map_or(0, |old| old.size());
                    }
                }
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
        match &self.best {
            Best::Columns { columns, is_met } => {
                columns.iter().map(BestValues::size).sum::<usize>() + is_met.capacity()
            }
            Best::Rows { best, bytes, .. } => bytes + best.capacity() * size_of::<Option<KeyAndRow>>(),
        }
    }
}

impl KeyAndRow {
    fn size(&self) -> usize {
        size_of::<KeyAndRow>() + self.key.as_ref().len() + self.row.as_ref().len()
    }
}
