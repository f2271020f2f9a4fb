//! What the owner has set up, as resources in the shape of Azure's: an id, a type, and properties.
//!
//! [`ResourceId`] reads ids, [`Resources`] keeps resources in SQLite. What the properties of a type mean is in a module
//! of its own: [`collection_rule`], [`solution`]. Nothing here knows HTTP, or does what a resource asks for.

pub mod collection_rule;
mod id;
pub mod solution;
mod store;

pub use id::{ResourceId, group_id};
pub use store::{Error, Resource, Resources};
