//! The H3 cells that stand for a polygon: those whose centers are inside.

use super::cells::h3_level;
use super::geojson::{Polygon, Ring, polygons};
use super::sphere::{EARTH_METERS, angle, point};
use super::{closest_on_polygons, shapes};
use crate::functions::{Args, Kernel};
use crate::json;
use h3o::{CellIndex, LatLng as Place, Resolution};
use kql::Type;
use std::collections::BTreeSet;

/// A polygon that needs more cells than these has none, as in the original.
const CELLS_MAX: usize = 61_680;

/// The longitude of a place as seen from another: no more than half of the Earth away.
fn near(longitude: f64, from: f64) -> f64 {
    from + (longitude - from + 180.0).rem_euclid(360.0) - 180.0
}

/// Whether a ring goes around a place, where its edges are straight on a map of longitudes and latitudes.
fn goes_around(ring: &Ring, [longitude, latitude]: [f64; 2]) -> bool {
    let corners = ring.places.iter().map(|[x, y]| (near(*x, longitude) - longitude, *y));
    let next = ring.places.iter().cycle().skip(1).map(|[x, y]| (near(*x, longitude) - longitude, *y));
    let is_crossed = |((x1, y1), (x2, y2)): ((f64, f64), (f64, f64))| {
        // An edge that seems to lead around the Earth is on the other side of it.
        let is_here = (x2 - x1).abs() <= 180.0;
        is_here && (y1 > latitude) != (y2 > latitude) && x1 + (latitude - y1) / (y2 - y1) * (x2 - x1) > 0.0
    };
    corners.zip(next).filter(|edge| is_crossed(*edge)).count() % 2 == 1
}

fn contains(polygon: &Polygon, place: [f64; 2]) -> bool {
    goes_around(&polygon.shell, place) && !polygon.holes.iter().any(|hole| goes_around(hole, place))
}

/// The place of a share of the way between two places, straight on the map.
fn on_the_way([x1, y1]: [f64; 2], [x2, y2]: [f64; 2], share: f64) -> [f64; 2] {
    [x1 + (near(x2, x1) - x1) * share, y1 + (y2 - y1) * share]
}

fn center(cell: CellIndex) -> [f64; 2] {
    let center = Place::from(cell);
    [center.lng(), center.lat()]
}

/// The cells along the edges of some rings. `None` for too many.
fn along<'r>(rings: impl Iterator<Item = &'r Ring>, resolution: Resolution) -> Option<BTreeSet<CellIndex>> {
    let step = resolution.edge_length_m() / EARTH_METERS;
    let mut cells = BTreeSet::new();
    for ring in rings {
        let next = ring.places.iter().cycle().skip(1);
        for (a, b) in ring.places.iter().copied().zip(next.copied()) {
            let steps = (angle(point(a[0], a[1]), point(b[0], b[1])) / step).ceil().max(1.0);
            if steps > CELLS_MAX as f64 {
                return None;
            }
            for i in 0..steps as usize {
                let [longitude, latitude] = on_the_way(a, b, i as f64 / steps);
                cells.insert(Place::new(latitude, longitude).ok()?.to_cell(resolution));
            }
        }
        if cells.len() > CELLS_MAX {
            return None;
        }
    }
    Some(cells)
}

/// The cells whose centers are wanted, found from the edges inwards: each is beside another or beside an edge. `None`
/// for too many.
fn cells(polygons: &[Polygon], resolution: Resolution, radius: f64) -> Option<BTreeSet<CellIndex>> {
    let is_wanted = |cell: CellIndex| {
        let place = center(cell);
        let is_near = || {
            let p = point(place[0], place[1]);
            closest_on_polygons(p, polygons).is_some_and(|closest| angle(p, closest) <= radius)
        };
        polygons.iter().any(|polygon| contains(polygon, place)) || (radius > 0.0 && is_near())
    };
    let rings = polygons.iter().flat_map(|polygon| std::iter::once(&polygon.shell).chain(&polygon.holes));
    let mut frontier: Vec<CellIndex> = along(rings, resolution)?.into_iter().collect();
    let mut known: BTreeSet<CellIndex> = frontier.iter().copied().collect();
    let mut found: BTreeSet<CellIndex> = frontier.iter().copied().filter(|cell| is_wanted(*cell)).collect();
    let mut is_edge = true;
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for cell in frontier {
            if !is_edge && !found.contains(&cell) {
                continue;
            }
            for beside in cell.grid_disk_safe(1) {
                if known.insert(beside) {
                    if is_wanted(beside) {
                        found.insert(beside);
                    }
                    next.push(beside);
                }
            }
        }
        if found.len() > CELLS_MAX {
            return None;
        }
        frontier = next;
        is_edge = false;
    }
    Some(found)
}

/// `geo_polygon_to_h3cells(polygon [, resolution [, radius]])`.
pub static POLYGON_TO_H3CELLS: Kernel = Kernel::new("kql_geo_polygon_to_h3cells", Type::Dynamic, |args: &Args| {
    let (shape, resolution) = (shapes(args, 0, polygons), h3_level(args, 1));
    let radii = (args.len() > 2).then(|| args.reals(2));
    Ok(args.make_strings(|i| {
        let meters = radii.as_ref().map_or(Some(0.0), |radii| radii.get(i))?;
        let radius = (0.0..=EARTH_METERS).contains(&meters).then_some(meters / EARTH_METERS)?;
        let found = cells(&shape(i)?, Resolution::try_from(resolution(i)?).ok()?, radius)?;
        Some(json::array(found.iter().map(|cell| json::quote(&cell.to_string()))))
    }))
});
