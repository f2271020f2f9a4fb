//! One table: its columns, where its rows are, and moving those in memory to files.

use crate::delta::DeltaFiles;
use crate::error::Result;
use crate::hot::HotRows;
use crate::layout::Layout;
use crate::table_file::DataFile;
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Fewer rows than this wait for more, however long none came.
const QUIET_ROWS_MIN: usize = 4096;

/// A table, from its making to its dropping.
pub(crate) struct TableState {
    /// Its folder below the database's, unlike that of any other table that ever had its name.
    pub folder: String,
    pub rows: RwLock<Rows>,
    /// Held while files change; `None` once the table is dropped.
    pub delta: tokio::sync::Mutex<Option<DeltaFiles>>,
    /// Held by whoever takes files away or writes them anew, so that only a flush can come between.
    pub rewriting: tokio::sync::Mutex<()>,
    /// Files that could not be merged. They are not tried again before the next start.
    pub left_alone: Mutex<HashSet<PathBuf>>,
}

/// A table's columns, and where its rows are. Changed as a whole, so that a query sees each row once.
#[derive(Clone)]
pub(crate) struct Rows {
    pub layout: Arc<Layout>,
    pub files: Arc<Vec<DataFile>>,
    /// Rows that a flush is writing.
    pub flushing: HotRows,
    pub hot: HotRows,
    pub flushed: u64,
    /// After a flush that failed, when the next is tried.
    pub retry_at: Option<Instant>,
}

/// When hot rows are due to go to files.
pub(crate) struct FlushBounds {
    pub rows: usize,
    pub bytes: usize,
    pub seconds: u64,
    pub quiet_seconds: u64,
    /// Under pressure of memory, what a table must hold to be flushed.
    pub pressed_bytes: Option<usize>,
}

impl TableState {
    pub fn new(folder: String, layout: Layout, delta: DeltaFiles) -> TableState {
        let rows = Rows {
            layout: Arc::new(layout),
            files: Arc::new(delta.files.clone()),
            flushing: HotRows::default(),
            hot: HotRows::default(),
            flushed: delta.flushed,
            retry_at: None,
        };
        TableState {
            folder,
            rows: RwLock::new(rows),
            delta: tokio::sync::Mutex::new(Some(delta)),
            rewriting: tokio::sync::Mutex::new(()),
            left_alone: Mutex::default(),
        }
    }

    /// Moves the rows in memory to files.
    pub async fn flush(&self) -> Result<()> {
        let mut delta = self.delta.lock().await;
        let Some(delta) = delta.as_mut() else { return Ok(()) };
        let (taken, layout) = {
            let mut rows = self.rows.write();
            // What an earlier flush failed to write goes first, by itself, under its own sequence number.
            if rows.flushing.rows == 0 {
                rows.flushing = std::mem::take(&mut rows.hot);
            }
            (rows.flushing.clone(), rows.layout.clone())
        };
        let Some(sequence) = taken.last_sequence() else { return Ok(()) };
        delta.flush(&layout, taken.batches(), sequence).await?;
        let mut rows = self.rows.write();
        rows.files = Arc::new(delta.files.clone());
        rows.flushing = HotRows::default();
        rows.flushed = delta.flushed;
        Ok(())
    }
}

impl Rows {
    pub fn waiting_bytes(&self) -> usize {
        self.hot.bytes + self.flushing.bytes
    }

    pub fn waiting_rows(&self) -> usize {
        self.hot.rows + self.flushing.rows
    }

    pub fn is_due(&self, bounds: &FlushBounds, now: Instant) -> bool {
        // By a clock that no one can set back.
        let seconds_since =
            |then: Option<Instant>| then.map_or(0, |then| now.saturating_duration_since(then).as_secs());
        let is_quiet = self.hot.rows >= QUIET_ROWS_MIN && seconds_since(self.hot.newest) >= bounds.quiet_seconds;
        self.retry_at.is_none_or(|retry_at| now >= retry_at)
            && (self.flushing.rows > 0
                || self.hot.rows >= bounds.rows
                || self.hot.bytes >= bounds.bytes
                || self.hot.since.is_some() && seconds_since(self.hot.since) >= bounds.seconds
                || is_quiet
                || self.hot.rows > 0 && bounds.pressed_bytes.is_some_and(|least| self.hot.bytes >= least))
    }
}
