//! Which databases and tables there are: one small JSON file, replaced as a whole.

use crate::error::{Error, Result, at};
use crate::layout::Layout;
use engine::Column;
use kql::Type;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The version of the catalog. Raised when its meaning changes, so that an older program does not misread it. Version 2
/// keeps the order in which columns were added, and what is kept how long.
const FORMAT_VERSION: u32 = 2;
/// Older ones are read, and written anew with the next change.
const FORMAT_VERSION_MIN: u32 = 1;
pub(crate) const FILE_NAME: &str = "catalog.json";
const NAME_LENGTH_MAX: usize = 128;

/// A table's name and columns, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    pub name: String,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CatalogFile {
    format_version: u32,
    pub databases: BTreeMap<String, DatabaseEntry>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct DatabaseEntry {
    pub tables: BTreeMap<String, TableEntry>,
    #[serde(default)]
    pub functions: BTreeMap<String, FunctionEntry>,
    /// For tables that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// The bytes that may come in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_quota_bytes: Option<u64>,
}

/// What people say about a table or a function, for those who look for it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Where it is shown among others, as a path.
    #[serde(default)]
    pub folder: String,
    #[serde(default)]
    pub docstring: String,
}

/// A function that queries can call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionEntry {
    /// In parentheses, `(a:long, b:string="x")`.
    pub parameters: String,
    /// In braces.
    pub body: String,
    /// Whether it takes part in `union *` and `search`.
    #[serde(default)]
    pub is_view: bool,
    #[serde(default)]
    pub notes: Notes,
}

impl FunctionEntry {
    /// The function as a query writes it.
    pub fn text(&self) -> String {
        format!("{} {}", self.parameters, self.body)
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct TableEntry {
    /// The folder below the database's; a table that is dropped and made again gets a new one.
    pub folder: String,
    /// Name and Kusto type of each column, in the order in which they are shown.
    pub columns: Vec<(String, String)>,
    /// The names in the order in which they were added, where that is another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default)]
    pub notes: Notes,
    #[serde(default)]
    pub mappings: Vec<MappingEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// An ingestion mapping of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingEntry {
    /// `json` or `csv`.
    pub kind: String,
    pub name: String,
    /// Its text; see [`crate::format::Mapping`].
    pub text: String,
}

impl TableEntry {
    pub fn new(folder: String, layout: &Layout) -> TableEntry {
        let mut entry = TableEntry { folder, ..TableEntry::default() };
        entry.set_layout(layout);
        entry
    }

    pub fn set_layout(&mut self, layout: &Layout) {
        self.columns = layout.columns.iter().map(|c| (c.name.clone(), c.column_type.name().to_owned())).collect();
        self.added = layout.names_as_added();
        if self.columns.iter().map(|(name, _)| name).eq(&self.added) {
            self.added.clear();
        }
    }

    pub fn layout(&self) -> Layout {
        let column = |(name, of): &(String, String)| Column::new(name, Type::from_name(of).unwrap_or(Type::String));
        let columns: Vec<Column> = self.columns.iter().map(column).collect();
        if self.added.is_empty() { Layout::new(columns) } else { Layout::of_names(columns, &self.added) }
    }
}

impl CatalogFile {
    /// Reads the catalog of a data folder; an empty one when there is none yet.
    pub fn load(folder: &Path) -> Result<CatalogFile> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if folder.join("tables").exists() {
                    let problem = "the catalog is missing, though there are tables".to_owned();
                    return Err(Error::Damaged { path, offset: 0, problem });
                }
                return Ok(CatalogFile { format_version: FORMAT_VERSION, databases: BTreeMap::new() });
            }
            Err(error) => return Err(at(path)(error)),
        };
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let damaged =
            |error: serde_json::Error| Error::Damaged { path: path.clone(), offset: 0, problem: error.to_string() };
        let found = serde_json::from_slice::<Version>(&text).map_err(damaged)?.format_version;
        if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&found) {
            return Err(Error::FormatVersion { path, found, supported: FORMAT_VERSION });
        }
        let mut catalog: CatalogFile = serde_json::from_slice(&text).map_err(damaged)?;
        catalog.format_version = FORMAT_VERSION;
        Ok(catalog)
    }

    /// Replaces the file; when this returns, the new one is on disk.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let temporary = folder.join(format!("{FILE_NAME}.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|e| at(&path)(e.into()))?;
        let mut file = File::create(&temporary).map_err(at(&temporary))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(at(&path))?;
        sync_folder(folder)
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(at(folder))
}

/// Refuses names that could not be folders or would leave their folder.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '));
    if fits { Ok(()) } else { Err(Error::BadName(name.to_owned())) }
}
