//! What stands at several paths in the JSON texts of a column, found in one go: for those who keep members beside the
//! texts.

use super::encode::dictionary;
use crate::json::{self, KeyPaths, Kind};
use datafusion::arrow::array::{Array, ArrayRef, StringViewArray};

/// Paths of keys.
#[derive(Debug)]
pub struct MemberPaths {
    paths: Vec<Vec<String>>,
    found_by: KeyPaths,
}

impl MemberPaths {
    /// Different paths, each of at least one key.
    pub fn new(paths: Vec<Vec<String>>) -> MemberPaths {
        let found_by = KeyPaths::new(paths.iter().map(Vec::as_slice));
        MemberPaths { paths, found_by }
    }

    /// The paths with their steps as [`super::Source::Member`] has them.
    pub fn as_sources(&self) -> impl Iterator<Item = Vec<String>> {
        self.paths.iter().map(|path| path.iter().map(|key| json::quote(key)).collect())
    }

    /// For each path the values of [`super::Source::Member`] as a dictionary, where they are at most so many.
    pub fn dictionaries(&self, texts: &StringViewArray, values_max: usize) -> Vec<Option<ArrayRef>> {
        let mut found: Vec<Option<&str>> = vec![None; texts.len() * self.paths.len()];
        for (text, found) in texts.iter().zip(found.chunks_mut(self.paths.len().max(1))) {
            text.into_iter().for_each(|text| self.found_by.find(text, found));
            // The null of JSON is the null value.
            let is_null = |value: &&mut Option<&str>| value.is_some_and(|value| json::kind(value) == Kind::Null);
            found.iter_mut().filter(is_null).for_each(|value| *value = None);
        }
        let of_path = |place| found.iter().skip(place).step_by(self.paths.len()).copied();
        (0..self.paths.len()).map(|place| dictionary(of_path(place), values_max)).collect()
    }
}
