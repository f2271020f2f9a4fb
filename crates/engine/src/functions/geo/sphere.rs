//! Points, arcs and loops on a sphere. A point is a vector of length 1; lengths are angles in radians.

use std::f64::consts::PI;

/// The radius of the Earth that Kusto measures with, in meters.
pub const EARTH_METERS: f64 = 6_371_010.0;

pub type Point = [f64; 3];

/// The point at a longitude and latitude in degrees.
pub fn point(longitude: f64, latitude: f64) -> Point {
    let (lambda, phi) = (longitude.to_radians(), latitude.to_radians());
    [phi.cos() * lambda.cos(), phi.cos() * lambda.sin(), phi.sin()]
}

/// The longitude and latitude of a point in degrees.
pub fn degrees(p: Point) -> [f64; 2] {
    // The sums make 0 of -0.
    [p[1].atan2(p[0]).to_degrees() + 0.0, p[2].atan2(p[0].hypot(p[1])).to_degrees() + 0.0]
}

pub fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn cross(a: Point, b: Point) -> Point {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn sum(a: Point, b: Point) -> Point {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub fn difference(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub fn scaled(a: Point, by: f64) -> Point {
    [a[0] * by, a[1] * by, a[2] * by]
}

pub fn length(a: Point) -> f64 {
    dot(a, a).sqrt()
}

/// The point in the direction of a vector; `None` for no direction at all.
pub fn normalized(a: Point) -> Option<Point> {
    let length = length(a);
    (length > 0.0).then(|| scaled(a, 1.0 / length))
}

/// A normal of the plane through both points and the center. Exact for points that are close, where the plain product
/// is not: the sum and the difference are computed without loss.
pub fn normal(a: Point, b: Point) -> Point {
    scaled(cross(sum(b, a), difference(b, a)), 0.5)
}

/// The angle between two points.
pub fn angle(a: Point, b: Point) -> f64 {
    length(normal(a, b)).atan2(dot(a, b))
}

/// The bearing from `a` to `b`: clockwise from north, from 0 to 2π. `None` where they are the same or opposite.
pub fn azimuth(a: Point, b: Point) -> Option<f64> {
    let towards = normal(a, b);
    if length(towards) < 1e-15 {
        return None;
    }
    let north_plane = normal(a, [0.0, 0.0, 1.0]);
    if length(north_plane) == 0.0 {
        // At a pole every way leads along a meridian.
        let [longitude, _] = degrees(b);
        let bearing = if a[2] > 0.0 { 180.0 - longitude } else { longitude };
        return Some(bearing.to_radians().rem_euclid(2.0 * PI));
    }
    let sine = dot(cross(north_plane, towards), a);
    let bearing = (-sine).atan2(dot(north_plane, towards));
    // The sum makes 0 of -0.
    Some(bearing.rem_euclid(2.0 * PI) + 0.0)
}

/// The point a part of the way from `a` to `b`.
pub fn between(a: Point, b: Point, part: f64) -> Point {
    let whole = angle(a, b);
    let Some(normal) = normalized(normal(a, b)) else { return a };
    let aside = cross(normal, a);
    let (sine, cosine) = (part * whole).sin_cos();
    let found = sum(scaled(a, cosine), scaled(aside, sine));
    normalized(found).unwrap_or(a)
}

/// The point of the arc from `a` to `b` that is closest to `p`.
pub fn closest(p: Point, a: Point, b: Point) -> Point {
    let nearer_end = || if dot(p, a) >= dot(p, b) { a } else { b };
    let Some(normal) = normalized(normal(a, b)) else { return nearer_end() };
    let is_past_a = dot(cross(normal, a), p) > 0.0;
    let is_before_b = dot(cross(b, normal), p) > 0.0;
    if !(is_past_a && is_before_b) {
        return nearer_end();
    }
    normalized(difference(p, scaled(normal, dot(p, normal)))).unwrap_or(a)
}

/// The latitude in degrees at which the arc between two points crosses the meridian of 180°, where it does.
pub fn latitude_at_date_line(a: Point, b: Point) -> f64 {
    let [x, _, z] = cross(normal(a, b), [0.0, 1.0, 0.0]);
    // Of the two opposite points that the planes share, the one on that meridian.
    (z * -x.signum()).atan2(x.abs()).to_degrees()
}

/// On which side of the arc from `a` to `b` a point is; a point on it counts as left, so that each crossing of a shared
/// end is counted once.
pub fn is_left(a: Point, b: Point, p: Point) -> bool {
    dot(normal(a, b), p) >= 0.0
}

/// Whether two arcs cross, or touch within rounding.
pub fn meet(a: Point, b: Point, c: Point, d: Point) -> bool {
    /// Less than a tenth of a millimeter.
    const TOUCH: f64 = 1e-11;
    if crosses(a, b, c, d) {
        return true;
    }
    let touches = |p: Point, x: Point, y: Point| angle(p, closest(p, x, y)) < TOUCH;
    touches(a, c, d) || touches(b, c, d) || touches(c, a, b) || touches(d, a, b)
}

/// The lowest and the highest corner of a box around an arc.
pub fn arc_box(a: Point, b: Point) -> (Point, Point) {
    const ROUNDING: f64 = 1e-14;
    // An arc bulges over its chord by this, at most.
    let bulge = 1.0 - length(scaled(sum(a, b), 0.5)) + ROUNDING;
    let of = |pick: fn(f64, f64) -> f64, by: f64| [0, 1, 2].map(|i| pick(a[i], b[i]) + by);
    (of(f64::min, -bulge), of(f64::max, bulge))
}

/// Whether two arcs cross.
pub fn crosses(a: Point, b: Point, c: Point, d: Point) -> bool {
    if !meets_box(arc_box(a, b), arc_box(c, d)) {
        return false;
    }
    if is_left(a, b, c) == is_left(a, b, d) || is_left(c, d, a) == is_left(c, d, b) {
        return false;
    }
    // The planes of both arcs meet at two opposite points; both arcs must come by the same one.
    let meeting = cross(normal(a, b), normal(c, d));
    let ab = sum(a, b);
    let cd = sum(c, d);
    if dot(meeting, ab) * dot(meeting, cd) <= 0.0 {
        return false;
    }
    // Of arcs on one great circle, on which side the ends are is rounding alone, and the place where they would cross
    // is on neither or on one.
    const ROUNDING: f64 = 1e-9;
    let is_on = |p: Point, x: Point, y: Point| angle(x, p) + angle(p, y) - angle(x, y) < ROUNDING;
    crossing(a, b, c, d).is_none_or(|p| is_on(p, a, b) && is_on(p, c, d))
}

/// Where two arcs that cross do so.
pub fn crossing(a: Point, b: Point, c: Point, d: Point) -> Option<Point> {
    let found = normalized(cross(normalized(normal(a, b))?, normalized(normal(c, d))?))?;
    // The planes of both arcs meet at two opposite points.
    Some(if dot(found, sum(a, b)) < 0.0 { scaled(found, -1.0) } else { found })
}

/// How far clockwise at a point the way to `to` is from the way to `from`: above 0, up to 2π.
pub fn turn(at: Point, from: Point, to: Point) -> f64 {
    let (x, y) = (normal(at, from), normal(at, to));
    let counterclockwise = dot(at, cross(x, y)).atan2(dot(x, y));
    let clockwise = (-counterclockwise).rem_euclid(2.0 * PI);
    if clockwise > 0.0 { clockwise } else { 2.0 * PI }
}

/// Whether two boxes, each given by its lowest and its highest corner, have a point in common.
pub fn meets_box(a: (Point, Point), b: (Point, Point)) -> bool {
    (0..3).all(|i| a.0[i] <= b.1[i] && b.0[i] <= a.1[i])
}

/// The point at some angle from another, in a direction that is square to it.
pub fn on_ray(from: Point, direction: Point, by: f64) -> Point {
    let (sine, cosine) = by.sin_cos();
    let found = sum(scaled(from, cosine), scaled(direction, sine));
    normalized(found).unwrap_or(from)
}

/// A direction that is square to a point: the one that S2 picks.
pub fn square_to(a: Point) -> Point {
    let largest = (0..3).max_by(|i, j| a[*i].abs().total_cmp(&a[*j].abs())).unwrap_or_default();
    let mut other = [0.012, 0.0053, 0.00457];
    other[(largest + 2) % 3] = 1.0;
    normalized(cross(a, other)).unwrap_or(other)
}

/// The part of the sphere that a triangle covers, positive where its corners come counterclockwise.
fn triangle_area(a: Point, b: Point, c: Point) -> f64 {
    // Differences first: the corners of a small triangle have nearly the same coordinates.
    let volume = dot(a, cross(difference(b, a), difference(c, a)));
    2.0 * volume.atan2(1.0 + dot(a, b) + dot(b, c) + dot(c, a))
}

/// The area to the left of a loop of corners, of which none comes twice: from 0 to 4π.
pub fn area(corners: &[Point]) -> f64 {
    let Some((first, rest)) = corners.split_first() else { return 0.0 };
    let signed: f64 = rest.windows(2).map(|pair| triangle_area(*first, pair[0], pair[1])).sum();
    signed.rem_euclid(4.0 * PI)
}

/// The integral of all points to the left of a loop: its direction is that of their center of mass.
pub fn moment(corners: &[Point]) -> Point {
    edges(corners).fold([0.0; 3], |moment, (a, b)| {
        let direction = normalized(normal(a, b)).unwrap_or_default();
        sum(moment, scaled(direction, 0.5 * angle(a, b)))
    })
}

/// The edges of a loop of corners.
pub fn edges(corners: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    let next = corners.iter().cycle().skip(1);
    corners.iter().copied().zip(next.copied()).take(corners.len())
}

/// Whether a point is to the left of a loop.
pub fn encloses(corners: &[Point], p: Point) -> bool {
    // Right beside an edge is outside. The way there must not lead around half of the sphere.
    let outside = edges(corners).find_map(|(a, b)| {
        let aside = scaled(normalized(normal(a, b))?, -ASIDE);
        normalized(sum(normalized(sum(a, b))?, aside)).filter(|outside| dot(p, *outside) > -1.0 + ASIDE)
    });
    let Some(outside) = outside else { return false };
    edges(corners).filter(|(a, b)| crosses(p, outside, *a, *b)).count() % 2 == 1
}

/// The length of a step off an edge: some millimeters.
const ASIDE: f64 = 1e-9;
