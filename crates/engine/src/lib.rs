//! What a KQL query means, and its execution on Apache DataFusion.
//!
//! The engine binds a syntax tree against the tables of a [`catalog::Catalog`], gives every expression its
//! Kusto type, builds a DataFusion plan, and runs it. It knows nothing of HTTP, files or security. Its one
//! design decision: a `dynamic` value is its JSON text and a time is its ticks, so that what is stored, computed
//! and sent is the same bytes ([`types`]).

mod aggregates;
mod bind;
pub mod catalog;
pub mod cells;
pub mod columnar;
pub mod external;
mod formula;
pub mod functions;
mod graph;
pub mod json;
mod memory;
mod mining;
mod range;
mod rules;
mod scan;
pub mod session;
mod sketch;
pub mod slot;
pub mod together;
pub mod types;
mod windows;
pub mod within;

pub use bind::Visualization;
pub use datafusion::arrow::array::RecordBatch;
pub use session::{Answer, Caller, Error, Limits, Prepared, QueryOptions, Rows, Session};
pub use types::Column;
