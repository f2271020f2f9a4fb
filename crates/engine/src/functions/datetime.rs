//! Functions on datetimes and timespans, all in ticks of 100 ns.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use kql::datetime::{MAX_TICKS, Parts, UNIX_EPOCH_TICKS, days_from_civil, days_in_month};
use kql::timespan::{
    TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_MINUTE, TICKS_PER_SECOND,
};

const MONTHS_PER_YEAR: i64 = 12;
const DAYS_PER_WEEK: i64 = 7;

/// A calendar or clock unit, as `datetime_add` and its kin name them.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Months(i64),
    Ticks(i64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => Unit::Months(MONTHS_PER_YEAR),
        "quarter" => Unit::Months(3),
        "month" => Unit::Months(1),
        "week" => Unit::Ticks(DAYS_PER_WEEK * TICKS_PER_DAY),
        "day" => Unit::Ticks(TICKS_PER_DAY),
        "hour" => Unit::Ticks(TICKS_PER_HOUR),
        "minute" => Unit::Ticks(TICKS_PER_MINUTE),
        "second" => Unit::Ticks(TICKS_PER_SECOND),
        "millisecond" => Unit::Ticks(TICKS_PER_MILLISECOND),
        "microsecond" => Unit::Ticks(TICKS_PER_MICROSECOND),
        "nanosecond" => Unit::Ticks(0),
        _ => return None,
    })
}

fn in_range(ticks: i64) -> Option<i64> {
    (0..=MAX_TICKS).contains(&ticks).then_some(ticks)
}

fn add_months(ticks: i64, months: i64) -> Option<i64> {
    let parts = Parts::of(ticks);
    let total = (parts.year * MONTHS_PER_YEAR + parts.month - 1).checked_add(months)?;
    let (year, month) = (total.div_euclid(MONTHS_PER_YEAR), total.rem_euclid(MONTHS_PER_YEAR) + 1);
    Parts { year, month, day: parts.day.min(days_in_month(year, month)), ..parts }.ticks()
}

fn day_of_week(ticks: i64) -> i64 {
    // 0001-01-01 was a Monday; Sunday counts as 0.
    (ticks / TICKS_PER_DAY + 1) % DAYS_PER_WEEK
}

fn start_of(period: i64, ticks: i64) -> Option<i64> {
    let parts = Parts::of(ticks);
    let date = |month| Parts::date(parts.year, month, 1).ticks();
    match period {
        DAY => Some(ticks - ticks % TICKS_PER_DAY),
        WEEK => in_range(ticks - ticks % TICKS_PER_DAY - day_of_week(ticks) * TICKS_PER_DAY),
        MONTH => date(parts.month),
        _ => date(1),
    }
}

const DAY: i64 = 0;
const WEEK: i64 = 1;
const MONTH: i64 = 2;
const YEAR: i64 = 3;

fn shift(period: i64, ticks: i64, count: i64) -> Option<i64> {
    match period {
        DAY => in_range(ticks.checked_add(count.checked_mul(TICKS_PER_DAY)?)?),
        WEEK => in_range(ticks.checked_add(count.checked_mul(DAYS_PER_WEEK * TICKS_PER_DAY)?)?),
        MONTH => add_months(ticks, count),
        _ => add_months(ticks, count.checked_mul(MONTHS_PER_YEAR)?),
    }
}

fn period_start(args: &Args, period: i64) -> Result<ArrayRef> {
    let times = args.longs(0);
    let offsets = (args.len() > 1).then(|| args.longs(1));
    Ok(args.make_longs(|i| {
        let offset = offsets.as_ref().map_or(Some(0), |o| o.get(i))?;
        shift(period, start_of(period, times.get(i)?)?, offset)
    }))
}

fn period_end(args: &Args, period: i64) -> Result<ArrayRef> {
    let times = args.longs(0);
    let offsets = (args.len() > 1).then(|| args.longs(1));
    Ok(args.make_longs(|i| {
        let offset = offsets.as_ref().map_or(Some(0), |o| o.get(i))?;
        let start = start_of(period, times.get(i)?)?;
        // The last period of all ends at the last datetime.
        Some(shift(period, start, offset + 1).map_or(MAX_TICKS, |next| next - 1))
    }))
}

pub static STARTOFDAY: Kernel = Kernel::new("kql_startofday", Type::DateTime, |a| period_start(a, DAY));
pub static STARTOFWEEK: Kernel = Kernel::new("kql_startofweek", Type::DateTime, |a| period_start(a, WEEK));
pub static STARTOFMONTH: Kernel = Kernel::new("kql_startofmonth", Type::DateTime, |a| period_start(a, MONTH));
pub static STARTOFYEAR: Kernel = Kernel::new("kql_startofyear", Type::DateTime, |a| period_start(a, YEAR));
pub static ENDOFDAY: Kernel = Kernel::new("kql_endofday", Type::DateTime, |a| period_end(a, DAY));
pub static ENDOFWEEK: Kernel = Kernel::new("kql_endofweek", Type::DateTime, |a| period_end(a, WEEK));
pub static ENDOFMONTH: Kernel = Kernel::new("kql_endofmonth", Type::DateTime, |a| period_end(a, MONTH));
pub static ENDOFYEAR: Kernel = Kernel::new("kql_endofyear", Type::DateTime, |a| period_end(a, YEAR));

/// `datetime_add(unit, amount, time)`; the day is clamped to the end of a shorter month.
pub static DATETIME_ADD: Kernel = Kernel::new("kql_datetime_add", Type::DateTime, |args| {
    let (units, amounts, times) = (args.strings(0), args.longs(1), args.longs(2));
    Ok(args.make_longs(|i| {
        let (amount, time) = (amounts.get(i)?, times.get(i)?);
        match unit(units.get(i)?)? {
            Unit::Months(months) => add_months(time, amount.checked_mul(months)?),
            Unit::Ticks(0) => in_range(time.checked_add(amount / 100)?),
            Unit::Ticks(ticks) => in_range(time.checked_add(amount.checked_mul(ticks)?)?),
        }
    }))
});

/// `datetime_diff(unit, a, b)`: the boundaries of the unit crossed between `b` and `a`.
pub static DATETIME_DIFF: Kernel = Kernel::new("kql_datetime_diff", Type::Long, |args| {
    let (units, ends, starts) = (args.strings(0), args.longs(1), args.longs(2));
    Ok(args.make_longs(|i| {
        let (end, start) = (ends.get(i)?, starts.get(i)?);
        let month_number = |t: i64| {
            let parts = Parts::of(t);
            parts.year * MONTHS_PER_YEAR + parts.month - 1
        };
        Some(match unit(units.get(i)?)? {
            Unit::Months(months) => month_number(end).div_euclid(months) - month_number(start).div_euclid(months),
            Unit::Ticks(0) => (end - start).saturating_mul(100),
            // Weeks begin on Sunday, one day before the first day of the calendar's weeks.
            Unit::Ticks(ticks) if ticks == DAYS_PER_WEEK * TICKS_PER_DAY => {
                (end + TICKS_PER_DAY).div_euclid(ticks) - (start + TICKS_PER_DAY).div_euclid(ticks)
            }
            Unit::Ticks(ticks) => end.div_euclid(ticks) - start.div_euclid(ticks),
        })
    }))
});

fn iso_week(ticks: i64) -> i64 {
    let days = ticks / TICKS_PER_DAY;
    // The ISO year of a day is the calendar year of the Thursday of its week.
    let thursday = days - days % DAYS_PER_WEEK + 3;
    let year = Parts::of(thursday * TICKS_PER_DAY).year;
    (thursday - days_from_civil(year, 1, 1)) / DAYS_PER_WEEK + 1
}

fn day_of_year(ticks: i64) -> i64 {
    let parts = Parts::of(ticks);
    ticks / TICKS_PER_DAY - days_from_civil(parts.year, 1, 1) + 1
}

/// `datetime_part(part, time)`.
pub static DATETIME_PART: Kernel = Kernel::new("kql_datetime_part", Type::Int, |args| {
    let (names, times) = (args.strings(0), args.longs(1));
    Ok(args.make_ints(|i| {
        let time = times.get(i)?;
        let parts = Parts::of(time);
        let part = match names.get(i)?.to_ascii_lowercase().as_str() {
            "year" => parts.year,
            "quarter" => (parts.month - 1) / 3 + 1,
            "month" => parts.month,
            "week_of_year" | "weekofyear" => iso_week(time),
            "day" => parts.day,
            "dayofyear" => day_of_year(time),
            "hour" => parts.hour,
            "minute" => parts.minute,
            "second" => parts.second,
            "millisecond" => parts.fraction / TICKS_PER_MILLISECOND,
            "microsecond" => parts.fraction / TICKS_PER_MICROSECOND,
            "nanosecond" => parts.fraction * 100,
            _ => return None,
        };
        Some(part as i32)
    }))
});

fn int_part(args: &Args, part: fn(i64) -> i64) -> Result<ArrayRef> {
    let times = args.longs(0);
    Ok(args.make_ints(|i| times.get(i).map(|t| part(t) as i32)))
}

fn long_part(args: &Args, part: fn(i64) -> i64) -> Result<ArrayRef> {
    let times = args.longs(0);
    Ok(args.make_longs(|i| times.get(i).map(part)))
}

pub static DAYOFWEEK: Kernel = Kernel::new("kql_dayofweek", Type::TimeSpan, |args| {
    let times = args.longs(0);
    // The original counts from the end of the week, so it has no answer where the week ends after the last day.
    let last_week = MAX_TICKS + 1 - day_of_week(MAX_TICKS) * TICKS_PER_DAY - TICKS_PER_DAY;
    Ok(args.make_longs(|i| times.get(i).filter(|t| *t < last_week).map(|t| day_of_week(t) * TICKS_PER_DAY)))
});
pub static DAYOFMONTH: Kernel = Kernel::new("kql_dayofmonth", Type::Int, |a| int_part(a, |t| Parts::of(t).day));
pub static DAYOFYEAR: Kernel = Kernel::new("kql_dayofyear", Type::Int, |a| int_part(a, day_of_year));
pub static HOUROFDAY: Kernel = Kernel::new("kql_hourofday", Type::Long, |a| long_part(a, |t| Parts::of(t).hour));
pub static MONTHOFYEAR: Kernel = Kernel::new("kql_monthofyear", Type::Int, |a| int_part(a, |t| Parts::of(t).month));
pub static GETYEAR: Kernel = Kernel::new("kql_getyear", Type::Long, |a| long_part(a, |t| Parts::of(t).year));
pub static WEEKOFYEAR: Kernel = Kernel::new("kql_weekofyear", Type::Int, |a| int_part(a, iso_week));

/// `bin(value, step)` on ticks: rounded down to a multiple of the step; null for a step that is not positive.
pub static BIN_LONG: Kernel = Kernel::new("kql_bin_long", Type::Long, bin_longs);
pub static BIN_DATETIME: Kernel = Kernel::new("kql_bin_datetime", Type::DateTime, bin_longs);
pub static BIN_TIMESPAN: Kernel = Kernel::new("kql_bin_timespan", Type::TimeSpan, bin_longs);

fn bin_longs(args: &Args) -> Result<ArrayRef> {
    let (values, steps) = (args.longs(0), args.longs(1));
    Ok(args.make_longs(|i| {
        let (value, step) = (values.get(i)?, steps.get(i)?);
        (step > 0).then(|| value.wrapping_sub(value.rem_euclid(step)))
    }))
}

pub static BIN_REAL: Kernel = Kernel::new("kql_bin_real", Type::Real, |args| {
    let (values, steps) = (args.reals(0), args.reals(1));
    Ok(args.make_reals(|i| {
        let (value, step) = (values.get(i)?, steps.get(i)?);
        (step > 0.0).then(|| (value / step).floor() * step)
    }))
});

fn bin_at_longs(args: &Args) -> Result<ArrayRef> {
    let (values, steps, anchors) = (args.longs(0), args.longs(1), args.longs(2));
    Ok(args.make_longs(|i| {
        let (value, step, anchor) = (values.get(i)?, steps.get(i)?, anchors.get(i)?);
        (step > 0).then(|| value - (value - anchor).rem_euclid(step))
    }))
}

pub static BIN_AT_LONG: Kernel = Kernel::new("kql_bin_at_long", Type::Long, bin_at_longs);
pub static BIN_AT_DATETIME: Kernel = Kernel::new("kql_bin_at_datetime", Type::DateTime, bin_at_longs);
pub static BIN_AT_TIMESPAN: Kernel = Kernel::new("kql_bin_at_timespan", Type::TimeSpan, bin_at_longs);
pub static BIN_AT_REAL: Kernel = Kernel::new("kql_bin_at_real", Type::Real, |args| {
    let (values, steps, anchors) = (args.reals(0), args.reals(1), args.reals(2));
    Ok(args.make_reals(|i| {
        let (value, step, anchor) = (values.get(i)?, steps.get(i)?, anchors.get(i)?);
        (step > 0.0).then(|| anchor + ((value - anchor) / step).floor() * step)
    }))
});

/// `make_datetime(year, month, day[, hour, minute[, second]])`; null for a date that does not exist.
pub static MAKE_DATETIME: Kernel = Kernel::new("kql_make_datetime", Type::DateTime, |args| {
    let whole: Vec<_> = (0..args.len().min(5)).map(|k| args.longs(k)).collect();
    let seconds = (args.len() > 5).then(|| args.reals(5));
    Ok(args.make_longs(|i| {
        let part = |k: usize| whole.get(k).map_or(Some(0), |c| c.get(i));
        let second = seconds.as_ref().map_or(Some(0.0), |s| s.get(i))?;
        if !(0.0..60.0).contains(&second) {
            return None;
        }
        let ticks = (second * TICKS_PER_SECOND as f64).round() as i64;
        let parts = Parts {
            year: part(0)?,
            month: part(1)?,
            day: part(2)?,
            hour: part(3)?,
            minute: part(4)?,
            second: ticks / TICKS_PER_SECOND,
            fraction: ticks % TICKS_PER_SECOND,
        };
        parts.ticks()
    }))
});

fn from_unix(args: &Args, ticks_per_unit: f64) -> Result<ArrayRef> {
    let values = args.reals(0);
    Ok(args.make_longs(|i| {
        let ticks = (values.get(i)? * ticks_per_unit).round() + UNIX_EPOCH_TICKS as f64;
        // Whole units are exact in a 64-bit float far beyond the year 9999.
        (0.0..=MAX_TICKS as f64)
            .contains(&ticks)
            .then(|| (values.get(i).unwrap_or(0.0) * ticks_per_unit).round() as i64 + UNIX_EPOCH_TICKS)
    }))
}

pub static UNIX_SECONDS: Kernel =
    Kernel::new("kql_unixtime_seconds", Type::DateTime, |a| from_unix(a, TICKS_PER_SECOND as f64));
pub static UNIX_MILLISECONDS: Kernel =
    Kernel::new("kql_unixtime_milliseconds", Type::DateTime, |a| from_unix(a, TICKS_PER_MILLISECOND as f64));
pub static UNIX_MICROSECONDS: Kernel =
    Kernel::new("kql_unixtime_microseconds", Type::DateTime, |a| from_unix(a, TICKS_PER_MICROSECOND as f64));
pub static UNIX_NANOSECONDS: Kernel = Kernel::new("kql_unixtime_nanoseconds", Type::DateTime, |a| from_unix(a, 0.01));

/// Whether every character of a `format_datetime` pattern has a meaning.
pub fn is_datetime_format(format: &str) -> bool {
    format.chars().all(|c| matches!(c, 'y' | 'M' | 'd' | 'h' | 'H' | 'm' | 's' | 'f' | 'F' | 't') || is_separator(c))
}

/// Whether every character of a `format_timespan` pattern has a meaning.
pub fn is_timespan_format(format: &str) -> bool {
    format.chars().all(|c| matches!(c, 'd' | 'h' | 'H' | 'm' | 's' | 'f' | 'F') || is_separator(c))
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '/' | ':' | ',' | '.' | '_' | ' ' | '[' | ']')
}

/// Runs of the same character, each with its length.
fn runs(format: &str) -> Vec<(char, usize)> {
    let mut out: Vec<(char, usize)> = Vec::new();
    for c in format.chars() {
        match out.last_mut() {
            Some((last, count)) if *last == c => *count += 1,
            _ => out.push((c, 1)),
        }
    }
    out
}

/// `f` prints that many digits of the fraction; `F` drops trailing zeros, and a dot before nothing.
fn push_fraction(out: &mut String, fraction: i64, c: char, count: usize) {
    let digits = format!("{fraction:07}");
    let mut digits = &digits[..count.min(7)];
    if c == 'F' {
        digits = digits.trim_end_matches('0');
        if digits.is_empty() && out.ends_with('.') {
            out.pop();
        }
    }
    out.push_str(digits);
}

pub static FORMAT_DATETIME: Kernel = Kernel::new("kql_format_datetime", Type::String, |args| {
    let (times, formats) = (args.longs(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let Some(time) = times.get(i) else { return Some(String::new()) };
        let p = Parts::of(time);
        let mut out = String::new();
        for (c, count) in runs(formats.get(i).unwrap_or("")) {
            let hour12 = (p.hour + 11) % 12 + 1;
            let number = match c {
                'y' if count <= 2 => p.year % 100,
                'y' => p.year,
                'M' => p.month,
                'd' => p.day,
                'h' => hour12,
                'H' => p.hour,
                'm' => p.minute,
                's' => p.second,
                'f' | 'F' => {
                    push_fraction(&mut out, p.fraction, c, count);
                    continue;
                }
                't' => {
                    out.push_str(&(if p.hour < 12 { "AM" } else { "PM" })[..count.min(2)]);
                    continue;
                }
                _ => {
                    out.extend(std::iter::repeat_n(c, count));
                    continue;
                }
            };
            out.push_str(&format!("{number:0count$}"));
        }
        Some(out)
    }))
});

pub static FORMAT_TIMESPAN: Kernel = Kernel::new("kql_format_timespan", Type::String, |args| {
    let (spans, formats) = (args.longs(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let Some(span) = spans.get(i) else { return Some(String::new()) };
        let ticks = span.unsigned_abs().cast_signed();
        let mut out = String::from(if span < 0 { "-" } else { "" });
        for (c, count) in runs(formats.get(i).unwrap_or("")) {
            let number = match c {
                'd' => ticks / TICKS_PER_DAY,
                'h' | 'H' => ticks % TICKS_PER_DAY / TICKS_PER_HOUR,
                'm' => ticks % TICKS_PER_HOUR / TICKS_PER_MINUTE,
                's' => ticks % TICKS_PER_MINUTE / TICKS_PER_SECOND,
                'f' | 'F' => {
                    push_fraction(&mut out, ticks % TICKS_PER_SECOND, c, count);
                    continue;
                }
                _ => {
                    out.extend(std::iter::repeat_n(c, count));
                    continue;
                }
            };
            out.push_str(&format!("{number:0count$}"));
        }
        Some(out)
    }))
});

/// `make_timespan(hours, minutes)`, `(hours, minutes, seconds)` or `(days, hours, minutes, seconds)`; null where a part
/// is out of its range.
pub static MAKE_TIMESPAN: Kernel = Kernel::new("kql_make_timespan", Type::TimeSpan, |args| {
    Ok(args.make_longs(|i| {
        let parts: Vec<f64> = (0..args.len()).map(|k| args.reals(k).get(i)).collect::<Option<_>>()?;
        let (days, hours, minutes, seconds) = match parts.as_slice() {
            [h, m] => (0.0, *h, *m, 0.0),
            [h, m, s] => (0.0, *h, *m, *s),
            [d, h, m, s] => (*d, *h, *m, *s),
            _ => return None,
        };
        let in_range = days >= 0.0
            && (0.0..24.0).contains(&hours)
            && (0.0..60.0).contains(&minutes)
            && (0.0..60.0).contains(&seconds);
        let whole = (days as i64 * 24 + hours as i64) * 60 + minutes as i64;
        in_range.then(|| whole * 60 * TICKS_PER_SECOND + (seconds * TICKS_PER_SECOND as f64).round() as i64)
    }))
});
