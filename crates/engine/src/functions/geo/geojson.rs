//! Lines and polygons as GeoJSON, RFC 7946.

use super::overlay::Common;
use super::sphere::{Point, angle, area, crosses, degrees, edges, encloses, point};
use crate::json;
use serde_json::Value;

/// A line: at least two places, each different from the one before.
#[derive(Debug, Clone)]
pub struct Line {
    /// Longitudes and latitudes in degrees, as they were given.
    pub places: Vec<[f64; 2]>,
    pub points: Vec<Point>,
}

/// The corners of a loop; the first is not repeated.
#[derive(Debug, Clone)]
pub struct Ring {
    pub places: Vec<[f64; 2]>,
    pub points: Vec<Point>,
}

#[derive(Debug, Clone)]
pub struct Polygon {
    /// Counterclockwise around what is inside.
    pub shell: Ring,
    pub holes: Vec<Ring>,
}

/// A ring of more corners is not searched for edges that cross.
const CHECKED_CORNERS_MAX: usize = 500;

/// The lines of a `LineString` or `MultiLineString`; `None` for anything else, and for a line that is not valid.
pub fn lines(text: &str) -> Option<Vec<Line>> {
    let (kind, coordinates) = geometry(text)?;
    match kind.as_str() {
        "linestring" => Some(vec![line(&coordinates)?]),
        "multilinestring" => several(&coordinates, line),
        _ => None,
    }
}

/// The polygons of a `Polygon` or `MultiPolygon`; `None` for anything else, and for a polygon that is not valid.
pub fn polygons(text: &str) -> Option<Vec<Polygon>> {
    let (kind, coordinates) = geometry(text)?;
    match kind.as_str() {
        "polygon" => Some(vec![polygon(&coordinates)?]),
        "multipolygon" => several(&coordinates, polygon),
        _ => None,
    }
}

fn geometry(text: &str) -> Option<(String, Value)> {
    let Value::Object(mut object) = serde_json::from_str(text).ok()? else { return None };
    let kind = object.get("type")?.as_str()?.to_ascii_lowercase();
    Some((kind, object.remove("coordinates")?))
}

fn several<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(read).collect()
}

fn place(value: &Value) -> Option<[f64; 2]> {
    let numbers = value.as_array().filter(|numbers| numbers.len() >= 2)?;
    let (longitude, latitude) = (numbers[0].as_f64()?, numbers[1].as_f64()?);
    let is_valid = (-360.0..=360.0).contains(&longitude) && (-90.0..=90.0).contains(&latitude);
    is_valid.then_some([longitude, latitude])
}

fn places(value: &Value) -> Option<(Vec<[f64; 2]>, Vec<Point>)> {
    let places: Vec<[f64; 2]> = value.as_array()?.iter().map(place).collect::<Option<_>>()?;
    let points = places.iter().map(|[longitude, latitude]| point(*longitude, *latitude)).collect();
    Some((places, points))
}

/// Points that are closer than this are the same one.
fn is_same(a: Point, b: Point) -> bool {
    angle(a, b) < 1e-15
}

fn line(value: &Value) -> Option<Line> {
    let (places, points) = places(value)?;
    let is_valid = points.len() >= 2 && !points.windows(2).any(|pair| is_same(pair[0], pair[1]));
    is_valid.then_some(Line { places, points })
}

fn ring(value: &Value) -> Option<Ring> {
    let (mut places, mut points) = places(value)?;
    if points.len() < 4 || !is_same(points[0], points[points.len() - 1]) {
        return None;
    }
    places.pop();
    points.pop();
    let has_twins = edges(&points).any(|(a, b)| is_same(a, b));
    if has_twins || crosses_itself(&points) {
        return None;
    }
    // What is inside is the smaller side, and to the left.
    if area(&points) > 2.0 * std::f64::consts::PI {
        places.reverse();
        points.reverse();
    }
    Some(Ring { places, points })
}

/// Whether edges of a loop cross.
pub fn crosses_itself(points: &[Point]) -> bool {
    let count = points.len();
    if count > CHECKED_CORNERS_MAX {
        return false;
    }
    let edge = |i: usize| (points[i], points[(i + 1) % count]);
    (0..count).any(|i| {
        let (a, b) = edge(i);
        // Edges that share a corner do not count.
        let others = (i + 2..count).filter(|j| !(i == 0 && *j == count - 1));
        others.map(edge).any(|(c, d)| crosses(a, b, c, d))
    })
}

fn polygon(value: &Value) -> Option<Polygon> {
    let mut rings = several(value, ring)?.into_iter();
    Some(Polygon { shell: rings.next()?, holes: rings.collect() })
}

fn coordinates([longitude, latitude]: [f64; 2]) -> String {
    format!("[{},{}]", json::real_text(longitude), json::real_text(latitude))
}

pub fn print_point(at: Point) -> String {
    format!(r#"{{"type":"Point","coordinates":{}}}"#, coordinates(degrees(at)))
}

/// A point at a longitude and latitude.
pub fn print_place(place: [f64; 2]) -> String {
    format!(r#"{{"type":"Point","coordinates":{}}}"#, coordinates(place))
}

fn list(places: impl IntoIterator<Item = [f64; 2]>) -> String {
    json::array(places.into_iter().map(coordinates))
}

pub fn print_lines(lines: &[Vec<[f64; 2]>]) -> String {
    match lines {
        [line] => format!(r#"{{"type":"LineString","coordinates":{}}}"#, list(line.iter().copied())),
        _ => {
            let all = json::array(lines.iter().map(|line| list(line.iter().copied())));
            format!(r#"{{"type":"MultiLineString","coordinates":{all}}}"#)
        }
    }
}

/// Polygons, each as the corners of its rings, which are closed here.
pub fn print_polygons(polygons: &[Vec<Vec<[f64; 2]>>]) -> String {
    let closed = |ring: &Vec<[f64; 2]>| list(ring.iter().chain(ring.first()).copied());
    let one = |rings: &Vec<Vec<[f64; 2]>>| json::array(rings.iter().map(closed));
    match polygons {
        [polygon] => format!(r#"{{"type":"Polygon","coordinates":{}}}"#, one(polygon)),
        _ => format!(r#"{{"type":"MultiPolygon","coordinates":{}}}"#, json::array(polygons.iter().map(one))),
    }
}

/// The places of a loop or a line.
fn placed(points: &[Point]) -> Vec<[f64; 2]> {
    points.iter().map(|p| degrees(*p)).collect()
}

/// Loops as polygons: each that goes clockwise is a hole of the smallest other one around it.
pub fn nested(loops: &[Vec<Point>]) -> Vec<Vec<Vec<[f64; 2]>>> {
    const HALF: f64 = 2.0 * std::f64::consts::PI;
    let areas: Vec<f64> = loops.iter().map(|ring| area(ring)).collect();
    let shells: Vec<usize> = (0..loops.len()).filter(|i| areas[*i] <= HALF).collect();
    let mut polygons: Vec<Vec<Vec<[f64; 2]>>> = shells.iter().map(|i| vec![placed(&loops[*i])]).collect();
    for i in (0..loops.len()).filter(|i| areas[*i] > HALF) {
        let is_around = |shell: &usize| {
            let corners = &loops[*shell];
            loops[i].iter().find(|p| !corners.contains(p)).is_some_and(|p| encloses(corners, *p))
        };
        let around = (0..shells.len()).filter(|at| is_around(&shells[*at]));
        if let Some(at) = around.min_by(|a, b| areas[shells[*a]].total_cmp(&areas[shells[*b]])) {
            polygons[at].push(placed(&loops[i]));
        }
    }
    polygons
}

/// What shapes have in common, as the one geometry it is or as a collection.
pub fn print_common(common: &Common) -> String {
    let mut parts: Vec<String> = Vec::new();
    match common.points.as_slice() {
        [] => {}
        [point] => parts.push(print_point(*point)),
        points => {
            parts
                .push(format!(r#"{{"type":"MultiPoint","coordinates":{}}}"#, list(points.iter().map(|p| degrees(*p)))));
        }
    }
    if !common.lines.is_empty() {
        parts.push(print_lines(&common.lines.iter().map(|line| placed(line)).collect::<Vec<_>>()));
    }
    if !common.regions.is_empty() {
        parts.push(print_polygons(&nested(&common.regions)));
    }
    match parts.as_slice() {
        [only] => only.clone(),
        _ => format!(r#"{{"type":"GeometryCollection","geometries":{}}}"#, json::array(parts)),
    }
}
