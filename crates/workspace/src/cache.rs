//! What queries have read of table files, kept in memory for the next.
//!
//! Columns are kept as they are held ([`engine::columnar`]), and so is what was computed from their dictionaries. All
//! of it can be read or computed again; what has not been asked for lately makes room for what is.

use crate::error::{Error, Result, at};
use crate::side::{SideFile, remove_with, side_path};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_plan::PhysicalExpr;
use engine::columnar::Source;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The footers of at most so many files are kept.
const FOOTERS_MAX: usize = 16 * 1024;
/// What is kept of side files, where their parts stand, takes at most about so much.
const SIDE_FILES_BYTES_MAX: u64 = 64 << 20;
/// A cache of arrays is laid out for arrays of about this size.
const ARRAY_BYTES_USUAL: usize = 256 << 10;

/// A number that no other rows have been given.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The columns of table files in memory, up to a bound. Cheap to clone; clones are the same cache.
#[derive(Clone)]
pub(crate) struct SegmentCache {
    footers: Arc<Cache<PathBuf, Arc<Footer>>>,
    /// By table file.
    side_files: Arc<Cache<PathBuf, Arc<SideFile>, Bytes>>,
    arrays: Arc<Cache<ArrayKey, ArrayRef, Bytes>>,
}

/// What is known of a file without reading its rows.
#[derive(Debug)]
pub(crate) struct Footer {
    /// Unlike that of any file opened before.
    pub number: u64,
    /// Strings are read as views.
    pub metadata: ArrowReaderMetadata,
}

/// An array that belongs to some rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ArrayKey {
    /// The number of the rows: of a file, or of a piece of those in memory.
    pub number: u64,
    pub row_group: usize,
    /// The column by its name, since its place among others can change.
    pub column: String,
    /// The steps to a member of its JSON texts; `None` for the column itself.
    pub path: Option<Vec<String>>,
    /// What is computed of it; `None` for the value itself.
    pub expression: Option<Arc<dyn PhysicalExpr>>,
}

impl ArrayKey {
    /// The key of what is computed of a source, in a column of that name.
    pub fn new(
        number: u64,
        row_group: usize,
        column: &str,
        source: &Source,
        expression: Option<&Arc<dyn PhysicalExpr>>,
    ) -> ArrayKey {
        let path = match source {
            Source::Column(_) => None,
            Source::Member { path, .. } => Some(path.clone()),
        };
        ArrayKey { number, row_group, column: column.to_owned(), path, expression: expression.cloned() }
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<ArrayKey, ArrayRef> for Bytes {
    /// What arrays share counts for each of them.
    fn weight(&self, _key: &ArrayKey, array: &ArrayRef) -> u64 {
        array.get_array_memory_size() as u64
    }
}

impl Weighter<PathBuf, Arc<SideFile>> for Bytes {
    fn weight(&self, _key: &PathBuf, side_file: &Arc<SideFile>) -> u64 {
        side_file.directory_bytes
    }
}

impl SegmentCache {
    /// An empty cache of at most so many bytes.
    pub fn new(bytes_max: usize) -> SegmentCache {
        let arrays = Cache::with_weighter((bytes_max / ARRAY_BYTES_USUAL).max(1), bytes_max as u64, Bytes);
        let side_files = Cache::with_weighter(FOOTERS_MAX, SIDE_FILES_BYTES_MAX, Bytes);
        SegmentCache {
            footers: Arc::new(Cache::new(FOOTERS_MAX)),
            side_files: Arc::new(side_files),
            arrays: Arc::new(arrays),
        }
    }

    /// The footer of a file.
    pub fn footer(&self, path: &Path) -> Result<Arc<Footer>> {
        if let Some(known) = self.footers.get(path) {
            return Ok(known);
        }
        let footer = Arc::new(Footer::read(path)?);
        self.footers.insert(path.to_owned(), footer.clone());
        Ok(footer)
    }

    /// The side file of a table file, where it has one that can be read.
    pub fn side_file(&self, table_file: &Path) -> Option<Arc<SideFile>> {
        if let Some(known) = self.side_files.get(table_file) {
            return Some(known);
        }
        let opened = SideFile::open(&side_path(table_file)).and_then(|side_file| {
            let Some(side_file) = side_file else { return Ok(None) };
            match side_file.is_of(&self.footer(table_file)?.row_group_rows()) {
                true => Ok(Some(Arc::new(side_file))),
                false => Err(side_file.damaged("it is of another table file")),
            }
        });
        match opened {
            Ok(side_file) => {
                let side_file = side_file?;
                self.side_files.insert(table_file.to_owned(), side_file.clone());
                Some(side_file)
            }
            Err(error) => {
                self.give_up_side_file(table_file, &error);
                None
            }
        }
    }

    /// Goes on without the side file of a table file, which cannot be read now. One that is damaged is removed, and will
    /// be made again.
    pub fn give_up_side_file(&self, table_file: &Path, error: &Error) {
        let path = side_path(table_file);
        self.side_files.remove(table_file);
        // The table file itself may be what is damaged.
        if !matches!(error, Error::Damaged { path: damaged, .. } if *damaged == path) {
            return tracing::warn!(path = %path.display(), %error, "a side file cannot be read");
        }
        tracing::warn!(path = %path.display(), %error, "a side file is damaged; it is removed, and made again later");
        remove_with(table_file);
    }

    /// An array, if it is kept.
    pub fn peek(&self, key: &ArrayKey) -> Option<ArrayRef> {
        self.arrays.peek(key)
    }

    /// An array that is kept, or else the one that `make` gives, which is kept from now on.
    pub fn array<E>(
        &self,
        key: ArrayKey,
        make: impl FnOnce() -> std::result::Result<ArrayRef, E>,
    ) -> std::result::Result<ArrayRef, E> {
        if let Some(known) = self.arrays.get(&key) {
            return Ok(known);
        }
        let made = make()?;
        self.arrays.insert(key, made.clone());
        Ok(made)
    }
}

impl std::fmt::Debug for SegmentCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentCache({} of {} bytes)", self.arrays.weight(), self.arrays.capacity())
    }
}

impl Footer {
    /// Reads the footer of a file.
    pub fn read(path: &Path) -> Result<Footer> {
        let file = File::open(path).map_err(at(path))?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let as_stored = ArrowReaderMetadata::load(&file, options).map_err(|e| Error::Damaged {
            path: path.to_owned(),
            offset: file.metadata().map_or(0, |metadata| metadata.len()),
            problem: format!("its footer cannot be read: {e}"),
        })?;
        let fields = as_stored.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::new(field.name(), DataType::Utf8View, true),
            other => Field::new(field.name(), other.clone(), true),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::try_new(as_stored.metadata().clone(), options)?;
        Ok(Footer { number: next_number(), metadata })
    }

    /// The number of rows of each row group.
    pub fn row_group_rows(&self) -> Vec<usize> {
        let groups = self.metadata.metadata().row_groups().iter();
        groups.map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect()
    }

    /// Whether the file has a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.metadata.schema().column_with_name(name).is_some()
    }
}
