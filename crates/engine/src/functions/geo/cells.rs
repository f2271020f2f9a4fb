//! Cells that the Earth is divided into: geohashes, S2 and H3.

use super::geojson::{print_place, print_point, print_polygons};
use super::place;
use super::sphere::degrees;
use crate::functions::{Args, Kernel};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use h3o::{CellIndex, LatLng as H3Place, Resolution};
use kql::Type;
use s2::cell::Cell;
use s2::cellid::CellID;
use s2::latlng::LatLng;

/// The level that argument `i` gives, within a range; the default where there is no such argument.
fn level(args: &Args, i: usize, default: i64, levels: std::ops::RangeInclusive<i64>) -> impl Fn(usize) -> Option<u8> {
    let given = (args.len() > i).then(|| args.longs(i));
    move |row| {
        let level = given.as_ref().map_or(Some(default), |longs| longs.get(row))?;
        levels.contains(&level).then(|| u8::try_from(level).ok()).flatten()
    }
}

/// The text of the cell of a place; empty where the place or the level is not valid.
fn cells_of(args: &Args, of: impl Fn([f64; 2], u8) -> Option<String>, level: impl Fn(usize) -> Option<u8>) -> ArrayRef {
    let place = place(args, 0);
    let cell = |i: usize| of(place(i)?, level(i)?);
    args.make_strings(|i| Some(cell(i).unwrap_or_default()))
}

/// The texts that are wanted, without those that are the cell itself, as JSON.
fn list(cells: impl IntoIterator<Item = String>) -> String {
    json::array(cells.into_iter().map(|cell| json::quote(&cell)))
}

// Geohashes

const GEOHASH_DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
const GEOHASH_LENGTHS: std::ops::RangeInclusive<i64> = 1..=18;
const GEOHASH_DEFAULT: i64 = 5;

/// The west, south, east and north of a geohash.
struct Box4 {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

const EVERYWHERE: Box4 = Box4 { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };

impl Box4 {
    fn middle(&self) -> [f64; 2] {
        [(self.west + self.east) / 2.0, (self.south + self.north) / 2.0]
    }

    /// Halves the box, by longitude or latitude.
    fn halve(&mut self, by_longitude: bool, takes_upper: bool) {
        let [longitude, latitude] = self.middle();
        match (by_longitude, takes_upper) {
            (true, true) => self.west = longitude,
            (true, false) => self.east = longitude,
            (false, true) => self.south = latitude,
            (false, false) => self.north = latitude,
        }
    }
}

fn geohash([longitude, latitude]: [f64; 2], length: u8) -> Option<String> {
    let mut cell = EVERYWHERE;
    let mut by_longitude = true;
    let mut text = String::with_capacity(length.into());
    for _ in 0..length {
        let mut digit = 0;
        for _ in 0..5 {
            let [x, y] = cell.middle();
            let takes_upper = if by_longitude { longitude >= x } else { latitude >= y };
            cell.halve(by_longitude, takes_upper);
            digit = digit << 1 | usize::from(takes_upper);
            by_longitude = !by_longitude;
        }
        text.push(char::from(GEOHASH_DIGITS[digit]));
    }
    Some(text)
}

fn geohash_box(text: &str) -> Option<Box4> {
    if !GEOHASH_LENGTHS.contains(&i64::try_from(text.len()).ok()?) {
        return None;
    }
    let mut cell = EVERYWHERE;
    let mut by_longitude = true;
    for letter in text.bytes() {
        let digit = GEOHASH_DIGITS.iter().position(|digit| *digit == letter.to_ascii_lowercase())?;
        for bit in (0..5).rev() {
            cell.halve(by_longitude, digit >> bit & 1 == 1);
            by_longitude = !by_longitude;
        }
    }
    Some(cell)
}

pub static POINT_TO_GEOHASH: Kernel = Kernel::new("kql_geo_point_to_geohash", Type::String, |args| {
    Ok(cells_of(args, geohash, level(args, 2, GEOHASH_DEFAULT, GEOHASH_LENGTHS)))
});

pub static GEOHASH_TO_CENTRAL_POINT: Kernel = Kernel::new("kql_geo_geohash_to_central_point", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(print_place(geohash_box(texts.get(i)?)?.middle()))))
});

pub static GEOHASH_TO_POLYGON: Kernel = Kernel::new("kql_geo_geohash_to_polygon", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let Box4 { west, south, east, north } = geohash_box(texts.get(i)?)?;
        Some(print_polygons(&[vec![vec![[west, south], [east, south], [east, north], [west, north]]]]))
    }))
});

pub static GEOHASH_NEIGHBORS: Kernel = Kernel::new("kql_geo_geohash_neighbors", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let text = texts.get(i)?;
        let cell = geohash_box(text)?;
        let [longitude, latitude] = cell.middle();
        let (width, height) = (cell.east - cell.west, cell.north - cell.south);
        let length = u8::try_from(text.len()).ok()?;
        // Clockwise from north.
        let around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)];
        let neighbor = |(east, north): (i32, i32)| {
            let y = latitude + f64::from(north) * height;
            let x = longitude + f64::from(east) * width;
            let x = if x > 180.0 {
                x - 360.0
            } else if x < -180.0 {
                x + 360.0
            } else {
                x
            };
            (-90.0..=90.0).contains(&y).then(|| geohash([x, y], length)).flatten()
        };
        Some(list(around.into_iter().filter_map(neighbor)))
    }))
});

// S2

const S2_LEVELS: std::ops::RangeInclusive<i64> = 0..=30;
const S2_DEFAULT: i64 = 11;

/// The level of S2 cells that argument `i` gives, or the default.
pub fn s2_level(args: &Args, i: usize) -> impl Fn(usize) -> Option<u8> {
    level(args, i, S2_DEFAULT, S2_LEVELS)
}

/// The cell that a text names; `None` for any other text.
fn s2_cell(token: &str) -> Option<CellID> {
    let is_token = !token.is_empty() && token.len() <= 16 && token.bytes().all(|b| b.is_ascii_hexdigit());
    /// A cell has at least four bits behind the number of its face.
    const TRAILING_ZEROS_MAX: u32 = 60;
    let cell =
        is_token.then(|| CellID::from_token(token)).filter(|cell| cell.0.trailing_zeros() <= TRAILING_ZEROS_MAX)?;
    cell.is_valid().then_some(cell)
}

pub static POINT_TO_S2CELL: Kernel = Kernel::new("kql_geo_point_to_s2cell", Type::String, |args| {
    let cell = |[longitude, latitude]: [f64; 2], level: u8| {
        Some(CellID::from(LatLng::from_degrees(latitude, longitude)).parent(level.into()).to_token())
    };
    Ok(cells_of(args, cell, s2_level(args, 2)))
});

pub static S2CELL_TO_CENTRAL_POINT: Kernel = Kernel::new("kql_geo_s2cell_to_central_point", Type::Dynamic, |args| {
    let tokens = args.strings(0);
    Ok(args.make_strings(|i| {
        let center = s2::point::Point::from(s2_cell(tokens.get(i)?)?);
        Some(print_point([center.0.x, center.0.y, center.0.z]))
    }))
});

pub static S2CELL_TO_POLYGON: Kernel = Kernel::new("kql_geo_s2cell_to_polygon", Type::Dynamic, |args| {
    let tokens = args.strings(0);
    Ok(args.make_strings(|i| {
        let corners = Cell::from(s2_cell(tokens.get(i)?)?).vertices();
        let ring = corners.iter().map(|corner| degrees([corner.0.x, corner.0.y, corner.0.z])).collect();
        Some(print_polygons(&[vec![ring]]))
    }))
});

pub static S2CELL_NEIGHBORS: Kernel = Kernel::new("kql_geo_s2cell_neighbors", Type::Dynamic, |args| {
    let tokens = args.strings(0);
    Ok(args.make_strings(|i| {
        let cell = s2_cell(tokens.get(i)?)?;
        Some(list(cell.all_neighbors(cell.level()).iter().map(CellID::to_token)))
    }))
});

// H3

const H3_LEVELS: std::ops::RangeInclusive<i64> = 0..=15;
const H3_DEFAULT: i64 = 6;
/// A cell has no more generations of children listed than these.
const H3_GENERATIONS_MAX: u8 = 5;
const H3_RINGS_MAX: i64 = 142;

/// The resolution of H3 cells that argument `i` gives, or the default.
pub fn h3_level(args: &Args, i: usize) -> impl Fn(usize) -> Option<u8> {
    level(args, i, H3_DEFAULT, H3_LEVELS)
}

fn h3_cell(text: &str) -> Option<CellIndex> {
    text.parse().ok()
}

pub static POINT_TO_H3CELL: Kernel = Kernel::new("kql_geo_point_to_h3cell", Type::String, |args| {
    let cell = |[longitude, latitude]: [f64; 2], level: u8| {
        Some(H3Place::new(latitude, longitude).ok()?.to_cell(Resolution::try_from(level).ok()?).to_string())
    };
    Ok(cells_of(args, cell, h3_level(args, 2)))
});

pub static H3CELL_TO_CENTRAL_POINT: Kernel = Kernel::new("kql_geo_h3cell_to_central_point", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let center = H3Place::from(h3_cell(texts.get(i)?)?);
        Some(print_place([center.lng(), center.lat()]))
    }))
});

pub static H3CELL_TO_POLYGON: Kernel = Kernel::new("kql_geo_h3cell_to_polygon", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let boundary = h3_cell(texts.get(i)?)?.boundary();
        Some(print_polygons(&[vec![boundary.iter().map(|corner| [corner.lng(), corner.lat()]).collect()]]))
    }))
});

pub static H3CELL_LEVEL: Kernel = Kernel::new("kql_geo_h3cell_level", Type::Int, |args| {
    let texts = args.strings(0);
    Ok(args.make_ints(|i| h3_cell(texts.get(i)?).map(|cell| i32::from(u8::from(cell.resolution())))))
});

pub static H3CELL_PARENT: Kernel = Kernel::new("kql_geo_h3cell_parent", Type::String, |args| {
    let texts = args.strings(0);
    let given = (args.len() > 1).then(|| args.longs(1));
    let parent = |i: usize| {
        let cell = h3_cell(texts.get(i)?)?;
        let own = u8::from(cell.resolution());
        let wanted = match &given {
            Some(levels) => u8::try_from(levels.get(i)?).ok()?,
            None => own.checked_sub(1)?,
        };
        let wanted = Resolution::try_from(wanted).ok().filter(|_| wanted < own)?;
        cell.parent(wanted).map(|cell| cell.to_string())
    };
    Ok(args.make_strings(|i| Some(parent(i).unwrap_or_default())))
});

pub static H3CELL_CHILDREN: Kernel = Kernel::new("kql_geo_h3cell_children", Type::Dynamic, |args| {
    let texts = args.strings(0);
    let given = (args.len() > 1).then(|| args.longs(1));
    Ok(args.make_strings(|i| {
        let cell = h3_cell(texts.get(i)?)?;
        let own = u8::from(cell.resolution());
        let wanted = match &given {
            Some(levels) => u8::try_from(levels.get(i)?).ok()?,
            None => own + 1,
        };
        let is_near = wanted > own && wanted - own <= H3_GENERATIONS_MAX;
        let wanted = Resolution::try_from(wanted).ok().filter(|_| is_near)?;
        Some(list(cell.children(wanted).map(|child| child.to_string())))
    }))
});

/// The cells around a cell by their distance, going around as the original does: it begins at the second that the
/// library meets.
fn rings(cell: CellIndex, most: u32) -> Vec<Vec<CellIndex>> {
    let around = (0..=most).map(|distance| {
        let mut ring = cell.grid_ring_fast(distance).collect::<Option<Vec<_>>>()?;
        if !ring.is_empty() {
            ring.rotate_left(1);
        }
        Some(ring)
    });
    if let Some(rings) = around.collect::<Option<Vec<_>>>() {
        return rings;
    }
    // Near one of the twelve pentagons there is no going around.
    let mut rings = vec![Vec::new(); most as usize + 1];
    for (cell, distance) in cell.grid_disk_distances_safe(most) {
        if let Some(ring) = rings.get_mut(distance as usize) {
            ring.push(cell);
        }
    }
    rings
}

pub static H3CELL_NEIGHBORS: Kernel = Kernel::new("kql_geo_h3cell_neighbors", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let around = rings(h3_cell(texts.get(i)?)?, 1).pop()?;
        Some(list(around.iter().map(CellIndex::to_string)))
    }))
});

pub static H3CELL_RINGS: Kernel = Kernel::new("kql_geo_h3cell_rings", Type::Dynamic, |args| {
    let (texts, distances) = (args.strings(0), args.longs(1));
    Ok(args.make_strings(|i| {
        let cell = h3_cell(texts.get(i)?)?;
        let distance = distances.get(i).filter(|distance| (0..=H3_RINGS_MAX).contains(distance))?;
        let rings = rings(cell, u32::try_from(distance).ok()?);
        Some(json::array(rings.iter().map(|ring| list(ring.iter().map(CellIndex::to_string)))))
    }))
});
