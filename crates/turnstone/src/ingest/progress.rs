//! How far a file has been sent, for the case that sending is cut off. Kept in the user's state folder.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file as it was when its sending began, and how much of it is acknowledged.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    size: u64,
    changed_nanos: u64,
    /// Bytes of the unpacked file, or rows.
    position: u64,
    rows: u64,
}

/// The progress of one file into one table of one server.
pub struct Progress {
    path: PathBuf,
    saved: Saved,
}

impl Progress {
    /// What is known of a file that is sent to `target`. A file that has changed since is begun anew.
    pub fn load(file: &Path, target: &str) -> Progress {
        let name = format!("{}\u{0}{target}", file.canonicalize().unwrap_or_else(|_| file.to_owned()).display());
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
        let path = state_folder().join(format!("{name}.json"));
        let metadata = file.metadata().ok();
        let changed = metadata.as_ref().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let now = Saved {
            size: metadata.map_or(0, |m| m.len()),
            changed_nanos: changed.map_or(0, |changed| changed.as_nanos() as u64),
            ..Saved::default()
        };
        let known: Option<Saved> = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let same = known.filter(|known| (known.size, known.changed_nanos) == (now.size, now.changed_nanos));
        Progress { path, saved: same.unwrap_or(now) }
    }

    /// Where to go on; 0 for a file that is new.
    pub fn position(&self) -> u64 {
        self.saved.position
    }

    /// Rows that are stored.
    pub fn rows(&self) -> u64 {
        self.saved.rows
    }

    pub fn restart(&mut self) {
        (self.saved.position, self.saved.rows) = (0, 0);
    }

    /// Notes that everything before `position` is stored. That this is not kept costs a repeat at worst, which the server
    /// knows as one.
    pub fn advance(&mut self, position: u64, rows: u64) {
        self.saved.position = position;
        self.saved.rows += rows;
        let Some(folder) = self.path.parent() else { return };
        if let Ok(text) = serde_json::to_vec(&self.saved)
            && std::fs::create_dir_all(folder).is_ok()
        {
            let _ = std::fs::write(&self.path, text);
        }
    }

    /// Forgets a file that is sent as a whole.
    pub fn done(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn state_folder() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME").filter(|d| !d.is_empty()).map(PathBuf::from).or_else(home);
    base.unwrap_or_else(std::env::temp_dir).join("turnstone/ingest")
}
