//! The hub: who the devices are, and the doors that they come through.
//!
//! [`registry`] keeps identities and keys, [`credentials`] decides whether a token is good, [`https`] is the front
//! door over HTTPS. A message that is let in goes to a [`messages::intake::Intake`]; what becomes of it there is not
//! the hub's business.

pub mod credentials;
pub mod https;
pub mod registry;

pub use credentials::{Refusal, Sender};
pub use registry::{DEFAULT_HUB, Device, Hubs, Registry};
