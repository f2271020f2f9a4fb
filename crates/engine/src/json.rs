//! JSON text as it stands in `dynamic` columns: finding a value by path without building a tree, printing
//! in Kusto's forms, and the literal forms of `dynamic(...)`.
//!
//! A `dynamic` value is its JSON text. The functions here that take such text take any valid JSON, white
//! space included; the ones that print give the compact form.

use kql::{datetime, timespan};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Deeper JSON is taken for text that is no JSON, so that no document exhausts the stack.
const NESTING_MAX: usize = 200;

/// One step of a path into a dynamic value.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    Key(&'a str),
    /// Negative indices count from the end.
    Index(i64),
}

/// The raw text of the value at `path`, `None` when `text` is no JSON or has no such value.
pub fn get<'a>(text: &'a str, path: &[Step<'_>]) -> Option<&'a str> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    let found = scanner.value(Some(path), 0)?;
    scanner.at_end().then_some(found).flatten()
}

/// Paths of keys that are looked for in one go.
#[derive(Debug, Default)]
pub struct KeyPaths {
    root: KeyNode,
    count: usize,
}

#[derive(Debug, Default)]
struct KeyNode {
    /// The place of the path that ends here.
    place: Option<usize>,
    children: Vec<(String, KeyNode)>,
}

impl KeyPaths {
    /// Different paths, each of at least one key.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p [String]>) -> KeyPaths {
        let mut all = KeyPaths::default();
        for path in paths {
            let mut node = &mut all.root;
            for key in path {
                let at = node.children.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                    node.children.push((key.clone(), KeyNode::default()));
                    node.children.len() - 1
                });
                node = &mut node.children[at].1;
            }
            node.place = Some(all.count);
            all.count += 1;
        }
        all
    }

    /// Puts what [`get`] gives for each path in its place in `found`, where nothing is yet.
    pub fn find<'a>(&self, text: &'a str, found: &mut [Option<&'a str>]) {
        let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
        if scanner.values(Some(&self.root), 0, found).is_none() || !scanner.at_end() {
            found.fill(None);
        }
    }
}

impl KeyNode {
    /// Takes back what was found from here on.
    fn clear(&self, found: &mut [Option<&str>]) {
        if let Some(place) = self.place {
            found[place] = None;
        }
        self.children.iter().for_each(|(_, child)| child.clear(found));
    }
}

/// Whether `text` is one JSON value.
pub fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    scanner.value(None, 0).is_some() && scanner.at_end()
}

/// The kind of the JSON value that `text` holds, by its first character.
pub fn kind(text: &str) -> Kind {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Kind::Bag,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') | None => Kind::Null,
        Some(_) if text.contains(['.', 'e', 'E']) => Kind::Real,
        Some(_) => Kind::Long,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Long,
    Real,
    String,
    Array,
    Bag,
}

/// The first place at or after `at` of a byte that ends a run of plain text in a string: a quote, a backslash, a control
/// character; at the latest the last eight bytes, which the caller looks at one by one.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte that is zero; a byte behind such a one may be marked wrongly, never one before it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
        let word = u64::from_le_bytes(chunk);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let ends = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | below_space;
        if ends != 0 {
            return at + (ends.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.bytes.len()
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// Reads one value. The outer `None` means that the text is not valid; the inner one that the path leads
    /// nowhere. Without a path nothing is found.
    fn value(&mut self, path: Option<&[Step<'_>]>, depth: usize) -> Option<Option<&'a str>> {
        self.skip_space();
        if depth > NESTING_MAX {
            return None;
        }
        let start = self.at;
        let mut found = None;
        match self.bytes.get(self.at)? {
            b'{' => {
                let (key, rest) = match path {
                    Some([Step::Key(key), rest @ ..]) => (Some(*key), rest),
                    _ => (None, &[][..]),
                };
                self.entries(|scanner, name| {
                    let matches = key.is_some_and(|key| is_named(name, key));
                    let inner = scanner.value(matches.then_some(rest), depth + 1)?;
                    if matches {
                        found = inner;
                    }
                    Some(())
                })?;
            }
            b'[' => {
                let (index, rest) = match path {
                    Some([Step::Index(index), rest @ ..]) => (Some(*index), rest),
                    _ => (None, &[][..]),
                };
                self.at += 1;
                let mut starts = Vec::new();
                let mut position = 0;
                if !self.take(b']') {
                    loop {
                        self.skip_space();
                        if index.is_some_and(|i| i < 0) {
                            starts.push(self.at);
                        }
                        let matches = index == Some(position);
                        let inner = self.value(matches.then_some(rest), depth + 1)?;
                        if matches {
                            found = inner;
                        }
                        position += 1;
                        if !self.take(b',') {
                            break;
                        }
                    }
                    if !self.take(b']') {
                        return None;
                    }
                }
                if let Some(i) = index.filter(|i| *i < 0 && position + i >= 0) {
                    let mut again = Scanner { text: self.text, bytes: self.bytes, at: starts[(position + i) as usize] };
                    found = again.value(Some(rest), depth + 1)?;
                }
            }
            b'"' => {
                self.string()?;
            }
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        if path.is_some_and(<[_]>::is_empty) {
            found = Some(&self.text[start..self.at]);
        }
        Some(found)
    }

    /// Reads one value, and finds what stands at the paths of `node` in it. `None` when the text is not valid.
    fn values(&mut self, node: Option<&KeyNode>, depth: usize, found: &mut [Option<&'a str>]) -> Option<()> {
        self.skip_space();
        let start = self.at;
        match node.filter(|node| !node.children.is_empty() && self.bytes.get(self.at) == Some(&b'{')) {
            Some(node) => self.object_values(node, depth, found)?,
            None => drop(self.value(None, depth)?),
        }
        if let Some(place) = node.and_then(|node| node.place) {
            found[place] = Some(&self.text[start..self.at]);
        }
        Some(())
    }

    fn object_values(&mut self, node: &KeyNode, depth: usize, found: &mut [Option<&'a str>]) -> Option<()> {
        if depth > NESTING_MAX {
            return None;
        }
        self.entries(|scanner, name| {
            let child = node.children.iter().find(|(key, _)| is_named(name, key)).map(|(_, child)| child);
            // The last of repeated keys counts.
            child.into_iter().for_each(|child| child.clear(found));
            scanner.values(child, depth + 1, found)
        })
    }

    /// Reads an object. `value` is given each name, escapes left in, and reads the value behind it.
    fn entries(&mut self, mut value: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            if !self.take(b':') {
                return None;
            }
            value(self, name)?;
            if !self.take(b',') {
                break;
            }
        }
        self.take(b'}').then_some(())
    }

    /// Reads a string; its text between the quotes, escapes left in.
    fn string(&mut self) -> Option<&'a str> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        self.at = start;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    let escaped = self.bytes.get(self.at + 1)?;
                    if *escaped == b'u' {
                        let hex = self.bytes.get(self.at + 2..self.at + 6)?;
                        if !hex.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        self.at += 6;
                    } else if b"\"\\/bfnrt".contains(escaped) {
                        self.at += 2;
                    } else {
                        return None;
                    }
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Some(text)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }
}

/// Whether a name, escapes left in, is a key.
fn is_named(name: &str, key: &str) -> bool {
    if name.contains('\\') { unescape(name) == key } else { name == key }
}

fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let quoted = format!("\"{inner}\"");
    // A lone surrogate is no character; the text then stays as it was written.
    serde_json::from_str::<String>(&quoted).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// What `tostring()` gives for the valid JSON `text`: a string's own characters, `""` for null, the compact
/// form of everything else.
pub fn to_text(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    match kind(trimmed) {
        Kind::Null => Cow::Borrowed(""),
        Kind::String => unescape(&trimmed[1..trimmed.len() - 1]),
        Kind::Bool | Kind::Long => Cow::Borrowed(trimmed),
        Kind::Real => Cow::Owned(trimmed.parse().map_or_else(|_| trimmed.to_owned(), real_text)),
        Kind::Array | Kind::Bag => compact(trimmed),
    }
}

/// The compact form of the valid JSON `text`: no white space, reals in Kusto's digits.
pub fn compact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let has_space = bytes.iter().any(|b| b.is_ascii_whitespace());
    let has_real = bytes.iter().any(|b| matches!(b, b'.' | b'e' | b'E'));
    if !has_space && !has_real {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                out.push_str(&text[start..at]);
            }
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'-' | b'0'..=b'9' => {
                while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    at += 1;
                }
                let number = &text[start..at];
                match number.parse::<f64>() {
                    Ok(real) if real.is_finite() && number.contains(['.', 'e', 'E']) => out.push_str(&real_text(real)),
                    _ => out.push_str(number),
                }
            }
            _ => {
                at += 1;
                out.push_str(&text[start..at]);
            }
        }
    }
    Cow::Owned(out)
}

/// A real as `tostring()` prints it: shortest digits that read back the same, `.0` for whole numbers.
pub fn real_text(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-5..1e15).contains(&magnitude) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{x:?}")
}

/// `text` as a JSON string, quotes and escapes included.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out
}

/// Appends `text` to `out` as a JSON string.
pub fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// The text of an array whose items are JSON texts.
pub fn array(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut out = String::from("[");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
    out
}

/// The text of a bag whose values are JSON texts; of a repeated key the first counts.
pub fn bag(entries: impl IntoIterator<Item = (String, String)>) -> String {
    let mut out = String::from("{");
    let mut seen = std::collections::HashSet::new();
    for (key, value) in entries {
        if seen.contains(&key) {
            continue;
        }
        if !seen.is_empty() {
            out.push(',');
        }
        quote_into(&mut out, &key);
        out.push(':');
        out.push_str(&value);
        seen.insert(key);
    }
    out.push('}');
    out
}

/// The strings of a JSON array of strings; other elements are passed over.
pub fn strings(text: &str) -> Vec<String> {
    match tree(text) {
        Value::Array(items) => items.into_iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// The tree of a valid JSON text; null for what is not valid.
pub fn tree(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The text of a tree.
pub fn print(value: &Value) -> String {
    compact(&value.to_string()).into_owned()
}

/// Reads what stands in `dynamic(...)` and gives its JSON: JSON itself, strings in single quotes, and typed
/// literals such as `datetime(2020-01-01)`. The error says what is wrong.
pub fn from_literal(text: &str) -> Result<String, String> {
    let mut reader = LiteralReader { text, at: 0, out: String::with_capacity(text.len()) };
    reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(format!("unexpected '{}' after the value", reader.snippet()));
    }
    Ok(reader.out)
}

struct LiteralReader<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

impl LiteralReader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn snippet(&self) -> String {
        self.rest().chars().take(20).collect()
    }

    /// White space and comments.
    fn skip_space(&mut self) {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            if !self.rest().starts_with("//") {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn take(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > NESTING_MAX {
            return Err(format!("nesting deeper than {NESTING_MAX} levels"));
        }
        self.skip_space();
        match self.rest().chars().next() {
            Some('{') => self.items('{', '}', depth),
            Some('[') => self.items('[', ']', depth),
            Some('"' | '\'' | '@') => self.string(),
            Some('d') if self.takes_call("dynamic") => {
                self.value(depth + 1)?;
                if self.take(')') { Ok(()) } else { Err(format!("expected ')' before '{}'", self.snippet())) }
            }
            Some('h' | 'H') if self.rest()[1..].starts_with(['"', '\'', '@']) => self.string(),
            Some(_) => self.word(),
            None => Err("the value is missing".to_owned()),
        }
    }

    /// Goes past `name(`, where that stands here.
    fn takes_call(&mut self, name: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(name) else { return false };
        let Some(inner) = after.trim_start().strip_prefix('(') else { return false };
        self.at = self.text.len() - inner.len();
        true
    }

    fn items(&mut self, open: char, close: char, depth: usize) -> Result<(), String> {
        self.take(open);
        self.out.push(open);
        if !self.take(close) {
            loop {
                if open == '{' {
                    self.skip_space();
                    self.string()?;
                    if !self.take(':') {
                        return Err(format!("expected ':' before '{}'", self.snippet()));
                    }
                    self.out.push(':');
                }
                self.value(depth + 1)?;
                if !self.take(',') {
                    break;
                }
                self.out.push(',');
            }
            if !self.take(close) {
                return Err(format!("expected ',' or '{close}' before '{}'", self.snippet()));
            }
        }
        self.out.push(close);
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        let (tokens, problems) = kql::lex(self.rest());
        match tokens.first().map(|t| (&t.kind, t.span)) {
            Some((kql::token::TokenKind::String { value, .. }, span))
                if problems.iter().all(|p| p.span.start > span.end) =>
            {
                quote_into(&mut self.out, value);
                self.at += span.end;
                Ok(())
            }
            // JSON's own escape `\/` is no escape in KQL.
            _ => {
                let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
                match stream.next() {
                    Some(Ok(value)) => {
                        let length = stream.byte_offset();
                        quote_into(&mut self.out, &value);
                        self.at += length;
                        Ok(())
                    }
                    _ => Err(format!("expected a string at '{}'", self.snippet())),
                }
            }
        }
    }

    fn word(&mut self) -> Result<(), String> {
        let end = self.rest().find([',', ']', '}', ':']).unwrap_or(self.rest().len());
        if let Some(open) = self.rest()[..].find('(')
            && let Some(close) = self.rest().find(')').filter(|close| open < end && *close > open)
        {
            let name = self.rest()[..open].trim().to_owned();
            let inner = self.rest()[open + 1..close].trim().trim_matches(['"', '\'']).to_owned();
            let printed = match name.as_str() {
                "datetime" | "date" => datetime::parse(&inner).map(|t| quote(&datetime::format(t))),
                "timespan" | "time" => timespan::parse(&inner).map(|t| quote(&timespan::format(t))),
                "guid" => Some(quote(&inner.to_ascii_lowercase())),
                "int" | "long" => inner.parse::<i64>().ok().map(|n| n.to_string()),
                "real" | "double" => inner.parse::<f64>().ok().map(real_text),
                "bool" => Some(inner.clone()).filter(|b| b == "true" || b == "false"),
                _ => None,
            };
            let printed = printed.ok_or_else(|| format!("'{name}({inner})' is no literal"))?;
            self.out.push_str(&printed);
            self.at += close + 1;
            return Ok(());
        }
        let word = self.rest()[..end].trim().to_owned();
        let printed = match word.as_str() {
            "true" | "false" | "null" => word.clone(),
            _ if word.parse::<f64>().is_ok_and(f64::is_infinite) => {
                return Err(format!("'{word}' is too large for a real"));
            }
            _ if is_valid(&word) => compact(&word).into_owned(),
            // A timespan as it is written anywhere else: `1h`.
            _ if word.ends_with(|c: char| c.is_ascii_alphabetic())
                && word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
            {
                match timespan::parse(&word) {
                    Some(ticks) => quote(&timespan::format(ticks)),
                    None => return Err(format!("'{}' is no JSON value", self.snippet())),
                }
            }
            _ => return Err(format!("'{}' is no JSON value", self.snippet())),
        };
        self.out.push_str(&printed);
        self.at += end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_path() {
        let text = r#" {"a": {"b c": [10, {"d": "x\ty"}]}, "e": null} "#;
        assert_eq!(get(text, &[Step::Key("a"), Step::Key("b c"), Step::Index(0)]), Some("10"));
        assert_eq!(get(text, &[Step::Key("a"), Step::Key("b c"), Step::Index(-1), Step::Key("d")]), Some("\"x\\ty\""));
        assert_eq!(get(text, &[Step::Key("e")]), Some("null"));
        assert_eq!(get(text, &[Step::Key("missing")]), None);
        assert_eq!(get(text, &[Step::Index(0)]), None);
        assert_eq!(get(r#"{"a":1} trailing"#, &[Step::Key("a")]), None, "text that is no JSON has no members");
        assert_eq!(get(r#"{"a":1,"a":2}"#, &[Step::Key("a")]), Some("2"), "the last of repeated keys counts");
        assert_eq!(get(r#"{"A":1}"#, &[Step::Key("A")]), Some("1"));
        let escaped = r#"{"C:\\\\x":2,"C:\\x":1}"#;
        assert_eq!(get(escaped, &[Step::Key(r"C:\x")]), Some("1"), "a key is what its escapes say");
        assert_eq!(get(escaped, &[Step::Key(r"C:\\x")]), Some("2"));
    }

    #[test]
    fn finds_by_several_paths_what_it_finds_by_each() {
        let paths: Vec<Vec<String>> =
            [&["a"][..], &["b"], &["b", "c"], &["b", "d", "e"], &["f"], &["g h"], &[r"C:\\x"], &[r"C:\x"]]
                .map(|path| path.iter().map(ToString::to_string).collect())
                .to_vec();
        let all = KeyPaths::new(paths.iter().map(Vec::as_slice));
        let deep = format!("{{\"a\":1,\"f\":{}{}}}", "[".repeat(300), "]".repeat(300));
        let texts = [
            r#"{"a":1,"b":{"c":"x","d":{"e":[1,{"a":2}]}},"g h":null}"#,
            r#" { "b" : { "d" : { "e" : {} , "f" : 3 } , "c" : { } } , "\u0061" : "y\"" } "#,
            r#"{"b":{"c":1},"b":2,"a":1,"a":2}"#,
            r#"{"b":2,"b":{"c":1}}"#,
            r#"{"b":{"c":1},"b":{"d":1}}"#,
            r#"{"C:\\x":1,"C:\\\\x":2}"#,
            r#"{"C:\\\\x":2,"C:\\x":1}"#,
            r#"{"a":1} trailing"#,
            r#"{"a":1,"b":{"c":1,}}"#,
            r#"[{"a":1}]"#,
            "{}",
            "",
            "a",
            "\"a\"",
            &deep,
        ];
        for text in texts {
            let each = paths.iter().map(|path| get(text, &path.iter().map(|key| Step::Key(key)).collect::<Vec<_>>()));
            let mut found = vec![None; paths.len()];
            all.find(text, &mut found);
            assert_eq!(found, each.collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn prints() {
        assert_eq!(to_text("\"x\""), "x");
        assert_eq!(to_text("null"), "");
        assert_eq!(to_text("{ \"a\" : [1, 2.50, \"b c\"] }"), r#"{"a":[1,2.5,"b c"]}"#);
        assert_eq!(real_text(1.0), "1.0");
        assert_eq!(real_text(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(quote("a\"b\n\u{1}é"), "\"a\\\"b\\n\\u0001é\"");
    }

    #[test]
    fn literals() {
        assert_eq!(
            from_literal(r#"{"a": 'x', "b": [1, -2.5, true]}"#).as_deref(),
            Ok(r#"{"a":"x","b":[1,-2.5,true]}"#)
        );
        assert_eq!(from_literal("[1d, -90m]").as_deref(), Ok(r#"["1.00:00:00","-01:30:00"]"#));
        assert!(from_literal("[1x]").is_err());
        assert_eq!(from_literal("datetime(2020-01-01)").as_deref(), Ok("\"2020-01-01T00:00:00.0000000Z\""));
        assert!(from_literal("{\"a\" 1}").is_err());
        assert!(from_literal("").is_err());
        assert!(!is_valid(&"[".repeat(100_000)));
    }
}
