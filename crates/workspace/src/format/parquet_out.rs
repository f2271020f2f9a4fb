//! Rows as a Parquet file, written part by part.

use crate::error::Result;
use crate::layout::Layout;
use crate::storage::{TICKS_COLUMN, has_digits, stored_schema, to_stored};
use arrow::array::{Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use engine::Column;
use kql::Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

const ROW_GROUP_ROWS: usize = 128 * 1024;
const COMPRESSION: i32 = 1;
/// Under this key the file says which Kusto types its columns have.
const TYPES_KEY: &str = "turnstone.columns";

/// Writes rows in the engine's types as table files hold them: times in µs, with their 100 ns digits in a column
/// `_Ticks`, which is there where any column is a time.
pub struct ParquetWriter {
    layout: Layout,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetWriter {
    /// Begins a file of rows under these columns.
    pub fn new(columns: Vec<Column>) -> Result<ParquetWriter> {
        let types: Vec<String> = columns.iter().map(|c| format!("{}:{}", c.name, c.column_type.name())).collect();
        let has_times = columns.iter().any(|column| column.column_type == Type::DateTime);
        let layout = Layout::new(columns);
        let mut fields: Vec<Arc<Field>> = stored_schema(&layout).fields().to_vec();
        if has_times {
            fields.push(Arc::new(Field::new(TICKS_COLUMN, DataType::Utf8, true)));
        }
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(COMPRESSION)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_key_value_metadata(Some(vec![KeyValue::new(TYPES_KEY.to_owned(), types.join(","))]))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        Ok(ParquetWriter { layout, schema, writer })
    }

    /// Adds rows. What of the file is ready; often nothing yet.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let stored = to_stored(&self.layout, rows, has_digits(&self.layout, std::slice::from_ref(rows)))?;
        let column = |field: &Arc<Field>| match stored.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
            Some(array) => arrow::compute::cast(array, field.data_type()),
            None => Ok(new_null_array(field.data_type(), stored.num_rows())),
        };
        let columns = self.schema.fields().iter().map(column).collect::<std::result::Result<_, _>>()?;
        self.writer.write(&RecordBatch::try_new(self.schema.clone(), columns)?)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// The rest of the file.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}
