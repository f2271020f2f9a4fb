//! Detection: rules as data, evaluated over events as they arrive.
//!
//! A rule is a YAML file in `content/` (or the owner's own folder) with a KQL query. [`content`] reads it,
//! [`alerts`] and [`recommendations`] keep what it needs to know between events, [`intake`] takes the messages of a hub,
//! stores them and hands them to the rules; [`Fleet`] has one for each hub. Built-in and user rules are the same thing.
//!
//! Events are judged by their own time, never by the clock: a log of last year gives last year's alerts.

pub mod alerts;
pub mod builtin;
pub mod content;
mod detector;
pub mod events;
mod fleet;
pub mod intake;
mod mask;
pub mod recommendations;
pub mod rule_test;
mod settings;
mod split;
pub mod tables;

pub use detector::{Detector, Findings};
pub use fleet::Fleet;
pub use intake::Pipeline;
pub use settings::{Destination, OtherDestination, Settings};

/// What rules can fail on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is no rule; the payload is the file's name and the problem.
    #[error("{file}: {problem}")]
    Content { file: String, problem: String },
    /// A rule whose query is wrong.
    #[error("rule '{rule}': {problem}")]
    Query { rule: String, problem: String },
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    #[error("rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}
