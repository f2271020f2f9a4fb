//! The rows of a table that are in the log and not yet in its files.

use crate::cache::next_number;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use engine::Column;
use engine::types::arrow_schema;
use kql::Type;
use std::sync::Arc;
use std::time::Instant;

/// Batches are merged up to this size; larger ones are left as they are.
const MERGED_ROWS_MAX: usize = 64 * 1024;
const MERGED_BYTES_MAX: usize = 1 << 20;
/// String buffers may take this much more room than their values before the values are copied into smaller ones.
const UNUSED_BYTES_MAX: usize = 64 << 10;
const VIEW_BYTES: usize = 16;

/// Rows in order of arrival. Small batches are merged as they come, each row at most log(n) times, so that a
/// query over rows that came one by one does not meet thousands of batches.
#[derive(Debug, Clone, Default)]
pub(crate) struct HotRows {
    chunks: Vec<Chunk>,
    pub rows: usize,
    pub bytes: usize,
    /// When the oldest of them came.
    pub since: Option<Instant>,
    /// When the newest of them came.
    pub newest: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Chunk {
    /// The sequence number of the last record that it holds rows of.
    last: u64,
    batch: RecordBatch,
    bytes: usize,
    /// Unlike that of any other rows.
    number: u64,
}

impl Chunk {
    fn new(last: u64, batch: RecordBatch) -> Chunk {
        Chunk { last, bytes: held_bytes(&batch), batch, number: next_number() }
    }
}

impl HotRows {
    pub fn push(&mut self, sequence: u64, batch: RecordBatch, now: Instant) {
        self.rows += batch.num_rows();
        self.since.get_or_insert(now);
        self.newest = Some(now);
        let is_loose = held_bytes(&batch) > 2 * value_bytes(&batch) + UNUSED_BYTES_MAX;
        let batch = if is_loose { compacted(&batch).unwrap_or(batch) } else { batch };
        let chunk = Chunk::new(sequence, batch);
        self.bytes += chunk.bytes;
        self.chunks.push(chunk);
        while let [.., a, b] = self.chunks.as_slice() {
            let total = a.batch.num_rows() + b.batch.num_rows();
            let old_bytes = a.bytes + b.bytes;
            if a.batch.num_rows() > 2 * b.batch.num_rows() || total > MERGED_ROWS_MAX || old_bytes > MERGED_BYTES_MAX {
                break;
            }
            let Ok(batch) = concat_batches(&a.batch.schema(), [&a.batch, &b.batch]).and_then(|b| compacted(&b)) else {
                break;
            };
            let merged = Chunk::new(b.last, batch);
            self.bytes = self.bytes - old_bytes + merged.bytes;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
    }

    pub fn batches(&self) -> Vec<RecordBatch> {
        self.chunks.iter().map(|c| c.batch.clone()).collect()
    }

    /// The rows in pieces for queries, each with a number that no others have.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, RecordBatch)> + '_ {
        self.chunks.iter().map(|c| (c.number, c.batch.clone()))
    }

    pub fn last_sequence(&self) -> Option<u64> {
        self.chunks.last().map(|c| c.last)
    }

    /// Rows moved to the columns of `schema`, by name; new columns are null.
    pub fn reshaped(&self, columns: &[Column]) -> Result<HotRows> {
        let chunks = self.chunks.iter().map(|c| Ok(Chunk::new(c.last, reshape(&c.batch, columns)?)));
        let chunks: Vec<Chunk> = chunks.collect::<Result<_>>()?;
        Ok(HotRows { bytes: chunks.iter().map(|c| c.bytes).sum(), chunks, ..*self })
    }
}

/// The bytes that the batch keeps in memory, buffers of strings once however many columns and values share them.
fn held_bytes(batch: &RecordBatch) -> usize {
    let mut buffers = Vec::new();
    let mut bytes = 0;
    for array in batch.columns() {
        bytes += match array.data_type() {
            DataType::Utf8View => {
                buffers.extend(array.as_string_view().data_buffers().iter().map(|b| (b.data_ptr(), b.capacity())));
                VIEW_BYTES * array.len()
            }
            other => array.len() * other.primitive_width().unwrap_or(1),
        };
    }
    buffers.sort_unstable();
    buffers.dedup();
    bytes + buffers.iter().map(|(_, capacity)| capacity).sum::<usize>()
}

/// The bytes of the values themselves, whatever room their buffers have.
fn value_bytes(batch: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8View => array.as_string_view().lengths().map(|l| VIEW_BYTES + l as usize).sum(),
        other => array.len() * other.primitive_width().unwrap_or(1),
    };
    batch.columns().iter().map(column).sum()
}

/// The batch with string buffers of just the size that its values need.
fn compacted(batch: &RecordBatch) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().map(|array| match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()) as ArrayRef,
        _ => array.clone(),
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

/// A batch under `columns`: by name; null (for strings `""`) where it has none, an error where it has another type.
pub(crate) fn reshape(batch: &RecordBatch, columns: &[Column]) -> Result<RecordBatch> {
    let schema = arrow_schema(columns);
    if batch.schema() == schema {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let arrays = columns.iter().zip(schema.fields()).map(|(column, field)| match batch.column_by_name(&column.name) {
        Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
        Some(array) => Err(Error::BadBatch(format!(
            "the rows have {} in the column '{}', which is of type {}",
            array.data_type(),
            column.name,
            column.column_type
        ))),
        None if column.column_type == Type::String => {
            Ok(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", rows))) as ArrayRef)
        }
        None => Ok(arrow::array::new_null_array(field.data_type(), rows)),
    });
    Ok(RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    fn batch(texts: StringViewArray) -> RecordBatch {
        let columns = [Column::new("S", Type::String), Column::new("N", Type::Long)];
        let numbers = Int64Array::from_iter_values(0..texts.len() as i64);
        RecordBatch::try_new(arrow_schema(&columns), vec![Arc::new(texts), Arc::new(numbers)]).expect("a batch")
    }

    #[test]
    fn small_batches_are_merged_and_large_ones_left_alone() {
        let mut hot = HotRows::default();
        for sequence in 1..=1000 {
            let text = format!("row {sequence} has a text that is long enough for a buffer");
            hot.push(sequence, batch(StringViewArray::from_iter_values([text])), Instant::now());
        }
        assert!(hot.batches().len() <= 12, "{} batches", hot.batches().len());
        assert_eq!((hot.rows, hot.last_sequence()), (1000, Some(1000)));
        assert!((60_000..200_000).contains(&hot.bytes), "{} bytes", hot.bytes);
        let large = batch(StringViewArray::from_iter_values((0..20_000).map(|i| format!("{i:0>100}"))));
        let before = hot.batches().len();
        hot.push(1001, large.clone(), Instant::now());
        hot.push(1002, large, Instant::now());
        assert_eq!(hot.batches().len(), before + 2);
        assert!((4_000_000..10_000_000).contains(&hot.bytes), "{} bytes", hot.bytes);
    }

    #[test]
    fn a_few_rows_do_not_keep_the_buffers_of_many() {
        let many = StringViewArray::from_iter_values((0..20_000).map(|i| format!("{i:0>100}")));
        let mut hot = HotRows::default();
        hot.push(1, batch(many).slice(5, 3), Instant::now());
        assert!(hot.bytes < 10_000, "{} bytes", hot.bytes);
    }
}
