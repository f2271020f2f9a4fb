//! The workspace itself: opening, tables, reading, flushing.

use crate::admission::{Admission, Arriving, check, default_bytes_max};
use crate::cache::SegmentCache;
use crate::catalog_file::{
    CatalogFile, DatabaseEntry, FunctionEntry, MappingEntry, Notes, TableEntry, TableSchema, check_name,
};
use crate::delta::{DeltaFiles, unlink_later};
use crate::error::{Error, Result, at};
use crate::hot::reshape;
use crate::ids::RecentIds;
use crate::layout::Layout;
use crate::log::{Log, TableKey};
use crate::machine::memory_bytes;
use crate::scan::WorkspaceTable;
use crate::side::SideFiles;
use crate::snapshot::remove_snapshots;
use crate::storage::{DAY_COLUMN, TICKS_COLUMN};
use crate::table::{FlushBounds, Rows, TableState};
use crate::table_file::TIME_COLUMN;
use crate::usage::Usage;
use crate::writer::{Append, Appended, Request, Shaped, Writer};
use arrow::array::RecordBatch;
use engine::catalog::{Catalog, StoredFunction, Table};
use engine::types::Column;
use futures::StreamExt;
use kql::datetime;
use kql::timespan::TICKS_PER_DAY;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the flusher looks for tables that are due, when nothing wakes it.
const FLUSH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// After a flush that failed the table waits so long before it is tried again.
const FLUSH_RETRY: Duration = Duration::from_secs(30);
/// Below this share of `waiting_bytes_max`, as a divisor, hot rows wait for what makes them due.
const PRESSURE_SHARE: usize = 2;
/// Smaller appends are encoded where they are, larger ones on a thread for such work.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// The columns of files that are kept take at most one part in so many of the machine's memory.
const CACHE_SHARE: usize = 3;

/// When hot rows go to files, and what may be held in memory.
#[derive(Debug, Clone)]
pub struct Options {
    /// A table with so many hot rows is flushed.
    pub flush_rows: usize,
    /// A table whose hot rows take so many bytes is flushed.
    pub flush_bytes: usize,
    /// A table whose oldest hot row has waited so long is flushed.
    pub flush_seconds: u64,
    /// Columns of table files that queries have read are kept in memory up to so many bytes.
    pub cache_bytes: usize,
    /// A table with more than a few hot rows to which none came for so long is flushed.
    pub flush_quiet_seconds: u64,
    /// How often files are looked through for what can be merged or is too old.
    pub maintenance_seconds: u64,
    /// So many tables are flushed at the same time, each by one thread. What they take of the machine is not there for
    /// ingestion.
    pub flush_threads: usize,
    /// Rows that wait in memory and requests that are being read may take so many bytes. Beyond, requests are refused.
    pub waiting_bytes_max: usize,
    /// A name that queries may put before a table's own, as `Solution.Table`.
    pub solution: Option<String>,
    /// Tables whose rows nobody can change or remove.
    pub append_only: Vec<AppendOnly>,
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            flush_rows: 1_000_000,
            flush_bytes: 256 << 20,
            flush_seconds: 300,
            flush_quiet_seconds: 1,
            maintenance_seconds: 60,
            flush_threads: (processors / 2).max(1),
            waiting_bytes_max: default_bytes_max(),
            cache_bytes: memory_bytes() / CACHE_SHARE,
            solution: None,
            append_only: Vec::new(),
        }
    }
}

/// A table whose rows, columns and age nobody changes but the program itself.
#[derive(Debug, Clone)]
pub struct AppendOnly {
    pub database: String,
    pub table: String,
    /// Rows go after so many days; `None` where the program removes them itself.
    pub days: Option<u32>,
}

/// A table's numbers.
#[derive(Debug, Clone)]
pub struct TableInfo {
    pub name: String,
    pub columns: Vec<Column>,
    pub notes: Notes,
    /// Rows that are in the log and not yet in files.
    pub hot_rows: usize,
    pub files: usize,
    pub file_rows: u64,
    pub file_bytes: u64,
    /// When the oldest and the newest file were written.
    pub written_ticks: Option<(i64, i64)>,
}

/// All databases of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct Workspaces {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub tables: Arc<Tables>,
    /// Held by whoever changes which tables and columns there are.
    pub catalog: tokio::sync::Mutex<CatalogFile>,
    pub folder: PathBuf,
    pub requests: Mutex<mpsc::Sender<Request>>,
    /// The one that writes the log and the one that makes side files.
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Held while the folder is open; the lock goes with it.
    _lock: File,
}

/// The tables, shared with the thread that writes the log.
pub(crate) struct Tables {
    databases: RwLock<BTreeMap<String, BTreeMap<String, Arc<TableState>>>>,
    /// By database and name.
    functions: RwLock<BTreeMap<String, BTreeMap<String, Arc<StoredFunction>>>>,
    pub options: Options,
    /// Requests that are being read.
    arriving: Arriving,
    /// Wakes the flusher.
    is_due: tokio::sync::Notify,
    /// What queries have read of table files.
    pub cache: SegmentCache,
    pub side_files: SideFiles,
    pub usage: Mutex<Usage>,
    /// By database, the bytes that may come in a day.
    pub quotas: RwLock<BTreeMap<String, u64>>,
    /// Set when the program ends: what is done in the background stops.
    pub stopping: Arc<AtomicBool>,
}

impl Tables {
    pub fn get(&self, database: &str, table: &str) -> Result<Arc<TableState>> {
        let databases = self.databases.read();
        let tables = databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        tables.get(table).cloned().ok_or_else(|| Error::NoTable(table.to_owned()))
    }

    /// The table that `key` names, unless it has been dropped.
    fn of_key(&self, key: &TableKey) -> Option<Arc<TableState>> {
        self.get(&key.database, &key.table).ok().filter(|state| state.folder == key.folder)
    }

    /// Rows under the columns of their table, and which table that is.
    pub fn shape(&self, database: &str, table: &str, batch: &RecordBatch) -> Result<(TableKey, RecordBatch)> {
        let name = self.resolve(table);
        let state = self.get(database, name)?;
        let layout = state.rows.read().layout.clone();
        let key = TableKey { database: database.to_owned(), table: name.to_owned(), folder: state.folder.clone() };
        Ok((key, reshape(batch, &layout.columns)?))
    }

    /// Makes room for a request of so many bytes.
    fn admit(&self, bytes: usize) -> Result<Admission> {
        let held = self.waiting_bytes() + self.arriving.bytes();
        check(bytes, held, self.options.waiting_bytes_max).inspect_err(|_| self.is_due.notify_one())?;
        Ok(self.arriving.admit(bytes))
    }

    fn waiting_bytes(&self) -> usize {
        let databases = self.databases.read();
        databases.values().flat_map(BTreeMap::values).map(|state| state.rows.read().waiting_bytes()).sum()
    }

    fn flush_bounds(&self) -> FlushBounds {
        let bytes = self.waiting_bytes();
        let held = bytes + self.arriving.bytes();
        let is_pressed = held.saturating_mul(PRESSURE_SHARE) > self.options.waiting_bytes_max;
        let pressed_bytes = is_pressed.then(|| {
            let count = self.all().iter().filter(|state| state.rows.read().hot.rows > 0).count();
            bytes / count.max(1)
        });
        let Options { flush_rows: rows, flush_bytes: bytes, .. } = self.options;
        let Options { flush_seconds: seconds, flush_quiet_seconds: quiet_seconds, .. } = self.options;
        FlushBounds { rows, bytes, seconds, quiet_seconds, pressed_bytes }
    }

    /// Shows rows that are in the log to queries. Rows of a table that was dropped have nowhere to go.
    pub fn push_hot(&self, key: &TableKey, sequence: u64, batch: &RecordBatch) {
        let Some(state) = self.of_key(key) else { return };
        let mut rows = state.rows.write();
        // Columns may have been added since the batch was shaped.
        match reshape(batch, &rows.layout.columns) {
            Ok(shaped) => {
                rows.hot.push(sequence, shaped, Instant::now());
                if rows.hot.rows >= self.options.flush_rows || rows.hot.bytes >= self.options.flush_bytes {
                    self.is_due.notify_one();
                }
            }
            Err(error) => tracing::error!(%error, table = key.table, "rows of the log do not fit their table"),
        }
    }

    /// The sequence number up to which a table's rows are in files; `None` for a table that is gone.
    pub fn flushed(&self, key: &TableKey) -> Option<u64> {
        self.of_key(key).map(|state| state.rows.read().flushed)
    }

    fn keep_function(&self, database: &str, function: StoredFunction) {
        let mut functions = self.functions.write();
        functions.entry(database.to_owned()).or_default().insert(function.name.clone(), Arc::new(function));
    }

    pub fn resolve<'n>(&self, name: &'n str) -> &'n str {
        match (&self.options.solution, name.split_once('.')) {
            (Some(solution), Some((prefix, table))) if prefix == solution => table,
            _ => name,
        }
    }

    /// The tables of a database, by name.
    pub fn of_database(&self, database: &str) -> Vec<(String, Arc<TableState>)> {
        let databases = self.databases.read();
        databases.get(database).into_iter().flatten().map(|(name, state)| (name.clone(), state.clone())).collect()
    }

    pub fn all(&self) -> Vec<Arc<TableState>> {
        self.databases.read().values().flat_map(|t| t.values().cloned()).collect()
    }
}

impl Catalog for Tables {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        let state = self.get(database, self.resolve(name)).ok()?;
        let rows = state.rows.read().clone();
        let hot = rows.flushing.pieces().chain(rows.hot.pieces()).collect();
        let columns = rows.layout.columns.clone();
        let table = WorkspaceTable { layout: rows.layout, files: rows.files, hot, cache: self.cache.clone() };
        Some(Table { columns, provider: Arc::new(table) })
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        self.functions.read().get(database).map(|functions| functions.values().cloned().collect()).unwrap_or_default()
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        self.databases.read().get(database).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    }

    fn database_names(&self) -> Vec<String> {
        self.databases.read().keys().cloned().collect()
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
        remove_dropped(&folder, &catalog)?;
        remove_snapshots(&folder)?;
        let tables = Tables {
            databases: RwLock::default(),
            functions: RwLock::default(),
            cache: SegmentCache::new(options.cache_bytes),
            options,
            arriving: Arriving::default(),
            is_due: tokio::sync::Notify::new(),
            side_files: SideFiles::default(),
            usage: Mutex::new(Usage::open(&folder)?),
            quotas: RwLock::default(),
            stopping: Arc::default(),
        };
        let mut flushed_most = 0;
        for (database, entry) in &catalog.databases {
            let mut states = BTreeMap::new();
            for (name, table) in &entry.tables {
                let delta = DeltaFiles::open(&table_folder(&folder, database, &table.folder)).await?;
                flushed_most = flushed_most.max(delta.flushed);
                let state = TableState::new(table.folder.clone(), table.layout(), delta);
                states.insert(name.clone(), Arc::new(state));
            }
            tables.databases.write().insert(database.clone(), states);
            tables.quotas.write().extend(entry.daily_quota_bytes.map(|quota| (database.clone(), quota)));
            for (name, function) in &entry.functions {
                match read_function(name, function) {
                    Ok(function) => tables.keep_function(database, function),
                    Err(error) => tracing::error!(%error, name, "a stored function cannot be read and is left out"),
                }
            }
        }
        let tables = Arc::new(tables);
        let (log, records) = Log::open(&folder, flushed_most + 1)?;
        let mut ids = RecentIds::open(&folder, datetime::now() / TICKS_PER_DAY)?;
        for record in records {
            let is_counted = tables.usage.lock().counts(record.sequence);
            for rows in record.tables {
                if !is_counted {
                    tables.usage.lock().count(&rows.key, record.sequence, &rows.batch, datetime::now());
                }
                if tables.flushed(&rows.key).is_some_and(|flushed| record.sequence > flushed) {
                    tables.push_hot(&rows.key, record.sequence, &rows.batch);
                }
            }
            record.ids.iter().for_each(|id| ids.insert(*id));
            ids.logged(&record.ids);
        }
        let (requests, received) = mpsc::channel();
        let writer = Writer { log, ids, tables: tables.clone(), is_disk_full: false };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(at(&folder))?;
        let inner = Inner {
            tables,
            catalog: tokio::sync::Mutex::new(catalog),
            folder,
            requests: Mutex::new(requests),
            threads: Mutex::new(vec![thread]),
            _lock: lock,
        };
        let workspaces = Workspaces { inner: Arc::new(inner) };
        let thread = workspaces.start_side_files().map_err(at(&workspaces.inner.folder))?;
        workspaces.inner.threads.lock().push(thread);
        workspaces.start_flusher();
        workspaces.start_maintenance();
        Ok(workspaces)
    }

    pub(crate) fn shared(&self) -> &Arc<Tables> {
        &self.inner.tables
    }

    /// The tables, for queries.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        self.inner.tables.clone()
    }

    pub fn databases(&self) -> Vec<String> {
        self.inner.tables.databases.read().keys().cloned().collect()
    }

    /// The tables of a database, by name.
    pub async fn tables(&self, database: &str) -> Result<Vec<TableInfo>> {
        let catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database);
        let notes = |name: &String| entry.and_then(|e| e.tables.get(name)).map(|t| t.notes.clone()).unwrap_or_default();
        let databases = self.inner.tables.databases.read();
        let tables = databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        let info = |(name, state): (&String, &Arc<TableState>)| {
            let rows = state.rows.read();
            let written = rows.files.iter().map(|file| file.written_ticks);
            TableInfo {
                name: name.clone(),
                columns: rows.layout.columns.clone(),
                notes: notes(name),
                hot_rows: rows.waiting_rows(),
                files: rows.files.len(),
                file_rows: rows.files.iter().map(|file| file.rows).sum(),
                file_bytes: rows.files.iter().map(|file| file.bytes).sum(),
                written_ticks: written.clone().min().zip(written.max()),
            }
        };
        Ok(tables.iter().map(info).collect())
    }

    /// The columns of a table.
    pub fn columns(&self, database: &str, table: &str) -> Result<Vec<Column>> {
        let state = self.inner.tables.get(database, self.inner.tables.resolve(table))?;
        let columns = state.rows.read().layout.columns.clone();
        Ok(columns)
    }

    /// Makes a database, if there is none of that name.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut catalog = self.inner.catalog.lock().await;
        // Whoever compares names without regard to case must not take one for another.
        if let Some(other) = catalog.databases.keys().find(|known| *known != name && known.eq_ignore_ascii_case(name)) {
            return Err(Error::TakenName { name: name.to_owned(), other: other.clone() });
        }
        if !catalog.databases.contains_key(name) {
            self.change(&mut catalog, |c| {
                c.databases.insert(name.to_owned(), DatabaseEntry::default());
            })?;
            self.inner.tables.databases.write().insert(name.to_owned(), BTreeMap::new());
        }
        Ok(())
    }

    /// Changes the catalog, on disk first.
    pub(crate) fn change(&self, catalog: &mut CatalogFile, change: impl FnOnce(&mut CatalogFile)) -> Result<()> {
        let mut next = catalog.clone();
        change(&mut next);
        next.save(&self.inner.folder)?;
        *catalog = next;
        Ok(())
    }

    /// Makes a table, or adds the columns that it lacks. A column of another type is an error. The columns that the
    /// table then has.
    pub async fn create_merge_table(&self, database: &str, schema: &TableSchema) -> Result<Vec<Column>> {
        let mut catalog = self.inner.catalog.lock().await;
        self.merge_table(&mut catalog, database, schema).await
    }

    async fn merge_table(
        &self,
        catalog: &mut CatalogFile,
        database: &str,
        schema: &TableSchema,
    ) -> Result<Vec<Column>> {
        check_name(&schema.name)?;
        let existing = match self.inner.tables.get(database, &schema.name) {
            Ok(state) => Some(state),
            Err(Error::NoTable(_)) => None,
            Err(error) => return Err(error),
        };
        let known = existing.as_ref().map(|state| state.rows.read().layout.columns.clone()).unwrap_or_default();
        let columns = merge_columns(&schema.name, known.clone(), &schema.columns)?;
        let (database_name, name) = (database.to_owned(), schema.name.clone());
        match existing {
            Some(_) if columns.len() == known.len() => {}
            Some(state) => self.change_layout(catalog, database, &name, &state, columns.clone()).await?,
            None => {
                let layout = Layout::new(columns.clone());
                let folder = format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
                let delta = DeltaFiles::create(&table_folder(&self.inner.folder, database, &folder), &layout).await?;
                let entry = TableEntry::new(folder.clone(), &layout);
                self.change(catalog, |c| {
                    c.databases.entry(database_name.clone()).or_default().tables.insert(name.clone(), entry);
                })?;
                let state = Arc::new(TableState::new(folder, layout, delta));
                self.inner.tables.databases.write().entry(database_name).or_default().insert(name, state);
            }
        }
        Ok(columns)
    }

    /// Puts the columns of a table into another order, and adds to them. A column left out is an error: its rows would
    /// be lost.
    pub async fn alter_table(&self, database: &str, schema: &TableSchema) -> Result<Vec<Column>> {
        self.check_changeable(database, &schema.name)?;
        let mut catalog = self.inner.catalog.lock().await;
        let known = self.columns(database, &schema.name)?;
        for (i, column) in schema.columns.iter().enumerate() {
            if schema.columns[..i].iter().any(|before| before.name == column.name) {
                return Err(Error::BadColumn(format!("the column '{}' is named twice", column.name)));
            }
        }
        if let Some(left_out) = known.iter().find(|c| schema.columns.iter().all(|wanted| wanted.name != c.name)) {
            let message = format!("the column '{}' cannot be dropped; name it too", left_out.name);
            return Err(Error::BadColumn(message));
        }
        self.merge_table(&mut catalog, database, schema).await?;
        let state = self.inner.tables.get(database, &schema.name)?;
        self.change_layout(&mut catalog, database, &schema.name, &state, schema.columns.clone()).await?;
        Ok(schema.columns.clone())
    }

    /// Shows the columns of a table as `columns`, among which all of its own are.
    async fn change_layout(
        &self,
        catalog: &mut CatalogFile,
        database: &str,
        name: &str,
        state: &TableState,
        columns: Vec<Column>,
    ) -> Result<()> {
        // No flush may write the rows under the old columns once the new ones are promised.
        let _flush = state.delta.lock().await;
        let layout = state.rows.read().layout.shown_as(columns);
        self.change(catalog, |c| {
            if let Some(table) = c.databases.get_mut(database).and_then(|d| d.tables.get_mut(name)) {
                table.set_layout(&layout);
            }
        })?;
        let mut rows = state.rows.write();
        rows.hot = rows.hot.reshaped(&layout.columns)?;
        rows.flushing = rows.flushing.reshaped(&layout.columns)?;
        rows.layout = Arc::new(layout);
        Ok(())
    }

    /// Keeps what is said about a table.
    pub async fn note_table(&self, database: &str, table: &str, note: impl FnOnce(&mut Notes)) -> Result<()> {
        let mut catalog = self.inner.catalog.lock().await;
        self.inner.tables.get(database, table)?;
        self.change(&mut catalog, |c| {
            if let Some(entry) = c.databases.get_mut(database).and_then(|d| d.tables.get_mut(table)) {
                note(&mut entry.notes);
            }
        })
    }

    /// The ingestion mappings of a table.
    pub async fn mappings(&self, database: &str, table: &str) -> Result<Vec<MappingEntry>> {
        let name = self.inner.tables.resolve(table);
        self.inner.tables.get(database, name)?;
        let catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database).and_then(|d| d.tables.get(name));
        Ok(entry.map(|table| table.mappings.clone()).unwrap_or_default())
    }

    /// Changes the ingestion mappings of a table.
    pub async fn change_mappings(
        &self,
        database: &str,
        table: &str,
        change: impl FnOnce(&mut Vec<MappingEntry>),
    ) -> Result<()> {
        let name = self.inner.tables.resolve(table);
        let mut catalog = self.inner.catalog.lock().await;
        self.inner.tables.get(database, name)?;
        self.change(&mut catalog, |c| {
            if let Some(entry) = c.databases.get_mut(database).and_then(|d| d.tables.get_mut(name)) {
                change(&mut entry.mappings);
            }
        })
    }

    /// The functions of a database, by name.
    pub async fn functions(&self, database: &str) -> Result<BTreeMap<String, FunctionEntry>> {
        let catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        Ok(entry.functions.clone())
    }

    /// Keeps a function, in the place of one of the same name.
    pub async fn put_function(&self, database: &str, name: &str, function: FunctionEntry) -> Result<()> {
        // It would be read in the place of the table.
        self.check_changeable(database, name)?;
        check_name(name)?;
        let read = read_function(name, &function)?;
        let mut catalog = self.inner.catalog.lock().await;
        if !catalog.databases.contains_key(database) {
            return Err(Error::NoDatabase(database.to_owned()));
        }
        self.change(&mut catalog, |c| {
            c.databases.entry(database.to_owned()).or_default().functions.insert(name.to_owned(), function);
        })?;
        self.inner.tables.keep_function(database, read);
        Ok(())
    }

    /// Drops a function; false when there is none.
    pub async fn drop_function(&self, database: &str, name: &str) -> Result<bool> {
        let mut catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        let is_known = entry.functions.contains_key(name);
        if is_known {
            self.change(&mut catalog, |c| {
                if let Some(entry) = c.databases.get_mut(database) {
                    entry.functions.remove(name);
                }
            })?;
            if let Some(functions) = self.inner.tables.functions.write().get_mut(database) {
                functions.remove(name);
            }
        }
        Ok(is_known)
    }

    /// What is said of a table that only the program itself adds rows to.
    pub(crate) fn append_only(&self, database: &str, table: &str) -> Option<&AppendOnly> {
        let table = self.inner.tables.resolve(table);
        self.inner.tables.options.append_only.iter().find(|kept| kept.database == database && kept.table == table)
    }

    /// That others than the program itself may change the rows of a table.
    pub fn check_changeable(&self, database: &str, table: &str) -> Result<()> {
        match self.append_only(database, table) {
            Some(_) => Err(Error::AppendOnly(table.to_owned())),
            None => Ok(()),
        }
    }

    /// Drops a database with all that is in it; false when there is none.
    pub async fn drop_database(&self, name: &str) -> Result<bool> {
        if let Some(kept) = self.inner.tables.options.append_only.iter().find(|kept| kept.database == name) {
            return Err(Error::AppendOnly(kept.table.clone()));
        }
        for (table, _) in self.inner.tables.of_database(name) {
            self.drop_table(name, &table).await?;
        }
        let mut catalog = self.inner.catalog.lock().await;
        if !catalog.databases.contains_key(name) {
            return Ok(false);
        }
        // A table that was made in between goes with it: its folder is one that no catalog names.
        self.change(&mut catalog, |c| drop(c.databases.remove(name)))?;
        let dropped = self.inner.tables.databases.write().remove(name).unwrap_or_default();
        self.inner.tables.functions.write().remove(name);
        self.inner.tables.quotas.write().remove(name);
        for state in dropped.into_values() {
            state.delta.lock().await.take();
            unlink_later(table_folder(&self.inner.folder, name, &state.folder));
        }
        Ok(true)
    }

    /// Drops a table and its files; false when there is none.
    pub async fn drop_table(&self, database: &str, table: &str) -> Result<bool> {
        self.check_changeable(database, table)?;
        let mut catalog = self.inner.catalog.lock().await;
        let Ok(state) = self.inner.tables.get(database, table) else { return Ok(false) };
        self.change(&mut catalog, |c| {
            if let Some(entry) = c.databases.get_mut(database) {
                entry.tables.remove(table);
            }
        })?;
        if let Some(tables) = self.inner.tables.databases.write().get_mut(database) {
            tables.remove(table);
        }
        // A flush that is under way ends first; a later one finds nothing to write to.
        state.delta.lock().await.take();
        unlink_later(table_folder(&self.inner.folder, database, &state.folder));
        Ok(true)
    }

    /// Makes room for a request of so many bytes, before they are read. [`Error::Overloaded`] when there is none now.
    pub fn admit(&self, bytes: usize) -> Result<Admission> {
        self.inner.tables.admit(bytes)
    }

    /// Stores rows. When this returns they are on disk and every later query sees them.
    pub async fn append(&self, append: Append) -> Result<Appended> {
        let bytes = append.tables.iter().map(|(_, batch)| batch.get_array_memory_size()).sum();
        let admission = self.admit(bytes)?;
        self.append_admitted(append, admission).await
    }

    /// Stores the rows of a request that room was made for.
    pub async fn append_admitted(&self, append: Append, admission: Admission) -> Result<Appended> {
        let stopped = || Error::Stopped("it was closed".to_owned());
        let bytes: usize = append.tables.iter().map(|(_, batch)| batch.get_array_memory_size()).sum();
        let append = if bytes > INLINE_BYTES_MAX {
            let tables = self.inner.tables.clone();
            let shaped = tokio::task::spawn_blocking(move || Shaped::new(&tables, append)).await;
            shaped.map_err(|e| Error::Stopped(e.to_string()))??
        } else {
            Shaped::new(&self.inner.tables, append)?
        };
        let (reply, answer) = oneshot::channel();
        self.inner.requests.lock().send(Request::Append { append, reply }).map_err(|_| stopped())?;
        let answer = answer.await.map_err(|_| stopped())?;
        // From here the rows count among those that wait.
        drop(admission);
        answer
    }

    /// Moves the hot rows of all tables to files.
    pub async fn flush(&self) -> Result<()> {
        self.flush_due(|_| true).await
    }

    /// Stops the writer after what it has been given, and what is done in the background. The folder can be opened again when all clones are gone.
    pub async fn close(&self) {
        self.inner.tables.stopping.store(true, Ordering::Relaxed);
        let _ = self.inner.requests.lock().send(Request::Stop);
        self.inner.tables.side_files.wake();
        let threads = std::mem::take(&mut *self.inner.threads.lock());
        for thread in threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn start_flusher(&self) {
        let inner = Arc::downgrade(&self.inner);
        let tables = self.inner.tables.clone();
        tokio::spawn(async move {
            loop {
                let _ = tokio::time::timeout(FLUSH_CHECK_INTERVAL, tables.is_due.notified()).await;
                let Some(inner) = inner.upgrade() else { break };
                let (bounds, now) = (tables.flush_bounds(), Instant::now());
                // What goes wrong is logged where it does, and tried again.
                let _ = Workspaces { inner }.flush_due(|rows| rows.is_due(&bounds, now)).await;
            }
        });
    }

    /// Flushes the tables that are due, some at a time. One that fails does not keep the others from being flushed; the
    /// first error is the result.
    async fn flush_due(&self, due: impl Fn(&Rows) -> bool) -> Result<()> {
        let mut states = self.inner.tables.all();
        states.retain(|state| {
            let rows = state.rows.read();
            rows.waiting_rows() > 0 && due(&rows)
        });
        let flushes = futures::stream::iter(states).map(|state| async move {
            // In a task of its own, so that nobody's giving up can stop a commit half way.
            let flushed = tokio::spawn({
                let state = state.clone();
                async move { state.flush().await }
            });
            let flushed = flushed.await.unwrap_or_else(|e| Err(Error::Stopped(e.to_string())));
            match &flushed {
                // The log can be cut while other tables are still being flushed.
                Ok(()) => {
                    self.inner.tables.side_files.wake();
                    drop(self.inner.requests.lock().send(Request::Trim));
                }
                Err(error) => {
                    tracing::error!(%error, table = state.folder, "failed to move rows to table files; they stay in the log");
                    state.rows.write().retry_at = Some(Instant::now() + FLUSH_RETRY);
                }
            }
            flushed
        });
        let outcomes: Vec<Result<()>> =
            flushes.buffer_unordered(self.inner.tables.options.flush_threads).collect().await;
        outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }
}

/// A function from its text.
fn read_function(name: &str, entry: &FunctionEntry) -> Result<StoredFunction> {
    let text = entry.text();
    let (mut function, problems) = kql::parse_function(&text);
    if let Some(problem) = problems.first() {
        return Err(Error::BadFunction(format!("the function '{name}' cannot be read: {}", problem.one_line(&text))));
    }
    function.is_view = entry.is_view;
    Ok(StoredFunction { name: name.to_owned(), function })
}

pub(crate) fn table_folder(data: &Path, database: &str, folder: &str) -> PathBuf {
    data.join("tables").join(database).join(folder)
}

/// Removes the folders of tables that are not in the catalog: dropped ones, and ones whose making was cut off.
fn remove_dropped(data: &Path, catalog: &CatalogFile) -> Result<()> {
    for (database, entry) in &catalog.databases {
        let folder = data.join("tables").join(database);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for found in entries {
            let path = found.map_err(at(&folder))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if !entry.tables.values().any(|t| t.folder == name) {
                tracing::info!(path = %path.display(), "removed the files of a table that is gone");
                std::fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
    }
    Ok(())
}

/// The columns that a table has once `wanted` are added. Table files use two names themselves, and prune by a third
/// without regard to case.
fn merge_columns(table: &str, mut columns: Vec<Column>, wanted: &[Column]) -> Result<Vec<Column>> {
    for column in wanted {
        let is_own = [TICKS_COLUMN, DAY_COLUMN].iter().any(|own| column.name.eq_ignore_ascii_case(own));
        let is_almost_time = column.name != TIME_COLUMN && column.name.eq_ignore_ascii_case(TIME_COLUMN);
        if column.name.is_empty() || is_own || is_almost_time {
            return Err(Error::BadColumn(format!("'{}' cannot be a column's name", column.name)));
        }
        match columns.iter().find(|c| c.name == column.name) {
            None => columns.push(column.clone()),
            Some(known) if known.column_type != column.column_type => {
                return Err(Error::ColumnType {
                    table: table.to_owned(),
                    column: column.name.clone(),
                    existing: known.column_type,
                    wanted: column.column_type,
                });
            }
            Some(_) => {}
        }
    }
    Ok(columns)
}

/// Takes the folder for this process.
fn lock_folder(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(at(&path))?;
    file.try_lock().map_err(|_| Error::InUse(folder.to_owned()))?;
    Ok(file)
}
