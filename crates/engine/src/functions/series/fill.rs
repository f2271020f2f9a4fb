//! Filling of missing points: nulls, or the points that equal a placeholder.

use super::{Args, Kernel, Point, array_of, each_series};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;

/// Argument `k` of row `i` as a point, missing where it is not given.
fn point(args: &Args, k: usize, i: usize) -> Point {
    if k >= args.len() {
        return Point::Missing;
    }
    args.strings(k).get(i).map_or(Point::Missing, |text| Point::of(&json::tree(text)))
}

/// The points with each placeholder made a missing one.
fn with_gaps(points: Vec<Point>, placeholder: Point) -> Vec<Point> {
    let is_gap = |p: &Point| placeholder.real().is_some_and(|x| p.real() == Some(x));
    points.into_iter().map(|p| if is_gap(&p) { Point::Missing } else { p }).collect()
}

fn carry<'a>(points: impl Iterator<Item = &'a mut Point>) {
    let mut last = Point::Missing;
    for point in points {
        match point {
            Point::Missing => *point = last,
            known => last = *known,
        }
    }
}

pub static FORWARD: Kernel = Kernel::new("kql_series_fill_forward", Type::Dynamic, |args| {
    each_series(args, |i, points| {
        let mut points = with_gaps(points, point(args, 1, i));
        carry(points.iter_mut());
        Some(array_of(points))
    })
});
pub static BACKWARD: Kernel = Kernel::new("kql_series_fill_backward", Type::Dynamic, |args| {
    each_series(args, |i, points| {
        let mut points = with_gaps(points, point(args, 1, i));
        carry(points.iter_mut().rev());
        Some(array_of(points))
    })
});
/// `series_fill_const(series, constant [, placeholder])`.
pub static CONST: Kernel = Kernel::new("kql_series_fill_const", Type::Dynamic, |args| {
    each_series(args, |i, points| {
        let constant = point(args, 1, i);
        let filled = with_gaps(points, point(args, 2, i));
        Some(array_of(filled.into_iter().map(|p| if p == Point::Missing { constant } else { p })))
    })
});
/// `series_fill_linear(series [, placeholder [, fill_edges [, constant]]])`: a line across each gap, the nearest point
/// beyond the edges, the constant where no point is known. Over longs the line is cut to longs.
pub static LINEAR: Kernel = Kernel::new("kql_series_fill_linear", Type::Dynamic, linear);

fn linear(args: &Args) -> Result<ArrayRef> {
    each_series(args, |i, points| {
        let fills_edges = args.len() <= 2 || args.bools(2).get(i) != Some(false);
        let constant = match point(args, 3, i) {
            Point::Missing => Point::Long(0),
            given => given,
        };
        let mut points = with_gaps(points, point(args, 1, i));
        let known: Vec<usize> = (0..points.len()).filter(|k| points[*k] != Point::Missing).collect();
        let (Some(first), Some(last)) = (known.first().copied(), known.last().copied()) else {
            return Some(array_of(points.iter().map(|_| constant)));
        };
        let all_long = known.iter().all(|k| matches!(points[*k], Point::Long(_)));
        for pair in known.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let (Some(from), Some(to)) = (points[a].real(), points[b].real()) else { continue };
            for (step, point) in points[a..b].iter_mut().enumerate().skip(1) {
                let value = from + (to - from) * step as f64 / (b - a) as f64;
                *point = if all_long { Point::Long(value as i64) } else { Point::Real(value) };
            }
        }
        if fills_edges {
            let (head, tail) = (points[first], points[last]);
            points[..first].fill(head);
            points[last + 1..].fill(tail);
        }
        Some(array_of(points))
    })
}
