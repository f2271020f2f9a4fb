//! Statistics of a series, lines through it, and its outliers.

use super::{Args, Kernel, array_of_reals, complete, real_json, reals};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;

fn one_real(args: &Args, of: fn(Vec<f64>) -> f64) -> Result<ArrayRef> {
    let series = args.strings(0);
    Ok(args.make_reals(|i| complete(series.get(i)).map(of)))
}

fn of_two(args: &Args, of: fn(&[f64], &[f64]) -> f64) -> Result<ArrayRef> {
    let (left, right) = (args.strings(0), args.strings(1));
    Ok(args.make_reals(|i| {
        let (left, right) = (complete(left.get(i))?, complete(right.get(i))?);
        (left.len() == right.len() && !left.is_empty()).then(|| of(&left, &right))
    }))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub static SUM: Kernel = Kernel::new("kql_series_sum", Type::Real, |a| one_real(a, |v| v.iter().sum()));
pub static PRODUCT: Kernel = Kernel::new("kql_series_product", Type::Real, |a| one_real(a, |v| v.iter().product()));
pub static MAGNITUDE: Kernel = Kernel::new("kql_series_magnitude", Type::Real, |a| one_real(a, |v| dot(&v, &v).sqrt()));
pub static DOT_PRODUCT: Kernel = Kernel::new("kql_series_dot_product", Type::Real, |a| of_two(a, dot));
/// `series_cosine_similarity(a, b [, magnitude of a, magnitude of b])`.
pub static COSINE_SIMILARITY: Kernel = Kernel::new("kql_series_cosine_similarity", Type::Real, |args| {
    let (left, right) = (args.strings(0), args.strings(1));
    Ok(args.make_reals(|i| {
        let (left, right) = (complete(left.get(i))?, complete(right.get(i))?);
        let given = |k: usize| if k < args.len() { args.reals(k).get(i) } else { None };
        let magnitude = |k: usize, series: &[f64]| given(k).unwrap_or_else(|| dot(series, series).sqrt());
        let similarity = dot(&left, &right) / (magnitude(2, &left) * magnitude(3, &right));
        (left.len() == right.len()).then_some(similarity)
    }))
});
pub static PEARSON_CORRELATION: Kernel = Kernel::new("kql_series_pearson_correlation", Type::Real, |a| {
    of_two(a, |x, y| {
        let (mean_x, mean_y) = (mean(x), mean(y));
        let (x, y): (Vec<f64>, Vec<f64>) =
            (x.iter().map(|v| v - mean_x).collect(), y.iter().map(|v| v - mean_y).collect());
        dot(&x, &y) / (dot(&x, &x).sqrt() * dot(&y, &y).sqrt())
    })
});

/// The values of `series_stats`, under their names; variance and deviation are those of a sample.
fn stats(values: &[Option<f64>]) -> Option<Vec<(&'static str, String)>> {
    let known: Vec<(usize, f64)> = values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v))).collect();
    let lowest = known.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a })?;
    let highest = known.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    let plain: Vec<f64> = known.iter().map(|(_, v)| *v).collect();
    let average = mean(&plain);
    let squares: f64 = plain.iter().map(|v| (v - average).powi(2)).sum();
    let variance = if plain.len() > 1 { squares / (plain.len() - 1) as f64 } else { 0.0 };
    Some(vec![
        ("min", real_json(lowest.1)),
        ("min_idx", lowest.0.to_string()),
        ("max", real_json(highest.1)),
        ("max_idx", highest.0.to_string()),
        ("avg", real_json(average)),
        ("stdev", real_json(variance.sqrt())),
        ("variance", real_json(variance)),
        ("sum", real_json(plain.iter().sum())),
        ("len", plain.len().to_string()),
    ])
}

/// The series of row `i`; a missing point makes the whole unknown unless missing points are to be passed over.
fn for_stats(args: &Args, i: usize) -> Option<Vec<Option<f64>>> {
    let values = reals(args.strings(0).get(i))?;
    let passes_over = args.len() > 1 && args.bools(1).get(i) == Some(true);
    (passes_over || values.iter().all(Option::is_some)).then_some(values)
}

pub static STATS: Kernel = Kernel::new("kql_series_stats", Type::Dynamic, |args| {
    const COLUMNS: usize = 7;
    Ok(args.make_strings(|i| {
        let found = stats(&for_stats(args, i)?)?;
        Some(json::array(found.into_iter().take(COLUMNS).map(|(_, value)| value)))
    }))
});
pub static STATS_DYNAMIC: Kernel = Kernel::new("kql_series_stats_dynamic", Type::Dynamic, |args| {
    Ok(args.make_strings(|i| {
        let found = stats(&for_stats(args, i)?)?;
        Some(json::bag(found.into_iter().map(|(name, value)| (name.to_owned(), value))))
    }))
});

/// A line through points at 0, 1, 2 …, by least squares.
pub(super) struct Line {
    pub slope: f64,
    pub interception: f64,
}

impl Line {
    /// `None` where fewer than two points are known.
    pub fn through(values: &[Option<f64>]) -> Option<Line> {
        let known: Vec<(f64, f64)> = values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i as f64, v))).collect();
        if known.len() < 2 {
            return None;
        }
        let count = known.len() as f64;
        let (mean_x, mean_y) =
            (known.iter().map(|(x, _)| x).sum::<f64>() / count, known.iter().map(|(_, y)| y).sum::<f64>() / count);
        let covariance: f64 = known.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = covariance / known.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
        Some(Line { slope, interception: mean_y - slope * mean_x })
    }

    pub fn at(&self, i: usize) -> f64 {
        self.interception + self.slope * i as f64
    }
}

/// The values of `series_fit_line`, under their names. Variances are those of samples.
fn line_fit(text: Option<&str>) -> Option<Vec<(&'static str, String)>> {
    let values = complete(text)?;
    let points: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    let line = Line::through(&points)?;
    let average = mean(&values);
    let of_sample = (values.len() - 1) as f64;
    let variance = values.iter().map(|v| (v - average).powi(2)).sum::<f64>() / of_sample;
    let residual = values.iter().enumerate().map(|(i, v)| (v - line.at(i)).powi(2)).sum::<f64>() / of_sample;
    let explained = if variance == 0.0 { 1.0 } else { 1.0 - residual / variance };
    Some(vec![
        ("rsquare", real_json(explained)),
        ("slope", real_json(line.slope)),
        ("variance", real_json(variance)),
        ("rvariance", real_json(residual)),
        ("interception", real_json(line.interception)),
        ("line_fit", array_of_reals((0..values.len()).map(|i| line.at(i)))),
    ])
}

pub static FIT_LINE: Kernel = Kernel::new("kql_series_fit_line", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|i| Some(json::array(line_fit(series.get(i))?.into_iter().map(|(_, value)| value)))))
});
pub static FIT_LINE_DYNAMIC: Kernel = Kernel::new("kql_series_fit_line_dynamic", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|i| {
        Some(json::bag(line_fit(series.get(i))?.into_iter().map(|(name, value)| (name.to_owned(), value))))
    }))
});

/// A line through a part of a series, and how well it fits.
struct Part {
    line: Line,
    /// The sum of squared distances from the line.
    off: f64,
    /// The sum of squared distances from the mean.
    spread: f64,
    points: usize,
}

impl Part {
    fn of(values: &[f64]) -> Option<Part> {
        let points: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let line = Line::through(&points)?;
        let average = mean(values);
        let off = values.iter().enumerate().map(|(i, v)| (v - line.at(i)).powi(2)).sum();
        let spread = values.iter().map(|v| (v - average).powi(2)).sum();
        Some(Part { line, off, spread, points: values.len() })
    }

    fn rsquare(off: f64, spread: f64) -> f64 {
        if spread == 0.0 { 1.0 } else { 1.0 - off / spread }
    }

    fn values(&self) -> [(&'static str, String); 5] {
        let of_sample = (self.points - 1) as f64;
        [
            ("rsquare", real_json(Part::rsquare(self.off, self.spread))),
            ("slope", real_json(self.line.slope)),
            ("interception", real_json(self.line.interception)),
            ("variance", real_json(self.spread / of_sample)),
            ("rvariance", real_json(self.off / of_sample)),
        ]
    }
}

/// Two lines, each through one part of the series, of which the first ends where both together fit best.
struct TwoLines {
    /// The last point of the left part.
    split: usize,
    left: Part,
    right: Part,
    values: Vec<f64>,
}

impl TwoLines {
    /// `None` for a series that does not have two points for each line.
    fn through(text: Option<&str>) -> Option<TwoLines> {
        /// A longer series is not searched: the work grows with the square of its length.
        const POINTS_MAX: usize = 10_000;
        let values = complete(text)?;
        if values.len() < 4 || values.len() > POINTS_MAX {
            return None;
        }
        let parts = |split: usize| Some((split, Part::of(&values[..=split])?, Part::of(&values[split + 1..])?));
        let found = (1..values.len() - 2).filter_map(parts);
        let (split, left, right) = found.min_by(|a, b| (a.1.off + a.2.off).total_cmp(&(b.1.off + b.2.off)))?;
        Some(TwoLines { split, left, right, values })
    }

    /// What is said of both lines together.
    fn whole(&self) -> [(&'static str, String); 5] {
        let average = mean(&self.values);
        let spread: f64 = self.values.iter().map(|v| (v - average).powi(2)).sum();
        let off = self.left.off + self.right.off;
        let of_sample = (self.values.len() - 1) as f64;
        let left = (0..=self.split).map(|i| self.left.line.at(i));
        let right = (0..self.values.len() - self.split - 1).map(|i| self.right.line.at(i));
        [
            ("rsquare", real_json(Part::rsquare(off, spread))),
            ("split_idx", self.split.to_string()),
            ("variance", real_json(spread / of_sample)),
            ("rvariance", real_json(off / of_sample)),
            ("line_fit", array_of_reals(left.chain(right))),
        ]
    }
}

pub static FIT_2LINES: Kernel = Kernel::new("kql_series_fit_2lines", Type::Dynamic, |args| {
    let series = args.strings(0);
    Ok(args.make_strings(|i| {
        let lines = TwoLines::through(series.get(i))?;
        let all = lines.whole().into_iter().chain(lines.right.values()).chain(lines.left.values());
        Some(json::array(all.map(|(_, value)| value)))
    }))
});
pub static FIT_2LINES_DYNAMIC: Kernel = Kernel::new("kql_series_fit_2lines_dynamic", Type::Dynamic, |args| {
    let series = args.strings(0);
    let named = |values: [(&'static str, String); 5]| values.map(|(name, value)| (name.to_owned(), value));
    Ok(args.make_strings(|i| {
        let lines = TwoLines::through(series.get(i))?;
        let sides = [("right", &lines.right), ("left", &lines.left)];
        let sides = sides.map(|(name, part)| (name.to_owned(), json::bag(named(part.values()))));
        Some(json::bag(named(lines.whole()).into_iter().chain(sides)))
    }))
});

/// The percentile of sorted values, interpolated between neighbours.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = percent / 100.0 * (sorted.len() - 1) as f64;
    let (below, fraction) = (rank.floor() as usize, rank.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * fraction
}

/// Which values count as normal, for [`outlier_scores`].
#[derive(Clone, Copy)]
pub(super) struct Fence {
    pub low_percent: f64,
    pub high_percent: f64,
}

/// Tukey's own, and the one that is used unless another is asked for.
pub(super) const TUKEY: Fence = Fence { low_percent: 25.0, high_percent: 75.0 };
pub(super) const CUSTOM_TUKEY: Fence = Fence { low_percent: 10.0, high_percent: 90.0 };

impl Fence {
    /// What makes scores comparable with Tukey's: over a normal distribution 1.5 is the same value for any fence. The
    /// factor of 10/90 is the original's to the digit (from results that its author published); others are computed
    /// from the normal distribution, with the 2.7 standard deviations that the original takes for Tukey's 1.5.
    fn factors(self) -> (f64, f64) {
        const OF_TUKEY: f64 = 1.0;
        const OF_CUSTOM_TUKEY: f64 = 2.772605605507915;
        const MILD_OUTLIER_DEVIATIONS: f64 = 2.7;
        const MILD_OUTLIER_SCORE: f64 = 1.5;
        match (self.low_percent, self.high_percent) {
            (25.0, 75.0) => (OF_TUKEY, OF_TUKEY),
            (10.0, 90.0) => (OF_CUSTOM_TUKEY, OF_CUSTOM_TUKEY),
            (low, high) => {
                let (low, high) = (normal_quantile(low / 100.0), normal_quantile(high / 100.0));
                let scaled = MILD_OUTLIER_SCORE * (high - low);
                (scaled / (MILD_OUTLIER_DEVIATIONS + low), scaled / (MILD_OUTLIER_DEVIATIONS - high))
            }
        }
    }
}

/// How far each value lies outside the fence, in widths of the fence; 0 within, negative below.
pub(super) fn outlier_scores(values: &[Option<f64>], fence: Fence) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().filter(|v| !v.is_nan()).collect();
    if sorted.is_empty() {
        return vec![0.0; values.len()];
    }
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&sorted, fence.low_percent), percentile(&sorted, fence.high_percent));
    let (below, above) = fence.factors();
    let score = |v: f64| {
        if v > high {
            (v - high) / (high - low) * above
        } else if v < low {
            (v - low) / (high - low) * below
        } else {
            0.0
        }
    };
    values.iter().map(|v| v.map_or(0.0, score)).collect()
}

/// `series_outliers(series [, kind [, value of missing points [, low percentile, high percentile]]])`.
pub static OUTLIERS: Kernel = Kernel::new("kql_series_outliers", Type::Dynamic, |args| {
    const PERCENT_RANGE: std::ops::RangeInclusive<f64> = 2.0..=98.0;
    let series = args.strings(0);
    Ok(args.make_strings(|i| {
        let ignored = (args.len() > 2).then(|| args.strings(2).get(i)).flatten().and_then(|t| t.trim().parse().ok());
        let known = |v: Option<f64>| v.filter(|v| Some(*v) != ignored);
        let values: Vec<Option<f64>> = reals(series.get(i))?.into_iter().map(known).collect();
        let percent = |k: usize, usual: f64| if k < args.len() { args.reals(k).get(i) } else { Some(usual) };
        let fence = if args.len() > 1 && args.strings(1).get(i) == Some("tukey") {
            TUKEY
        } else {
            Fence {
                low_percent: percent(3, CUSTOM_TUKEY.low_percent).filter(|p| PERCENT_RANGE.contains(p))?,
                high_percent: percent(4, CUSTOM_TUKEY.high_percent).filter(|p| PERCENT_RANGE.contains(p))?,
            }
        };
        (fence.low_percent < fence.high_percent).then(|| array_of_reals(outlier_scores(&values, fence)))
    }))
});

/// The value below which the share `p` of a standard normal distribution lies, to about 1e-9 (Acklam's rational
/// approximation).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const TAIL: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    if p < TAIL {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - TAIL {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (p, z) in [(0.5, 0.0), (0.75, 0.6744897501960817), (0.9, 1.2815515655446004), (0.01, -2.3263478740408408)] {
            assert!((normal_quantile(p) - z).abs() < 1e-7, "{p}");
        }
    }

    #[test]
    fn scores_of_a_published_example() {
        // Stack Overflow, question 75264555: the original's answer for this series.
        let values = [-3.0, 2.4, 15.0, 3.9, 5.0, 6.0, 4.5, 5.2, 3.0, 4.0, 5.0, 16.0, 7.0, 5.0, 5.0, 4.0].map(Some);
        let scores = outlier_scores(&values, CUSTOM_TUKEY);
        assert!((scores[0] + 1.904_078_548_360_857).abs() < 1e-12);
        assert!((scores[1] + 0.10021466044004519).abs() < 1e-12);
        assert!((scores[2] - 1.3361954725339347).abs() < 1e-12);
        assert_eq!(scores[3], 0.0);
        assert!((scores[11] - 1.6702443406674186).abs() < 1e-12);
    }
}
