//! A set of terms in few bits (a Bloom filter): it can say of a term that it is there when it is not, one time in about
//! forty, but never that it is not when it is.
//!
//! A filter is cut into pages, of which a term has one, so that asking for a term reads that page alone. Each page ends
//! with its CRC-32.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

const BITS_PER_TERM: usize = 8;
/// How many bits a term sets.
const BITS_SET: u32 = 6;
/// A page without its checksum has at most so many bytes.
const PAGE_BYTES_MAX: usize = 4092;
const CHECKSUM_BYTES: usize = 4;

/// The hash of a term. It is part of the format of files. Letters of ASCII count alike in upper and lower case.
pub(super) fn term_hash(term: &str) -> u64 {
    // Sets the bit that tells lower from upper case; digits have it anyway, and of other characters some fall together.
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mut hash = term.len() as u64;
    for chunk in term.as_bytes().chunks(8) {
        hash = mixed(hash ^ (word(chunk) | LOWER));
    }
    hash
}

/// Up to eight bytes as a number; those of one length that differ give different ones.
fn word(bytes: &[u8]) -> u64 {
    if let Ok(all) = bytes.try_into() {
        return u64::from_le_bytes(all);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or_default());
    byte(0) | byte(bytes.len() / 2) << 8 | byte(bytes.len().saturating_sub(1)) << 16
}

/// A number of which each bit depends on all bits of another: the finalizer of SplitMix64.
pub(super) fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

/// Hashes that are hashed no further.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The hashes of different terms.
#[derive(Default)]
pub(super) struct TermHashes {
    all: HashSet<u64, BuildHasherDefault<AsItIs>>,
    /// Those seen last, by their lowest bits: most terms come again soon.
    recent: Vec<u64>,
}

impl TermHashes {
    const RECENT: usize = 4096;

    pub fn insert(&mut self, hash: u64) {
        if self.recent.is_empty() {
            // In each place what cannot be there.
            self.recent = (0..Self::RECENT as u64).map(|place| !place).collect();
        }
        let slot = &mut self.recent[hash as usize % Self::RECENT];
        if *slot != hash {
            *slot = hash;
            self.all.insert(hash);
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The pages of a filter that has all of them.
    pub fn filter(&self) -> (Shape, Vec<u8>) {
        let shape = Shape::for_terms(self.len());
        let mut pages = vec![0u8; shape.bytes()];
        for hash in &self.all {
            let page = shape.page_of(*hash) as usize * shape.page_stored_bytes();
            for bit in shape.bits_of(*hash) {
                pages[page + bit / 8] |= 1 << (bit % 8);
            }
        }
        for page in pages.chunks_mut(shape.page_stored_bytes()) {
            let (bits, checksum) = page.split_at_mut(shape.page_bytes as usize);
            checksum.copy_from_slice(&crc32fast::hash(bits).to_le_bytes());
        }
        (shape, pages)
    }
}

/// How a filter is cut into pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub pages: u32,
    /// The bytes of a page, without its checksum.
    pub page_bytes: u32,
}

impl Shape {
    /// Without terms there are no pages.
    fn for_terms(count: usize) -> Shape {
        if count == 0 {
            return Shape { pages: 0, page_bytes: 0 };
        }
        let bytes = (count * BITS_PER_TERM).div_ceil(8);
        let pages = bytes.div_ceil(PAGE_BYTES_MAX);
        Shape { pages: pages as u32, page_bytes: bytes.div_ceil(pages) as u32 }
    }

    /// Whether filters of this shape are ever written.
    pub fn is_valid(self) -> bool {
        match self.pages {
            0 => self.page_bytes == 0,
            _ => (1..=PAGE_BYTES_MAX as u32).contains(&self.page_bytes),
        }
    }

    pub fn page_stored_bytes(self) -> usize {
        self.page_bytes as usize + CHECKSUM_BYTES
    }

    /// The bytes of all pages.
    pub fn bytes(self) -> usize {
        self.pages as usize * self.page_stored_bytes()
    }

    pub fn page_of(self, hash: u64) -> u32 {
        ((hash >> 32) * u64::from(self.pages) >> 32) as u32
    }

    fn bits_of(self, hash: u64) -> impl Iterator<Item = usize> {
        let bits = u64::from(self.page_bytes) * 8;
        let (first, step) = (hash & 0xFFFF_FFFF, (mixed(hash) & 0xFFFF_FFFF) | 1);
        (0..u64::from(BITS_SET)).map(move |n| ((first + n * step) % bits) as usize)
    }

    /// Whether a term may be in the filter, by the page that it has there; `None` where that is damaged.
    pub fn may_have(self, hash: u64, page: &[u8]) -> Option<bool> {
        let (bits, checksum) = page.split_at_checked(self.page_bytes as usize)?;
        let is_whole = checksum == crc32fast::hash(bits).to_le_bytes();
        is_whole.then(|| self.bits_of(hash).all(|bit| bits[bit / 8] & (1 << (bit % 8)) != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_have(shape: Shape, pages: &[u8], term: &str) -> bool {
        let hash = term_hash(term);
        let page = shape.page_of(hash) as usize * shape.page_stored_bytes();
        shape.may_have(hash, &pages[page..page + shape.page_stored_bytes()]).expect("it is whole")
    }

    #[test]
    fn what_is_in_a_filter_is_found_and_little_else() {
        for count in [0, 1, 7, 600, 5000, 120_000] {
            let mut hashes = TermHashes::default();
            (0..count).for_each(|n| hashes.insert(term_hash(&format!("Term{n}"))));
            assert_eq!(hashes.len(), count);
            let (shape, pages) = hashes.filter();
            assert!(shape.is_valid() && pages.len() == shape.bytes());
            assert_eq!(shape.pages == 0, count == 0);
            assert!((0..count).all(|n| may_have(shape, &pages, &format!("term{n}"))));
            let asked = if count == 0 { 0 } else { 10_000 };
            let wrong = (0..asked).filter(|n| may_have(shape, &pages, &format!("other{n}"))).count();
            assert!(count < 100 || wrong < 400, "{wrong} of 10,000 are taken to be among {count}");
        }
    }

    #[test]
    fn terms_of_all_lengths_differ() {
        let text = "aaaaaaaaaaaaaaaaaaaaaaaa1";
        let hashes: HashSet<u64> = (0..=text.len()).map(|end| term_hash(&text[..end])).collect();
        assert_eq!(hashes.len(), text.len() + 1);
        assert_eq!(term_hash("Device"), term_hash("dEVICE"));
        assert_ne!(term_hash("device"), term_hash("devide"));
    }

    #[test]
    fn a_term_with_any_hash_is_kept() {
        for term in ["97mmv7nz33jxnuau", "a9w6wam6o6mcklxa", "usual"] {
            let mut hashes = TermHashes::default();
            hashes.insert(term_hash(term));
            let (shape, pages) = hashes.filter();
            assert!(shape.pages == 1 && may_have(shape, &pages, term), "{term}");
        }
        let mut hashes = TermHashes::default();
        (0..TermHashes::RECENT as u64).for_each(|hash| hashes.insert(hash));
        assert_eq!(hashes.len(), TermHashes::RECENT);
    }

    #[test]
    fn a_damaged_page_says_nothing() {
        let mut hashes = TermHashes::default();
        hashes.insert(term_hash("one"));
        let (shape, mut pages) = hashes.filter();
        pages[0] ^= 1;
        assert_eq!(shape.may_have(term_hash("one"), &pages), None);
        assert_eq!(shape.may_have(term_hash("one"), &pages[..2]), None);
    }
}
