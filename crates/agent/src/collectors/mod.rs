//! What the agent looks at. Each collector reads one part of the system and makes events of it; each can say what it
//! cannot see ([`firewall::sight`] and its kin).

pub mod auth_log;
pub mod baseline;
pub mod firewall;
pub mod login;
pub mod ports;
pub mod process;
mod process_connector;
pub mod snapshots;
pub mod system;
pub mod users;

use serde_json::{Map, Value};

/// A payload item.
pub type Item = Map<String, Value>;

/// The item of a JSON object literal.
pub fn item(value: Value) -> Item {
    match value {
        Value::Object(item) => item,
        _ => Item::new(),
    }
}
