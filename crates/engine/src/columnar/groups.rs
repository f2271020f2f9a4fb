//! The groups of rows that have the same keys, found by small numbers instead of by values.
//!
//! Each value of a key gets a number when it is first met. The numbers of a row's keys are put together two at a time,
//! each pair with a number of its own; the number of the last pair is that of the group.

use super::program::keys_and_values;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringViewBuilder, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{DataFusionError, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The number of a value that has not been met in this segment.
const UNMET: u32 = u32::MAX;

/// Groups, by the values of their keys.
pub(super) struct Groups {
    keys: Vec<Values>,
    pairs: Vec<Pairs>,
    /// Scratch: the numbers of one key's values, row by row.
    numbers: Vec<u32>,
}

impl Groups {
    /// Whether rows can be grouped by values of a type.
    pub fn can_group_by(of: &DataType) -> bool {
        Values::can_number(of)
    }

    pub fn new(types: &[DataType]) -> Groups {
        Groups {
            keys: types.iter().map(Values::new).collect(),
            pairs: (1..types.len()).map(|_| Pairs::default()).collect(),
            numbers: Vec::new(),
        }
    }

    /// The number of groups met.
    pub fn len(&self) -> usize {
        match (self.pairs.last(), self.keys.first()) {
            (Some(pairs), _) => pairs.members.len(),
            (None, Some(values)) => values.len(),
            (None, None) => 1,
        }
    }

    /// The number of the group of each row, into `out`.
    pub fn assign(&mut self, keys: &[ArrayRef], rows: usize, out: &mut Vec<usize>) -> Result<()> {
        out.clear();
        let Some(first) = keys.first() else {
            out.resize(rows, 0);
            return Ok(());
        };
        let mut numbers = std::mem::take(&mut self.numbers);
        self.keys[0].number(first, &mut numbers)?;
        out.extend(numbers.iter().map(|n| *n as usize));
        for (i, key) in keys.iter().enumerate().skip(1) {
            self.keys[i].number(key, &mut numbers)?;
            self.pairs[i - 1].number(out, &numbers);
        }
        self.numbers = numbers;
        Ok(())
    }

    /// The keys of all groups, a column each; the groups are forgotten.
    pub fn take_keys(&mut self) -> Result<Vec<ArrayRef>> {
        let mut groups: Vec<u32> = (0..self.len() as u32).collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.keys.len());
        for i in (0..self.keys.len()).rev() {
            let own: Vec<u32> = match i.checked_sub(1).map(|pair| std::mem::take(&mut self.pairs[pair])) {
                Some(pairs) => {
                    let own = groups.iter().map(|g| pairs.members[*g as usize].1).collect();
                    groups.iter_mut().for_each(|g| *g = pairs.members[*g as usize].0);
                    own
                }
                None => std::mem::take(&mut groups),
            };
            columns.push(take(&self.keys[i].take(), &UInt32Array::from(own), None)?);
        }
        columns.reverse();
        Ok(columns)
    }

    /// The memory held, in bytes.
    pub fn size(&self) -> usize {
        let keys: usize = self.keys.iter().map(Values::size).sum();
        keys + self.pairs.iter().map(Pairs::size).sum::<usize>()
    }
}

/// A table of all pairs that there can be has at most so many places; beyond, pairs are looked up by their hashes.
const PLACES_MAX: usize = 1 << 20;

/// Pairs of numbers, each with a number.
struct Pairs {
    /// The pair of each number.
    members: Vec<(u32, u32)>,
    numbers: PairNumbers,
}

enum PairNumbers {
    /// By place: the left number's row, of a width that is a power of two, and the right one's column.
    Table {
        width_bits: u32,
        places: Vec<u32>,
    },
    Hashed(HashMap<u64, u32, RandomState>),
}

impl Default for Pairs {
    fn default() -> Pairs {
        Pairs { members: Vec::new(), numbers: PairNumbers::Table { width_bits: 0, places: Vec::new() } }
    }
}

impl Pairs {
    /// Replaces each number in `left` by that of its pair with the one in `right`.
    fn number(&mut self, left: &mut [usize], right: &[u32]) {
        self.make_room(left, right);
        let members = &mut self.members;
        match &mut self.numbers {
            PairNumbers::Table { width_bits, places } => {
                for (left, right) in left.iter_mut().zip(right) {
                    let place = &mut places[(*left << *width_bits) + *right as usize];
                    if *place == UNMET {
                        *place = members.len() as u32;
                        members.push((*left as u32, *right));
                    }
                    *left = *place as usize;
                }
            }
            PairNumbers::Hashed(numbers) => {
                let mut last = None;
                for (left, right) in left.iter_mut().zip(right) {
                    let pair = ((*left as u64) << 32) | u64::from(*right);
                    *left = match last {
                        Some((same, number)) if same == pair => number,
                        _ => {
                            let number = *numbers.entry(pair).or_insert_with(|| {
                                members.push(((pair >> 32) as u32, *right));
                                (members.len() - 1) as u32
                            });
                            last = Some((pair, number as usize));
                            number as usize
                        }
                    };
                }
            }
        }
    }

    /// Makes the table large enough for the numbers that come, or gives it up.
    fn make_room(&mut self, left: &[usize], right: &[u32]) {
        let PairNumbers::Table { width_bits, places } = &mut self.numbers else { return };
        let rows = left.iter().max().map_or(0, |largest| largest + 1);
        let columns = right.iter().max().map_or(0, |largest| *largest as usize + 1);
        let bits = columns.next_power_of_two().trailing_zeros().max(*width_bits);
        // Doubling keeps the growing of rows cheap.
        let wanted = rows << bits;
        if wanted > PLACES_MAX {
            let numbered = self.members.iter().zip(0u32..);
            let hashed = numbered.map(|((left, right), number)| ((u64::from(*left) << 32) | u64::from(*right), number));
            self.numbers = PairNumbers::Hashed(hashed.collect());
            return;
        }
        if bits > *width_bits {
            let rows_so_far = places.len() >> *width_bits;
            *places = vec![UNMET; (rows_so_far.max(rows) << bits).min(PLACES_MAX)];
            *width_bits = bits;
            for ((left, right), number) in self.members.iter().zip(0u32..) {
                places[((*left as usize) << bits) + *right as usize] = number;
            }
        }
        if wanted > places.len() {
            places.resize(wanted.next_power_of_two().min(PLACES_MAX), UNMET);
        }
    }

    /// The memory held, in bytes.
    fn size(&self) -> usize {
        let numbers = match &self.numbers {
            PairNumbers::Table { places, .. } => places.capacity() * size_of::<u32>(),
            PairNumbers::Hashed(numbers) => numbers.capacity() * 24,
        };
        numbers + self.members.capacity() * size_of::<(u32, u32)>()
    }
}

/// The values of one key, each with a number.
pub(crate) struct Values(Held);

enum Held {
    Texts {
        numbers: HashMap<Box<str>, u32, RandomState>,
        null: Option<u32>,
        values: Vec<Option<Box<str>>>,
        bytes: usize,
    },
    /// Values of the other types, by their bits.
    Bits { of: DataType, numbers: HashMap<Option<i64>, u32, RandomState>, values: Vec<Option<i64>> },
}

impl Values {
    /// Whether values of a type can be told apart.
    pub fn can_number(of: &DataType) -> bool {
        matches!(of, DataType::Utf8View | DataType::Int64 | DataType::Int32 | DataType::Boolean)
    }

    /// No values yet, of a type that can be told apart.
    pub fn new(of: &DataType) -> Values {
        Values(match of {
            DataType::Utf8View => Held::Texts { numbers: HashMap::default(), null: None, values: Vec::new(), bytes: 0 },
            other => Held::Bits { of: other.clone(), numbers: HashMap::default(), values: Vec::new() },
        })
    }

    fn len(&self) -> usize {
        match &self.0 {
            Held::Texts { values, .. } => values.len(),
            Held::Bits { values, .. } => values.len(),
        }
    }

    /// The memory held, in bytes.
    pub fn size(&self) -> usize {
        match &self.0 {
            Held::Texts { values, bytes, .. } => values.capacity() * 64 + 2 * bytes,
            Held::Bits { values, .. } => values.capacity() * 48,
        }
    }

    fn number_of_text(&mut self, text: Option<&str>) -> u32 {
        let Held::Texts { numbers, null, values, bytes } = &mut self.0 else { return 0 };
        let Some(text) = text else {
            return *null.get_or_insert_with(|| {
                values.push(None);
                (values.len() - 1) as u32
            });
        };
        if let Some(number) = numbers.get(text) {
            return *number;
        }
        *bytes += text.len();
        values.push(Some(text.into()));
        let number = (values.len() - 1) as u32;
        numbers.insert(text.into(), number);
        number
    }

    fn number_of_bits(&mut self, bits: Option<i64>) -> u32 {
        let Held::Bits { numbers, values, .. } = &mut self.0 else { return 0 };
        match numbers.entry(bits) {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(vacant) => {
                values.push(bits);
                *vacant.insert((values.len() - 1) as u32)
            }
        }
    }

    /// The number of each row's value, into `out`.
    pub fn number(&mut self, array: &ArrayRef, out: &mut Vec<u32>) -> Result<()> {
        out.clear();
        let Some((keys, values)) = keys_and_values(array) else {
            return self.number_all(array, |number| out.push(number));
        };
        // Each value is looked up when the first row has it.
        let mut known = vec![UNMET; values.len()];
        let texts = values.as_string_view_opt();
        for key in keys.values() {
            let at = *key as usize;
            if known[at] == UNMET {
                match texts {
                    Some(texts) => known[at] = self.number_of_text(texts.is_valid(at).then(|| texts.value(at))),
                    None => self.number_all(&values.slice(at, 1), |number| known[at] = number)?,
                }
            }
            out.push(known[at]);
        }
        Ok(())
    }

    fn number_all(&mut self, array: &ArrayRef, mut out: impl FnMut(u32)) -> Result<()> {
        let mut last: Option<(Option<i64>, u32)> = None;
        let mut bits = |values: &mut Values, bits: Option<i64>| {
            // Rows come in order of time: the same value often follows itself.
            let number = match last {
                Some((same, number)) if same == bits => number,
                _ => values.number_of_bits(bits),
            };
            last = Some((bits, number));
            out(number);
        };
        match array.data_type() {
            DataType::Utf8View => array.as_string_view().iter().for_each(|text| out(self.number_of_text(text))),
            DataType::Int64 => array.as_primitive::<Int64Type>().iter().for_each(|n| bits(self, n)),
            DataType::Int32 => array.as_primitive::<Int32Type>().iter().for_each(|n| bits(self, n.map(i64::from))),
            DataType::Boolean => array.as_boolean().iter().for_each(|b| bits(self, b.map(i64::from))),
            other => return Err(DataFusionError::Internal(format!("values of {other} cannot be told apart here"))),
        }
        Ok(())
    }

    /// All values, each at the place of its number.
    pub fn all(&self) -> ArrayRef {
        match &self.0 {
            Held::Texts { values, .. } => {
                let mut texts = StringViewBuilder::with_capacity(values.len());
                values.iter().for_each(|value| texts.append_option(value.as_deref()));
                Arc::new(texts.finish())
            }
            Held::Bits { of: DataType::Int32, values, .. } => {
                Arc::new(values.iter().map(|bits| bits.map(|n| n as i32)).collect::<Int32Array>())
            }
            Held::Bits { of: DataType::Boolean, values, .. } => {
                Arc::new(values.iter().map(|bits| bits.map(|n| n != 0)).collect::<BooleanArray>())
            }
            Held::Bits { values, .. } => Arc::new(values.iter().copied().collect::<Int64Array>()),
        }
    }

    /// All values; they are forgotten.
    fn take(&mut self) -> ArrayRef {
        let all = self.all();
        *self = Values::new(all.data_type());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoded;
    use super::*;
    use datafusion::arrow::array::StringViewArray;

    #[test]
    fn pairs_have_the_same_numbers_however_they_are_looked_up() {
        let mut random = 7u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut pairs = Pairs::default();
        let mut known: HashMap<(usize, u32), usize> = HashMap::new();
        // Few at first, which fit a table that grows both ways; then too many for one.
        for (lefts, rights) in [(3, 2), (3, 9), (400, 9), (400, 300), (5000, 3000), (9, 2)] {
            let left: Vec<usize> = (0..1000).map(|_| next(lefts) as usize).collect();
            let right: Vec<u32> = (0..1000).map(|_| next(rights) as u32).collect();
            let mut numbers = left.clone();
            pairs.number(&mut numbers, &right);
            for ((left, right), number) in left.into_iter().zip(right).zip(numbers) {
                let count = known.len();
                assert_eq!(*known.entry((left, right)).or_insert(count), number);
                assert_eq!(pairs.members[number], (left as u32, right));
            }
        }
        assert!(matches!(pairs.numbers, PairNumbers::Hashed(_)), "the last ones need hashes");
        let mut none: Vec<usize> = Vec::new();
        Pairs::default().number(&mut none, &[]);
    }

    #[test]
    fn groups_are_those_of_the_values_however_they_are_held() {
        let hubs = [Some("a"), None, Some("b"), Some("a"), Some("a"), None, Some("b"), Some("b"), Some("a"), Some("a")];
        let hubs: ArrayRef = Arc::new(StringViewArray::from_iter(hubs));
        let held = encoded(&hubs).expect("encoded");
        assert!(keys_and_values(&held).is_some());
        let hours: ArrayRef = Arc::new([1, 1, 1, 1, 2, 1, 1, 1, 2, 1].into_iter().map(Some).collect::<Int64Array>());
        let mut groups = Groups::new(&[DataType::Utf8View, DataType::Int64]);
        let mut first = Vec::new();
        groups.assign(&[held, hours.clone()], 10, &mut first).expect("grouped");
        let mut second = Vec::new();
        groups.assign(&[hubs, hours], 10, &mut second).expect("grouped");
        assert_eq!(first, [0, 1, 2, 0, 3, 1, 2, 2, 3, 0]);
        assert_eq!(first, second);
        assert_eq!(groups.len(), 4);
        let keys = groups.take_keys().expect("keys");
        let wanted: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b"), Some("a")]));
        assert_eq!(&keys[0], &wanted);
        let wanted: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 2]));
        assert_eq!(&keys[1], &wanted);
        assert_eq!(groups.len(), 0);
    }
}
