//! Reading rows from the formats that people have: CSV, JSON, Parquet and Avro.

mod columnar;
mod json_lines;
mod mapping;
mod parquet_out;
mod parquet_pieces;
#[cfg(test)]
mod tests;

use crate::rows::{BatchBuilder, ColumnBuilder, Reject};
use arrow::array::RecordBatch;
pub use columnar::{parse_avro, parse_parquet, read_parquet};
use engine::Column;
use json_lines::Reader;
pub use mapping::Mapping;
use mapping::Source;
pub use parquet_out::ParquetWriter;
pub use parquet_pieces::{ParquetPiece, ParquetPieces};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Records refused one by one are listed up to this number; the rest only counts.
const REJECTS_LISTED_MAX: usize = 100;
const NO_OBJECT: &str = "not a JSON object";

/// Rows read, and the records that were not.
#[derive(Debug)]
pub struct Parsed {
    pub batch: RecordBatch,
    pub rejected: usize,
    /// The first of the rejected, with the reasons.
    pub rejects: Vec<Reject>,
}

/// Reads CSV without a header: columns by position, missing ones null. A record that is no CSV is rejected alone.
pub fn parse_csv(columns: &[Column], bytes: &[u8], separator: u8) -> crate::Result<Parsed> {
    let by_position = Mapping((0..columns.len()).map(Source::Field).collect());
    parse_csv_mapped(columns, &by_position, bytes, separator)
}

/// Reads CSV without a header, columns by a mapping.
pub fn parse_csv_mapped(columns: &[Column], mapping: &Mapping, bytes: &[u8], separator: u8) -> crate::Result<Parsed> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(bytes);
    let mut builder = BatchBuilder::new(columns);
    let mut rejects = Rejects::default();
    let mut record = csv::ByteRecord::new();
    for number in 1.. {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                rejects.add(number, error.to_string());
                continue;
            }
        }
        let bad = record.iter().find_map(|field| std::str::from_utf8(field).err());
        if let Some(error) = bad {
            rejects.add(number, format!("not UTF-8: {error}"));
            continue;
        }
        builder.push_with(|i, of, column| {
            let text = match &mapping.0[i] {
                Source::Field(place) => record.get(*place).and_then(|field| std::str::from_utf8(field).ok()),
                Source::Constant(text) => Some(text.as_str()),
                Source::None | Source::Path(_) => None,
            };
            match text {
                Some(text) => append_field(column, of, text),
                None => column.append_none(of),
            }
        });
    }
    rejects.finish(builder.finish()?)
}

fn append_field(column: &mut ColumnBuilder, of: kql::Type, text: &str) {
    match (of, &mut *column) {
        (kql::Type::String, _) => column.append_text(of, text),
        _ if text.is_empty() => column.append_none(of),
        (kql::Type::Dynamic, ColumnBuilder::Text(texts)) if text != "null" && json_lines::is_canonical(text) => {
            texts.push(text.as_bytes());
        }
        (kql::Type::Dynamic, _) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
            column.append(of, Some(&value));
        }
        _ => column.append_text(of, text),
    }
}

/// Reads each line that is not empty as one text, the first column.
pub fn parse_lines(columns: &[Column], bytes: &[u8]) -> crate::Result<Parsed> {
    let mut builder = BatchBuilder::new(columns);
    let mut rejects = Rejects::default();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok("") => {}
            Ok(text) => push_first(&mut builder, text),
            Err(error) => rejects.add(i + 1, format!("not UTF-8: {error}")),
        }
    }
    rejects.finish(builder.finish()?)
}

/// Reads everything as one text, the first column.
pub fn parse_whole(columns: &[Column], bytes: &[u8]) -> crate::Result<Parsed> {
    let mut builder = BatchBuilder::new(columns);
    let mut rejects = Rejects::default();
    match std::str::from_utf8(bytes) {
        Ok(text) => push_first(&mut builder, text),
        Err(error) => rejects.add(1, format!("not UTF-8: {error}")),
    }
    rejects.finish(builder.finish()?)
}

fn push_first(builder: &mut BatchBuilder, text: &str) {
    builder.push(|column, _| (column == 0).then(|| Value::String(text.to_owned())));
}

/// Reads JSON objects, one a line or in any layout, or arrays of them: columns by name. A line that is no JSON
/// object is rejected alone.
pub fn parse_json(columns: &[Column], bytes: &[u8]) -> crate::Result<Parsed> {
    read_documents(Reader::new(columns), None, bytes)
}

/// Reads JSON objects, columns by a mapping.
pub fn parse_json_mapped(columns: &[Column], mapping: &Mapping, bytes: &[u8]) -> crate::Result<Parsed> {
    match mapping.members() {
        Some(members) => read_documents(Reader::of_members(columns, members), None, bytes),
        None => read_documents(Reader::new(columns), Some(mapping), bytes),
    }
}

fn read_documents(reader: Reader, mapping: Option<&Mapping>, bytes: &[u8]) -> crate::Result<Parsed> {
    let mut documents = Documents { reader, mapping, rejects: Rejects::default(), records: 0 };
    if is_lines(bytes) {
        let is_utf8 = std::str::from_utf8(bytes).is_ok();
        for line in lines(bytes).map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()) {
            documents.take(line, is_utf8 || std::str::from_utf8(line).is_ok());
        }
    } else {
        for document in serde_json::Deserializer::from_slice(bytes).into_iter::<&serde_json::value::RawValue>() {
            match document {
                Ok(document) => documents.take(document.get().as_bytes(), true),
                Err(error) => {
                    documents.reject(format!("{error}; nothing behind it was read"));
                    break;
                }
            }
        }
    }
    documents.rejects.finish(documents.reader.finish()?)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (line, behind) = match memchr::memchr(b'\n', bytes) {
            Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
            None => (bytes, None),
        };
        rest = behind;
        Some(line)
    })
}

/// Whether there is one document a line, which is the rule; only a text that is not so is read as a stream of
/// documents. A first line that is bad JSON does not make it one.
fn is_lines(bytes: &[u8]) -> bool {
    let is_json = |line: &[u8]| serde_json::from_slice::<IgnoredAny>(line).is_ok();
    let mut filled = lines(bytes).map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
    let Some(first) = filled.next() else { return true };
    if is_json(first) {
        return true;
    }
    let mut documents = serde_json::Deserializer::from_slice(bytes.trim_ascii_start()).into_iter::<IgnoredAny>();
    let goes_on = documents.next().is_some_and(|d| d.is_ok()) && documents.byte_offset() > first.len();
    !goes_on && filled.next().is_some_and(|second| second.starts_with(b"{") && is_json(second))
}

/// Documents on their way into a batch.
struct Documents<'c> {
    reader: Reader<'c>,
    /// What the reader cannot do by itself.
    mapping: Option<&'c Mapping>,
    rejects: Rejects,
    records: usize,
}

impl Documents<'_> {
    fn take(&mut self, text: &[u8], is_utf8: bool) {
        let is_fast = is_utf8 && self.mapping.is_none();
        if is_fast && self.reader.push(text) {
            self.records += 1;
            return;
        }
        if is_fast {
            let (rejects, before) = (&mut self.rejects, self.records);
            let is_bad = |item| rejects.add(before + item + 1, NO_OBJECT.to_owned());
            if let Some(items) = self.reader.push_array(text, is_bad) {
                self.records += items;
                return;
            }
        }
        match serde_json::from_slice::<Value>(text) {
            Ok(Value::Array(items)) => items.into_iter().for_each(|item| self.take_value(item)),
            Ok(item) => self.take_value(item),
            Err(error) => self.reject(error.to_string()),
        }
    }

    fn take_value(&mut self, value: Value) {
        match (value, self.mapping) {
            (value @ Value::Object(_), Some(mapping)) => {
                self.records += 1;
                self.reader.push_values(|column| mapping.0[column].value(&value));
            }
            (Value::Object(object), None) => {
                self.records += 1;
                self.reader.push_object(&object);
            }
            _ => self.reject(NO_OBJECT.to_owned()),
        }
    }

    fn reject(&mut self, reason: String) {
        self.records += 1;
        self.rejects.add(self.records, reason);
    }
}

#[derive(Default)]
struct Rejects {
    count: usize,
    listed: Vec<Reject>,
}

impl Rejects {
    fn add(&mut self, record: usize, reason: String) {
        self.count += 1;
        if self.listed.len() < REJECTS_LISTED_MAX {
            self.listed.push(Reject { record, reason });
        }
    }

    fn finish(self, batch: RecordBatch) -> crate::Result<Parsed> {
        Ok(Parsed { batch, rejected: self.count, rejects: self.listed })
    }
}

/// Guesses columns from JSON objects: names in order of first appearance, types from the values.
pub fn infer_json(bytes: &[u8]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().map_while(Result::ok) {
        let Value::Object(object) = value else { continue };
        for (name, value) in &object {
            let Some(found) = json_type(value) else {
                if !columns.iter().any(|c| c.name == *name) {
                    columns.push(Column::new(name, kql::Type::Dynamic));
                }
                continue;
            };
            match columns.iter_mut().find(|c| c.name == *name) {
                None => columns.push(Column::new(name, found)),
                Some(column) => column.column_type = wider(column.column_type, found),
            }
        }
    }
    columns
}

fn json_type(value: &Value) -> Option<kql::Type> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => kql::Type::Bool,
        Value::Number(n) if n.is_f64() => kql::Type::Real,
        Value::Number(_) => kql::Type::Long,
        Value::String(s) => text_type(s),
        Value::Array(_) | Value::Object(_) => kql::Type::Dynamic,
    })
}

/// A text that looks like an ISO date and time is one.
fn text_type(text: &str) -> kql::Type {
    let looks_iso = text.len() >= 19 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if looks_iso && datetime_or_none(text) { kql::Type::DateTime } else { kql::Type::String }
}

fn datetime_or_none(text: &str) -> bool {
    kql::datetime::parse(text).is_some()
}

fn wider(a: kql::Type, b: kql::Type) -> kql::Type {
    use kql::Type::{Dynamic, Long, Real, String};
    match (a, b) {
        _ if a == b => a,
        (Long, Real) | (Real, Long) => Real,
        (Dynamic, _) | (_, Dynamic) => Dynamic,
        _ => String,
    }
}

/// Guesses columns from CSV with a header line.
pub fn infer_csv(bytes: &[u8]) -> crate::Result<Vec<Column>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let names: Vec<String> = match reader.headers() {
        Ok(headers) => headers.iter().map(str::to_owned).collect(),
        Err(error) => {
            return Err(crate::Error::Damaged { path: "csv".into(), offset: 0, problem: error.to_string() });
        }
    };
    let mut types: Vec<Option<kql::Type>> = vec![None; names.len()];
    for record in reader.records().map_while(Result::ok) {
        for (i, text) in record.iter().enumerate().take(types.len()).filter(|(_, t)| !t.is_empty()) {
            let found = if text.parse::<i64>().is_ok() {
                kql::Type::Long
            } else if text.parse::<f64>().is_ok() {
                kql::Type::Real
            } else if matches!(text, "true" | "false" | "True" | "False") {
                kql::Type::Bool
            } else {
                text_type(text)
            };
            types[i] = Some(types[i].map_or(found, |t| wider(t, found)));
        }
    }
    Ok(names.into_iter().zip(types).map(|(name, t)| Column::new(name, t.unwrap_or(kql::Type::String))).collect())
}
