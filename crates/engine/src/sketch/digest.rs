//! How values are spread: a t-digest, which answers for any percentile.
//!
//! As JSON, `[[kind], means, weights]`. Few distinct values are kept as they are, each with the number of its rows; of
//! many, neighbors are joined, the fewer the nearer they are to an end.

use crate::json;
use kql::Type;
use serde_json::value::RawValue;

/// More distinct values than these are joined.
const EXACT_MAX: usize = 1024;
/// About so many are left then.
const COMPRESSION: f64 = 500.0;
/// Values are gathered up to this number before they are sorted.
const GATHERED_MAX: usize = 4 * EXACT_MAX;

/// The types of values, and the numbers that stand for them. The original's number for long is known.
const KINDS: [(Type, u64); 5] =
    [(Type::Long, 7), (Type::Real, 8), (Type::DateTime, 9), (Type::TimeSpan, 10), (Type::Decimal, 11)];

/// A value as a number that sorts as it does: itself, or the bits of a float.
type Key = i64;

#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Long, real, datetime or timespan.
    pub of: Type,
    /// In order, but for those at the end that were added last.
    centroids: Vec<(Key, u64)>,
    sorted: usize,
}

/// The bits of a float as an integer of the same order; its own inverse but for the conversion.
fn sortable(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

pub fn real_key(value: f64) -> Key {
    sortable(value.to_bits().cast_signed())
}

pub fn real_of(key: Key) -> f64 {
    f64::from_bits(sortable(key).cast_unsigned())
}

impl Digest {
    pub fn new(of: Type) -> Digest {
        Digest { of, centroids: Vec::new(), sorted: 0 }
    }

    pub fn parse(text: &str) -> Option<Digest> {
        // Numbers are read from their texts, to the last bit.
        type Parts = (Vec<u64>, Vec<Box<RawValue>>, Vec<u64>);
        let (header, means, weights): Parts = serde_json::from_str(text).ok()?;
        let (of, _) = KINDS.into_iter().find(|(_, known)| header.first() == Some(known))?;
        if means.len() != weights.len() {
            return None;
        }
        let mut digest = Digest::new(of);
        for (mean, weight) in means.iter().zip(weights) {
            let mean = json::to_text(mean.get());
            let key = match of {
                Type::Real => mean.parse().ok().map(real_key),
                _ => mean.parse().ok(),
            };
            digest.add(key?, weight);
        }
        Some(digest)
    }

    pub fn print(&mut self) -> String {
        self.settle();
        let (_, kind) = KINDS.into_iter().find(|(of, _)| *of == self.of).unwrap_or(KINDS[0]);
        let mean = |key: Key| match self.of {
            Type::Real if real_of(key).is_finite() => json::real_text(real_of(key)),
            Type::Real => format!("\"{}\"", real_of(key)),
            _ => key.to_string(),
        };
        let means = json::array(self.centroids.iter().map(|(key, _)| mean(*key)));
        let weights = json::array(self.centroids.iter().map(|(_, weight)| weight.to_string()));
        format!("[[{kind}],{means},{weights}]")
    }

    /// Adds a value that counts `weight` times.
    pub fn add(&mut self, key: Key, weight: u64) {
        // What is no number has no place among numbers.
        let is_number = self.of != Type::Real || !real_of(key).is_nan();
        if weight > 0 && is_number {
            self.centroids.push((key, weight));
            if self.centroids.len() > GATHERED_MAX {
                self.settle();
            }
        }
    }

    /// Takes in another; `None` where the types of values differ.
    pub fn merge(&mut self, other: &Digest) -> Option<()> {
        if self.centroids.is_empty() {
            self.of = other.of;
        }
        if self.of != other.of && !other.centroids.is_empty() {
            return None;
        }
        other.centroids.iter().for_each(|(key, weight)| self.add(*key, *weight));
        Some(())
    }

    pub fn is_empty(&self) -> bool {
        self.centroids.is_empty()
    }

    /// Sorts what is there, and joins neighbors where there are too many.
    fn settle(&mut self) {
        if self.sorted == self.centroids.len() {
            return;
        }
        self.centroids.sort_unstable_by_key(|(key, _)| *key);
        self.centroids.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = kept.1.saturating_add(later.1);
            }
            is_same
        });
        if self.centroids.len() > EXACT_MAX {
            self.compress();
        }
        self.sorted = self.centroids.len();
    }

    fn compress(&mut self) {
        let total = self.total();
        let scale = |share: f64| COMPRESSION / std::f64::consts::TAU * (2.0 * share - 1.0).clamp(-1.0, 1.0).asin();
        let mut joined: Vec<(Key, u64)> = Vec::new();
        let mut before = 0.0;
        for &(key, weight) in &self.centroids {
            let open = joined.last().map_or(0, |(_, weight)| *weight);
            let (start, end) = (before - open as f64, before + weight as f64);
            let fits = !joined.is_empty() && scale(end / total) - scale(start / total) <= 1.0;
            match joined.last_mut().filter(|_| fits) {
                Some(last) => *last = (self.mean(*last, (key, weight)), last.1.saturating_add(weight)),
                None => joined.push((key, weight)),
            }
            before = end;
        }
        self.centroids = joined;
    }

    fn mean(&self, a: (Key, u64), b: (Key, u64)) -> Key {
        let part = b.1 as f64 / (a.1 as f64 + b.1 as f64);
        if self.of == Type::Real {
            let (x, y) = (real_of(a.0), real_of(b.0));
            let mean = x * (1.0 - part) + y * part;
            // Of opposite infinities there is no mean.
            return if mean.is_nan() { a.0 } else { real_key(mean) };
        }
        let step = (i128::from(b.0) - i128::from(a.0)) as f64 * part;
        a.0.saturating_add(step.round() as i64)
    }

    fn total(&self) -> f64 {
        self.centroids.iter().map(|(_, weight)| *weight as f64).sum()
    }

    /// The value at the nearest rank; `None` where there are none.
    pub fn percentile(&mut self, percent: f64) -> Option<Key> {
        self.settle();
        let wanted = percent.clamp(0.0, 100.0) * self.total() / 100.0;
        let mut before = 0.0;
        let found = self.centroids.iter().find(|(_, weight)| {
            before += *weight as f64;
            before >= wanted
        });
        found.or(self.centroids.last()).map(|(key, _)| *key)
    }

    /// How many values are at most `key`, and how many there are.
    pub fn rank(&mut self, key: Key) -> (f64, f64) {
        self.settle();
        let below = self.centroids.iter().filter(|(own, _)| *own <= key).map(|(_, weight)| *weight as f64).sum();
        (below, self.total())
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        self.centroids.capacity() * size_of::<(Key, u64)>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    #[test]
    fn few_values_are_exact_and_many_are_near() {
        let mut few = Digest::new(Type::Long);
        [5, 1, 3, 3, 9].into_iter().for_each(|n| few.add(n, 1));
        assert_eq!(few.print(), "[[7],[1,3,5,9],[1,2,1,1]]");
        assert_eq!(few.percentile(50.0), Some(3));
        assert_eq!(few.rank(4), (3.0, 5.0));
        let mut many = Digest::new(Type::Real);
        (0..100_000).for_each(|n| many.add(real_key(f64::from((n * 7919) % 100_000)), 1));
        for percent in [0.1, 1.0, 50.0, 99.0, 99.9] {
            let found = real_of(many.percentile(percent).expect("values"));
            assert!((found - percent * 1000.0).abs() < 500.0, "{percent}: {found}");
        }
        let text = many.print();
        let mut read = Digest::parse(&text).expect("a digest");
        assert_eq!(read.print(), text);
    }
}
