//! How many values are distinct: HyperLogLog over 64-bit hashes, exact as long as there are few.
//!
//! As JSON, `[[1024, bits], hashes, registers]`: the hashes as decimal texts while there are at most 1024 of them, which
//! is the original's form too; then registers, as a list of one base64 text.

use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::collections::BTreeSet;

/// Up to so many hashes are kept as they are.
const EXACT_MAX: usize = 1024;
/// The bits that choose a register, for each accuracy from 0 to 4: errors of 1.6, 0.8, 0.4, 0.28 and 0.2 %.
const ACCURACY_BITS: [u32; 5] = [12, 14, 16, 17, 18];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distinct {
    bits: u32,
    kept: Kept,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Hashes(BTreeSet<u64>),
    Registers(Vec<u8>),
}

impl Default for Distinct {
    /// Of the original's default accuracy, 1.
    fn default() -> Distinct {
        Distinct { bits: ACCURACY_BITS[1], kept: Kept::Hashes(BTreeSet::new()) }
    }
}

impl Distinct {
    /// An empty one; `None` for an accuracy that there is not.
    pub fn with_accuracy(accuracy: i64) -> Option<Distinct> {
        let bits = *ACCURACY_BITS.get(usize::try_from(accuracy).ok()?)?;
        Some(Distinct { bits, kept: Kept::Hashes(BTreeSet::new()) })
    }

    pub fn parse(text: &str) -> Option<Distinct> {
        let Value::Array(parts) = serde_json::from_str(text).ok()? else { return None };
        let [header, hashes, registers] = parts.as_slice() else { return None };
        let bits = u32::try_from(header.as_array()?.get(1)?.as_u64()?).ok()?;
        if !ACCURACY_BITS.contains(&bits) {
            return None;
        }
        let kept = match registers.as_array()?.first() {
            Some(packed) => {
                let registers = BASE64.decode(packed.as_str()?).ok()?;
                Kept::Registers(Some(registers).filter(|registers| registers.len() == 1 << bits)?)
            }
            None => {
                let hash = |value: &Value| value.as_str()?.parse::<i64>().ok().map(i64::cast_unsigned);
                Kept::Hashes(hashes.as_array()?.iter().map(hash).collect::<Option<_>>()?)
            }
        };
        Some(Distinct { bits, kept })
    }

    pub fn print(&self) -> String {
        let (hashes, registers) = match &self.kept {
            Kept::Hashes(hashes) => {
                (json::array(hashes.iter().map(|h| format!("\"{}\"", h.cast_signed()))), "[]".to_owned())
            }
            Kept::Registers(registers) => ("[]".to_owned(), format!("[\"{}\"]", BASE64.encode(registers))),
        };
        format!("[[{EXACT_MAX},{}],{hashes},{registers}]", self.bits)
    }

    pub fn add(&mut self, hash: u64) {
        match &mut self.kept {
            Kept::Hashes(hashes) => {
                hashes.insert(hash);
                if hashes.len() > EXACT_MAX {
                    self.kept = Kept::Registers(registers(self.bits, hashes));
                }
            }
            Kept::Registers(registers) => register(self.bits, registers, hash),
        }
    }

    /// Takes in another; `None` where the accuracies differ.
    pub fn merge(&mut self, other: &Distinct) -> Option<()> {
        if self.bits != other.bits {
            return None;
        }
        match &other.kept {
            Kept::Hashes(hashes) => hashes.iter().for_each(|hash| self.add(*hash)),
            Kept::Registers(theirs) => {
                if let Kept::Hashes(hashes) = &self.kept {
                    self.kept = Kept::Registers(registers(self.bits, hashes));
                }
                if let Kept::Registers(mine) = &mut self.kept {
                    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
                }
            }
        }
        Some(())
    }

    pub fn count(&self) -> i64 {
        match &self.kept {
            Kept::Hashes(hashes) => hashes.len() as i64,
            Kept::Registers(registers) => {
                let m = registers.len() as f64;
                let sum: f64 = registers.iter().map(|r| 0.5f64.powi(i32::from(*r))).sum();
                let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
                let zeros = registers.iter().filter(|r| **r == 0).count();
                let corrected = if estimate <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { estimate };
                corrected.round() as i64
            }
        }
    }

    /// How many values all have in common. Exact where all keep their hashes; else by counting unions of them, whose
    /// errors add up.
    pub fn common(all: &[Distinct]) -> Option<i64> {
        /// Of more, there are too many unions to count.
        const ESTIMATED_MAX: usize = 8;
        let sets: Option<Vec<&BTreeSet<u64>>> = all
            .iter()
            .map(|one| match &one.kept {
                Kept::Hashes(hashes) => Some(hashes),
                Kept::Registers(_) => None,
            })
            .collect();
        if let Some(sets) = sets {
            let (first, rest) = sets.split_first()?;
            let count = first.iter().filter(|hash| rest.iter().all(|set| set.contains(hash))).count();
            return i64::try_from(count).ok();
        }
        if all.len() > ESTIMATED_MAX {
            return None;
        }
        let mut total = 0;
        for chosen in 1u32..1 << all.len() {
            let mut members = (0..all.len()).filter(|i| chosen >> i & 1 == 1).map(|i| &all[i]);
            let mut union = members.next()?.clone();
            members.try_for_each(|member| union.merge(member))?;
            let sign = if chosen.count_ones() % 2 == 1 { 1 } else { -1 };
            total += sign * union.count();
        }
        Some(total.max(0))
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        match &self.kept {
            Kept::Hashes(hashes) => hashes.len() * 2 * size_of::<u64>(),
            Kept::Registers(registers) => registers.len(),
        }
    }
}

fn registers(bits: u32, hashes: &BTreeSet<u64>) -> Vec<u8> {
    let mut registers = vec![0; 1 << bits];
    hashes.iter().for_each(|hash| register(bits, &mut registers, *hash));
    registers
}

fn register(bits: u32, registers: &mut [u8], hash: u64) {
    let slot = (hash >> (64 - bits)) as usize;
    // The guard bit bounds the rank when all the remaining bits are zero.
    let rank = ((hash << bits) | (1 << (bits - 1))).leading_zeros() as u8 + 1;
    registers[slot] = registers[slot].max(rank);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    fn of(range: std::ops::Range<u64>) -> Distinct {
        let mut distinct = Distinct::with_accuracy(1).expect("an accuracy");
        range.for_each(|n| distinct.add(twox_hash::XxHash64::oneshot(0, &n.to_le_bytes())));
        distinct
    }

    #[test]
    fn survives_being_printed() {
        for size in [0, 10, 1024, 5000] {
            let distinct = of(0..size);
            assert_eq!(Distinct::parse(&distinct.print()), Some(distinct));
        }
        assert_eq!(Distinct::parse("[[1024,14],[1],[]]"), None);
    }

    #[test]
    fn estimates_unions_and_intersections() {
        let (a, b) = (of(0..60_000), of(30_000..90_000));
        let mut union = a.clone();
        union.merge(&b).expect("one accuracy");
        let is_near = |found: i64, wanted: i64, percent: i64| (found - wanted).abs() * 100 < wanted * percent;
        assert!(is_near(union.count(), 90_000, 3), "{}", union.count());
        assert!(is_near(Distinct::common(&[a, b]).expect("two"), 30_000, 10));
        assert_eq!(Distinct::common(&[of(0..100), of(50..200)]), Some(50));
    }
}
