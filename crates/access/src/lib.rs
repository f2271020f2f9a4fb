//! Who may do what.
//!
//! A **principal** is a person or a program. It shows who it is by a **secret** ([`secret`]): a password, a client
//! secret, a personal access token, a session. What it may do is said by **role assignments** ([`role`]): a role, which
//! is a list of actions, at a scope, which is a part of the tree of resources. [`Access`] keeps all of them and answers
//! the two questions of every call: [who is this](Access::by_token), and [may they do that](Caller::may).
//!
//! Nothing here knows HTTP or reads what is protected.

mod admin_token;
mod attempts;
mod link;
pub mod oidc;
mod passwords;
mod principal;
pub mod role;
mod secret;
mod state;
mod store;
mod ticket;

pub use admin_token::AdminToken;
pub use attempts::RateLimit;
pub use link::LINK_TICKS;
pub use principal::{Assignment, Caller, Grant, Kind, Means, Principal, SecretInfo};
pub use role::{ROLES, Role};
pub use secret::SecretText;
pub use store::{Access, NewSecret, Totp, UserChange, Wrong};

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no {0}")]
    NotFound(String),
    #[error("there already is {0}")]
    Exists(String),
    /// What was asked for is not allowed, and why.
    #[error("{0}")]
    Bad(String),
    #[error("no random numbers to be had")]
    NoRandomness,
    #[error(transparent)]
    Open(#[from] sqlite::Error),
    #[error("principals: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
}
