//! Building batches of rows from loose values.

use crate::error::Result;
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringViewBuilder,
};
use engine::functions::conversion::{parse_decimal, parse_long};
use engine::types::{DECIMAL_PRECISION, DECIMAL_SCALE, arrow_schema};
use engine::{Column, json};
use kql::{Type, datetime, timespan};
use serde_json::Value;
use std::sync::Arc;

/// A record that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place among the records of its request, from 1.
    pub record: usize,
    pub reason: String,
}

enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringViewBuilder),
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
            Type::String | Type::Guid | Type::Dynamic => ColumnBuilder::Text(StringViewBuilder::new()),
        };
        BatchBuilder { columns: columns.to_vec(), builders: columns.iter().map(builder).collect(), rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row whose values are given by `value`, per column index; a missing one is null (`""` for strings).
    pub fn push(&mut self, mut value: impl FnMut(usize, &Column) -> Option<Value>) {
        for (i, (column, builder)) in self.columns.iter().zip(&mut self.builders).enumerate() {
            let value = value(i, column).filter(|v| !v.is_null());
            append(builder, column.column_type, value.as_ref());
        }
        self.rows += 1;
    }

    /// Adds a row from the members of a JSON object, by name; members without a column are passed over.
    pub fn push_object(&mut self, object: &serde_json::Map<String, Value>) {
        self.push(|_, column| object.get(&column.name).cloned());
    }

    pub fn finish(mut self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self
            .builders
            .iter_mut()
            .map(|b| match b {
                ColumnBuilder::Bool(b) => Arc::new(b.finish()) as ArrayRef,
                ColumnBuilder::Int(b) => Arc::new(b.finish()),
                ColumnBuilder::Long(b) => Arc::new(b.finish()),
                ColumnBuilder::Real(b) => Arc::new(b.finish()),
                ColumnBuilder::Decimal(b) => Arc::new(b.finish()),
                ColumnBuilder::Text(b) => Arc::new(b.finish()),
            })
            .collect();
        Ok(RecordBatch::try_new(arrow_schema(&self.columns), arrays)?)
    }
}

/// A value that does not fit its column's type becomes null, as Kusto's ingestion has it.
fn append(builder: &mut ColumnBuilder, of: Type, value: Option<&Value>) {
    match builder {
        ColumnBuilder::Bool(b) => b.append_option(value.and_then(to_bool)),
        ColumnBuilder::Int(b) => b.append_option(value.and_then(to_long).and_then(|n| i32::try_from(n).ok())),
        ColumnBuilder::Long(b) => b.append_option(value.and_then(|v| match of {
            Type::DateTime => v.as_str().and_then(datetime::parse),
            Type::TimeSpan => v.as_str().and_then(timespan::parse).or_else(|| v.as_i64()),
            _ => to_long(v),
        })),
        ColumnBuilder::Real(b) => b.append_option(value.and_then(to_real)),
        ColumnBuilder::Decimal(b) => b.append_option(value.and_then(|v| match v {
            Value::String(s) => parse_decimal(s),
            Value::Number(n) => parse_decimal(&n.to_string()),
            _ => None,
        })),
        ColumnBuilder::Text(b) => match of {
            Type::String => b.append_value(match value {
                None => String::new(),
                Some(Value::String(s)) => s.clone(),
                Some(other) => json::compact(&other.to_string()).into_owned(),
            }),
            Type::Guid => b.append_option(value.and_then(|v| v.as_str()).and_then(kql::parse_guid)),
            _ => b.append_option(value.map(Value::to_string)),
        },
    }
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => n.as_f64().map(|x| x != 0.0),
        Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
        Value::String(s) => parse_long(s).map(|n| n != 0),
        _ => None,
    }
}

fn to_long(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().filter(|x| x.fract() == 0.0).map(|x| x as i64)),
        Value::String(s) => parse_long(s),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}

fn to_real(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => match s.trim() {
            "NaN" => Some(f64::NAN),
            "Infinity" | "inf" => Some(f64::INFINITY),
            "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
            other => other.parse().ok(),
        },
        _ => None,
    }
}
