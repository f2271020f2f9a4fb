//! The security message that devices send.
//!
//! The envelope and its event types are those of the retired agent, so that existing senders keep working; the rules
//! are written down as data in [`schema`] and, for the items of its successor, in [`micro`]. [`parse`] is strict: it takes a message whole or says which field is
//! wrong. No I/O happens here.

pub mod intake;
pub mod message;
pub mod micro;
pub mod schema;
mod validate;

pub use message::{Category, Event, EventType, SecurityMessage};
pub use validate::{Invalid, parse, shape};

/// A device-to-cloud message may have at most this many bytes.
pub const MESSAGE_BYTES_MAX: usize = 262_144;

/// The interface id that marks a message as a security message: an HTTP header, an MQTT topic property.
pub const SECURITY_INTERFACE: &str = "urn:azureiot:Security:SecurityAgent:1";
