//! The message as values.

use serde::Serialize;
use serde_json::{Map, Value};

/// Envelope and events. Sending is serialising it; receiving goes through [`crate::parse`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityMessage {
    pub agent_version: String,
    /// A guid of 36 characters.
    pub agent_id: String,
    /// Always `1.0`.
    pub message_schema_version: String,
    /// At least one.
    pub events: Vec<Event>,
}

/// One event: a happening (`Triggered`), a snapshot (`Periodic`) or several happenings folded into one
/// (`Aggregated`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// A guid; the same when the event is sent again.
    pub id: String,
    /// RFC 3339, with the device's offset.
    pub timestamp_local: String,
    /// RFC 3339, UTC.
    #[serde(rename = "TimestampUTC")]
    pub timestamp_utc: String,
    pub category: Category,
    /// The event type, such as `ProcessCreate`.
    pub name: String,
    pub event_type: EventType,
    /// True for a snapshot that found nothing.
    pub is_empty: bool,
    /// Always `1.0`.
    pub payload_schema_version: String,
    /// The items; each becomes a row.
    pub payload: Vec<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Category {
    Periodic,
    Triggered,
    Aggregated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
    Security,
    Operational,
    Diagnostic,
}

impl Category {
    pub fn name(self) -> &'static str {
        match self {
            Category::Periodic => "Periodic",
            Category::Triggered => "Triggered",
            Category::Aggregated => "Aggregated",
        }
    }
}

impl EventType {
    pub fn name(self) -> &'static str {
        match self {
            EventType::Security => "Security",
            EventType::Operational => "Operational",
            EventType::Diagnostic => "Diagnostic",
        }
    }
}
