//! The device protocol's pure parts, shared by the hub and the agent: connection strings and SAS tokens as values.
//!
//! No I/O and no clock: whoever calls says what time it is.

pub mod connection;
pub mod sas;

pub use connection::ConnectionString;
pub use sas::{Key, SasToken};

/// The longest device or module id.
pub const ID_LENGTH_MAX: usize = 128;

/// Whether `id` can be a device or module id: ASCII letters, digits and `- . % _ * ? ! ( ) , : = @ $ '`.
pub fn is_valid_id(id: &str) -> bool {
    (1..=ID_LENGTH_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.%_*?!(),:=@$'".contains(&b))
}
