//! Filters and the Fourier transform.

use super::{Args, Kernel, Point, array_of, array_of_reals, complete, each_series, points};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// `series_fir(series, filter [, normalize [, center]])`: each point is the sum of those before it (around it, when
/// centred) times the coefficients. Coefficients are normalized to a sum of 1 unless one of them is negative.
pub static FIR: Kernel = Kernel::new("kql_series_fir", Type::Dynamic, |args| {
    each_series(args, |i, series| {
        let coefficients = points(args.strings(1).get(i))?;
        let weights: Vec<f64> = coefficients.iter().map(|c| c.real()).collect::<Option<_>>()?;
        let flag = |k: usize| if k < args.len() { args.bools(k).get(i) } else { None };
        let normalize = flag(2).unwrap_or_else(|| weights.iter().all(|w| *w >= 0.0));
        let center = flag(3).unwrap_or(false);
        let total: f64 = weights.iter().sum();
        let scale = if normalize && total != 0.0 { total } else { 1.0 };
        let is_long = |p: &Point| matches!(p, Point::Long(_));
        let stays_long = !normalize && series.iter().all(is_long) && coefficients.iter().all(is_long);
        let ahead = if center { weights.len() / 2 } else { 0 };
        let filtered = (0..series.len()).map(|k| {
            let terms = weights.iter().enumerate().filter_map(|(j, weight)| {
                let point = (k + ahead).checked_sub(j).and_then(|at| series.get(at))?;
                point.real().map(|x| x * weight)
            });
            let sum = terms.sum::<f64>() / scale;
            if stays_long { Point::Long(sum as i64) } else { Point::Real(sum) }
        });
        Some(array_of(filtered))
    })
});

/// `series_iir(series, numerators, denominators)`.
pub static IIR: Kernel = Kernel::new("kql_series_iir", Type::Dynamic, |args| {
    each_series(args, |i, series| {
        let (b, a) = (complete(args.strings(1).get(i))?, complete(args.strings(2).get(i))?);
        let first = a.first().copied().filter(|x| *x != 0.0)?;
        let x: Vec<f64> = series.into_iter().map(|p| p.real().unwrap_or(0.0)).collect();
        let mut y: Vec<f64> = Vec::with_capacity(x.len());
        for k in 0..x.len() {
            let forward: f64 = b.iter().enumerate().take(k + 1).map(|(j, c)| c * x[k - j]).sum();
            let feedback: f64 = a.iter().enumerate().skip(1).take(k).map(|(j, c)| c * y[k - j]).sum();
            y.push((forward - feedback) / first);
        }
        Some(array_of_reals(y))
    })
});

pub static FFT: Kernel = Kernel::new("kql_series_fft", Type::Dynamic, |args| transform(args, false));
pub static IFFT: Kernel = Kernel::new("kql_series_ifft", Type::Dynamic, |args| transform(args, true));

fn transform(args: &Args, inverse: bool) -> Result<ArrayRef> {
    let real_parts = args.strings(0);
    let imaginary_parts = (args.len() > 1).then(|| args.strings(1));
    Ok(args.make_strings(|i| {
        let real = complete(real_parts.get(i))?;
        let imaginary = match &imaginary_parts {
            Some(parts) => complete(parts.get(i))?,
            None => vec![0.0; real.len()],
        };
        if imaginary.len() != real.len() {
            return None;
        }
        let mut values: Vec<Complex<f64>> =
            real.into_iter().zip(imaginary).map(|(re, im)| Complex { re, im }).collect();
        fourier(&mut values, inverse);
        let parts = [values.iter().map(|z| z.re).collect::<Vec<_>>(), values.iter().map(|z| z.im).collect()];
        Some(json::array(parts.into_iter().map(array_of_reals)))
    }))
}

/// The discrete Fourier transform in place; the inverse one is scaled so that both undo each other.
pub(super) fn fourier(values: &mut [Complex<f64>], inverse: bool) {
    let mut planner = FftPlanner::new();
    let len = values.len();
    if len == 0 {
        return;
    }
    if inverse {
        planner.plan_fft_inverse(len).process(values);
        values.iter_mut().for_each(|z| *z /= len as f64);
    } else {
        planner.plan_fft_forward(len).process(values);
    }
}
