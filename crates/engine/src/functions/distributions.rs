//! Probability distributions: beta, and Student's t within Welch's test.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;

/// The share of the beta distribution up to `x`, by Lentz's evaluation of its continued fraction.
fn beta_share(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on one side of the middle; the other is its mirror image.
    if x > (a + 1.0) / (a + b + 2.0) { 1.0 - beta_fraction(1.0 - x, b, a) } else { beta_fraction(x, a, b) }
}

/// As [`beta_share`], for a point before the middle.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const STEPS_MAX: i32 = 10_000;
    const TINY: f64 = 1e-300;
    let front = (a * x.ln() + b * (-x).ln_1p() - log_beta(a, b)).exp() / a;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for step in 0..STEPS_MAX {
        let m = f64::from(step / 2);
        let numerator = match step {
            0 => 1.0,
            _ if step % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 / away_from_zero(1.0 + numerator * d);
        c = away_from_zero(1.0 + numerator / c);
        fraction *= c * d;
        if (1.0 - c * d).abs() < 1e-16 {
            break;
        }
    }
    front * (fraction - 1.0)
}

fn log_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// Where the beta distribution has the share `p` behind it.
fn beta_point(p: f64, a: f64, b: f64) -> f64 {
    // Halving is slow and sure: the last bit is found in some sixty steps, more near zero.
    const STEPS_MAX: usize = 1100;
    if p >= 1.0 {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS_MAX {
        let middle: f64 = (low + high) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if beta_share(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

fn of_three(args: &Args, f: fn(f64, f64, f64) -> Option<f64>) -> Result<ArrayRef> {
    let (x, a, b) = (args.reals(0), args.reals(1), args.reals(2));
    Ok(args.make_reals(|i| f(x.get(i)?, a.get(i)?, b.get(i)?)))
}

/// `beta_cdf(x, alpha, beta)`. Parameters that are not above 0 give 1, as in the documented answer (the text beside it
/// says NaN); a point that is no share gives NaN.
pub static BETA_CDF: Kernel = Kernel::new("kql_beta_cdf", Type::Real, |args| {
    of_three(args, |x, a, b| {
        Some(match () {
            () if !(0.0..=1.0).contains(&x) => f64::NAN,
            () if a <= 0.0 || b <= 0.0 => 1.0,
            () => beta_share(x, a, b),
        })
    })
});

/// `beta_inv(probability, alpha, beta)`: null where the first is no probability.
pub static BETA_INV: Kernel = Kernel::new("kql_beta_inv", Type::Real, |args| {
    of_three(args, |p, a, b| {
        let p = Some(p).filter(|p| (0.0..=1.0).contains(p))?;
        Some(if a > 0.0 && b > 0.0 { beta_point(p, a, b) } else { f64::NAN })
    })
});

pub static BETA_PDF: Kernel = Kernel::new("kql_beta_pdf", Type::Real, |args| {
    of_three(args, |x, a, b| {
        let is_valid = x > 0.0 && x < 1.0 && a > 0.0 && b > 0.0;
        let density = || ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - log_beta(a, b)).exp();
        Some(if is_valid { density() } else { f64::NAN })
    })
});

/// `welch_test(mean1, variance1, count1, mean2, variance2, count2)`: the probability of means as far apart, or farther,
/// of two samples of the same mean.
pub static WELCH_TEST: Kernel = Kernel::new("kql_welch_test", Type::Real, |args| {
    let given: Vec<_> = (0..6).map(|i| args.reals(i)).collect();
    Ok(args.make_reals(|i| {
        let at = |place: usize| given[place].get(i);
        if at(2)? <= 1.0 || at(5)? <= 1.0 {
            // One value has no spread.
            return Some(f64::NAN);
        }
        let (share1, share2) = (at(1)? / at(2)?, at(4)? / at(5)?);
        let t = (at(0)? - at(3)?) / (share1 + share2).sqrt();
        let freedom = (share1 + share2).powi(2) / (share1.powi(2) / (at(2)? - 1.0) + share2.powi(2) / (at(5)? - 1.0));
        Some(beta_share(freedom / (freedom + t * t), freedom / 2.0, 0.5))
    }))
});
