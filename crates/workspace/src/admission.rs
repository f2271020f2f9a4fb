//! How much memory rows on their way may take, from the first byte of a request to the table files.
//!
//! Rows that wait in memory and requests that are being read count together. Beyond the bound requests are refused, to
//! be sent again; what was taken is never dropped.

use crate::error::{Error, Result};
use crate::machine::memory_bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The least bound that is ever chosen by itself.
const ROOM_BYTES_MIN: usize = 256 << 20;

/// The memory of requests that are being read.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    bytes: Arc<AtomicUsize>,
}

impl Arriving {
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn admit(&self, bytes: usize) -> Admission {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Admission { all: self.bytes.clone(), bytes }
    }
}

/// The room that one request takes, given back when this is dropped.
#[derive(Debug)]
pub struct Admission {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Admission {
    /// Counts more bytes than were known of at first.
    pub fn grow(&mut self, bytes: usize) {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether `bytes` more may come where `held` bytes are held. A single request is let in whatever its size, or it could
/// never be.
pub(crate) fn check(bytes: usize, held: usize, bytes_max: usize) -> Result<()> {
    if held > 0 && held.saturating_add(bytes) > bytes_max { Err(Error::Overloaded) } else { Ok(()) }
}

/// A quarter of the machine's memory.
pub(crate) fn default_bytes_max() -> usize {
    (memory_bytes() / 4).max(ROOM_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back() {
        let arriving = Arriving::default();
        let first = arriving.admit(10);
        let second = arriving.admit(5);
        assert_eq!(arriving.bytes(), 15);
        assert!(matches!(check(6, arriving.bytes(), 20), Err(Error::Overloaded)));
        drop(first);
        assert!(check(6, arriving.bytes(), 20).is_ok());
        drop(second);
        assert!(check(usize::MAX, arriving.bytes(), 20).is_ok(), "a single one is let in");
        assert!(default_bytes_max() >= ROOM_BYTES_MIN);
    }
}
