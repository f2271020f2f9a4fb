//! Well-known text as GeoJSON.

use crate::functions::Kernel;
use crate::json;
use kql::Type;

/// The name of each kind in well-known text and in GeoJSON, and how deep its coordinates are nested.
const KINDS: [(&str, &str, usize); 6] = [
    ("POINT", "Point", 0),
    ("LINESTRING", "LineString", 1),
    ("POLYGON", "Polygon", 2),
    ("MULTIPOINT", "MultiPoint", 1),
    ("MULTILINESTRING", "MultiLineString", 2),
    ("MULTIPOLYGON", "MultiPolygon", 3),
];
/// Collections within collections are read to this depth.
const DEPTH_MAX: usize = 16;

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn take(&mut self, expected: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(expected)?;
        Some(())
    }

    fn is_next(&self, expected: char) -> bool {
        self.rest.trim_start().starts_with(expected)
    }

    /// The text up to the first character that is not part of a word.
    fn word(&mut self, is_part: fn(char) -> bool) -> &'t str {
        let rest = self.rest.trim_start();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    /// What comes between parentheses, with commas in between.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<String>) -> Option<String> {
        self.take('(')?;
        let mut items = vec![item(self)?];
        while self.is_next(',') {
            self.take(',')?;
            items.push(item(self)?);
        }
        self.take(')')?;
        Some(json::array(items))
    }

    fn place(&mut self) -> Option<String> {
        let mut number = || {
            let text = self.word(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            text.parse::<f64>().ok().filter(|number| number.is_finite())
        };
        let (x, y) = (number()?, number()?);
        let is_valid = (-180.0..=180.0).contains(&x) && (-90.0..=90.0).contains(&y);
        is_valid.then(|| json::array([x, y].map(json::real_text)))
    }

    fn coordinates(&mut self, depth: usize, is_multipoint: bool) -> Option<String> {
        match depth {
            0 if is_multipoint && self.is_next('(') => {
                self.take('(')?;
                let place = self.place()?;
                self.take(')')?;
                Some(place)
            }
            0 => self.place(),
            _ => self.list(|reader| reader.coordinates(depth - 1, is_multipoint)),
        }
    }

    fn shape(&mut self, depth: usize) -> Option<String> {
        let name = self.word(|c| c.is_ascii_alphabetic()).to_ascii_uppercase();
        if name == "GEOMETRYCOLLECTION" && depth < DEPTH_MAX {
            let shapes = self.list(|reader| reader.shape(depth + 1))?;
            return Some(format!(r#"{{"type":"GeometryCollection","geometries":{shapes}}}"#));
        }
        let (_, kind, nesting) = KINDS.iter().find(|(known, ..)| *known == name)?;
        let coordinates = if *nesting == 0 {
            self.take('(')?;
            let place = self.place()?;
            self.take(')')?;
            place
        } else {
            self.coordinates(*nesting, *kind == "MultiPoint")?
        };
        Some(format!(r#"{{"type":"{kind}","coordinates":{coordinates}}}"#))
    }
}

pub static FROM_WKT: Kernel = Kernel::new("kql_geo_from_wkt", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let mut reader = Reader { rest: texts.get(i)? };
        let shape = reader.shape(0)?;
        reader.rest.trim().is_empty().then_some(shape)
    }))
});
