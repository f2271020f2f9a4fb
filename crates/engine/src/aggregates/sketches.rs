//! Aggregates whose results can be merged by queries: `hll`, `tdigest`, `buildschema`. Their state is their result.

use super::Groups;
use crate::sketch::digest::{Digest, real_key};
use crate::sketch::distinct::Distinct;
use crate::sketch::schema::Schema;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::EmitTo;
use std::sync::Arc;

/// The summary of one group.
pub(super) trait Sketch: Clone + Send + Sync {
    /// Takes in a row of arguments, of which the first is not null.
    fn add(&mut self, values: &[ArrayRef], row: usize) -> Result<()>;
    /// Takes in another summary.
    fn absorb(&mut self, text: &str) -> Result<()>;
    /// The summary as JSON; `None` for no rows.
    fn print(&mut self) -> Option<String>;
    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

fn failed(message: &str) -> DataFusionError {
    DataFusionError::Execution(message.to_owned())
}

/// Hashes of values, as longs.
#[derive(Clone)]
pub(super) struct Hashes {
    pub empty: Distinct,
    pub found: Option<Distinct>,
}

impl Sketch for Hashes {
    fn add(&mut self, values: &[ArrayRef], row: usize) -> Result<()> {
        let hash = values[0].as_primitive::<Int64Type>().value(row);
        self.found.get_or_insert_with(|| self.empty.clone()).add(hash.cast_unsigned());
        Ok(())
    }

    fn absorb(&mut self, text: &str) -> Result<()> {
        let other = Distinct::parse(text).ok_or_else(|| failed("this is no result of hll()"))?;
        match &mut self.found {
            None => self.found = Some(other),
            Some(found) => {
                found
                    .merge(&other)
                    .ok_or_else(|| failed("results of hll() of different accuracies cannot be merged"))?;
            }
        }
        Ok(())
    }

    fn print(&mut self) -> Option<String> {
        self.found.as_ref().map(Distinct::print)
    }

    fn size(&self) -> usize {
        self.found.as_ref().map_or(0, Distinct::size)
    }
}

/// Values with weights: the first argument a long, a real or ticks, the second a long.
impl Sketch for Digest {
    fn add(&mut self, values: &[ArrayRef], row: usize) -> Result<()> {
        let key = match values[0].as_primitive_opt::<Float64Type>() {
            Some(reals) => real_key(reals.value(row)),
            None => values[0].as_primitive::<Int64Type>().value(row),
        };
        let weight = match values.get(1) {
            Some(weights) if weights.is_null(row) => 0,
            Some(weights) => u64::try_from(weights.as_primitive::<Int64Type>().value(row)).unwrap_or(0),
            None => 1,
        };
        Digest::add(self, key, weight);
        Ok(())
    }

    fn absorb(&mut self, text: &str) -> Result<()> {
        let other = Digest::parse(text).ok_or_else(|| failed("this is no result of tdigest()"))?;
        self.merge(&other).ok_or_else(|| failed("results of tdigest() of different types cannot be merged"))
    }

    fn print(&mut self) -> Option<String> {
        (!self.is_empty()).then(|| Digest::print(self))
    }

    fn size(&self) -> usize {
        Digest::size(self)
    }
}

impl Sketch for Schema {
    fn add(&mut self, values: &[ArrayRef], row: usize) -> Result<()> {
        self.admit(&crate::json::tree(values[0].as_string_view().value(row)));
        Ok(())
    }

    fn absorb(&mut self, text: &str) -> Result<()> {
        self.merge(&Schema::parse(text).ok_or_else(|| failed("this is no schema"))?);
        Ok(())
    }

    fn print(&mut self) -> Option<String> {
        (!self.is_empty()).then(|| Schema::print(self))
    }

    fn size(&self) -> usize {
        Schema::size(self)
    }
}

/// One sketch for each group.
pub(super) struct Sketches<S> {
    empty: S,
    groups: Vec<S>,
    /// True where the rows are summaries themselves.
    merges: bool,
    bytes: usize,
}

impl<S: Sketch> Sketches<S> {
    pub(super) fn new(empty: S, merges: bool) -> Sketches<S> {
        Sketches { empty, groups: Vec::new(), merges, bytes: 0 }
    }

    fn emit(&mut self, emit: EmitTo) -> ArrayRef {
        let mut builder = StringViewBuilder::new();
        for mut group in emit.take_needed(&mut self.groups) {
            self.bytes = self.bytes.saturating_sub(group.size());
            builder.append_option(group.print());
        }
        Arc::new(builder.finish())
    }
}

impl<S: Sketch> Groups for Sketches<S> {
    fn resize(&mut self, groups: usize) {
        let empty = self.empty.clone();
        self.groups.resize_with(groups, || empty.clone());
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let nulls = values[0].logical_nulls();
        for (row, g) in group.iter().enumerate() {
            if !counts(row) || nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let before = self.groups[*g].size();
            if self.merges {
                self.groups[*g].absorb(values[0].as_string_view().value(row))?;
            } else {
                self.groups[*g].add(values, row)?;
            }
            self.bytes = (self.bytes + self.groups[*g].size()).saturating_sub(before);
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let texts = states[0].as_string_view();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            let before = self.groups[*g].size();
            self.groups[*g].absorb(texts.value(row))?;
            self.bytes = (self.bytes + self.groups[*g].size()).saturating_sub(before);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit)])
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<S>()
    }
}
