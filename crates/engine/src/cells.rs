//! The values of a result, one by one, in the forms that people and clients read.

use crate::functions::conversion::decimal_text;
use crate::json;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use kql::{Type, datetime, timespan};
use std::fmt::Write as _;

/// A column of one batch of a result.
pub struct Cells<'a> {
    column_type: Type,
    array: &'a ArrayRef,
}

impl<'a> Cells<'a> {
    pub fn new(column_type: Type, array: &'a ArrayRef) -> Cells<'a> {
        Cells { column_type, array }
    }

    /// Whether the value is null. A string never is.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row) && self.column_type != Type::String
    }

    /// The value as a person reads it: `""` for null, seven digits of fraction in times, JSON for dynamic.
    pub fn text(&self, row: usize) -> String {
        if self.array.is_null(row) {
            return String::new();
        }
        match self.column_type {
            Type::Bool => self.array.as_boolean().value(row).to_string(),
            Type::Int => self.array.as_primitive::<Int32Type>().value(row).to_string(),
            Type::Long => self.array.as_primitive::<Int64Type>().value(row).to_string(),
            Type::Real => json::real_text(self.array.as_primitive::<Float64Type>().value(row)),
            Type::Decimal => decimal_text(self.array.as_primitive::<Decimal128Type>().value(row)),
            Type::DateTime => datetime::format(self.array.as_primitive::<Int64Type>().value(row)),
            Type::TimeSpan => timespan::format(self.array.as_primitive::<Int64Type>().value(row)),
            Type::String | Type::Guid => self.array.as_string_view().value(row).to_owned(),
            Type::Dynamic => json::compact(self.array.as_string_view().value(row)).into_owned(),
        }
    }

    /// Appends the value as Kusto's REST interface writes it in JSON.
    pub fn write_json(&self, row: usize, out: &mut String) {
        if self.array.is_null(row) {
            out.push_str(if self.column_type == Type::String { "\"\"" } else { "null" });
            return;
        }
        match self.column_type {
            Type::Bool => out.push_str(if self.array.as_boolean().value(row) { "true" } else { "false" }),
            Type::Int => {
                let _ = write!(out, "{}", self.array.as_primitive::<Int32Type>().value(row));
            }
            Type::Long => {
                let _ = write!(out, "{}", self.array.as_primitive::<Int64Type>().value(row));
            }
            Type::Real => write_real(self.array.as_primitive::<Float64Type>().value(row), out),
            Type::Decimal | Type::TimeSpan | Type::Guid => json::quote_into(out, &self.text(row)),
            Type::DateTime => {
                let ticks = self.array.as_primitive::<Int64Type>().value(row);
                json::quote_into(out, &datetime::format(ticks));
            }
            Type::String => json::quote_into(out, self.array.as_string_view().value(row)),
            Type::Dynamic => out.push_str(&json::compact(self.array.as_string_view().value(row))),
        }
    }
}

/// JSON has no word for NaN and the infinities; clients read these strings.
fn write_real(x: f64, out: &mut String) {
    if x.is_nan() {
        out.push_str("\"NaN\"");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        out.push_str(&json::real_text(x));
    }
}
