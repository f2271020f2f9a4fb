//! The best row of each group, its values held by column.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewBuilder,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::EmitTo;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// So many texts of dictionaries are shared by all groups that hold them.
const SHARED_MAX: usize = 1 << 16;

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

/// A column of a batch, to be read row by row.
pub(super) enum Rows<'a> {
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

    /// Whether they can be compared as well: in the order of their bits or of their bytes.
    pub fn can_compare(of: &DataType) -> bool {
        matches!(of, DataType::Utf8View | DataType::Int64 | DataType::Int32)
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

    /// A column of a batch. The texts of a dictionary are shared from here on.
    pub fn rows<'a>(&mut self, array: &'a ArrayRef) -> Result<Rows<'a>> {
        if let BestValues::Texts { shared, .. } = self {
            let Some(dictionary) = array.as_any_dictionary_opt() else { return Ok(Rows::Plain(array)) };
            let texts = dictionary.values().as_string_view();
            let mut share = |text: &str| match shared.get(text) {
                Some(known) => known.clone(),
                None => {
                    let text: Arc<str> = text.into();
                    if shared.len() < SHARED_MAX {
                        shared.insert(text.clone());
                    }
                    text
                }
            };
            let texts: Vec<Option<Arc<str>>> = texts.iter().map(|text| text.map(&mut share)).collect();
            return Ok(Rows::Shared(dictionary.normalized_keys(), texts));
        }
        let array = crate::columnar::plain(array)?;
        let bits = match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().iter().collect(),
            DataType::Int32 => array.as_primitive::<Int32Type>().iter().map(|n| n.map(i64::from)).collect(),
            DataType::Float64 => {
                array.as_primitive::<Float64Type>().iter().map(|x| x.map(|x| x.to_bits().cast_signed())).collect()
            }
            DataType::Boolean => array.as_boolean().iter().map(|b| b.map(i64::from)).collect(),
            other => return Err(DataFusionError::Internal(format!("values of {other} cannot be held here"))),
        };
        Ok(Rows::Bits(bits))
    }

    /// How the value of a row compares with that of a group; null is before all others.
    pub fn compare(&self, rows: &Rows, row: usize, group: usize) -> Ordering {
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

    pub fn is_null(&self, group: usize) -> bool {
        match self {
            BestValues::Texts { values, .. } => values[group].is_none(),
            BestValues::Bits { values, .. } => values[group].is_none(),
        }
    }

    /// Makes the value of a row that of a group.
    pub fn set(&mut self, rows: &Rows, row: usize, group: usize) {
        match (self, rows) {
            (BestValues::Texts { values, .. }, Rows::Shared(places, texts)) => {
                values[group] = texts[places[row]].clone()
            }
            (BestValues::Texts { values, bytes, .. }, Rows::Plain(array)) => {
                let value: Option<Arc<str>> = text(array, row).map(Arc::from);
                *bytes += value.as_ref().map_or(0, |value| value.len());
                let old = std::mem::replace(&mut values[group], value);
                *bytes = bytes.saturating_sub(old.map_or(0, |old| old.len()));
            }
            (BestValues::Bits { values, .. }, Rows::Bits(bits)) => values[group] = bits[row],
            _ => {}
        }
    }

    /// The values of groups as a column; they are forgotten.
    pub fn emit(&mut self, emit: EmitTo) -> ArrayRef {
        match self {
            BestValues::Texts { values, .. } => {
                let mut texts = StringViewBuilder::new();
                emit.take_needed(values).iter().for_each(|value| texts.append_option(value.as_deref()));
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

fn text(array: &ArrayRef, row: usize) -> Option<&str> {
    let texts = array.as_string_view();
    texts.is_valid(row).then(|| texts.value(row))
}
