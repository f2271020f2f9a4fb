//! All places within a distance of a shape, with arcs approximated by straight edges.
//!
//! The corners are those that S2's buffer operation makes, so that they are the same as the original's: each shape
//! becomes loops that go around it at that distance, and the buffer is what they wind around.

use super::geojson::{Line, Polygon};
use super::overlay::{Overlay, Path};
use super::sphere::{EARTH_METERS, Point, angle, closest, cross, normal, normalized, on_ray, scaled, square_to, sum};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use std::f64::consts::{FRAC_PI_2, PI};

/// The meters that a buffer may be off, where nothing is said.
pub const TOLERANCE_METERS: f64 = 10.0;
/// The share of the radius that a buffer may be off, at the least and at the most.
const ERROR_SHARES: (f64, f64) = (1e-6, 0.999_999);

/// How to go around a shape. Angles are in radians.
pub struct Buffer {
    radius: f64,
    /// The angle between two corners of an arc around a point.
    step: f64,
    /// The same around a lone point, such that the corners are spread evenly.
    even_step: f64,
    /// The length of an edge beyond which it needs corners between its ends.
    edge_step: f64,
}

/// The longest step around a circle that stays within the error.
fn step(radius: f64, error: f64) -> f64 {
    /// A circle has at least three corners.
    const LONGEST: f64 = 2.0 * PI / 3.0 + 1e-15;
    /// An error that is lost in rounding would make steps of no length.
    const SHORTEST: f64 = 1e-3;
    let step = 2.0 * ((radius - error).tan() / radius.tan()).acos();
    // No number is no step either.
    if step > SHORTEST { step.min(LONGEST) } else { SHORTEST }
}

impl Buffer {
    /// `None` for lengths in meters that are not above zero.
    pub fn new(radius: f64, tolerance: f64) -> Option<Result<Buffer>> {
        if !(radius > 0.0 && tolerance > 0.0) {
            return None;
        }
        if radius / EARTH_METERS >= FRAC_PI_2 - 1e-6 {
            let message = "a buffer of a quarter of the way around the Earth and more is not supported";
            return Some(Err(DataFusionError::Execution(message.to_owned())));
        }
        let share = (tolerance / radius).clamp(ERROR_SHARES.0, ERROR_SHARES.1);
        let radius = radius / EARTH_METERS;
        let error = radius * share;
        let around = step(radius, error);
        let even_step = 2.0 * PI / (2.0 * PI / around).ceil() + 1e-15;
        let edge_step = step(FRAC_PI_2 - radius, error);
        Some(Ok(Buffer { radius, step: around, even_step, edge_step }))
    }

    /// The corners around a point.
    pub fn around_point(&self, center: Point) -> Vec<Point> {
        let mut corners = Vec::new();
        let mut start = square_to(center);
        let mut angle = 0.0;
        for _quarter in 0..4 {
            let aside = normalized(cross(center, start)).unwrap_or(start);
            while angle < FRAC_PI_2 {
                corners.push(on_ray(center, on_ray(start, aside, angle), self.radius));
                angle += self.even_step;
            }
            angle -= FRAC_PI_2;
            start = aside;
        }
        corners
    }

    /// The direction to the right of an edge, away from what is inside.
    fn axis(a: Point, b: Point) -> Point {
        normalized(normal(b, a)).unwrap_or_else(|| square_to(a))
    }

    /// An arc around a corner, from one direction on, short of another.
    fn corner(&self, at: Point, start: Point, end: Point, out: &mut Vec<Point>) {
        let aside = normalized(cross(at, start)).unwrap_or(start);
        let whole = angle(start, end);
        let mut by = 0.0;
        loop {
            out.push(on_ray(at, on_ray(start, aside, by), self.radius));
            by += self.step;
            if by >= whole {
                break;
            }
        }
    }

    /// The way beside an edge, short of its end.
    fn edge(&self, a: Point, b: Point, out: &mut Vec<Point>) {
        let axis = Self::axis(a, b);
        let along = normalized(cross(a, axis)).unwrap_or(b);
        let whole = angle(a, b);
        let mut by = 0.0;
        loop {
            out.push(on_ray(on_ray(a, along, by), axis, self.radius));
            by += self.edge_step;
            if by >= whole {
                break;
            }
        }
    }

    /// The way beside an edge and around its end, towards the next corner.
    fn edge_and_corner(&self, a: Point, b: Point, c: Point, out: &mut Vec<Point>) {
        self.edge(a, b, out);
        let (start, end) = (Self::axis(a, b), Self::axis(b, c));
        let is_convex = super::sphere::dot(normal(a, b), c) >= 0.0;
        if is_convex {
            self.corner(b, start, end, out);
        } else {
            // The ways beside both edges cross; between them is a detour by the corner, which is inside anyway.
            out.extend([on_ray(b, start, self.radius), b]);
        }
    }

    fn around_line(&self, line: &Line) -> Vec<Point> {
        let points = &line.points;
        let mut out = Vec::new();
        let mut there = |points: &[Point]| {
            let axis = Self::axis(points[0], points[1]);
            self.corner(points[0], scaled(axis, -1.0), axis, &mut out);
            points.windows(3).for_each(|p| self.edge_and_corner(p[0], p[1], p[2], &mut out));
            let last = points.len() - 1;
            self.edge(points[last - 1], points[last], &mut out);
        };
        there(points);
        there(&points.iter().rev().copied().collect::<Vec<_>>());
        out
    }

    fn around_loop(&self, corners: &[Point]) -> Vec<Point> {
        let mut out = Vec::new();
        let at = |i: usize| corners[i % corners.len()];
        (0..corners.len()).for_each(|i| self.edge_and_corner(at(i), at(i + 1), at(i + 2), &mut out));
        out
    }

    pub fn lines(&self, lines: &[Line]) -> Result<Vec<Vec<Point>>> {
        let edges: Vec<(Point, Point)> = lines.iter().flat_map(super::arcs).collect();
        self.join(lines.iter().map(|line| self.around_line(line)).collect(), &edges)
    }

    pub fn polygons(&self, polygons: &[Polygon]) -> Result<Vec<Vec<Point>>> {
        let edges: Vec<(Point, Point)> = polygons.iter().flat_map(super::polygon_edges).collect();
        let around = |polygon: &Polygon| {
            // What is inside is to the left of a hole that goes clockwise.
            let hole = |ring: &super::geojson::Ring| ring.points.iter().rev().copied().collect::<Vec<_>>();
            let holes = polygon.holes.iter().map(hole);
            std::iter::once(polygon.shell.points.clone())
                .chain(holes)
                .map(|ring| self.around_loop(&ring))
                .collect::<Vec<_>>()
        };
        self.join(polygons.iter().flat_map(around).collect(), &edges)
    }

    /// What the loops wind around. `edges` are those of the shape: far from them is outside.
    fn join(&self, loops: Vec<Vec<Point>>, edges: &[(Point, Point)]) -> Result<Vec<Vec<Point>>> {
        let whole = edges.iter().fold([0.0; 3], |whole, (a, _)| sum(whole, *a));
        let opposite = super::reference(whole);
        let is_far = edges.iter().all(|(a, b)| angle(opposite, closest(opposite, *a, *b)) > self.radius);
        if !is_far {
            let message = "the buffer of a shape as wide as the Earth is not supported";
            return Err(DataFusionError::Execution(message.to_owned()));
        }
        let paths: Vec<Path> = loops.into_iter().map(|points| Path { points, is_loop: true, source: 0 }).collect();
        Ok(Overlay::new(&paths)?.regions(opposite, [0; 2], |windings| windings[0] > 0))
    }
}
