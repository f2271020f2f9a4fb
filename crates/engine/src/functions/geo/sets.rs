//! Unions and intersections of lines and polygons, and what lies within a distance of them.

use super::buffer::{Buffer, TOLERANCE_METERS};
use super::geojson::{Line, Polygon, Ring, lines, nested, polygons, print_common, print_lines, print_polygons};
use super::overlay::{Overlay, Path, Windings};
use super::sphere::{Point, degrees, encloses, sum};
use super::{place, reference, shapes};
use crate::functions::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use std::rc::Rc;

fn line_paths(lines: &[Line], source: usize) -> impl Iterator<Item = Path> {
    lines.iter().map(move |line| Path { points: line.points.clone(), is_loop: false, source })
}

fn polygon_paths(polygons: &[Polygon], source: usize) -> impl Iterator<Item = Path> {
    let of = move |polygon: &Polygon| {
        let shell = Path { points: polygon.shell.points.clone(), is_loop: true, source };
        let hole = |ring: &Ring| Path { points: ring.points.iter().rev().copied().collect(), is_loop: true, source };
        std::iter::once(shell).chain(polygon.holes.iter().map(hole)).collect::<Vec<_>>()
    };
    polygons.iter().flat_map(of)
}

/// A place off all paths, and how often the polygons of each source wind around it.
fn outside(paths: &[Path], sources: [&[Polygon]; 2]) -> (Point, Windings) {
    let at = reference(paths.iter().flat_map(|path| &path.points).fold([0.0; 3], |whole, p| sum(whole, *p)));
    let around = |polygon: &Polygon| {
        let rings = polygon.holes.iter().filter(|hole| encloses(&hole.points, at)).count();
        i32::from(encloses(&polygon.shell.points, at)) - i32::try_from(rings).unwrap_or_default()
    };
    (at, sources.map(|polygons| polygons.iter().map(around).sum()))
}

/// The loops around all that is in one polygon or another.
pub fn union(polygons: &[Polygon]) -> Result<Vec<Vec<Point>>> {
    let paths: Vec<Path> = polygon_paths(polygons, 0).collect();
    let (at, windings) = outside(&paths, [polygons, &[]]);
    Ok(Overlay::new(&paths)?.regions(at, windings, |windings| windings[0] > 0))
}

/// The shapes of all items of an array; `None` where one is not valid.
fn items<T>(text: &str, read: fn(&str) -> Option<Vec<T>>) -> Option<Vec<Vec<T>>> {
    let items: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text).ok()?;
    items.iter().map(|item| read(item.get())).collect()
}

/// The polygons of an array: those with fewer corners first, the order in which the original joins them.
pub fn polygons_of_array(text: &str) -> Option<Vec<Polygon>> {
    let mut items = items(text, polygons)?;
    let corners = |polygon: &Polygon| {
        polygon.shell.points.len() + polygon.holes.iter().map(|hole| hole.points.len()).sum::<usize>()
    };
    items.sort_by_key(|polygons| polygons.iter().map(corners).sum::<usize>());
    let all: Vec<Polygon> = items.into_iter().flatten().collect();
    (!all.is_empty()).then_some(all)
}

fn lines_of_array(text: &str) -> Option<Vec<Line>> {
    let all: Vec<Line> = items(text, lines)?.into_iter().flatten().collect();
    (!all.is_empty()).then_some(all)
}

fn print_loops(loops: &[Vec<Point>]) -> String {
    print_polygons(&nested(loops))
}

pub static UNION_POLYGONS_ARRAY: Kernel = Kernel::new("kql_geo_union_polygons_array", Type::Dynamic, |args| {
    let shape = shapes(args, 0, polygons_of_array);
    args.try_make_strings(|i| Some(union(&shape(i)?).map(|loops| print_loops(&loops))))
});

pub static UNION_LINES_ARRAY: Kernel = Kernel::new("kql_geo_union_lines_array", Type::Dynamic, |args| {
    let shape = shapes(args, 0, lines_of_array);
    let placed = |line: &Vec<Point>| line.iter().map(|p| degrees(*p)).collect();
    args.try_make_strings(|i| {
        let paths: Vec<Path> = line_paths(&shape(i)?, 0).collect();
        let joined = Overlay::new(&paths).map(|overlay| overlay.lines());
        Some(joined.map(|lines| print_lines(&lines.iter().map(placed).collect::<Vec<_>>())))
    })
});

pub static INTERSECTION_2LINES: Kernel = Kernel::new("kql_geo_intersection_2lines", Type::Dynamic, |args| {
    let (a, b) = (shapes(args, 0, lines), shapes(args, 1, lines));
    args.try_make_strings(|i| {
        let paths: Vec<Path> = line_paths(&a(i)?, 0).chain(line_paths(&b(i)?, 1)).collect();
        Some(Overlay::new(&paths).map(|overlay| print_common(&overlay.shared())))
    })
});

pub static INTERSECTION_2POLYGONS: Kernel = Kernel::new("kql_geo_intersection_2polygons", Type::Dynamic, |args| {
    let (a, b) = (shapes(args, 0, polygons), shapes(args, 1, polygons));
    args.try_make_strings(|i| {
        let (a, b) = (a(i)?, b(i)?);
        let paths: Vec<Path> = polygon_paths(&a, 0).chain(polygon_paths(&b, 1)).collect();
        let (at, windings) = outside(&paths, [&a, &b]);
        Some(Overlay::new(&paths).map(|overlay| print_common(&overlay.common(at, windings))))
    })
});

pub static INTERSECTION_LINE_WITH_POLYGON: Kernel =
    Kernel::new("kql_geo_intersection_line_with_polygon", Type::Dynamic, |args| {
        let (a, b) = (shapes(args, 0, lines), shapes(args, 1, polygons));
        args.try_make_strings(|i| {
            let (a, b) = (a(i)?, b(i)?);
            let paths: Vec<Path> = line_paths(&a, 0).chain(polygon_paths(&b, 1)).collect();
            let (at, windings) = outside(&paths, [&[], &b]);
            Some(Overlay::new(&paths).map(|overlay| print_common(&overlay.within(at, windings))))
        })
    });

/// The buffer that arguments from `i` on give: the radius and the tolerance in meters.
fn buffer(args: &Args, i: usize) -> impl Fn(usize) -> Option<Result<Buffer>> {
    let radii = args.reals(i);
    let tolerances = (args.len() > i + 1).then(|| args.reals(i + 1));
    move |row| {
        let tolerance = tolerances.as_ref().map_or(Some(TOLERANCE_METERS), |reals| reals.get(row))?;
        Buffer::new(radii.get(row)?, tolerance)
    }
}

pub static POINT_BUFFER: Kernel = Kernel::new("kql_geo_point_buffer", Type::Dynamic, |args| {
    let (place, buffer) = (place(args, 0), buffer(args, 2));
    args.try_make_strings(|i| {
        let [longitude, latitude] = place(i)?;
        let center = super::sphere::point(longitude, latitude);
        Some(buffer(i)?.map(|buffer| print_loops(&[buffer.around_point(center)])))
    })
});

fn buffers<T>(
    args: &Args,
    read: fn(&str) -> Option<T>,
    around: fn(&Buffer, &T) -> Result<Vec<Vec<Point>>>,
) -> Result<ArrayRef> {
    let (shape, buffer) = (shapes(args, 0, read), buffer(args, 1));
    args.try_make_strings(|i| {
        let shape: Rc<T> = shape(i)?;
        Some(buffer(i)?.and_then(|buffer| around(&buffer, &shape)).map(|loops| print_loops(&loops)))
    })
}

pub static LINE_BUFFER: Kernel =
    Kernel::new("kql_geo_line_buffer", Type::Dynamic, |args| buffers(args, lines, |buffer, lines| buffer.lines(lines)));

pub static POLYGON_BUFFER: Kernel = Kernel::new("kql_geo_polygon_buffer", Type::Dynamic, |args| {
    buffers(args, polygons, |buffer, polygons| buffer.polygons(polygons))
});
