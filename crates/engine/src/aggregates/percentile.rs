//! `percentile` and `percentiles`: nearest rank over all values of a group.

use super::{Groups, struct_fields};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListBuilder, PrimitiveBuilder, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::sync::Arc;

/// Every value is kept as an integer that sorts as the value does, so that the answer is a member of the group.
pub(super) struct Percentiles {
    percents: Vec<f64>,
    value_type: DataType,
    groups: Vec<Vec<i64>>,
    values: usize,
}

/// The bits of a float as an integer of the same order; its own inverse but for the conversion.
fn sortable(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

impl Percentiles {
    pub(super) fn new(percents: Vec<f64>, value_type: &DataType) -> Percentiles {
        Percentiles { percents, value_type: value_type.clone(), groups: Vec::new(), values: 0 }
    }

    fn member(&self, keys: Vec<Option<i64>>) -> Result<ArrayRef> {
        if self.value_type == DataType::Float64 {
            let reals = keys.into_iter().map(|k| k.map(|k| f64::from_bits(sortable(k).cast_unsigned())));
            return Ok(Arc::new(reals.collect::<datafusion::arrow::array::Float64Array>()));
        }
        Ok(cast(&Int64Array::from(keys), &self.value_type)?)
    }
}

impl Groups for Percentiles {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Vec::new);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let longs: ArrayRef = if self.value_type == DataType::Float64 {
            let reals = values[0].as_primitive::<Float64Type>();
            Arc::new(reals.iter().map(|x| x.map(|x| sortable(x.to_bits().cast_signed()))).collect::<Int64Array>())
        } else {
            cast(&values[0], &DataType::Int64)?
        };
        let longs = longs.as_primitive::<Int64Type>();
        for (row, g) in group.iter().enumerate() {
            if counts(row) && longs.is_valid(row) {
                self.groups[*g].push(longs.value(row));
                self.values += 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            let list = lists.value(row);
            self.groups[*g].extend_from_slice(list.as_primitive::<Int64Type>().values());
            self.values += list.len();
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit.take_needed(&mut self.groups);
        let mut columns = Vec::with_capacity(self.percents.len());
        for percent in &self.percents {
            let ranked = groups.iter_mut().map(|values| {
                let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
                let index = rank.saturating_sub(1).min(values.len().checked_sub(1)?);
                Some(*values.select_nth_unstable(index).1)
            });
            columns.push(self.member(ranked.collect())?);
        }
        let fields = struct_fields(columns.iter().map(|c| c.data_type()));
        Ok(Arc::new(StructArray::new(fields, columns, None)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut lists = ListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
        for values in emit.take_needed(&mut self.groups) {
            lists.values().append_slice(&values);
            lists.append(true);
        }
        Ok(vec![Arc::new(lists.finish())])
    }

    fn size(&self) -> usize {
        self.values * 2 * size_of::<i64>() + self.groups.capacity() * size_of::<Vec<i64>>()
    }
}
