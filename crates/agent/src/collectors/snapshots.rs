//! The periodic collectors together.

use super::{baseline, firewall, item, ports, system, users};
use crate::event::{Happening, fold, snapshot};
use messages::Event;
use serde_json::json;

/// One snapshot of everything. A collector that cannot see its part sends a diagnostic event that says so instead.
pub fn all() -> Vec<Event> {
    let now = kql::datetime::now();
    let mut events = vec![
        snapshot("SystemInformation", now, vec![system::information()]),
        snapshot("ListeningPorts", now, ports::listening()),
        snapshot("LocalUsers", now, users::local()),
        snapshot("OSBaseline", now, baseline::failures()),
    ];
    match firewall::rules() {
        Ok(rules) => events.push(snapshot("FirewallConfiguration", now, rules)),
        Err(reason) => events.extend(diagnostic(&format!("the firewall cannot be seen: {reason}"))),
    }
    events
}

/// An event that tells the hub what the agent cannot do.
pub fn diagnostic(message: &str) -> Vec<Event> {
    let id = std::process::id();
    let item = item(json!({ "Severity": "Warning", "Message": message, "ProcessId": id, "ThreadId": id }));
    fold(vec![Happening::new("Diagnostic", kql::datetime::now(), item)])
}
