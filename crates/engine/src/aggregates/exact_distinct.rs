//! `count_distinct`: the number of distinct values of each group, exactly.

use super::Groups;
use crate::columnar::Values;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::hash_utils::RandomState;
use datafusion::logical_expr::EmitTo;
use std::collections::HashSet;
use std::sync::Arc;

/// Whether values of a type can be counted here.
pub(crate) fn can_count(of: &DataType) -> bool {
    Values::can_number(of)
}

/// Values by their numbers, and which of them each group has.
pub(super) struct ExactDistinct {
    of: DataType,
    values: Values,
    seen: HashSet<u64, RandomState>,
    groups: Vec<Vec<u32>>,
    /// Scratch: the number of each row's value.
    numbers: Vec<u32>,
}

impl ExactDistinct {
    pub(super) fn new(of: &DataType) -> ExactDistinct {
        ExactDistinct {
            of: of.clone(),
            values: Values::new(of),
            seen: HashSet::default(),
            groups: Vec::new(),
            numbers: Vec::new(),
        }
    }

    fn add(&mut self, group: usize, number: u32) {
        if self.seen.insert((group as u64) << 32 | u64::from(number)) {
            self.groups[group].push(number);
        }
    }

    /// The groups that are given away, and the others under their new numbers.
    fn emitted(&mut self, emit: EmitTo) -> Vec<Vec<u32>> {
        let emitted = emit.take_needed(&mut self.groups);
        self.seen.clear();
        for (group, numbers) in self.groups.iter().enumerate() {
            self.seen.extend(numbers.iter().map(|number| (group as u64) << 32 | u64::from(*number)));
        }
        emitted
    }
}

impl Groups for ExactDistinct {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Vec::new);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.values.number(&values[0], &mut numbers)?;
        let nulls = values[0].logical_nulls();
        for (row, g) in group.iter().enumerate() {
            if counts(row) && nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                self.add(*g, numbers[row]);
            }
        }
        self.numbers = numbers;
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        let mut numbers = std::mem::take(&mut self.numbers);
        self.values.number(lists.values(), &mut numbers)?;
        for (row, g) in group.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
            numbers[start..end].iter().for_each(|number| self.add(*g, *number));
        }
        self.numbers = numbers;
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit);
        Ok(Arc::new(groups.iter().map(|numbers| numbers.len() as i64).collect::<Int64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit);
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let numbers: UInt32Array = groups.into_iter().flatten().collect();
        let items = take(&self.values.all(), &numbers, None)?;
        let field = Arc::new(Field::new_list_field(self.of.clone(), true));
        Ok(vec![Arc::new(ListArray::try_new(field, offsets, items, None)?)])
    }

    fn size(&self) -> usize {
        let held: usize = self.groups.iter().map(|numbers| numbers.capacity() * 4).sum();
        self.values.size() + self.seen.capacity() * 9 + held + self.groups.capacity() * size_of::<Vec<u32>>()
    }
}
