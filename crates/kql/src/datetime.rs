//! Datetimes as ticks of 100 ns since 0001-01-01T00:00:00Z: the calendar, text forms, printing.

use crate::timespan::{
    TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MINUTE, TICKS_PER_SECOND, fraction_ticks,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ticks of 1970-01-01T00:00:00Z.
pub const UNIX_EPOCH_TICKS: i64 = 719_162 * TICKS_PER_DAY;
/// Ticks of 9999-12-31T23:59:59.9999999Z, the last datetime.
pub const MAX_TICKS: i64 = 3_652_059 * TICKS_PER_DAY - 1;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A datetime taken apart. Fields outside their range make [`Parts::ticks`] answer `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// 1 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to the length of the month.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// Ticks within the second, 0 to 9,999,999.
    pub fraction: i64,
}

impl Parts {
    pub fn date(year: i64, month: i64, day: i64) -> Parts {
        Parts { year, month, day, hour: 0, minute: 0, second: 0, fraction: 0 }
    }

    /// The parts of `ticks`, which is clamped to the range of datetimes.
    pub fn of(ticks: i64) -> Parts {
        let ticks = ticks.clamp(0, MAX_TICKS);
        let (year, month, day) = civil_from_days(ticks / TICKS_PER_DAY);
        let time = ticks % TICKS_PER_DAY;
        Parts {
            year,
            month,
            day,
            hour: time / TICKS_PER_HOUR,
            minute: time % TICKS_PER_HOUR / TICKS_PER_MINUTE,
            second: time % TICKS_PER_MINUTE / TICKS_PER_SECOND,
            fraction: time % TICKS_PER_SECOND,
        }
    }

    /// The ticks of these parts, `None` for a date or time that does not exist.
    pub fn ticks(self) -> Option<i64> {
        let valid = (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second)
            && (0..TICKS_PER_SECOND).contains(&self.fraction);
        valid.then(|| {
            days_from_civil(self.year, self.month, self.day) * TICKS_PER_DAY
                + self.hour * TICKS_PER_HOUR
                + self.minute * TICKS_PER_MINUTE
                + self.second * TICKS_PER_SECOND
                + self.fraction
        })
    }
}

pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The length of a month in days; `month` is 1 to 12.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap_year(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 0001-01-01 of a date in the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last, which makes the month lengths a linear formula.
    let y = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 306
}

/// Year, month and day of a number of days since 0001-01-01; the inverse of [`days_from_civil`].
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let z = days + 306;
    let era = z.div_euclid(DAYS_PER_ERA);
    let doe = z.rem_euclid(DAYS_PER_ERA);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The present, from the system clock.
pub fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX / 16))
}

/// Ticks of a Unix time in microseconds, saturated to the range of datetimes.
pub fn from_unix_micros(micros: i64) -> i64 {
    micros.saturating_mul(TICKS_PER_MICROSECOND).saturating_add(UNIX_EPOCH_TICKS).clamp(0, MAX_TICKS)
}

/// Unix time in microseconds, rounded down.
pub fn to_unix_micros(ticks: i64) -> i64 {
    (ticks - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_MICROSECOND)
}

/// Parses the text forms that Kusto takes: ISO 8601 (time zone optional, UTC assumed), `M/D/Y` and `M-D-Y`
/// with an optional time, `Y, M, D`, RFC 822 and RFC 850. `None` for anything else or out of range.
pub fn parse(text: &str) -> Option<i64> {
    if let Some(ticks) = parse_plain(text.as_bytes()) {
        return Some(ticks);
    }
    let text = text.trim();
    parse_iso(text).or_else(|| parse_month_first(text)).or_else(|| parse_listed(text)).or_else(|| parse_rfc822(text))
}

/// `2025-06-14T10:00:00.1234567Z`, which nearly all times are that are stored, with any number of digits in the
/// fraction or without one.
fn parse_plain(text: &[u8]) -> Option<i64> {
    let (clock, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let two = |at: usize| match (clock[at].wrapping_sub(b'0'), clock[at + 1].wrapping_sub(b'0')) {
        (tens @ 0..=9, ones @ 0..=9) => Some(i64::from(tens * 10 + ones)),
        _ => None,
    };
    let is_plain = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, b)| clock[*at] == *b);
    let mut parts = Parts::date(two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    (parts.hour, parts.minute, parts.second) = (two(11)?, two(14)?, two(17)?);
    parts.fraction = match fraction.split_first() {
        None => 0,
        Some((b'.', digits)) => fraction_ticks(std::str::from_utf8(digits).ok()?)?,
        Some(_) => return None,
    };
    parts.ticks().filter(|_| is_plain)
}

/// `2025, 6, 14`.
fn parse_listed(text: &str) -> Option<i64> {
    let mut fields = text.split(',').map(str::trim);
    let year = fields.next().filter(|y| y.len() == 4).and_then(digits)?;
    let (month, day) = (fields.next().and_then(digits)?, fields.next().and_then(digits)?);
    match fields.next() {
        None => Parts::date(year, month, day).ticks(),
        Some(_) => None,
    }
}

fn parse_iso(text: &str) -> Option<i64> {
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim_start()),
        None => (text.strip_suffix(['Z', 'z']).unwrap_or(text), ""),
    };
    let mut fields = date.split(['-', '/']);
    let year = fields.next().filter(|y| y.len() == 4).and_then(digits)?;
    let month = fields.next().map_or(Some(1), digits)?;
    let day = fields.next().map_or(Some(1), digits)?;
    if fields.next().is_some() {
        return None;
    }
    with_time(Parts::date(year, month, day), rest)
}

fn parse_month_first(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let mut fields = date.split(['-', '/']);
    let month = fields.next().and_then(digits)?;
    let day = fields.next().and_then(digits)?;
    let year = fields.next().filter(|y| y.len() == 4).and_then(digits)?;
    if fields.next().is_some() {
        return None;
    }
    with_time(Parts::date(year, month, day), rest.trim())
}

/// `Sat, 8 Nov 14 15:05:02 GMT`, `Saturday, 08-Nov-14 15:05:02 UTC`, with or without the day's name.
fn parse_rfc822(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest).trim();
    let mut words = text.split([' ', '-']).filter(|w| !w.is_empty());
    let day = words.next().and_then(digits)?;
    let name = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|m| name.get(..3) == Some(*m))? as i64 + 1;
    let year_text = words.next()?;
    let year = match (year_text.len(), digits(year_text)?) {
        (4, y) => y,
        (2, y) if y < 50 => 2000 + y,
        (2, y) => 1900 + y,
        _ => return None,
    };
    let time: Vec<&str> = words.collect();
    with_time(Parts::date(year, month, day), &time.join(" "))
}

fn with_time(mut parts: Parts, text: &str) -> Option<i64> {
    if text.is_empty() {
        return parts.ticks();
    }
    let (clock, offset) = split_zone(text)?;
    let (clock, pm) = split_meridiem(clock.trim_end());
    let mut fields = clock.split(':');
    parts.hour = digits(fields.next()?)?;
    if let Some(pm) = pm {
        if !(1..=12).contains(&parts.hour) {
            return None;
        }
        parts.hour = parts.hour % 12 + if pm { 12 } else { 0 };
    }
    parts.minute = fields.next().map_or(Some(0), digits)?;
    if let Some(seconds) = fields.next() {
        match seconds.split_once('.') {
            Some((whole, fraction)) => {
                parts.second = digits(whole)?;
                parts.fraction = fraction_ticks(fraction)?;
            }
            None => parts.second = digits(seconds)?,
        }
    }
    if fields.next().is_some() {
        return None;
    }
    let ticks = parts.ticks()?.checked_sub(offset)?;
    (0..=MAX_TICKS).contains(&ticks).then_some(ticks)
}

/// Splits a trailing zone off a time of day; the zone in ticks east of UTC.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    for name in ["Z", "z", "GMT", "UTC", "UT"] {
        if let Some(clock) = text.strip_suffix(name) {
            return Some((clock, 0));
        }
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    let zone = &text[at + 1..];
    let (hours, minutes) = match zone.split_once(':') {
        Some((h, m)) => (digits(h)?, digits(m)?),
        None if zone.len() == 4 && zone.is_ascii() => (digits(&zone[..2])?, digits(&zone[2..])?),
        None => (digits(zone)?, 0),
    };
    (hours <= 14 && minutes < 60).then_some((&text[..at], sign * (hours * TICKS_PER_HOUR + minutes * TICKS_PER_MINUTE)))
}

fn split_meridiem(clock: &str) -> (&str, Option<bool>) {
    let lower = clock.to_ascii_lowercase();
    for (suffix, pm) in [("am", false), ("pm", true)] {
        if lower.ends_with(suffix) {
            return (clock[..clock.len() - 2].trim_end(), Some(pm));
        }
    }
    (clock, None)
}

fn digits(text: &str) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Prints `2020-01-01T00:00:00.0000000Z`, always seven digits: the form of `tostring()` and of JSON inside dynamic.
pub fn format(ticks: i64) -> String {
    let p = Parts::of(ticks);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        p.year, p.month, p.day, p.hour, p.minute, p.second, p.fraction
    )
}

/// Prints `2020-01-01T00:00:00Z` with as many digits of fraction as are needed: the form of the REST answers.
pub fn format_short(ticks: i64) -> String {
    let long = format(ticks);
    let trimmed = long.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{trimmed}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Option<String> {
        parse(text).map(format_short)
    }

    #[test]
    fn calendar_round_trip() {
        for days in (0..3_652_059).step_by(97) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
        assert_eq!(format(0), "0001-01-01T00:00:00.0000000Z");
        assert_eq!(format(MAX_TICKS), "9999-12-31T23:59:59.9999999Z");
        assert_eq!(format(UNIX_EPOCH_TICKS), "1970-01-01T00:00:00.0000000Z");
    }

    #[test]
    fn text_forms() {
        assert_eq!(show("2020-02-29").as_deref(), Some("2020-02-29T00:00:00Z"));
        assert_eq!(show("2021-02-29"), None);
        assert_eq!(show("2020-01-01 10:00:00.1234567").as_deref(), Some("2020-01-01T10:00:00.1234567Z"));
        assert_eq!(show("2020-01-01T01:00:00+02:00").as_deref(), Some("2019-12-31T23:00:00Z"));
        assert_eq!(show("12-02-2022").as_deref(), Some("2022-12-02T00:00:00Z"));
        assert_eq!(show("Sat, 8 Nov 14 15:05:02 GMT").as_deref(), Some("2014-11-08T15:05:02Z"));
        assert_eq!(show("Saturday, 08-Nov-14 15:05:02 UTC").as_deref(), Some("2014-11-08T15:05:02Z"));
        assert_eq!(show("5/25/2019 2:07:01 PM").as_deref(), Some("2019-05-25T14:07:01Z"));
        assert_eq!(show("2025, 6, 14").as_deref(), Some("2025-06-14T00:00:00Z"));
        assert_eq!(show("2020-01-01T10:00:00.12345678Z").as_deref(), Some("2020-01-01T10:00:00.1234567Z"));
        assert_eq!(show("2020-01-01T10:00:00.Z"), None);
        assert_eq!(show("2020-01-01T24:00:00Z"), None);
        assert_eq!(show("garbage"), None);
        assert_eq!(show(""), None);
    }

    #[test]
    fn unix_micros_round_down() {
        assert_eq!(to_unix_micros(UNIX_EPOCH_TICKS - 1), -1);
        assert_eq!(from_unix_micros(-1), UNIX_EPOCH_TICKS - 10);
    }
}
