//! The best row of each group: its key, and its values held by column.

use crate::columnar::{keys_and_values, plain};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewBuilder, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::EmitTo;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// So many texts of dictionaries are shared by all groups that hold them.
const SHARED_MAX: usize = 1 << 16;

/// The best key of each group.
pub(crate) struct BestKeys {
    values: BestValues,
    /// Which groups have one.
    is_met: Vec<bool>,
    largest: bool,
}

impl BestKeys {
    /// Whether keys of a type can be compared here: in the order of their bits or of their bytes.
    pub fn can_compare(of: &DataType) -> bool {
        matches!(of, DataType::Utf8View | DataType::Int64 | DataType::Int32)
    }

    /// No keys yet, of a type that can be compared.
    pub fn new(of: &DataType, largest: bool) -> BestKeys {
        BestKeys { values: BestValues::new(of), is_met: Vec::new(), largest }
    }

    /// Makes room for `groups` groups.
    pub fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.is_met.resize(groups, false);
    }

    /// Whether a group has a row.
    pub fn is_met(&self, group: usize) -> bool {
        self.is_met[group]
    }

    /// Takes in the keys of rows, of those that count; `won(group, row)` is called for each that is better than all
    /// before it. A null loses against every other key, and a group with nulls alone still has its first row.
    pub fn update(
        &mut self,
        keys: &ArrayRef,
        group: &[usize],
        counts: &dyn Fn(usize) -> bool,
        mut won: impl FnMut(usize, usize),
    ) -> Result<()> {
        let rows = self.values.rows(keys)?;
        for (row, g) in group.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let is_better = !self.is_met[*g]
                || match self.values.compare(&rows, row, *g) {
                    Ordering::Greater => self.largest || self.values.is_null(*g),
                    Ordering::Less => !self.largest && !rows.is_null(row),
                    Ordering::Equal => false,
                };
            if is_better {
                self.is_met[*g] = true;
                self.values.set_row(&rows, row, *g);
                won(*g, row);
            }
        }
        Ok(())
    }

    /// The keys of groups as a column, null for those without; they are forgotten.
    pub fn emit(&mut self, emit: EmitTo) -> ArrayRef {
        emit.take_needed(&mut self.is_met);
        self.values.emit(emit)
    }

    /// The memory held, in bytes.
    pub fn size(&self) -> usize {
        self.values.size() + self.is_met.capacity()
    }
}

/// One column of the best rows: a value for each group, `None` for null.
pub(super) enum BestValues {
    Texts {
        values: Vec<Option<Arc<str>>>,
        shared: HashSet<Arc<str>, RandomState>,
        bytes: usize,
    },
    /// Values of the other types, by their bits.
    Bits {
        of: DataType,
        values: Vec<Option<i64>>,
    },
}

/// The keys of a batch, to be read row by row.
enum Rows<'a> {
    Plain(&'a ArrayRef),
    /// The place of each row's value among texts.
    Shared(Vec<usize>, Vec<Option<Arc<str>>>),
    Bits(Vec<Option<i64>>),
}

impl BestValues {
    /// Whether values of a type can be held.
    pub fn can_hold(of: &DataType) -> bool {
        use DataType::{Boolean, Float64, Int32, Int64, Utf8View};
        matches!(of, Utf8View | Int64 | Int32 | Float64 | Boolean)
    }

    pub fn new(of: &DataType) -> BestValues {
        match of {
            DataType::Utf8View => BestValues::Texts { values: Vec::new(), shared: HashSet::default(), bytes: 0 },
            other => BestValues::Bits { of: other.clone(), values: Vec::new() },
        }
    }

    pub fn resize(&mut self, groups: usize) {
        match self {
            BestValues::Texts { values, .. } => values.resize(groups, None),
            BestValues::Bits { values, .. } => values.resize(groups, None),
        }
    }

    /// The keys of a batch. The texts of a dictionary are shared from here on.
    fn rows<'a>(&mut self, array: &'a ArrayRef) -> Result<Rows<'a>> {
        if let BestValues::Texts { shared, .. } = self {
            let Some(dictionary) = array.as_any_dictionary_opt() else { return Ok(Rows::Plain(array)) };
            let texts = dictionary.values().as_string_view();
            let texts = texts.iter().map(|text| text.map(|text| share(shared, text))).collect();
            return Ok(Rows::Shared(dictionary.normalized_keys(), texts));
        }
        Ok(Rows::Bits(bits(array)?))
    }

    /// How the value of a row compares with that of a group; null is before all others.
    fn compare(&self, rows: &Rows, row: usize, group: usize) -> Ordering {
        match (self, rows) {
            (BestValues::Texts { values, .. }, Rows::Shared(places, texts)) => {
                match (&texts[places[row]], &values[group]) {
                    (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
                    (a, b) => a.cmp(b),
                }
            }
            (BestValues::Texts { values, .. }, Rows::Plain(array)) => text(array, row).cmp(&values[group].as_deref()),
            (BestValues::Bits { values, .. }, Rows::Bits(bits)) => bits[row].cmp(&values[group]),
            _ => Ordering::Equal,
        }
    }

    fn is_null(&self, group: usize) -> bool {
        match self {
            BestValues::Texts { values, .. } => values[group].is_none(),
            BestValues::Bits { values, .. } => values[group].is_none(),
        }
    }

    /// Makes the key of a row that of a group.
    fn set_row(&mut self, rows: &Rows, row: usize, group: usize) {
        match (self, rows) {
            (BestValues::Texts { values, .. }, Rows::Shared(places, texts)) => {
                values[group] = texts[places[row]].clone()
            }
            (BestValues::Texts { values, bytes, .. }, Rows::Plain(array)) => {
                replace(&mut values[group], text(array, row).map(Arc::from), bytes);
            }
            (BestValues::Bits { values, .. }, Rows::Bits(bits)) => values[group] = bits[row],
            _ => {}
        }
    }

    /// Makes the values of rows those of groups, one for one. The texts of a dictionary are shared from here on.
    pub fn set(&mut self, array: &ArrayRef, rows: &[u32], groups: &[usize]) -> Result<()> {
        match self {
            BestValues::Texts { values, shared, bytes } => match keys_and_values(array) {
                Some((keys, texts)) => {
                    let texts = texts.as_string_view();
                    for (row, group) in rows.iter().zip(groups) {
                        let at = keys.value(*row as usize) as usize;
                        values[*group] = texts.is_valid(at).then(|| share(shared, texts.value(at)));
                    }
                }
                None => {
                    for (row, group) in rows.iter().zip(groups) {
                        replace(&mut values[*group], text(array, *row as usize).map(Arc::from), bytes);
                    }
                }
            },
            BestValues::Bits { values, .. } => {
                let chosen = take(array, &UInt32Array::from(rows.to_vec()), None)?;
                for (bits, group) in bits(&chosen)?.into_iter().zip(groups) {
                    values[*group] = bits;
                }
            }
        }
        Ok(())
    }

    /// The values of groups as a column; they are forgotten.
    pub fn emit(&mut self, emit: EmitTo) -> ArrayRef {
        match self {
            BestValues::Texts { values, shared, bytes } => {
                let mut texts = StringViewBuilder::new();
                for value in emit.take_needed(values) {
                    *bytes = bytes.saturating_sub(value.as_ref().map_or(0, |value| value.len()));
                    texts.append_option(value.as_deref());
                }
                if values.is_empty() {
                    (*shared, *bytes) = (HashSet::default(), 0);
                }
                Arc::new(texts.finish())
            }
            BestValues::Bits { of, values } => {
                let bits = emit.take_needed(values).into_iter();
                match of {
                    DataType::Int32 => Arc::new(bits.map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
                    DataType::Float64 => {
                        Arc::new(bits.map(|n| n.map(|n| f64::from_bits(n.cast_unsigned()))).collect::<Float64Array>())
                    }
                    DataType::Boolean => Arc::new(bits.map(|n| n.map(|n| n != 0)).collect::<BooleanArray>()),
                    _ => Arc::new(bits.collect::<Int64Array>()),
                }
            }
        }
    }

    /// The memory held, in bytes.
    pub fn size(&self) -> usize {
        match self {
            BestValues::Texts { values, shared, bytes } => {
                values.capacity() * size_of::<Option<Arc<str>>>() + shared.capacity() * 48 + bytes
            }
            BestValues::Bits { values, .. } => values.capacity() * size_of::<Option<i64>>(),
        }
    }
}

impl Rows<'_> {
    fn is_null(&self, row: usize) -> bool {
        match self {
            Rows::Plain(array) => array.is_null(row),
            Rows::Shared(places, texts) => texts[places[row]].is_none(),
            Rows::Bits(bits) => bits[row].is_none(),
        }
    }
}

/// A text that others may have too.
fn share(shared: &mut HashSet<Arc<str>, RandomState>, text: &str) -> Arc<str> {
    if let Some(known) = shared.get(text) {
        return known.clone();
    }
    let text: Arc<str> = text.into();
    if shared.len() < SHARED_MAX {
        shared.insert(text.clone());
    }
    text
}

/// Puts a text of its own in the place of another, and counts their bytes.
fn replace(place: &mut Option<Arc<str>>, text: Option<Arc<str>>, bytes: &mut usize) {
    *bytes += text.as_ref().map_or(0, |text| text.len());
    let old = std::mem::replace(place, text);
    *bytes = bytes.saturating_sub(old.map_or(0, |old| old.len()));
}

/// The values of an array that has no texts, by their bits.
fn bits(array: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let array = plain(array)?;
    Ok(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().collect(),
        DataType::Int32 => array.as_primitive::<Int32Type>().iter().map(|n| n.map(i64::from)).collect(),
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().iter().map(|x| x.map(|x| x.to_bits().cast_signed())).collect()
        }
        DataType::Boolean => array.as_boolean().iter().map(|b| b.map(i64::from)).collect(),
        other => return Err(DataFusionError::Internal(format!("values of {other} cannot be held here"))),
    })
}

fn text(array: &ArrayRef, row: usize) -> Option<&str> {
    let texts = array.as_string_view();
    texts.is_valid(row).then(|| texts.value(row))
}
