//! Arithmetic with Kusto's rules, and functions on numbers.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;
use kql::Type;

fn long_op(args: &Args, op: fn(i64, i64) -> Option<i64>) -> Result<ArrayRef> {
    let (left, right) = (args.longs(0), args.longs(1));
    Ok(args.make_longs(|i| op(left.get(i)?, right.get(i)?)))
}

fn real_op(args: &Args, op: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.reals(0), args.reals(1));
    Ok(args.make_reals(|i| Some(op(left.get(i)?, right.get(i)?))))
}

fn real_map(args: &Args, op: fn(f64) -> f64) -> Result<ArrayRef> {
    let values = args.reals(0);
    Ok(args.make_reals(|i| values.get(i).map(op)))
}

/// Truncates toward zero; division by zero is null.
pub static DIVIDE_LONG: Kernel =
    Kernel::new("kql_divide_long", Type::Long, |a| long_op(a, |x, y| (y != 0).then(|| x.wrapping_div(y))));
/// Never negative, whatever the signs.
pub static MODULO_LONG: Kernel =
    Kernel::new("kql_modulo_long", Type::Long, |a| long_op(a, |x, y| (y != 0).then(|| x.wrapping_rem_euclid(y))));
pub static MODULO_TIMESPAN: Kernel = Kernel::new("kql_modulo_timespan", Type::TimeSpan, |a| {
    long_op(a, |x, y| (y != 0).then(|| x.wrapping_rem_euclid(y)))
});
pub static MODULO_REAL: Kernel = Kernel::new("kql_modulo_real", Type::Real, |a| {
    real_op(a, |x, y| if y == 0.0 { f64::NAN } else { x.rem_euclid(y) })
});
pub static DIVIDE_REAL: Kernel = Kernel::new("kql_divide_real", Type::Real, |a| real_op(a, |x, y| x / y));
/// `timespan * number`, saturated at the ends of the range.
pub static SCALE_TIMESPAN: Kernel = Kernel::new("kql_scale_timespan", Type::TimeSpan, |args| {
    let (spans, factors) = (args.longs(0), args.reals(1));
    Ok(args.make_longs(|i| Some((spans.get(i)? as f64 * factors.get(i)?).round() as i64)))
});
pub static DIVIDE_TIMESPAN: Kernel = Kernel::new("kql_divide_timespan", Type::TimeSpan, |args| {
    let (spans, divisors) = (args.longs(0), args.reals(1));
    Ok(args.make_longs(|i| {
        let quotient = spans.get(i)? as f64 / divisors.get(i)?;
        quotient.is_finite().then_some(quotient.round() as i64)
    }))
});
/// `timespan / timespan` is a real number.
pub static TIMESPAN_RATIO: Kernel = Kernel::new("kql_timespan_ratio", Type::Real, |args| {
    let (left, right) = (args.longs(0), args.longs(1));
    Ok(args.make_reals(|i| Some(left.get(i)? as f64 / right.get(i)? as f64)))
});

/// `datetime ± timespan`; null beyond the range of datetimes.
pub static ADD_TO_DATETIME: Kernel = Kernel::new("kql_add_to_datetime", Type::DateTime, |a| {
    long_op(a, |t, span| t.checked_add(span).filter(|sum| (0..=kql::datetime::MAX_TICKS).contains(sum)))
});
pub static SUBTRACT_FROM_DATETIME: Kernel = Kernel::new("kql_subtract_from_datetime", Type::DateTime, |a| {
    long_op(a, |t, span| t.checked_sub(span).filter(|sum| (0..=kql::datetime::MAX_TICKS).contains(sum)))
});

pub static ABS_LONG: Kernel = Kernel::new("kql_abs_long", Type::Long, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i).map(i64::wrapping_abs)))
});
pub static ABS_TIMESPAN: Kernel = Kernel::new("kql_abs_timespan", Type::TimeSpan, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i).map(i64::wrapping_abs)))
});
pub static ABS_REAL: Kernel = Kernel::new("kql_abs_real", Type::Real, |a| real_map(a, f64::abs));
pub static CEILING: Kernel = Kernel::new("kql_ceiling", Type::Real, |a| real_map(a, f64::ceil));
pub static SQRT: Kernel = Kernel::new("kql_sqrt", Type::Real, |a| real_map(a, f64::sqrt));
pub static EXP: Kernel = Kernel::new("kql_exp", Type::Real, |a| real_map(a, f64::exp));
/// The logarithm of a negative number is null.
fn logarithm(args: &Args, op: fn(f64) -> f64) -> Result<ArrayRef> {
    let values = args.reals(0);
    Ok(args.make_reals(|i| values.get(i).filter(|x| *x >= 0.0 || x.is_nan()).map(op)))
}

pub static LOG: Kernel = Kernel::new("kql_log", Type::Real, |a| logarithm(a, f64::ln));
pub static LOG2: Kernel = Kernel::new("kql_log2", Type::Real, |a| logarithm(a, f64::log2));
pub static LOG10: Kernel = Kernel::new("kql_log10", Type::Real, |a| logarithm(a, f64::log10));
pub static POW: Kernel = Kernel::new("kql_pow", Type::Real, |a| real_op(a, f64::powf));
pub static SIGN: Kernel = Kernel::new("kql_sign", Type::Real, |a| {
    real_map(a, |x| {
        if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            0.0
        }
    })
});
/// `round(x[, digits])`, half away from zero.
pub static ROUND: Kernel = Kernel::new("kql_round", Type::Real, |args| {
    let values = args.reals(0);
    let digits = (args.len() > 1).then(|| args.longs(1));
    Ok(args.make_reals(|i| {
        let x = values.get(i)?;
        let places = digits.as_ref().map_or(Some(0), |d| d.get(i))?;
        let scale = 10f64.powi(places.clamp(-300, 300) as i32);
        let scaled = x * scale;
        // Beyond the precision of a float there is nothing left to round.
        Some(if scaled.is_finite() { scaled.round() / scale } else { x })
    }))
});
pub static ISNAN: Kernel = Kernel::new("kql_isnan", Type::Bool, |args| {
    let values = args.reals(0);
    Ok(args.make_bools(|i| Some(values.get(i)?.is_nan())))
});
pub static ISINF: Kernel = Kernel::new("kql_isinf", Type::Bool, |args| {
    let values = args.reals(0);
    Ok(args.make_bools(|i| Some(values.get(i)?.is_infinite())))
});
pub static ISFINITE: Kernel = Kernel::new("kql_isfinite", Type::Bool, |args| {
    let values = args.reals(0);
    Ok(args.make_bools(|i| Some(values.get(i)?.is_finite())))
});

macro_rules! real_functions {
    ($($name:ident $text:literal $body:expr;)*) => {
        $(pub static $name: Kernel = Kernel::new($text, Type::Real, |a| real_map(a, $body));)*
    };
}

real_functions! {
    ACOS "kql_acos" f64::acos;
    ASIN "kql_asin" f64::asin;
    ATAN "kql_atan" f64::atan;
    COS "kql_cos" f64::cos;
    SIN "kql_sin" f64::sin;
    TAN "kql_tan" f64::tan;
    COT "kql_cot" |x| 1.0 / x.tan();
    DEGREES "kql_degrees" f64::to_degrees;
    RADIANS "kql_radians" f64::to_radians;
    EXP2 "kql_exp2" f64::exp2;
    EXP10 "kql_exp10" |x| 10f64.powf(x);
    GAMMA "kql_gamma" libm::tgamma;
    LOGGAMMA "kql_loggamma" libm::lgamma;
    ERF "kql_erf" libm::erf;
    ERFC "kql_erfc" libm::erfc;
}

pub static PI: Kernel = Kernel::new("kql_pi", Type::Real, |args| Ok(args.make_reals(|_| Some(std::f64::consts::PI))));
pub static ATAN2: Kernel = Kernel::new("kql_atan2", Type::Real, |a| real_op(a, f64::atan2));
/// A number from 0 to 1, another for each row; with an argument a whole number below it.
pub static RAND: Kernel = Kernel {
    name: "kql_rand",
    returns: Type::Real,
    evaluate: |args| {
        let bounds = (!args.is_empty()).then(|| args.longs(0));
        let mut generator = fastrand::Rng::new();
        Ok(args.make_reals(|i| match &bounds {
            None => Some(generator.f64()),
            Some(bounds) => {
                bounds.get(i).filter(|n| *n > 1).map(|n| generator.i64(0..n) as f64).or(Some(generator.f64()))
            }
        }))
    },
    volatility: Volatility::Volatile,
};

macro_rules! bit_functions {
    ($($name:ident $text:literal $body:expr;)*) => {
        $(pub static $name: Kernel = Kernel::new($text, Type::Long, |a| long_op(a, $body));)*
    };
}

/// A shift by that many places; the count wraps around at 64.
fn places(count: i64) -> u32 {
    count.rem_euclid(64) as u32
}

bit_functions! {
    BINARY_AND "kql_binary_and" |x, y| Some(x & y);
    BINARY_OR "kql_binary_or" |x, y| Some(x | y);
    BINARY_XOR "kql_binary_xor" |x, y| Some(x ^ y);
    SHIFT_LEFT "kql_binary_shift_left" |x, n| Some(x.wrapping_shl(places(n)));
    SHIFT_RIGHT "kql_binary_shift_right" |x, n| Some(x.wrapping_shr(places(n)));
}

pub static BINARY_NOT: Kernel = Kernel::new("kql_binary_not", Type::Long, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i).map(|n| !n)))
});
pub static COUNT_ONES: Kernel = Kernel::new("kql_bitset_count_ones", Type::Long, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i).map(|n| n.count_ones().into())))
});

/// The smallest or largest argument; NaN wins over every number, nulls are passed over.
fn extreme_longs(args: &Args, pick: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let columns: Vec<_> = (0..args.len()).map(|k| args.longs(k)).collect();
    Ok(args.make_longs(|i| columns.iter().filter_map(|c| c.get(i)).reduce(pick)))
}

fn extreme_reals(args: &Args, pick: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let columns: Vec<_> = (0..args.len()).map(|k| args.reals(k)).collect();
    Ok(args.make_reals(|i| {
        columns
            .iter()
            .filter_map(|c| c.get(i))
            .reduce(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) })
    }))
}

fn extreme_strings(args: &Args, keep_left: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let columns: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args
        .make_strings(|i| columns.iter().filter_map(|c| c.get(i)).reduce(|a, b| if keep_left(a, b) { a } else { b })))
}

macro_rules! extremes {
    ($($name:ident $text:literal $type:ident $body:expr;)*) => {
        $(pub static $name: Kernel = Kernel::new($text, Type::$type, $body);)*
    };
}

extremes! {
    MIN_OF_LONG "kql_min_of_long" Long |a| extreme_longs(a, i64::min);
    MAX_OF_LONG "kql_max_of_long" Long |a| extreme_longs(a, i64::max);
    MIN_OF_DATETIME "kql_min_of_datetime" DateTime |a| extreme_longs(a, i64::min);
    MAX_OF_DATETIME "kql_max_of_datetime" DateTime |a| extreme_longs(a, i64::max);
    MIN_OF_TIMESPAN "kql_min_of_timespan" TimeSpan |a| extreme_longs(a, i64::min);
    MAX_OF_TIMESPAN "kql_max_of_timespan" TimeSpan |a| extreme_longs(a, i64::max);
    MIN_OF_REAL "kql_min_of_real" Real |a| extreme_reals(a, f64::min);
    MAX_OF_REAL "kql_max_of_real" Real |a| extreme_reals(a, f64::max);
    MIN_OF_STRING "kql_min_of_string" String |a| extreme_strings(a, |x, y| x <= y);
    MAX_OF_STRING "kql_max_of_string" String |a| extreme_strings(a, |x, y| x >= y);
}
