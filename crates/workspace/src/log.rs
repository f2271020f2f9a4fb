//! The log: what was acknowledged and is not yet in table files.
//!
//! Segments `log/{first sequence number}.log`, each an 8-byte header and records. A record is its length and
//! CRC-32 (4 bytes each, little endian) and its payload: a sequence number, the ids of the events, and for each
//! table its name and rows as an Arrow IPC stream. A record that is cut off at the end of the last segment was
//! never acknowledged and is dropped; damage anywhere else is an error that names the place.

use crate::catalog_file::{FORMAT_VERSION, sync_folder};
use crate::error::{Error, Result, at};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"TSLG";
const HEADER_BYTES: u64 = 8;
const RECORD_HEADER_BYTES: usize = 8;
/// A segment is closed once it is larger.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
/// A longer record is damage, not data.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// The rows of one table in a record.
#[derive(Debug, Clone)]
pub(crate) struct TableRows {
    pub database: String,
    pub table: String,
    pub batch: RecordBatch,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub sequence: u64,
    pub ids: Vec<u128>,
    pub tables: Vec<TableRows>,
}

pub(crate) fn encode(sequence: u64, ids: &[u128], tables: &[TableRows], out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
    ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    out.extend_from_slice(&(tables.len() as u32).to_le_bytes());
    for rows in tables {
        for name in [&rows.database, &rows.table] {
            out.extend_from_slice(&(name.len() as u32).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut writer = StreamWriter::try_new(&mut *out, &rows.batch.schema())?;
        writer.write(&rows.batch)?;
        writer.finish()?;
        drop(writer);
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
    let payload = start + RECORD_HEADER_BYTES;
    let length = (out.len() - payload) as u32;
    let crc = crc32fast::hash(&out[payload..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..payload].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn decode(payload: &[u8]) -> std::result::Result<Record, String> {
    struct Cursor<'a>(&'a [u8]);
    impl<'a> Cursor<'a> {
        fn take(&mut self, n: usize) -> std::result::Result<&'a [u8], String> {
            let (head, tail) = self.0.split_at_checked(n).ok_or("the record is too short")?;
            self.0 = tail;
            Ok(head)
        }
        fn number(&mut self) -> std::result::Result<usize, String> {
            let bytes = self.take(4)?.try_into().map_err(|_| "the record is too short")?;
            Ok(u32::from_le_bytes(bytes) as usize)
        }
        fn text(&mut self) -> std::result::Result<String, String> {
            let length = self.number()?;
            String::from_utf8(self.take(length)?.to_vec()).map_err(|e| e.to_string())
        }
    }
    let mut cursor = Cursor(payload);
    let sequence = u64::from_le_bytes(cursor.take(8)?.try_into().map_err(|_| "the record is too short")?);
    let count = cursor.number()?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(u128::from_le_bytes(cursor.take(16)?.try_into().map_err(|_| "the record is too short")?));
    }
    let mut tables = Vec::new();
    for _ in 0..cursor.number()? {
        let (database, table) = (cursor.text()?, cursor.text()?);
        let length = cursor.number()?;
        let reader = StreamReader::try_new(cursor.take(length)?, None).map_err(|e| e.to_string())?;
        for batch in reader {
            let batch = batch.map_err(|e| e.to_string())?;
            tables.push(TableRows { database: database.clone(), table: table.clone(), batch });
        }
    }
    Ok(Record { sequence, ids, tables })
}

/// A closed or current segment, and what must be in table files before it may go.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// For each table the last sequence number that the segment holds rows of.
    last: BTreeMap<(String, String), u64>,
}

pub(crate) struct Log {
    folder: PathBuf,
    file: File,
    bytes: u64,
    closed: Vec<Segment>,
    current: Segment,
    pub next_sequence: u64,
}

impl Log {
    /// Opens the log of a data folder and reads what it holds.
    pub fn open(data: &Path) -> Result<(Log, Vec<Record>)> {
        let folder = data.join("log");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if path.extension().is_some_and(|e| e == "log") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut closed = Vec::new();
        let mut records = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let read = read_segment(path, i + 1 == paths.len())?;
            let mut last = BTreeMap::new();
            for record in &read {
                for rows in &record.tables {
                    last.insert((rows.database.clone(), rows.table.clone()), record.sequence);
                }
            }
            closed.push(Segment { path: path.clone(), last });
            records.extend(read);
        }
        let next_sequence = records.last().map_or(1, |r| r.sequence + 1).max(first_sequence(&paths));
        let (file, current) = create_segment(&folder, next_sequence)?;
        Ok((Log { folder, file, bytes: HEADER_BYTES, closed, current, next_sequence }, records))
    }

    /// Appends encoded records and makes them durable.
    pub fn write(&mut self, encoded: &[u8], tables: &[((String, String), u64)]) -> Result<()> {
        self.file.write_all(encoded).map_err(at(&self.current.path))?;
        self.file.sync_data().map_err(at(&self.current.path))?;
        self.bytes += encoded.len() as u64;
        for (table, sequence) in tables {
            self.current.last.insert(table.clone(), *sequence);
        }
        if self.bytes >= SEGMENT_BYTES {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let (file, next) = create_segment(&self.folder, self.next_sequence)?;
        self.file = file;
        self.bytes = HEADER_BYTES;
        self.closed.push(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// Removes the segments whose rows are all in table files. `flushed` gives for a table the last sequence number
    /// that is; `None` for a table that is gone.
    pub fn trim(&mut self, flushed: impl Fn(&(String, String)) -> Option<u64>) -> Result<()> {
        let done = |segment: &Segment| segment.last.iter().all(|(t, last)| flushed(t).is_none_or(|f| f >= *last));
        if self.bytes > HEADER_BYTES && done(&self.current) {
            self.rotate()?;
        }
        let (gone, kept) = std::mem::take(&mut self.closed).into_iter().partition::<Vec<_>, _>(|s| done(s));
        self.closed = kept;
        for segment in gone {
            std::fs::remove_file(&segment.path).map_err(at(&segment.path))?;
        }
        Ok(())
    }
}

/// The sequence number in the name of the last segment: numbers never go back, even when no record is left.
fn first_sequence(paths: &[PathBuf]) -> u64 {
    let stem = paths.last().and_then(|p| p.file_stem()).and_then(|s| s.to_str());
    stem.and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn create_segment(folder: &Path, sequence: u64) -> Result<(File, Segment)> {
    let path = folder.join(format!("{sequence:020}.log"));
    // A segment of this name can only be an empty one, left by a start that wrote nothing.
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).map_err(at(&path))?;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    file.write_all(&header).and_then(|()| file.sync_all()).map_err(at(&path))?;
    sync_folder(folder)?;
    Ok((file, Segment { path, last: BTreeMap::new() }))
}

fn read_segment(path: &Path, is_last: bool) -> Result<Vec<Record>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).map_err(at(path))?;
    let damaged = |offset: usize, problem: &str| Error::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        problem: problem.to_owned(),
    };
    if bytes.len() < HEADER_BYTES as usize {
        // The start that made it was cut off before anything could be acknowledged.
        return if is_last { Ok(Vec::new()) } else { Err(damaged(0, "the header is cut off")) };
    }
    if bytes[..4] != MAGIC {
        return Err(damaged(0, "this is no log segment"));
    }
    let found = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if found != FORMAT_VERSION {
        return Err(Error::FormatVersion { path: path.to_owned(), found, supported: FORMAT_VERSION });
    }
    let mut records = Vec::new();
    let mut offset = HEADER_BYTES as usize;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let whole = rest.split_at_checked(RECORD_HEADER_BYTES).and_then(|(header, rest)| {
            let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let payload = rest.get(..length).filter(|_| length <= RECORD_BYTES_MAX)?;
            (crc32fast::hash(payload) == crc).then_some(payload)
        });
        let Some(payload) = whole else {
            if is_last && is_torn_tail(rest) {
                tracing::warn!(path = %path.display(), offset, "dropped a record that was cut off before it was acknowledged");
                break;
            }
            return Err(damaged(offset, "a record does not match its checksum"));
        };
        records.push(decode(payload).map_err(|problem| damaged(offset, &problem))?);
        offset += RECORD_HEADER_BYTES + payload.len();
    }
    Ok(records)
}

/// Whether a bad record is the last thing in the segment, as a write that was cut off leaves it: no whole record
/// follows it.
fn is_torn_tail(rest: &[u8]) -> bool {
    let Some(header) = rest.get(..4) else { return true };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    length == 0 || length > RECORD_BYTES_MAX || RECORD_HEADER_BYTES + length >= rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn rows(values: &[i64]) -> Vec<TableRows> {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).expect("a batch");
        vec![TableRows { database: "d".into(), table: "T".into(), batch }]
    }

    fn write(log: &mut Log, values: &[i64]) {
        let sequence = log.next_sequence;
        log.next_sequence += 1;
        let mut encoded = Vec::new();
        encode(sequence, &[sequence.into()], &rows(values), &mut encoded).expect("encoded");
        log.write(&encoded, &[(("d".into(), "T".into()), sequence)]).expect("written");
    }

    fn only_segment_with_data(data: &Path) -> PathBuf {
        let entries = std::fs::read_dir(data.join("log")).expect("the folder");
        let paths = entries.map(|e| e.expect("an entry").path());
        paths.filter(|p| p.metadata().expect("metadata").len() > HEADER_BYTES).min().expect("a segment")
    }

    #[test]
    fn reads_back_what_was_written() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, none) = Log::open(data.path()).expect("opened");
        assert!(none.is_empty());
        write(&mut log, &[1, 2]);
        write(&mut log, &[3]);
        drop(log);
        let (log, records) = Log::open(data.path()).expect("opened again");
        assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(records[0].tables[0].batch.num_rows(), 2);
        assert_eq!(records[1].ids, [2]);
        assert_eq!(log.next_sequence, 3);
    }

    #[test]
    fn a_torn_tail_is_dropped() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = Log::open(data.path()).expect("opened");
        write(&mut log, &[1]);
        write(&mut log, &[2]);
        drop(log);
        let path = only_segment_with_data(data.path());
        let length = path.metadata().expect("metadata").len();
        for cut in [1, 7, 100] {
            let file = OpenOptions::new().write(true).open(&path).expect("opened");
            file.set_len(length - cut).expect("cut");
            let read = read_segment(&path, true).expect("read");
            assert_eq!(read.len(), 1, "cut by {cut}");
        }
    }

    #[test]
    fn damage_before_the_end_is_an_error() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = Log::open(data.path()).expect("opened");
        write(&mut log, &[1]);
        write(&mut log, &[2]);
        drop(log);
        let path = only_segment_with_data(data.path());
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[HEADER_BYTES as usize + 30] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        let error = Log::open(data.path()).map(|_| ()).expect_err("damage");
        assert!(error.to_string().contains("damaged at byte 8"), "{error}");
    }

    #[test]
    fn segments_go_when_their_rows_are_stored() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = Log::open(data.path()).expect("opened");
        write(&mut log, &[1]);
        log.trim(|_| Some(0)).expect("trimmed");
        let (_, records) = Log::open(data.path()).expect("opened");
        assert_eq!(records.len(), 1, "rows that are not stored stay");
        log.trim(|_| Some(1)).expect("trimmed");
        drop(log);
        let (log, records) = Log::open(data.path()).expect("opened");
        assert!(records.is_empty());
        assert_eq!(log.next_sequence, 2, "sequence numbers never go back");
    }
}
