//! A Parquet file in pieces that are files themselves, for sending a large one.

use crate::error::{Result, at};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::path::Path;

const PIECE_ROWS: usize = 16 * 1024;

/// Reads a file's rows in order.
pub struct ParquetPieces {
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    /// Rows of the whole file.
    pub rows: u64,
}

/// Some rows of a file.
pub struct ParquetPiece {
    pub rows: u64,
    /// A Parquet file of them.
    pub bytes: Vec<u8>,
    batch: RecordBatch,
}

impl ParquetPieces {
    /// Opens a file, at the row with the number `from`.
    pub fn open(path: &Path, from: u64) -> Result<ParquetPieces> {
        let file = File::open(path).map_err(at(path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
        let schema = builder.schema().clone();
        let skipped = usize::try_from(from).unwrap_or(usize::MAX);
        let reader = builder.with_batch_size(PIECE_ROWS).with_offset(skipped).build()?;
        Ok(ParquetPieces { schema, reader, rows })
    }

    /// The next rows; `None` behind the last.
    pub fn next_piece(&mut self) -> Result<Option<ParquetPiece>> {
        let Some(batch) = self.reader.next().transpose()? else { return Ok(None) };
        let mut writer = ArrowWriter::try_new(Vec::new(), self.schema.clone(), None)?;
        writer.write(&batch)?;
        Ok(Some(ParquetPiece { rows: batch.num_rows() as u64, bytes: writer.into_inner()?, batch }))
    }
}

impl ParquetPiece {
    /// The text that all rows have in a column; `None` where they differ or there is no such column.
    pub fn common_text(&self, column: &str) -> Option<String> {
        let texts = cast(self.batch.column_by_name(column)?, &DataType::Utf8View).ok()?;
        let texts = texts.as_string_view();
        let first = (!texts.is_empty() && texts.is_valid(0)).then(|| texts.value(0))?;
        texts.iter().all(|text| text == Some(first)).then(|| first.to_owned())
    }
}
