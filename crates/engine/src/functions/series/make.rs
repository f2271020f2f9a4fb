//! The arrays of `make-series`, out of the steps that have rows.

use super::{Args, Kernel, array_of_reals};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result};
use kql::{Type, datetime, timespan};
use serde_json::Value as Json;
use std::collections::HashMap;

/// A series has at most this many points.
pub const POINTS_MAX: usize = 1 << 20;

/// What a point is made of: its step, and the value of each aggregate.
pub const STEP_KEY: &str = "step";
pub const VALUES_KEY: &str = "values";

/// From the points of a group, bags of these keys, an array of arrays: the axis, then the values of each
/// aggregate. The other arguments are the axis type, its start, its end and the step as texts (`NULL` for the first
/// and last step of the group), whether the end belongs to the axis, and the values of steps without rows.
pub static MAKE_SERIES: Kernel = Kernel::new("kql_make_series", Type::Dynamic, |args| {
    if args.strings(1).constant() == Some(Type::Real.name()) {
        let axis = Axis {
            read: Json::as_f64,
            at: |from, step, i| from + step * i as f64,
            // Steps were computed with rounding of their own.
            index: |from, step, position| ((position - from) / step).round() as usize,
        };
        arrays(args, &axis, |axis| array_of_reals(axis.iter().copied()))
    } else {
        let axis_type = args.strings(1).constant().and_then(Type::from_name).unwrap_or(Type::Long);
        let print = move |ticks: &i64| match axis_type {
            Type::DateTime => json::quote(&datetime::format(*ticks)),
            Type::TimeSpan => json::quote(&timespan::format(*ticks)),
            _ => ticks.to_string(),
        };
        let axis = Axis {
            read: Json::as_i64,
            at: |from, step, i| i64::saturating_add(from, i64::saturating_mul(step, i as i64)),
            index: |from, step, position| (i64::saturating_sub(position, from) / step) as usize,
        };
        arrays(args, &axis, move |axis| json::array(axis.iter().map(print)))
    }
});

/// How steps of one type are reckoned with; all take the first step and the width of one.
struct Axis<T> {
    read: fn(&Json) -> Option<T>,
    at: fn(T, T, usize) -> T,
    index: fn(T, T, T) -> usize,
}

fn arrays<T: Copy + PartialOrd + std::str::FromStr>(
    args: &Args,
    axis: &Axis<T>,
    print: impl Fn(&[T]) -> String,
) -> Result<ArrayRef> {
    let points = args.strings(0);
    let bound = |k: usize| args.strings(k).constant().and_then(|text| text.parse::<T>().ok());
    let (from, to, step) = (bound(2), bound(3), bound(4));
    let includes_end = args.bools(5).get(0) == Some(true);
    let defaults: Vec<String> = match json::tree(args.strings(6).get(0).unwrap_or("[]")) {
        Json::Array(items) => items.iter().map(json::print).collect(),
        _ => Vec::new(),
    };
    let zero: Option<T> = "0".parse().ok();
    let Some(step) = step.filter(|s| zero.is_some_and(|zero| *s > zero)) else {
        return Err(DataFusionError::Execution("the step of a series must be greater than zero".to_owned()));
    };
    let mut failed = None;
    let result = args.make_strings(|row| {
        let items = match json::tree(points.get(row).unwrap_or("[]")) {
            Json::Array(items) => items,
            _ => Vec::new(),
        };
        let mut found: Vec<(T, Vec<Json>)> = Vec::new();
        let (mut first, mut last): (Option<T>, Option<T>) = (None, None);
        for item in items {
            let Some(position) = item.get(STEP_KEY).and_then(axis.read) else { continue };
            let Some(Json::Array(fields)) = item.get(VALUES_KEY) else { continue };
            first = first.filter(|f| *f <= position).or(Some(position));
            last = last.filter(|l| *l >= position).or(Some(position));
            found.push((position, fields.clone()));
        }
        let (start, includes_end) = (from.or(first)?, includes_end || to.is_none());
        let end = to.or(last)?;
        let mut steps: Vec<T> = Vec::new();
        loop {
            let position = (axis.at)(start, step, steps.len());
            if !(position < end || (includes_end && position <= end)) {
                break;
            }
            if steps.len() >= POINTS_MAX {
                let message = format!("a series would have more than {POINTS_MAX} points; take a wider step");
                failed = Some(DataFusionError::Execution(message));
                return None;
            }
            steps.push(position);
        }
        let values: HashMap<usize, Vec<Json>> =
            found.into_iter().map(|(position, fields)| ((axis.index)(start, step, position), fields)).collect();
        let columns = defaults.iter().enumerate().map(|(k, default)| {
            json::array((0..steps.len()).map(|i| match values.get(&i) {
                Some(found) => found.get(k).map_or_else(|| "null".to_owned(), json::print),
                None => default.clone(),
            }))
        });
        Some(json::array(std::iter::once(print(&steps)).chain(columns)))
    });
    failed.map_or(Ok(result), Err)
}
