//! The Kusto Query Language as text.
//!
//! This crate turns query text into a syntax tree, and a tree into text again ([`print()`]). It knows nothing of
//! tables, Arrow or I/O. Its one design decision: [`parse`] never fails. It always returns a tree together with the
//! diagnostics that were met, and recovers at the next pipe or statement, so that an editor can colour and complete a
//! half-written query and a person sees all mistakes at once.
//!
//! ```
//! let parsed = kql::parse("SecurityAlert | where AlertSeverity == 'High' | take 3");
//! assert!(parsed.diagnostics.is_empty());
//! assert_eq!(parsed.script.statements.len(), 1);
//! ```

pub mod datetime;
pub mod diagnostic;
pub mod timespan;
pub mod token;
pub mod tree;
pub mod types;

mod lexer;
mod parser;
mod print;

pub use diagnostic::{Diagnostic, Severity, Span};
pub use lexer::lex;
pub use parser::{MAX_CHAIN, MAX_NESTING, MAX_QUERY_BYTES, Parsed, operators, parse, parse_function, parse_guid};
pub use print::print;
pub use types::Type;
