//! Polynomials through series, by least squares.

use super::{array_of_reals, complete, real_json};
use crate::functions::{Args, Kernel};
use crate::json;
use kql::Type;

/// Beyond this the powers of a point leave nothing of the digits of a float.
const DEGREE_MAX: i64 = 100;
const DEGREE_DEFAULT: i64 = 1;

/// A polynomial over points that are moved and scaled to lie from -1 to 1, where powers stay of a size.
struct Polynomial {
    middle: f64,
    reach: f64,
    /// Of the scaled point, from the lowest power.
    scaled: Vec<f64>,
}

impl Polynomial {
    /// The polynomial that is closest to the points; `None` where the points do not determine one.
    fn through(x: &[f64], y: &[f64], degree: usize) -> Option<Polynomial> {
        if x.len() != y.len() || x.len() <= degree || !x.iter().chain(y).all(|v| v.is_finite()) {
            return None;
        }
        let (low, high) = x.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let middle = low + (high - low) / 2.0;
        let reach = if high > low { (high - low) / 2.0 } else { 1.0 };
        let columns: Vec<Vec<f64>> = {
            let first = vec![1.0; x.len()];
            let next = |last: &Vec<f64>| {
                Some(last.iter().zip(x).map(|(power, v)| power * (v - middle) / reach).collect::<Vec<f64>>())
            };
            std::iter::successors(Some(first), next).take(degree + 1).collect()
        };
        Some(Polynomial { middle, reach, scaled: least_squares(columns, y.to_vec())? })
    }

    fn at(&self, x: f64) -> f64 {
        let scaled = (x - self.middle) / self.reach;
        self.scaled.iter().rev().fold(0.0, |sum, c| sum * scaled + c)
    }

    /// The coefficients over the points as they were given, from the highest power.
    fn coefficients(&self) -> Vec<f64> {
        // The scheme of Horner, over polynomials: each step multiplies by (x - middle) / reach.
        let mut of_x: Vec<f64> = Vec::with_capacity(self.scaled.len());
        for coefficient in self.scaled.iter().rev() {
            of_x.insert(0, 0.0);
            for power in 0..of_x.len() {
                let above = of_x.get(power + 1).copied().unwrap_or(0.0);
                of_x[power] = (of_x[power] - above * self.middle) / self.reach;
            }
            of_x[0] += coefficient;
        }
        of_x.reverse();
        of_x
    }
}

/// What to take of each column so that the sum is closest to `wanted`: reflections that leave a triangle
/// (Householder), which is solved from its end. `None` where a column is made of those before it.
fn least_squares(mut columns: Vec<Vec<f64>>, mut wanted: Vec<f64>) -> Option<Vec<f64>> {
    /// What is left of a column that depends on others is the rounding of its digits.
    const DEPENDENT: f64 = 1e-13;
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let count = columns.len();
    for k in 0..count {
        let whole = length(&columns[k]);
        let mut mirror = columns[k][k..].to_vec();
        let size = length(&mirror);
        if size <= DEPENDENT * whole {
            return None;
        }
        mirror[0] += size.copysign(mirror[0]);
        let squared: f64 = mirror.iter().map(|x| x * x).sum();
        let reflect = |column: &mut [f64]| {
            let along = 2.0 * column.iter().zip(&mirror).map(|(x, m)| x * m).sum::<f64>() / squared;
            column.iter_mut().zip(&mirror).for_each(|(x, m)| *x -= along * m);
        };
        columns[k..].iter_mut().for_each(|column| reflect(&mut column[k..]));
        reflect(&mut wanted[k..]);
    }
    let mut taken = vec![0.0; count];
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|k| columns[k][row] * taken[k]).sum();
        taken[row] = (wanted[row] - known) / columns[row][row];
    }
    Some(taken)
}

/// `series_fit_poly(y [, x [, degree]])`; without `x` the points are at 1, 2, 3 …
pub static FIT_POLY: Kernel = Kernel::new("kql_series_fit_poly", Type::Dynamic, |args: &Args| {
    let series = args.strings(0);
    let places = (args.len() > 1).then(|| args.strings(1));
    let degrees = (args.len() > 2).then(|| args.longs(2));
    Ok(args.make_strings(|i| {
        let y = complete(series.get(i))?;
        let x = match &places {
            Some(places) => complete(places.get(i))?,
            None => (1..=y.len()).map(|n| n as f64).collect(),
        };
        let degree = degrees.as_ref().map_or(Some(DEGREE_DEFAULT), |degrees| degrees.get(i))?;
        let degree = usize::try_from(degree).ok().filter(|_| (1..=DEGREE_MAX).contains(&degree))?;
        let polynomial = Polynomial::through(&x, &y, degree)?;
        let fit: Vec<f64> = x.iter().map(|x| polynomial.at(*x)).collect();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let of_sample = (y.len() - 1) as f64;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / of_sample;
        let residual = y.iter().zip(&fit).map(|(y, fit)| (y - fit).powi(2)).sum::<f64>() / of_sample;
        let explained = if variance == 0.0 { 1.0 } else { 1.0 - residual / variance };
        Some(json::array([
            real_json(explained),
            array_of_reals(polynomial.coefficients()),
            real_json(variance),
            real_json(residual),
            array_of_reals(fit),
        ]))
    }))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_polynomial_that_made_the_points() {
        // x⁵ - 8x³ + 10x + 6, far from 0 for its size.
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) / 40.0 - 2.3).collect();
        let y: Vec<f64> = x.iter().map(|x| x.powi(5) - 8.0 * x.powi(3) + 10.0 * x + 6.0).collect();
        let found = Polynomial::through(&x, &y, 5).map(|p| p.coefficients()).unwrap_or_default();
        let wanted = [1.0, 0.0, -8.0, 0.0, 10.0, 6.0];
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn points_at_one_place_have_no_line() {
        assert!(Polynomial::through(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0], 1).is_none());
    }
}
