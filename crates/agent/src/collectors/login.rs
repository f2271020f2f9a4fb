//! Sign-ins as they happen: /var/log/auth.log, the journal where there is no such file, and the records of terminals
//! in wtmp and btmp.

use super::auth_log::AuthLog;
use super::item;
use crate::event::Happening;
use crate::spool::write_durably;
use kql::datetime;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const AUTH_LOGS: [&str; 2] = ["/var/log/auth.log", "/var/log/secure"];
const RECORDS: [(&str, bool); 2] = [("/var/log/wtmp", true), ("/var/log/btmp", false)];
/// At the first start this much of the end of each file is read, later what came since.
const HISTORY_BYTES_MAX: u64 = 1 << 20;
const JOURNAL_INTERVAL: Duration = Duration::from_secs(5);

/// struct utmp of glibc on Linux: the size of a record, and where its fields are.
const RECORD_BYTES: usize = 384;
const USER_PROCESS: i16 = 7;
const LOGIN_PROCESS: i16 = 6;

/// Reads what is new in each source, and remembers how far it has come.
pub struct LoginWatcher {
    checkpoint: PathBuf,
    places: BTreeMap<String, Place>,
    saved: BTreeMap<String, Place>,
    journal_due: Instant,
}

/// How far a file has been read.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Place {
    inode: u64,
    offset: u64,
    /// Of the journal.
    cursor: Option<String>,
}

impl LoginWatcher {
    pub fn open(state: &Path) -> LoginWatcher {
        let checkpoint = state.join("logins.json");
        let places: BTreeMap<String, Place> =
            std::fs::read(&checkpoint).ok().and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default();
        LoginWatcher { checkpoint, saved: places.clone(), places, journal_due: Instant::now() }
    }

    /// Remembers on disk how far the sources have been read. To be called when what was read is safe.
    pub fn checkpoint(&mut self) {
        if self.places != self.saved
            && let Ok(text) = serde_json::to_vec(&self.places)
            && write_durably(&self.checkpoint, &text).is_ok()
        {
            self.saved = self.places.clone();
        }
    }

    /// What is new.
    pub fn read(&mut self) -> Vec<Happening> {
        let mut found = Vec::new();
        let mut has_log = false;
        for path in AUTH_LOGS {
            let Some((start, bytes)) = self.new_bytes(path, 1) else { continue };
            has_log = true;
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            self.advance(path, whole as u64);
            let mut log = AuthLog::new(None);
            let mut offset = start;
            for line in bytes[..whole].split_inclusive(|b| *b == b'\n') {
                let text = String::from_utf8_lossy(line);
                let happening = log.login(text.trim_end());
                found.extend(happening.map(|h| h.identified(format!("{path} {offset} {}", text.trim_end()))));
                offset += line.len() as u64;
            }
        }
        for (path, is_success) in RECORDS {
            let Some((start, bytes)) = self.new_bytes(path, RECORD_BYTES as u64) else { continue };
            let whole = bytes.len() / RECORD_BYTES * RECORD_BYTES;
            self.advance(path, whole as u64);
            for (i, record) in bytes[..whole].chunks_exact(RECORD_BYTES).enumerate() {
                let happening = terminal_login(record, is_success, has_log);
                let offset = start + (i * RECORD_BYTES) as u64;
                found.extend(happening.map(|h| {
                    let identity = format!("{path} {offset} {}", h.ticks);
                    h.identified(identity)
                }));
            }
        }
        if !has_log && Instant::now() >= self.journal_due {
            self.journal_due = Instant::now() + JOURNAL_INTERVAL;
            found.extend(self.journal());
        }
        found
    }

    /// The bytes of a file that have not been read, and where they begin; `None` for a file that is not to be had.
    fn new_bytes(&mut self, path: &str, unit: u64) -> Option<(u64, Vec<u8>)> {
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let history = metadata.len().saturating_sub(HISTORY_BYTES_MAX).div_ceil(unit) * unit;
        let first = Place { inode: metadata.ino(), offset: history, cursor: None };
        let place = self.places.entry(path.to_owned()).or_insert(first);
        // Another file under the same name, or a shorter one: the log was rotated.
        if place.inode != metadata.ino() || place.offset > metadata.len() {
            *place = Place { inode: metadata.ino(), offset: 0, cursor: None };
        }
        let start = place.offset;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).ok()?;
        file.take(HISTORY_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some((start, bytes))
    }

    fn advance(&mut self, path: &str, bytes: u64) {
        if let Some(place) = self.places.get_mut(path) {
            place.offset += bytes;
        }
    }

    /// The journal's lines of the programs that sign people in.
    fn journal(&mut self) -> Vec<Happening> {
        let place = self.places.entry("journal".to_owned()).or_default();
        let mut command = Command::new("journalctl");
        command.args([
            "-q",
            "-o",
            "short-iso-precise",
            "--show-cursor",
            "-t",
            "sshd",
            "-t",
            "su",
            "-t",
            "sudo",
            "-t",
            "login",
        ]);
        match &place.cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => command.args(["--since", "-1d"]),
        };
        let Ok(output) = command.output() else { return Vec::new() };
        let mut log = AuthLog::new(None);
        let mut found = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some(cursor) = line.strip_prefix("-- cursor: ") {
                place.cursor = Some(cursor.to_owned());
            } else {
                found.extend(log.login(line).map(|h| h.identified(format!("journal {line}"))));
            }
        }
        found
    }
}

/// A record of wtmp (sign-ins that worked) or btmp (those that did not). Remote ones are told by auth.log as well,
/// with more; then they are left to it.
fn terminal_login(record: &[u8], is_success: bool, remote_told_elsewhere: bool) -> Option<Happening> {
    let text = |from: usize, length: usize| {
        let bytes = &record[from..from + length];
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(length);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let number =
        |from: usize| record.get(from..from + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes).unwrap_or(0);
    let kind = i16::from_ne_bytes([record[0], record[1]]);
    if kind != USER_PROCESS && (is_success || kind != LOGIN_PROCESS) {
        return None;
    }
    let (user, host) = (text(44, 32), text(76, 256));
    if user.is_empty() || (remote_told_elsewhere && !host.is_empty()) {
        return None;
    }
    let micros = i64::from(number(340)) * 1_000_000 + i64::from(number(344));
    let mut login = item(json!({
        "ProcessId": number(4),
        "UserName": user,
        "Operation": "login",
        "Executable": text(8, 32),
        "Result": if is_success { "Success" } else { "Fail" },
    }));
    if !host.is_empty() {
        login.insert("RemoteAddress".to_owned(), json!(host));
    }
    Some(Happening::new("Login", datetime::from_unix_micros(micros), login))
}

/// What `doctor` says.
pub fn sight() -> Result<String, String> {
    let paths = AUTH_LOGS.iter().copied().chain(RECORDS.iter().map(|(path, _)| *path));
    let readable: Vec<&str> = paths.filter(|path| File::open(path).is_ok()).collect();
    let has_journal = Command::new("journalctl").arg("--version").output().is_ok_and(|o| o.status.success());
    match (readable.is_empty(), has_journal) {
        (true, false) => Err("neither a log of sign-ins nor the journal can be read".to_owned()),
        (true, true) => Ok("the journal".to_owned()),
        (false, _) => Ok(readable.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, user: &str, host: &str) -> Vec<u8> {
        let mut record = vec![0u8; RECORD_BYTES];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[4..8].copy_from_slice(&42i32.to_ne_bytes());
        record[8..12].copy_from_slice(b"tty1");
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        record[340..344].copy_from_slice(&1_772_442_900i32.to_ne_bytes());
        record
    }

    #[test]
    fn records_of_terminals() {
        let login = terminal_login(&record(USER_PROCESS, "pump", ""), true, true).expect("a login");
        assert_eq!((&login.item["UserName"], &login.item["Executable"]), (&json!("pump"), &json!("tty1")));
        assert_eq!(datetime::format_short(login.ticks), "2026-03-02T09:15:00Z");
        assert!(terminal_login(&record(USER_PROCESS, "pump", "192.0.2.1"), true, true).is_none());
        assert!(terminal_login(&record(USER_PROCESS, "pump", "192.0.2.1"), true, false).is_some());
        assert!(terminal_login(&record(8, "pump", ""), true, true).is_none(), "a logout is no login");
        assert!(terminal_login(&record(LOGIN_PROCESS, "root", ""), false, true).is_some());
    }
}
