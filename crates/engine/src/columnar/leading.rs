//! The first rows in an order: which rows of a segment may be among them is told by the key alone, so that the other
//! columns are read of these.

use super::program::{Program, Selection};
use super::{Segment, plain};
use datafusion::arrow::array::{Array, AsArray, BooleanArray, Int64Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::PhysicalExpr;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

/// So many rows, the first ones by a key, are all that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Leading {
    /// The key that decides first, a long over the columns of the table. Others may decide between equal ones.
    key: Arc<dyn PhysicalExpr>,
    options: SortOptions,
    rows: usize,
}

impl Leading {
    /// The first `rows` rows by a key; `None` for keys that are no longs.
    pub fn new(key: Arc<dyn PhysicalExpr>, options: SortOptions, rows: usize, table: &SchemaRef) -> Option<Leading> {
        matches!(key.data_type(table), Ok(DataType::Int64)).then_some(Leading { key, options, rows })
    }

    /// The segments in an order in which the first rows are soon met, so that the others need not be read. Those of
    /// which nothing is known come first: they are the newest.
    pub fn sort(&self, segments: &mut [Arc<dyn Segment>]) {
        let Some(column) = self.key.downcast_ref::<Column>() else { return };
        let bounds = |segment: &Arc<dyn Segment>| segment.bounds(column.index());
        match self.options.descending {
            true => segments.sort_by_key(|segment| bounds(segment).map(|bounds| Reverse(bounds.greatest))),
            false => segments.sort_by_key(|segment| bounds(segment).map(|bounds| bounds.least)),
        }
    }

    /// What computes the key.
    pub fn program(&self, table: &SchemaRef) -> Result<Program> {
        Program::new(&self.key, table)
    }

    /// Those of the rows that may be among the first: the first ones, and all that are equal to the last of them.
    pub fn select(&self, key: &Program, segment: &dyn Segment, selection: Selection) -> Result<Selection> {
        if selection.count(segment) <= self.rows {
            return Ok(selection);
        }
        let keys = plain(&key.evaluate(segment, &selection)?)?;
        Ok(selection.filtered(&self.keeps(keys.as_primitive::<Int64Type>())))
    }

    fn keeps(&self, keys: &Int64Array) -> BooleanArray {
        let nulls = keys.null_count();
        // How many of those that are not null are asked for.
        let wanted = match self.options.nulls_first {
            true => self.rows.saturating_sub(nulls),
            false => self.rows,
        };
        let keeps_nulls = self.options.nulls_first || keys.len() - nulls < wanted;
        let mut values: Vec<i64> = keys.iter().flatten().collect();
        let last = wanted.checked_sub(1).filter(|last| *last < values.len()).map(|last| {
            let (_, value, _) = match self.options.descending {
                true => values.select_nth_unstable_by(last, |a, b| b.cmp(a)),
                false => values.select_nth_unstable(last),
            };
            *value
        });
        let is_good = |value: i64| match last {
            Some(last) if self.options.descending => value >= last,
            Some(last) => value <= last,
            None => wanted > 0,
        };
        let keeps = |row| if keys.is_null(row) { keeps_nulls } else { is_good(keys.value(row)) };
        BooleanArray::new(BooleanBuffer::collect_bool(keys.len(), keeps), None)
    }
}

impl fmt::Display for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} {}", self.rows, self.key, self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_are_the_first_rows_and_their_equals() {
        let keys = Int64Array::from(vec![Some(3), None, Some(1), Some(3), Some(2), None, Some(9)]);
        let kept = |rows, descending, nulls_first| {
            let options = SortOptions { descending, nulls_first };
            let leading = Leading { key: Arc::new(Column::new("k", 0)), options, rows };
            leading.keeps(&keys).values().set_indices().collect::<Vec<_>>()
        };
        assert_eq!(kept(1, true, false), [6]);
        assert_eq!(kept(2, true, false), [0, 3, 6]);
        assert_eq!(kept(3, true, false), [0, 3, 6]);
        assert_eq!(kept(5, true, false), [0, 2, 3, 4, 6]);
        assert_eq!(kept(6, true, false), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(kept(1, false, true), [1, 5]);
        assert_eq!(kept(3, false, true), [1, 2, 5]);
        assert_eq!(kept(2, false, false), [2, 4]);
        assert_eq!(kept(0, false, false), [0; 0]);
    }
}
