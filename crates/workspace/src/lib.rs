//! Tables that last.
//!
//! A row goes log → hot rows → Delta file. [`Workspaces::append`] writes it to a durable log and answers when
//! the log is on disk ([`log`]); from then on queries see it in memory ([`hot`]). A flush moves the hot rows of a
//! table into Parquet files of a Delta Lake table, exactly once ([`delta`]), and the log is cut. Queries read the
//! hot rows and the files as one table ([`scan`]). What helps them to read less is worked out of the files in the
//! background ([`side`]).
//!
//! This crate knows databases, tables and rows; what the rows mean is not its business.

mod admission;
mod books;
mod cache;
mod catalog_file;
mod compact;
mod delta;
mod error;
pub mod format;
mod hot;
mod ids;
mod layout;
mod log;
mod machine;
mod maintain;
mod rows;
mod scan;
mod segments;
mod side;
mod snapshot;
mod storage;
mod store;
mod table;
mod table_file;
mod text_column;
mod usage;
mod writer;

pub use admission::Admission;
pub use books::Note;
pub use catalog_file::{FunctionEntry, MappingEntry, Notes, TableSchema};
pub use error::{Error, Result};
pub use maintain::{Deleted, Retention};
pub use rows::{BatchBuilder, Reject};
pub use snapshot::Snapshot;
pub use store::{AppendOnly, Options, TableInfo, Workspaces};
pub use writer::{Append, Appended, EventId};
