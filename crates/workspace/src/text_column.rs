//! A column of texts under construction: each value is copied once, into one buffer, and values that were just seen
//! are not copied again.
//!
//! Columns of events repeat themselves: names of hubs, severities, descriptions. A view of such a value points to where
//! it stands already, which makes the rows smaller in memory and in the log.

use arrow::array::{ArrayRef, StringViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use std::sync::Arc;

/// Texts up to this length stand in their view; see Arrow's format.
const INLINE_BYTES_MAX: usize = 12;
/// A buffer is closed before it is larger than this: offsets in views are 32 bits wide, and signed for some readers.
const BUFFER_BYTES_MAX: usize = 1 << 30;
/// This many values are remembered, by their hash.
const RECENT_VALUES: usize = 256;
/// After so many values without a use of the memory, no more are looked up.
const RECENT_TRIES: u32 = 512;

#[derive(Default)]
pub(crate) struct TextColumn {
    views: Vec<u128>,
    closed: Vec<Buffer>,
    data: Vec<u8>,
    /// The rows that are null; empty while there are none.
    nulls: Vec<bool>,
    /// For a hash the view of the last long value that had it, 0 for none.
    recent: Vec<u128>,
    /// Look-ups left until the memory is given up; each find buys more.
    tries: u32,
}

impl TextColumn {
    pub fn new() -> TextColumn {
        TextColumn { tries: RECENT_TRIES, ..TextColumn::default() }
    }

    /// Adds a value, which must be UTF-8; [`TextColumn::finish`] checks that it is.
    pub fn push(&mut self, value: &[u8]) {
        if value.len() <= INLINE_BYTES_MAX {
            self.push_view(make_view(value, 0, 0));
            return;
        }
        if self.tries == 0 {
            let view = self.copy(value);
            return self.push_view(view);
        }
        if self.recent.is_empty() {
            self.recent = vec![0; RECENT_VALUES];
        }
        let slot = hash(value) % RECENT_VALUES;
        let known = self.recent[slot];
        if known != 0 && self.long_value(known) == Some(value) {
            self.tries = (self.tries + 8).min(RECENT_TRIES);
            return self.push_view(known);
        }
        self.tries -= 1;
        let view = self.copy(value);
        self.recent[slot] = view;
        self.push_view(view);
    }

    pub fn push_null(&mut self) {
        if self.nulls.is_empty() {
            self.nulls = vec![true; self.views.len()];
        }
        self.views.push(0);
        self.nulls.push(false);
    }

    pub fn push_option(&mut self, value: Option<&str>) {
        match value {
            Some(text) => self.push(text.as_bytes()),
            None => self.push_null(),
        }
    }

    fn push_view(&mut self, view: u128) {
        self.views.push(view);
        if !self.nulls.is_empty() {
            self.nulls.push(true);
        }
    }

    /// The value of a view into the buffer that is open; `None` when it is in another.
    fn long_value(&self, view: u128) -> Option<&[u8]> {
        let (length, block, offset) = (view as u32, (view >> 64) as u32, (view >> 96) as u32);
        if block as usize != self.closed.len() {
            return None;
        }
        self.data.get(offset as usize..offset as usize + length as usize)
    }

    fn copy(&mut self, value: &[u8]) -> u128 {
        if self.data.len() + value.len() > BUFFER_BYTES_MAX && !self.data.is_empty() {
            self.closed.push(Buffer::from_vec(std::mem::take(&mut self.data)));
        }
        let view = make_view(value, self.closed.len() as u32, self.data.len() as u32);
        self.data.extend_from_slice(value);
        view
    }

    pub fn finish(self) -> Result<ArrayRef, arrow::error::ArrowError> {
        let mut buffers = self.closed;
        if !self.data.is_empty() {
            let mut data = self.data;
            // What a hot row keeps should be values and not room for more.
            data.shrink_to_fit();
            buffers.push(Buffer::from_vec(data));
        }
        let nulls = (!self.nulls.is_empty()).then(|| NullBuffer::from(self.nulls));
        Ok(Arc::new(StringViewArray::try_new(ScalarBuffer::from(self.views), buffers, nulls)?))
    }
}

/// Mixes the length and three places of a text that is longer than [`INLINE_BYTES_MAX`].
fn hash(value: &[u8]) -> usize {
    let word = |at: usize| value.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes);
    // Places that differ in their last byte alone, as numbered names do, must not fall together.
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        product ^ product >> 32
    };
    let words = [word(0), word(value.len() / 2 - 4), word(value.len() - 8)];
    (words.into_iter().fold(value.len() as u64, mix).wrapping_mul(0xC2B2_AE3D_27D4_EB4F) >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    #[test]
    fn values_come_back_and_repeats_share_their_bytes() {
        let mut column = TextColumn::new();
        let values: Vec<Option<String>> = (0..5000)
            .map(|i| match i % 5 {
                0 => Some(format!("a value that repeats {}", i % 7)),
                1 => Some(format!("a value of its own {i:08}")),
                2 => Some("short".to_owned()),
                3 => Some(String::new()),
                _ => None,
            })
            .collect();
        values.iter().for_each(|v| column.push_option(v.as_deref()));
        let array = column.finish().expect("texts");
        let texts = array.as_string_view();
        let back: Vec<Option<String>> = texts.iter().map(|t| t.map(str::to_owned)).collect();
        assert_eq!(back, values);
        let stored: usize = texts.data_buffers().iter().map(|b| b.len()).sum();
        assert!(stored < 1000 * 27 + 2000, "{stored} bytes are stored");
        assert_eq!(texts.null_count(), 1000);
    }

    #[test]
    fn what_is_no_utf8_is_an_error() {
        let mut column = TextColumn::new();
        column.push(b"long enough to stand in a buffer \xff");
        assert!(column.finish().is_err());
    }
}
