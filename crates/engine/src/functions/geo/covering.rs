//! The S2 cells of one level that lines and polygons touch, or come near.

use super::cells::s2_level;
use super::geojson::{Line, Polygon, lines, polygons};
use super::sphere::{EARTH_METERS, Point, angle, closest, crosses, encloses};
use super::{arcs, contains, polygon_edges, shapes};
use crate::functions::{Args, Kernel};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use kql::Type;
use s2::cell::Cell;
use s2::cellid::CellID;

/// A shape that needs more cells than these has no covering.
const CELLS_MAX: usize = 65_536;
const FACES: u64 = 6;

struct Covering<'s> {
    level: u64,
    /// Cells that are no farther than this are part of the covering, in radians.
    radius: f64,
    contains: &'s dyn Fn(Point) -> bool,
    cells: Vec<CellID>,
}

/// An edge is near a cell where it is no farther from one of the cell's edges than a radius, or inside.
fn is_near(corners: &[Point; 4], (a, b): (Point, Point), radius: f64) -> bool {
    if encloses(corners, a) || encloses(corners, b) {
        return true;
    }
    (0..4).any(|i| {
        let (c, d) = (corners[i], corners[(i + 1) % 4]);
        if crosses(a, b, c, d) {
            return true;
        }
        let reaches = |p: Point, x: Point, y: Point| angle(p, closest(p, x, y)) <= radius;
        reaches(a, c, d) || reaches(b, c, d) || reaches(c, a, b) || reaches(d, a, b)
    })
}

impl Covering<'_> {
    /// Adds the cells below a cell. `edges` are those that are near the cell above it. False for too many.
    fn add(&mut self, cell: CellID, edges: &[(Point, Point)]) -> bool {
        let corners = Cell::from(cell).vertices().map(|p| [p.0.x, p.0.y, p.0.z]);
        let near: Vec<(Point, Point)> =
            edges.iter().copied().filter(|edge| is_near(&corners, *edge, self.radius)).collect();
        if near.is_empty() && !(self.contains)(corners[0]) {
            return true;
        }
        if cell.level() >= self.level {
            self.cells.push(cell);
            return self.cells.len() <= CELLS_MAX;
        }
        cell.children().into_iter().all(|child| self.add(child, &near))
    }
}

/// The tokens of the cells, as JSON.
fn covering(edges: &[(Point, Point)], contains: &dyn Fn(Point) -> bool, level: u8, radius: f64) -> Option<String> {
    let mut covering = Covering { level: level.into(), radius, contains, cells: Vec::new() };
    let is_small = (0..FACES).all(|face| covering.add(CellID::from_face(face), edges));
    is_small.then(|| json::array(covering.cells.iter().map(|cell| json::quote(&cell.to_token()))))
}

/// The distance in radians that argument 2 gives in meters.
fn radius(args: &Args) -> impl Fn(usize) -> Option<f64> {
    let given = (args.len() > 2).then(|| args.reals(2));
    move |row| {
        let meters = given.as_ref().map_or(Some(0.0), |reals| reals.get(row))?;
        (0.0..=EARTH_METERS).contains(&meters).then_some(meters / EARTH_METERS)
    }
}

fn coverings<T>(args: &Args, read: fn(&str) -> Option<T>, of: impl Fn(&T, u8, f64) -> Option<String>) -> ArrayRef {
    let (shape, level, radius) = (shapes(args, 0, read), s2_level(args, 1), radius(args));
    args.make_strings(|i| of(&*shape(i)?, level(i)?, radius(i)?))
}

pub static LINE_TO_S2CELLS: Kernel = Kernel::new("kql_geo_line_to_s2cells", Type::Dynamic, |args| {
    Ok(coverings(args, lines, |lines: &Vec<Line>, level, radius| {
        let edges: Vec<(Point, Point)> = lines.iter().flat_map(arcs).collect();
        covering(&edges, &|_| false, level, radius)
    }))
});

pub static POLYGON_TO_S2CELLS: Kernel = Kernel::new("kql_geo_polygon_to_s2cells", Type::Dynamic, |args| {
    Ok(coverings(args, polygons, |polygons: &Vec<Polygon>, level, radius| {
        let edges: Vec<(Point, Point)> = polygons.iter().flat_map(polygon_edges).collect();
        covering(&edges, &|p| polygons.iter().any(|polygon| contains(polygon, p)), level, radius)
    }))
});
