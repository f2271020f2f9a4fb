//! A side file: for each row group of a table file the terms of its texts and the members of its JSON texts.

use super::container::{ContainerWriter, damaged, read_directory, read_part};
use super::filter::{Shape, term_hash};
use super::members;
use super::terms::Terms;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef};
use engine::columnar::NeededTerms;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What there is, by column. Lists have an item for each row group.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Directory {
    rows: Vec<usize>,
    terms: BTreeMap<String, Vec<Option<TermsPart>>>,
    /// By column, and by the steps of the path as a JSON list.
    members: BTreeMap<String, BTreeMap<String, Vec<Option<MemberPart>>>>,
}

/// Where a filter of terms stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct TermsPart {
    offset: u64,
    pages: u32,
    page_bytes: u32,
    has_escapes: bool,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct MemberPart {
    offset: u64,
    bytes: u32,
    crc32: u32,
}

impl TermsPart {
    fn shape(&self) -> Shape {
        Shape { pages: self.pages, page_bytes: self.page_bytes }
    }
}

/// A side file that is being written, row group by row group.
pub(super) struct SideWriter {
    out: ContainerWriter,
    directory: Directory,
}

impl SideWriter {
    pub fn create(path: &Path) -> Result<SideWriter> {
        Ok(SideWriter { out: ContainerWriter::create(path)?, directory: Directory::default() })
    }

    /// Begins the next row group.
    pub fn row_group(&mut self, rows: usize) {
        self.directory.rows.push(rows);
    }

    /// Adds the terms of a column.
    pub fn terms(&mut self, column: &str, terms: &Terms) -> Result<()> {
        let (shape, pages) = terms.hashes.filter();
        let Shape { pages: count, page_bytes } = shape;
        let part =
            TermsPart { offset: self.out.part(&pages)?, pages: count, page_bytes, has_escapes: terms.has_escapes };
        let row_groups = self.directory.rows.len();
        put(self.directory.terms.entry(column.to_owned()).or_default(), row_groups, part);
        Ok(())
    }

    /// Adds a member of a column.
    pub fn member(&mut self, column: &str, path: &[String], member: &ArrayRef) -> Result<()> {
        let Some(written) = members::encode(member) else { return Ok(()) };
        let Ok(bytes) = u32::try_from(written.len()) else { return Ok(()) };
        let part = MemberPart { offset: self.out.part(&written)?, bytes, crc32: crc32fast::hash(&written) };
        let row_groups = self.directory.rows.len();
        let of_column = self.directory.members.entry(column.to_owned()).or_default();
        put(of_column.entry(path_key(path)).or_default(), row_groups, part);
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        let row_groups = self.directory.rows.len();
        self.directory.terms.values_mut().for_each(|parts| parts.resize(row_groups, None));
        let members = self.directory.members.values_mut().flat_map(BTreeMap::values_mut);
        members.for_each(|parts| parts.resize(row_groups, None));
        self.out.finish(&self.directory)
    }
}

/// Puts the part of the last of so many row groups in its place.
fn put<P: Copy>(parts: &mut Vec<Option<P>>, row_groups: usize, part: P) {
    parts.resize(row_groups, None);
    if let Some(last) = parts.last_mut() {
        *last = Some(part);
    }
}

fn path_key(path: &[String]) -> String {
    engine::json::array(path)
}

/// A side file that can be asked.
#[derive(Debug)]
pub(crate) struct SideFile {
    path: PathBuf,
    directory: Directory,
    /// What the directory takes in the file; in memory it takes about as much.
    pub directory_bytes: u64,
}

impl SideFile {
    /// Opens the side file at `path`; `None` where there is none.
    pub fn open(path: &Path) -> Result<Option<SideFile>> {
        let Some((directory, parts_bytes, directory_bytes)) = read_directory::<Directory>(path)? else {
            return Ok(None);
        };
        let row_groups = directory.rows.len();
        let is_within = |offset: u64, bytes: u64| offset.checked_add(bytes).is_some_and(|end| end <= parts_bytes);
        let are_terms_right = directory.terms.values().all(|parts| {
            let is_right =
                |part: &TermsPart| part.shape().is_valid() && is_within(part.offset, part.shape().bytes() as u64);
            parts.len() == row_groups && parts.iter().flatten().all(is_right)
        });
        let are_members_right = directory.members.values().flat_map(BTreeMap::values).all(|parts| {
            let is_right = |part: &MemberPart| is_within(part.offset, u64::from(part.bytes));
            parts.len() == row_groups && parts.iter().flatten().all(is_right)
        });
        match are_terms_right && are_members_right {
            true => Ok(Some(SideFile { path: path.to_owned(), directory, directory_bytes })),
            false => Err(damaged(path, parts_bytes, "its directory names what is not there")),
        }
    }

    /// What is wrong with it.
    pub fn damaged(&self, problem: &str) -> Error {
        damaged(&self.path, 0, problem)
    }

    /// Whether it is of a file with row groups of so many rows.
    pub fn is_of(&self, rows: &[usize]) -> bool {
        self.directory.rows == rows
    }

    /// Whether it is certain that no text of a column in a row group has all of the terms.
    pub fn lacks(&self, row_group: usize, column: &str, needed: &NeededTerms) -> Result<bool> {
        let part = self.directory.terms.get(column).and_then(|parts| parts.get(row_group).copied().flatten());
        let Some(part) = part.filter(|part| !(needed.is_decoded && part.has_escapes)) else { return Ok(false) };
        let shape = part.shape();
        if shape.pages == 0 {
            return Ok(true);
        }
        for term in &needed.terms {
            let hash = term_hash(term);
            let offset = part.offset + u64::from(shape.page_of(hash)) * shape.page_stored_bytes() as u64;
            let page = read_part(&self.path, offset, shape.page_stored_bytes())?;
            match shape.may_have(hash, &page) {
                Some(true) => {}
                Some(false) => return Ok(true),
                None => return Err(damaged(&self.path, offset, "the checksum of a page is wrong")),
            }
        }
        Ok(false)
    }

    fn member_part(&self, row_group: usize, column: &str, path: &[String]) -> Option<MemberPart> {
        let of_column = self.directory.members.get(column)?;
        of_column.get(&path_key(path))?.get(row_group).copied().flatten()
    }

    /// Whether it has a member.
    pub fn has_member(&self, row_group: usize, column: &str, path: &[String]) -> bool {
        self.member_part(row_group, column, path).is_some()
    }

    /// What stands at a path in the JSON texts of a column in a row group; `None` where it is not kept.
    pub fn member(&self, row_group: usize, column: &str, path: &[String]) -> Result<Option<ArrayRef>> {
        let Some(part) = self.member_part(row_group, column, path) else { return Ok(None) };
        let written = read_part(&self.path, part.offset, part.bytes as usize)?;
        let whole = (crc32fast::hash(&written) == part.crc32).then_some(written);
        let member = whole.and_then(|written| members::decode(&written));
        let member = member.filter(|member| member.len() == self.directory.rows[row_group]);
        member.map(Some).ok_or_else(|| damaged(&self.path, part.offset, "a member is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use engine::columnar::MemberPaths;

    fn needed(terms: &[&str], is_decoded: bool) -> NeededTerms {
        NeededTerms { terms: terms.iter().map(|term| (*term).to_owned()).collect(), is_decoded }
    }

    const PATH: &str = "\"a\"";

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("_part.side");
        let mut writer = SideWriter::create(&path).expect("created");
        let groups = [["Device-000042 was here", r#"{"a":"x y","n":1}"#], ["ÉCOLE", r#"{"a":"tab\tbed"}"#]];
        for group in groups {
            writer.row_group(16);
            let texts = StringViewArray::from_iter_values(group.iter().cycle().take(16));
            writer.terms("S", &Terms::of_texts(&texts, false).expect("few")).expect("added");
            for (path, member) in members::of_texts(&texts, &MemberPaths::new(vec![vec!["a".to_owned()]])) {
                writer.member("S", &path, &member).expect("added");
            }
        }
        writer.finish().expect("finished");
        path
    }

    #[test]
    fn terms_are_found_in_the_row_group_that_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = SideFile::open(&written(folder.path())).expect("whole").expect("there");
        assert!(file.is_of(&[16, 16]) && !file.is_of(&[16, 17]));
        let lacks = |group, terms: &[&str], is_decoded| {
            file.lacks(group, "S", &needed(terms, is_decoded)).expect("it can be read")
        };
        assert!(!lacks(0, &["device", "000042"], false));
        assert!(lacks(0, &["device", "000099"], false));
        assert!(lacks(0, &["école"], false) && !lacks(1, &["école"], false));
        // What stands behind an escape is a term of what the text says, not of the text.
        assert!(lacks(1, &["bed"], false) && !lacks(1, &["tbed"], false));
        assert!(!lacks(1, &["bed"], true));
        assert!(lacks(0, &["bed"], true));
        assert!(!file.lacks(0, "T", &needed(&["bed"], false)).expect("it has no such column"));
    }

    #[test]
    fn members_are_found_by_their_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = SideFile::open(&written(folder.path())).expect("whole").expect("there");
        let path = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>();
        let member = file.member(0, "S", &path(&[PATH])).expect("it can be read").expect("it is there");
        let member = engine::columnar::plain(&member).expect("plain");
        assert_eq!(member.as_ref(), &StringViewArray::from_iter([None, Some("\"x y\"")].into_iter().cycle().take(16)));
        assert!(file.has_member(1, "S", &path(&[PATH])));
        for steps in [path(&[]), path(&["\"b\""]), path(&[PATH, PATH])] {
            assert!(file.member(0, "S", &steps).expect("no member").is_none(), "{steps:?}");
        }
        assert!(!file.has_member(2, "S", &path(&[PATH])) && !file.has_member(0, "T", &path(&[PATH])));
    }

    #[test]
    fn a_damaged_file_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = written(folder.path());
        let whole = std::fs::read(&path).expect("read");
        assert!(SideFile::open(&folder.path().join("_other.side")).expect("no file").is_none());
        for cut in [0, 8, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).expect("written");
            assert!(SideFile::open(&path).is_err(), "{cut} bytes of {}", whole.len());
        }
        let step = vec![PATH.to_owned()];
        let asked = |group: usize| {
            let file = SideFile::open(&path)?.expect("there");
            file.lacks(group, "S", &needed(&["x", "y"], false))?;
            file.member(group, "S", &step)
        };
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).expect("written");
            assert!(asked(0).is_err() || asked(1).is_err(), "byte {at} of {}", whole.len());
        }
    }
}
