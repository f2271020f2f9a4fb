//! `percentile`, `percentiles` and their weighted forms: nearest rank over all values of a group.

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
}

/// Values as integers that sort as they do.
fn keys_of(values: &ArrayRef) -> Result<Int64Array> {
    if values.data_type() == &DataType::Float64 {
        let reals = values.as_primitive::<Float64Type>();
        return Ok(reals.iter().map(|x| x.map(|x| sortable(x.to_bits().cast_signed()))).collect());
    }
    Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The values that such integers stand for.
fn values_of(keys: Vec<Option<i64>>, value_type: &DataType) -> Result<ArrayRef> {
    if value_type == &DataType::Float64 {
        let reals = keys.into_iter().map(|k| k.map(|k| f64::from_bits(sortable(k).cast_unsigned())));
        return Ok(Arc::new(reals.collect::<datafusion::arrow::array::Float64Array>()));
    }
    Ok(cast(&Int64Array::from(keys), value_type)?)
}

fn lists_of<'a>(groups: impl Iterator<Item = &'a [i64]>) -> ArrayRef {
    let mut lists = ListBuilder::new(PrimitiveBuilder::<Int64Type>::new());
    for values in groups {
        lists.values().append_slice(values);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn struct_of(columns: Vec<ArrayRef>) -> ArrayRef {
    let fields = struct_fields(columns.iter().map(|c| c.data_type()));
    Arc::new(StructArray::new(fields, columns, None))
}

impl Groups for Percentiles {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Vec::new);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let longs = keys_of(&values[0])?;
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
                let rank = (percent * values.len() as f64 / 100.0).ceil() as usize;
                let index = rank.saturating_sub(1).min(values.len().checked_sub(1)?);
                Some(*values.select_nth_unstable(index).1)
            });
            columns.push(values_of(ranked.collect(), &self.value_type)?);
        }
        Ok(struct_of(columns))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit.take_needed(&mut self.groups);
        Ok(vec![lists_of(groups.iter().map(Vec::as_slice))])
    }

    fn size(&self) -> usize {
        self.values * 2 * size_of::<i64>() + self.groups.capacity() * size_of::<Vec<i64>>()
    }
}

/// As [`Percentiles`], of values that count as often as their weights say; those without a weight above 0 do not count.
pub(super) struct WeightedPercentiles {
    percents: Vec<f64>,
    value_type: DataType,
    groups: Vec<Weighted>,
    values: usize,
}

#[derive(Default)]
struct Weighted {
    keys: Vec<i64>,
    weights: Vec<i64>,
}

impl WeightedPercentiles {
    pub(super) fn new(percents: Vec<f64>, value_type: &DataType) -> WeightedPercentiles {
        WeightedPercentiles { percents, value_type: value_type.clone(), groups: Vec::new(), values: 0 }
    }
}

impl Weighted {
    /// The first values in order that have each part of the whole weight at or before them.
    fn ranked(&self, percents: &[f64]) -> Vec<Option<i64>> {
        let mut order: Vec<(i64, i64)> = self.keys.iter().copied().zip(self.weights.iter().copied()).collect();
        order.sort_unstable();
        let whole: f64 = self.weights.iter().map(|w| *w as f64).sum();
        let at = |percent: &f64| {
            let wanted = percent * whole / 100.0;
            let mut before = 0.0;
            let found = order.iter().find(|(_, weight)| {
                before += *weight as f64;
                before >= wanted
            });
            found.or(order.last()).map(|(key, _)| *key)
        };
        percents.iter().map(at).collect()
    }
}

impl Groups for WeightedPercentiles {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Weighted::default);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let keys = keys_of(&values[0])?;
        let weights = values[1].as_primitive::<Int64Type>();
        for (row, g) in group.iter().enumerate() {
            if counts(row) && keys.is_valid(row) && weights.is_valid(row) && weights.value(row) > 0 {
                self.groups[*g].keys.push(keys.value(row));
                self.groups[*g].weights.push(weights.value(row));
                self.values += 1;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let (keys, weights) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for (row, g) in group.iter().enumerate().filter(|(row, _)| keys.is_valid(*row) && weights.is_valid(*row)) {
            let (keys, weights) = (keys.value(row), weights.value(row));
            self.groups[*g].keys.extend_from_slice(keys.as_primitive::<Int64Type>().values());
            self.groups[*g].weights.extend_from_slice(weights.as_primitive::<Int64Type>().values());
            self.values += keys.len();
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        let ranked: Vec<Vec<Option<i64>>> = groups.iter().map(|group| group.ranked(&self.percents)).collect();
        let column = |i: usize| values_of(ranked.iter().map(|row| row[i]).collect(), &self.value_type);
        Ok(struct_of((0..self.percents.len()).map(column).collect::<Result<_>>()?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit.take_needed(&mut self.groups);
        let keys = lists_of(groups.iter().map(|group| group.keys.as_slice()));
        Ok(vec![keys, lists_of(groups.iter().map(|group| group.weights.as_slice()))])
    }

    fn size(&self) -> usize {
        self.values * 4 * size_of::<i64>() + self.groups.capacity() * size_of::<Weighted>()
    }
}
