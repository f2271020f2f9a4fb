//! The seam between the hub's front doors and what becomes of messages.

use crate::{Invalid, SecurityMessage};

/// A message that a front door has taken from an authenticated sender.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The name of the hub whose device it is.
    pub hub: String,
    pub device_id: String,
    pub module_id: Option<String>,
    pub message: SecurityMessage,
    /// When it arrived, in ticks.
    pub received_ticks: i64,
}

/// A message that was refused, from an authenticated sender.
#[derive(Debug, Clone)]
pub struct Refused {
    pub hub: String,
    pub device_id: String,
    pub module_id: Option<String>,
    pub reason: Invalid,
    pub size_bytes: usize,
    pub received_ticks: i64,
}

/// Why a message was not kept. The sender must send it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// Too much waits already; try again later.
    #[error("too many messages wait; try again in a few seconds")]
    Busy,
    /// The store failed.
    #[error("the message could not be stored: {0}")]
    Failed(String),
}

/// Where front doors hand messages to.
#[async_trait::async_trait]
pub trait Intake: Send + Sync {
    /// Keeps a message; when this returns it is on disk.
    async fn accept(&self, delivery: Delivery) -> Result<(), NotKept>;

    /// Notes that a message was refused, so that its device's owner can see it.
    async fn note_refused(&self, refused: Refused);
}
