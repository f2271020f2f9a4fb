//! The admin token: the way in that is always there, for whoever can read the data folder.

use crate::Error;
use crate::secret::{Digest, SecretText};
use parking_lot::{Mutex, RwLock};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub(crate) const ADMIN_TOKEN_FILE: &str = "admin-token";
/// When the admin token was last renewed.
const RENEWED_FILE: &str = "admin-token-renewed";
/// How often the file of the admin token is looked at.
const ADMIN_TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The bearer token with all rights, in a file that only the owner of the data folder can read.
pub struct AdminToken {
    path: PathBuf,
    known: RwLock<(Digest, Option<SystemTime>)>,
    checked: Mutex<Instant>,
}

impl AdminToken {
    /// The token of a data folder; made when there is none yet.
    pub fn load_or_create(folder: &Path) -> Result<AdminToken, Error> {
        let path = folder.join(ADMIN_TOKEN_FILE);
        let at = |source| Error::Io { path: path.display().to_string(), source };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(error)),
            _ => AdminToken::write(folder)?.reveal().to_owned(),
        };
        let known = RwLock::new((Digest::of(&text), modified(&path)));
        Ok(AdminToken { path, known, checked: Mutex::new(Instant::now()) })
    }

    /// Makes a new token in the place of the one that is there. A server that runs takes it within a second.
    ///
    /// Personal tokens that were made with the old one are good no more, either.
    pub fn renew(folder: &Path) -> Result<SecretText, Error> {
        let path = folder.join(RENEWED_FILE);
        let noted = std::fs::write(&path, kql::datetime::format(kql::datetime::now()));
        noted.map_err(|source| Error::Io { path: path.display().to_string(), source })?;
        AdminToken::write(folder)
    }

    fn write(folder: &Path) -> Result<SecretText, Error> {
        let path = folder.join(ADMIN_TOKEN_FILE);
        let at = |source| Error::Io { path: path.display().to_string(), source };
        let token = SecretText::random()?;
        let new = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let line = format!("{}\n", token.reveal());
        file.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all())).map_err(at)?;
        std::fs::rename(&new, &path).map_err(at)?;
        Ok(token)
    }

    pub(crate) fn is(&self, digest: Digest) -> bool {
        self.read_changed();
        self.known.read().0 == digest
    }

    /// Whether the token was renewed after a time, in ticks.
    pub(crate) fn was_renewed_after(&self, ticks: i64) -> bool {
        self.read_changed();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let text = std::fs::read_to_string(folder.join(RENEWED_FILE)).unwrap_or_default();
        kql::datetime::parse(text.trim()).is_some_and(|renewed| renewed > ticks)
    }

    /// What the next look finds is taken at once, whatever the clock says.
    #[cfg(test)]
    pub(crate) fn look_again(&self) {
        *self.checked.lock() -= ADMIN_TOKEN_CHECK_INTERVAL;
        // The clock of the file system may be coarse: what counts is that the file is another.
        self.known.write().1 = None;
    }

    /// Reads the file anew where it is another than it was.
    fn read_changed(&self) {
        let mut checked = self.checked.lock();
        if checked.elapsed() < ADMIN_TOKEN_CHECK_INTERVAL {
            return;
        }
        *checked = Instant::now();
        let now = modified(&self.path);
        if now.is_none() || now == self.known.read().1 {
            return;
        }
        if let Ok(text) = std::fs::read_to_string(&self.path)
            && !text.trim().is_empty()
        {
            *self.known.write() = (Digest::of(text.trim()), now);
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
