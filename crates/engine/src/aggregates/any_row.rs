//! `take_any`: of each group one row, the first that comes.

use super::{Groups, struct_fields};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt64Array, new_null_array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::collections::HashMap;
use std::sync::Arc;

/// Of a single column a value that is not empty is preferred; of several the row is taken as it is.
pub(super) struct AnyRow {
    types: Vec<DataType>,
    rows: RowConverter,
    chosen: Vec<Option<Chosen>>,
    bytes: usize,
}

struct Chosen {
    row: OwnedRow,
    is_empty: bool,
}

impl AnyRow {
    pub(super) fn new(types: &[DataType]) -> Result<AnyRow> {
        let rows = RowConverter::new(types.iter().map(|t| SortField::new(t.clone())).collect())?;
        Ok(AnyRow { types: types.to_vec(), rows, chosen: Vec::new(), bytes: 0 })
    }

    fn is_empty_value(&self, values: &[ArrayRef], row: usize) -> bool {
        let [only] = values else { return false };
        only.is_null(row) || only.as_string_view_opt().is_some_and(|strings| strings.value(row).is_empty())
    }

    fn emit(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let chosen = emit.take_needed(&mut self.chosen);
        let nulls: Vec<ArrayRef> = self.types.iter().map(|t| new_null_array(t, 1)).collect();
        let none = self.rows.convert_columns(&nulls)?.row(0).owned();
        Ok(self.rows.convert_rows(chosen.iter().map(|c| c.as_ref().map_or(none.row(), |c| c.row.row())))?)
    }
}

impl Groups for AnyRow {
    fn resize(&mut self, groups: usize) {
        self.chosen.resize_with(groups, || None);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        // Group, row and whether it is empty: first the choice, so that only chosen rows are copied.
        let mut picked: HashMap<usize, (usize, bool)> = HashMap::new();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let has_value = match (picked.get(g), &self.chosen[*g]) {
                (Some((_, is_empty)), _) => Some(!is_empty),
                (None, Some(chosen)) => Some(!chosen.is_empty),
                (None, None) => None,
            };
            if has_value == Some(true) {
                continue;
            }
            let is_empty = self.is_empty_value(values, row);
            if has_value.is_none() || !is_empty {
                picked.insert(*g, (row, is_empty));
            }
        }
        if picked.is_empty() {
            return Ok(());
        }
        let picked: Vec<(usize, usize, bool)> = picked.into_iter().map(|(g, (row, empty))| (g, row, empty)).collect();
        let indices = UInt64Array::from_iter_values(picked.iter().map(|(_, row, _)| *row as u64));
        let taken = values.iter().map(|v| take(v, &indices, None)).collect::<std::result::Result<Vec<_>, _>>()?;
        let rows = self.rows.convert_columns(&taken)?;
        for (i, (g, _, is_empty)) in picked.into_iter().enumerate() {
            let row = rows.row(i).owned();
            self.bytes += size_of::<Chosen>() + row.as_ref().len();
            if let Some(old) = self.chosen[g].replace(Chosen { row, is_empty }) {
                self.bytes -= size_of::<Chosen>() + old.row.as_ref().len();
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        // A state is a row; that of an empty group has only nulls, as an absent row has.
        self.update(states, group, &|row| states.iter().any(|s| s.is_valid(row)))
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(StructArray::new(struct_fields(&self.types), self.emit(emit)?, None)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emit(emit)
    }

    fn size(&self) -> usize {
        self.bytes + self.chosen.capacity() * size_of::<Option<Chosen>>()
    }
}
