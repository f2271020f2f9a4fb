//! Building batches of rows from loose values.

use crate::error::Result;
use crate::text_column::TextColumn;
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
};
use engine::functions::conversion::{parse_decimal, parse_long};
use engine::types::{DECIMAL_PRECISION, DECIMAL_SCALE, arrow_schema};
use engine::{Column, json};
use kql::{Type, datetime, timespan};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// A record that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place among the records of its request, from 1.
    pub record: usize,
    pub reason: String,
}

pub(crate) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Decimal(Decimal128Builder),
    Text(TextColumn),
}

/// Collects rows under a fixed list of columns.
pub struct BatchBuilder {
    columns: Vec<Column>,
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl BatchBuilder {
    pub fn new(columns: &[Column]) -> BatchBuilder {
        let builder = |c: &Column| match c.column_type {
            Type::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            Type::Int => ColumnBuilder::Int(Int32Builder::new()),
            Type::Long | Type::DateTime | Type::TimeSpan => ColumnBuilder::Long(Int64Builder::new()),
            Type::Real => ColumnBuilder::Real(Float64Builder::new()),
            Type::Decimal => ColumnBuilder::Decimal(
                Decimal128Builder::new()
                    .with_data_type(arrow::datatypes::DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE)),
            ),
            Type::String | Type::Guid | Type::Dynamic => ColumnBuilder::Text(TextColumn::new()),
        };
        BatchBuilder { columns: columns.to_vec(), builders: columns.iter().map(builder).collect(), rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row whose values are given by `value`, per column index; a missing one is null (`""` for strings).
    pub fn push(&mut self, mut value: impl FnMut(usize, &Column) -> Option<Value>) {
        for (i, (column, builder)) in self.columns.iter().zip(&mut self.builders).enumerate() {
            builder.append(column.column_type, value(i, column).as_ref());
        }
        self.rows += 1;
    }

    /// Adds a row from the members of a JSON object, by name; members without a column are passed over.
    pub fn push_object(&mut self, object: &serde_json::Map<String, Value>) {
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            builder.append(column.column_type, object.get(&column.name));
        }
        self.rows += 1;
    }

    /// Adds a row; `append` is called for each column in turn and must add one value to it.
    pub(crate) fn push_with(&mut self, mut append: impl FnMut(usize, Type, &mut ColumnBuilder)) {
        for (i, (column, builder)) in self.columns.iter().zip(&mut self.builders).enumerate() {
            append(i, column.column_type, builder);
        }
        self.rows += 1;
    }

    pub fn finish(self) -> Result<RecordBatch> {
        let arrays: std::result::Result<Vec<ArrayRef>, _> = self
            .builders
            .into_iter()
            .map(|b| {
                Ok(match b {
                    ColumnBuilder::Bool(mut b) => Arc::new(b.finish()) as ArrayRef,
                    ColumnBuilder::Int(mut b) => Arc::new(b.finish()),
                    ColumnBuilder::Long(mut b) => Arc::new(b.finish()),
                    ColumnBuilder::Real(mut b) => Arc::new(b.finish()),
                    ColumnBuilder::Decimal(mut b) => Arc::new(b.finish()),
                    ColumnBuilder::Text(b) => return b.finish(),
                })
            })
            .collect();
        Ok(RecordBatch::try_new(arrow_schema(&self.columns), arrays?)?)
    }
}

/// A value that does not fit its column's type becomes null, as Kusto's ingestion has it.
impl ColumnBuilder {
    pub fn append(&mut self, of: Type, value: Option<&Value>) {
        let value = match value {
            None | Some(Value::Null) => return self.append_none(of),
            Some(Value::String(text)) => return self.append_text(of, text),
            Some(value) => value,
        };
        match self {
            ColumnBuilder::Bool(b) => b.append_option(match value {
                Value::Bool(b) => Some(*b),
                _ => value.as_f64().map(|x| x != 0.0),
            }),
            ColumnBuilder::Int(b) => b.append_option(to_long(value).and_then(|n| i32::try_from(n).ok())),
            ColumnBuilder::Long(b) => b.append_option(match of {
                Type::DateTime => None,
                Type::TimeSpan => value.as_i64(),
                _ => to_long(value),
            }),
            ColumnBuilder::Real(b) => b.append_option(value.as_f64()),
            ColumnBuilder::Decimal(b) => b.append_option(match value {
                Value::Number(n) => parse_decimal(&n.to_string()),
                _ => None,
            }),
            ColumnBuilder::Text(b) => match of {
                Type::String => b.push(json::compact(&value.to_string()).as_bytes()),
                Type::Guid => b.push_null(),
                _ => b.push(value.to_string().as_bytes()),
            },
        }
    }

    /// Adds what stands for a value that is missing.
    pub fn append_none(&mut self, of: Type) {
        match self {
            ColumnBuilder::Bool(b) => b.append_null(),
            ColumnBuilder::Int(b) => b.append_null(),
            ColumnBuilder::Long(b) => b.append_null(),
            ColumnBuilder::Real(b) => b.append_null(),
            ColumnBuilder::Decimal(b) => b.append_null(),
            ColumnBuilder::Text(b) if of == Type::String => b.push(b""),
            ColumnBuilder::Text(b) => b.push_null(),
        }
    }

    /// Adds a text, read as a value of the column's type.
    pub fn append_text(&mut self, of: Type, text: &str) {
        match self {
            ColumnBuilder::Bool(b) => b.append_option(match text {
                _ if text.eq_ignore_ascii_case("true") => Some(true),
                _ if text.eq_ignore_ascii_case("false") => Some(false),
                _ => parse_long(text).map(|n| n != 0),
            }),
            ColumnBuilder::Int(b) => b.append_option(parse_long(text).and_then(|n| i32::try_from(n).ok())),
            ColumnBuilder::Long(b) => b.append_option(match of {
                Type::DateTime => datetime::parse(text),
                Type::TimeSpan => timespan::parse(text),
                _ => parse_long(text),
            }),
            ColumnBuilder::Real(b) => b.append_option(match text.trim() {
                "NaN" => Some(f64::NAN),
                "Infinity" | "inf" => Some(f64::INFINITY),
                "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
                other => other.parse().ok(),
            }),
            ColumnBuilder::Decimal(b) => b.append_option(parse_decimal(text)),
            ColumnBuilder::Text(b) => match of {
                Type::String => b.push(text.as_bytes()),
                Type::Guid => b.push_option(kql::parse_guid(text).as_deref()),
                _ => b.push(quoted(text).as_bytes()),
            },
        }
    }

    /// Adds a whole number, as a JSON number of these digits would be.
    pub fn append_integer(&mut self, of: Type, value: i64, digits: &[u8]) {
        match self {
            ColumnBuilder::Bool(b) => b.append_value(value != 0),
            ColumnBuilder::Int(b) => b.append_option(i32::try_from(value).ok()),
            ColumnBuilder::Long(b) => b.append_option((of != Type::DateTime).then_some(value)),
            ColumnBuilder::Real(b) => b.append_value(value as f64),
            ColumnBuilder::Decimal(b) => b.append_option(std::str::from_utf8(digits).ok().and_then(parse_decimal)),
            ColumnBuilder::Text(b) if of == Type::Guid => b.push_null(),
            ColumnBuilder::Text(b) => b.push(digits),
        }
    }
}

fn quoted(text: &str) -> Cow<'_, str> {
    serde_json::to_string(text).map_or(Cow::Borrowed("null"), Cow::Owned)
}

fn to_long(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().filter(|x| x.fract() == 0.0).map(|x| x as i64)),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}
