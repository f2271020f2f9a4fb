//! A data folder at one moment, for back-ups, while rows go on coming.
//!
//! Files that never change are linked, so that this takes no room and little time: table files, the Delta logs, closed
//! segments of the log. The moment is that at which the segment of the log is closed; until then no flush and no change
//! of the catalog may come between.

use crate::catalog_file;
use crate::error::{Error, Result, at};
use crate::store::{Workspaces, table_folder};
use crate::writer::Request;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// Snapshots are below this folder of the data folder, on the same disk.
const FOLDER: &str = "snapshots";

/// A copy of a data folder, which goes when this is dropped.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
}

impl Snapshot {
    /// A folder that can be opened as a workspace.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "a snapshot was not removed; the next start does");
        }
    }
}

impl Workspaces {
    /// The data folder as it is now: every row that was acknowledged before is in it, and no row by half.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let stopped = || Error::Stopped("it was closed".to_owned());
        let folder = self.inner.folder.join(FOLDER).join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let snapshot = Snapshot { folder };
        let target = &snapshot.folder;
        let _catalog = self.inner.catalog.lock().await;
        let databases: Vec<_> =
            self.databases().into_iter().map(|name| (self.shared().of_database(&name), name)).collect();
        let mut held = Vec::new();
        for (states, database) in &databases {
            for (_, state) in states {
                held.push((database, state, state.delta.lock().await));
            }
        }
        let (reply, answer) = oneshot::channel();
        let request = Request::Copy { target: target.clone(), reply };
        self.inner.requests.lock().send(request).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())??;
        for (database, state, delta) in &mut held {
            if let Some(delta) = delta.as_mut() {
                delta.link_to(&table_folder(target, database, &state.folder)).await?;
            }
        }
        let catalog = self.inner.folder.join(catalog_file::FILE_NAME);
        std::fs::copy(&catalog, target.join(catalog_file::FILE_NAME)).map_err(at(&catalog))?;
        Ok(snapshot)
    }
}

/// Removes what a stop has left of snapshots.
pub(crate) fn remove_snapshots(data: &Path) -> Result<()> {
    let folder = data.join(FOLDER);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

/// Links a file that does not change into a folder; copies it where the file system has no links.
pub(crate) fn link_into(file: &Path, folder: &Path) -> Result<()> {
    if !folder.exists() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let target = folder.join(file.file_name().unwrap_or_default());
    if std::fs::hard_link(file, &target).is_err() {
        std::fs::copy(file, &target).map_err(at(file))?;
    }
    Ok(())
}
