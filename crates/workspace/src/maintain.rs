//! What is done to the files of tables in the background, or when somebody asks: compaction, retention, deletion of
//! rows, and keeping the Delta log short.
//!
//! One table after the other. Ingestion and queries go on: a table's lock is held only for a commit, and files that
//! are replaced stay on the disk until nobody reads them.

use crate::books::Note;
use crate::compact::{Pace, choose, merge};
use crate::error::{Error, Result};
use crate::scan::WorkspaceTable;
use crate::store::{Tables, Workspaces, table_folder};
use crate::table::TableState;
use crate::table_file::{DataFile, Written, discard, write_file};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use engine::catalog::{Catalog, StoredFunction, Table};
use kql::datetime;
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Entries of the Delta log that a checkpoint holds too stay so long, for readers of other programs.
const DELTA_LOG_TICKS: i64 = TICKS_PER_DAY;
const DELTA_LOG_CUT_INTERVAL_TICKS: i64 = 6 * TICKS_PER_HOUR;

/// How long rows are kept, by the table's time column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is said of the table itself.
    pub table_days: Option<u32>,
    /// What is said of its database.
    pub database_days: Option<u32>,
}

impl Retention {
    /// The days that rows are kept; `None` for ever.
    pub fn days(self) -> Option<u32> {
        self.table_days.or(self.database_days)
    }
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    pub rows: u64,
    /// Files written anew or removed.
    pub files: usize,
}

impl Workspaces {
    pub(crate) fn start_maintenance(&self) {
        let inner = Arc::downgrade(&self.inner);
        let interval = Duration::from_secs(self.shared().options.maintenance_seconds.max(1));
        tokio::spawn(async move {
            let mut next_cut_ticks = i64::MIN;
            loop {
                tokio::time::sleep(interval).await;
                let Some(inner) = inner.upgrade() else { break };
                if inner.tables.stopping.load(Ordering::Relaxed) {
                    break;
                }
                let is_cutting = datetime::now() >= next_cut_ticks;
                if is_cutting {
                    next_cut_ticks = datetime::now() + DELTA_LOG_CUT_INTERVAL_TICKS;
                }
                let workspaces = Workspaces { inner };
                workspaces.maintain().await;
                if is_cutting {
                    workspaces.cut_delta_logs().await;
                }
            }
        });
    }

    /// Looks through all tables once, as is done in the background all the time: removes what is too old, and merges small
    /// files. What goes wrong with one table is logged and keeps no other from its turn.
    pub async fn maintain(&self) {
        if let Err(error) = self.write_usage(datetime::now()).await {
            tracing::warn!(%error, "the figures of the table Usage were not written; they will be");
        }
        for database in self.databases() {
            for (name, state) in self.shared().of_database(&database) {
                if let Err(error) = self.apply_retention(&database, &name).await {
                    tracing::error!(%error, table = name, "rows that are too old were not removed");
                }
                if let Err(error) = self.compact(&database, &state).await {
                    tracing::error!(%error, table = name, "small files were not merged");
                }
                if self.shared().stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }

    async fn cut_delta_logs(&self) {
        for state in self.shared().all() {
            let Some(delta) = &*state.delta.lock().await else { continue };
            match delta.cut_log(datetime::now() - DELTA_LOG_TICKS).await {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, table = state.folder, "cut the Delta log"),
                Err(error) => tracing::warn!(%error, table = state.folder, "the Delta log was not cut"),
            }
        }
    }

    async fn apply_retention(&self, database: &str, table: &str) -> Result<()> {
        let Some(days) = self.retention(database, table).await?.days() else { return Ok(()) };
        let oldest = datetime::now() - i64::from(days) * TICKS_PER_DAY;
        let rows = self.drop_older_than(database, table, oldest).await?;
        if rows > 0 {
            tracing::info!(database, table, rows, days, "removed rows that were kept long enough");
            let detail = format!(
                "{rows} rows of the table '{table}' were older than the {days} days that it keeps and were removed"
            );
            self.note(database, &[Note { status: "Succeeded", category: "Retention", detail }]).await;
        }
        Ok(())
    }

    /// How long the rows of a table are kept.
    pub async fn retention(&self, database: &str, table: &str) -> Result<Retention> {
        let name = self.shared().resolve(table);
        self.shared().get(database, name)?;
        let catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        if let Some(kept) = self.append_only(database, name) {
            return Ok(Retention { table_days: kept.days, database_days: None });
        }
        let table_days = entry.tables.get(name).and_then(|table| table.retention_days);
        Ok(Retention { table_days, database_days: entry.retention_days })
    }

    /// How long the rows of a database are kept in tables of which nothing else is said.
    pub async fn database_retention(&self, database: &str) -> Result<Option<u32>> {
        let catalog = self.inner.catalog.lock().await;
        let entry = catalog.databases.get(database).ok_or_else(|| Error::NoDatabase(database.to_owned()))?;
        Ok(entry.retention_days)
    }

    /// Says how long rows are kept: in a table, or, without one, in all tables of the database of which nothing else is
    /// said. `None` takes back what was said.
    pub async fn set_retention(&self, database: &str, table: Option<&str>, days: Option<u32>) -> Result<()> {
        let name = table.map(|table| self.shared().resolve(table));
        if let Some(name) = name {
            self.check_changeable(database, name)?;
        }
        let mut catalog = self.inner.catalog.lock().await;
        if !catalog.databases.contains_key(database) {
            return Err(Error::NoDatabase(database.to_owned()));
        }
        if let Some(name) = name {
            self.shared().get(database, name)?;
        }
        self.change(&mut catalog, |c| {
            let Some(entry) = c.databases.get_mut(database) else { return };
            match name {
                None => entry.retention_days = days,
                Some(name) => {
                    if let Some(table) = entry.tables.get_mut(name) {
                        table.retention_days = days;
                    }
                }
            }
        })
    }

    /// The bytes that a database takes in a day at most, and those that it has taken on this day.
    pub fn daily_quota(&self, database: &str) -> (Option<u64>, u64) {
        let quota = self.shared().quotas.read().get(database).copied();
        (quota, self.shared().usage.lock().day_bytes(database, datetime::now()))
    }

    /// Bounds the bytes that a database takes in a day; `None` lifts the bound.
    pub async fn set_daily_quota(&self, database: &str, quota_bytes: Option<u64>) -> Result<()> {
        let mut catalog = self.inner.catalog.lock().await;
        if !catalog.databases.contains_key(database) {
            return Err(Error::NoDatabase(database.to_owned()));
        }
        self.change(&mut catalog, |c| {
            if let Some(entry) = c.databases.get_mut(database) {
                entry.daily_quota_bytes = quota_bytes;
            }
        })?;
        let mut quotas = self.shared().quotas.write();
        match quota_bytes {
            Some(quota) => drop(quotas.insert(database.to_owned(), quota)),
            None => drop(quotas.remove(database)),
        }
        Ok(())
    }

    /// [`Error::QuotaReached`] when a database has taken what it may take on this day. It is for those who bring rows
    /// from outside to ask; findings and bookkeeping are always taken.
    pub fn check_quota(&self, database: &str) -> Result<()> {
        match self.daily_quota(database) {
            (Some(quota_bytes), taken) if taken >= quota_bytes => {
                Err(Error::QuotaReached { database: database.to_owned(), quota_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Removes the files of a table whose rows are all older than `oldest_ticks`: by the time column, or by the day of
    /// their coming where there is none. The number of rows.
    pub async fn drop_older_than(&self, database: &str, table: &str, oldest_ticks: i64) -> Result<u64> {
        let state = self.shared().get(database, self.shared().resolve(table))?;
        let newest = |file: &DataFile| match file.times {
            Some((_, greatest)) => Some(greatest),
            None => file.day().map(|day| (day + 1) * TICKS_PER_DAY),
        };
        let is_old = |file: &&DataFile| newest(file).is_some_and(|newest| newest < oldest_ticks);
        if !state.rows.read().files.iter().any(|file| is_old(&file)) {
            return Ok(0);
        }
        let _rewriting = state.rewriting.lock().await;
        let old: Vec<DataFile> = state.rows.read().files.iter().filter(is_old).cloned().collect();
        replace(&state, &old, Vec::new(), true).await?;
        Ok(old.iter().map(|file| file.rows).sum())
    }

    /// Merges small files of a table until none are left that should be.
    async fn compact(&self, database: &str, state: &Arc<TableState>) -> Result<()> {
        let _rewriting = state.rewriting.lock().await;
        let folder = table_folder(&self.inner.folder, database, &state.folder);
        loop {
            let (layout, mut files) = {
                let rows = state.rows.read();
                (rows.layout.clone(), rows.files.as_ref().clone())
            };
            files.retain(|file| !state.left_alone.lock().contains(file.path()));
            let Some(chosen) = choose(&files, datetime::now()) else { return Ok(()) };
            let mut pace = Pace::new(self.shared().stopping.clone());
            let merged = tokio::task::spawn_blocking({
                let (folder, chosen) = (folder.clone(), chosen.clone());
                move || merge(&folder, &layout, &chosen, &mut pace)
            });
            match merged.await.unwrap_or_else(|e| Err(Error::Stopped(e.to_string()))) {
                Ok(written) => {
                    replace(state, &chosen, vec![written], false).await?;
                    self.shared().side_files.wake();
                }
                Err(_) if self.shared().stopping.load(Ordering::Relaxed) => return Ok(()),
                // The disk may have room again later.
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, table = state.folder, "files cannot be merged and are left as they are");
                    state.left_alone.lock().extend(chosen.iter().map(|file| file.path().to_owned()));
                    continue;
                }
            }
            tracing::debug!(table = state.folder, files = chosen.len(), "merged small files");
        }
    }

    /// Deletes rows of a table. `kept` is given tables among which the one of this name has the rows of one file alone,
    /// and says which of these rows stay; `None` when all do. Rows that come while this runs are not looked at. When it
    /// fails, nothing is deleted.
    pub async fn delete_rows<F, R, E>(&self, database: &str, table: &str, kept: F) -> std::result::Result<Deleted, E>
    where
        F: Fn(Arc<dyn Catalog>) -> R,
        R: Future<Output = std::result::Result<Option<Vec<RecordBatch>>, E>>,
        E: From<Error>,
    {
        let name = self.shared().resolve(table).to_owned();
        self.check_changeable(database, &name)?;
        let state = self.shared().get(database, &name)?;
        let _rewriting = state.rewriting.lock().await;
        state.flush().await?;
        let folder = table_folder(&self.inner.folder, database, &state.folder);
        let (layout, files) = {
            let rows = state.rows.read();
            (rows.layout.clone(), rows.files.clone())
        };
        let (mut gone, mut written, mut deleted) = (Vec::new(), Vec::new(), Deleted::default());
        for file in files.iter() {
            let provider = WorkspaceTable {
                layout: layout.clone(),
                files: Arc::new(vec![file.clone()]),
                hot: Vec::new(),
                cache: self.shared().cache.clone(),
            };
            let table = Table { columns: layout.columns.clone(), provider: Arc::new(provider) };
            let tables = self.shared().clone();
            let one_file = OneFile { tables, database: database.to_owned(), name: name.clone(), table };
            let outcome = match kept(Arc::new(one_file)).await {
                Ok(None) => continue,
                Ok(Some(rows)) => {
                    let (folder, layout, file) = (folder.clone(), layout.clone(), file.clone());
                    let writing = tokio::task::spawn_blocking(move || {
                        let rows = concat_batches(&layout.schema, &rows)?;
                        let day = file.day().unwrap_or(datetime::now() / TICKS_PER_DAY);
                        match rows.num_rows() {
                            0 => Ok(None),
                            _ => write_file(&folder, &layout, &rows, day).map(Some),
                        }
                    });
                    writing.await.unwrap_or_else(|e| Err(Error::Stopped(e.to_string()))).map_err(E::from)
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(kept) => {
                    deleted.rows += file.rows - kept.as_ref().map_or(0, |kept: &Written| kept.file.rows).min(file.rows);
                    gone.push(file.clone());
                    written.extend(kept);
                }
                Err(error) => {
                    discard(written);
                    return Err(error);
                }
            }
        }
        deleted.files = gone.len();
        if !gone.is_empty() {
            replace(&state, &gone, written, true).await?;
            let detail = format!("{} rows of the table '{name}' were deleted", deleted.rows);
            self.note(database, &[Note { status: "Succeeded", category: "Deletion", detail }]).await;
            // The log still has the rows; it is cut when those of all tables are in files.
            self.flush().await?;
        }
        Ok(deleted)
    }
}

/// Puts files in the place of others.
async fn replace(state: &TableState, gone: &[DataFile], written: Vec<Written>, is_change: bool) -> Result<()> {
    let mut delta = state.delta.lock().await;
    let Some(delta) = delta.as_mut() else {
        discard(written);
        return Ok(());
    };
    let outcome = delta.replace(gone, written, is_change).await;
    state.rows.write().files = Arc::new(delta.files.clone());
    outcome
}

/// The tables there are, one of them with the rows of a single file.
struct OneFile {
    tables: Arc<Tables>,
    database: String,
    name: String,
    table: Table,
}

impl Catalog for OneFile {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        match database == self.database && self.tables.resolve(name) == self.name {
            true => Some(self.table.clone()),
            false => self.tables.table(database, name),
        }
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        self.tables.functions(database)
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        self.tables.table_names(database)
    }

    fn database_names(&self) -> Vec<String> {
        self.tables.database_names()
    }

    fn has_database(&self, database: &str) -> bool {
        self.tables.has_database(database)
    }
}
