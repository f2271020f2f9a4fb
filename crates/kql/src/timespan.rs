//! Timespans as ticks of 100 ns: units, text forms, printing.

/// 100 ns ticks in a microsecond; the unit of every time in the engine is the tick.
pub const TICKS_PER_MICROSECOND: i64 = 10;
pub const TICKS_PER_MILLISECOND: i64 = 10_000;
pub const TICKS_PER_SECOND: i64 = 10_000_000;
pub const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
pub const TICKS_PER_HOUR: i64 = 60 * TICKS_PER_MINUTE;
pub const TICKS_PER_DAY: i64 = 24 * TICKS_PER_HOUR;

/// Ticks of the unit that a literal such as `5min` names; `None` for a word that is no unit.
///
/// Source: the engine's recorded answers (`1us`, `100ns` and `2w` are refused).
pub fn unit_ticks(unit: &str) -> Option<i64> {
    Some(match unit {
        "d" | "day" | "days" => TICKS_PER_DAY,
        "h" | "hr" | "hrs" | "hour" | "hours" => TICKS_PER_HOUR,
        "m" | "min" | "minute" | "minutes" => TICKS_PER_MINUTE,
        "s" | "sec" | "second" | "seconds" => TICKS_PER_SECOND,
        "ms" | "milli" | "millis" | "millisec" | "millisecond" | "milliseconds" => TICKS_PER_MILLISECOND,
        "micro" | "micros" | "microsec" | "microsecond" | "microseconds" => TICKS_PER_MICROSECOND,
        "tick" | "ticks" => 1,
        _ => return None,
    })
}

/// Parses `[-][d.]hh:mm[:ss[.fffffff]]`, a number with a unit (`1.5h`) or a bare number of days.
/// `None` for any other text and for what does not fit 64-bit ticks.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let ticks = if body.contains(':') { parse_clock(body)? } else { parse_quantity(body)? };
    if negative { ticks.checked_neg() } else { Some(ticks) }
}

fn parse_quantity(body: &str) -> Option<i64> {
    let split = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (number, unit) = body.split_at(split);
    let unit = unit.trim();
    let ticks = if unit.is_empty() { TICKS_PER_DAY } else { unit_ticks(unit)? };
    scale(number, ticks)
}

/// `number` (digits with an optional fraction) times `unit_ticks`, without passing through a float.
pub fn scale(number: &str, unit_ticks: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut ticks = whole.parse::<i128>().ok()?.checked_mul(i128::from(unit_ticks))?;
    let (mut remainder, mut divisor) = (0i128, 1i128);
    for digit in fraction.bytes().take(18) {
        remainder = remainder * 10 + i128::from(digit - b'0');
        divisor *= 10;
    }
    ticks += remainder * i128::from(unit_ticks) / divisor;
    i64::try_from(ticks).ok()
}

fn parse_clock(body: &str) -> Option<i64> {
    let mut parts = body.split(':');
    let first = parts.next()?;
    let (days, hours) = match first.split_once('.') {
        Some((days, hours)) => (days.parse::<i64>().ok()?, hours),
        None => (0, first),
    };
    let hours: i64 = number_below(hours, 24)?;
    let minutes: i64 = number_below(parts.next()?, 60)?;
    let (seconds, fraction) = match parts.next() {
        Some(text) => match text.split_once('.') {
            Some((s, f)) => (number_below(s, 60)?, fraction_ticks(f)?),
            None => (number_below(text, 60)?, 0),
        },
        None => (0, 0),
    };
    if parts.next().is_some() {
        return None;
    }
    days.checked_mul(TICKS_PER_DAY)?
        .checked_add(hours * TICKS_PER_HOUR + minutes * TICKS_PER_MINUTE + seconds * TICKS_PER_SECOND + fraction)
}

fn number_below(text: &str, limit: i64) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() || text.len() > 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>().ok().filter(|n| *n < limit)
}

/// Ticks of the decimal fraction of a second written as `digits`; more than seven digits are cut off.
pub fn fraction_ticks(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut ticks = 0;
    for i in 0..7 {
        ticks = ticks * 10 + digits.as_bytes().get(i).map_or(0, |b| i64::from(b - b'0'));
    }
    Some(ticks)
}

/// Prints `[-][d.]hh:mm:ss[.fffffff]`; the fraction is absent when it is zero.
pub fn format(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let t = ticks.unsigned_abs();
    let (day, hour, minute, second) = (
        TICKS_PER_DAY.unsigned_abs(),
        TICKS_PER_HOUR.unsigned_abs(),
        TICKS_PER_MINUTE.unsigned_abs(),
        TICKS_PER_SECOND.unsigned_abs(),
    );
    let days = if t >= day { format!("{}.", t / day) } else { String::new() };
    let clock = format!("{:02}:{:02}:{:02}", t % day / hour, t % hour / minute, t % minute / second);
    let fraction = match t % second {
        0 => String::new(),
        f => format!(".{f:07}"),
    };
    format!("{sign}{days}{clock}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        assert_eq!(parse("1d"), Some(TICKS_PER_DAY));
        assert_eq!(parse("1.5h"), Some(90 * TICKS_PER_MINUTE));
        assert_eq!(parse("2"), Some(2 * TICKS_PER_DAY));
        assert_eq!(parse("0.999999999999999999"), Some(TICKS_PER_DAY - 1));
        assert_eq!(parse("13:00"), Some(13 * TICKS_PER_HOUR));
        assert_eq!(parse("-1.02:03:04.5").map(format).as_deref(), Some("-1.02:03:04.5000000"));
        assert_eq!(parse("100ns"), None);
        assert_eq!(parse("25:00"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn prints_without_an_empty_fraction() {
        assert_eq!(format(14 * TICKS_PER_DAY), "14.00:00:00");
        assert_eq!(format(1), "00:00:00.0000001");
        assert_eq!(format(i64::MIN), "-10675199.02:48:05.4775808");
    }
}
