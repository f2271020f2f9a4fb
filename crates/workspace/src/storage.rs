//! Rows as table files hold them, and back: times as µs with the odd 100 ns digit beside them.
//!
//! | Kusto | Delta |
//! |--|--|
//! | datetime | timestamp (µs, UTC) |
//! | timespan | long, 100 ns ticks |
//! | guid, dynamic, string | string |
//! | the others | their own |
//!
//! Columns stand under the names that [`Layout`] gives them.
//!
//! A datetime's 100 ns digit does not fit a µs timestamp. Files with such digits carry one more column, `_Ticks`:
//! a string with one digit for each datetime column, in the order in which they were added.

use crate::error::Result;
use crate::layout::Layout;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use deltalake_core::kernel::{DataType as DeltaType, StructField};
use engine::Column;
use engine::types::{DECIMAL_PRECISION, DECIMAL_SCALE};
use kql::Type;
use kql::datetime::{UNIX_EPOCH_TICKS, to_unix_micros};
use kql::timespan::TICKS_PER_MICROSECOND;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The column with the 100 ns digits; not part of the public schema.
pub(crate) const TICKS_COLUMN: &str = "_Ticks";
/// The column that tables are partitioned by: the day of TimeGenerated.
pub(crate) const DAY_COLUMN: &str = "_Day";

fn stored_type(of: Type) -> DataType {
    match of {
        Type::Bool => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Long | Type::TimeSpan => DataType::Int64,
        Type::Real => DataType::Float64,
        Type::Decimal => DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
        Type::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::String | Type::Guid | Type::Dynamic => DataType::Utf8,
    }
}

/// The fields of a table's Delta schema.
pub(crate) fn delta_fields(layout: &Layout) -> Result<Vec<StructField>> {
    let mut fields = Vec::with_capacity(layout.columns.len() + 1);
    for column in layout.stored_as_added() {
        let of = match column.column_type {
            Type::Bool => DeltaType::BOOLEAN,
            Type::Int => DeltaType::INTEGER,
            Type::Long | Type::TimeSpan => DeltaType::LONG,
            Type::Real => DeltaType::DOUBLE,
            Type::Decimal => DeltaType::decimal(DECIMAL_PRECISION, DECIMAL_SCALE.unsigned_abs())
                .map_err(|e| deltalake_core::DeltaTableError::generic(e.to_string()))?,
            Type::DateTime => DeltaType::TIMESTAMP,
            Type::String | Type::Guid | Type::Dynamic => DeltaType::STRING,
        };
        fields.push(StructField::nullable(&column.name, of));
    }
    fields.push(StructField::nullable(DAY_COLUMN, DeltaType::DATE));
    Ok(fields)
}

/// The columns of a table as files have them, in the order in which they were added.
pub(crate) fn stored_schema(layout: &Layout) -> SchemaRef {
    let field = |column: Column| Field::new(column.name, stored_type(column.column_type), true);
    Arc::new(Schema::new(layout.stored_as_added().into_iter().map(field).collect::<Vec<_>>()))
}

/// The schema that a file of such rows says it has: strings of the usual kind, which all readers know. Parquet has but
/// one.
pub(crate) fn declared_schema(stored: &RecordBatch) -> SchemaRef {
    let schema = stored.schema();
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => Field::new(field.name(), DataType::Utf8, true),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Whether a datetime of any of the rows, in the engine's types, has a 100 ns digit.
pub(crate) fn has_digits(layout: &Layout, batches: &[RecordBatch]) -> bool {
    let is_datetime = |at: &usize| layout.columns[*at].column_type == Type::DateTime;
    let of_batch = |batch: &RecordBatch| {
        let mut datetimes = (0..layout.columns.len()).filter(is_datetime).map(|at| batch.column(at).as_primitive());
        datetimes.any(|ticks: &Int64Array| ticks.iter().flatten().any(|ticks| digit(ticks) != 0))
    };
    batches.iter().any(of_batch)
}

/// The 100 ns digit of a datetime.
fn digit(ticks: i64) -> i64 {
    (ticks - UNIX_EPOCH_TICKS).rem_euclid(TICKS_PER_MICROSECOND)
}

/// Rows in the engine's types as a file stores them, with the 100 ns digits or without; strings are views.
pub(crate) fn to_stored(layout: &Layout, batch: &RecordBatch, has_digits: bool) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(layout.columns.len() + 1);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(layout.columns.len() + 1);
    let mut digits: BTreeMap<usize, Int64Array> = BTreeMap::new();
    for ((column, place), array) in layout.stored.iter().zip(&layout.places).zip(batch.columns()) {
        let of = stored_type(column.column_type);
        let stored: ArrayRef = if column.column_type == Type::DateTime {
            let ticks = array.as_primitive::<Int64Type>();
            if has_digits {
                digits.insert(*place, ticks.unary(digit));
            }
            let micros: TimestampMicrosecondArray = ticks.unary(to_unix_micros);
            Arc::new(micros.with_timezone("UTC"))
        } else if of == DataType::Utf8 {
            array.clone()
        } else {
            cast(array, &of)?
        };
        fields.push(Field::new(&column.name, stored.data_type().clone(), true));
        arrays.push(stored);
    }
    if has_digits {
        let mut texts = StringBuilder::new();
        for row in 0..batch.num_rows() {
            let text: String = digits
                .values()
                .map(|d| if d.is_valid(row) { (b'0' + d.value(row) as u8) as char } else { '0' })
                .collect();
            texts.append_value(text);
        }
        fields.push(Field::new(TICKS_COLUMN, DataType::Utf8, true));
        arrays.push(Arc::new(texts.finish()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Rows as a file stores them in the engine's types, with the fields of `schema`. In `batch` strings are views;
/// `columns` are those wanted, by their stored names; `places` gives for a
/// datetime column its place among all datetime columns of the table, which is that of its digit in `_Ticks`.
pub(crate) fn from_stored(
    columns: &[Column],
    places: &[usize],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let ticks_text = batch.column_by_name(TICKS_COLUMN).cloned();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(array) = batch.column_by_name(&column.name) else {
            arrays.push(arrow::array::new_null_array(&engine::types::arrow_type(column.column_type), batch.num_rows()));
            continue;
        };
        arrays.push(match column.column_type {
            Type::DateTime => {
                let micros = array.as_primitive::<TimestampMicrosecondType>();
                Arc::new(micros.unary::<_, Int64Type>(kql::datetime::from_unix_micros)) as ArrayRef
            }
            Type::String if array.null_count() > 0 => {
                let texts = array.as_string_view();
                Arc::new(texts.iter().map(|t| Some(t.unwrap_or(""))).collect::<arrow::array::StringViewArray>())
            }
            _ => array.clone(),
        });
    }
    if let Some(texts) = ticks_text.filter(|t| t.null_count() < t.len()) {
        add_digits(columns, places, &texts, &mut arrays);
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

fn add_digits(columns: &[Column], places: &[usize], texts: &ArrayRef, arrays: &mut [ArrayRef]) {
    let texts = texts.as_string_view();
    for (i, _) in columns.iter().enumerate().filter(|(_, c)| c.column_type == Type::DateTime) {
        let ticks = arrays[i].as_primitive::<Int64Type>();
        let exact: Int64Array = ticks
            .iter()
            .zip(texts.iter())
            .map(|(t, digits)| {
                let digit = digits.and_then(|d| d.as_bytes().get(places[i])).and_then(|b| b.checked_sub(b'0'));
                let digit = digit.filter(|d| *d < 10).map_or(0, i64::from);
                t.map(|t| t + digit)
            })
            .collect();
        arrays[i] = Arc::new(exact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;

    #[test]
    fn the_odd_digit_survives() {
        let columns =
            [Column::new("A", Type::DateTime), Column::new("S", Type::String), Column::new("B", Type::DateTime)];
        let layout = Layout::new(columns.to_vec());
        let schema = layout.schema.clone();
        let exact = kql::datetime::parse("2026-03-02T10:00:00.1234567Z");
        let before_1970 = kql::datetime::parse("1960-01-01T00:00:00.0000003Z");
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(Int64Array::from(vec![exact, None])),
                Arc::new(StringViewArray::from(vec!["x", ""])),
                Arc::new(Int64Array::from(vec![before_1970, Some(0)])),
            ],
        )
        .expect("a batch");
        assert!(has_digits(&layout, std::slice::from_ref(&batch)));
        let stored = to_stored(&layout, &batch, true).expect("stored");
        let names: Vec<_> = stored.schema().fields().iter().map(|f| f.name().clone()).collect();
        let as_read =
            RecordBatch::try_from_iter(names.iter().zip(stored.columns()).map(|(name, a)| match a.data_type() {
                DataType::Utf8 => (name.as_str(), cast(a, &DataType::Utf8View).expect("cast")),
                _ => (name.as_str(), a.clone()),
            }))
            .expect("a batch");
        let back = from_stored(&layout.stored, &layout.places, &schema, &as_read).expect("read");
        assert_eq!(back, batch);
    }
}
