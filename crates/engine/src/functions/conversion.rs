//! Conversions between types: `tostring`, `tolong` and their kin, one kernel for each pair of types.

use super::{Args, Kernel};
use crate::json::{self, Kind};
use crate::types::{DECIMAL_PRECISION, DECIMAL_SCALE};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::Decimal128Type;
use datafusion::common::Result;
use kql::{Type, datetime, timespan};

/// The kernel that converts a value of `from` to `to`, for types that are not the same. `None` where KQL has
/// no such conversion. Ints and decimals are widened to long and real before the call, except where said.
pub fn kernel(from: Type, to: Type) -> Option<&'static Kernel> {
    use Type::{Bool, DateTime, Decimal, Dynamic, Guid, Int, Long, Real, String, TimeSpan};
    Some(match (from, to) {
        (Bool, String) => &BOOL_TO_STRING,
        (Int | Long, String) => &LONG_TO_STRING,
        (Real, String) => &REAL_TO_STRING,
        (Decimal, String) => &DECIMAL_TO_STRING,
        (DateTime, String) => &DATETIME_TO_STRING,
        (TimeSpan, String) => &TIMESPAN_TO_STRING,
        (Guid, String) => &GUID_TO_STRING,
        (Dynamic, String) => &DYNAMIC_TO_STRING,
        (String, Long) => &STRING_TO_LONG,
        (Real, Long) => &REAL_TO_LONG,
        (Bool, Long) => &BOOL_TO_LONG,
        (Dynamic, Long) => &DYNAMIC_TO_LONG,
        (DateTime | TimeSpan, Long) => &TICKS_TO_LONG,
        (String, Int) => &STRING_TO_INT,
        (Long, Int) => &LONG_TO_INT,
        (Real, Int) => &REAL_TO_INT,
        (Bool, Int) => &BOOL_TO_INT,
        (Dynamic, Int) => &DYNAMIC_TO_INT,
        (DateTime | TimeSpan, Int) => &LONG_TO_INT,
        (String, Real) => &STRING_TO_REAL,
        (Int | Long | DateTime | TimeSpan, Real) => &LONG_TO_REAL,
        (Bool, Real) => &BOOL_TO_REAL,
        (Dynamic, Real) => &DYNAMIC_TO_REAL,
        (String, Bool) => &STRING_TO_BOOL,
        (Int | Long, Bool) => &LONG_TO_BOOL,
        (Real, Bool) => &REAL_TO_BOOL,
        (Dynamic, Bool) => &DYNAMIC_TO_BOOL,
        (String, DateTime) => &STRING_TO_DATETIME,
        (Int | Long, DateTime) => &LONG_TO_DATETIME,
        (Real, DateTime) => &REAL_TO_DATETIME,
        (Dynamic, DateTime) => &DYNAMIC_TO_DATETIME,
        (String, TimeSpan) => &STRING_TO_TIMESPAN,
        (Int | Long, TimeSpan) => &LONG_TO_TIMESPAN,
        (Dynamic, TimeSpan) => &DYNAMIC_TO_TIMESPAN,
        (String, Guid) => &STRING_TO_GUID,
        (Dynamic, Guid) => &DYNAMIC_TO_GUID,
        (String, Dynamic) => &PARSE_JSON,
        (Bool, Dynamic) => &BOOL_TO_DYNAMIC,
        (Int | Long, Dynamic) => &LONG_TO_DYNAMIC,
        (Real, Dynamic) => &REAL_TO_DYNAMIC,
        (DateTime, Dynamic) => &DATETIME_TO_DYNAMIC,
        (TimeSpan, Dynamic) => &TIMESPAN_TO_DYNAMIC,
        (Guid, Dynamic) => &GUID_TO_DYNAMIC,
        (Decimal, Dynamic) => &DECIMAL_TO_DYNAMIC,
        (String, Decimal) => &TEXT_TO_DECIMAL,
        (Real, Decimal) => &REAL_TO_DECIMAL,
        _ => return None,
    })
}

fn longs_to_text(args: &Args, print: impl Fn(i64) -> String) -> Result<ArrayRef> {
    let values = args.longs(0);
    Ok(args.make_strings(|i| Some(values.get(i).map(&print).unwrap_or_default())))
}

fn longs_to_json(args: &Args, print: impl Fn(i64) -> String) -> Result<ArrayRef> {
    let values = args.longs(0);
    Ok(args.make_strings(|i| values.get(i).map(&print)))
}

static BOOL_TO_STRING: Kernel = Kernel::new("kql_tostring_bool", Type::String, |args| {
    let values = args.bools(0);
    Ok(args.make_strings(|i| Some(values.get(i).map_or("", |b| if b { "True" } else { "False" }))))
});
static LONG_TO_STRING: Kernel =
    Kernel::new("kql_tostring_long", Type::String, |args| longs_to_text(args, |n| n.to_string()));
static REAL_TO_STRING: Kernel = Kernel::new("kql_tostring_real", Type::String, |args| {
    let values = args.reals(0);
    Ok(args.make_strings(|i| Some(values.get(i).map(json::real_text).unwrap_or_default())))
});
static DATETIME_TO_STRING: Kernel =
    Kernel::new("kql_tostring_datetime", Type::String, |args| longs_to_text(args, datetime::format));
static TIMESPAN_TO_STRING: Kernel =
    Kernel::new("kql_tostring_timespan", Type::String, |args| longs_to_text(args, timespan::format));
static GUID_TO_STRING: Kernel = Kernel::new("kql_tostring_guid", Type::String, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| Some(values.get(i).unwrap_or(""))))
});
pub static DYNAMIC_TO_STRING: Kernel = Kernel::new("kql_tostring_dynamic", Type::String, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| Some(values.get(i).map_or(std::borrow::Cow::Borrowed(""), json::to_text))))
});

/// A decimal's digits without trailing zeros.
pub fn decimal_text(unscaled: i128) -> String {
    let scale = 10i128.pow(DECIMAL_SCALE.unsigned_abs().into());
    let sign = if unscaled < 0 { "-" } else { "" };
    let (whole, fraction) = ((unscaled / scale).unsigned_abs(), (unscaled % scale).unsigned_abs());
    let digits = format!("{fraction:0width$}", width = usize::from(DECIMAL_SCALE.unsigned_abs()));
    match digits.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        trimmed => format!("{sign}{whole}.{trimmed}"),
    }
}

/// The unscaled value of decimal digits, exponent included; `None` for other text or what does not fit.
pub fn parse_decimal(text: &str) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = i32::from(DECIMAL_SCALE).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if shift >= 0 {
        value = value.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?;
    } else {
        value /= 10i128.checked_pow(shift.unsigned_abs())?;
    }
    Some(if negative { -value } else { value })
}

static DECIMAL_TO_STRING: Kernel = Kernel::new("kql_tostring_decimal", Type::String, |args| {
    let array = args.array(0)?;
    let values = array.as_primitive::<Decimal128Type>();
    Ok(args.make_strings(|i| Some(if values.is_valid(i) { decimal_text(values.value(i)) } else { Default::default() })))
});
/// As text, since a number in JSON would be read as a real.
static DECIMAL_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_decimal", Type::Dynamic, |args| {
    let array = args.array(0)?;
    let values = array.as_primitive::<Decimal128Type>();
    Ok(args.make_strings(|i| values.is_valid(i).then(|| json::quote(&decimal_text(values.value(i))))))
});
static TEXT_TO_DECIMAL: Kernel = Kernel::new("kql_todecimal_string", Type::Decimal, |args| {
    let texts = args.strings(0);
    decimals(args, |i| texts.get(i).and_then(parse_decimal))
});
/// The decimal with the digits that the real number is written with: 0.1 is one tenth.
static REAL_TO_DECIMAL: Kernel = Kernel::new("kql_todecimal_real", Type::Decimal, |args| {
    let reals = args.reals(0);
    decimals(args, |i| reals.get(i).and_then(|x| parse_decimal(&json::real_text(x))))
});

fn decimals(args: &Args, row: impl FnMut(usize) -> Option<i128>) -> Result<ArrayRef> {
    let values: Decimal128Array = (0..args.rows).map(row).collect();
    Ok(std::sync::Arc::new(values.with_precision_and_scale(DECIMAL_PRECISION, DECIMAL_SCALE)?))
}

/// A string as `tolong` reads it: sign, digits or `0x` and hexadecimal digits; no fraction, no exponent.
pub fn parse_long(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = u64::from_str_radix(hex, 16).ok()?.cast_signed();
        return Some(if negative { value.wrapping_neg() } else { value });
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

pub fn parse_real(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        other if other.contains(['n', 'i']) => None,
        other => other.parse().ok(),
    }
}

/// Truncates toward zero and saturates; NaN and the infinities have no integer.
fn real_to_long(x: f64) -> Option<i64> {
    x.is_finite().then_some(x as i64)
}

fn real_to_int(x: f64) -> Option<i32> {
    x.is_finite().then_some(x as i32)
}

fn json_to_real(text: &str) -> Option<f64> {
    match json::kind(text) {
        Kind::Long | Kind::Real => text.trim().parse().ok(),
        Kind::Bool => Some(f64::from(u8::from(text.trim() == "true"))),
        Kind::String => parse_real(&json::to_text(text)),
        _ => None,
    }
}

fn json_to_long(text: &str) -> Option<i64> {
    match json::kind(text) {
        Kind::Long => text.trim().parse().ok().or_else(|| json_to_real(text).and_then(real_to_long)),
        Kind::String => parse_long(&json::to_text(text)),
        _ => json_to_real(text).and_then(real_to_long),
    }
}

static STRING_TO_LONG: Kernel = Kernel::new("kql_tolong_string", Type::Long, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| values.get(i).and_then(parse_long)))
});
static REAL_TO_LONG: Kernel = Kernel::new("kql_tolong_real", Type::Long, |args| {
    let values = args.reals(0);
    Ok(args.make_longs(|i| values.get(i).and_then(real_to_long)))
});
static BOOL_TO_LONG: Kernel = Kernel::new("kql_tolong_bool", Type::Long, |args| {
    let values = args.bools(0);
    Ok(args.make_longs(|i| values.get(i).map(i64::from)))
});
pub static DYNAMIC_TO_LONG: Kernel = Kernel::new("kql_tolong_dynamic", Type::Long, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| values.get(i).and_then(json_to_long)))
});
static TICKS_TO_LONG: Kernel = Kernel::new("kql_tolong_ticks", Type::Long, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i)))
});
static STRING_TO_INT: Kernel = Kernel::new("kql_toint_string", Type::Int, |args| {
    let values = args.strings(0);
    Ok(args.make_ints(|i| values.get(i).and_then(parse_long).and_then(|n| i32::try_from(n).ok())))
});
/// Wraps, as the engine does for a long too wide.
static LONG_TO_INT: Kernel = Kernel::new("kql_toint_long", Type::Int, |args| {
    let values = args.longs(0);
    Ok(args.make_ints(|i| values.get(i).map(|n| n as i32)))
});
static REAL_TO_INT: Kernel = Kernel::new("kql_toint_real", Type::Int, |args| {
    let values = args.reals(0);
    Ok(args.make_ints(|i| values.get(i).and_then(real_to_int)))
});
static BOOL_TO_INT: Kernel = Kernel::new("kql_toint_bool", Type::Int, |args| {
    let values = args.bools(0);
    Ok(args.make_ints(|i| values.get(i).map(i32::from)))
});
static DYNAMIC_TO_INT: Kernel = Kernel::new("kql_toint_dynamic", Type::Int, |args| {
    let values = args.strings(0);
    Ok(args.make_ints(|i| {
        let text = values.get(i)?;
        match json::kind(text) {
            Kind::Real => json_to_real(text).and_then(real_to_int),
            Kind::String => parse_long(&json::to_text(text)).and_then(|n| i32::try_from(n).ok()),
            _ => json_to_long(text).map(|n| n as i32),
        }
    }))
});
static STRING_TO_REAL: Kernel = Kernel::new("kql_toreal_string", Type::Real, |args| {
    let values = args.strings(0);
    Ok(args.make_reals(|i| values.get(i).and_then(parse_real)))
});
static LONG_TO_REAL: Kernel = Kernel::new("kql_toreal_long", Type::Real, |args| {
    let values = args.longs(0);
    Ok(args.make_reals(|i| values.get(i).map(|n| n as f64)))
});
static BOOL_TO_REAL: Kernel = Kernel::new("kql_toreal_bool", Type::Real, |args| {
    let values = args.bools(0);
    Ok(args.make_reals(|i| values.get(i).map(|b| f64::from(u8::from(b)))))
});
pub static DYNAMIC_TO_REAL: Kernel = Kernel::new("kql_toreal_dynamic", Type::Real, |args| {
    let values = args.strings(0);
    Ok(args.make_reals(|i| values.get(i).and_then(json_to_real)))
});

pub fn text_to_bool(text: &str) -> Option<bool> {
    match text.trim() {
        t if t.eq_ignore_ascii_case("true") => Some(true),
        t if t.eq_ignore_ascii_case("false") => Some(false),
        t => parse_long(t).map(|n| n != 0),
    }
}

static STRING_TO_BOOL: Kernel = Kernel::new("kql_tobool_string", Type::Bool, |args| {
    let values = args.strings(0);
    Ok(args.make_bools(|i| values.get(i).and_then(text_to_bool)))
});
static LONG_TO_BOOL: Kernel = Kernel::new("kql_tobool_long", Type::Bool, |args| {
    let values = args.longs(0);
    Ok(args.make_bools(|i| values.get(i).map(|n| n != 0)))
});
static REAL_TO_BOOL: Kernel = Kernel::new("kql_tobool_real", Type::Bool, |args| {
    let values = args.reals(0);
    Ok(args.make_bools(|i| values.get(i).map(|n| n != 0.0)))
});
pub static DYNAMIC_TO_BOOL: Kernel = Kernel::new("kql_tobool_dynamic", Type::Bool, |args| {
    let values = args.strings(0);
    Ok(args.make_bools(|i| {
        values.get(i).and_then(|text| match json::kind(text) {
            Kind::Bool => Some(text.trim() == "true"),
            Kind::Long | Kind::Real => json_to_real(text).map(|x| x != 0.0),
            Kind::String => text_to_bool(&json::to_text(text)),
            _ => None,
        })
    }))
});
static STRING_TO_DATETIME: Kernel = Kernel::new("kql_todatetime_string", Type::DateTime, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| values.get(i).and_then(datetime::parse)))
});
static LONG_TO_DATETIME: Kernel = Kernel::new("kql_todatetime_long", Type::DateTime, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i).filter(|t| (0..=datetime::MAX_TICKS).contains(t))))
});
static REAL_TO_DATETIME: Kernel = Kernel::new("kql_todatetime_real", Type::DateTime, |args| {
    let values = args.reals(0);
    Ok(args.make_longs(|i| values.get(i).and_then(real_to_long).filter(|t| (0..=datetime::MAX_TICKS).contains(t))))
});
pub static DYNAMIC_TO_DATETIME: Kernel = Kernel::new("kql_todatetime_dynamic", Type::DateTime, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| values.get(i).and_then(|text| datetime::parse(&json::to_text(text)))))
});
/// A bare number with a fraction is no timespan as text, though it is as a literal.
static STRING_TO_TIMESPAN: Kernel = Kernel::new("kql_totimespan_string", Type::TimeSpan, |args| {
    let values = args.strings(0);
    let is_bare_fraction = |text: &str| text.contains('.') && text.trim().parse::<f64>().is_ok();
    Ok(args.make_longs(|i| values.get(i).filter(|text| !is_bare_fraction(text)).and_then(timespan::parse)))
});
static LONG_TO_TIMESPAN: Kernel = Kernel::new("kql_totimespan_long", Type::TimeSpan, |args| {
    let values = args.longs(0);
    Ok(args.make_longs(|i| values.get(i)))
});
pub static DYNAMIC_TO_TIMESPAN: Kernel = Kernel::new("kql_totimespan_dynamic", Type::TimeSpan, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| values.get(i).and_then(|text| timespan::parse(&json::to_text(text)))))
});
static STRING_TO_GUID: Kernel = Kernel::new("kql_toguid_string", Type::Guid, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| values.get(i).and_then(kql::parse_guid)))
});
static DYNAMIC_TO_GUID: Kernel = Kernel::new("kql_toguid_dynamic", Type::Guid, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| values.get(i).and_then(|text| kql::parse_guid(&json::to_text(text)))))
});

/// `parse_json(text)`: text that is no JSON becomes a dynamic string that holds it; `""` and `null` become null.
pub static PARSE_JSON: Kernel = Kernel::new("kql_parse_json", Type::Dynamic, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| {
        let text = values.get(i).unwrap_or("").trim();
        if text.is_empty() || text == "null" {
            None
        } else if json::is_valid(text) {
            Some(std::borrow::Cow::Borrowed(text))
        } else {
            Some(std::borrow::Cow::Owned(json::quote(text)))
        }
    }))
});

/// A string as a dynamic value: its characters in quotes.
pub static STRING_AS_DYNAMIC: Kernel = Kernel::new("kql_string_as_dynamic", Type::Dynamic, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| values.get(i).map(json::quote)))
});
static BOOL_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_bool", Type::Dynamic, |args| {
    let values = args.bools(0);
    Ok(args.make_strings(|i| values.get(i).map(|b| if b { "true" } else { "false" })))
});
static LONG_TO_DYNAMIC: Kernel =
    Kernel::new("kql_todynamic_long", Type::Dynamic, |args| longs_to_json(args, |n| n.to_string()));
static REAL_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_real", Type::Dynamic, |args| {
    let values = args.reals(0);
    Ok(args.make_strings(|i| {
        values.get(i).map(|x| match x {
            f64::INFINITY => "\"Infinity\"".to_owned(),
            f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
            x if x.is_nan() => "\"NaN\"".to_owned(),
            x => json::real_text(x),
        })
    }))
});
static DATETIME_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_datetime", Type::Dynamic, |args| {
    longs_to_json(args, |t| json::quote(&datetime::format(t)))
});
static TIMESPAN_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_timespan", Type::Dynamic, |args| {
    longs_to_json(args, |t| json::quote(&timespan::format(t)))
});
static GUID_TO_DYNAMIC: Kernel = Kernel::new("kql_todynamic_guid", Type::Dynamic, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| values.get(i).map(json::quote)))
});
