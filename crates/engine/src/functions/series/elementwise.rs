//! Arithmetic, comparison and functions point by point.

use super::{Args, Kernel, Point, array_of, each_series};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use serde_json::Value as Json;

/// An operand: a series, or a number that stands for every point.
enum Operand {
    Series(Vec<Point>),
    Constant(Point),
}

impl Operand {
    fn of(text: Option<&str>) -> Option<Operand> {
        Some(match json::tree(text?) {
            Json::Array(items) => Operand::Series(items.iter().map(Point::of).collect()),
            other => match Point::of(&other) {
                Point::Missing => return None,
                point => Operand::Constant(point),
            },
        })
    }

    fn get(&self, i: usize) -> Point {
        match self {
            Operand::Series(points) => points.get(i).copied().unwrap_or(Point::Missing),
            Operand::Constant(point) => *point,
        }
    }

    fn len(&self) -> Option<usize> {
        match self {
            Operand::Series(points) => Some(points.len()),
            Operand::Constant(_) => None,
        }
    }
}

/// A point for each pair; where one series is shorter its points are missing.
fn pairs(args: &Args, print: impl Fn(Point, Point) -> String) -> Result<ArrayRef> {
    let (left, right) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let (left, right) = (Operand::of(left.get(i))?, Operand::of(right.get(i))?);
        let len = left.len().max(right.len())?;
        Some(json::array((0..len).map(|k| print(left.get(k), right.get(k)))))
    }))
}

fn arithmetic(args: &Args, longs: Option<fn(i64, i64) -> i64>, reals: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    pairs(args, |a, b| {
        let point = match (a, b, longs) {
            (Point::Long(x), Point::Long(y), Some(op)) => Point::Long(op(x, y)),
            _ => match (a.real(), b.real()) {
                (Some(x), Some(y)) => Point::Real(reals(x, y)),
                _ => Point::Missing,
            },
        };
        point.text()
    })
}

fn comparison(args: &Args, holds: fn(f64, f64) -> bool) -> Result<ArrayRef> {
    pairs(args, |a, b| match (a.real(), b.real()) {
        (Some(x), Some(y)) => holds(x, y).to_string(),
        _ => "null".to_owned(),
    })
}

/// A function of each point; over longs alone `longs` is applied where there is one.
fn map(args: &Args, longs: Option<fn(i64) -> i64>, reals: fn(f64) -> f64) -> Result<ArrayRef> {
    each_series(args, |_, points| {
        let all_long = points.iter().all(|p| !matches!(p, Point::Real(_)));
        Some(array_of(points.into_iter().map(|point| match (point, longs) {
            (Point::Long(n), Some(op)) if all_long => Point::Long(op(n)),
            _ => point.real().map_or(Point::Missing, |x| Point::Real(reals(x))),
        })))
    })
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

macro_rules! kernels {
    ($($name:ident $text:literal $body:expr;)*) => {
        $(pub static $name: Kernel = Kernel::new($text, Type::Dynamic, $body);)*
    };
}

kernels! {
    ADD "kql_series_add" |a| arithmetic(a, Some(i64::wrapping_add), |x, y| x + y);
    SUBTRACT "kql_series_subtract" |a| arithmetic(a, Some(i64::wrapping_sub), |x, y| x - y);
    MULTIPLY "kql_series_multiply" |a| arithmetic(a, Some(i64::wrapping_mul), |x, y| x * y);
    DIVIDE "kql_series_divide" |a| arithmetic(a, None, |x, y| x / y);
    POW "kql_series_pow" |a| arithmetic(a, None, f64::powf);
    EQUALS "kql_series_equals" |a| comparison(a, |x, y| x == y);
    NOT_EQUALS "kql_series_not_equals" |a| comparison(a, |x, y| x != y);
    LESS "kql_series_less" |a| comparison(a, |x, y| x < y);
    LESS_EQUALS "kql_series_less_equals" |a| comparison(a, |x, y| x <= y);
    GREATER "kql_series_greater" |a| comparison(a, |x, y| x > y);
    GREATER_EQUALS "kql_series_greater_equals" |a| comparison(a, |x, y| x >= y);
    ABS "kql_series_abs" |a| map(a, Some(i64::wrapping_abs), f64::abs);
    SIGN "kql_series_sign" |a| map(a, Some(i64::signum), sign);
    CEILING "kql_series_ceiling" |a| map(a, None, f64::ceil);
    FLOOR "kql_series_floor" |a| map(a, None, f64::floor);
    EXP "kql_series_exp" |a| map(a, None, f64::exp);
    LOG "kql_series_log" |a| map(a, None, f64::ln);
    SIN "kql_series_sin" |a| map(a, None, f64::sin);
    COS "kql_series_cos" |a| map(a, None, f64::cos);
    TAN "kql_series_tan" |a| map(a, None, f64::tan);
    ASIN "kql_series_asin" |a| map(a, None, f64::asin);
    ACOS "kql_series_acos" |a| map(a, None, f64::acos);
    ATAN "kql_series_atan" |a| map(a, None, f64::atan);
}
