//! The terms of a column's texts in one row group.

use super::filter::{TermHashes, term_hash};
use arrow::array::{Array, StringViewArray};
use engine::functions::terms::each_term;
use engine::json;

/// A row group whose column has more different terms has no filter: it would help little and take much room.
const TERMS_MAX: usize = 1 << 20;
/// Texts seen last, by their views, are not looked at again.
const RECENT_TEXTS: usize = 256;

#[derive(Default)]
pub(super) struct Terms {
    pub hashes: TermHashes,
    /// Whether a text that is JSON has terms that are others once its escapes are resolved.
    pub has_escapes: bool,
}

impl Terms {
    /// The terms of texts; those of dynamic columns are JSON, others may be. `None` where there are too many.
    pub fn of_texts(texts: &StringViewArray, is_dynamic: bool) -> Option<Terms> {
        let mut terms = Terms::default();
        let mut recent = vec![None; RECENT_TEXTS];
        for (row, view) in texts.views().iter().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
            // Texts with the same view are the same; those of a dictionary have one view each.
            let folded = (view ^ (view >> 64)) as u64;
            let slot = &mut recent[(folded ^ (folded >> 32)) as usize % RECENT_TEXTS];
            if slot.replace(*view) == Some(*view) {
                continue;
            }
            let text = texts.value(row);
            each_term(text, |term| terms.hashes.insert(term_hash(term)));
            if terms.hashes.len() > TERMS_MAX {
                return None;
            }
            terms.has_escapes = terms.has_escapes || reads_otherwise(text, is_dynamic);
        }
        Some(terms)
    }
}

/// Whether what a text says as JSON may have other terms than the text as it is written.
fn reads_otherwise(text: &str, is_dynamic: bool) -> bool {
    let may_be_json = is_dynamic || text.trim_start().starts_with(['{', '[']);
    let is_letter = |at: usize| text.as_bytes().get(at + 1).is_some_and(|next| b"bfnrtu".contains(next));
    (may_be_json && memchr::memchr_iter(b'\\', text.as_bytes()).any(is_letter)) || (is_dynamic && !json::is_valid(text))
}
