//! Tables whose columns are held encoded, and the operators that work on them as they are.
//!
//! A table is a list of [`Segment`]s. A column of a segment is an array, or, where few values come again and again, a
//! dictionary: the values, and for each row the place of its value. What a query asks of a column is asked of the values
//! of its dictionary ([`program`]), filters and expressions are computed where the rows are read ([`scan`]), and rows
//! are grouped by places instead of by values ([`aggregate`]). Where only some rows will matter, the best of each group
//! ([`best`]) or the first in an order ([`leading`]), the other columns are read of those alone; what joins learn leaves
//! rows out ([`learn`]); where a segment's texts have not the terms that rows must have, none of it is read ([`needed`]).
//! [`rule`] finds the parts of a plan that these can do; all
//! others see rows in the engine's own types.

mod aggregate;
mod best;
mod condition;
mod encode;
mod estimate;
mod groups;
mod leading;
mod learn;
mod members;
mod needed;
mod program;
mod rule;
mod scan;

pub use encode::{dictionary_of, encoded, is_dictionary, plain};
pub(crate) use groups::Values;
pub(crate) use learn::TellScans;
pub use members::MemberPaths;
pub(crate) use program::keys_and_values;
pub(crate) use rule::UseSegments;
pub use scan::SegmentScan;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::physical_plan::PhysicalExpr;
use std::fmt::Debug;
use std::sync::Arc;

/// Rows of a table that are read and kept together.
pub trait Segment: Debug + Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// A column by its place in the table, a row for each of the segment: in the engine's type, or as a dictionary
    /// with keys of 32 bits, none of them null, over values of that type.
    fn column(&self, column: usize) -> Result<ArrayRef>;

    /// The least and greatest value of a column of longs, where they are known.
    fn bounds(&self, column: usize) -> Option<Bounds>;

    /// Whether it is certain that no text of a column has all of these terms. It may be asked of many segments before
    /// any is read, so it should cost little.
    fn lacks(&self, column: usize, needed: &NeededTerms) -> bool {
        let _ = (column, needed);
        false
    }

    /// Whether the values of a source are at hand ([`Segment::derived`]).
    fn is_kept(&self, source: &Source) -> bool {
        let _ = source;
        false
    }

    /// What is computed from this segment and may be kept: the array that `make` gives, or one that it gave before for
    /// the same source and expression.
    fn derived(
        &self,
        source: &Source,
        expression: Option<&Arc<dyn PhysicalExpr>>,
        make: &mut dyn FnMut() -> Result<ArrayRef>,
    ) -> Result<ArrayRef> {
        let _ = (source, expression);
        make()
    }
}

/// The least and greatest value of a column, either of which may be further out than it need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub least: i64,
    pub greatest: i64,
    pub has_nulls: bool,
}

/// Terms, in lower case, that one text has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededTerms {
    pub terms: Vec<String>,
    /// Whether they are looked for in what the text says as JSON rather than in the text as it is written: there
    /// `"\u0061"` is the term `a`.
    pub is_decoded: bool,
}

/// What an expression reads of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    Column(usize),
    /// What stands at a path in the JSON texts of a column: JSON texts, null where there is nothing. The steps are as
    /// JSON, names in quotes.
    Member {
        column: usize,
        path: Vec<String>,
    },
}
