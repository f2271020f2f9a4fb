//! The span of time of a request: `P1D`, `PT86400.0S`, `start/end`, `start/PT1H`, `PT1H/end`.

use kql::datetime;
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MINUTE, TICKS_PER_SECOND};

const DAYS_PER_WEEK: i64 = 7;
const DAYS_PER_MONTH: i64 = 30;
const DAYS_PER_YEAR: i64 = 365;

/// The first and the last moment of a span, in ticks. `None` when it cannot be read.
pub(super) fn parse(text: &str, now_ticks: i64) -> Option<(i64, i64)> {
    let text = text.trim();
    let Some((left, right)) = text.split_once('/') else {
        return Some((now_ticks.checked_sub(duration(text)?)?, now_ticks));
    };
    match (duration(left), duration(right)) {
        (None, None) => Some((datetime::parse(left)?, datetime::parse(right)?)),
        (None, Some(length)) => {
            let start = datetime::parse(left)?;
            Some((start, start.checked_add(length)?))
        }
        (Some(length), None) => {
            let end = datetime::parse(right)?;
            Some((end.checked_sub(length)?, end))
        }
        (Some(_), Some(_)) => None,
    }
}

/// An ISO 8601 duration in ticks; months are of 30 days, years of 365.
fn duration(text: &str) -> Option<i64> {
    let body = text.strip_prefix('P')?;
    let (days, times) = body.split_once('T').map_or((body, ""), |(days, times)| (days, times));
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let day_units: [(char, i64); 4] = [
        ('Y', DAYS_PER_YEAR * TICKS_PER_DAY),
        ('M', DAYS_PER_MONTH * TICKS_PER_DAY),
        ('W', DAYS_PER_WEEK * TICKS_PER_DAY),
        ('D', TICKS_PER_DAY),
    ];
    let time_units = [('H', TICKS_PER_HOUR), ('M', TICKS_PER_MINUTE), ('S', TICKS_PER_SECOND)];
    sum(days, &day_units)?.checked_add(sum(times, &time_units)?)
}

fn sum(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0i64;
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?;
        let (_, ticks) = units.iter().find(|(known, _)| *known == unit)?;
        let amount: f64 = number.parse().ok()?;
        total = total.checked_add((amount * *ticks as f64).round() as i64)?;
        text = &rest[unit.len_utf8()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_all_clients_are_read() {
        let ticks = |text: &str| datetime::parse(text).expect(text);
        let now = ticks("2026-03-10T00:00:00Z");
        let day = (ticks("2026-03-09T00:00:00Z"), now);
        for text in [
            "P1D",
            "PT86400.0S",
            "PT24H",
            "2026-03-09T00:00:00.000Z/P1D",
            "2026-03-09/2026-03-10",
            "PT24H/2026-03-10T00:00:00Z",
        ] {
            assert_eq!(parse(text, now), Some(day), "{text}");
        }
        for bad in ["", "P", "1D", "P1X", "yesterday", "P1D/P1D", "2026-03-09/x", "PT"] {
            assert_eq!(parse(bad, now), None, "{bad}");
        }
    }
}
