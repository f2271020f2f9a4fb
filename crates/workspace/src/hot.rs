//! The rows of a table that are in the log and not yet in its files.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

/// Batches are merged up to this size; larger ones are left as they are.
const MERGED_ROWS_MAX: usize = 64 * 1024;

/// Rows in order of arrival. Small batches are merged as they come, each row at most log(n) times, so that a
/// query over rows that came one by one does not meet thousands of batches.
#[derive(Debug, Clone, Default)]
pub(crate) struct HotRows {
    chunks: Vec<Chunk>,
    pub rows: usize,
    pub bytes: usize,
    /// When the oldest of them came, in ticks.
    pub since_ticks: Option<i64>,
}

#[derive(Debug, Clone)]
struct Chunk {
    /// The sequence number of the last record that it holds rows of.
    last: u64,
    batch: RecordBatch,
}

impl HotRows {
    pub fn push(&mut self, sequence: u64, batch: RecordBatch, now_ticks: i64) {
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.since_ticks.get_or_insert(now_ticks);
        self.chunks.push(Chunk { last: sequence, batch });
        while let [.., a, b] = self.chunks.as_slice() {
            let total = a.batch.num_rows() + b.batch.num_rows();
            if a.batch.num_rows() > 2 * b.batch.num_rows() || total > MERGED_ROWS_MAX {
                break;
            }
            let Ok(batch) = concat_batches(&a.batch.schema(), [&a.batch, &b.batch]) else { break };
            let merged = Chunk { last: b.last, batch };
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(merged);
        }
    }

    pub fn batches(&self) -> Vec<RecordBatch> {
        self.chunks.iter().map(|c| c.batch.clone()).collect()
    }

    pub fn last_sequence(&self) -> Option<u64> {
        self.chunks.last().map(|c| c.last)
    }

    /// Rows moved to the columns of `schema`, by name; new columns are null.
    pub fn reshaped(&self, schema: &SchemaRef) -> HotRows {
        let chunks = self.chunks.iter().map(|c| Chunk { batch: reshape(&c.batch, schema), ..c.clone() });
        HotRows { chunks: chunks.collect(), ..self.clone() }
    }
}

/// A batch under the columns of `schema`: by name, null where it has none.
pub(crate) fn reshape(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    if batch.schema() == *schema {
        return batch.clone();
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            _ => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap_or_else(|_| RecordBatch::new_empty(schema.clone()))
}
