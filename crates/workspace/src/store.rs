//! The workspace itself: opening, tables, reading, flushing.

use crate::catalog_file::{CatalogFile, DatabaseEntry, TableEntry, TableSchema, check_name};
use crate::delta::{DataFile, DeltaFiles};
use crate::error::{Error, Result, at};
use crate::hot::{HotRows, reshape};
use crate::ids::RecentIds;
use crate::log::Log;
use crate::scan::{TableSnapshot, WorkspaceTable};
use crate::writer::{Append, Appended, Request, Writer};
use arrow::array::RecordBatch;
use engine::catalog::{Catalog, Table};
use engine::types::{Column, arrow_schema};
use kql::datetime;
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_SECOND};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often the flusher looks for tables that are due.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Appends are refused while more bytes than this wait in memory.
const HOT_BYTES_MAX: usize = 1 << 30;

/// When hot rows go to files.
#[derive(Debug, Clone)]
pub struct Options {
    /// A table with so many hot rows is flushed.
    pub flush_rows: usize,
    /// A table whose hot rows take so many bytes is flushed.
    pub flush_bytes: usize,
    /// A table whose oldest hot row has waited so long is flushed.
    pub flush_seconds: u64,
    /// Names that a table answers to besides its own, as `Solution.Table`.
    pub solution: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { flush_rows: 250_000, flush_bytes: 128 << 20, flush_seconds: 300, solution: None }
    }
}

/// A table's numbers.
#[derive(Debug, Clone)]
pub struct TableInfo {
    pub name: String,
    pub columns: Vec<Column>,
    pub hot_rows: usize,
    pub files: usize,
}

/// All databases of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct Workspaces {
    inner: Arc<Inner>,
}

struct Inner {
    tables: Arc<Tables>,
    catalog: Mutex<CatalogFile>,
    folder: PathBuf,
    options: Options,
    requests: Mutex<mpsc::Sender<Request>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Held while the folder is open; the lock goes with it.
    _lock: File,
}

/// The tables, shared with the thread that writes the log.
pub(crate) struct Tables {
    databases: RwLock<BTreeMap<String, BTreeMap<String, Arc<TableState>>>>,
    solution: Option<String>,
}

struct TableState {
    columns: Vec<Column>,
    rows: RwLock<Rows>,
    /// Held for the length of a flush, and at its start while the files are opened.
    delta: tokio::sync::Mutex<DeltaFiles>,
}

/// Where a table's rows are. Changed as a whole, so that a query sees each row once.
#[derive(Clone)]
struct Rows {
    files: Arc<Vec<DataFile>>,
    /// Rows that a flush is writing.
    flushing: HotRows,
    hot: HotRows,
    flushed: u64,
}

impl Tables {
    fn get(&self, database: &str, table: &str) -> Result<Arc<TableState>> {
        let databases = self.databases.read();
        let tables = databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        tables.get(table).cloned().ok_or_else(|| Error::NoTable(table.to_owned()))
    }

    /// Rows under the columns of their table.
    pub fn shape(&self, database: &str, table: &str, batch: &RecordBatch) -> Result<RecordBatch> {
        let state = self.get(database, table)?;
        let waiting = {
            let rows = state.rows.read();
            rows.hot.bytes + rows.flushing.bytes
        };
        if waiting > HOT_BYTES_MAX {
            return Err(Error::Overloaded);
        }
        Ok(reshape(batch, &arrow_schema(&state.columns)))
    }

    pub fn push_hot(&self, database: &str, table: &str, sequence: u64, batch: RecordBatch) {
        if let Ok(state) = self.get(database, table) {
            let shaped = reshape(&batch, &arrow_schema(&state.columns));
            state.rows.write().hot.push(sequence, shaped, datetime::now());
        }
    }

    /// The sequence number up to which a table's rows are in files; `None` for a table that is gone.
    pub fn flushed(&self, database: &str, table: &str) -> Option<u64> {
        self.get(database, table).ok().map(|state| state.rows.read().flushed)
    }

    fn resolve<'n>(&self, name: &'n str) -> &'n str {
        match (&self.solution, name.split_once('.')) {
            (Some(solution), Some((prefix, table))) if prefix == solution => table,
            _ => name,
        }
    }
}

impl Catalog for Tables {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        let state = self.get(database, self.resolve(name)).ok()?;
        let rows = state.rows.read().clone();
        let mut hot = rows.flushing.batches();
        hot.extend(rows.hot.batches());
        let snapshot = TableSnapshot { columns: state.columns.clone(), files: rows.files, hot };
        Some(Table { columns: state.columns.clone(), provider: Arc::new(WorkspaceTable::new(snapshot)) })
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        self.databases.read().get(database).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    }

    fn has_database(&self, database: &str) -> bool {
        self.databases.read().contains_key(database)
    }
}

impl Workspaces {
    /// Opens a data folder, or makes it. Reads the log; when this returns, every row that was ever acknowledged is
    /// visible.
    pub async fn open(folder: &Path, options: Options) -> Result<Workspaces> {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let folder = folder.canonicalize().map_err(at(folder))?;
        let lock = lock_folder(&folder)?;
        let catalog = CatalogFile::load(&folder)?;
        let tables = Tables { databases: RwLock::default(), solution: options.solution.clone() };
        for (database, entry) in &catalog.databases {
            let mut states = BTreeMap::new();
            for (name, table) in &entry.tables {
                let state = open_table(&folder, database, &table.folder, table.columns()).await?;
                states.insert(name.clone(), Arc::new(state));
            }
            tables.databases.write().insert(database.clone(), states);
        }
        let tables = Arc::new(tables);
        let (log, records) = Log::open(&folder)?;
        let mut ids = RecentIds::open(&folder, datetime::now() / TICKS_PER_DAY)?;
        for record in records {
            for rows in record.tables {
                // Rows of a table that was dropped have nowhere to go.
                let flushed = tables.flushed(&rows.database, &rows.table).unwrap_or(u64::MAX);
                if record.sequence > flushed {
                    tables.push_hot(&rows.database, &rows.table, record.sequence, rows.batch);
                }
            }
            record.ids.into_iter().for_each(|id| ids.insert(id));
        }
        let (requests, received) = mpsc::channel();
        let writer = Writer { log, ids, tables: tables.clone() };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(at(&folder))?;
        let inner = Inner {
            tables,
            catalog: Mutex::new(catalog),
            folder,
            options,
            requests: Mutex::new(requests),
            thread: Mutex::new(Some(thread)),
            _lock: lock,
        };
        let workspaces = Workspaces { inner: Arc::new(inner) };
        workspaces.start_flusher();
        Ok(workspaces)
    }

    /// The tables, for queries.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        self.inner.tables.clone()
    }

    pub fn databases(&self) -> Vec<String> {
        self.inner.tables.databases.read().keys().cloned().collect()
    }

    pub fn tables(&self, database: &str) -> Result<Vec<TableInfo>> {
        let databases = self.inner.tables.databases.read();
        let tables = databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        let info = |(name, state): (&String, &Arc<TableState>)| {
            let rows = state.rows.read();
            TableInfo {
                name: name.clone(),
                columns: state.columns.clone(),
                hot_rows: rows.hot.rows + rows.flushing.rows,
                files: rows.files.len(),
            }
        };
        Ok(tables.iter().map(info).collect())
    }

    /// The columns of a table.
    pub fn columns(&self, database: &str, table: &str) -> Result<Vec<Column>> {
        Ok(self.inner.tables.get(database, self.inner.tables.resolve(table))?.columns.clone())
    }

    /// Makes a database, if there is none of that name.
    pub fn create_database(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut catalog = self.inner.catalog.lock();
        if !catalog.databases.contains_key(name) {
            catalog.databases.insert(name.to_owned(), DatabaseEntry::default());
            catalog.save(&self.inner.folder)?;
            self.inner.tables.databases.write().insert(name.to_owned(), BTreeMap::new());
        }
        Ok(())
    }

    /// Makes a table, or adds the columns that it lacks. A column of another type is an error.
    pub async fn create_merge_table(&self, database: &str, schema: &TableSchema) -> Result<Vec<Column>> {
        check_name(&schema.name)?;
        schema.columns.iter().try_for_each(|c| check_column(&c.name))?;
        let (mut columns, folder) = {
            let catalog = self.inner.catalog.lock();
            let entry = catalog.databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
            match entry.tables.get(&schema.name) {
                Some(table) => (table.columns(), table.folder.clone()),
                None => (Vec::new(), format!("{}-{}", schema.name, &uuid::Uuid::new_v4().simple().to_string()[..8])),
            }
        };
        let known = columns.len();
        for column in &schema.columns {
            match columns.iter().find(|c| c.name == column.name) {
                None => columns.push(column.clone()),
                Some(existing) if existing.column_type != column.column_type => {
                    return Err(Error::ColumnType {
                        table: schema.name.clone(),
                        column: column.name.clone(),
                        existing: existing.column_type,
                        wanted: column.column_type,
                    });
                }
                Some(_) => {}
            }
        }
        if known > 0 && columns.len() == known {
            return Ok(columns);
        }
        // A flush of the table as it was must not end after the switch to the table as it will be.
        let old = self.inner.tables.get(database, &schema.name).ok();
        let old_flush = match &old {
            Some(state) => Some(state.delta.lock().await),
            None => None,
        };
        let state = open_table(&self.inner.folder, database, &folder, columns.clone()).await?;
        let mut catalog = self.inner.catalog.lock();
        let entry = TableEntry::new(folder, &columns);
        if let Some(database) = catalog.databases.get_mut(database) {
            database.tables.insert(schema.name.clone(), entry);
        }
        catalog.save(&self.inner.folder)?;
        let mut databases = self.inner.tables.databases.write();
        if let Some(tables) = databases.get_mut(database) {
            if let Some(old) = tables.get(&schema.name) {
                let arrow = arrow_schema(&columns);
                let rows = old.rows.read();
                let mut moved = state.rows.write();
                moved.hot = rows.hot.reshaped(&arrow);
                moved.flushing = rows.flushing.reshaped(&arrow);
            }
            tables.insert(schema.name.clone(), Arc::new(state));
        }
        drop(old_flush);
        Ok(columns)
    }

    /// Drops a table and its files; false when there is none.
    pub async fn drop_table(&self, database: &str, table: &str) -> Result<bool> {
        let Ok(state) = self.inner.tables.get(database, table) else { return Ok(false) };
        let _flush = state.delta.lock().await;
        let folder = {
            let mut catalog = self.inner.catalog.lock();
            let entry = catalog.databases.get_mut(database).and_then(|d| d.tables.remove(table));
            catalog.save(&self.inner.folder)?;
            entry.map(|e| table_folder(&self.inner.folder, database, &e.folder))
        };
        if let Some(tables) = self.inner.tables.databases.write().get_mut(database) {
            tables.remove(table);
        }
        if let Some(folder) = folder {
            std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        Ok(true)
    }

    /// Stores rows. When this returns they are on disk and every later query sees them.
    pub async fn append(&self, append: Append) -> Result<Appended> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::Stopped("it was closed".to_owned());
        self.inner.requests.lock().send(Request::Append { append, reply }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Removes the files of a table whose rows are all older than `oldest_ticks`, by the time column.
    pub async fn drop_older_than(&self, database: &str, table: &str, oldest_ticks: i64) -> Result<()> {
        let state = self.inner.tables.get(database, table)?;
        let mut delta = state.delta.lock().await;
        let is_old = |file: &DataFile| file.times.is_some_and(|(_, greatest)| greatest < oldest_ticks);
        let (old, kept) = state.rows.read().files.iter().cloned().partition::<Vec<_>, _>(is_old);
        if old.is_empty() {
            return Ok(());
        }
        // First out of sight of new queries, then off the disk.
        state.rows.write().files = Arc::new(kept);
        let paths: Vec<PathBuf> = old.into_iter().map(|f| f.path).collect();
        delta.remove(&paths).await
    }

    /// Moves the hot rows of all tables to files.
    pub async fn flush(&self) -> Result<()> {
        self.flush_due(|_| true).await
    }

    /// Stops the writer after what it has been given. The folder can be opened again when all clones are gone.
    pub async fn close(&self) {
        let _ = self.inner.requests.lock().send(Request::Stop);
        let thread = self.inner.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn start_flusher(&self) {
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(FLUSH_CHECK_INTERVAL).await;
                let Some(inner) = inner.upgrade() else { break };
                let workspaces = Workspaces { inner };
                let options = workspaces.inner.options.clone();
                let due = move |hot: &HotRows| {
                    let waited = hot.since_ticks.map_or(0, |since| (datetime::now() - since) / TICKS_PER_SECOND);
                    hot.rows >= options.flush_rows
                        || hot.bytes >= options.flush_bytes
                        || waited >= i64::try_from(options.flush_seconds).unwrap_or(i64::MAX)
                };
                if let Err(error) = workspaces.flush_due(due).await {
                    tracing::error!(%error, "failed to move rows to table files; they stay in the log");
                }
            }
        });
    }

    async fn flush_due(&self, due: impl Fn(&HotRows) -> bool) -> Result<()> {
        let states: Vec<Arc<TableState>> =
            self.inner.tables.databases.read().values().flat_map(|t| t.values().cloned()).collect();
        let mut flushed = false;
        for state in states {
            let is_due = {
                let rows = state.rows.read();
                rows.flushing.rows > 0 || (rows.hot.rows > 0 && due(&rows.hot))
            };
            if is_due {
                flush_table(&state).await?;
                flushed = true;
            }
        }
        if flushed {
            let _ = self.inner.requests.lock().send(Request::Trim);
        }
        Ok(())
    }
}

async fn flush_table(state: &TableState) -> Result<()> {
    let mut delta = state.delta.lock().await;
    let taken = {
        let mut rows = state.rows.write();
        // What an earlier flush failed to write goes first, by itself, under its own sequence number.
        if rows.flushing.rows == 0 {
            rows.flushing = std::mem::take(&mut rows.hot);
        }
        rows.flushing.clone()
    };
    let Some(sequence) = taken.last_sequence() else { return Ok(()) };
    let written = delta.flush(&state.columns, taken.batches(), sequence).await?;
    let mut rows = state.rows.write();
    let mut files = rows.files.as_ref().clone();
    files.extend(written);
    rows.files = Arc::new(files);
    rows.flushing = HotRows::default();
    rows.flushed = sequence;
    Ok(())
}

fn table_folder(data: &Path, database: &str, folder: &str) -> PathBuf {
    data.join("tables").join(database).join(folder)
}

async fn open_table(data: &Path, database: &str, folder: &str, columns: Vec<Column>) -> Result<TableState> {
    let folder = table_folder(data, database, folder);
    std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    let (delta, files) = DeltaFiles::open(&folder, &columns).await?;
    let rows =
        Rows { files: Arc::new(files), flushing: HotRows::default(), hot: HotRows::default(), flushed: delta.flushed };
    Ok(TableState { columns, rows: RwLock::new(rows), delta: tokio::sync::Mutex::new(delta) })
}

/// Column names may be any text but the ones that table files use themselves.
fn check_column(name: &str) -> Result<()> {
    let own = [crate::storage::TICKS_COLUMN, crate::storage::DAY_COLUMN];
    if name.is_empty() || own.contains(&name) { Err(Error::BadName(name.to_owned())) } else { Ok(()) }
}

/// Takes the folder for this process.
fn lock_folder(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(at(&path))?;
    file.try_lock().map_err(|_| Error::InUse(folder.to_owned()))?;
    Ok(file)
}
