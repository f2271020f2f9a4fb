//! The log: what was acknowledged and is not yet in table files.
//!
//! Segments `log/{number}.log`, each a header and frames. A frame is what one write made durable: a 16-byte header with
//! a check of its own, and records. A record is a sequence number, the ids of the events, and for each table its name,
//! its folder (a table that is dropped and made again has another) and rows as an Arrow IPC stream.
//!
//! A bad frame at the end of the last segment was cut off before it was acknowledged; it is dropped, and the segment
//! is cut there. A bad frame with a good one behind it is damage: an error that names the place.

use crate::catalog_file::sync_folder;
use crate::error::{Error, Result, at};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Raised when the meaning of a segment changes.
const FORMAT_VERSION: u32 = 1;
const SEGMENT_MAGIC: [u8; 4] = *b"TSLG";
const FRAME_MAGIC: [u8; 4] = *b"TSFR";
/// Magic, format version, and the next sequence number when the segment was made.
const SEGMENT_HEADER_BYTES: usize = 16;
/// Magic, length and checksum of the payload, checksum of these twelve bytes.
const FRAME_HEADER_BYTES: usize = 16;
/// A segment is closed once it is larger.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Rows of one request may take this much in the log.
const RECORD_BYTES_MAX: usize = 512 << 20;
/// About what the schema of a table takes.
const SCHEMA_BYTES: usize = 8 << 10;
/// The kernel takes so many pieces in one call.
const PARTS_MAX: usize = 1024;

/// A table, by its names and its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub database: String,
    pub table: String,
    pub folder: String,
}

/// The rows of one table in a record.
#[derive(Debug, Clone)]
pub(crate) struct TableRows {
    pub key: TableKey,
    pub batch: RecordBatch,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub sequence: u64,
    pub ids: Vec<u128>,
    pub tables: Vec<TableRows>,
}

/// The rows of a record as the log holds them. They are encoded by whoever brings them, beside the thread that writes.
#[derive(Debug)]
pub(crate) struct EncodedRows {
    bytes: Vec<u8>,
    checksum: crc32fast::Hasher,
}

impl EncodedRows {
    pub fn new(tables: &[TableRows]) -> Result<EncodedRows> {
        let wanted: usize = tables.iter().map(|rows| rows.batch.get_array_memory_size() + SCHEMA_BYTES).sum();
        let mut bytes = Vec::with_capacity(wanted);
        bytes.extend_from_slice(&(tables.len() as u32).to_le_bytes());
        for rows in tables {
            for name in [&rows.key.database, &rows.key.table, &rows.key.folder] {
                bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
            let length_at = bytes.len();
            bytes.extend_from_slice(&[0; 4]);
            let mut writer = StreamWriter::try_new(&mut bytes, &rows.batch.schema())?;
            writer.write(&rows.batch)?;
            writer.finish()?;
            drop(writer);
            let length = (bytes.len() - length_at - 4) as u32;
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(Error::TooLarge { bytes: bytes.len(), bytes_max: RECORD_BYTES_MAX });
            }
            bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes);
        Ok(EncodedRows { bytes, checksum })
    }
}

/// A record as the log holds it.
#[derive(Debug)]
pub(crate) struct EncodedRecord {
    head: Vec<u8>,
    rows: EncodedRows,
}

impl EncodedRecord {
    pub fn new(sequence: u64, ids: &[u128], rows: EncodedRows) -> Result<EncodedRecord> {
        let length = 8 + 4 + ids.len() * 16 + rows.bytes.len();
        if length > RECORD_BYTES_MAX {
            return Err(Error::TooLarge { bytes: length, bytes_max: RECORD_BYTES_MAX });
        }
        let mut head = Vec::with_capacity(16 + ids.len() * 16);
        head.extend_from_slice(&(length as u32).to_le_bytes());
        head.extend_from_slice(&sequence.to_le_bytes());
        head.extend_from_slice(&(ids.len() as u32).to_le_bytes());
        ids.iter().for_each(|id| head.extend_from_slice(&id.to_le_bytes()));
        Ok(EncodedRecord { head, rows })
    }

    pub fn size_bytes(&self) -> usize {
        self.head.len() + self.rows.bytes.len()
    }
}

/// Bytes read from the front; an error when there are too few.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> std::result::Result<&'a [u8], String> {
        let (head, tail) = self.0.split_at_checked(n).ok_or("the record is too short")?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> std::result::Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the record is too short".to_owned())
    }

    fn number(&mut self) -> std::result::Result<usize, String> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn text(&mut self) -> std::result::Result<String, String> {
        let length = self.number()?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|e| e.to_string())
    }
}

fn decode(payload: &[u8]) -> std::result::Result<Vec<Record>, String> {
    let mut cursor = Cursor(payload);
    let mut records = Vec::new();
    while !cursor.0.is_empty() {
        let length = cursor.number()?;
        records.push(decode_record(cursor.take(length)?)?);
    }
    Ok(records)
}

fn decode_record(bytes: &[u8]) -> std::result::Result<Record, String> {
    let mut cursor = Cursor(bytes);
    let sequence = u64::from_le_bytes(cursor.array()?);
    let mut ids = Vec::new();
    for _ in 0..cursor.number()? {
        ids.push(u128::from_le_bytes(cursor.array()?));
    }
    let mut tables = Vec::new();
    for _ in 0..cursor.number()? {
        let key = TableKey { database: cursor.text()?, table: cursor.text()?, folder: cursor.text()? };
        let length = cursor.number()?;
        let reader = StreamReader::try_new(cursor.take(length)?, None).map_err(|e| e.to_string())?;
        for batch in reader {
            tables.push(TableRows { key: key.clone(), batch: batch.map_err(|e| e.to_string())? });
        }
    }
    Ok(Record { sequence, ids, tables })
}

/// A segment, and what must be in table files before it may go.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    /// For each table the last sequence number that the segment holds rows of.
    last: BTreeMap<TableKey, u64>,
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
    /// Opens the log of a data folder and reads what it holds. Sequence numbers go on from `at_least`, or from further
    /// on if the log knows of higher ones.
    pub fn open(data: &Path, at_least: u64) -> Result<(Log, Vec<Record>)> {
        let folder = data.join("log");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        sync_folder(data)?;
        let mut found: Vec<(u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".log")?.parse().ok());
            found.extend(number.map(|n| (n, path)));
        }
        found.sort();
        let mut next_sequence = at_least.max(1);
        let mut closed = Vec::new();
        let mut empty = Vec::new();
        let mut records = Vec::new();
        let count = found.len();
        let next_number = found.last().map_or(1, |(number, _)| number + 1);
        for (i, (number, path)) in found.into_iter().enumerate() {
            let (known_next, read) = read_segment(&path, i + 1 == count)?;
            next_sequence = next_sequence.max(known_next);
            let mut last = BTreeMap::new();
            for record in &read {
                next_sequence = next_sequence.max(record.sequence + 1);
                last.extend(record.tables.iter().map(|rows| (rows.key.clone(), record.sequence)));
            }
            if read.is_empty() {
                empty.push(path)
            } else {
                closed.push(Segment { number, path, last })
            }
            records.extend(read);
        }
        let (file, current) = create_segment(&folder, next_number, next_sequence)?;
        // Only now: the new segment's header keeps the next sequence number.
        for path in empty {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
        let bytes = SEGMENT_HEADER_BYTES as u64;
        Ok((Log { folder, file, bytes, closed, current, next_sequence }, records))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends records as one frame and makes it durable. [`Error::DiskFull`] when it was not written and the log is as
    /// it was before; after any other error nothing more can be written.
    pub fn write(&mut self, records: &[EncodedRecord], tables: &[(TableKey, u64)]) -> Result<()> {
        let mut checksum = crc32fast::Hasher::new();
        for record in records {
            checksum.update(&record.head);
            checksum.combine(&record.rows.checksum);
        }
        let length: usize = records.iter().map(EncodedRecord::size_bytes).sum();
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.extend_from_slice(&FRAME_MAGIC);
        header.extend_from_slice(&(length as u32).to_le_bytes());
        header.extend_from_slice(&checksum.finalize().to_le_bytes());
        let check = crc32fast::hash(&header);
        header.extend_from_slice(&check.to_le_bytes());
        let mut parts = vec![IoSlice::new(&header)];
        parts.extend(records.iter().flat_map(|r| [IoSlice::new(&r.head), IoSlice::new(&r.rows.bytes)]));
        if let Err(error) = write_all(&mut self.file, &mut parts) {
            // Nothing of it was promised. Once it is cut off again, the next can be written in its place.
            let cut = self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            cut.and_then(|_| self.file.sync_all()).map_err(at(&self.current.path))?;
            return Err(Error::DiskFull(format!("{}: {error}", self.current.path.display())));
        }
        self.file.sync_data().map_err(at(&self.current.path))?;
        self.bytes += (FRAME_HEADER_BYTES + length) as u64;
        for (table, sequence) in tables {
            self.current.last.insert(table.clone(), *sequence);
        }
        if self.bytes >= SEGMENT_BYTES
            && let Err(error) = self.rotate()
        {
            // What was written is durable; the segment grows instead.
            tracing::warn!(%error, "no new segment of the log was begun");
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        let (file, next) = create_segment(&self.folder, self.current.number + 1, self.next_sequence)?;
        // It is read again by the next start or a back-up alone. The system's memory that held it can take the next segment, rather
        // than memory that nobody has used yet, which takes longer. It is no more than advice.
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        self.file = file;
        self.bytes = SEGMENT_HEADER_BYTES as u64;
        self.closed.push(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// Closes the segment that is written to. The paths of all that hold rows.
    pub fn close_segment(&mut self) -> Result<Vec<PathBuf>> {
        if !self.current.last.is_empty() {
            self.rotate()?;
        }
        Ok(self.closed.iter().map(|segment| segment.path.clone()).collect())
    }

    /// Removes the segments whose rows are all in table files. `flushed` gives for a table the last sequence number
    /// that is; `None` for a table that is gone.
    pub fn trim(&mut self, flushed: impl Fn(&TableKey) -> Option<u64>) -> Result<()> {
        let done = |segment: &Segment| segment.last.iter().all(|(t, last)| flushed(t).is_none_or(|f| f >= *last));
        if !self.current.last.is_empty() && done(&self.current) {
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

fn write_all(file: &mut File, mut parts: &mut [IoSlice]) -> std::io::Result<()> {
    while !parts.is_empty() {
        match file.write_vectored(&parts[..parts.len().min(PARTS_MAX)]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn create_segment(folder: &Path, number: u64, next_sequence: u64) -> Result<(File, Segment)> {
    let path = folder.join(format!("{number:020}.log"));
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path).map_err(at(&path))?;
    let mut header = SEGMENT_MAGIC.to_vec();
    header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    header.extend_from_slice(&next_sequence.to_le_bytes());
    let written = file.write_all(&header).and_then(|()| file.sync_all()).map_err(at(&path));
    written.and_then(|()| sync_folder(folder)).inspect_err(|_| drop(std::fs::remove_file(&path)))?;
    Ok((file, Segment { number, path, last: BTreeMap::new() }))
}

const NO_MATCH: &str = "a write does not match its checksum, and good ones stand behind it. Restore a back-up (turnstone restore), or move the file away to start without the rows that it holds and table files do not";

/// The payload of the frame at the start of `bytes`, `None` when there is no whole one.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[..4] != FRAME_MAGIC || crc32fast::hash(&header[..12]) != number(12) {
        return None;
    }
    let payload = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + number(4) as usize)?;
    (crc32fast::hash(payload) == number(8)).then_some(payload)
}

/// The next sequence number that the header knows, and the records. The torn end of the last segment is cut off.
fn read_segment(path: &Path, is_last: bool) -> Result<(u64, Vec<Record>)> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).map_err(at(path))?;
    let damaged = |offset: usize, problem: &str| Error::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        problem: problem.to_owned(),
    };
    let Some(header) = bytes.get(..SEGMENT_HEADER_BYTES) else {
        // The start that made it was cut off before anything could be acknowledged.
        return if is_last { Ok((1, Vec::new())) } else { Err(damaged(0, "the header is cut off")) };
    };
    if header[..4] != SEGMENT_MAGIC {
        return Err(damaged(0, "this is no log segment"));
    }
    let found = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if found != FORMAT_VERSION {
        return Err(Error::FormatVersion { path: path.to_owned(), found, supported: FORMAT_VERSION });
    }
    let next_sequence = header[8..].try_into().map_or(1, u64::from_le_bytes);
    let mut records = Vec::new();
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < bytes.len() {
        let Some(payload) = frame(&bytes[offset..]) else {
            let has_frame_behind = (offset + 1..bytes.len()).any(|at| frame(&bytes[at..]).is_some());
            if !is_last || has_frame_behind {
                return Err(damaged(offset, NO_MATCH));
            }
            tracing::warn!(path = %path.display(), offset, "dropped a write that was cut off before it was acknowledged");
            let file = OpenOptions::new().write(true).open(path).map_err(at(path))?;
            file.set_len(offset as u64).and_then(|()| file.sync_all()).map_err(at(path))?;
            break;
        };
        records.extend(decode(payload).map_err(|problem| damaged(offset, &problem))?);
        offset += FRAME_HEADER_BYTES + payload.len();
    }
    Ok((next_sequence, records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn key() -> TableKey {
        TableKey { database: "d".into(), table: "T".into(), folder: "T-1".into() }
    }

    fn write(log: &mut Log, values: &[i64]) {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).expect("a batch");
        let sequence = log.next_sequence;
        log.next_sequence += 1;
        let rows = EncodedRows::new(&[TableRows { key: key(), batch }]).expect("encoded");
        let record = EncodedRecord::new(sequence, &[sequence.into()], rows).expect("a record");
        log.write(&[record], &[(key(), sequence)]).expect("written");
    }

    fn open(data: &Path) -> (Log, Vec<u64>) {
        let (log, records) = Log::open(data, 1).expect("opened");
        (log, records.iter().map(|r| r.sequence).collect())
    }

    fn segment_with_data(data: &Path) -> PathBuf {
        let entries = std::fs::read_dir(data.join("log")).expect("the folder");
        let paths = entries.map(|e| e.expect("an entry").path());
        let has_data = |p: &PathBuf| p.metadata().expect("metadata").len() > SEGMENT_HEADER_BYTES as u64;
        paths.filter(has_data).min().expect("a segment")
    }

    #[test]
    fn reads_back_what_was_written() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, none) = open(data.path());
        assert!(none.is_empty());
        write(&mut log, &[1, 2]);
        write(&mut log, &[3]);
        drop(log);
        let (log, records) = Log::open(data.path(), 1).expect("opened again");
        assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(records[0].tables[0].batch.num_rows(), 2);
        assert_eq!(records[1].ids, [2]);
        assert_eq!(log.next_sequence, 3);
    }

    /// Written by the first version of this program, with another way of encoding.
    #[test]
    fn a_log_of_the_first_version_is_read() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = data.path().join("log");
        std::fs::create_dir(&folder).expect("made");
        let stored = include_bytes!("../tests/log-version-1.log");
        std::fs::write(folder.join("00000000000000000001.log"), stored).expect("written");
        let (log, records) = Log::open(data.path(), 1).expect("opened");
        assert_eq!(log.next_sequence, 4);
        assert_eq!(records.iter().map(|r| r.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(records.iter().map(|r| r.ids.len()).collect::<Vec<_>>(), [0, 2, 0]);
        assert_eq!(records[2].tables[0].key.table, "T");
        let rows: Vec<String> = records.iter().map(|r| format!("{:?}", r.tables[0].batch.columns())).collect();
        assert!(rows[0].contains("a text that is too long for its view"), "{}", rows[0]);
        assert_eq!(records.iter().map(|r| r.tables[0].batch.num_rows()).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn starts_that_write_nothing_leave_nothing_behind() {
        let data = tempfile::tempdir().expect("a folder");
        for _ in 0..3 {
            open(data.path());
        }
        let (mut log, _) = open(data.path());
        write(&mut log, &[1]);
        log.trim(|_| Some(0)).expect("trimmed");
        drop(log);
        assert_eq!(open(data.path()).1, [1], "the segment that is written to stays");
        assert!(std::fs::read_dir(data.path().join("log")).expect("the folder").count() <= 2);
    }

    #[test]
    fn a_torn_end_is_dropped_once_and_for_all() {
        for cut in [1, 7, 100] {
            let data = tempfile::tempdir().expect("a folder");
            let (mut log, _) = open(data.path());
            write(&mut log, &[1]);
            write(&mut log, &[2]);
            drop(log);
            let path = segment_with_data(data.path());
            let length = path.metadata().expect("metadata").len();
            OpenOptions::new().write(true).open(&path).expect("opened").set_len(length - cut).expect("cut");
            assert_eq!(open(data.path()).1, [1], "cut by {cut}");
            assert_eq!(open(data.path()).1, [1], "and again");
        }
    }

    #[test]
    fn a_tail_of_zeros_is_a_torn_end() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = open(data.path());
        write(&mut log, &[1]);
        drop(log);
        let path = segment_with_data(data.path());
        let length = path.metadata().expect("metadata").len();
        OpenOptions::new().write(true).open(&path).expect("opened").set_len(length + 4096).expect("longer");
        assert_eq!(open(data.path()).1, [1]);
    }

    #[test]
    fn damage_before_the_end_is_an_error() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = open(data.path());
        write(&mut log, &[1]);
        write(&mut log, &[2]);
        drop(log);
        let path = segment_with_data(data.path());
        for flipped in [SEGMENT_HEADER_BYTES + 5, SEGMENT_HEADER_BYTES + 40] {
            let good = std::fs::read(&path).expect("read");
            let mut bytes = good.clone();
            bytes[flipped] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            let error = Log::open(data.path(), 1).map(|_| ()).expect_err("damage");
            assert!(error.to_string().contains("damaged at byte 16"), "{error}");
            std::fs::write(&path, &good).expect("written");
        }
    }

    #[test]
    fn segments_go_when_their_rows_are_stored() {
        let data = tempfile::tempdir().expect("a folder");
        let (mut log, _) = open(data.path());
        write(&mut log, &[1]);
        log.trim(|_| Some(1)).expect("trimmed");
        drop(log);
        let (log, sequences) = open(data.path());
        assert!(sequences.is_empty());
        assert_eq!(log.next_sequence, 2, "sequence numbers never go back");
        drop(log);
        assert_eq!(Log::open(data.path(), 9).expect("opened").0.next_sequence, 9);
    }
}
