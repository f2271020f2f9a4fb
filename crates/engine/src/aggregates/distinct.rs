//! `dcount`: the number of distinct values of each group.

use super::Groups;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::logical_expr::EmitTo;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Up to so many distinct values of a group are counted exactly; beyond, HyperLogLog estimates.
pub(super) const EXACT_MAX: usize = 1 << 16;
/// 2^14 registers: a standard error of 0.8 %, the default accuracy of the original.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// Hashes are already well mixed; a set of them need not hash again.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type HashesSet = HashSet<u64, BuildHasherDefault<Identity>>;

enum Sketch {
    Exact(HashesSet),
    Registers(Box<[u8; REGISTERS]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch::Exact(HashesSet::default())
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let slot = (hash >> (64 - REGISTER_BITS)) as usize;
    // The guard bit bounds the rank when all the remaining bits are zero.
    let rank = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros() as u8 + 1;
    registers[slot] = registers[slot].max(rank);
}

impl Sketch {
    fn add(&mut self, hash: u64) {
        match self {
            Sketch::Exact(set) => {
                set.insert(hash);
                if set.len() > EXACT_MAX {
                    let mut registers = Box::new([0; REGISTERS]);
                    set.iter().for_each(|h| register(&mut registers, *h));
                    *self = Sketch::Registers(registers);
                }
            }
            Sketch::Registers(registers) => register(registers, hash),
        }
    }

    fn merge(&mut self, state: &[u8]) {
        let Some((tag, payload)) = state.split_first() else { return };
        if *tag == 0 {
            payload.as_chunks::<8>().0.iter().for_each(|h| self.add(u64::from_le_bytes(*h)));
            return;
        }
        if let Sketch::Exact(set) = self {
            let mut registers = Box::new([0; REGISTERS]);
            set.iter().for_each(|h| register(&mut registers, *h));
            *self = Sketch::Registers(registers);
        }
        if let Sketch::Registers(registers) = self {
            registers.iter_mut().zip(payload).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
        }
    }

    /// A tag, 0 for hashes and 1 for registers, and the payload.
    fn state(&self) -> Vec<u8> {
        match self {
            Sketch::Exact(set) => std::iter::once(0).chain(set.iter().flat_map(|h| h.to_le_bytes())).collect(),
            Sketch::Registers(registers) => std::iter::once(1).chain(registers.iter().copied()).collect(),
        }
    }

    fn estimate(&self) -> i64 {
        match self {
            Sketch::Exact(set) => set.len() as i64,
            Sketch::Registers(registers) => {
                let m = REGISTERS as f64;
                let sum: f64 = registers.iter().map(|r| 0.5f64.powi(i32::from(*r))).sum();
                let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
                let zeros = registers.iter().filter(|r| **r == 0).count();
                let corrected = if estimate <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { estimate };
                corrected.round() as i64
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Sketch::Exact(set) => set.capacity() * 9,
            Sketch::Registers(_) => REGISTERS,
        }
    }
}

#[derive(Default)]
pub(super) struct Distinct {
    groups: Vec<Sketch>,
    hashes: Vec<u64>,
    bytes: usize,
}

impl Groups for Distinct {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Sketch::default);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let nulls = values[0].logical_nulls();
        self.hashes.clear();
        self.hashes.resize(group.len(), 0);
        create_hashes(&values[..1], &RandomState::default(), &mut self.hashes)?;
        for (row, g) in group.iter().enumerate() {
            if counts(row) && nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let before = self.groups[*g].size();
                self.groups[*g].add(self.hashes[row]);
                self.bytes = (self.bytes + self.groups[*g].size()).saturating_sub(before);
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let states = states[0].as_binary::<i32>();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| states.is_valid(*row)) {
            let before = self.groups[*g].size();
            self.groups[*g].merge(states.value(row));
            self.bytes = (self.bytes + self.groups[*g].size()).saturating_sub(before);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        Ok(Arc::new(groups.iter().map(|g| Some(g.estimate())).collect::<Int64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut states = BinaryBuilder::new();
        emit.take_needed(&mut self.groups).iter().for_each(|g| states.append_value(g.state()));
        Ok(vec![Arc::new(states.finish())])
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Sketch>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_then_estimated() {
        let mut sketch = Sketch::default();
        let mut other = Sketch::default();
        let total = 200_000u64;
        for i in 0..total {
            let hash = twox_hash::XxHash64::oneshot(0, &i.to_le_bytes());
            if i < EXACT_MAX as u64 { sketch.add(hash) } else { other.add(hash) }
        }
        assert_eq!(sketch.estimate(), EXACT_MAX as i64);
        sketch.merge(&other.state());
        let error = (sketch.estimate() - total as i64).abs() as f64 / total as f64;
        assert!(error < 0.03, "error {error}");
    }
}
