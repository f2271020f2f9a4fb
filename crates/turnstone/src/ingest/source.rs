//! Files that are sent: finding them, and cutting them into batches of whole records.

use crate::Failure;
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use workspace::format::ParquetPieces;

/// Lines are sent in batches of about this size.
const BATCH_BYTES: usize = 4 << 20;
/// What cannot be cut is sent as a whole, up to what a server takes at once.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// The member of a record that names its table, in what Azure exports.
const TABLE_MEMBER: &str = "Type";

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Csv,
    Tsv,
    Json,
    Parquet,
    Avro,
}

impl Form {
    /// As the server calls it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Csv => "csv",
            Form::Tsv => "tsv",
            Form::Json => "json",
            Form::Parquet => "parquet",
            Form::Avro => "avro",
        }
    }

    /// The form that a file's name tells, and whether it is packed.
    pub fn of_path(path: &Path) -> Option<(Form, bool)> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, is_packed) = match name.strip_suffix(".gz") {
            Some(inner) => (inner, true),
            None => (name.as_str(), false),
        };
        let form = match name.rsplit_once('.')?.1 {
            "csv" => Form::Csv,
            "tsv" => Form::Tsv,
            "json" | "jsonl" | "ndjson" => Form::Json,
            "parquet" if !is_packed => Form::Parquet,
            "avro" if !is_packed => Form::Avro,
            _ => return None,
        };
        Some((form, is_packed))
    }
}

/// The files that arguments name: themselves, and all that can be read below folders.
pub fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            let before = found.len();
            walk(argument, &mut found)?;
            if found.len() == before {
                return Err(Failure::usage(format!(
                    "{}: there are no files here that can be sent",
                    argument.display()
                )));
            }
        } else {
            found.push(argument.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let at = |e: std::io::Error| Failure::usage(format!("{}: {e}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(at)?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(at)?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, found)?;
        } else if Form::of_path(&path).is_some() {
            found.push(path);
        }
    }
    Ok(())
}

/// Whole records.
pub struct Batch {
    /// By the tables that they name themselves; under an empty name where nobody asked.
    pub parts: BTreeMap<String, Vec<u8>>,
    /// Where the next batch begins: in bytes of the unpacked file, or in rows.
    pub end: u64,
}

/// A file that is read from some position on.
pub enum Source {
    Lines(Lines),
    Pieces { pieces: ParquetPieces, position: u64, names_tables: bool },
    Whole(Option<Vec<u8>>),
}

/// A text of records.
pub struct Lines {
    reader: Box<dyn BufRead>,
    form: Form,
    position: u64,
    /// Records go to the tables that they name.
    names_tables: bool,
    /// Columns that a first line of names may have.
    columns: Vec<String>,
}

impl Source {
    /// Opens a file at `position`. `columns` are those of its table.
    pub fn open(
        path: &Path,
        (form, is_packed): (Form, bool),
        position: u64,
        names_tables: bool,
        columns: &[String],
        bar: &ProgressBar,
    ) -> Result<Source, String> {
        if form == Form::Parquet {
            let pieces = ParquetPieces::open(path, position).map_err(|e| e.to_string())?;
            bar.set_length(pieces.rows);
            bar.set_position(position);
            return Ok(Source::Pieces { pieces, position, names_tables });
        }
        let fault = |e: std::io::Error| e.to_string();
        let mut file = File::open(path).map_err(fault)?;
        let size = file.metadata().map_err(fault)?.len();
        bar.set_length(size);
        if form == Form::Avro {
            return whole(file, size).map(Source::Whole);
        }
        let mut reader: Box<dyn BufRead> = if is_packed {
            Box::new(BufReader::new(MultiGzDecoder::new(bar.wrap_read(file))))
        } else {
            if position > 0 {
                file.seek(SeekFrom::Start(position)).map_err(fault)?;
                bar.set_position(position);
            }
            Box::new(BufReader::new(bar.wrap_read(file)))
        };
        if is_packed && position > 0 {
            std::io::copy(&mut reader.by_ref().take(position), &mut std::io::sink()).map_err(fault)?;
        }
        let is_array = form == Form::Json
            && position == 0
            && reader.fill_buf().map_err(fault)?.trim_ascii_start().starts_with(b"[");
        if is_array {
            if names_tables {
                return Err("it is one JSON array; name the table with -t".to_owned());
            }
            let mut bytes = Vec::new();
            reader.take(WHOLE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
            if bytes.len() as u64 > WHOLE_BYTES_MAX {
                return Err(format!(
                    "a JSON array of more than {WHOLE_BYTES_MAX} bytes cannot be cut; write one object a line"
                ));
            }
            return Ok(Source::Whole(Some(bytes)));
        }
        Ok(Source::Lines(Lines { reader, form, position, names_tables, columns: columns.to_vec() }))
    }

    /// The next records; `None` behind the last.
    pub fn next_batch(&mut self, bar: &ProgressBar) -> Result<Option<Batch>, String> {
        match self {
            Source::Lines(lines) => lines.next_batch(),
            Source::Whole(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| {
                let end = bytes.len() as u64;
                Batch { parts: BTreeMap::from([(String::new(), bytes)]), end }
            })),
            Source::Pieces { pieces, position, names_tables } => {
                let Some(piece) = pieces.next_piece().map_err(|e| e.to_string())? else { return Ok(None) };
                *position += piece.rows;
                bar.set_position(*position);
                let table = match names_tables {
                    true => piece.common_text(TABLE_MEMBER).ok_or_else(|| {
                        format!("its rows do not all name one table in a column '{TABLE_MEMBER}'; name it with -t")
                    })?,
                    false => String::new(),
                };
                Ok(Some(Batch { parts: BTreeMap::from([(table, piece.bytes)]), end: *position }))
            }
        }
    }
}

fn whole(mut file: File, size: u64) -> Result<Option<Vec<u8>>, String> {
    if size > WHOLE_BYTES_MAX {
        return Err(format!("a file of this form can have {WHOLE_BYTES_MAX} bytes at most"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok(Some(bytes))
}

impl Lines {
    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let mut parts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let (mut bytes, mut is_quoted) = (0, false);
        let mut line = Vec::new();
        loop {
            line.clear();
            let is_first = self.position == 0;
            let begin = self.position;
            let read = self.reader.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
            if read == 0 {
                break;
            }
            self.position += read as u64;
            if is_first && matches!(self.form, Form::Csv | Form::Tsv) && self.is_header(&line) {
                continue;
            }
            let table = match self.names_tables {
                true if line.trim_ascii().is_empty() => continue,
                true => table_of(&line).ok_or_else(|| {
                    format!("the record at byte {begin} names no table in a member '{TABLE_MEMBER}'; name it with -t")
                })?,
                false => String::new(),
            };
            bytes += line.len();
            parts.entry(table).or_default().extend_from_slice(&line);
            // A line break within quotes is no end of a record.
            let quotes = if self.form == Form::Csv { line.iter().filter(|b| **b == b'"').count() } else { 0 };
            is_quoted ^= quotes % 2 == 1;
            if bytes >= BATCH_BYTES && !is_quoted {
                break;
            }
        }
        Ok((!parts.is_empty()).then_some(Batch { parts, end: self.position }))
    }

    /// Whether a line names columns of the table.
    fn is_header(&self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let separator = if self.form == Form::Tsv { '\t' } else { ',' };
        let mut fields =
            line.trim().trim_start_matches('\u{feff}').split(separator).map(|f| f.trim().trim_matches('"'));
        fields.all(|f| self.columns.iter().any(|name| name == f))
    }
}

fn table_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "Type")]
        table: String,
    }
    serde_json::from_slice::<Record>(line).ok().map(|record| record.table)
}
