//! Process starts: from the kernel's process connector, or by looking at /proc where that is refused.

use super::{item, process_connector, users};
use crate::event::Happening;
use kql::datetime;
use serde_json::json;
use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Between two looks at /proc. Processes that live shorter go unseen then, which the agent says at its start.
const POLLING_INTERVAL: Duration = Duration::from_millis(200);
/// Longer command lines are cut, so that one process cannot burst a message.
const COMMAND_LINE_CHARS_MAX: usize = 8192;

/// The ids of all processes that can be seen.
pub fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok())).collect()
}

/// Starts watching in threads of its own; reports what runs already and every start from now on. What it cannot see
/// is the result.
pub fn watch(found: Sender<Happening>) -> Vec<String> {
    let known: HashMap<u32, u64> = pids().into_iter().filter_map(|pid| Some((pid, start_time(pid)?))).collect();
    for pid in known.keys() {
        if let Some(happening) = running(*pid) {
            let _ = found.send(happening);
        }
    }
    match process_connector::open() {
        Ok(connector) => {
            std::thread::spawn(move || {
                while let Some(pid) = connector.next_exec() {
                    if let Some(happening) = started(pid)
                        && found.send(happening).is_err()
                    {
                        break;
                    }
                }
            });
            Vec::new()
        }
        Err(reason) => {
            std::thread::spawn(move || poll(&found, known));
            vec![format!("{reason}; process starts are found by polling /proc, short-lived ones may be missed")]
        }
    }
}

/// What `doctor` says.
pub fn sight() -> Result<String, String> {
    match process_connector::open() {
        Ok(_) => Ok("every start, by the kernel's process connector".to_owned()),
        Err(reason) => Err(format!("{reason}; only processes that live longer than {POLLING_INTERVAL:?}")),
    }
}

fn poll(found: &Sender<Happening>, mut known: HashMap<u32, u64>) {
    loop {
        std::thread::sleep(POLLING_INTERVAL);
        let mut now = HashMap::new();
        for pid in pids() {
            let Some(start) = start_time(pid) else { continue };
            now.insert(pid, start);
            if known.get(&pid) != Some(&start)
                && let Some(happening) = started(pid)
                && found.send(happening).is_err()
            {
                return;
            }
        }
        known = now;
    }
}

/// A process's start in clock ticks since the machine's.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks and parentheses.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// A process that has just started.
fn started(pid: u32) -> Option<Happening> {
    describe(pid, datetime::now())
}

/// A process that ran before the agent did; with an identity, so that a restart of the agent does not report it anew.
fn running(pid: u32) -> Option<Happening> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let start = start_time(pid)?;
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    // The kernel counts in hundredths of a second for programs, whatever it does inside.
    let ago_seconds = uptime - start as f64 / 100.0;
    let ticks = datetime::now() - (ago_seconds.max(0.0) * kql::timespan::TICKS_PER_SECOND as f64) as i64;
    Some(describe(pid, ticks)?.identified(format!("{} {pid} {start}", boot.trim())))
}

fn describe(pid: u32, ticks: i64) -> Option<Happening> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<String> =
        raw.split(|b| *b == 0).filter(|w| !w.is_empty()).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    // Threads of the kernel have no command line.
    let first = words.first()?.clone();
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).map(|p| p.to_string_lossy().into_owned());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.split_whitespace().next()).map(str::to_owned)
    };
    let uid = field("Uid:").unwrap_or_default();
    let mut process = item(json!({
        "Executable": executable.unwrap_or(first),
        "ProcessId": pid,
        "ParentProcessId": field("PPid:").and_then(|p| p.parse::<u32>().ok()).unwrap_or(0),
        "UserId": uid,
        "CommandLine": words.join(" ").chars().take(COMMAND_LINE_CHARS_MAX).collect::<String>(),
    }));
    if let Some(name) = uid.parse().ok().and_then(users::name_of) {
        process.insert("UserName".to_owned(), json!(name));
    }
    Some(Happening::new("ProcessCreate", ticks, process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself() {
        let me = running(std::process::id()).expect("this process");
        assert_eq!(me.item["ProcessId"], std::process::id());
        assert!(me.ticks <= datetime::now() && me.ticks > datetime::now() - kql::timespan::TICKS_PER_HOUR);
        assert!(me.identity.is_some());
    }
}
