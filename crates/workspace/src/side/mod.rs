//! Side files: what is worked out of a table file once, so that queries need not read it: which terms its texts have
//! ([`filter`]), and what stands in its JSON texts ([`members`]).
//!
//! They stand beside their table file, under a name that readers of Delta tables pass over, and go with it. Nothing is in
//! them that is not in the table file: they are made in the background after it, whoever wrote it, by a thread that works
//! when nobody else wants to; back-ups leave them out; a damaged one is removed and made again. Until there is one,
//! queries take longer, and answer the same.

mod container;
mod file;
mod filter;
mod members;
mod terms;

pub(crate) use file::SideFile;

use crate::cache::{Footer, SegmentCache};
use crate::error::{Error, Result, at};
use crate::layout::Layout;
use crate::machine::disk_bytes;
use crate::segments::FileSegment;
use crate::store::{Tables, Workspaces};
use crate::table_file::DataFile;
use arrow::array::AsArray;
use engine::Column;
use engine::columnar::Segment;
use file::SideWriter;
use kql::Type;
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use terms::Terms;

/// Table files with fewer rows are read as quickly, and most of them are soon merged.
const ROWS_MIN: u64 = 2048;
/// A column of a row group that takes more is left out: it is read into memory as a whole.
const COLUMN_BYTES_MAX: u64 = 256 << 20;
/// Where less than one part in so many of the disk is free, none are made.
const DISK_FREE_SHARE_MIN: u64 = 20;
/// How often table files without are looked for, when nothing wakes who does: a side file may have been removed.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How soon it is noticed that nobody has the workspaces any more.
const END_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The least of priorities.
const NICE_MOST: i32 = 19;

const EXTENSION: &str = "side";
/// The extension of side files that are being written.
pub(crate) const UNFINISHED: &str = "side-tmp";

/// The side file of a table file.
pub(crate) fn side_path(table_file: &Path) -> PathBuf {
    let stem = table_file.file_stem().unwrap_or_default().to_string_lossy();
    table_file.with_file_name(format!("_{stem}.{EXTENSION}"))
}

/// The table file to which a side file, finished or not, belongs; `None` for a file that is no side file.
pub(crate) fn table_file_of(path: &Path) -> Option<PathBuf> {
    let is_side_file = path.extension().is_some_and(|found| found == EXTENSION || found == UNFINISHED);
    let stem = path.file_stem()?.to_str()?.strip_prefix('_')?;
    is_side_file.then(|| path.with_file_name(format!("{stem}.parquet")))
}

/// Removes the side file of a table file.
pub(crate) fn remove_with(table_file: &Path) {
    let path = side_path(table_file);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a side file was not removed");
    }
}

/// What is known of the work on side files.
#[derive(Default)]
pub(crate) struct SideFiles {
    /// Whether there may be table files without.
    is_due: Mutex<bool>,
    woken: Condvar,
    /// Held by whoever makes them: the table files of which none can be made. They are not tried again before the next
    /// start.
    left_alone: Mutex<HashSet<PathBuf>>,
}

impl SideFiles {
    /// Has table files looked for that have no side files yet.
    pub fn wake(&self) {
        *self.is_due.lock() = true;
        self.woken.notify_all();
    }

    /// Waits until there may be table files without.
    fn wait(&self, is_wanted: &dyn Fn() -> bool) {
        let since = Instant::now();
        let mut is_due = self.is_due.lock();
        while !*is_due && is_wanted() && since.elapsed() < CHECK_INTERVAL {
            self.woken.wait_for(&mut is_due, END_CHECK_INTERVAL);
        }
        *is_due = false;
    }
}

impl Workspaces {
    /// Starts the thread that makes side files. It ends when the workspaces are closed or nobody has them any more.
    pub(crate) fn start_side_files(&self) -> std::io::Result<JoinHandle<()>> {
        let (inner, tables) = (Arc::downgrade(&self.inner), self.shared().clone());
        std::thread::Builder::new().name("side-files".to_owned()).spawn(move || {
            if let Err(error) = rustix::process::nice(NICE_MOST) {
                tracing::warn!(%error, "side files are made at the usual priority");
            }
            let is_wanted = || inner.strong_count() > 0 && !tables.stopping.load(Ordering::Relaxed);
            while is_wanted() {
                make_all(&tables, &is_wanted);
                tables.side_files.wait(&is_wanted);
            }
        })
    }

    /// Makes the side files that are missing, as is done in the background all the time. What cannot be made is logged.
    pub async fn make_side_files(&self) -> Result<()> {
        let tables = self.shared().clone();
        let making = tokio::task::spawn_blocking(move || {
            make_all(&tables, &|| !tables.stopping.load(Ordering::Relaxed));
        });
        making.await.map_err(|e| Error::Stopped(e.to_string()))
    }
}

/// Makes the side files that are missing as long as they are wanted, those of the newest files first.
fn make_all(tables: &Tables, is_wanted: &dyn Fn() -> bool) {
    let mut left_alone = tables.side_files.left_alone.lock();
    for (layout, file) in missing(tables, &mut left_alone) {
        if !is_wanted() {
            return;
        }
        let path = file.path().to_owned();
        if disk_bytes(&path).is_some_and(|disk| disk.free < disk.total / DISK_FREE_SHARE_MIN) {
            return;
        }
        match make(&layout, &file, &tables.cache, is_wanted) {
            Ok(()) => {}
            Err(error) if is_wanted() => {
                tracing::warn!(path = %path.display(), %error, "the side file of a table file cannot be made");
                // The disk may have room again later.
                if !matches!(error, Error::Io { .. }) {
                    left_alone.insert(path);
                }
            }
            Err(_) => return,
        }
    }
}

/// The table files that have no side file and can get one, the newest first.
fn missing(tables: &Tables, left_alone: &mut HashSet<PathBuf>) -> Vec<(Arc<Layout>, DataFile)> {
    let (mut missing, mut known) = (Vec::new(), HashSet::new());
    for state in tables.all() {
        let (layout, files) = {
            let rows = state.rows.read();
            (rows.layout.clone(), rows.files.clone())
        };
        for file in files.iter().filter(|file| file.rows >= ROWS_MIN) {
            if left_alone.contains(file.path()) {
                known.insert(file.path().to_owned());
            } else if !side_path(file.path()).exists() {
                missing.push((layout.clone(), file.clone()));
            }
        }
    }
    left_alone.retain(|path| known.contains(path));
    missing.sort_by_key(|(_, file)| Reverse(file.written_ticks));
    missing
}

/// Makes the side file of a table file. That it is not wanted any more is an error like others: there is none then.
fn make(layout: &Arc<Layout>, file: &DataFile, cache: &SegmentCache, is_wanted: &dyn Fn() -> bool) -> Result<()> {
    let path = side_path(file.path());
    let unfinished = path.with_extension(UNFINISHED);
    let written = write(layout, file, cache, &unfinished, is_wanted);
    let made = written.and_then(|()| std::fs::rename(&unfinished, &path).map_err(at(&path)));
    // There may be none.
    made.inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
}

fn write(
    layout: &Arc<Layout>,
    file: &DataFile,
    cache: &SegmentCache,
    path: &Path,
    is_wanted: &dyn Fn() -> bool,
) -> Result<()> {
    let go_on = || match is_wanted() {
        true => Ok(()),
        false => Err(Error::Stopped("the program ends".to_owned())),
    };
    let mut writer = SideWriter::create(path)?;
    let is_text = |column: &&Column| matches!(column.column_type, Type::String | Type::Dynamic | Type::Guid);
    // Not the footer of the cache, which has room for those that queries read.
    let footer = Arc::new(Footer::read(file.path())?);
    for segment in FileSegment::of_footer(layout, file, &footer, cache) {
        writer.row_group(segment.rows());
        for column in layout.stored.iter().filter(is_text) {
            go_on()?;
            if segment.stored_bytes(column) > COLUMN_BYTES_MAX {
                continue;
            }
            let Some(stored) = segment.read_stored(column)? else { continue };
            let texts = stored.column_by_name(&column.name).and_then(|texts| texts.as_string_view_opt());
            let Some(texts) = texts else { continue };
            if let Some(terms) = Terms::of_texts(texts, column.column_type == Type::Dynamic) {
                writer.terms(&column.name, &terms)?;
            }
            go_on()?;
            for (path, member) in members::of_texts(texts, &members::choose(texts)) {
                writer.member(&column.name, &path, &member)?;
            }
        }
    }
    writer.finish()
}
