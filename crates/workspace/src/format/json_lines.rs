//! JSON objects straight into columns, without a tree of values in between.
//!
//! An object is scanned once. Its members are matched with the table's columns, in the order that the object before had
//! them; of each value only the place is noted, and once the object has come to its end the values are copied into
//! their columns. So a row is there whole or not at all, and of members of one name the last one counts.
//!
//! serde_json decides what is JSON. This reader takes objects of which it is certain; any other it leaves alone, for
//! the caller to ask serde_json.

use crate::error::Result;
use crate::rows::{BatchBuilder, ColumnBuilder};
use arrow::array::RecordBatch;
use engine::Column;
use kql::Type;
use serde_json::Value;
use std::collections::HashMap;

/// Values nested more deeply are left to serde_json, whose own limit is 128.
const DEPTH_MAX: usize = 100;
/// Whole numbers of so many digits fit 64 bits.
const INTEGER_DIGITS_MAX: usize = 18;
/// Numbers of so many digits are finite as long as they have no exponent.
const NUMBER_DIGITS_MAX: usize = 200;
/// The names in an object are compared with each other up to this many.
const NAMES_COMPARED_MAX: usize = 16;

/// Reads objects as rows of a batch.
pub(super) struct Reader<'c> {
    by_name: HashMap<&'c str, usize>,
    /// For each column the member that it takes, and the cell of that.
    sources: Vec<(Option<&'c str>, usize)>,
    /// The members that the last object had.
    order: Vec<Member>,
    cells: Vec<Cell>,
    /// The strings of the object without their escapes.
    texts: Vec<u8>,
    names: Vec<(usize, usize)>,
    builder: BatchBuilder,
}

/// A member as it stands in an object.
struct Member {
    /// The name and the quote behind it.
    quoted: Vec<u8>,
    column: Option<usize>,
}

/// A value, by its place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// There is none, or `null`.
    None,
    Bool(bool),
    /// A number of few digits without point and exponent.
    Integer(usize, usize),
    /// Any other number.
    Number(usize, usize),
    /// A string without escapes, what is between its quotes.
    Plain(usize, usize),
    /// A string, in [`Reader::texts`].
    Unescaped(usize, usize),
    /// An object or array.
    Nested(usize, usize, Form),
}

/// How the text of an object or array differs from how serde_json writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Canonical,
    /// There is white space between its parts.
    Spaced,
    /// It has to be read and written again.
    Other,
}

impl<'c> Reader<'c> {
    /// A reader of the members with the columns' own names.
    pub fn new(columns: &'c [Column]) -> Reader<'c> {
        Reader::of_members(columns, columns.iter().map(|c| Some(c.name.as_str())))
    }

    /// A reader that fills each column from the member that is given for it, if one is.
    pub fn of_members(columns: &'c [Column], members: impl IntoIterator<Item = Option<&'c str>>) -> Reader<'c> {
        let mut by_name = HashMap::with_capacity(columns.len());
        // Behind the cells of the members is one that stays empty.
        let cell = |(i, member): (usize, Option<&'c str>)| match member {
            Some(name) => (member, *by_name.entry(name).or_insert(i)),
            None => (None, columns.len()),
        };
        let sources = members.into_iter().enumerate().map(cell).collect();
        Reader {
            by_name,
            sources,
            order: Vec::new(),
            cells: vec![Cell::None; columns.len() + 1],
            texts: Vec::new(),
            names: Vec::new(),
            builder: BatchBuilder::new(columns),
        }
    }

    /// Adds the row of `text`, UTF-8 that is one object. False when it is none, or none that is read here; then nothing
    /// is added.
    pub fn push(&mut self, text: &[u8]) -> bool {
        let mut cursor = Cursor { bytes: text, at: 0 };
        cursor.space();
        if self.object(&mut cursor).is_none() {
            return false;
        }
        cursor.space();
        if cursor.at < text.len() {
            return false;
        }
        self.take_row(text);
        true
    }

    /// Adds the rows of `text`, UTF-8 that is one array. Calls `other` for an item that is no object, with the count of
    /// items before it. The count of all items; `None` when it is no array that is read here, then nothing is added.
    pub fn push_array(&mut self, text: &[u8], mut other: impl FnMut(usize)) -> Option<usize> {
        let mut cursor = Cursor { bytes: text, at: 0 };
        cursor.space();
        if cursor.peek()? != b'[' {
            return None;
        }
        let start = cursor.at + 1;
        cursor.nested(&mut self.names, 0)?;
        cursor.space();
        if cursor.at < text.len() {
            return None;
        }
        cursor.at = start;
        let mut items = 0;
        loop {
            cursor.space();
            match cursor.peek()? {
                b']' => return Some(items),
                b',' => cursor.at += 1,
                b'{' => {
                    self.object(&mut cursor)?;
                    self.take_row(text);
                    items += 1;
                }
                _ => {
                    cursor.skip(&mut self.names, 0)?;
                    other(items);
                    items += 1;
                }
            }
        }
    }

    pub fn push_object(&mut self, object: &serde_json::Map<String, Value>) {
        let sources = &self.sources;
        self.builder.push_with(|i, of, builder| builder.append(of, sources[i].0.and_then(|name| object.get(name))));
    }

    /// Adds a row of what `value` gives for each column.
    pub fn push_values(&mut self, mut value: impl FnMut(usize) -> Option<Value>) {
        self.builder.push(|i, _| value(i));
    }

    pub fn finish(self) -> Result<RecordBatch> {
        self.builder.finish()
    }

    /// Notes the values of the object at the cursor, which is then behind it.
    fn object(&mut self, cursor: &mut Cursor) -> Option<()> {
        self.cells.fill(Cell::None);
        self.texts.clear();
        if !cursor.take(b'{') {
            return None;
        }
        cursor.space();
        if cursor.take(b'}') {
            return Some(());
        }
        for place in 0.. {
            let column = self.member(cursor, place)?;
            cursor.space();
            if !cursor.take(b':') {
                return None;
            }
            cursor.space();
            match column {
                Some(column) => self.cells[column] = self.value(cursor)?,
                None => {
                    cursor.skip(&mut self.names, 0)?;
                }
            }
            cursor.space();
            match cursor.next()? {
                b',' => cursor.space(),
                b'}' => break,
                _ => return None,
            }
        }
        Some(())
    }

    /// Reads the name of a member, the `place`th of its object; the column that has it.
    fn member(&mut self, cursor: &mut Cursor, place: usize) -> Option<Option<usize>> {
        if !cursor.take(b'"') {
            return None;
        }
        if let Some(expected) = self.order.get(place)
            && cursor.bytes[cursor.at..].starts_with(&expected.quoted)
        {
            cursor.at += expected.quoted.len();
            return Some(expected.column);
        }
        let start = cursor.at;
        let end = special(cursor.bytes, start);
        if *cursor.bytes.get(end)? != b'"' {
            // Names with escapes are rare and get no place in the order.
            let from = self.texts.len();
            cursor.unescape(end, &mut self.texts)?;
            let name = std::str::from_utf8(&self.texts[from..]).ok()?;
            return Some(self.by_name.get(name).copied());
        }
        cursor.at = end + 1;
        let name = std::str::from_utf8(&cursor.bytes[start..end]).ok()?;
        let column = self.by_name.get(name).copied();
        let member = Member { quoted: cursor.bytes[start..=end].to_vec(), column };
        let count = self.order.len();
        match self.order.get_mut(place) {
            Some(known) => *known = member,
            None if count == place => self.order.push(member),
            None => {}
        }
        Some(column)
    }

    fn value(&mut self, cursor: &mut Cursor) -> Option<Cell> {
        let start = cursor.at;
        match cursor.peek()? {
            b'"' => {
                let end = special(cursor.bytes, start + 1);
                if *cursor.bytes.get(end)? == b'"' {
                    cursor.at = end + 1;
                    return Some(Cell::Plain(start + 1, end));
                }
                let from = self.texts.len();
                cursor.at = start + 1;
                cursor.unescape(end, &mut self.texts)?;
                Some(Cell::Unescaped(from, self.texts.len()))
            }
            b'{' | b'[' => {
                let form = cursor.nested(&mut self.names, 0)?;
                Some(Cell::Nested(start, cursor.at, form))
            }
            b't' => cursor.word(b"true").then_some(Cell::Bool(true)),
            b'f' => cursor.word(b"false").then_some(Cell::Bool(false)),
            b'n' => cursor.word(b"null").then_some(Cell::None),
            _ => Some(if cursor.number()? { Cell::Integer(start, cursor.at) } else { Cell::Number(start, cursor.at) }),
        }
    }

    /// Copies the noted values into the columns.
    fn take_row(&mut self, text: &[u8]) {
        let (cells, texts) = (&self.cells, &self.texts);
        let sources = &self.sources;
        self.builder.push_with(|i, of, builder| put(builder, of, cells[sources[i].1], text, texts));
    }
}

fn put(builder: &mut ColumnBuilder, of: Type, cell: Cell, text: &[u8], texts: &[u8]) {
    match (cell, &mut *builder) {
        (Cell::None, _) => builder.append_none(of),
        (Cell::Bool(value), _) => builder.append(of, Some(&Value::Bool(value))),
        (Cell::Plain(from, to), ColumnBuilder::Text(column)) if of == Type::String => column.push(&text[from..to]),
        (Cell::Plain(from, to), ColumnBuilder::Text(column)) if of == Type::Dynamic => {
            column.push(&text[from - 1..=to]);
        }
        (Cell::Unescaped(from, to), ColumnBuilder::Text(column)) if of == Type::String => column.push(&texts[from..to]),
        (Cell::Plain(from, to), _) => put_text(builder, of, &text[from..to]),
        (Cell::Unescaped(from, to), _) => put_text(builder, of, &texts[from..to]),
        (Cell::Integer(from, to), _) => match integer(&text[from..to]) {
            Some(value) => builder.append_integer(of, value, &text[from..to]),
            None => put_value(builder, of, &text[from..to]),
        },
        (Cell::Nested(from, to, form), ColumnBuilder::Text(column)) if of != Type::Guid => match form {
            Form::Canonical => column.push(&text[from..to]),
            Form::Spaced => column.push(&without_space(&text[from..to])),
            Form::Other => put_value(builder, of, &text[from..to]),
        },
        (Cell::Nested(..), _) => builder.append_none(of),
        (Cell::Number(from, to), _) => put_value(builder, of, &text[from..to]),
    }
}

fn put_text(builder: &mut ColumnBuilder, of: Type, text: &[u8]) {
    match std::str::from_utf8(text) {
        Ok(text) => builder.append_text(of, text),
        Err(_) => builder.append_none(of),
    }
}

/// A value by way of serde_json, as it writes it.
fn put_value(builder: &mut ColumnBuilder, of: Type, text: &[u8]) {
    builder.append(of, serde_json::from_slice::<Value>(text).ok().as_ref());
}

fn integer(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The text of a value that is [`Form::Spaced`] without its white space.
fn without_space(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if !is_space(*byte) {
            out.push(*byte);
        }
        at += 1;
        if *byte == b'"' {
            let start = at;
            while let Some(byte) = text.get(at)
                && *byte != b'"'
            {
                at += if *byte == b'\\' { 2 } else { 1 };
            }
            at = (at + 1).min(text.len());
            out.extend_from_slice(&text[start..at]);
        }
    }
    out
}

/// Whether `text` is one value in the form in which serde_json writes it.
pub(super) fn is_canonical(text: &str) -> bool {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    cursor.skip(&mut Vec::new(), 0) == Some(Form::Canonical) && cursor.at == text.len()
}

/// A place in a text. What is asked for is `None` when the text has something else there.
struct Cursor<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn word(&mut self, wanted: &[u8]) -> bool {
        let is_there = self.bytes[self.at..].starts_with(wanted);
        self.at += if is_there { wanted.len() } else { 0 };
        is_there
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Goes behind a number; whether it is a [`Cell::Integer`].
    fn number(&mut self) -> Option<bool> {
        let start = self.at;
        let is_negative = self.take(b'-');
        let first = self.at;
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        let digits = self.at - first;
        let is_zero = self.bytes[first] == b'0';
        let is_fraction = self.take(b'.');
        if is_fraction {
            let from = self.at;
            self.digits();
            if self.at == from {
                return None;
            }
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let from = self.at;
            self.digits();
            if self.at == from {
                return None;
            }
        }
        if has_exponent || self.at - start > NUMBER_DIGITS_MAX {
            // It may be greater than any number.
            serde_json::from_slice::<f64>(&self.bytes[start..self.at]).ok()?;
        }
        let is_whole = !(is_fraction || has_exponent);
        Some(is_whole && digits <= INTEGER_DIGITS_MAX && !(is_negative && is_zero))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// Appends the string at the cursor, which is behind its opening quote, to `out`. Up to `until` there is nothing
    /// special in it.
    fn unescape(&mut self, until: usize, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.bytes[self.at..until]);
        self.at = until;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => {
                    let escaped = match self.next()? {
                        plain @ (b'"' | b'\\' | b'/') => plain,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let mut utf8 = [0; 4];
                            out.extend_from_slice(self.code_point()?.encode_utf8(&mut utf8).as_bytes());
                            continue;
                        }
                        _ => return None,
                    };
                    out.push(escaped);
                }
                // A control character.
                byte if byte < 0x20 => return None,
                byte => {
                    out.push(byte);
                    let end = special(self.bytes, self.at);
                    out.extend_from_slice(&self.bytes[self.at..end]);
                    self.at = end;
                }
            }
        }
    }

    /// The character of an escape, behind its `u`.
    fn code_point(&mut self) -> Option<char> {
        let high = self.hex()?;
        if !(0xD800..0xE000).contains(&high) {
            return char::from_u32(high);
        }
        if high >= 0xDC00 || self.next()? != b'\\' || self.next()? != b'u' {
            return None;
        }
        let low = self.hex()?;
        if !(0xDC00..0xE000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    }

    fn hex(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value << 4 | char::from(self.next()?).to_digit(16)?;
        }
        Some(value)
    }

    /// Goes behind a string, from behind its opening quote.
    fn string(&mut self) -> Option<Form> {
        let mut form = Form::Canonical;
        loop {
            self.at = special(self.bytes, self.at);
            match self.next()? {
                b'"' => return Some(form),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'/' => form = Form::Other,
                    b'u' => {
                        form = Form::Other;
                        self.code_point()?;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// Goes behind a value that is `depth` deep in others.
    fn skip(&mut self, names: &mut Vec<(usize, usize)>, depth: usize) -> Option<Form> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string()
            }
            b'{' | b'[' => self.nested(names, depth),
            b't' => self.word(b"true").then_some(Form::Canonical),
            b'f' => self.word(b"false").then_some(Form::Canonical),
            b'n' => self.word(b"null").then_some(Form::Canonical),
            _ => self.number().map(|is_integer| if is_integer { Form::Canonical } else { Form::Other }),
        }
    }

    /// Goes behind an object or array.
    fn nested(&mut self, names: &mut Vec<(usize, usize)>, depth: usize) -> Option<Form> {
        if depth > DEPTH_MAX {
            return None;
        }
        let is_object = self.next()? == b'{';
        let end = if is_object { b'}' } else { b']' };
        let first_name = names.len();
        let mut form = self.gap();
        if self.take(end) {
            return Some(form);
        }
        loop {
            if is_object {
                if !self.take(b'"') {
                    return None;
                }
                let start = self.at;
                form = form.max(self.string()?);
                names.push((start, self.at));
                form = form.max(self.gap());
                if !self.take(b':') {
                    return None;
                }
                form = form.max(self.gap());
            }
            form = form.max(self.skip(names, depth + 1)?).max(self.gap());
            match self.next()? {
                b',' => form = form.max(self.gap()),
                byte if byte == end => break,
                _ => return None,
            }
        }
        if self.repeats(&names[first_name..]) {
            form = Form::Other;
        }
        names.truncate(first_name);
        Some(form)
    }

    fn gap(&mut self) -> Form {
        let start = self.at;
        self.space();
        if self.at == start { Form::Canonical } else { Form::Spaced }
    }

    /// Whether some of these names may be equal.
    fn repeats(&self, names: &[(usize, usize)]) -> bool {
        let text = |(from, to): (usize, usize)| &self.bytes[from..to];
        names.len() > NAMES_COMPARED_MAX
            || names.iter().enumerate().any(|(i, name)| names[..i].iter().any(|before| text(*before) == text(*name)))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The place of the first quote, backslash or control character from `at` on; the end when there is none.
fn special(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at a time. The first byte that is marked is right, and no other is looked at: a borrow can mark only
    // bytes behind one that is marked rightly.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & HIGHS;
    while let Some(word) = bytes.get(at..at + 8).and_then(|w| w.try_into().ok()).map(u64::from_le_bytes) {
        let quote = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
        let marked = quote | backslash | less(word, 0x20);
        if marked != 0 {
            return at + marked.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at)
        && *byte >= 0x20
        && !matches!(byte, b'"' | b'\\')
    {
        at += 1;
    }
    at
}
