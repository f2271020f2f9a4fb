//! The best row of each group, found by its key: where it is is remembered, and its other values are read in the end, of
//! the rows that nothing has beaten.

use super::program::{Programs, Selection};
use super::{Segment, plain};
use crate::aggregates::BestKeys;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::sync::Arc;

/// The best rows by one key.
pub(super) struct BestRows {
    keys: BestKeys,
    /// Where the row of each group is.
    places: Vec<Place>,
    /// What is given of a row beside its key.
    others: Programs,
    /// For each value that is given its place among the programs.
    given: Vec<usize>,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: u32,
    row: u32,
}

impl BestRows {
    /// Whether keys of a type can be compared.
    pub fn can_compare(of: &DataType) -> bool {
        BestKeys::can_compare(of)
    }

    /// No rows yet.
    pub fn new(key: &DataType, largest: bool, others: Programs, given: Vec<usize>) -> BestRows {
        BestRows { keys: BestKeys::new(key, largest), places: Vec::new(), others, given }
    }

    /// Makes room for `groups` groups.
    pub fn resize(&mut self, groups: usize) {
        self.keys.resize(groups);
        self.places.resize(groups, Place::default());
    }

    /// Takes in the selected rows of a segment, of those that meet the condition.
    pub fn update(
        &mut self,
        segment: usize,
        selection: &Selection,
        keys: &ArrayRef,
        group: &[usize],
        condition: Option<&BooleanArray>,
    ) -> Result<()> {
        let places = &mut self.places;
        let counts = |row| condition.is_none_or(|holds| holds.is_valid(row) && holds.value(row));
        self.keys.update(keys, group, &counts, |group, row| {
            let row = match selection {
                Selection::All => row as u32,
                Selection::Rows(rows) => rows.value(row),
            };
            places[group] = Place { segment: segment as u32, row };
        })
    }

    /// The groups in an order in which those whose rows are in the same segment stand together.
    pub fn order(&self) -> Vec<u32> {
        let segments = self.places.iter().map(|place| place.segment as usize + 1).max().unwrap_or_default();
        // Where the groups of each segment begin.
        let mut next = vec![0usize; segments];
        self.places.iter().for_each(|place| next[place.segment as usize] += 1);
        let mut start = 0;
        for count in &mut next {
            start += std::mem::replace(count, start);
        }
        let mut order = vec![0; self.places.len()];
        for (group, place) in (0u32..).zip(&self.places) {
            let at = &mut next[place.segment as usize];
            order[*at] = group;
            *at += 1;
        }
        order
    }

    /// The keys of all groups. The rows are not forgotten: [`BestRows::others`] can still be asked.
    pub fn keys(&mut self) -> (ArrayRef, Found) {
        let is_met = (0..self.places.len()).map(|group| self.keys.is_met(group)).collect();
        let places = std::mem::take(&mut self.places);
        (self.keys.emit(EmitTo::All), Found { is_met, places })
    }

    /// The other values of the rows of some of the groups that were found, a column each.
    pub fn others(&self, found: &Found, groups: &[u32], segments: &[Arc<dyn Segment>]) -> Result<Vec<ArrayRef>> {
        let mut wanted: Vec<(Place, u32)> = Vec::with_capacity(groups.len());
        for (group, at) in groups.iter().zip(0u32..) {
            if found.is_met[*group as usize] {
                wanted.push((found.places[*group as usize], at));
            }
        }
        if !wanted.is_sorted_by_key(|(place, _)| place.segment) {
            wanted.sort_unstable();
        }
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.given.len()];
        for of_segment in wanted.chunk_by(|a, b| a.0.segment == b.0.segment) {
            let Some(segment) = of_segment.first().and_then(|first| segments.get(first.0.segment as usize)) else {
                continue;
            };
            let rows: UInt32Array = of_segment.iter().map(|(place, _)| place.row).collect();
            let values = self.others.evaluate(segment.as_ref(), &Selection::Rows(rows))?;
            for (part, given) in parts.iter_mut().zip(&self.given) {
                part.push(alone(&plain(&values[*given])?));
            }
        }
        // Where the value of each group is; a group without a row has none.
        let mut at: Vec<Option<u32>> = vec![None; groups.len()];
        wanted.iter().zip(0u32..).for_each(|((_, group), value)| at[*group as usize] = Some(value));
        let at = UInt32Array::from(at);
        let column = |(part, given): (&Vec<ArrayRef>, &usize)| {
            let part: Vec<&dyn Array> = part.iter().map(|array| array.as_ref()).collect();
            match part.is_empty() {
                true => Ok(datafusion::arrow::array::new_null_array(&self.others.data_type(*given)?, groups.len())),
                false => Ok(take(&concat(&part)?, &at, None)?),
            }
        };
        parts.iter().zip(&self.given).map(column).collect()
    }

    /// The memory held, in bytes.
    pub fn size(&self) -> usize {
        self.keys.size() + self.places.capacity() * size_of::<Place>()
    }
}

/// Where the rows of groups are, after their keys have been given.
pub(super) struct Found {
    is_met: Vec<bool>,
    places: Vec<Place>,
}

/// The values without those of the rows that they were taken from.
fn alone(values: &ArrayRef) -> ArrayRef {
    match values.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()),
        None => values.clone(),
    }
}
