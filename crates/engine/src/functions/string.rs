//! Functions on text: case, length, slices, splitting, encodings.

use super::{Args, Kernel};
use crate::json;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// `strrep` and `strcat` refuse to build longer results.
const RESULT_BYTES_MAX: usize = 1 << 20;

fn map(args: &Args, f: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(f(texts.get(i).unwrap_or("")))))
}

// One-to-one mappings only, as the original: `ß` has no single upper-case letter and stays.
fn fold(text: &str, ascii: fn(&str) -> String, one: fn(char) -> Option<char>) -> String {
    if text.is_ascii() { ascii(text) } else { text.chars().map(|c| one(c).unwrap_or(c)).collect() }
}

fn single<I: Iterator<Item = char>>(mut mapped: I) -> Option<char> {
    let first = mapped.next();
    if mapped.next().is_some() { None } else { first }
}

pub static TOLOWER: Kernel = Kernel::new("kql_tolower", Type::String, |args| {
    map(args, |s| fold(s, str::to_ascii_lowercase, |c| single(c.to_lowercase())))
});
pub static TOUPPER: Kernel = Kernel::new("kql_toupper", Type::String, |args| {
    map(args, |s| fold(s, str::to_ascii_uppercase, |c| single(c.to_uppercase())))
});
pub static REVERSE: Kernel = Kernel::new("kql_reverse", Type::String, |args| map(args, |s| s.chars().rev().collect()));
pub static STRLEN: Kernel = Kernel::new("kql_strlen", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| Some(texts.get(i).unwrap_or("").chars().count() as i64)))
});
pub static STRING_SIZE: Kernel = Kernel::new("kql_string_size", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| Some(texts.get(i).unwrap_or("").len() as i64)))
});

/// `substring(text, start[, length])` in code points; a negative start counts from the end.
pub static SUBSTRING: Kernel = Kernel::new("kql_substring", Type::String, |args| {
    let (texts, starts) = (args.strings(0), args.longs(1));
    let lengths = (args.len() > 2).then(|| args.longs(2));
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let mut start = starts.get(i).unwrap_or(0);
        let mut length = lengths.as_ref().map_or(i64::MAX, |l| l.get(i).unwrap_or(i64::MAX));
        if start < 0 {
            start = start.saturating_add(text.chars().count() as i64);
            // What lies before the text counts toward the length.
            length = if length == i64::MAX { length } else { length.saturating_add(start.min(0)) };
        }
        let (start, length) = (start.max(0), length.max(0));
        let skip = usize::try_from(start).unwrap_or(usize::MAX);
        let take = usize::try_from(length).unwrap_or(usize::MAX);
        Some(text.chars().skip(skip).take(take).collect::<String>())
    }))
});

/// `indexof(text, search[, start[, length[, occurrence]]])` in code points: -1 when absent, null for an empty search.
pub static INDEXOF: Kernel = Kernel::new("kql_indexof", Type::Long, |args| {
    let (texts, searches) = (args.strings(0), args.strings(1));
    let number = |k: usize, default: i64| {
        let column = (args.len() > k).then(|| args.longs(k));
        move |i: usize| column.as_ref().map_or(Some(default), |c| c.get(i)).unwrap_or(default)
    };
    let (start, length, occurrence) = (number(2, 0), number(3, -1), number(4, 1));
    Ok(args.make_longs(|i| {
        let (text, search) = (texts.get(i).unwrap_or(""), searches.get(i).unwrap_or(""));
        if search.is_empty() || occurrence(i) < 1 {
            return None;
        }
        let count = text.chars().count() as i64;
        let from = if start(i) < 0 { (count + start(i)).max(0) } else { start(i) };
        let to = if length(i) < 0 { count } else { (from + length(i)).min(count) };
        let window = text.char_indices().enumerate().filter(|(n, _)| (*n as i64) >= from);
        // The range is that of the places where a match may begin.
        let hit = window
            .filter(|(n, (at, _))| (*n as i64) < to && text[*at..].starts_with(search))
            .nth(occurrence(i) as usize - 1);
        Some(hit.map_or(-1, |(n, _)| n as i64))
    }))
});

pub static REPLACE_STRING: Kernel = Kernel::new("kql_replace_string", Type::String, |args| {
    let (texts, searches, rewrites) = (args.strings(0), args.strings(1), args.strings(2));
    Ok(args.make_strings(|i| {
        let (text, search) = (texts.get(i).unwrap_or(""), searches.get(i).unwrap_or(""));
        Some(if search.is_empty() { text.to_owned() } else { text.replace(search, rewrites.get(i).unwrap_or("")) })
    }))
});

/// `split(text, delimiter[, index])`: an array; with an index an array of that element alone, or null.
pub static SPLIT: Kernel = Kernel::new("kql_split", Type::Dynamic, |args| {
    let (texts, delimiters) = (args.strings(0), args.strings(1));
    let indices = (args.len() > 2).then(|| args.longs(2));
    Ok(args.make_strings(|i| {
        let (text, delimiter) = (texts.get(i).unwrap_or(""), delimiters.get(i).unwrap_or(""));
        let mut parts: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
        if let Some(index) = indices.as_ref().and_then(|n| n.get(i)) {
            let wanted = if index < 0 { index + parts.len() as i64 } else { index };
            parts = vec![*parts.get(usize::try_from(wanted).ok()?)?];
        }
        Some(json::array(parts.iter().map(|p| json::quote(p))))
    }))
});

/// Joins its arguments.
pub static STRCAT: Kernel = Kernel::new("kql_strcat", Type::String, |args| {
    let parts: Vec<_> = (0..args.len()).map(|i| args.strings(i)).collect();
    Ok(args.make_strings(|i| Some(parts.iter().map(|p| p.get(i).unwrap_or("")).collect::<String>())))
});

/// Joins its arguments but the first, which stands between them.
pub static STRCAT_DELIM: Kernel = Kernel::new("kql_strcat_delim", Type::String, |args| {
    let parts: Vec<_> = (0..args.len()).map(|i| args.strings(i)).collect();
    Ok(args.make_strings(|i| {
        let values: Vec<&str> = parts[1..].iter().map(|p| p.get(i).unwrap_or("")).collect();
        Some(values.join(parts[0].get(i).unwrap_or("")))
    }))
});

/// `strrep(text, count[, delimiter])`.
pub static STRREP: Kernel = Kernel::new("kql_strrep", Type::String, |args| {
    let (texts, counts) = (args.strings(0), args.longs(1));
    let delimiters = (args.len() > 2).then(|| args.strings(2));
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let delimiter = delimiters.as_ref().and_then(|d| d.get(i)).unwrap_or("");
        let fits = RESULT_BYTES_MAX / (text.len() + delimiter.len()).max(1);
        let count = usize::try_from(counts.get(i).unwrap_or(0)).unwrap_or(0).min(fits.max(1));
        Some(vec![text; count].join(delimiter))
    }))
});

pub static STRCMP: Kernel = Kernel::new("kql_strcmp", Type::Long, |args| {
    let (left, right) = (args.strings(0), args.strings(1));
    Ok(args.make_longs(|i| Some(left.get(i).unwrap_or("").cmp(right.get(i).unwrap_or("")) as i64)))
});

pub static ISEMPTY: Kernel = Kernel::new("kql_isempty", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| Some(texts.get(i).unwrap_or("").is_empty())))
});

pub static BASE64_ENCODE: Kernel =
    Kernel::new("kql_base64_encode_tostring", Type::String, |args| map(args, |s| BASE64_STANDARD.encode(s)));
/// Text that is no base64, or decodes to no UTF-8, gives `""`.
pub static BASE64_DECODE: Kernel = Kernel::new("kql_base64_decode_tostring", Type::String, |args| {
    map(args, |s| BASE64_STANDARD.decode(s).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default())
});

const URL_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// A blank becomes `+`; hexadecimal digits are lower case.
pub static URL_ENCODE: Kernel = Kernel::new("kql_url_encode", Type::String, |args| {
    map(args, |s| {
        let parts = utf8_percent_encode(s, URL_UNRESERVED);
        parts.map(|p| if p.starts_with('%') { p.to_ascii_lowercase() } else { p.replace(' ', "+") }).collect()
    })
});
pub static URL_DECODE: Kernel = Kernel::new("kql_url_decode", Type::String, |args| {
    map(args, |s| percent_decode_str(s).decode_utf8_lossy().into_owned())
});

/// `tohex(number[, length])`: lower case, two's complement for negative numbers.
pub static TOHEX: Kernel =
    Kernel::new("kql_tohex", Type::String, |args| tohex(args, |n, width| format!("{n:0width$x}")));
pub static TOHEX_INT: Kernel =
    Kernel::new("kql_tohex_int", Type::String, |args| tohex(args, |n, width| format!("{:0width$x}", n as i32)));

fn tohex(args: &Args, print: fn(i64, usize) -> String) -> Result<ArrayRef> {
    const WIDTH_MAX: usize = 64;
    let numbers = args.longs(0);
    let lengths = (args.len() > 1).then(|| args.longs(1));
    Ok(args.make_strings(|i| {
        let width = lengths.as_ref().and_then(|l| l.get(i)).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Some(numbers.get(i).map_or_else(String::new, |n| print(n, width.min(WIDTH_MAX))))
    }))
}

/// `parse_url(text)`: a bag of the parts of a URL.
pub static PARSE_URL: Kernel = Kernel::new("kql_parse_url", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(parse_url(texts.get(i).unwrap_or("")))))
});

fn parse_url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user_info, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (username, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (host_port, ""),
    };
    let parameters = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("{}:{}", json::quote(key), json::quote(value))
    });
    let parameters = format!("{{{}}}", parameters.collect::<Vec<_>>().join(","));
    let parts = [
        ("Scheme", json::quote(scheme)),
        ("Host", json::quote(host)),
        ("Port", json::quote(port)),
        ("Path", json::quote(path)),
        ("Username", json::quote(username)),
        ("Password", json::quote(password)),
        ("Query Parameters", parameters),
        ("Fragment", json::quote(fragment)),
    ];
    json::bag(parts.into_iter().map(|(k, v)| (k.to_owned(), v)))
}

/// `translate(from, to, text)`: each character of `from` becomes the one at its place in `to`, the last where `to` is
/// shorter; with an empty `to` it goes.
pub static TRANSLATE: Kernel = Kernel::new("kql_translate", Type::String, |args| {
    let (from, to, texts) = (args.strings(0), args.strings(1), args.strings(2));
    Ok(args.make_strings(|i| {
        let from: Vec<char> = from.get(i).unwrap_or("").chars().collect();
        let to: Vec<char> = to.get(i).unwrap_or("").chars().collect();
        let translated = texts.get(i).unwrap_or("").chars().filter_map(|c| match from.iter().position(|f| *f == c) {
            Some(place) => to.get(place).or(to.last()).copied(),
            None => Some(c),
        });
        Some(translated.collect::<String>())
    }))
});

/// `replace_strings(text, lookups, replacements)`: one lookup after the other, but no replacement is replaced.
pub static REPLACE_STRINGS: Kernel = Kernel::new("kql_replace_strings", Type::String, |args| {
    let (texts, lookups, replacements) = (args.strings(0), args.strings(1), args.strings(2));
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let lookups = json::strings(lookups.get(i)?);
        let replacements = json::tree(replacements.get(i)?);
        // What is no text replaces nothing, but what it stands for is passed over all the same.
        let replacement = |place: usize| match &replacements {
            serde_json::Value::Array(items) => items.get(place).and_then(serde_json::Value::as_str),
            single => single.as_str(),
        };
        // What one lookup has found is no longer there for the next.
        let mut pieces: Vec<(&str, bool)> = vec![(text, false)];
        for (place, lookup) in lookups.iter().enumerate().filter(|(_, lookup)| !lookup.is_empty()) {
            let with = replacement(place).unwrap_or(lookup);
            let mut next = Vec::with_capacity(pieces.len());
            for (piece, is_done) in pieces {
                if is_done {
                    next.push((piece, true));
                    continue;
                }
                for (k, between) in piece.split(lookup.as_str()).enumerate() {
                    if k > 0 {
                        next.push((with, true));
                    }
                    next.push((between, false));
                }
            }
            pieces = next;
        }
        Some(pieces.into_iter().map(|(piece, _)| piece).collect::<String>())
    }))
});

/// `has_any_index(text, terms)`: the place of the first term that stands in the text, else -1.
pub static HAS_ANY_INDEX: Kernel = Kernel::new("kql_has_any_index", Type::Long, |args| {
    let (texts, terms) = (args.strings(0), args.strings(1));
    Ok(args.make_longs(|i| {
        let text = texts.get(i).unwrap_or("");
        let found = json::strings(terms.get(i)?).iter().position(|term| super::terms::has(text, term));
        Some(found.map_or(-1, |place| place as i64))
    }))
});

pub static IS_ASCII: Kernel = Kernel::new("kql_isascii", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| Some(texts.get(i).unwrap_or("").is_ascii())))
});
/// Every text is UTF-8.
pub static IS_UTF8: Kernel = Kernel::new("kql_isutf8", Type::Bool, |args| Ok(args.make_bools(|_| Some(true))));
pub static REGEX_QUOTE: Kernel = Kernel::new("kql_regex_quote", Type::String, |args| map(args, regex::escape));
/// A blank becomes `%20`.
pub static URL_ENCODE_COMPONENT: Kernel = Kernel::new("kql_url_encode_component", Type::String, |args| {
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    map(args, |s| utf8_percent_encode(s, UNRESERVED).to_string())
});

/// `format_bytes(bytes [, digits [, unit]])`: in the largest unit that leaves a number of 1 or more.
pub static FORMAT_BYTES: Kernel = Kernel::new("kql_format_bytes", Type::String, |args| {
    const UNITS: [&str; 6] = ["Bytes", "KB", "MB", "GB", "TB", "PB"];
    const DIGITS_MAX: usize = 15;
    let bytes = args.reals(0);
    Ok(args.make_strings(|i| {
        let bytes = bytes.get(i)?;
        let digits = if args.len() > 1 { usize::try_from(args.longs(1).get(i)?).unwrap_or(0) } else { 0 };
        let wanted = if args.len() > 2 { args.strings(2).get(i) } else { None };
        let fitting = || (1..UNITS.len()).take_while(|k| bytes.abs() >= 1024f64.powi(*k as i32)).last().unwrap_or(0);
        let unit = match wanted {
            Some(name) => UNITS.iter().position(|u| u.eq_ignore_ascii_case(name))?,
            None => fitting(),
        };
        let mut number = format!("{:.*}", digits.min(DIGITS_MAX), bytes / 1024f64.powi(unit as i32));
        if number.contains('.') {
            number.truncate(number.trim_end_matches('0').trim_end_matches('.').len());
        }
        Some(format!("{number} {}", UNITS[unit]))
    }))
});

/// `parse_urlquery(text)`: a bag with the parameters of a query.
pub static PARSE_URLQUERY: Kernel = Kernel::new("kql_parse_urlquery", Type::Dynamic, |args| {
    let texts = args.strings(0);
    let decode = |s: &str| percent_decode_str(s).decode_utf8_lossy().into_owned();
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let pairs = text.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
        let entries = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), json::quote(&decode(value)))
        });
        Some(json::bag([("Query Parameters".to_owned(), json::bag(entries))]))
    }))
});

/// `parse_csv(text)`: the values of the first record.
pub static PARSE_CSV: Kernel = Kernel::new("kql_parse_csv", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let mut values = Vec::new();
        let mut value = String::new();
        let mut is_quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => {
                    value.push('"');
                    chars.next();
                }
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => values.push(std::mem::take(&mut value)),
                '\n' if !is_quoted => break,
                '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
                other => value.push(other),
            }
        }
        values.push(value);
        Some(json::array(values.iter().map(|v| json::quote(v))))
    }))
});

/// `parse_path(text)`: the parts of a path of a file or a URL.
pub static PARSE_PATH: Kernel = Kernel::new("kql_parse_path", Type::Dynamic, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        // A stream of a file stands behind a second colon.
        let root = match rest.as_bytes() {
            [letter, b':', ..] if letter.is_ascii_alphabetic() => &rest[..2],
            _ => "",
        };
        let name_at = rest.rfind(['/', '\\']).map_or(0, |at| at + 1);
        let (file, stream) = rest[name_at..].split_once(':').unwrap_or((&rest[name_at..], ""));
        let file = if name_at == 0 && !root.is_empty() { "" } else { file };
        let directory = rest[..name_at].trim_end_matches(['/', '\\']);
        let folder = directory.rsplit(['/', '\\']).next().unwrap_or("");
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let entry = |name: &str, value: &str| (name.to_owned(), json::quote(value));
        Some(json::bag([
            entry("Scheme", scheme),
            entry("RootPath", root),
            entry("DirectoryPath", directory),
            entry("DirectoryName", folder),
            entry("Filename", file),
            entry("Extension", extension),
            entry("AlternateDataStreamName", stream),
        ]))
    }))
});

/// `parse_command_line(text, "windows")`: the arguments, as Windows takes a command line apart.
pub static PARSE_COMMAND_LINE: Kernel = Kernel::new("kql_parse_command_line", Type::Dynamic, |args| {
    let (texts, kinds) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        if !kinds.get(i)?.eq_ignore_ascii_case("windows") {
            return None;
        }
        Some(json::array(windows_arguments(texts.get(i)?).iter().map(|a| json::quote(a))))
    }))
});

/// Blanks separate, quotes hold together, `\"` is a quote; backslashes count double only before a quote.
fn windows_arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut is_quoted = false;
    let mut backslashes = 0;
    for c in line.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        let argument = (backslashes > 0 || c == '"' || !c.is_whitespace() || is_quoted)
            .then(|| current.get_or_insert_with(String::new));
        if let Some(argument) = argument {
            let kept = if c == '"' { backslashes / 2 } else { backslashes };
            argument.extend(std::iter::repeat_n('\\', kept));
            match c {
                '"' if backslashes % 2 == 1 => argument.push('"'),
                '"' => is_quoted = !is_quoted,
                c if c.is_whitespace() && !is_quoted => arguments.extend(current.take()),
                c => argument.push(c),
            }
        } else {
            arguments.extend(current.take());
        }
        backslashes = 0;
    }
    if backslashes > 0 {
        current.get_or_insert_with(String::new).extend(std::iter::repeat_n('\\', backslashes));
    }
    arguments.extend(current);
    arguments
}
