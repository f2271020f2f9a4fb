//! Periods of a series, and its parts: what repeats, the trend, the rest.

use super::filter::fourier;
use super::statistics::{CUSTOM_TUKEY, Line, TUKEY, outlier_scores};
use super::{Args, Kernel, array_of_reals, real_json, reals};
use crate::json;
use kql::Type;
use rustfft::num_complex::Complex;
use std::cmp::Ordering;

/// Shorter periods are noise, longer ones than half the series are not seen twice.
const PERIOD_MIN: usize = 4;
/// A period whose score is lower is not taken for one, unless the query says otherwise.
const SEASONALITY_THRESHOLD: f64 = 0.6;
const SEASONAL_THRESHOLD: f64 = 0.7;
const ANOMALY_THRESHOLD: f64 = 1.5;

/// How alike a series is to itself at every lag, from 0 for the least to 1 at lag 0; beside it the power spectrum.
struct Periodicity {
    similarity: Vec<f64>,
    power: Vec<f64>,
}

impl Periodicity {
    /// The series is taken for a circle, so that one transform gives all lags.
    fn of(values: &[Option<f64>]) -> Option<Periodicity> {
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        if known.is_empty() || known.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let mut spectrum: Vec<Complex<f64>> =
            values.iter().map(|v| Complex { re: v.map_or(0.0, |v| v - mean), im: 0.0 }).collect();
        fourier(&mut spectrum, false);
        let power: Vec<f64> = spectrum.iter().map(Complex::norm_sqr).collect();
        let mut correlation: Vec<Complex<f64>> = power.iter().map(|p| Complex { re: *p, im: 0.0 }).collect();
        fourier(&mut correlation, true);
        let highest = correlation[0].re;
        let lowest = correlation.iter().map(|z| z.re).fold(f64::INFINITY, f64::min);
        // A constant series is alike at all lags and has no period.
        if highest <= lowest {
            return None;
        }
        let similarity = correlation.iter().map(|z| (z.re - lowest) / (highest - lowest)).collect();
        Some(Periodicity { similarity, power })
    }

    fn len(&self) -> usize {
        self.similarity.len()
    }

    /// The score of a lag: its similarity where no lag nearby has more, 0 elsewhere.
    fn score(&self, lag: usize) -> f64 {
        if lag < PERIOD_MIN || lag > self.len() / 2 {
            return 0.0;
        }
        let radius = (lag / 8).max(2);
        let nearby = lag.saturating_sub(radius).max(1)..=(lag + radius).min(self.len() - 1);
        let here = self.similarity[lag];
        if nearby.into_iter().all(|other| self.similarity[other] <= here) { here } else { 0.0 }
    }

    /// The periods between `least` and `most` with their scores, best first. A peak of the spectrum says about where
    /// one is, the similarity nearby where exactly.
    fn periods(&self, least: f64, most: f64) -> Vec<(usize, f64)> {
        let n = self.len() as f64;
        let mut found: Vec<(usize, f64)> = Vec::new();
        for k in 2..=self.len() / 2 {
            let is_peak = self.power[k] > self.power[k - 1] && self.power[k] >= self.power[(k + 1) % self.len()];
            if !is_peak {
                continue;
            }
            let (from, to) = (n / (k + 1) as f64, n / (k - 1) as f64);
            let from = (from.max(least).ceil() as usize).max(PERIOD_MIN);
            let to = (to.min(most).floor() as usize).min(self.len() / 2);
            let best = (from..=to).max_by(|a, b| self.similarity[*a].total_cmp(&self.similarity[*b]));
            if let Some(lag) = best
                && self.score(lag) > 0.0
                && !found.iter().any(|(other, _)| *other == lag)
            {
                found.push((lag, self.score(lag)));
            }
        }
        found.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        found
    }
}

/// `series_periods_detect(series, least, most, count)`: the best periods and their scores, filled up with 0.
pub static PERIODS_DETECT: Kernel = Kernel::new("kql_series_periods_detect", Type::Dynamic, |args| {
    const COUNT_MAX: usize = 1000;
    let (series, least, most, counts) = (args.strings(0), args.reals(1), args.reals(2), args.longs(3));
    Ok(args.make_strings(|i| {
        let values = reals(series.get(i))?;
        let count = usize::try_from(counts.get(i)?).ok()?.min(COUNT_MAX);
        let mut found = Periodicity::of(&values)
            .map_or_else(Vec::new, |p| p.periods(least.get(i).unwrap_or(0.0), most.get(i).unwrap_or(f64::INFINITY)));
        found.resize(count, (0, 0.0));
        let columns =
            [found.iter().map(|(lag, _)| *lag as f64).collect::<Vec<_>>(), found.iter().map(|(_, s)| *s).collect()];
        Some(json::array(columns.into_iter().map(array_of_reals)))
    }))
});

/// `series_periods_validate(series, period, ...)`: the periods as given, and their scores.
pub static PERIODS_VALIDATE: Kernel = Kernel::new("kql_series_periods_validate", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|i| {
        let values = reals(series.get(i))?;
        let periodicity = Periodicity::of(&values);
        let periods: Vec<f64> = (1..args.len()).map(|k| args.reals(k).get(i)).collect::<Option<_>>()?;
        let score = |period: &f64| periodicity.as_ref().map_or(0.0, |p| p.score(period.round().max(0.0) as usize));
        let scores: Vec<f64> = periods.iter().map(score).collect();
        Some(json::array([array_of_reals(periods), array_of_reals(scores)]))
    }))
});

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// What repeats every `period` points: the median of the points at the same place, of the first `learnt` points.
fn seasonal_part(values: &[Option<f64>], learnt: usize, period: usize) -> Vec<f64> {
    if period == 0 {
        return vec![0.0; values.len()];
    }
    let places: Vec<f64> = (0..period)
        .map(|place| median(values[..learnt].iter().skip(place).step_by(period).flatten().copied().collect()))
        .collect();
    (0..values.len()).map(|i| places[i % period]).collect()
}

/// The period to use: the one given, or the best one when `seasonality` is -1. 0 for none.
fn period(values: &[Option<f64>], seasonality: i64, threshold: f64) -> usize {
    match seasonality {
        -1 => Periodicity::of(values)
            .and_then(|p| p.periods(0.0, f64::INFINITY).first().copied())
            .filter(|(_, score)| *score >= threshold)
            .map_or(0, |(lag, _)| lag),
        given => usize::try_from(given).unwrap_or(0).min(values.len()),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Trend {
    Average,
    Line,
    None,
}

impl Trend {
    fn of(text: &str) -> Option<Trend> {
        match text {
            "avg" => Some(Trend::Average),
            "linefit" => Some(Trend::Line),
            "none" => Some(Trend::None),
            _ => None,
        }
    }
}

struct Decomposition {
    baseline: Vec<f64>,
    seasonal: Vec<f64>,
    trend: Vec<f64>,
    residual: Vec<Option<f64>>,
}

impl Decomposition {
    /// Splits a series. The last `test_points` are left out of what is learnt, and predicted.
    fn of(values: &[Option<f64>], seasonality: i64, trend: Trend, test_points: i64, threshold: f64) -> Decomposition {
        let learnt = values.len().saturating_sub(usize::try_from(test_points).unwrap_or(0));
        let period = period(&values[..learnt], seasonality, threshold);
        let seasonal = seasonal_part(values, learnt, period);
        let rest: Vec<Option<f64>> = values[..learnt].iter().zip(&seasonal).map(|(v, s)| v.map(|v| v - s)).collect();
        let known: Vec<f64> = rest.iter().flatten().copied().collect();
        let average = if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let line = Line::through(&rest).unwrap_or(Line { slope: 0.0, interception: average });
        let trend: Vec<f64> = (0..values.len())
            .map(|i| match trend {
                Trend::Average => average,
                Trend::Line => line.at(i),
                Trend::None => 0.0,
            })
            .collect();
        let baseline: Vec<f64> = seasonal.iter().zip(&trend).map(|(s, t)| s + t).collect();
        let residual = values.iter().zip(&baseline).map(|(v, b)| v.map(|v| v - b)).collect();
        Decomposition { baseline, seasonal, trend, residual }
    }

    fn columns(self, first: Vec<f64>) -> String {
        let residual = json::array(self.residual.into_iter().map(|r| r.map_or_else(|| "null".to_owned(), real_json)));
        json::array([array_of_reals(first), array_of_reals(self.seasonal), array_of_reals(self.trend), residual])
    }
}

/// Optional arguments of the decompositions, by their place.
struct Options<'a> {
    args: &'a Args<'a>,
    row: usize,
}

impl Options<'_> {
    fn integer(&self, k: usize, usual: i64) -> Option<i64> {
        if k < self.args.len() { self.args.longs(k).get(self.row) } else { Some(usual) }
    }

    fn real(&self, k: usize, usual: f64) -> Option<f64> {
        if k < self.args.len() { self.args.reals(k).get(self.row) } else { Some(usual) }
    }

    fn text(&self, k: usize, usual: &'static str) -> Option<String> {
        if k < self.args.len() { self.args.strings(k).get(self.row).map(str::to_owned) } else { Some(usual.to_owned()) }
    }
}

/// `series_seasonal(series [, period])`.
pub static SEASONAL: Kernel = Kernel::new("kql_series_seasonal", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|row| {
        let values = reals(series.get(row))?;
        let seasonality = Options { args, row }.integer(1, -1)?;
        let period = period(&values, seasonality, SEASONAL_THRESHOLD);
        Some(array_of_reals(seasonal_part(&values, values.len(), period)))
    }))
});

/// `series_decompose(series [, seasonality [, trend [, test points [, seasonality threshold]]]])`.
pub static DECOMPOSE: Kernel = Kernel::new("kql_series_decompose", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|row| {
        let options = Options { args, row };
        let values = reals(series.get(row))?;
        let trend = Trend::of(&options.text(2, "avg")?)?;
        let threshold = options.real(4, SEASONALITY_THRESHOLD)?;
        let parts = Decomposition::of(&values, options.integer(1, -1)?, trend, options.integer(3, 0)?, threshold);
        let baseline = parts.baseline.clone();
        Some(parts.columns(baseline))
    }))
});

/// `series_decompose_forecast(series, points [, seasonality [, trend [, seasonality threshold]]])`.
pub static DECOMPOSE_FORECAST: Kernel = Kernel::new("kql_series_decompose_forecast", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|row| {
        let options = Options { args, row };
        let values = reals(series.get(row))?;
        let trend = Trend::of(&options.text(3, "linefit")?)?;
        let threshold = options.real(4, SEASONALITY_THRESHOLD)?;
        let parts = Decomposition::of(&values, options.integer(2, -1)?, trend, options.integer(1, 0)?, threshold);
        let forecast = parts.baseline.clone();
        Some(parts.columns(forecast))
    }))
});

/// `series_decompose_anomalies(series [, threshold [, seasonality [, trend [, test points [, method [, seasonality
/// threshold]]]]]])`: 1, -1 or 0 for points above, below and at what is expected, their scores, and the expected.
pub static DECOMPOSE_ANOMALIES: Kernel = Kernel::new("kql_series_decompose_anomalies", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|row| {
        let options = Options { args, row };
        let values = reals(series.get(row))?;
        let threshold = options.real(1, ANOMALY_THRESHOLD)?;
        let trend = Trend::of(&options.text(3, "avg")?)?;
        let fence = match options.text(5, "ctukey")?.as_str() {
            "ctukey" => CUSTOM_TUKEY,
            "tukey" => TUKEY,
            _ => return None,
        };
        let seasonality_threshold = options.real(6, SEASONALITY_THRESHOLD)?;
        let (seasonality, test_points) = (options.integer(2, -1)?, options.integer(4, 0)?);
        let parts = Decomposition::of(&values, seasonality, trend, test_points, seasonality_threshold);
        let scores = outlier_scores(&parts.residual, fence);
        let flags = scores.iter().map(|score| i64::from(*score > threshold) - i64::from(*score < -threshold));
        let flags = json::array(flags.map(|flag| flag.to_string()));
        Some(json::array([flags, array_of_reals(scores), array_of_reals(parts.baseline)]))
    }))
});
