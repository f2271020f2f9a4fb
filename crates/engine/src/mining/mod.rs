//! What many rows have in common: sets of values that stand together, and texts that differ in some words.

pub mod patterns;
pub mod templates;
