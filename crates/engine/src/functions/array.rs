//! Arrays and bags taken apart and put together.

use super::dynamic::{items, json_path};
use super::{Args, Kernel};
use crate::json::{self, Step};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use serde_json::{Map, Value};

/// Arrays that a function builds have at most this many elements.
const ELEMENTS_MAX: usize = 1 << 20;

fn array(values: impl IntoIterator<Item = Value>) -> String {
    json::array(values.into_iter().map(|v| json::print(&v)))
}

/// An array for each row, from the elements of the first argument.
fn each_array(args: &Args, row: impl Fn(usize, Vec<Value>) -> Option<Vec<Value>>) -> Result<ArrayRef> {
    let arrays = args.strings(0);
    Ok(args.make_strings(|i| Some(array(row(i, items(arrays.get(i))?)?))))
}

pub static REVERSE: Kernel = Kernel::new("kql_array_reverse", Type::Dynamic, |args| {
    each_array(args, |_, mut values| {
        values.reverse();
        Some(values)
    })
});

fn rotate(args: &Args, left: bool) -> Result<ArrayRef> {
    each_array(args, |i, mut values| {
        let count = args.longs(1).get(i)?;
        if values.is_empty() {
            return Some(values);
        }
        let places = (if left { count } else { count.checked_neg()? }).rem_euclid(values.len() as i64);
        values.rotate_left(usize::try_from(places).ok()?);
        Some(values)
    })
}

pub static ROTATE_LEFT: Kernel = Kernel::new("kql_array_rotate_left", Type::Dynamic, |a| rotate(a, true));
pub static ROTATE_RIGHT: Kernel = Kernel::new("kql_array_rotate_right", Type::Dynamic, |a| rotate(a, false));

fn shift(args: &Args, left: bool) -> Result<ArrayRef> {
    each_array(args, |i, values| {
        let count = args.longs(1).get(i)?;
        let fill = if args.len() > 2 { json::tree(args.strings(2).get(i).unwrap_or("null")) } else { Value::Null };
        let by = if left { count } else { count.checked_neg()? };
        let from = |place: usize| i64::try_from(place).ok().and_then(|p| p.checked_add(by));
        let shifted = (0..values.len()).map(|place| {
            let source = from(place).and_then(|p| usize::try_from(p).ok());
            source.and_then(|p| values.get(p)).cloned().unwrap_or_else(|| fill.clone())
        });
        Some(shifted.collect())
    })
}

/// `array_shift_left(array, count [, fill])`.
pub static SHIFT_LEFT: Kernel = Kernel::new("kql_array_shift_left", Type::Dynamic, |a| shift(a, true));
pub static SHIFT_RIGHT: Kernel = Kernel::new("kql_array_shift_right", Type::Dynamic, |a| shift(a, false));

/// `array_split(array, place or places)`: the parts between the places; negative ones count from the end.
pub static SPLIT: Kernel = Kernel::new("kql_array_split", Type::Dynamic, |args| {
    each_array(args, |i, values| {
        let len = values.len() as i64;
        let places = match json::tree(args.strings(1).get(i)?) {
            Value::Array(places) => places,
            single => vec![single],
        };
        let place = |v: &Value| v.as_i64().map(|p| if p < 0 { (len + p).max(0) } else { p.min(len) });
        let mut parts = Vec::new();
        let mut start = 0;
        for end in places.iter().map(place).chain([Some(len)]) {
            let end = usize::try_from(end?).ok()?;
            parts.push(Value::Array(values.get(start..end).unwrap_or_default().to_vec()));
            start = end;
        }
        Some(parts)
    })
});

/// The sum of the numbers of an array; null for other values, 0 for missing numbers.
pub static SUM: Kernel = Kernel::new("kql_array_sum", Type::Real, |args| {
    let arrays = args.strings(0);
    Ok(args.make_reals(|i| Some(items(arrays.get(i))?.iter().filter_map(Value::as_f64).sum())))
});

/// `array_iff(conditions, when true, when false)`; what is no array stands for every element.
pub static IFF: Kernel = Kernel::new("kql_array_iff", Type::Dynamic, |args| {
    each_array(args, |i, conditions| {
        let choice = |k: usize, place: usize| match json::tree(args.strings(k).get(i).unwrap_or("null")) {
            Value::Array(values) => values.get(place).cloned().unwrap_or(Value::Null),
            single => single,
        };
        let chosen = conditions.iter().enumerate().map(|(place, condition)| match condition {
            Value::Bool(flag) => choice(if *flag { 1 } else { 2 }, place),
            Value::Number(n) => choice(if n.as_f64() == Some(0.0) { 2 } else { 1 }, place),
            _ => Value::Null,
        });
        Some(chosen.collect())
    })
});

/// `zip(array, array, ...)`: the elements at each place, null where an array is shorter.
pub static ZIP: Kernel = Kernel::new("kql_zip", Type::Dynamic, |args| {
    Ok(args.make_strings(|i| {
        let arrays: Vec<Vec<Value>> =
            (0..args.len()).map(|k| items(args.strings(k).get(i)).unwrap_or_default()).collect();
        let longest = arrays.iter().map(Vec::len).max()?;
        let at = |place: usize| arrays.iter().map(|a| a.get(place).cloned().unwrap_or(Value::Null)).collect();
        Some(array((0..longest).map(|place| Value::Array(at(place)))))
    }))
});

/// `repeat(value, count)`.
pub static REPEAT: Kernel = Kernel::new("kql_repeat", Type::Dynamic, |args| {
    let (values, counts) = (args.strings(0), args.longs(1));
    Ok(args.make_strings(|i| {
        let count = usize::try_from(counts.get(i)?).unwrap_or(0).min(ELEMENTS_MAX);
        Some(json::array(std::iter::repeat_n(values.get(i).unwrap_or("null"), count)))
    }))
});

/// The share of the elements of either set that are in both.
pub static JACCARD_INDEX: Kernel = Kernel::new("kql_jaccard_index", Type::Real, |args| {
    let (left, right) = (args.strings(0), args.strings(1));
    Ok(args.make_reals(|i| {
        let distinct = |values: Vec<Value>| {
            let mut seen: Vec<Value> = Vec::new();
            values.into_iter().for_each(|v| {
                if !seen.contains(&v) {
                    seen.push(v)
                }
            });
            seen
        };
        let (left, right) = (distinct(items(left.get(i))?), distinct(items(right.get(i))?));
        let common = left.iter().filter(|v| right.contains(v)).count();
        Some(common as f64 / (left.len() + right.len() - common) as f64)
    }))
});

/// `bag_remove_keys(bag, keys)`; a key may be a path such as `$.a.b`.
pub static BAG_REMOVE_KEYS: Kernel = Kernel::new("kql_bag_remove_keys", Type::Dynamic, |args| {
    let (bags, keys) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let mut bag = json::tree(bags.get(i)?);
        for key in json::strings(keys.get(i)?) {
            let steps = steps_of(&key)?;
            let Some((last, path)) = steps.split_last() else { continue };
            let holder = path.iter().try_fold(&mut bag, |holder, step| match step {
                Step::Key(name) => holder.get_mut(*name),
                Step::Index(_) => None,
            });
            if let (Some(Value::Object(entries)), Step::Key(name)) = (holder, last) {
                entries.remove(*name);
            }
        }
        bag.is_object().then(|| json::print(&bag))
    }))
});

/// `bag_set_key(bag, key, value)`; bags on the way of a path such as `$.a.b` are made where they are missing.
pub static BAG_SET_KEY: Kernel = Kernel::new("kql_bag_set_key", Type::Dynamic, |args| {
    let (bags, keys, values) = (args.strings(0), args.strings(1), args.strings(2));
    Ok(args.make_strings(|i| {
        let mut bag = json::tree(bags.get(i)?);
        let mut holder = &mut bag;
        let key = keys.get(i)?;
        let steps = steps_of(key)?;
        let (last, path) = steps.split_last()?;
        for step in path {
            let Step::Key(name) = step else { return None };
            holder = holder.as_object_mut()?.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        }
        let Step::Key(name) = last else { return None };
        holder.as_object_mut()?.insert((*name).to_owned(), json::tree(values.get(i).unwrap_or("null")));
        Some(json::print(&bag))
    }))
});

fn steps_of(key: &str) -> Option<Vec<Step<'_>>> {
    if key.starts_with('$') { json_path(key) } else { Some(vec![Step::Key(key)]) }
}

/// `bag_zip(keys, values)`; a key without a value has null.
pub static BAG_ZIP: Kernel = Kernel::new("kql_bag_zip", Type::Dynamic, |args| {
    let (keys, values) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let (keys, values) = (items(keys.get(i))?, items(values.get(i)).unwrap_or_default());
        let entries = keys.iter().enumerate().filter_map(|(place, key)| {
            let value = values.get(place).map_or_else(|| "null".to_owned(), json::print);
            key.as_str().map(|key| (key.to_owned(), value))
        });
        Some(json::bag(entries))
    }))
});

/// The JSON of a dynamic value with the keys of bags in order.
pub static DYNAMIC_TO_JSON: Kernel = Kernel::new("kql_dynamic_to_json", Type::String, |args| {
    let values = args.strings(0);
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(entries) => {
                let mut entries: Vec<(String, Value)> = entries.into_iter().map(|(k, v)| (k, sorted(v))).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(entries.into_iter().collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
            other => other,
        }
    }
    Ok(args.make_strings(|i| Some(values.get(i).map_or_else(String::new, |v| json::print(&sorted(json::tree(v)))))))
});

/// The code points of a text.
pub static CODEPOINTS: Kernel = Kernel::new("kql_unicode_codepoints", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(json::array(texts.get(i).unwrap_or("").chars().map(|c| u32::from(c).to_string())))))
});

/// The text of code points, numbers or arrays of them; what is no code point is left out.
pub static FROM_CODEPOINTS: Kernel = Kernel::new("kql_text_of_codepoints", Type::String, |args| {
    Ok(args.make_strings(|i| {
        let mut text = String::new();
        for k in 0..args.len() {
            let values = match json::tree(args.strings(k).get(i).unwrap_or("null")) {
                Value::Array(values) => values,
                single => vec![single],
            };
            let points = values.iter().filter_map(Value::as_u64).filter_map(|n| u32::try_from(n).ok());
            text.extend(points.filter_map(char::from_u32));
        }
        Some(text)
    }))
});
