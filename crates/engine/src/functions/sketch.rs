//! Functions over sketches of distinct values and digests of numbers.

use super::{Args, Kernel};
use crate::json;
use crate::sketch::digest::{Digest, real_key, real_of};
use crate::sketch::distinct::Distinct;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use kql::Type;
use serde_json::Value;

fn failed(message: &str) -> DataFusionError {
    DataFusionError::Execution(message.to_owned())
}

/// The sketches of a row, as far as they are not null; `None` where one is none.
fn distincts(args: &Args, row: usize) -> Option<Vec<Distinct>> {
    let texts = (0..args.len()).filter_map(|i| args.strings(i).get(row));
    texts.map(Distinct::parse).collect()
}

pub static HLL_MERGE: Kernel = Kernel::new("kql_hll_merge_values", Type::Dynamic, |args| {
    args.try_make_strings(|i| {
        let mut sketches = distincts(args, i)?.into_iter();
        let mut merged = sketches.next()?;
        let outcome = sketches.try_for_each(|sketch| merged.merge(&sketch));
        let message = "results of hll() of different accuracies cannot be merged";
        Some(outcome.map(|()| merged.print()).ok_or_else(|| failed(message)))
    })
});

pub static HLL_ISVALID: Kernel = Kernel::new("kql_hll_isvalid", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| Some(texts.get(i).is_some_and(|text| Distinct::parse(text).is_some()))))
});

pub static DCOUNT_HLL: Kernel = Kernel::new("kql_dcount_hll", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| Distinct::parse(texts.get(i)?).map(|distinct| distinct.count())))
});

/// How many values all sets have in common.
pub static HLL_COMMON: Kernel =
    Kernel::new("kql_hll_common", Type::Long, |args| Ok(args.make_longs(|i| Distinct::common(&distincts(args, i)?))));

pub static MERGE_TDIGEST: Kernel = Kernel::new("kql_merge_tdigest_values", Type::Dynamic, |args| {
    args.try_make_strings(|i| {
        let texts = (0..args.len()).filter_map(|column| args.strings(column).get(i));
        let mut digests = texts.map(Digest::parse).collect::<Option<Vec<_>>>()?.into_iter();
        let mut merged = digests.next()?;
        let outcome = digests.try_for_each(|digest| merged.merge(&digest));
        let message = "results of tdigest() of different types cannot be merged";
        Some(outcome.map(|()| merged.print()).ok_or_else(|| failed(message)))
    })
});

pub static TDIGEST_ISVALID: Kernel = Kernel::new("kql_tdigest_isvalid", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| Some(texts.get(i).is_some_and(|text| Digest::parse(text).is_some()))))
});

/// A value of a digest as JSON.
fn printed(of: Type, key: i64) -> String {
    match of {
        Type::Real => json::real_text(real_of(key)),
        Type::DateTime => json::quote(&kql::datetime::format(key)),
        Type::TimeSpan => json::quote(&kql::timespan::format(key)),
        _ => key.to_string(),
    }
}

/// A JSON value as one of a digest.
fn key(of: Type, text: &str) -> Option<i64> {
    match (of, serde_json::from_str(text).ok()?) {
        (Type::Real, Value::Number(number)) => number.as_f64().map(real_key),
        (Type::DateTime, Value::String(text)) => kql::datetime::parse(&text),
        (Type::TimeSpan, Value::String(text)) => kql::timespan::parse(&text),
        (_, Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|x| x.floor() as i64)),
        _ => None,
    }
}

pub static PERCENTILE_TDIGEST: Kernel = Kernel::new("kql_percentile_tdigest", Type::Dynamic, |args| {
    let (texts, percents) = (args.strings(0), args.reals(1));
    Ok(args.make_strings(|i| {
        let mut digest = Digest::parse(texts.get(i)?)?;
        let found = digest.percentile(percents.get(i)?)?;
        Some(printed(digest.of, found))
    }))
});

/// Percentiles, each an argument or an item of one.
pub static PERCENTILES_ARRAY_TDIGEST: Kernel = Kernel::new("kql_percentiles_array_tdigest", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let mut digest = Digest::parse(texts.get(i)?)?;
        let mut wanted: Vec<f64> = Vec::new();
        for column in 1..args.len() {
            match serde_json::from_str(args.strings(column).get(i)?).ok()? {
                Value::Array(items) => wanted.extend(items.iter().filter_map(Value::as_f64)),
                one => wanted.extend(one.as_f64()),
            }
        }
        let of = digest.of;
        Some(json::array(wanted.iter().filter_map(|percent| Some(printed(of, digest.percentile(*percent)?)))))
    }))
});

fn rank(args: &Args, row: usize) -> Option<(f64, f64)> {
    let mut digest = Digest::parse(args.strings(0).get(row)?)?;
    let value = key(digest.of, args.strings(1).get(row)?)?;
    Some(digest.rank(value))
}

pub static RANK_TDIGEST: Kernel = Kernel::new("kql_rank_tdigest", Type::Real, |args| -> Result<_> {
    Ok(args.make_reals(|i| rank(args, i).map(|(below, _)| below)))
});

pub static PERCENTRANK_TDIGEST: Kernel = Kernel::new("kql_percentrank_tdigest", Type::Real, |args| {
    Ok(args.make_reals(|i| rank(args, i).map(|(below, total)| 100.0 * below / total)))
});
