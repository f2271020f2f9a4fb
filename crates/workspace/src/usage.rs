//! How much came: rows and bytes of each table by the hour, and of each database on this day.
//!
//! Counted by the thread that writes the log. The figures are saved with the sequence number up to which they count,
//! before the log is cut, and what the log holds beyond is counted at the next start: they are exact.

use crate::catalog_file::sync_folder;
use crate::error::{Error, Result, at};
use crate::log::TableKey;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "usage.json";
const FORMAT_VERSION: u32 = 1;
/// Figures that nobody takes are kept for so many hours.
const HOURS_MAX: i64 = 24 * 31;
/// What bookkeeping itself writes is not counted.
pub(crate) const UNCOUNTED_TABLES: [&str; 2] = ["Usage", "Operation"];

/// What came for a table within an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEntry {
    /// The hour, counted from 0001-01-01.
    pub hour: i64,
    pub database: String,
    pub table: String,
    pub rows: u64,
    /// Of the values: texts by their length, other values by their width.
    pub bytes: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    format_version: u32,
    /// Records of the log up to this one are counted.
    sequence: u64,
    entries: Vec<UsageEntry>,
    /// The day, counted from 0001-01-01, that `day_bytes` are of.
    day: i64,
    day_bytes: BTreeMap<String, u64>,
}

/// The figures of a data folder.
#[derive(Debug)]
pub(crate) struct Usage {
    folder: PathBuf,
    saved: Saved,
    is_changed: bool,
}

impl Usage {
    pub fn open(data: &Path) -> Result<Usage> {
        let path = data.join(FILE_NAME);
        let saved = match std::fs::read(&path) {
            Ok(text) => {
                let problem =
                    |e: serde_json::Error| Error::Damaged { path: path.clone(), offset: 0, problem: e.to_string() };
                let saved: Saved = serde_json::from_slice(&text).map_err(problem)?;
                if saved.format_version != FORMAT_VERSION {
                    let (found, supported) = (saved.format_version, FORMAT_VERSION);
                    return Err(Error::FormatVersion { path, found, supported });
                }
                saved
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Saved { format_version: FORMAT_VERSION, ..Saved::default() }
            }
            Err(error) => return Err(at(path)(error)),
        };
        Ok(Usage { folder: data.to_owned(), saved, is_changed: false })
    }

    /// Whether a record is in the figures already.
    pub fn counts(&self, sequence: u64) -> bool {
        sequence <= self.saved.sequence
    }

    /// Counts rows of a record.
    pub fn count(&mut self, key: &TableKey, sequence: u64, batch: &RecordBatch, now_ticks: i64) {
        self.saved.sequence = self.saved.sequence.max(sequence);
        self.is_changed = true;
        if UNCOUNTED_TABLES.contains(&key.table.as_str()) {
            return;
        }
        let (rows, bytes) = (batch.num_rows() as u64, value_bytes(batch));
        self.begin_day(now_ticks);
        *self.saved.day_bytes.entry(key.database.clone()).or_default() += bytes;
        let hour = now_ticks / TICKS_PER_HOUR;
        let is_it = |e: &&mut UsageEntry| e.hour == hour && e.table == key.table && e.database == key.database;
        match self.saved.entries.iter_mut().find(is_it) {
            Some(entry) => {
                entry.rows += rows;
                entry.bytes += bytes;
            }
            None => {
                self.saved.entries.retain(|entry| entry.hour > hour - HOURS_MAX);
                let (database, table) = (key.database.clone(), key.table.clone());
                self.saved.entries.push(UsageEntry { hour, database, table, rows, bytes });
            }
        }
    }

    fn begin_day(&mut self, now_ticks: i64) {
        let day = now_ticks / TICKS_PER_DAY;
        if day != self.saved.day {
            self.saved.day = day;
            self.saved.day_bytes.clear();
        }
    }

    /// What came for a database on the day of `now_ticks`, in bytes.
    pub fn day_bytes(&self, database: &str, now_ticks: i64) -> u64 {
        if self.saved.day != now_ticks / TICKS_PER_DAY {
            return 0;
        }
        self.saved.day_bytes.get(database).copied().unwrap_or_default()
    }

    /// The figures of the hours that are over.
    pub fn finished(&self, now_ticks: i64) -> Vec<UsageEntry> {
        let hour = now_ticks / TICKS_PER_HOUR;
        self.saved.entries.iter().filter(|entry| entry.hour < hour).cloned().collect()
    }

    /// Forgets figures that have been taken.
    pub fn forget(&mut self, taken: &[UsageEntry]) {
        self.saved.entries.retain(|entry| !taken.contains(entry));
        self.is_changed = true;
    }

    /// Copies the saved figures below another data folder.
    pub fn copy_to(&self, target: &Path) -> Result<()> {
        let path = self.folder.join(FILE_NAME);
        match std::fs::copy(&path, target.join(FILE_NAME)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }

    /// Makes the figures durable.
    pub fn save(&mut self) -> Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        let path = self.folder.join(FILE_NAME);
        let temporary = self.folder.join(format!("{FILE_NAME}.new"));
        let text = serde_json::to_vec(&self.saved).map_err(|e| at(&path)(e.into()))?;
        let mut file = File::create(&temporary).map_err(at(&temporary))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(at(&path))?;
        sync_folder(&self.folder)?;
        self.is_changed = false;
        Ok(())
    }
}

fn value_bytes(batch: &RecordBatch) -> u64 {
    let column = |array: &arrow::array::ArrayRef| match array.data_type() {
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).sum(),
        other => (array.len() - array.null_count()) as u64 * other.primitive_width().unwrap_or(1) as u64,
    };
    batch.columns().iter().map(column).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use engine::Column;
    use kql::Type;
    use std::sync::Arc;

    const NOON_TICKS: i64 = 700_000 * TICKS_PER_DAY + 12 * TICKS_PER_HOUR;

    fn batch() -> RecordBatch {
        let schema = engine::types::arrow_schema(&[Column::new("S", Type::String), Column::new("N", Type::Long)]);
        let columns: [arrow::array::ArrayRef; 2] =
            [Arc::new(StringViewArray::from(vec!["abc", ""])), Arc::new(Int64Array::from(vec![Some(1), None]))];
        RecordBatch::try_new(schema, columns.to_vec()).expect("a batch")
    }

    fn key(table: &str) -> TableKey {
        TableKey { database: "d".into(), table: table.into(), folder: "f".into() }
    }

    #[test]
    fn hours_and_days_are_counted_and_survive() {
        let data = tempfile::tempdir().expect("a folder");
        let mut usage = Usage::open(data.path()).expect("opened");
        usage.count(&key("T"), 1, &batch(), NOON_TICKS);
        usage.count(&key("T"), 2, &batch(), NOON_TICKS);
        usage.count(&key("U"), 3, &batch(), NOON_TICKS + TICKS_PER_HOUR);
        usage.count(&key("Usage"), 4, &batch(), NOON_TICKS);
        usage.save().expect("saved");
        let mut usage = Usage::open(data.path()).expect("opened again");
        assert!(usage.counts(4) && !usage.counts(5));
        assert_eq!(usage.day_bytes("d", NOON_TICKS), 33);
        assert_eq!(usage.day_bytes("d", NOON_TICKS + TICKS_PER_DAY), 0);
        let done = usage.finished(NOON_TICKS + TICKS_PER_HOUR);
        let [entry] = done.as_slice() else { panic!("{done:?}") };
        assert_eq!((entry.table.as_str(), entry.rows, entry.bytes), ("T", 4, 22));
        usage.forget(&done);
        assert!(usage.finished(NOON_TICKS + TICKS_PER_HOUR).is_empty());
        assert_eq!(usage.finished(NOON_TICKS + 2 * TICKS_PER_HOUR).len(), 1);
    }
}
