//! Parquet and Avro: rows that come as columns with types of their own.
//!
//! | theirs | Kusto |
//! |--|--|
//! | integers, reals, booleans, decimals | their like |
//! | dates and timestamps | datetime |
//! | durations and times of the day | timespan |
//! | 16 bytes | guid |
//! | lists, structures, maps | dynamic |
//! | bytes | string: text where they are UTF-8, else base64 |
//! | everything else | string |

use super::mapping::Mapping;
use super::{Parsed, Rejects, append_field};
use crate::error::{Error, Result};
use crate::rows::BatchBuilder;
use crate::storage::TICKS_COLUMN;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use base64::Engine;
use engine::Column;
use kql::Type;
use kql::timespan::TICKS_PER_MICROSECOND;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::sync::Arc;

/// Reads a Parquet file, its columns in Kusto's types.
pub fn read_parquet(bytes: Vec<u8>) -> Result<(Vec<Column>, Vec<RecordBatch>)> {
    let (schema, batches) = parquet_batches(bytes)?;
    let columns = kusto_columns(&schema);
    let kusto_schema = engine::types::arrow_schema(&columns);
    let convert = |batch: &RecordBatch| {
        let arrays = batch.columns().iter().zip(&columns).map(|(array, column)| from_arrow(array, column.column_type));
        Ok(RecordBatch::try_new(kusto_schema.clone(), arrays.collect::<Result<_>>()?)?)
    };
    let batches = batches.iter().map(convert).collect::<Result<_>>()?;
    Ok((columns, batches))
}

/// Reads a Parquet file into a table's columns: by name, or by a mapping. Values of another type are read from their
/// texts.
pub fn parse_parquet(columns: &[Column], mapping: Option<&Mapping>, bytes: Vec<u8>) -> Result<Parsed> {
    let (_, batches) = parquet_batches(bytes)?;
    parse_batches(columns, mapping, &batches)
}

/// Reads an Avro file, as [`parse_parquet`] does.
pub fn parse_avro(columns: &[Column], mapping: Option<&Mapping>, bytes: &[u8]) -> Result<Parsed> {
    let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes))?;
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
    parse_batches(columns, mapping, &batches)
}

fn parquet_batches(bytes: Vec<u8>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?;
    let schema = builder.schema().clone();
    let batches = builder.build()?.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok((schema, batches))
}

fn parse_batches(columns: &[Column], mapping: Option<&Mapping>, batches: &[RecordBatch]) -> Result<Parsed> {
    let names: Option<Vec<Option<&str>>> = match mapping {
        None => Some(columns.iter().map(|column| Some(column.name.as_str())).collect()),
        Some(mapping) => mapping.members(),
    };
    let schema = engine::types::arrow_schema(columns);
    let parts = batches.iter().map(|batch| match (&names, mapping) {
        (Some(names), _) => by_columns(columns, names, &schema, batch),
        (None, Some(mapping)) => by_records(columns, mapping, batch),
        (None, None) => Ok(RecordBatch::new_empty(schema.clone())),
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    Rejects::default().finish(concat_batches(&schema, &parts)?)
}

/// Each column from the one of that name.
fn by_columns(
    columns: &[Column],
    names: &[Option<&str>],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, name) in columns.iter().zip(names) {
        let Some(array) = name.and_then(|name| batch.column_by_name(name)) else {
            let mut builder = BatchBuilder::new(std::slice::from_ref(column));
            (0..batch.num_rows()).for_each(|_| builder.push_with(|_, of, values| values.append_none(of)));
            arrays.push(builder.finish()?.column(0).clone());
            continue;
        };
        let of = kusto_type(array.data_type());
        let mut array = from_arrow(array, of)?;
        if of == Type::DateTime
            && let Some(name) = name
        {
            array = with_digits(array, name, batch);
        }
        // Timespans are stored as ticks.
        if of == column.column_type || (of, column.column_type) == (Type::Long, Type::TimeSpan) {
            arrays.push(array);
            continue;
        }
        let mut builder = BatchBuilder::new(std::slice::from_ref(column));
        for text in to_texts(&array, of)?.iter() {
            builder.push_with(|_, of, values| match text {
                Some(text) => append_field(values, of, text),
                None => values.append_none(of),
            });
        }
        arrays.push(builder.finish()?.column(0).clone());
    }
    Ok(RecordBatch::try_new(schema.clone(), arrays)?)
}

/// Times with the digits that a file of ours keeps apart from them: one for each column of times, in their order.
fn with_digits(times: ArrayRef, name: &str, batch: &RecordBatch) -> ArrayRef {
    let Some(digits) = batch.column_by_name(TICKS_COLUMN) else { return times };
    let Ok(digits) = cast(digits, &DataType::Utf8View) else { return times };
    let fields = batch.schema_ref().fields();
    let is_time = |field: &&Arc<Field>| kusto_type(field.data_type()) == Type::DateTime;
    let place = fields.iter().filter(is_time).position(|field| field.name() == name).unwrap_or(usize::MAX);
    let digit = |digits: Option<&str>| {
        digits.and_then(|d| d.as_bytes().get(place)).map_or(0, |b| i64::from(b.saturating_sub(b'0')))
    };
    let ticks = times.as_primitive::<Int64Type>().iter().zip(digits.as_string_view().iter());
    Arc::new(ticks.map(|(time, digits)| time.map(|time| time + digit(digits))).collect::<Int64Array>())
}

/// Each row as a JSON object, for mappings that look into it.
fn by_records(columns: &[Column], mapping: &Mapping, batch: &RecordBatch) -> Result<RecordBatch> {
    let mut builder = BatchBuilder::new(columns);
    let plain: Vec<(&str, ArrayRef, Type)> = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| {
            let of = kusto_type(array.data_type());
            Ok((field.name().as_str(), from_arrow(array, of)?, of))
        })
        .collect::<Result<_>>()?;
    for row in 0..batch.num_rows() {
        let member = |(name, array, of): &(&str, ArrayRef, Type)| {
            let mut text = String::new();
            engine::cells::Cells::new(*of, array).write_json(row, &mut text);
            let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            ((*name).to_owned(), value)
        };
        let record = Value::Object(plain.iter().map(member).collect());
        builder.push(|at, _| mapping.0[at].value(&record));
    }
    builder.finish()
}

fn kusto_columns(schema: &Schema) -> Vec<Column> {
    schema.fields().iter().map(|field| Column::new(field.name(), kusto_type(field.data_type()))).collect()
}

fn kusto_type(of: &DataType) -> Type {
    match of {
        DataType::Boolean => Type::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => Type::Int,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Type::Long,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Type::Real,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Type::Decimal
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Type::DateTime,
        DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_) => Type::TimeSpan,
        DataType::FixedSizeBinary(16) => Type::Guid,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => Type::Dynamic,
        DataType::Dictionary(_, values) => kusto_type(values),
        _ => Type::String,
    }
}

/// Values of a type that [`kusto_type`] gives as the engine has them.
fn from_arrow(array: &ArrayRef, of: Type) -> Result<ArrayRef> {
    let converted: ArrayRef = match (of, array.data_type()) {
        (_, DataType::Dictionary(_, values)) => return from_arrow(&cast(array, values)?, of),
        (Type::DateTime, _) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>();
            Arc::new(micros.unary::<_, Int64Type>(kql::datetime::from_unix_micros))
        }
        (Type::TimeSpan, _) => {
            let micros = match array.data_type() {
                DataType::Duration(_) => cast(array, &DataType::Duration(TimeUnit::Microsecond))?,
                _ => cast(array, &DataType::Time64(TimeUnit::Microsecond))?,
            };
            let micros = cast(&micros, &DataType::Int64)?;
            Arc::new(
                micros.as_primitive::<Int64Type>().unary::<_, Int64Type>(|m| m.saturating_mul(TICKS_PER_MICROSECOND)),
            )
        }
        (Type::Guid, _) => {
            let guid = |bytes: &[u8]| uuid::Uuid::from_slice(bytes).unwrap_or_default().to_string();
            let bytes = array.as_fixed_size_binary();
            Arc::new(bytes.iter().map(|bytes| bytes.map(guid)).collect::<StringViewArray>())
        }
        (Type::Dynamic, _) => Arc::new(json_texts(array)?),
        (
            Type::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_),
        ) => {
            let bytes = cast(array, &DataType::BinaryView)?;
            let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => base64::engine::general_purpose::STANDARD.encode(bytes),
            };
            let texts = bytes.as_binary_view().iter().map(|bytes| Some(bytes.map(text).unwrap_or_default()));
            Arc::new(texts.collect::<StringViewArray>())
        }
        _ => cast(array, &engine::types::arrow_type(of))?,
    };
    if of == Type::String && converted.null_count() > 0 {
        let texts = converted.as_string_view().iter().map(|t| Some(t.unwrap_or("")));
        return Ok(Arc::new(texts.collect::<StringViewArray>()));
    }
    Ok(converted)
}

/// Each value as JSON.
fn json_texts(array: &ArrayRef) -> Result<StringViewArray> {
    const BEFORE: &str = "{\"v\":";
    let schema = Arc::new(Schema::new(vec![Field::new("v", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![array.clone()])?;
    let mut bytes = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut bytes);
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    let text = String::from_utf8_lossy(&bytes);
    let value = |(row, line): (usize, &str)| {
        let inner = line.strip_prefix(BEFORE)?.strip_suffix('}')?;
        array.is_valid(row).then(|| inner.to_owned())
    };
    let texts: StringViewArray = text.lines().enumerate().map(value).collect();
    match texts.len() == array.len() {
        true => Ok(texts),
        false => Err(Error::BadBatch(format!("{} values have {} texts", array.len(), texts.len()))),
    }
}

fn to_texts(array: &ArrayRef, of: Type) -> Result<StringViewArray> {
    let of_ticks = |write: fn(i64) -> String| {
        let ticks: &Int64Array = array.as_primitive();
        ticks.iter().map(|t| t.map(write)).collect()
    };
    Ok(match of {
        Type::DateTime => of_ticks(kql::datetime::format),
        Type::TimeSpan => of_ticks(kql::timespan::format),
        _ => cast(array, &DataType::Utf8View)?.as_string_view().clone(),
    })
}
