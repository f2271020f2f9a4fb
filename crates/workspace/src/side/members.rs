//! Members of JSON texts that have few values: which of them are worth keeping, and how they are written.
//!
//! A member of a row group is written as a dictionary: the values, then for each row the place of its value. Places are
//! written byte by byte, first the lowest byte of all rows, then the next, which presses better. All of it is pressed
//! with zstd.

use super::filter::mixed;
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringViewArray, StringViewBuilder, UInt32Array};
use arrow::datatypes::UInt32Type;
use engine::columnar::MemberPaths;
use engine::json;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A member is kept where it has at most one value for so many rows.
const ROWS_PER_VALUE_MIN: usize = 8;
/// Which members there are is seen from one row of so many.
const ROWS_PER_SAMPLE: usize = 32;
/// In a sample, members that are worth keeping have at most so many values for a hundred rows that have one: where each
/// value stands in [`ROWS_PER_VALUE_MIN`] rows, one row of [`ROWS_PER_SAMPLE`] shows about as many.
const SAMPLE_VALUES_PERCENT_MAX: usize = 90;
/// Members that fewer rows than one in so many have are not kept.
const ROWS_PER_PRESENT_MAX: usize = 10;
/// At most so many members of a column are kept, those that most rows have.
const MEMBERS_MAX: usize = 32;
const DEPTH_MAX: usize = 3;
const COMPRESSION: i32 = 3;
/// What stands for the length of a value that is null.
const NULL_LENGTH: u32 = u32::MAX;

/// What a member has in a sample.
#[derive(Default)]
struct Sampled {
    rows: usize,
    values: HashSet<String>,
}

/// The members of a column's texts that seem worth keeping.
pub(super) fn choose(texts: &StringViewArray) -> MemberPaths {
    let mut members: BTreeMap<Vec<String>, Sampled> = BTreeMap::new();
    let mut sampled_rows = 0;
    for start in (0..texts.len()).step_by(ROWS_PER_SAMPLE) {
        // Rows can come in turns, and a sample in step with them would see one kind alone.
        let row = (start + mixed(start as u64) as usize % ROWS_PER_SAMPLE).min(texts.len() - 1);
        sampled_rows += 1;
        let text = if texts.is_valid(row) { texts.value(row) } else { "" };
        if text.trim_start().starts_with('{') {
            add_members(&json::tree(text), &mut Vec::new(), &mut members);
        }
    }
    let is_worth_it = |(_, member): &(Vec<String>, Sampled)| {
        member.rows * ROWS_PER_PRESENT_MAX >= sampled_rows
            && member.values.len() * 100 <= member.rows * SAMPLE_VALUES_PERCENT_MAX
    };
    let mut chosen: Vec<(Vec<String>, Sampled)> = members.into_iter().filter(is_worth_it).collect();
    chosen.sort_by_key(|(_, member)| std::cmp::Reverse(member.rows));
    chosen.truncate(MEMBERS_MAX);
    MemberPaths::new(chosen.into_iter().map(|(path, _)| path).collect())
}

/// Counts what stands in an object, down to some depth, lists aside.
fn add_members(value: &Value, path: &mut Vec<String>, members: &mut BTreeMap<Vec<String>, Sampled>) {
    match value {
        Value::Object(object) if path.len() < DEPTH_MAX => {
            for (key, inner) in object {
                path.push(key.clone());
                add_members(inner, path, members);
                path.pop();
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        scalar => {
            if !members.contains_key(path.as_slice()) {
                members.insert(path.clone(), Sampled::default());
            }
            if let Some(member) = members.get_mut(path.as_slice()) {
                member.rows += 1;
                member.values.insert(scalar.to_string());
            }
        }
    }
}

/// The members at the paths that have few values in a row group, by the steps of their paths.
pub(super) fn of_texts(texts: &StringViewArray, paths: &MemberPaths) -> Vec<(Vec<String>, ArrayRef)> {
    let found = paths.dictionaries(texts, texts.len() / ROWS_PER_VALUE_MIN);
    paths.as_sources().zip(found).filter_map(|(path, member)| Some((path, member?))).collect()
}

/// A dictionary as it is written; `None` for another array.
pub(super) fn encode(member: &ArrayRef) -> Option<Vec<u8>> {
    let dictionary = member.as_dictionary_opt::<UInt32Type>()?;
    let values = dictionary.values().as_string_view_opt()?;
    let width = key_bytes(values.len());
    let mut bytes = Vec::new();
    for number in [dictionary.len(), values.len()] {
        bytes.extend(u32::try_from(number).ok()?.to_le_bytes());
    }
    for value in values {
        let length = value.map_or(Some(NULL_LENGTH), |value| u32::try_from(value.len()).ok());
        bytes.extend(length?.to_le_bytes());
    }
    values.iter().flatten().for_each(|value| bytes.extend(value.as_bytes()));
    for byte in 0..width {
        bytes.extend(dictionary.keys().values().iter().map(|key| (key >> (8 * byte)) as u8));
    }
    let mut written = u32::try_from(bytes.len()).ok()?.to_le_bytes().to_vec();
    written.extend(zstd::bulk::compress(&bytes, COMPRESSION).ok()?);
    Some(written)
}

/// The dictionary that was written; `None` where it was not.
pub(super) fn decode(written: &[u8]) -> Option<ArrayRef> {
    let (length, pressed) = written.split_first_chunk::<4>()?;
    let bytes = zstd::bulk::decompress(pressed, u32::from_le_bytes(*length) as usize).ok()?;
    let mut rest = bytes.as_slice();
    let rows = take_number(&mut rest)? as usize;
    let count = take_number(&mut rest)? as usize;
    let lengths = (0..count).map(|_| take_number(&mut rest)).collect::<Option<Vec<u32>>>()?;
    let mut values = StringViewBuilder::with_capacity(count);
    for length in lengths {
        if length == NULL_LENGTH {
            values.append_null();
            continue;
        }
        let (value, others) = rest.split_at_checked(length as usize)?;
        values.append_value(std::str::from_utf8(value).ok()?);
        rest = others;
    }
    let width = key_bytes(count);
    if rest.len() != rows.checked_mul(width)? {
        return None;
    }
    let mut keys = vec![0u32; rows];
    for (byte, plane) in rest.chunks_exact(rows.max(1)).enumerate() {
        keys.iter_mut().zip(plane).for_each(|(key, part)| *key |= u32::from(*part) << (8 * byte));
    }
    let dictionary = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(keys), Arc::new(values.finish()));
    Some(Arc::new(dictionary.ok()?))
}

/// The bytes that the place of one of so many values takes.
fn key_bytes(values: usize) -> usize {
    match values {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, others) = rest.split_first_chunk::<4>()?;
    *rest = others;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_few_values_are_chosen_by_how_often_they_occur() {
        let texts = StringViewArray::from_iter_values((0..20_000).map(|i| {
            let rare = if i % 50 == 0 { ",\"rare\":1" } else { "" };
            format!(
                "{{\"device\":\"d{}\",\"pid\":{i},\"deep\":{{\"user\":\"u{}\",\"list\":[1]}},\"none\":null{rare}}}",
                i * 7 % 900,
                i % 3
            )
        }));
        let chosen: Vec<Vec<String>> = choose(&texts).as_sources().collect();
        assert_eq!(chosen, [vec!["\"deep\"".to_owned(), "\"user\"".to_owned()], vec!["\"device\"".to_owned()]]);
        let plain = StringViewArray::from_iter_values(["no", "json"].into_iter().cycle().take(100));
        assert_eq!(choose(&plain).as_sources().count(), 0);
    }

    #[test]
    fn members_come_back_as_they_were() {
        for values in [1, 2, 255, 256, 257, 70_000] {
            // One more is null.
            let rows = (values + 1).max(3) * ROWS_PER_VALUE_MIN;
            let texts = StringViewArray::from_iter((0..rows).map(|i| match i % 11 {
                0 => None,
                1 => Some("{\"other\":1}".to_owned()),
                _ => Some(format!("{{\"a\":\"value {}\"}}", i % values)),
            }));
            let paths = MemberPaths::new(vec![vec!["a".to_owned()]]);
            let [(path, member)] = &of_texts(&texts, &paths)[..] else { panic!("{values} values are few") };
            assert_eq!(path, &["\"a\""]);
            let written = encode(member).expect("it can be written");
            assert_eq!(&decode(&written).expect("it can be read"), member);
            assert!(decode(&written[..written.len() - 1]).is_none() && decode(&[]).is_none());
        }
    }
}
