//! Functions on dynamic values: access by path, arrays, bags.

use super::{Args, Kernel};
use crate::json::{self, Kind, Step};
use datafusion::arrow::array::{Array, ArrayRef, ListBuilder, StringViewArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::cast::as_string_view_array;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use kql::Type;
use kql::timespan::TICKS_PER_HOUR;
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// Arrays that `range()` builds have at most this many elements, as in the original.
const ARRAY_ELEMENTS_MAX: usize = 1 << 20;

/// `null` inside a document is the null value.
fn non_null(text: &str) -> Option<&str> {
    (json::kind(text) != Kind::Null).then_some(text)
}

/// `base[step]` with steps of every kind: the arguments after the first are the path, keys as text in
/// quotes (JSON), indices as digits.
pub static PATH: Kernel = Kernel::new("kql_dynamic_path", Type::Dynamic, |args| {
    let values = args.strings(0);
    let steps: Vec<_> = (1..args.len()).map(|k| args.strings(k)).collect();
    // Constant paths, the rule, are read once.
    if let Some(path) = steps.iter().map(|s| s.constant()).collect::<Option<Vec<_>>>() {
        return Ok(at_path(args.rows, |i| values.get(i), &path));
    }
    Ok(args.make_strings(|i| {
        let texts = steps.iter().map(|s| s.get(i).map(Written::read)).collect::<Option<Vec<_>>>()?;
        let path = texts.iter().map(Written::step).collect::<Option<Vec<_>>>()?;
        json::get(values.get(i)?, &path).and_then(non_null)
    }))
});

/// What stands at a path, its steps written as for [`PATH`], in a column of JSON texts.
pub(crate) fn members(texts: &ArrayRef, path: &[String]) -> Result<ArrayRef> {
    let texts = as_string_view_array(texts)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok(at_path(texts.len(), |i| texts.is_valid(i).then(|| texts.value(i)), &path))
}

fn at_path<'a>(rows: usize, value: impl Fn(usize) -> Option<&'a str>, path: &[&str]) -> ArrayRef {
    let texts: Vec<Written> = path.iter().map(|text| Written::read(text)).collect();
    let path: Option<Vec<Step>> = texts.iter().map(Written::step).collect();
    let mut found = StringViewBuilder::with_capacity(rows);
    for i in 0..rows {
        let member = path.as_ref().and_then(|path| json::get(value(i)?, path).and_then(non_null));
        found.append_option(member);
    }
    Arc::new(found.finish())
}

/// A step of a path as it is written.
struct Written<'a> {
    text: Cow<'a, str>,
    is_index: bool,
}

impl<'a> Written<'a> {
    fn read(text: &'a str) -> Written<'a> {
        Written { text: json::to_text(text), is_index: json::kind(text) == Kind::Long }
    }

    /// `None` for an index that is out of all bounds.
    fn step(&self) -> Option<Step<'_>> {
        Some(if self.is_index { Step::Index(self.text.parse().ok()?) } else { Step::Key(&self.text) })
    }
}

pub static ARRAY_LENGTH: Kernel = Kernel::new("kql_array_length", Type::Long, |args| {
    let values = args.strings(0);
    Ok(args.make_longs(|i| match json::tree(values.get(i)?) {
        Value::Array(items) => Some(items.len() as i64),
        _ => None,
    }))
});

pub(super) fn items(text: Option<&str>) -> Option<Vec<Value>> {
    match json::tree(text?) {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn array_json<'v>(items: impl IntoIterator<Item = &'v Value>) -> String {
    json::array(items.into_iter().map(json::print))
}

/// `array_slice(array, from, to)`: both ends included, negative ones from the end.
pub static ARRAY_SLICE: Kernel = Kernel::new("kql_array_slice", Type::Dynamic, |args| {
    let (arrays, starts, ends) = (args.strings(0), args.longs(1), args.longs(2));
    Ok(args.make_strings(|i| {
        let items = items(arrays.get(i))?;
        let count = items.len() as i64;
        let place = |n: i64| if n < 0 { n + count } else { n };
        let start = place(starts.get(i)?).max(0);
        let end = place(ends.get(i)?).min(count - 1);
        let slice = if start <= end { &items[start as usize..=end as usize] } else { &[] };
        Some(array_json(slice))
    }))
});

/// The elements of all array arguments; null when none is an array.
pub static ARRAY_CONCAT: Kernel = Kernel::new("kql_array_concat", Type::Dynamic, |args| {
    let arrays: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let parts: Vec<Vec<Value>> = arrays.iter().filter_map(|a| items(a.get(i))).collect();
        (!parts.is_empty()).then(|| array_json(parts.iter().flatten()))
    }))
});

/// `array_index_of(array, value)`: -1 when absent.
/// `array_index_of(array, value [, start [, length [, occurrence]]])`; -1 where it is not.
pub static ARRAY_INDEX_OF: Kernel = Kernel::new("kql_array_index_of", Type::Long, |args| {
    let (arrays, wanted) = (args.strings(0), args.strings(1));
    Ok(args.make_longs(|i| {
        let items = items(arrays.get(i))?;
        let wanted = json::tree(wanted.get(i).unwrap_or("null"));
        let option = |k: usize, usual: i64| if k < args.len() { args.longs(k).get(i) } else { Some(usual) };
        let len = items.len() as i64;
        let (start, length, occurrence) = (option(2, 0)?, option(3, -1)?, option(4, 1)?);
        let start = if start < 0 { (len + start).max(0) } else { start.min(len) };
        let end = if length < 0 { len } else { start.saturating_add(length).min(len) };
        let places = (start..end).filter(|at| equal(&items[*at as usize], &wanted));
        let nth = usize::try_from(occurrence - 1).ok()?;
        Some(places.into_iter().nth(nth).unwrap_or(-1))
    }))
});

/// `strcat_array(array, delimiter)`.
pub static STRCAT_ARRAY: Kernel = Kernel::new("kql_strcat_array", Type::String, |args| {
    let (arrays, delimiters) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let items = items(arrays.get(i)).unwrap_or_default();
        let texts: Vec<String> = items.iter().map(|v| json::to_text(&v.to_string()).into_owned()).collect();
        Some(texts.join(delimiters.get(i).unwrap_or("")))
    }))
});

fn set_operation(args: &Args, keep: fn(&[HashSet<String>], usize, &str) -> bool) -> Result<ArrayRef> {
    let arrays: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let sets: Vec<Vec<Value>> = arrays.iter().map(|a| items(a.get(i))).collect::<Option<_>>()?;
        let keys: Vec<HashSet<String>> = sets.iter().map(|s| s.iter().map(Value::to_string).collect()).collect();
        let mut seen = HashSet::new();
        let kept = sets.iter().enumerate().flat_map(|(k, set)| set.iter().map(move |v| (k, v)));
        let kept = kept.filter(|(k, v)| keep(&keys, *k, &v.to_string()) && seen.insert(v.to_string()));
        Some(json::array(kept.map(|(_, v)| json::print(v))))
    }))
}

pub static SET_UNION: Kernel = Kernel::new("kql_set_union", Type::Dynamic, |args| set_operation(args, |_, _, _| true));
pub static SET_INTERSECT: Kernel = Kernel::new("kql_set_intersect", Type::Dynamic, |args| {
    set_operation(args, |sets, k, v| k == 0 && sets.iter().all(|s| s.contains(v)))
});
pub static SET_DIFFERENCE: Kernel = Kernel::new("kql_set_difference", Type::Dynamic, |args| {
    set_operation(args, |sets, k, v| k == 0 && !sets[1..].iter().any(|s| s.contains(v)))
});
/// Whether two arrays hold the same values, however often and in whichever order.
pub static SET_EQUALS: Kernel = Kernel::new("kql_set_equals", Type::Bool, |args| {
    let (left, right) = (args.strings(0), args.strings(1));
    let set = |text| Some(items(text)?.iter().map(Value::to_string).collect::<HashSet<String>>());
    Ok(args.make_bools(|i| Some(set(left.get(i))? == set(right.get(i))?)))
});
pub static SET_HAS_ELEMENT: Kernel = Kernel::new("kql_set_has_element", Type::Bool, |args| {
    let (arrays, wanted) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| {
        let items = items(arrays.get(i))?;
        Some(items.contains(&json::tree(wanted.get(i).unwrap_or("null"))))
    }))
});

/// Whether two values are the same; numbers are across their types.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => a == b || (x == y && !(a.is_i64() && b.is_i64())),
        _ => a == b,
    }
}

/// `value in (array)` row by row, both dynamic; a value that is no array is a list of one. Numbers are equal across
/// their types, and null is in no list.
pub static IN_ARRAY: Kernel = Kernel::new("kql_in_array", Type::Bool, |args| {
    let (wanted, arrays) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| {
        let Some(wanted) = wanted.get(i).map(json::tree) else { return Some(false) };
        Some(match arrays.get(i).map(json::tree) {
            Some(Value::Array(items)) => items.iter().any(|item| equal(item, &wanted)),
            Some(Value::Null) | None => false,
            Some(single) => equal(&single, &wanted),
        })
    }))
});

/// In a sorted array, whichever way, truth values come before numbers, then text, then the rest.
fn kind_rank(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        _ => 3,
    }
}

/// The order of two values of a kind.
fn compare_items(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.as_f64().unwrap_or(f64::NAN).total_cmp(&y.as_f64().unwrap_or(f64::NAN)),
        },
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::String(x), Value::String(y)) => x.cmp(y),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// The arrays after the first two arguments, whether ascending and whether nulls come last, in the order of the first
/// of them; an array of arrays. One that has another length than the first is null.
pub static ARRAY_SORT: Kernel = Kernel::new("kql_array_sort", Type::Dynamic, |args| {
    let (ascending, nulls_last) = (args.bools(0), args.bools(1));
    let arrays: Vec<_> = (2..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let keys = items(arrays.first()?.get(i))?;
        let (ascending, nulls_last) = (ascending.get(i)?, nulls_last.get(i)?);
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|a, b| match (keys[*a].is_null(), keys[*b].is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let order = kind_rank(&keys[*a]).cmp(&kind_rank(&keys[*b]));
                let within = compare_items(&keys[*a], &keys[*b]);
                order.then(if ascending { within } else { within.reverse() })
            }
        });
        Some(json::array(arrays.iter().map(|array| match items(array.get(i)) {
            Some(values) if values.len() == order.len() => json::array(order.iter().map(|k| json::print(&values[*k]))),
            _ => "null".to_owned(),
        })))
    }))
});

/// Its arguments, dynamic each, as an array.
pub static PACK_ARRAY: Kernel = Kernel::new("kql_pack_array", Type::Dynamic, |args| {
    let values: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| Some(json::array(values.iter().map(|v| v.get(i).unwrap_or("null"))))))
});

/// `bag_pack(key, value, ...)`: keys are text, values dynamic.
pub static BAG_PACK: Kernel = Kernel::new("kql_bag_pack", Type::Dynamic, |args| bag_pack(args, false));
/// As [`BAG_PACK`], without values that are null or empty text.
pub static BAG_PACK_NONEMPTY: Kernel = Kernel::new("kql_bag_pack_nonempty", Type::Dynamic, |args| bag_pack(args, true));

fn bag_pack(args: &Args, ignores_empty: bool) -> Result<ArrayRef> {
    let values: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let entries =
            values.chunks_exact(2).map(|pair| (pair[0].get(i).unwrap_or(""), pair[1].get(i).unwrap_or("null")));
        let kept = entries.filter(|(_, value)| !ignores_empty || !matches!(*value, "null" | "\"\""));
        Some(json::bag(kept.map(|(key, value)| (key.to_owned(), value.to_owned()))))
    }))
}

pub static BAG_KEYS: Kernel = Kernel::new("kql_bag_keys", Type::Dynamic, |args| {
    let bags = args.strings(0);
    Ok(args.make_strings(|i| match json::tree(bags.get(i)?) {
        Value::Object(entries) => Some(json::array(entries.keys().map(|k| json::quote(k)))),
        _ => None,
    }))
});

/// The bytes that a value is taken to need, for `estimate_data_size`: more than its text.
pub static SIZE: Kernel = Kernel::new("kql_dynamic_size", Type::Long, |args| {
    /// What a value is told apart by before its content.
    const HEADER_BYTES: i64 = 8;
    let values = args.strings(0);
    Ok(args.make_longs(|i| Some(values.get(i).map_or(0, |text| text.len() as i64 + HEADER_BYTES))))
});

/// The paths to all that is in a value, such as `['a'][0]`: `[0]` stands for every element of an array.
pub static TREEPATH: Kernel = Kernel::new("kql_treepath", Type::Dynamic, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| {
        let mut paths = Vec::new();
        add_paths(&json::tree(values.get(i)?), "", &mut HashSet::new(), &mut paths);
        Some(json::array(paths.iter().map(|path| json::quote(path))))
    }))
});

fn add_paths(value: &Value, path: &str, known: &mut HashSet<String>, paths: &mut Vec<String>) {
    let mut add = |inner: String, value: &Value| {
        if known.insert(inner.clone()) {
            paths.push(inner.clone());
        }
        add_paths(value, &inner, known, paths);
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| add(format!("{path}['{key}']"), value)),
        Value::Array(items) => items.iter().for_each(|item| add(format!("{path}[0]"), item)),
        _ => {}
    }
}

/// The properties of a bag, each as a letter for its type and its name, in an array: what `bag_unpack` makes columns
/// of. `n` is a null, `b`, `l`, `r` and `s` are bool, long, real and string, `d` is anything else.
pub static PROPERTIES: Kernel = Kernel::new("kql_bag_properties", Type::Dynamic, |args| {
    let bags = args.strings(0);
    Ok(args.make_strings(|i| match json::tree(bags.get(i)?) {
        Value::Object(entries) => Some(json::array(entries.iter().map(|(name, value)| {
            let letter = match value {
                Value::Null => 'n',
                Value::Bool(_) => 'b',
                Value::Number(n) if n.is_i64() => 'l',
                Value::Number(_) => 'r',
                Value::String(_) => 's',
                Value::Array(_) | Value::Object(_) => 'd',
            };
            json::quote(&format!("{letter}{name}"))
        }))),
        _ => None,
    }))
});

/// The bags of an array as one; of a repeated key the first value counts.
pub static MERGE_BAGS: Kernel = Kernel::new("kql_merge_bags", Type::Dynamic, |args| {
    let arrays = args.strings(0);
    Ok(args.make_strings(|i| {
        let bags = items(arrays.get(i)).unwrap_or_default();
        let entries = bags.iter().filter_map(Value::as_object).flatten();
        Some(json::bag(entries.map(|(key, value)| (key.clone(), json::print(value)))))
    }))
});

/// Of a key that several bags have the leftmost counts.
pub static BAG_MERGE: Kernel = Kernel::new("kql_bag_merge", Type::Dynamic, |args| {
    let bags: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let objects = bags.iter().filter_map(|b| match json::tree(b.get(i)?) {
            Value::Object(entries) => Some(entries),
            _ => None,
        });
        let entries: Vec<(String, String)> = objects.flatten().map(|(k, v)| (k, json::print(&v))).collect();
        Some(json::bag(entries))
    }))
});

/// `bag_has_key(bag, key)`, where the key may be a path such as `$.a.b`.
pub static BAG_HAS_KEY: Kernel = Kernel::new("kql_bag_has_key", Type::Bool, |args| {
    let (bags, keys) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| {
        let (bag, key) = (bags.get(i)?, keys.get(i).unwrap_or(""));
        if json::kind(bag) != Kind::Bag {
            return None;
        }
        let steps = if key.starts_with('$') { json_path(key)? } else { vec![Step::Key(key)] };
        Some(json::get(bag, &steps).is_some())
    }))
});

pub static GETTYPE: Kernel = Kernel::new("kql_gettype_dynamic", Type::String, |args| {
    let values = args.strings(0);
    Ok(args.make_strings(|i| {
        Some(match values.get(i).map(json::kind) {
            None | Some(Kind::Null) => "null",
            Some(Kind::Bool) => "bool",
            Some(Kind::Long) => "long",
            Some(Kind::Real) => "double",
            Some(Kind::String) => "string",
            Some(Kind::Array) => "array",
            Some(Kind::Bag) => "dictionary",
        })
    }))
});

/// `extractjson(path, text)` with a path such as `$.a.b[0]` or `$['a b']`.
pub static EXTRACTJSON: Kernel = Kernel::new("kql_extractjson", Type::Dynamic, |args| {
    let (paths, texts) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let steps = json_path(paths.get(i)?)?;
        json::get(texts.get(i)?, &steps).and_then(non_null)
    }))
});

pub(super) fn json_path(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            steps.push(Step::Key(&after[..end]));
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[')?;
            let end = after.find(']')?;
            let inner = after[..end].trim();
            steps.push(match inner.trim_matches(['\'', '"']) {
                key if key.len() < inner.len() => Step::Key(key),
                index => Step::Index(index.parse().ok()?),
            });
            rest = &after[end + 1..];
        }
    }
    Some(steps)
}

/// `range(from, to, step)` of longs, as an array.
pub static RANGE_LONG: Kernel = Kernel::new("kql_range_long", Type::Dynamic, |args| range(args, 1, |n| n.to_string()));
pub static RANGE_REAL: Kernel = Kernel::new("kql_range_real", Type::Dynamic, |args| {
    let (starts, ends) = (args.reals(0), args.reals(1));
    let steps = (args.len() > 2).then(|| args.reals(2));
    Ok(args.make_strings(|i| {
        let step = steps.as_ref().map_or(Some(1.0), |s| s.get(i))?;
        let (start, end) = (starts.get(i)?, ends.get(i)?);
        // Each is computed from the start, so that errors do not add up.
        let values = (0..ARRAY_ELEMENTS_MAX).map(|n| start + n as f64 * step);
        let inside = values.take_while(|n| step != 0.0 && if step > 0.0 { *n <= end } else { *n >= end });
        Some(json::array(inside.map(json::real_text)))
    }))
});
pub static RANGE_DATETIME: Kernel = Kernel::new("kql_range_datetime", Type::Dynamic, |args| {
    range(args, TICKS_PER_HOUR, |t| json::quote(&kql::datetime::format(t)))
});
pub static RANGE_TIMESPAN: Kernel = Kernel::new("kql_range_timespan", Type::Dynamic, |args| {
    range(args, TICKS_PER_HOUR, |t| json::quote(&kql::timespan::format(t)))
});

fn range(args: &Args, usual_step: i64, print: fn(i64) -> String) -> Result<ArrayRef> {
    let (starts, ends) = (args.longs(0), args.longs(1));
    let steps = (args.len() > 2).then(|| args.longs(2));
    Ok(args.make_strings(|i| {
        let step = steps.as_ref().map_or(Some(usual_step), |s| s.get(i))?;
        let (start, end) = (starts.get(i)?, ends.get(i)?);
        let values = std::iter::successors(Some(start), |n| n.checked_add(step));
        let inside = values.take_while(|n| step != 0 && if step > 0 { *n <= end } else { *n >= end });
        Some(json::array(inside.take(ARRAY_ELEMENTS_MAX).map(print)))
    }))
}

/// How `mv-expand` takes a dynamic value apart: a list of its elements, in the form that DataFusion unnests.
///
/// An array gives its elements; a bag gives one-entry bags, or `[key, value]` pairs; null gives a null list
/// (one row with null); any other value gives itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    bag_as_array: bool,
    /// At most this many elements of each value.
    limit: usize,
    signature: Signature,
}

/// A call of the function behind `mv-expand`; its result is a list of dynamic values.
pub fn elements(value: Expr, bag_as_array: bool, limit: usize) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    let udf = ScalarUDF::from(Elements { bag_as_array, limit, signature });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf), vec![value]))
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        "kql_elements"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let values: &StringViewArray = datafusion::common::cast::as_string_view_array(&array)?;
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for i in 0..values.len() {
            let value = if values.is_valid(i) { json::tree(values.value(i)) } else { Value::Null };
            match value {
                Value::Null => {
                    lists.append_null();
                    continue;
                }
                Value::Array(items) => {
                    for item in items.iter().take(self.limit) {
                        lists.values().append_option((!item.is_null()).then(|| json::print(item)));
                    }
                }
                Value::Object(entries) => {
                    for (key, item) in entries.iter().take(self.limit) {
                        let entry = if self.bag_as_array {
                            json::array([json::quote(key), json::print(item)])
                        } else {
                            json::bag([(key.clone(), json::print(item))])
                        };
                        lists.values().append_value(entry);
                    }
                }
                _ => lists.values().append_value(values.value(i)),
            }
            lists.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish())))
    }
}

/// `[0, 1, ...]` as long as the longest of the arguments, for `with_itemindex`.
pub static INDICES: Kernel = Kernel::new("kql_indices", Type::Dynamic, |args| {
    let values: Vec<_> = (0..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_strings(|i| {
        let length = |v: &super::args::Strings| match json::tree(v.get(i).unwrap_or("null")) {
            Value::Array(items) => items.len(),
            Value::Object(entries) => entries.len(),
            _ => 1,
        };
        let longest = values.iter().map(length).max().unwrap_or(0);
        Some(json::array((0..longest).map(|n| n.to_string())))
    }))
});
