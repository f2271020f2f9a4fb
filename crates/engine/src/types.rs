//! Kusto's types in Arrow's terms.
//!
//! | Kusto | Arrow | |
//! |--|--|--|
//! | bool | Boolean | |
//! | int | Int32 | |
//! | long | Int64 | |
//! | real | Float64 | |
//! | decimal | Decimal128(38, 18) | |
//! | string | Utf8View | never null in a result |
//! | datetime | Int64 | 100 ns ticks since 0001-01-01 |
//! | timespan | Int64 | 100 ns ticks |
//! | guid | Utf8View | lower case, hyphens |
//! | dynamic | Utf8View | JSON text; null is null |
//!
//! Several Kusto types share an Arrow type, so the type of a column is always carried beside its data.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::scalar::ScalarValue;
use kql::Type;
use std::sync::Arc;

/// Digits of a decimal, and how many of them follow the point.
pub const DECIMAL_PRECISION: u8 = 38;
pub const DECIMAL_SCALE: i8 = 18;

/// A named, typed column of a table or a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub column_type: Type,
}

impl Column {
    pub fn new(name: impl Into<String>, column_type: Type) -> Column {
        Column { name: name.into(), column_type }
    }
}

/// The Arrow type that holds values of a Kusto type inside the engine.
pub fn arrow_type(of: Type) -> DataType {
    match of {
        Type::Bool => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Long | Type::DateTime | Type::TimeSpan => DataType::Int64,
        Type::Real => DataType::Float64,
        Type::Decimal => DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
        Type::String | Type::Guid | Type::Dynamic => DataType::Utf8View,
    }
}

/// The Arrow schema of `columns`. Every field is nullable, since an outer join or a missing column can make
/// any of them so; strings are made `""` where they could become null.
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, arrow_type(c.column_type), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The null of a type; for strings `""`.
pub fn null_value(of: Type) -> ScalarValue {
    match of {
        Type::Bool => ScalarValue::Boolean(None),
        Type::Int => ScalarValue::Int32(None),
        Type::Long | Type::DateTime | Type::TimeSpan => ScalarValue::Int64(None),
        Type::Real => ScalarValue::Float64(None),
        Type::Decimal => ScalarValue::Decimal128(None, DECIMAL_PRECISION, DECIMAL_SCALE),
        Type::String => ScalarValue::Utf8View(Some(String::new())),
        Type::Guid | Type::Dynamic => ScalarValue::Utf8View(None),
    }
}

/// Batches as one, their columns, by place, under the names of `columns`, which have the same types.
pub fn renamed(batches: &[RecordBatch], columns: &[Column]) -> Result<RecordBatch, ArrowError> {
    let schema = arrow_schema(columns);
    let under_names = |batch: &RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    let batches = batches.iter().map(under_names).collect::<Result<Vec<_>, _>>()?;
    concat_batches(&schema, &batches)
}
