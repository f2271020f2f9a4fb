//! Polygons with fewer corners. A border that several share is simplified once, so that they still fit together.

use super::geojson::{Line, Polygon, Ring, crosses_itself, nested, polygons, print_polygons};
use super::sets::{self, polygons_of_array};
use super::{shapes, simplified, tolerance};
use crate::functions::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use std::collections::{HashMap, HashSet};

/// The bits of a place: equal places are one corner.
type Corner = [u64; 2];

fn corner(place: [f64; 2]) -> Corner {
    place.map(f64::to_bits)
}

/// The corners at which not just two edges meet, which have to stay.
fn fixed(polygons: &[Polygon]) -> HashSet<Corner> {
    let mut around: HashMap<Corner, HashSet<Corner>> = HashMap::new();
    for ring in polygons.iter().flat_map(rings) {
        let corners: Vec<Corner> = ring.places.iter().copied().map(corner).collect();
        for (i, here) in corners.iter().enumerate() {
            let next = corners[(i + 1) % corners.len()];
            around.entry(*here).or_default().insert(next);
            around.entry(next).or_default().insert(*here);
        }
    }
    around.into_iter().filter(|(_, others)| others.len() != 2).map(|(corner, _)| corner).collect()
}

fn rings(polygon: &Polygon) -> impl Iterator<Item = &Ring> {
    std::iter::once(&polygon.shell).chain(&polygon.holes)
}

fn part(places: &[[f64; 2]], tolerance: f64) -> Vec<[f64; 2]> {
    let points = places.iter().map(|[x, y]| super::sphere::point(*x, *y)).collect();
    simplified(&Line { places: places.to_vec(), points }, tolerance)
}

/// A ring without the corners that it does not need; `None` where less than a triangle is left.
fn simpler(ring: &Ring, fixed: &HashSet<Corner>, tolerance: f64) -> Option<Ring> {
    let mut places = ring.places.clone();
    let lowest = || (0..places.len()).min_by_key(|i| corner(places[*i]));
    let start = places.iter().position(|place| fixed.contains(&corner(*place))).or_else(lowest)?;
    places.rotate_left(start);
    places.push(places[0]);
    let stops: Vec<usize> = (0..places.len())
        .filter(|i| *i == 0 || *i == places.len() - 1 || fixed.contains(&corner(places[*i])))
        .collect();
    let mut kept: Vec<[f64; 2]> = Vec::new();
    for pair in stops.windows(2) {
        let mut border = places[pair[0]..=pair[1]].to_vec();
        // Neighbors have the same border in the other direction.
        let corners: Vec<Corner> = border.iter().copied().map(corner).collect();
        let is_reversed = corners.iter().rev().lt(&corners);
        if is_reversed {
            border.reverse();
        }
        let mut simple = part(&border, tolerance);
        if is_reversed {
            simple.reverse();
        }
        simple.pop();
        kept.extend(simple);
    }
    if kept.len() < 3 {
        return None;
    }
    let points = kept.iter().map(|[x, y]| super::sphere::point(*x, *y)).collect::<Vec<_>>();
    // What would cross itself stays as it was.
    Some(if crosses_itself(&points) { ring.clone() } else { Ring { places: kept, points } })
}

fn simplify(polygons: &[Polygon], tolerance: f64) -> Option<Result<String>> {
    let fixed = fixed(polygons);
    let of = |polygon: &Polygon| {
        let shell = simpler(&polygon.shell, &fixed, tolerance)?;
        let holes = polygon.holes.iter().filter_map(|hole| simpler(hole, &fixed, tolerance)).collect();
        Some(Polygon { shell, holes })
    };
    let simple: Vec<Polygon> = polygons.iter().filter_map(of).collect();
    match simple.as_slice() {
        [] => None,
        [only] => Some(Ok(print_polygons(&[rings(only).map(|ring| ring.places.clone()).collect()]))),
        several => Some(sets::union(several).map(|loops| print_polygons(&nested(&loops)))),
    }
}

fn simplify_all(args: &Args, read: fn(&str) -> Option<Vec<Polygon>>) -> Result<ArrayRef> {
    let (shape, tolerance) = (shapes(args, 0, read), tolerance(args, 1));
    args.try_make_strings(|i| simplify(&shape(i)?, tolerance(i)?))
}

pub static POLYGON_SIMPLIFY: Kernel =
    Kernel::new("kql_geo_polygon_simplify", Type::Dynamic, |args| simplify_all(args, polygons));

pub static SIMPLIFY_POLYGONS_ARRAY: Kernel =
    Kernel::new("kql_geo_simplify_polygons_array", Type::Dynamic, |args| simplify_all(args, polygons_of_array));
