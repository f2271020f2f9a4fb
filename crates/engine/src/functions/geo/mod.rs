//! Functions on places of the Earth, which is taken for a sphere; lines between two places are the shortest ones.
//!
//! A place, line or polygon that is not valid makes a result null.

mod buffer;
pub mod cells;
pub mod covering;
mod geojson;
pub mod hexagons;
mod overlay;
pub mod sets;
pub mod simplify;
mod sphere;
mod spheroid;
pub mod wkt;

use super::{Args, Kernel};
use datafusion::common::Result;
use geojson::{Line, Polygon, lines, polygons, print_lines, print_place, print_point, print_polygons};
use kql::Type;
use sphere::{
    EARTH_METERS, Point, angle, azimuth, between, closest, degrees, dot, edges, encloses, latitude_at_date_line, meet,
    moment, normalized, point, scaled, sum,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::f64::consts::PI;
use std::rc::Rc;

/// The meters that a simplified or densified line may be off the given one.
const TOLERANCE_METERS: std::ops::RangeInclusive<f64> = 0.1..=10_000.0;
const DEFAULT_TOLERANCE_METERS: f64 = 10.0;

/// The place that two arguments from `i` on give: longitude and latitude.
fn place(args: &Args, i: usize) -> impl Fn(usize) -> Option<[f64; 2]> {
    let (longitudes, latitudes) = (args.reals(i), args.reals(i + 1));
    move |row| {
        let (longitude, latitude) = (longitudes.get(row)?, latitudes.get(row)?);
        let is_valid = (-180.0..=180.0).contains(&longitude) && (-90.0..=90.0).contains(&latitude);
        is_valid.then_some([longitude, latitude])
    }
}

fn point_at(args: &Args, i: usize) -> impl Fn(usize) -> Option<Point> {
    let place = place(args, i);
    move |row| place(row).map(|[longitude, latitude]| point(longitude, latitude))
}

/// What an argument holds. Each text is read once, as long as there are not too many of them.
fn shapes<'a, T: 'a>(args: &Args<'a>, i: usize, read: fn(&str) -> Option<T>) -> impl Fn(usize) -> Option<Rc<T>> + 'a {
    /// A join has the same shapes in many rows.
    const KNOWN_MAX: usize = 1000;
    let texts = args.strings(i);
    let known: RefCell<HashMap<&'a str, Option<Rc<T>>>> = RefCell::default();
    move |row| {
        let text = texts.get(row)?;
        let mut known = known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.entry(text).or_insert_with(|| read(text).map(Rc::new)).clone()
    }
}

fn arcs(line: &Line) -> impl Iterator<Item = (Point, Point)> {
    line.points.windows(2).map(|pair| (pair[0], pair[1]))
}

fn polygon_edges(polygon: &Polygon) -> impl Iterator<Item = (Point, Point)> {
    std::iter::once(&polygon.shell).chain(&polygon.holes).flat_map(|ring| edges(&ring.points))
}

fn contains(polygon: &Polygon, p: Point) -> bool {
    encloses(&polygon.shell.points, p) && !polygon.holes.iter().any(|hole| encloses(&hole.points, p))
}

/// The point of some arcs that is closest to `p`.
fn closest_of(p: Point, arcs: impl Iterator<Item = (Point, Point)>) -> Option<Point> {
    arcs.map(|(a, b)| closest(p, a, b)).max_by(|x, y| angle(p, *y).total_cmp(&angle(p, *x)))
}

/// `geo_distance_2points(longitude, latitude, longitude, latitude [, on the spheroid])`.
pub static DISTANCE_2POINTS: Kernel = Kernel::new("kql_geo_distance_2points", Type::Real, |args| {
    let (a, b) = (place(args, 0), place(args, 2));
    let on_spheroid = (args.len() > 4).then(|| args.bools(4));
    Ok(args.make_reals(|i| {
        let (a, b) = (a(i)?, b(i)?);
        match on_spheroid.as_ref().map_or(Some(false), |flags| flags.get(i))? {
            true => spheroid::distance(a, b),
            false => Some(angle(point(a[0], a[1]), point(b[0], b[1])) * EARTH_METERS),
        }
    }))
});

pub static AZIMUTH: Kernel = Kernel::new("kql_geo_azimuth", Type::Real, |args| {
    let (a, b) = (point_at(args, 0), point_at(args, 2));
    Ok(args.make_reals(|i| azimuth(a(i)?, b(i)?)))
});

/// `geo_angle(p1, p2, p3)`: clockwise at the second point, from the way to the first to the way to the third.
pub static ANGLE: Kernel = Kernel::new("kql_geo_angle", Type::Real, |args| {
    let (a, b, c) = (point_at(args, 0), point_at(args, 2), point_at(args, 4));
    Ok(args.make_reals(|i| {
        let (a, b, c) = (a(i)?, b(i)?, c(i)?);
        Some((azimuth(b, c)? - azimuth(b, a)?).rem_euclid(2.0 * PI))
    }))
});

pub static POINT_IN_CIRCLE: Kernel = Kernel::new("kql_geo_point_in_circle", Type::Bool, |args| {
    let (p, center, radii) = (point_at(args, 0), point_at(args, 2), args.reals(4));
    Ok(args.make_bools(|i| {
        let radius = radii.get(i).filter(|meters| *meters >= 0.0)?;
        Some(angle(p(i)?, center(i)?) * EARTH_METERS <= radius)
    }))
});

pub static POINT_IN_POLYGON: Kernel = Kernel::new("kql_geo_point_in_polygon", Type::Bool, |args| {
    let (p, shape) = (point_at(args, 0), shapes(args, 2, polygons));
    Ok(args.make_bools(|i| {
        let p = p(i)?;
        Some(shape(i)?.iter().any(|polygon| contains(polygon, p)))
    }))
});

pub static DISTANCE_POINT_TO_LINE: Kernel = Kernel::new("kql_geo_distance_point_to_line", Type::Real, |args| {
    let (p, shape) = (point_at(args, 0), shapes(args, 2, lines));
    Ok(args.make_reals(|i| {
        let p = p(i)?;
        Some(angle(p, closest_of(p, shape(i)?.iter().flat_map(arcs))?) * EARTH_METERS)
    }))
});

/// The point of polygons that is closest to `p`: itself where it is inside.
fn closest_on_polygons(p: Point, polygons: &[Polygon]) -> Option<Point> {
    if polygons.iter().any(|polygon| contains(polygon, p)) {
        return Some(p);
    }
    closest_of(p, polygons.iter().flat_map(polygon_edges))
}

pub static DISTANCE_POINT_TO_POLYGON: Kernel = Kernel::new("kql_geo_distance_point_to_polygon", Type::Real, |args| {
    let (p, shape) = (point_at(args, 0), shapes(args, 2, polygons));
    Ok(args.make_reals(|i| {
        let p = p(i)?;
        Some(angle(p, closest_on_polygons(p, &shape(i)?)?) * EARTH_METERS)
    }))
});

pub static CLOSEST_POINT_ON_LINE: Kernel = Kernel::new("kql_geo_closest_point_on_line", Type::Dynamic, |args| {
    let (p, shape) = (point_at(args, 0), shapes(args, 2, lines));
    Ok(args.make_strings(|i| {
        let p = p(i)?;
        closest_of(p, shape(i)?.iter().flat_map(arcs)).map(print_point)
    }))
});

pub static CLOSEST_POINT_ON_POLYGON: Kernel = Kernel::new("kql_geo_closest_point_on_polygon", Type::Dynamic, |args| {
    let (p, shape) = (place(args, 0), shapes(args, 2, polygons));
    Ok(args.make_strings(|i| {
        let given = p(i)?;
        let p = point(given[0], given[1]);
        let found = closest_on_polygons(p, &shape(i)?)?;
        Some(if found == p { print_place(given) } else { print_point(found) })
    }))
});

fn line_length(line: &Line) -> f64 {
    arcs(line).map(|(a, b)| angle(a, b)).sum()
}

pub static LINE_LENGTH: Kernel = Kernel::new("kql_geo_line_length", Type::Real, |args| {
    let shape = shapes(args, 0, lines);
    Ok(args.make_reals(|i| Some(shape(i)?.iter().map(line_length).sum::<f64>() * EARTH_METERS)))
});

pub static LINE_CENTROID: Kernel = Kernel::new("kql_geo_line_centroid", Type::Dynamic, |args| {
    let shape = shapes(args, 0, lines);
    Ok(args.make_strings(|i| {
        // The integral of an arc's points lies in its middle, as long as the chord.
        let of_arc = |(a, b): (Point, Point)| Some(scaled(normalized(sum(a, b))?, 2.0 * (angle(a, b) / 2.0).sin()));
        let whole = shape(i)?.iter().flat_map(arcs).filter_map(of_arc).fold([0.0; 3], sum);
        normalized(whole).map(print_point)
    }))
});

/// The only line of a shape; where it has several, places along it mean nothing.
fn single(lines: Option<Rc<Vec<Line>>>) -> Option<Line> {
    lines.and_then(|lines| match lines.as_slice() {
        [line] => Some(line.clone()),
        _ => None,
    })
}

pub static LINE_INTERPOLATE_POINT: Kernel = Kernel::new("kql_geo_line_interpolate_point", Type::Dynamic, |args| {
    let (shape, parts) = (shapes(args, 0, lines), args.reals(1));
    Ok(args.make_strings(|i| {
        let line = single(shape(i))?;
        let part = parts.get(i).filter(|part| (0.0..=1.0).contains(part))?;
        let mut left = part * line_length(&line);
        for (a, b) in arcs(&line) {
            let whole = angle(a, b);
            if left < whole {
                return Some(print_point(between(a, b, left / whole)));
            }
            left -= whole;
        }
        line.points.last().map(|end| print_point(*end))
    }))
});

pub static LINE_LOCATE_POINT: Kernel = Kernel::new("kql_geo_line_locate_point", Type::Real, |args| {
    let (shape, p) = (shapes(args, 0, lines), point_at(args, 1));
    Ok(args.make_reals(|i| {
        let (line, p) = (single(shape(i))?, p(i)?);
        let mut before = 0.0;
        let mut nearest: Option<(f64, f64)> = None;
        for (a, b) in arcs(&line) {
            let found = closest(p, a, b);
            let distance = angle(p, found);
            if nearest.is_none_or(|(known, _)| distance < known) {
                nearest = Some((distance, before + angle(a, found)));
            }
            before += angle(a, b);
        }
        nearest.map(|(_, along)| (along / before).clamp(0.0, 1.0))
    }))
});

/// The tolerance that argument `i` gives, in radians.
fn tolerance(args: &Args, i: usize) -> impl Fn(usize) -> Option<f64> {
    let given = (args.len() > i).then(|| args.reals(i));
    move |row| {
        let meters = given.as_ref().map_or(Some(DEFAULT_TOLERANCE_METERS), |reals| reals.get(row))?;
        TOLERANCE_METERS.contains(&meters).then_some(meters / EARTH_METERS)
    }
}

/// Leaves out points of a line that are closer to the rest than the tolerance.
fn simplified(line: &Line, tolerance: f64) -> Vec<[f64; 2]> {
    let points = &line.points;
    let mut kept = vec![line.places[0]];
    let mut start = 0;
    while start + 1 < points.len() {
        let mut end = start + 1;
        let is_close = |end: usize| {
            let inner = &points[start + 1..end];
            inner.iter().all(|p| angle(*p, closest(*p, points[start], points[end])) <= tolerance)
        };
        while end + 1 < points.len() && is_close(end + 1) {
            end += 1;
        }
        kept.push(line.places[end]);
        start = end;
    }
    kept
}

pub static LINE_SIMPLIFY: Kernel = Kernel::new("kql_geo_line_simplify", Type::Dynamic, |args| {
    let (shape, tolerance) = (shapes(args, 0, lines), tolerance(args, 1));
    Ok(args.make_strings(|i| {
        let tolerance = tolerance(i)?;
        let lines: Vec<_> = shape(i)?.iter().map(|line| simplified(line, tolerance)).collect();
        Some(print_lines(&lines))
    }))
});

/// Adds places between two, along the straight line on a map of longitudes and latitudes, until the shortest ways
/// between them are off that line by no more than the tolerance.
///
/// How far off is measured at two places, where the difference of the two lines is the greatest, as S2's edge
/// tessellator does; its estimate is scaled likewise.
fn densify(a: [f64; 2], b: [f64; 2], tolerance: f64, out: &mut Vec<[f64; 2]>) {
    const PROBED_PART: f64 = 0.312_156_910_822_482_3;
    const SCALE: f64 = 0.838_299_925_698_885_1;
    const DEPTH_MAX: usize = 16;
    fn mixed(a: [f64; 2], b: [f64; 2], part: f64) -> [f64; 2] {
        [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])]
    }
    fn add(a: [f64; 2], b: [f64; 2], tolerance: f64, depth: usize, out: &mut Vec<[f64; 2]>) {
        let (from, to) = (point(a[0], a[1]), point(b[0], b[1]));
        let off = |part: f64| {
            let [longitude, latitude] = mixed(a, b, part);
            angle(point(longitude, latitude), between(from, to, part))
        };
        let is_far = dot(from, to) < -1e-14;
        if depth < DEPTH_MAX && (is_far || off(PROBED_PART).max(off(1.0 - PROBED_PART)) > tolerance) {
            let middle = mixed(a, b, 0.5);
            add(a, middle, tolerance, depth + 1, out);
            add(middle, b, tolerance, depth + 1, out);
        } else {
            out.push(degrees(to));
        }
    }
    add(a, b, tolerance * SCALE, 0, out);
}

fn densified(places: &[[f64; 2]], tolerance: f64) -> Vec<[f64; 2]> {
    let mut out: Vec<[f64; 2]> = places.first().map(|[x, y]| degrees(point(*x, *y))).into_iter().collect();
    places.windows(2).for_each(|pair| densify(pair[0], pair[1], tolerance, &mut out));
    out
}

/// The parts of a line on either side of the date line.
fn cut_at_date_line(places: Vec<[f64; 2]>) -> Vec<Vec<[f64; 2]>> {
    /// Short of 180, so that no part seems to come from the other side.
    const LAST_LONGITUDE: f64 = 180.0 - 1e-12;
    let mut parts: Vec<Vec<[f64; 2]>> = vec![Vec::new()];
    let mut before: Option<[f64; 2]> = None;
    for place in places {
        if let Some(before) = before
            && (place[0] - before[0]).abs() > 180.0
        {
            let latitude = latitude_at_date_line(point(before[0], before[1]), point(place[0], place[1]));
            let side = LAST_LONGITUDE.copysign(before[0]);
            parts.last_mut().into_iter().for_each(|part| part.push([side, latitude]));
            parts.push(vec![[-side, latitude]]);
        }
        parts.last_mut().into_iter().for_each(|part| part.push(place));
        before = Some(place);
    }
    parts
}

pub static LINE_DENSIFY: Kernel = Kernel::new("kql_geo_line_densify", Type::Dynamic, |args| {
    let (shape, tolerance) = (shapes(args, 0, lines), tolerance(args, 1));
    Ok(args.make_strings(|i| {
        let tolerance = tolerance(i)?;
        let dense = |line: &Line| cut_at_date_line(densified(&line.places, tolerance));
        Some(print_lines(&shape(i)?.iter().flat_map(dense).collect::<Vec<_>>()))
    }))
});

pub static POLYGON_DENSIFY: Kernel = Kernel::new("kql_geo_polygon_densify", Type::Dynamic, |args| {
    let (shape, tolerance) = (shapes(args, 0, polygons), tolerance(args, 1));
    Ok(args.make_strings(|i| {
        let tolerance = tolerance(i)?;
        let dense = |places: &Vec<[f64; 2]>| {
            let closed: Vec<[f64; 2]> = places.iter().chain(places.first()).copied().collect();
            let mut ring = densified(&closed, tolerance);
            ring.pop();
            ring
        };
        let rings = |p: &Polygon| std::iter::once(&p.shell).chain(&p.holes).map(|ring| dense(&ring.places)).collect();
        Some(print_polygons(&shape(i)?.iter().map(rings).collect::<Vec<_>>()))
    }))
});

/// A place off everything, on the other side of the Earth from where points are that have this sum.
fn reference(whole: Point) -> Point {
    // Not quite opposite: the way there would be along the meridians and the equator that people draw with.
    const ASIDE: Point = [0.012_3, 0.045_6, -0.078_9];
    let away = normalized(whole).map_or([1.0, 0.0, 0.0], |middle| scaled(middle, -1.0));
    normalized(sum(away, ASIDE)).unwrap_or(ASIDE)
}

/// The loops around polygons, those that overlap joined.
fn boundary(polygons: &[Polygon]) -> Result<Vec<Vec<Point>>> {
    let has_overlap = polygons.iter().enumerate().any(|(i, a)| polygons[..i].iter().any(|b| polygons_meet(a, b)));
    if has_overlap {
        return sets::union(polygons);
    }
    let loops = |polygon: &Polygon| {
        let holes = polygon.holes.iter().map(|hole| hole.points.iter().rev().copied().collect());
        std::iter::once(polygon.shell.points.clone()).chain(holes).collect::<Vec<_>>()
    };
    Ok(polygons.iter().flat_map(loops).collect())
}

pub static POLYGON_AREA: Kernel = Kernel::new("kql_geo_polygon_area", Type::Real, |args| {
    let shape = shapes(args, 0, polygons);
    // To the left of a hole is all but the hole.
    let signed = |ring: &Vec<Point>| match sphere::area(ring) {
        area if area > 2.0 * PI => area - 4.0 * PI,
        area => area,
    };
    let area = |loops: Vec<Vec<Point>>| loops.iter().map(signed).sum::<f64>() * EARTH_METERS * EARTH_METERS;
    args.try_make_reals(|i| Some(boundary(&shape(i)?).map(area)))
});

pub static POLYGON_CENTROID: Kernel = Kernel::new("kql_geo_polygon_centroid", Type::Dynamic, |args| {
    let shape = shapes(args, 0, polygons);
    let centroid = |loops: Vec<Vec<Point>>| normalized(loops.iter().map(|ring| moment(ring)).fold([0.0; 3], sum));
    args.try_make_strings(|i| {
        let found = boundary(&shape(i)?).map(centroid).transpose()?;
        Some(found.map(print_point))
    })
});

pub static POLYGON_PERIMETER: Kernel = Kernel::new("kql_geo_polygon_perimeter", Type::Real, |args| {
    let shape = shapes(args, 0, polygons);
    let length = |ring: &Vec<Point>| edges(ring).map(|(a, b)| angle(a, b)).sum::<f64>() * EARTH_METERS;
    args.try_make_reals(|i| Some(boundary(&shape(i)?).map(|loops| loops.iter().map(length).sum())))
});

fn any_meet(left: impl Iterator<Item = (Point, Point)>, right: impl Iterator<Item = (Point, Point)> + Clone) -> bool {
    let mut left = left;
    left.any(|(a, b)| right.clone().any(|(c, d)| meet(a, b, c, d)))
}

fn line_meets_polygon(line: &Line, polygon: &Polygon) -> bool {
    let edges: Vec<(Point, Point)> = polygon_edges(polygon).collect();
    contains(polygon, line.points[0]) || any_meet(arcs(line), edges.iter().copied())
}

fn polygons_meet(a: &Polygon, b: &Polygon) -> bool {
    let edges: Vec<(Point, Point)> = polygon_edges(b).collect();
    contains(a, b.shell.points[0])
        || contains(b, a.shell.points[0])
        || any_meet(polygon_edges(a), edges.iter().copied())
}

pub static INTERSECTS_2LINES: Kernel = Kernel::new("kql_geo_intersects_2lines", Type::Bool, |args| {
    let (a, b) = (shapes(args, 0, lines), shapes(args, 1, lines));
    Ok(args.make_bools(|i| {
        let (a, b) = (a(i)?, b(i)?);
        let edges: Vec<(Point, Point)> = b.iter().flat_map(arcs).collect();
        Some(any_meet(a.iter().flat_map(arcs), edges.iter().copied()))
    }))
});

pub static INTERSECTS_LINE_WITH_POLYGON: Kernel =
    Kernel::new("kql_geo_intersects_line_with_polygon", Type::Bool, |args| {
        let (line, polygon) = (shapes(args, 0, lines), shapes(args, 1, polygons));
        Ok(args.make_bools(|i| {
            let (lines, polygons) = (line(i)?, polygon(i)?);
            Some(lines.iter().any(|line| polygons.iter().any(|polygon| line_meets_polygon(line, polygon))))
        }))
    });

pub static INTERSECTS_2POLYGONS: Kernel = Kernel::new("kql_geo_intersects_2polygons", Type::Bool, |args| {
    let (a, b) = (shapes(args, 0, polygons), shapes(args, 1, polygons));
    Ok(args.make_bools(|i| {
        let (a, b) = (a(i)?, b(i)?);
        Some(a.iter().any(|x| b.iter().any(|y| polygons_meet(x, y))))
    }))
});
