//! Regular expressions (RE2 syntax) and the functions that take them.

use super::{Args, Kernel};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result};
use kql::Type;
use regex::Regex;
use std::collections::HashMap;

/// A compiled pattern takes at most this much memory; larger ones are refused.
const PATTERN_SIZE_BYTES_MAX: usize = 10 << 20;

/// Compiles `pattern`, or says why not.
pub fn compile(pattern: &str) -> std::result::Result<Regex, String> {
    regex::RegexBuilder::new(&in_rust(pattern))
        .size_limit(PATTERN_SIZE_BYTES_MAX)
        .build()
        .map_err(|e| format!("'{pattern}' is no regular expression: {}", e.to_string().replace('\n', " ")))
}

/// A pattern of RE2 in the words of the regex crate, which asks for an escape where RE2 takes a character as it is: a
/// brace that begins no repetition, and within a class `[`, `&`, `~` and a `-` after one; and for another word for the
/// octal number of a character.
fn in_rust(pattern: &str) -> std::borrow::Cow<'_, str> {
    if !pattern.contains(['{', '}', '[']) && !pattern.contains("\\0") {
        return pattern.into();
    }
    let is_repetition = |rest: &str| {
        let Some(end) = rest.find('}') else { return false };
        let (least, most) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        !least.is_empty() && digits(least) && digits(most)
    };
    let mut out = String::with_capacity(pattern.len() + 8);
    // Where the class began that is open, so that a `]` right after is one of its characters.
    let mut class: Option<usize> = None;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, class) {
            ('\\', _) => {
                let Some((_, escaped)) = chars.next() else {
                    out.push(c);
                    break;
                };
                if escaped == '0' {
                    let digits = pattern[at + 2..].bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                    let code = u32::from_str_radix(&pattern[at + 1..at + 2 + digits], 8).unwrap_or_default();
                    out.push_str(&format!("\\x{{{code:x}}}"));
                    for _ in 0..digits {
                        chars.next();
                    }
                    continue;
                }
                out.push(c);
                out.push(escaped);
                // `\p{Lu}` and `\x{41}` have braces of their own.
                if matches!(escaped, 'p' | 'P' | 'x') && chars.peek().is_some_and(|(_, next)| *next == '{') {
                    for (_, inner) in chars.by_ref() {
                        out.push(inner);
                        if inner == '}' {
                            break;
                        }
                    }
                }
            }
            ('[', None) => {
                out.push(c);
                let mut from = at + 1;
                if let Some((_, '^')) = chars.peek() {
                    out.push('^');
                    chars.next();
                    from += 1;
                }
                class = Some(from);
            }
            ('[', Some(_)) => match pattern[at..].starts_with("[:").then(|| pattern[at..].find(":]")).flatten() {
                Some(length) => {
                    out.push_str(&pattern[at..at + length + 2]);
                    while chars.peek().is_some_and(|(next, _)| *next < at + length + 2) {
                        chars.next();
                    }
                }
                None => out.push_str("\\["),
            },
            (']', Some(from)) if at == from => out.push_str("\\]"),
            (']', Some(_)) => {
                out.push(c);
                class = None;
            }
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            ('-', Some(_)) if pattern[at..].starts_with("--") => out.push_str("\\-"),
            ('{', None) if !is_repetition(&pattern[at..]) => out.push_str("\\{"),
            ('}', None) if !pattern[..at].rfind('{').is_some_and(|open| is_repetition(&pattern[open..])) => {
                out.push_str("\\}");
            }
            _ => out.push(c),
        }
    }
    out.into()
}

/// How many groups in parentheses a pattern has, `None` when it is none.
pub fn group_count(pattern: &str) -> Option<usize> {
    compile(pattern).ok().map(|regex| regex.captures_len() - 1)
}

/// The patterns compiled for one batch.
#[derive(Default)]
pub struct Cache {
    compiled: HashMap<String, Regex>,
}

impl Cache {
    pub fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if !self.compiled.contains_key(pattern) {
            let regex = compile(pattern).map_err(DataFusionError::Execution)?;
            self.compiled.insert(pattern.to_owned(), regex);
        }
        Ok(&self.compiled[pattern])
    }
}

/// Makes a column of strings by `row`, which is given the regex that argument `pattern` holds for the row.
fn strings_by_regex(
    args: &Args,
    pattern: usize,
    mut row: impl FnMut(usize, &Regex) -> Option<String>,
) -> Result<ArrayRef> {
    let patterns = args.strings(pattern);
    let mut cache = Cache::default();
    let mut failed = None;
    let result = args.make_strings(|i| match cache.get(patterns.get(i).unwrap_or("")) {
        Ok(regex) => row(i, regex),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    failed.map_or(Ok(result), Err)
}

/// `extract(regex, group, text)`: `""` when nothing matches.
pub static EXTRACT: Kernel = Kernel::new("kql_extract", Type::String, |args| {
    let (groups, texts) = (args.longs(1), args.strings(2));
    strings_by_regex(args, 0, |i, regex| {
        let group = usize::try_from(groups.get(i).unwrap_or(-1)).ok();
        let captures = regex.captures(texts.get(i).unwrap_or(""));
        let found = captures.and_then(|c| c.get(group?).map(|m| m.as_str().to_owned()));
        Some(found.unwrap_or_default())
    })
});

/// `extract_all(regex, text)`: an array of matches, of arrays when there is more than one group.
pub static EXTRACT_ALL: Kernel = Kernel::new("kql_extract_all", Type::Dynamic, |args| {
    let texts = args.strings(1);
    strings_by_regex(args, 0, |i, regex| {
        let groups: Vec<usize> = (1..regex.captures_len()).collect();
        all_matches(regex, texts.get(i).unwrap_or(""), &groups)
    })
});

/// `extract_all(regex, groups, text)`: the groups of these numbers or names.
pub static EXTRACT_GROUPS: Kernel = Kernel::new("kql_extract_groups", Type::Dynamic, |args| {
    let (wanted, texts) = (args.strings(1), args.strings(2));
    strings_by_regex(args, 0, |i, regex| {
        let groups = match json::tree(wanted.get(i)?) {
            serde_json::Value::Array(groups) => groups,
            _ => return None,
        };
        let numbers = groups.iter().filter_map(|group| match group {
            serde_json::Value::String(name) => regex.capture_names().position(|known| known == Some(name)),
            number => usize::try_from(number.as_u64()?).ok(),
        });
        all_matches(regex, texts.get(i).unwrap_or(""), &numbers.collect::<Vec<_>>())
    })
});

/// The groups of every match, in an array each where there are several; `None` without a match.
fn all_matches(regex: &Regex, text: &str, groups: &[usize]) -> Option<String> {
    let mut matches = Vec::new();
    for captures in regex.captures_iter(text) {
        let found: Vec<String> =
            groups.iter().map(|g| json::quote(captures.get(*g).map_or("", |m| m.as_str()))).collect();
        matches.push(match found.as_slice() {
            [] => json::quote(&captures[0]),
            [only] => only.clone(),
            several => json::array(several),
        });
    }
    (!matches.is_empty()).then(|| json::array(matches))
}

/// `replace_regex(text, regex, rewrite)`, `\1` in the rewrite standing for a group.
pub static REPLACE_REGEX: Kernel = Kernel::new("kql_replace_regex", Type::String, |args| {
    let (texts, rewrites) = (args.strings(0), args.strings(2));
    strings_by_regex(args, 1, |i, regex| {
        let rewrite = rewrite_template(rewrites.get(i).unwrap_or(""));
        Some(regex.replace_all(texts.get(i).unwrap_or(""), rewrite.as_str()).into_owned())
    })
});

/// `replace(regex, rewrite, text)`, the older order of arguments.
pub static REPLACE: Kernel = Kernel::new("kql_replace", Type::String, |args| {
    let (rewrites, texts) = (args.strings(1), args.strings(2));
    strings_by_regex(args, 0, |i, regex| {
        let rewrite = rewrite_template(rewrites.get(i).unwrap_or(""));
        Some(regex.replace_all(texts.get(i).unwrap_or(""), rewrite.as_str()).into_owned())
    })
});

/// RE2's `\1` in the form of the regex crate, `${1}`; a literal `$` is doubled.
fn rewrite_template(rewrite: &str) -> String {
    let mut out = String::with_capacity(rewrite.len());
    let mut chars = rewrite.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(d) if d.is_ascii_digit() => {
                    out.push_str("${");
                    out.push(d);
                    out.push('}');
                }
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}

fn trim_by(args: &Args, start: bool, end: bool) -> Result<ArrayRef> {
    let texts = args.strings(1);
    strings_by_regex(args, 0, |i, regex| {
        let mut text = texts.get(i).unwrap_or("");
        if start && let Some(found) = regex.find(text).filter(|m| m.start() == 0) {
            text = &text[found.end()..];
        }
        if end && let Some(found) = regex.find_iter(text).filter(|m| m.end() == text.len() && !m.is_empty()).last() {
            text = &text[..found.start()];
        }
        Some(text.to_owned())
    })
}

/// `trim(regex, text)` takes one match off each end.
pub static TRIM: Kernel = Kernel::new("kql_trim", Type::String, |args| trim_by(args, true, true));
pub static TRIM_START: Kernel = Kernel::new("kql_trim_start", Type::String, |args| trim_by(args, true, false));
pub static TRIM_END: Kernel = Kernel::new("kql_trim_end", Type::String, |args| trim_by(args, false, true));

/// `countof(text, search, kind)` where kind is `normal` (overlapping matches count) or `regex`.
pub static COUNTOF: Kernel = Kernel::new("kql_countof", Type::Long, |args| {
    let (texts, searches) = (args.strings(0), args.strings(1));
    let is_regex = args.len() > 2 && args.strings(2).constant() == Some("regex");
    let mut cache = Cache::default();
    let mut failed = None;
    let result = args.make_longs(|i| {
        let (text, search) = (texts.get(i).unwrap_or(""), searches.get(i).unwrap_or(""));
        if !is_regex {
            let starts = text.char_indices().filter(|(at, _)| text[*at..].starts_with(search));
            return Some(if search.is_empty() { 0 } else { starts.count() as i64 });
        }
        match cache.get(search) {
            Ok(regex) => Some(regex.find_iter(text).count() as i64),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    failed.map_or(Ok(result), Err)
});

/// `indexof_regex(text, pattern [, start [, length [, occurrence]]])`: where the match begins, in characters.
pub static INDEXOF_REGEX: Kernel = Kernel::new("kql_indexof_regex", Type::Long, |args| {
    let (texts, patterns) = (args.strings(0), args.strings(1));
    let mut cache = Cache::default();
    let mut failed = None;
    let result = args.make_longs(|i| {
        let text = texts.get(i).unwrap_or("");
        let option = |k: usize, usual: i64| if k < args.len() { args.longs(k).get(i) } else { Some(usual) };
        let (start, length, occurrence) = (option(2, 0)?, option(3, -1)?, option(4, 1)?);
        let count = text.chars().count() as i64;
        if start < 0 {
            return None;
        }
        let end = if length < 0 { count } else { start.saturating_add(length).min(count) };
        if start > count {
            return Some(-1);
        }
        let byte = |place: i64| text.char_indices().nth(place as usize).map_or(text.len(), |(at, _)| at);
        let (from, to) = (byte(start), byte(end));
        match cache.get(patterns.get(i).unwrap_or("")) {
            Ok(regex) => {
                let nth = usize::try_from(occurrence - 1).ok()?;
                let found = regex.find_iter(&text[from..to.max(from)]).nth(nth);
                Some(found.map_or(-1, |m| text[..from + m.start()].chars().count() as i64))
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    failed.map_or(Ok(result), Err)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_re2_compile() {
        for (pattern, text) in [
            (r"(SMB\w+{.*})", "SMBX{a}"),
            (r"[[]", "["),
            (r"[]a]+", "]a"),
            (r"[^]a]", "b"),
            (r"[a&&b]", "&"),
            (r"a{2,3}b{2}c{1,}", "aabbc"),
            (r"}{", "}{"),
            (r"\{\p{Lu}\x{41}[[:digit:]]\}", "{ZA7}"),
            (r"[\]\[]", "["),
        ] {
            assert!(compile(pattern).unwrap().is_match(text), "{pattern}");
        }
        assert!(!compile("[[:digit:]]").unwrap().is_match(":"));
    }
}
