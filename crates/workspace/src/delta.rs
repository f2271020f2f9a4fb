//! A table's files: a Delta Lake table, partitioned by day.
//!
//! deltalake keeps the transaction log; the Parquet files are our own ([`crate::table_file`]). A flush is one commit that carries,
//! as its application transaction, the sequence number of the last log record it holds, so that a flush that is
//! repeated after a crash is recognised.

use crate::catalog_file::sync_folder;
use crate::error::{Error, Result, at};
use crate::layout::Layout;
use crate::side::{UNFINISHED, table_file_of};
use crate::snapshot::link_into;
use crate::storage::{DAY_COLUMN, delta_fields};
use crate::table_file::{DataFile, Written, discard, write_files};
use arrow::array::RecordBatch;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, LogicalFileView, MetadataExt, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::checkpoints::cleanup_expired_logs_for;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};
use kql::datetime::to_unix_micros;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name under which flushes record their sequence number in the Delta log.
const APPLICATION: &str = "turnstone";
/// The folder of a dropped table stays this long for the queries that read it: no query may take longer.
const QUERY_DURATION_MAX: Duration = Duration::from_secs(60 * 60);

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
    pub async fn create(folder: &Path, layout: &Layout) -> Result<DeltaFiles> {
        let location = folder.to_str().ok_or_else(|| Error::BadName(folder.display().to_string()))?;
        let parents: Vec<&Path> = folder.ancestors().skip(1).take(3).collect();
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        ensure_table_uri(location)?;
        let table = CreateBuilder::new()
            .with_location(location)
            .with_columns(delta_fields(layout)?)
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
    /// commit names, side files of none.
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
        let known: HashMap<PathBuf, DataFile> = self.files.drain(..).map(|f| (f.path().to_owned(), f)).collect();
        let file = |view: LogicalFileView| {
            let path = self.folder.join(view.path().as_ref());
            // What is known already is held by queries; there must not be another of it.
            known.get(&path).cloned().unwrap_or_else(|| DataFile::of_log(path, &view))
        };
        self.files = snapshot.log_data().into_iter().map(file).collect();
        self.flushed = flushed.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        sync_log(&self.folder, self.table.version().unwrap_or(0))?;
        self.is_uncertain = false;
        Ok(())
    }

    fn remove_orphans(&self) -> Result<()> {
        let known: HashSet<&Path> = self.files.iter().map(DataFile::path).collect();
        for entry in std::fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let day = entry.map_err(at(&self.folder))?.path();
            let is_day = day.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(DAY_COLUMN));
            if !is_day {
                continue;
            }
            for entry in std::fs::read_dir(&day).map_err(at(&day))? {
                let path = entry.map_err(at(&day))?.path();
                let is_of = |extension| path.extension().is_some_and(|found| found == extension);
                let side_of = table_file_of(&path);
                let is_ours = side_of.is_some() || is_of("parquet");
                let is_live = known.contains(side_of.as_deref().unwrap_or(&path)) && !is_of(UNFINISHED);
                if !is_ours || is_live {
                    continue;
                }
                if side_of.is_none() {
                    tracing::info!(path = %path.display(), "removed a data file that no commit names");
                }
                std::fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Writes rows to new files and commits them, as everything up to `sequence`. When a flush is repeated whose
    /// commit stands, nothing is written.
    pub async fn flush(&mut self, layout: &Arc<Layout>, batches: Vec<RecordBatch>, sequence: u64) -> Result<()> {
        if self.is_uncertain {
            self.settle().await?;
        }
        if self.flushed >= sequence {
            return Ok(());
        }
        let folder = self.folder.clone();
        let owned = layout.clone();
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
        let added: Vec<_> = delta_fields(layout)?.into_iter().filter(|f| known.field(f.name()).is_none()).collect();
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
                discard(written);
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

    /// Puts files in the place of others, in one commit. The others go from the disk once nobody reads them. Where the
    /// rows are the same in another arrangement, `is_change` is false. When this fails, nothing has changed.
    pub async fn replace(&mut self, gone: &[DataFile], written: Vec<Written>, is_change: bool) -> Result<()> {
        let (paths, added): (HashSet<&Path>, Vec<DataFile>) =
            (gone.iter().map(DataFile::path).collect(), written.iter().map(|w| w.file.clone()).collect());
        let outcome = self.commit_replacement(&paths, &written, is_change).await;
        if let Err(error) = outcome {
            self.settle().await?;
            let stands = !self.files.iter().any(|file| paths.contains(file.path()));
            if !stands {
                discard(written);
                return Err(error);
            }
        } else {
            self.files.retain(|file| !paths.contains(file.path()));
            self.files.extend(added);
        }
        gone.iter().for_each(|file| file.stored.doom());
        Ok(())
    }

    async fn commit_replacement(&mut self, gone: &HashSet<&Path>, written: &[Written], is_change: bool) -> Result<()> {
        if self.is_uncertain {
            self.settle().await?;
        }
        let is_gone = |view: &LogicalFileView| gone.contains(self.folder.join(view.path().as_ref()).as_path());
        let views = self.table.snapshot()?.log_data().into_iter();
        let mut actions: Vec<Action> =
            views.filter(is_gone).map(|view| Action::Remove(view.remove_action(is_change))).collect();
        if actions.len() != gone.len() {
            return Err(Error::Stopped("files that were to be replaced are gone".to_owned()));
        }
        let add =
            |one: &Written| Action::Add(deltalake_core::kernel::Add { data_change: is_change, ..one.add.clone() });
        actions.extend(written.iter().map(add));
        let operation = match is_change {
            true => DeltaOperation::Delete { predicate: None },
            false => DeltaOperation::Optimize { predicate: None, target_size: 0 },
        };
        let properties = CommitProperties::default().with_cleanup_expired_logs(Some(false));
        self.commit(properties, actions, operation).await
    }

    /// Links the table's log and files into another folder, as they are now.
    pub async fn link_to(&mut self, target: &Path) -> Result<()> {
        if self.is_uncertain {
            self.settle().await?;
        }
        let (log, log_target) = (self.folder.join("_delta_log"), target.join("_delta_log"));
        std::fs::create_dir_all(&log_target).map_err(at(&log_target))?;
        for entry in std::fs::read_dir(&log).map_err(at(&log))? {
            let path = entry.map_err(at(&log))?.path();
            if path.is_file() {
                link_into(&path, &log_target)?;
            }
        }
        for file in &self.files {
            let day = file.path().parent().and_then(Path::file_name).unwrap_or_default();
            link_into(file.path(), &target.join(day))?;
        }
        Ok(())
    }

    /// Removes what a checkpoint has made superfluous in the Delta log and is older than `cutoff_ticks`.
    pub async fn cut_log(&self, cutoff_ticks: i64) -> Result<usize> {
        let log = self.folder.join("_delta_log");
        // What is removed must not be needed by a checkpoint that a power failure would take.
        for entry in std::fs::read_dir(&log).map_err(at(&log))? {
            let path = entry.map_err(at(&log))?.path();
            if path.extension().is_some_and(|extension| extension == "parquet") {
                File::open(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
            }
        }
        sync_folder(&log)?;
        let version = self.table.version().unwrap_or(0);
        let cutoff = to_unix_micros(cutoff_ticks) / 1000;
        Ok(cleanup_expired_logs_for(version, self.table.log_store().as_ref(), cutoff, None).await?)
    }
}

/// Removes a folder from the disk once no query that was planned before can still read it. What a stop leaves is
/// removed at the next start.
pub(crate) fn unlink_later(folder: PathBuf) {
    tokio::spawn(async move {
        tokio::time::sleep(QUERY_DURATION_MAX).await;
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(path = %folder.display(), %error, "a folder that is no longer needed was not removed");
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
