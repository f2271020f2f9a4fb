//! Typed views of a function's arguments, constants included, and builders of its result.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// The arguments of one call for one batch of rows.
pub struct Args<'a> {
    columns: &'a [ColumnarValue],
    /// The number of rows of the result.
    pub rows: usize,
}

/// A column of text: string, guid or dynamic.
pub enum Strings<'a> {
    Column(&'a StringViewArray),
    Constant(Option<&'a str>),
}

impl<'a> Strings<'a> {
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Strings::Column(array) => array.is_valid(row).then(|| {
                let array: &'a StringViewArray = array;
                array.value(row)
            }),
            Strings::Constant(value) => *value,
        }
    }

    /// The value when it is the same for every row.
    pub fn constant(&self) -> Option<&'a str> {
        match self {
            Strings::Constant(value) => *value,
            Strings::Column(_) => None,
        }
    }
}

/// A column of long, datetime or timespan.
pub enum Longs<'a> {
    Column(&'a Int64Array),
    Constant(Option<i64>),
}

impl Longs<'_> {
    pub fn get(&self, row: usize) -> Option<i64> {
        match self {
            Longs::Column(array) => array.is_valid(row).then(|| array.value(row)),
            Longs::Constant(value) => *value,
        }
    }
}

pub enum Reals<'a> {
    Column(&'a Float64Array),
    Constant(Option<f64>),
}

impl Reals<'_> {
    pub fn get(&self, row: usize) -> Option<f64> {
        match self {
            Reals::Column(array) => array.is_valid(row).then(|| array.value(row)),
            Reals::Constant(value) => *value,
        }
    }
}

pub enum Bools<'a> {
    Column(&'a BooleanArray),
    Constant(Option<bool>),
}

impl Bools<'_> {
    pub fn get(&self, row: usize) -> Option<bool> {
        match self {
            Bools::Column(array) => array.is_valid(row).then(|| array.value(row)),
            Bools::Constant(value) => *value,
        }
    }
}

impl<'a> Args<'a> {
    pub(super) fn new(columns: &'a [ColumnarValue], rows: usize) -> Args<'a> {
        Args { columns, rows }
    }

    /// The number of arguments.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Argument `i` as text. The binder gives every text argument the type Utf8View.
    pub fn strings(&self, i: usize) -> Strings<'a> {
        match &self.columns[i] {
            ColumnarValue::Array(array) => Strings::Column(array.as_string_view()),
            ColumnarValue::Scalar(
                ScalarValue::Utf8View(value) | ScalarValue::Utf8(value) | ScalarValue::LargeUtf8(value),
            ) => Strings::Constant(value.as_deref()),
            ColumnarValue::Scalar(_) => Strings::Constant(None),
        }
    }

    pub fn longs(&self, i: usize) -> Longs<'a> {
        match &self.columns[i] {
            ColumnarValue::Array(array) => Longs::Column(array.as_primitive::<Int64Type>()),
            ColumnarValue::Scalar(ScalarValue::Int64(value)) => Longs::Constant(*value),
            ColumnarValue::Scalar(_) => Longs::Constant(None),
        }
    }

    pub fn reals(&self, i: usize) -> Reals<'a> {
        match &self.columns[i] {
            ColumnarValue::Array(array) => Reals::Column(array.as_primitive::<Float64Type>()),
            ColumnarValue::Scalar(ScalarValue::Float64(value)) => Reals::Constant(*value),
            ColumnarValue::Scalar(_) => Reals::Constant(None),
        }
    }

    pub fn bools(&self, i: usize) -> Bools<'a> {
        match &self.columns[i] {
            ColumnarValue::Array(array) => Bools::Column(array.as_boolean()),
            ColumnarValue::Scalar(ScalarValue::Boolean(value)) => Bools::Constant(*value),
            ColumnarValue::Scalar(_) => Bools::Constant(None),
        }
    }

    /// Argument `i` as an array of as many rows as the result has.
    pub fn array(&self, i: usize) -> Result<ArrayRef> {
        self.columns[i].to_array(self.rows)
    }

    /// The result column of strings, one call of `row` a row.
    pub fn make_strings<S: AsRef<str>>(&self, mut row: impl FnMut(usize) -> Option<S>) -> ArrayRef {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        for i in 0..self.rows {
            builder.append_option(row(i));
        }
        Arc::new(builder.finish())
    }

    /// As [`Args::make_strings`], for a function that can fail.
    pub fn try_make_strings<S: AsRef<str>>(&self, mut row: impl FnMut(usize) -> Option<Result<S>>) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        for i in 0..self.rows {
            builder.append_option(row(i).transpose()?);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub fn try_make_reals(&self, row: impl FnMut(usize) -> Option<Result<f64>>) -> Result<ArrayRef> {
        let mut row = row;
        let values = (0..self.rows).map(|i| row(i).transpose()).collect::<Result<Float64Array>>()?;
        Ok(Arc::new(values))
    }

    pub fn make_longs(&self, row: impl FnMut(usize) -> Option<i64>) -> ArrayRef {
        Arc::new((0..self.rows).map(row).collect::<Int64Array>())
    }

    pub fn make_ints(&self, row: impl FnMut(usize) -> Option<i32>) -> ArrayRef {
        Arc::new((0..self.rows).map(row).collect::<Int32Array>())
    }

    pub fn make_reals(&self, row: impl FnMut(usize) -> Option<f64>) -> ArrayRef {
        Arc::new((0..self.rows).map(row).collect::<Float64Array>())
    }

    pub fn make_bools(&self, row: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        Arc::new((0..self.rows).map(row).collect::<BooleanArray>())
    }
}
