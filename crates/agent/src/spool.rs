//! Messages that wait to be sent, on disk: they survive power loss, and their number is bounded.
//!
//! Each message is a file named by its number. When the folder is full the oldest go; what was dropped is counted and
//! told to the hub in the next message.

use messages::{Event, MESSAGE_BYTES_MAX, SecurityMessage};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Messages are cut at this size, below what the hub takes, since one more event must not burst them.
const MESSAGE_BYTES_WANTED: usize = 128 << 10;

pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    agent_id: String,
    state: Mutex<State>,
}

struct State {
    next: u64,
    dropped_events: u64,
}

/// A waiting message.
pub struct Waiting {
    path: PathBuf,
    pub body: Vec<u8>,
}

impl Spool {
    /// Opens the spool of a state folder, or makes it.
    pub fn open(state: &Path, bytes_max: u64) -> Result<Spool, String> {
        let folder = state.join("spool");
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let agent_id = agent_id(state)?;
        let spool = Spool { folder, bytes_max, agent_id, state: Mutex::new(State { next: 1, dropped_events: 0 }) };
        let last = spool.files()?.last().map_or(0, |(number, _, _)| *number);
        spool.lock().next = last + 1;
        Ok(spool)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number, path and size of the waiting messages, oldest first.
    fn files(&self) -> Result<Vec<(u64, PathBuf, u64)>, String> {
        let at = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".json"));
            if let (Some(number), Ok(metadata)) = (number.and_then(|n| n.parse().ok()), path.metadata()) {
                files.push((number, path, metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Keeps events until they are sent; when this returns they are on disk.
    pub fn push(&self, events: Vec<Event>) -> Result<(), String> {
        let mut batch: Vec<Event> = Vec::new();
        let mut size = 0;
        for event in events {
            let length = serde_json::to_vec(&event).map_or(0, |v| v.len());
            if length > MESSAGE_BYTES_MAX - 1024 {
                // It could never be sent.
                self.lock().dropped_events += 1;
                continue;
            }
            if size + length > MESSAGE_BYTES_WANTED && !batch.is_empty() {
                self.write(std::mem::take(&mut batch))?;
                size = 0;
            }
            size += length;
            batch.push(event);
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    fn write(&self, mut events: Vec<Event>) -> Result<(), String> {
        let mut state = self.lock();
        self.make_room(&mut state)?;
        if state.dropped_events > 0 {
            let collected = events.len() as u64 + state.dropped_events;
            let item = serde_json::json!({
                "Queue": "High", "CollectedEvents": collected, "DroppedEvents": state.dropped_events,
            });
            let item = item.as_object().cloned().unwrap_or_default();
            events.push(crate::event::snapshot("DroppedEventsStatistics", kql::datetime::now(), vec![item]));
            state.dropped_events = 0;
        }
        let message = SecurityMessage {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            agent_id: self.agent_id.clone(),
            message_schema_version: "1.0".to_owned(),
            events,
        };
        let body = serde_json::to_vec(&message).map_err(|e| e.to_string())?;
        let path = self.folder.join(format!("{:020}.json", state.next));
        state.next += 1;
        write_durably(&path, &body).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn make_room(&self, state: &mut State) -> Result<(), String> {
        let files = self.files()?;
        let mut total: u64 = files.iter().map(|(_, _, size)| size).sum();
        for (_, path, size) in files {
            if total <= self.bytes_max {
                break;
            }
            state.dropped_events += count_events(&path);
            std::fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            total -= size;
        }
        Ok(())
    }

    /// The oldest waiting message. One that cannot be read is damaged and goes.
    pub fn oldest(&self) -> Option<Waiting> {
        for (_, path, _) in self.files().ok()? {
            match std::fs::read(&path) {
                Ok(body) if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() => {
                    return Some(Waiting { path, body });
                }
                _ => {
                    self.lock().dropped_events += 1;
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
        None
    }

    /// Forgets a message that the hub has taken, or that it will never take.
    pub fn done(&self, waiting: &Waiting) {
        let _ = std::fs::remove_file(&waiting.path);
    }

    /// Counts the events of a message as lost.
    pub fn lost(&self, waiting: &Waiting) {
        self.lock().dropped_events += count_events(&waiting.path);
        self.done(waiting);
    }
}

fn count_events(path: &Path) -> u64 {
    let message: Option<serde_json::Value> = std::fs::read(path).ok().and_then(|b| serde_json::from_slice(&b).ok());
    message.and_then(|m| m["Events"].as_array().map(|e| e.len() as u64)).unwrap_or(1)
}

/// Writes a file that is there whole or not at all, and there for good when this returns.
pub fn write_durably(path: &Path, body: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(body)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The agent's own id, made at the first start.
fn agent_id(state: &Path) -> Result<String, String> {
    let path = state.join("agent-id");
    if let Some(id) = std::fs::read_to_string(&path).ok().and_then(|t| kql::parse_guid(&t)) {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4().to_string();
    write_durably(&path, id.as_bytes()).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::snapshot;
    use serde_json::json;

    fn events(n: usize) -> Vec<Event> {
        let item = json!({"UserId": "0", "UserName": "x".repeat(1000), "GroupIds": "0", "GroupNames": "root"});
        (0..n)
            .map(|_| snapshot("LocalUsers", kql::datetime::now(), vec![item.as_object().cloned().unwrap_or_default()]))
            .collect()
    }

    #[test]
    fn messages_survive_and_come_oldest_first() {
        let state = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(state.path(), 1 << 20).expect("opened");
        spool.push(events(1)).expect("kept");
        spool.push(events(2)).expect("kept");
        drop(spool);
        let spool = Spool::open(state.path(), 1 << 20).expect("opened again");
        let first = spool.oldest().expect("a message");
        let parsed = messages::parse(&first.body).expect("the hub would take it");
        assert_eq!(parsed.events.len(), 1);
        spool.done(&first);
        let second = spool.oldest().expect("a message");
        assert_eq!(messages::parse(&second.body).expect("valid").events.len(), 2);
        spool.done(&second);
        assert!(spool.oldest().is_none());
    }

    #[test]
    fn a_full_spool_drops_the_oldest_and_says_so() {
        let state = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(state.path(), 10_000).expect("opened");
        for _ in 0..20 {
            spool.push(events(1)).expect("kept");
        }
        let mut dropped = 0;
        let mut kept = 0;
        while let Some(waiting) = spool.oldest() {
            for event in messages::parse(&waiting.body).expect("valid").events {
                match event.name.as_str() {
                    "DroppedEventsStatistics" => dropped += event.payload[0]["DroppedEvents"].as_u64().unwrap_or(0),
                    _ => kept += 1,
                }
            }
            spool.done(&waiting);
        }
        assert!(kept < 20 && dropped > 0, "kept {kept}, dropped {dropped}");
    }

    #[test]
    fn large_batches_are_cut_into_messages_that_fit() {
        let state = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(state.path(), 10 << 20).expect("opened");
        spool.push(events(400)).expect("kept");
        let mut count = 0;
        while let Some(waiting) = spool.oldest() {
            count += messages::parse(&waiting.body).expect("fits").events.len();
            spool.done(&waiting);
        }
        assert_eq!(count, 400);
    }
}
