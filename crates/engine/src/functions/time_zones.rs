//! Times in the zones of the IANA database.

use super::{Args, Kernel};
use crate::json;
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use datafusion::arrow::array::ArrayRef;
use kql::Type;
use kql::datetime::to_unix_micros;
use std::collections::HashMap;

const TICKS_PER_SECOND: i64 = 10_000_000;

/// The zone of a name such as `Europe/Berlin` or `US/Pacific`.
pub fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

fn naive(ticks: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(to_unix_micros(ticks))?.naive_utc())
}

/// Moves each time by an offset, in seconds, that depends on the time and the zone.
fn moved(args: &Args, offset: fn(Tz, NaiveDateTime) -> Option<i64>) -> ArrayRef {
    let (times, names) = (args.longs(0), args.strings(1));
    let mut zones: HashMap<&str, Option<Tz>> = HashMap::new();
    args.make_longs(|i| {
        let (ticks, name) = (times.get(i)?, names.get(i)?);
        let zone = (*zones.entry(name).or_insert_with(|| zone(name)))?;
        let moved = ticks.checked_add(offset(zone, naive(ticks)?)? * TICKS_PER_SECOND)?;
        (0..=kql::datetime::MAX_TICKS).contains(&moved).then_some(moved)
    })
}

/// `datetime_utc_to_local(time, zone)`; null for a zone that is not known.
pub static UTC_TO_LOCAL: Kernel = Kernel::new("kql_datetime_utc_to_local", Type::DateTime, |args| {
    Ok(moved(args, |zone, time| Some(zone.offset_from_utc_datetime(&time).fix().local_minus_utc().into())))
});

/// `datetime_local_to_utc(time, zone)`: the earlier of two where clocks were set back; where they were set forward
/// over the time, as it was after that.
pub static LOCAL_TO_UTC: Kernel = Kernel::new("kql_datetime_local_to_utc", Type::DateTime, |args| {
    Ok(moved(args, |zone, time| {
        let at = |time: NaiveDateTime| zone.offset_from_local_datetime(&time).earliest();
        let offset = at(time).or_else(|| at(time.checked_add_signed(TimeDelta::days(1))?))?;
        Some(-i64::from(offset.fix().local_minus_utc()))
    }))
});

/// `datetime_list_timezones()`: all names, in order.
pub static LIST_TIMEZONES: Kernel = Kernel::new("kql_datetime_list_timezones", Type::Dynamic, |args| {
    let mut names: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    names.sort_unstable();
    let list = json::array(names.into_iter().map(json::quote));
    Ok(args.make_strings(|_| Some(&list)))
});
