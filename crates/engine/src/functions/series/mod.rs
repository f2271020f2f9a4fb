//! Functions on series: dynamic arrays of numbers at equal distances, such as `make-series` and `make_list` give.

mod elementwise;
mod fill;
mod filter;
mod make;
mod polynomial;
mod seasonal;
mod statistics;

pub use make::{MAKE_SERIES, POINTS_MAX, STEP_KEY, VALUES_KEY};

use super::signature::Parameter::{Bool, Dynamic, Integer, Number as Numeric, Text, Value};
use super::signature::{Signature, fixed, optional, repeating};
use super::{Args, Kernel};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use serde_json::Value as Json;

/// A point of a series. Longs stay longs through sums and products.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    Missing,
    Long(i64),
    Real(f64),
}

impl Point {
    fn of(value: &Json) -> Point {
        match value {
            Json::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Point::Missing, Point::Real), Point::Long),
            Json::String(text) => match text.as_str() {
                "NaN" => Point::Real(f64::NAN),
                "Infinity" => Point::Real(f64::INFINITY),
                "-Infinity" => Point::Real(f64::NEG_INFINITY),
                _ => Point::Missing,
            },
            _ => Point::Missing,
        }
    }

    fn real(self) -> Option<f64> {
        match self {
            Point::Missing => None,
            Point::Long(n) => Some(n as f64),
            Point::Real(x) => Some(x),
        }
    }

    fn text(self) -> String {
        match self {
            Point::Missing => "null".to_owned(),
            Point::Long(n) => n.to_string(),
            Point::Real(x) => real_json(x),
        }
    }
}

/// A number in JSON, which has no word for NaN and the infinities.
fn real_json(x: f64) -> String {
    match x {
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        x if x.is_nan() => "\"NaN\"".to_owned(),
        x => json::real_text(x),
    }
}

/// The points of an array; `None` for what is none.
fn points(text: Option<&str>) -> Option<Vec<Point>> {
    match json::tree(text?) {
        Json::Array(items) => Some(items.iter().map(Point::of).collect()),
        _ => None,
    }
}

/// The points of an array as reals.
fn reals(text: Option<&str>) -> Option<Vec<Option<f64>>> {
    Some(points(text)?.into_iter().map(Point::real).collect())
}

/// The values of an array; `None` where one is missing.
fn complete(text: Option<&str>) -> Option<Vec<f64>> {
    reals(text)?.into_iter().collect()
}

fn array_of(points: impl IntoIterator<Item = Point>) -> String {
    json::array(points.into_iter().map(Point::text))
}

fn array_of_reals(values: impl IntoIterator<Item = f64>) -> String {
    json::array(values.into_iter().map(real_json))
}

/// A result for each row, from the points of its first argument.
fn each_series(args: &Args, row: impl Fn(usize, Vec<Point>) -> Option<String>) -> Result<ArrayRef> {
    let series = args.strings(0);
    Ok(args.make_strings(|i| row(i, points(series.get(i))?)))
}

/// The functions of this family with plain signatures.
pub(super) static SIGNATURES: &[Signature] = &[
    fixed("series_add", &[Value, Value], &elementwise::ADD),
    fixed("series_subtract", &[Value, Value], &elementwise::SUBTRACT),
    fixed("series_multiply", &[Value, Value], &elementwise::MULTIPLY),
    fixed("series_divide", &[Value, Value], &elementwise::DIVIDE),
    fixed("series_pow", &[Value, Value], &elementwise::POW),
    fixed("series_equals", &[Value, Value], &elementwise::EQUALS),
    fixed("series_not_equals", &[Value, Value], &elementwise::NOT_EQUALS),
    fixed("series_less", &[Value, Value], &elementwise::LESS),
    fixed("series_less_equals", &[Value, Value], &elementwise::LESS_EQUALS),
    fixed("series_greater", &[Value, Value], &elementwise::GREATER),
    fixed("series_greater_equals", &[Value, Value], &elementwise::GREATER_EQUALS),
    fixed("series_abs", &[Dynamic], &elementwise::ABS),
    fixed("series_sign", &[Dynamic], &elementwise::SIGN),
    fixed("series_ceiling", &[Dynamic], &elementwise::CEILING),
    fixed("series_floor", &[Dynamic], &elementwise::FLOOR),
    fixed("series_exp", &[Dynamic], &elementwise::EXP),
    fixed("series_log", &[Dynamic], &elementwise::LOG),
    fixed("series_sin", &[Dynamic], &elementwise::SIN),
    fixed("series_cos", &[Dynamic], &elementwise::COS),
    fixed("series_tan", &[Dynamic], &elementwise::TAN),
    fixed("series_asin", &[Dynamic], &elementwise::ASIN),
    fixed("series_acos", &[Dynamic], &elementwise::ACOS),
    fixed("series_atan", &[Dynamic], &elementwise::ATAN),
    optional("series_fill_forward", &[Dynamic, Value], 1, &fill::FORWARD),
    optional("series_fill_backward", &[Dynamic, Value], 1, &fill::BACKWARD),
    optional("series_fill_const", &[Dynamic, Value, Value], 2, &fill::CONST),
    optional("series_fill_linear", &[Dynamic, Value, Bool, Value], 1, &fill::LINEAR),
    optional("series_fir", &[Dynamic, Dynamic, Bool, Bool], 2, &filter::FIR),
    fixed("series_iir", &[Dynamic, Dynamic, Dynamic], &filter::IIR),
    optional("series_fft", &[Dynamic, Dynamic], 1, &filter::FFT),
    optional("series_ifft", &[Dynamic, Dynamic], 1, &filter::IFFT),
    fixed("series_sum", &[Dynamic], &statistics::SUM),
    fixed("series_product", &[Dynamic], &statistics::PRODUCT),
    fixed("series_magnitude", &[Dynamic], &statistics::MAGNITUDE),
    fixed("series_dot_product", &[Value, Value], &statistics::DOT_PRODUCT),
    optional("series_cosine_similarity", &[Dynamic, Dynamic, Numeric, Numeric], 2, &statistics::COSINE_SIMILARITY),
    fixed("series_pearson_correlation", &[Dynamic, Dynamic], &statistics::PEARSON_CORRELATION),
    optional("series_stats", &[Dynamic, Bool], 1, &statistics::STATS),
    optional("series_stats_dynamic", &[Dynamic, Bool], 1, &statistics::STATS_DYNAMIC),
    fixed("series_fit_line", &[Dynamic], &statistics::FIT_LINE),
    optional("series_fit_poly", &[Dynamic, Dynamic, Integer], 1, &polynomial::FIT_POLY),
    fixed("series_fit_2lines", &[Dynamic], &statistics::FIT_2LINES),
    fixed("series_fit_2lines_dynamic", &[Dynamic], &statistics::FIT_2LINES_DYNAMIC),
    fixed("series_fit_line_dynamic", &[Dynamic], &statistics::FIT_LINE_DYNAMIC),
    optional("series_outliers", &[Dynamic, Text, Value, Numeric, Numeric], 1, &statistics::OUTLIERS),
    optional("series_seasonal", &[Dynamic, Integer], 1, &seasonal::SEASONAL),
    fixed("series_periods_detect", &[Dynamic, Numeric, Numeric, Integer], &seasonal::PERIODS_DETECT),
    repeating("series_periods_validate", &[Dynamic, Numeric], 2, &seasonal::PERIODS_VALIDATE),
    optional("series_decompose", &[Dynamic, Integer, Text, Integer, Numeric], 1, &seasonal::DECOMPOSE),
    optional(
        "series_decompose_anomalies",
        &[Dynamic, Numeric, Integer, Text, Integer, Text, Numeric],
        1,
        &seasonal::DECOMPOSE_ANOMALIES,
    ),
    optional(
        "series_decompose_forecast",
        &[Dynamic, Integer, Integer, Text, Numeric],
        2,
        &seasonal::DECOMPOSE_FORECAST,
    ),
];

/// Functions that give several columns, and these with their types. Their kernels give an array with the value of
/// each; as a value such a function is its first column.
pub static COLUMNS: &[(&str, &[(&str, Type)])] = &[
    ("series_fft", &[("real", Type::Dynamic), ("imag", Type::Dynamic)]),
    ("series_ifft", &[("real", Type::Dynamic), ("imag", Type::Dynamic)]),
    (
        "series_stats",
        &[
            ("min", Type::Real),
            ("min_idx", Type::Long),
            ("max", Type::Real),
            ("max_idx", Type::Long),
            ("avg", Type::Real),
            ("stdev", Type::Real),
            ("variance", Type::Real),
        ],
    ),
    (
        "series_fit_line",
        &[
            ("rsquare", Type::Real),
            ("slope", Type::Real),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("interception", Type::Real),
            ("line_fit", Type::Dynamic),
        ],
    ),
    (
        "series_fit_poly",
        &[
            ("rsquare", Type::Real),
            ("coefficients", Type::Dynamic),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("poly_fit", Type::Dynamic),
        ],
    ),
    (
        "series_fit_2lines",
        &[
            ("rsquare", Type::Real),
            ("split_idx", Type::Long),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("line_fit", Type::Dynamic),
            ("right_rsquare", Type::Real),
            ("right_slope", Type::Real),
            ("right_interception", Type::Real),
            ("right_variance", Type::Real),
            ("right_rvariance", Type::Real),
            ("left_rsquare", Type::Real),
            ("left_slope", Type::Real),
            ("left_interception", Type::Real),
            ("left_variance", Type::Real),
            ("left_rvariance", Type::Real),
        ],
    ),
    ("series_periods_detect", &[("periods", Type::Dynamic), ("scores", Type::Dynamic)]),
    ("series_periods_validate", &[("periods", Type::Dynamic), ("scores", Type::Dynamic)]),
    (
        "series_decompose",
        &[
            ("baseline", Type::Dynamic),
            ("seasonal", Type::Dynamic),
            ("trend", Type::Dynamic),
            ("residual", Type::Dynamic),
        ],
    ),
    (
        "series_decompose_anomalies",
        &[("ad_flag", Type::Dynamic), ("ad_score", Type::Dynamic), ("baseline", Type::Dynamic)],
    ),
    (
        "series_decompose_forecast",
        &[
            ("forecast", Type::Dynamic),
            ("seasonal", Type::Dynamic),
            ("trend", Type::Dynamic),
            ("residual", Type::Dynamic),
        ],
    ),
];
