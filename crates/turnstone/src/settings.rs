//! Where the data folder is, and what an instance knows of itself.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The data folder that is used when none is named: the user's own, or the system's for a service.
pub fn default_data_folder() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/share"));
    let base = std::env::var_os("XDG_DATA_HOME").filter(|d| !d.is_empty()).map(PathBuf::from).or_else(home);
    base.map_or_else(|| PathBuf::from("/var/lib/turnstone"), |b| b.join("turnstone"))
}

/// The ids that an instance was given at its first start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    pub subscription_id: String,
    pub workspace_id: String,
}

impl Instance {
    /// The ids of a data folder, made at the first call.
    pub fn load_or_create(data: &Path) -> Result<Instance, Failure> {
        let path = data.join("instance.json");
        let at = |e: &dyn std::fmt::Display| Failure::run(format!("{}: {e}", path.display()));
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| at(&e)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let id = || uuid::Uuid::new_v4().to_string();
                let instance = Instance { subscription_id: id(), workspace_id: id() };
                let text = serde_json::to_vec_pretty(&instance).map_err(|e| at(&e))?;
                std::fs::write(&path, text).map_err(|e| at(&e))?;
                Ok(instance)
            }
            Err(error) => Err(at(&error)),
        }
    }
}

/// Where a running server can be reached; written when it is ready, for commands on the same machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoints {
    pub http: String,
    pub https: String,
}

impl Endpoints {
    const FILE: &'static str = "endpoints.json";

    pub fn save(&self, data: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(data.join(Self::FILE), text)
    }

    pub fn load(data: &Path) -> Option<Endpoints> {
        std::fs::read(data.join(Self::FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok())
    }
}
