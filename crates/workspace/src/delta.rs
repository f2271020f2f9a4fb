//! A table's files: a Delta Lake table, partitioned by day.
//!
//! The Parquet files are written here; deltalake keeps the transaction log. A flush is one commit that carries,
//! as its application transaction, the sequence number of the last log record it holds, so that a flush that is
//! repeated after a crash is recognised.

use crate::catalog_file::sync_folder;
use crate::error::{Error, Result, at};
use crate::storage::{DAY_COLUMN, declared_schema, delta_fields, to_stored};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::Int64Type;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, MetadataExt, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use engine::Column;
use kql::datetime::{from_unix_micros, to_unix_micros};
use kql::timespan::TICKS_PER_DAY;
use kql::{Type, datetime};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name under which flushes record their sequence number in the Delta log.
const APPLICATION: &str = "turnstone";
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Files that are out of a table stay this long for the queries that read them.
const QUERY_DURATION_MAX: Duration = Duration::from_secs(600);
/// The column whose day partitions a table.
pub(crate) const TIME_COLUMN: &str = "TimeGenerated";

/// A live file of a table.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub path: PathBuf,
    /// The least and greatest [`TIME_COLUMN`], in ticks, rounded outward to the µs.
    pub times: Option<(i64, i64)>,
}

pub(crate) struct DeltaFiles {
    folder: PathBuf,
    table: DeltaTable,
    /// The live files.
    pub files: Vec<DataFile>,
    /// The sequence number of the last flush.
    pub flushed: u64,
    /// Set while a commit is under way; still set when it is not known how the commit ended.
    is_uncertain: bool,
}

impl DeltaFiles {
    /// Makes a new table in `folder`.
    pub async fn create(folder: &Path, columns: &[Column]) -> Result<DeltaFiles> {
        let location = folder.to_str().ok_or_else(|| Error::BadName(folder.display().to_string()))?;
        let parents: Vec<&Path> = folder.ancestors().skip(1).take(3).collect();
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        ensure_table_uri(location)?;
        let table = CreateBuilder::new()
            .with_location(location)
            .with_columns(delta_fields(columns)?)
            .with_partition_columns([DAY_COLUMN])
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await?;
        sync_log(folder, 0)?;
        sync_folder(folder)?;
        parents.into_iter().try_for_each(sync_folder)?;
        Ok(DeltaFiles { folder: folder.to_owned(), table, files: Vec::new(), flushed: 0, is_uncertain: false })
    }

    /// Opens the table in `folder`, which must be there, and removes what a crash left in it: data files that no
    /// commit names.
    pub async fn open(folder: &Path) -> Result<DeltaFiles> {
        let location = folder.to_str().ok_or_else(|| Error::BadName(folder.display().to_string()))?;
        let missing = || Error::Damaged {
            path: folder.join("_delta_log"),
            offset: 0,
            problem: "the table is in the catalog, but its log is missing".to_owned(),
        };
        if !folder.join("_delta_log").is_dir() {
            return Err(missing());
        }
        let table = match DeltaTableBuilder::from_url(ensure_table_uri(location)?)?.load().await {
            Err(DeltaTableError::NotATable(_)) => return Err(missing()),
            loaded => loaded?,
        };
        let mut opened =
            DeltaFiles { folder: folder.to_owned(), table, files: Vec::new(), flushed: 0, is_uncertain: true };
        opened.settle().await?;
        opened.remove_orphans()?;
        Ok(opened)
    }

    /// Learns from the Delta log what is true.
    async fn settle(&mut self) -> Result<()> {
        self.table.update_state().await?;
        let snapshot = self.table.snapshot()?;
        let flushed = snapshot.transaction_version(self.table.log_store().as_ref(), APPLICATION).await?;
        self.files = snapshot.log_data().into_iter().map(|f| data_file(&self.folder, &f)).collect();
        self.flushed = flushed.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        sync_log(&self.folder, self.table.version().unwrap_or(0))?;
        self.is_uncertain = false;
        Ok(())
    }

    fn remove_orphans(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let day = entry.map_err(at(&self.folder))?.path();
            let is_day = day.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(DAY_COLUMN));
            if !is_day {
                continue;
            }
            for entry in std::fs::read_dir(&day).map_err(at(&day))? {
                let path = entry.map_err(at(&day))?.path();
                if path.extension().is_some_and(|e| e == "parquet") && !self.files.iter().any(|f| f.path == path) {
                    tracing::info!(path = %path.display(), "removed a data file that no commit names");
                    std::fs::remove_file(&path).map_err(at(&path))?;
                }
            }
        }
        Ok(())
    }

    /// Writes rows to new files and commits them, as everything up to `sequence`. When a flush is repeated whose
    /// commit stands, nothing is written.
    pub async fn flush(&mut self, columns: &[Column], batches: Vec<RecordBatch>, sequence: u64) -> Result<()> {
        if self.is_uncertain {
            self.settle().await?;
        }
        if self.flushed >= sequence {
            return Ok(());
        }
        let folder = self.folder.clone();
        let owned = columns.to_vec();
        let written = tokio::task::spawn_blocking(move || write_files(&folder, &owned, batches))
            .await
            .map_err(|e| Error::Stopped(e.to_string()))??;
        let version = i64::try_from(sequence).unwrap_or(i64::MAX);
        let properties = CommitProperties::default()
            .with_application_transaction(Transaction::new(APPLICATION, version))
            .with_cleanup_expired_logs(Some(false));
        let mut actions: Vec<Action> = Vec::new();
        let snapshot = self.table.snapshot()?;
        let known = snapshot.schema();
        let added: Vec<_> = delta_fields(columns)?.into_iter().filter(|f| known.field(f.name()).is_none()).collect();
        if !added.is_empty() {
            let schema = known.add(added).map_err(|e| DeltaTableError::generic(e.to_string()))?;
            let metadata = snapshot.metadata().clone().with_schema(&schema);
            actions.push(Action::Metadata(metadata.map_err(|e| DeltaTableError::generic(e.to_string()))?));
        }
        actions.extend(written.iter().map(|w| Action::Add(w.add.clone())));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DAY_COLUMN.to_owned()]),
            predicate: None,
        };
        let committed = self.commit(properties, actions, operation).await;
        if let Err(error) = committed {
            // The commit may stand all the same; files are removed only when it is known not to.
            self.settle().await?;
            if self.flushed < sequence {
                for file in written {
                    let _ = std::fs::remove_file(&file.file.path);
                }
                return Err(error);
            }
            return Ok(());
        }
        self.flushed = sequence;
        self.files.extend(written.into_iter().map(|w| w.file));
        Ok(())
    }

    async fn commit(
        &mut self,
        properties: CommitProperties,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<()> {
        self.is_uncertain = true;
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(self.table.snapshot()?), self.table.log_store(), operation)
            .into_prepared_commit_future()
            .await?
            .await?;
        // From here the commit stands, whatever becomes of the checkpoint that may follow it.
        sync_log(&self.folder, committed.version)?;
        match committed.await {
            Ok(done) => self.table.state = Some(done.snapshot()),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint of the Delta log was not written");
                self.table.update_state().await?;
            }
        }
        self.is_uncertain = false;
        Ok(())
    }

    /// Takes files out of the table. They stay on the disk for queries that read them; see [`unlink_later`].
    pub async fn remove(&mut self, gone: &[PathBuf]) -> Result<()> {
        if self.is_uncertain {
            self.settle().await?;
        }
        let is_gone =
            |view: &deltalake_core::kernel::LogicalFileView| gone.contains(&self.folder.join(view.path().as_ref()));
        let views = self.table.snapshot()?.log_data().into_iter();
        let removes: Vec<Action> = views.filter(is_gone).map(|v| Action::Remove(v.remove_action(true))).collect();
        let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
        self.commit(properties, removes, DeltaOperation::Delete { predicate: None }).await?;
        self.files.retain(|f| !gone.contains(&f.path));
        Ok(())
    }
}

/// Removes files and folders from the disk once no query that was planned before can still read them. What a stop
/// leaves is removed at the next start.
pub(crate) fn unlink_later(paths: Vec<PathBuf>) {
    tokio::spawn(async move {
        tokio::time::sleep(QUERY_DURATION_MAX).await;
        for path in paths {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a file that is no longer needed was not removed");
            }
        }
    });
}

/// Makes a commit of the Delta log durable; deltalake does not.
fn sync_log(folder: &Path, version: u64) -> Result<()> {
    let log = folder.join("_delta_log");
    let path = log.join(format!("{version:020}.json"));
    File::open(&path).and_then(|f| f.sync_all()).map_err(at(&path))?;
    sync_folder(&log)
}

fn data_file(folder: &Path, view: &deltalake_core::kernel::LogicalFileView) -> DataFile {
    let stats: Option<serde_json::Value> = view.stats().and_then(|s| serde_json::from_str(&s).ok());
    let time = |which: &str| {
        let text = stats.as_ref()?.get(which)?.get(TIME_COLUMN)?.as_str()?.to_owned();
        datetime::parse(&text)
    };
    // Statistics are cut to the millisecond.
    let millisecond = kql::timespan::TICKS_PER_MILLISECOND;
    let times = time("minValues").zip(time("maxValues")).map(|(least, greatest)| (least, greatest + millisecond));
    DataFile { path: folder.join(view.path().as_ref()), times }
}

struct Written {
    add: Add,
    file: DataFile,
}

/// Writes one file for each day that the rows fall on.
fn write_files(folder: &Path, columns: &[Column], mut batches: Vec<RecordBatch>) -> Result<Vec<Written>> {
    batches.retain(|b| b.num_rows() > 0);
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(Vec::new()) };
    let today = datetime::now() / TICKS_PER_DAY;
    let time = columns.iter().position(|c| c.name == TIME_COLUMN && c.column_type == Type::DateTime);
    let Some(time) = time else {
        let all = concat_batches(&schema, &batches)?;
        return Ok(vec![write_file(folder, columns, &all, today, None)?]);
    };
    // Batches that are in order among themselves, as those of a single sender are, leave nothing to sort.
    let first_time = |b: &RecordBatch| b.column(time).as_primitive::<Int64Type>().iter().next().flatten();
    batches.sort_by_key(first_time);
    let mut all = concat_batches(&schema, &batches)?;
    drop(batches);
    if !is_sorted(all.column(time).as_primitive()) {
        let order = sort_to_indices(all.column(time), None, None)?;
        all = take_record_batch(&all, &order)?;
    }
    // Nulls are first and of today.
    let ticks: &Int64Array = all.column(time).as_primitive();
    let mut days: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    let nulls = ticks.null_count();
    if nulls > 0 {
        days.entry(today).or_default().push(all.slice(0, nulls));
    }
    let mut from = nulls;
    while from < ticks.len() {
        let day = ticks.value(from) / TICKS_PER_DAY;
        let count = ticks.values()[from..].partition_point(|t| *t / TICKS_PER_DAY <= day);
        days.entry(day).or_default().push(all.slice(from, count));
        from += count;
    }
    let mut written = Vec::with_capacity(days.len());
    for (day, parts) in days {
        let of_day = concat_batches(&schema, &parts)?;
        written.push(write_file(folder, columns, &of_day, day, Some(time))?);
    }
    Ok(written)
}

/// Whether times are in order, nulls first.
fn is_sorted(ticks: &Int64Array) -> bool {
    let nulls = ticks.null_count();
    (0..nulls).all(|row| ticks.is_null(row)) && ticks.values()[nulls..].is_sorted()
}

fn write_file(folder: &Path, columns: &[Column], rows: &RecordBatch, day: i64, time: Option<usize>) -> Result<Written> {
    let (year, month, date) = datetime::civil_from_days(day);
    let day_text = format!("{year:04}-{month:02}-{date:02}");
    let relative = format!("{DAY_COLUMN}={day_text}/part-{}.parquet", uuid::Uuid::new_v4());
    let path = folder.join(&relative);
    let parent = folder.join(format!("{DAY_COLUMN}={day_text}"));
    let is_new = !parent.exists();
    std::fs::create_dir_all(&parent).map_err(at(&parent))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let file = File::create(&path).map_err(at(&path))?;
    let stored = to_stored(columns, rows)?;
    let mut writer = ArrowWriter::try_new(file, declared_schema(&stored), Some(properties))?;
    writer.write(&stored)?;
    let file = writer.into_inner()?;
    file.sync_all().map_err(at(&path))?;
    let size_bytes = file.metadata().map_err(at(&path))?.len();
    sync_folder(&parent)?;
    if is_new {
        sync_folder(folder)?;
    }
    let times = time.and_then(|i| {
        let ticks = rows.column(i).as_primitive::<Int64Type>();
        let (least, greatest) = (arrow::compute::min(ticks)?, arrow::compute::max(ticks)?);
        Some((from_unix_micros(to_unix_micros(least)), from_unix_micros(to_unix_micros(greatest)) + 10))
    });
    let add = Add {
        path: relative,
        partition_values: HashMap::from([(DAY_COLUMN.to_owned(), Some(day_text))]),
        size: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        modification_time: to_unix_micros(datetime::now()) / 1000,
        data_change: true,
        stats: Some(statistics(rows.num_rows(), times)),
        ..Default::default()
    };
    Ok(Written { add, file: DataFile { path, times } })
}

/// The statistics that readers of Delta prune by: the row count and the span of time, cut to the millisecond.
fn statistics(rows: usize, times: Option<(i64, i64)>) -> String {
    let mut stats = serde_json::json!({ "numRecords": rows });
    if let Some((least, greatest)) = times {
        let text = |ticks: i64| {
            let cut = ticks - ticks % kql::timespan::TICKS_PER_MILLISECOND;
            let full = datetime::format(cut);
            format!("{}Z", &full[..full.len() - 5])
        };
        stats["minValues"] = serde_json::json!({ TIME_COLUMN: text(least) });
        stats["maxValues"] = serde_json::json!({ TIME_COLUMN: text(greatest) });
    }
    stats.to_string()
}
