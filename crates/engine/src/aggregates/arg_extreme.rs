//! `arg_max` and `arg_min`: of each group the row whose key is the largest or smallest.

use super::best_rows::{BestKeys, BestValues};
use super::{Groups, struct_fields};
use crate::columnar::plain;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::sync::Arc;

/// A null key loses against every other, and a group with null keys alone still gives one of its rows.
pub(super) struct ArgExtreme {
    types: Vec<DataType>,
    largest: bool,
    best: Best,
}

enum Best {
    /// The keys, and by column the values that their rows have beside them.
    Columns { keys: BestKeys, others: Vec<BestValues>, won: Won },
    /// For types that are compared in ways of their own: in Arrow's row format, whose bytes compare as the values do.
    Rows { keys: RowConverter, rows: RowConverter, best: Vec<Option<KeyAndRow>>, bytes: usize },
}

struct KeyAndRow {
    key: OwnedRow,
    row: OwnedRow,
}

/// Which rows of a batch are better than what their groups had.
#[derive(Default)]
struct Won {
    groups: Vec<usize>,
    rows: Vec<u32>,
    /// Scratch: for each group one more than its place in the others, 0 for none.
    places: Vec<u32>,
}

impl Won {
    fn clear(&mut self, groups: usize) {
        self.groups.drain(..).for_each(|group| self.places[group] = 0);
        self.rows.clear();
        self.places.resize(groups, 0);
    }

    /// The last row that wins is the one of its group.
    fn set(&mut self, group: usize, row: usize) {
        let place = &mut self.places[group];
        match place.checked_sub(1) {
            Some(at) => self.rows[at as usize] = row as u32,
            None => {
                self.groups.push(group);
                self.rows.push(row as u32);
                *place = self.rows.len() as u32;
            }
        }
    }
}

impl ArgExtreme {
    pub(super) fn new(types: &[DataType], largest: bool) -> Result<ArgExtreme> {
        let by_column = BestKeys::can_compare(&types[0]) && types.iter().all(BestValues::can_hold);
        let best = match by_column {
            true => Best::Columns {
                keys: BestKeys::new(&types[0], largest),
                others: types[1..].iter().map(BestValues::new).collect(),
                won: Won::default(),
            },
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
            Best::Columns { keys, others, won } => {
                won.clear(0);
                let keys = std::iter::once(keys.emit(emit));
                Ok(keys.chain(others.iter_mut().map(|column| column.emit(emit))).collect())
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
            Best::Columns { keys, others, won } => {
                keys.resize(groups);
                others.iter_mut().for_each(|column| column.resize(groups));
                won.clear(groups);
            }
            Best::Rows { best, .. } => best.resize_with(groups, || None),
        }
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let largest = self.largest;
        match &mut self.best {
            Best::Columns { keys, others, won } => {
                won.clear(won.places.len());
                keys.update(&values[0], group, counts, |group, row| won.set(group, row))?;
                for (column, array) in others.iter_mut().zip(&values[1..]) {
                    column.set(array, &won.rows, &won.groups)?;
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
            Best::Columns { keys, others, won } => {
                keys.size() + others.iter().map(BestValues::size).sum::<usize>() + won.places.capacity() * 4
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
