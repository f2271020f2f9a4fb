//! `POST /api/v1/backups`: a back-up of everything that the server keeps, while it runs, into a folder of its machine.

use crate::Services;
use crate::api::Body;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::ADMINISTER;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backup::{Added, Backup, Source};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is copied before it is backed up is below this folder of the data folder.
const STAGING: &str = "backup-staging";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// A folder, absolute.
    path: PathBuf,
    /// So many generations stay; all of them without it.
    keep: Option<usize>,
}

pub(crate) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
    body: Body,
) -> Result<Json<Added>, AzureError> {
    requester.may(ADMINISTER, "/")?;
    let request: Request = body.read()?;
    let bad = |problem: String| AzureError::bad_request("InvalidPath", problem);
    if !request.path.is_absolute() {
        return Err(bad(format!("'{}' is no absolute path", request.path.display())));
    }
    if request.path.starts_with(&services.data_folder) {
        return Err(bad("a back-up within the data folder would be lost with it; name another folder".to_owned()));
    }
    let Ok(_running) = services.bounds.backup.try_lock() else {
        return Err(AzureError::new(StatusCode::CONFLICT, "Conflict", "a back-up is being made already"));
    };
    let staging = Staging::new(&services.data_folder).map_err(|error| AzureError::internal(&error))?;
    services.directory.resources.copy_to(&staging.0.join("resources.sqlite")).await?;
    services.access.copy_to(&staging.0).await?;
    let copied = services.hubs.copy_to(&staging.0.join("hub.sqlite")).await;
    copied.map_err(|error| AzureError::internal(&error))?;
    // Last, so that devices and rules are at least as old as their rows.
    let snapshot = services.workspaces.snapshot().await?;
    let data = services.data_folder.clone();
    let added = tokio::task::spawn_blocking(move || {
        let backup = Backup::open_or_create(&request.path)?;
        let all = |_: &str| true;
        let added = backup.add(&[
            Source { folder: snapshot.folder().to_owned(), below: "workspace/", is_wanted: all },
            Source { folder: staging.0.clone(), below: "", is_wanted: all },
            Source { folder: data, below: "", is_wanted: is_kept },
        ])?;
        if let Some(keep) = request.keep {
            backup.prune(keep)?;
        }
        Ok(added)
    });
    let added: backup::Result<Added> = added.await.map_err(|error| AzureError::internal(&error))?;
    added.map(Json).map_err(|error| match error {
        backup::Error::NoBackup(_) | backup::Error::Io { .. } => bad(error.to_string()),
        other => AzureError::internal(&other),
    })
}

/// Files of the data folder that are backed up as they are: keys, certificates, ids. What is open has been copied; the
/// addresses are those of this run; the local agent makes its folder anew.
fn is_kept(path: &str) -> bool {
    let is_open = path.contains(".sqlite") || path == "lock";
    !path.contains('/') && !is_open && !matches!(path, "workspace" | "agent" | "endpoints.json" | STAGING)
}

/// A folder that goes when this is dropped.
struct Staging(PathBuf);

impl Staging {
    fn new(data: &Path) -> std::io::Result<Staging> {
        let folder = data.join(STAGING);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Staging(folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "what was copied for a back-up was not removed");
        }
    }
}
