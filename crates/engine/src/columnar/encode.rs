//! Texts as dictionaries, and back.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, StringViewArray, StringViewBuilder, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::Result;
use datafusion::common::hash_utils::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// A column is held as a dictionary where it has at most one value for so many rows.
const ROWS_PER_VALUE: usize = 2;

/// Whether an array is a dictionary as segments have them.
pub fn is_dictionary(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Dictionary(key, _) if **key == DataType::UInt32)
}

/// A column as it is held: a dictionary where that is smaller, else the array itself, without room that it does not
/// need.
pub fn encoded(array: &ArrayRef) -> Result<ArrayRef> {
    match (dictionary_of(array), array.as_string_view_opt()) {
        (Some(dictionary), _) => Ok(dictionary),
        (None, Some(texts)) => Ok(Arc::new(texts.gc())),
        (None, None) => Ok(array.clone()),
    }
}

/// Texts as a dictionary, where they have few values.
pub fn dictionary_of(array: &ArrayRef) -> Option<ArrayRef> {
    let texts: &StringViewArray = array.as_string_view_opt()?;
    dictionary(texts.iter(), texts.len() / ROWS_PER_VALUE)
}

/// Texts as a dictionary, where they have at most so many values.
pub(super) fn dictionary<'t>(
    texts: impl ExactSizeIterator<Item = Option<&'t str>>,
    values_max: usize,
) -> Option<ArrayRef> {
    let mut places: HashMap<Option<&str>, u32, RandomState> = HashMap::default();
    let mut values: Vec<Option<&str>> = Vec::new();
    let mut keys: Vec<u32> = Vec::with_capacity(texts.len());
    for text in texts {
        let place = *places.entry(text).or_insert_with(|| {
            values.push(text);
            (values.len() - 1) as u32
        });
        if values.len() > values_max {
            return None;
        }
        keys.push(place);
    }
    let mut builder = StringViewBuilder::with_capacity(values.len());
    values.into_iter().for_each(|value| builder.append_option(value));
    let dictionary = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(keys), Arc::new(builder.finish()));
    dictionary.ok().map(|dictionary| Arc::new(dictionary) as ArrayRef)
}

/// The array in the engine's own type: each row's value in its place.
pub fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.as_any_dictionary_opt() {
        Some(dictionary) => Ok(take(dictionary.values(), dictionary.keys(), None)?),
        None => Ok(array.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_make_a_dictionary_and_many_do_not() {
        let few: ArrayRef =
            Arc::new(StringViewArray::from_iter((0..100).map(|i| (i % 7 != 3).then(|| format!("value {}", i % 5)))));
        let held = encoded(&few).expect("it can be encoded");
        assert!(is_dictionary(&held));
        assert_eq!(held.as_any_dictionary().values().len(), 6);
        assert_eq!(held.as_any_dictionary().keys().null_count(), 0);
        assert_eq!(&plain(&held).expect("it can be decoded"), &few);

        let many: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..100).map(|i| format!("value {i}"))));
        let held = encoded(&many).expect("it can be encoded");
        assert!(!is_dictionary(&held));
        assert_eq!(&held, &many);
    }
}
