//! Summaries of many values that can be kept, sent and merged: values of type dynamic, as JSON.

pub mod digest;
pub mod distinct;
pub mod schema;
