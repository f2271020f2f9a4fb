//! Compaction: small files of a day become larger ones.
//!
//! Rows are read and written as files store them, in order of time, a batch of each file in memory at once. Nobody
//! waits for it: it works a bounded share of the time of one processor.

use crate::cache::Footer;
use crate::error::{Error, Result, at};
use crate::layout::Layout;
use crate::storage::{TICKS_COLUMN, stored_schema};
use crate::table_file::{DataFile, LASTING_COMPRESSION, TIME_COLUMN, TableFileWriter, Written};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Files are merged up to about so many rows.
const FILE_ROWS_WANTED: u64 = 1 << 20;
/// Files of so many bytes are left as they are, however few their rows.
const FILE_BYTES_ENOUGH: u64 = 128 << 20;
/// So many files of a like size are merged while rows of their day still come. Each row is written anew about
/// log8(rows) times.
const FILES_PER_STEP: usize = 8;
/// At most so many files are merged at once.
const FILES_AT_ONCE_MAX: usize = 64;
/// A day to which nothing came for so long is done with: its small files are merged, however few.
const DAY_QUIET_TICKS: i64 = TICKS_PER_HOUR;
const BATCH_ROWS: usize = 8192;
/// Of the time of one processor, as a divisor.
const SHARE: u32 = 2;

/// The files that are to be merged next, of one day; none when all is well.
pub(crate) fn choose(files: &[DataFile], now_ticks: i64) -> Option<Vec<DataFile>> {
    let mut days: BTreeMap<i64, Vec<&DataFile>> = BTreeMap::new();
    let is_small = |file: &&DataFile| file.rows < FILE_ROWS_WANTED / 2 && file.bytes < FILE_BYTES_ENOUGH;
    for file in files.iter().filter(is_small) {
        if let Some(day) = file.day() {
            days.entry(day).or_default().push(file);
        }
    }
    days.into_iter().find_map(|(day, mut small)| {
        small.sort_by_key(|file| file.rows);
        let newest = small.iter().map(|file| file.written_ticks).max().unwrap_or(i64::MAX);
        if day < now_ticks / TICKS_PER_DAY && newest < now_ticks - DAY_QUIET_TICKS {
            return fitting(&small, 2);
        }
        let steps = small.chunk_by(|a, b| step(a.rows) == step(b.rows));
        steps.into_iter().find_map(|alike| fitting(alike, FILES_PER_STEP))
    })
}

/// Files of the same step have a like number of rows.
fn step(rows: u64) -> u32 {
    rows.max(1).ilog(FILES_PER_STEP as u64)
}

/// As many of the files, smallest first, as one file may hold; none if they are too few.
fn fitting(files: &[&DataFile], files_min: usize) -> Option<Vec<DataFile>> {
    let (mut rows, mut bytes) = (0, 0);
    let fits = |file: &&&DataFile| {
        rows += file.rows;
        bytes += file.bytes;
        rows <= FILE_ROWS_WANTED && bytes <= FILE_BYTES_ENOUGH
    };
    let chosen: Vec<DataFile> = files.iter().take_while(fits).take(FILES_AT_ONCE_MAX).copied().cloned().collect();
    (chosen.len() >= files_min).then_some(chosen)
}

/// Rests so that work takes its share of the time, and notices that it shall end.
pub(crate) struct Pace {
    since: Instant,
    stopping: Arc<AtomicBool>,
}

impl Pace {
    pub fn new(stopping: Arc<AtomicBool>) -> Pace {
        Pace { since: Instant::now(), stopping }
    }

    fn rest(&mut self) -> Result<()> {
        /// A stop of the program is noticed within this time.
        const REST_MAX: Duration = Duration::from_millis(500);
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Error::Stopped("the program ends".to_owned()));
        }
        let worked = self.since.elapsed();
        std::thread::sleep((worked * (SHARE - 1)).min(REST_MAX));
        self.since = Instant::now();
        Ok(())
    }
}

/// Writes the rows of files of one day to a new one, in order of time.
pub(crate) fn merge(folder: &Path, layout: &Layout, files: &[DataFile], pace: &mut Pace) -> Result<Written> {
    let wrong = |problem: &str| Error::Stopped(format!("files cannot be merged: {problem}"));
    let day = files.first().and_then(DataFile::day).ok_or_else(|| wrong("they have no day"))?;
    let footers = files.iter().map(|file| Footer::read(file.path())).collect::<Result<Vec<_>>>()?;
    let has_ticks = footers.iter().any(|footer| footer.has(TICKS_COLUMN));
    let read_as = merged_schema(layout, has_ticks);
    let mut cursors = Vec::with_capacity(files.len());
    for (file, footer) in files.iter().zip(&footers) {
        cursors.push(Cursor::open(file.path(), footer, &read_as)?);
    }
    let mut writer = TableFileWriter::create(folder, day, declared(&read_as), LASTING_COMPRESSION)?;
    let mut merging = || -> Result<u64> {
        let mut rows = 0;
        let mut heads: BinaryHeap<Reverse<(Option<i64>, usize)>> =
            cursors.iter().enumerate().filter_map(|(at, c)| c.head().map(|time| Reverse((time, at)))).collect();
        let mut pending: Vec<(usize, usize)> = Vec::with_capacity(BATCH_ROWS);
        while let Some(Reverse((_, at))) = heads.pop() {
            // Rows go on coming from this file as long as no other has earlier ones.
            let limit = heads.peek().map(|Reverse((time, _))| *time);
            loop {
                pending.push((at, cursors[at].row));
                let is_end = cursors[at].is_last_row();
                if is_end || pending.len() == BATCH_ROWS {
                    let batches: Vec<&RecordBatch> = cursors.iter().map(|c| &c.batch).collect();
                    writer.write(&interleave_record_batch(&batches, &pending)?)?;
                    rows += pending.len() as u64;
                    pending.clear();
                    pace.rest()?;
                }
                if !cursors[at].advance()? {
                    break;
                }
                let Some(time) = cursors[at].head() else { break };
                if limit.is_some_and(|limit| time > limit) {
                    heads.push(Reverse((time, at)));
                    break;
                }
            }
        }
        Ok(rows)
    };
    let rows = merging()?;
    let wanted: u64 = files.iter().map(|file| file.rows).sum();
    if rows != wanted {
        return Err(wrong(&format!("they have {rows} rows, the log of the table knows of {wanted}")));
    }
    writer.finish()
}

/// The columns of the table, strings as views.
fn merged_schema(layout: &Layout, has_ticks: bool) -> SchemaRef {
    let stored = stored_schema(layout);
    let view = |field: &Field| match field.data_type() {
        DataType::Utf8 => Field::new(field.name(), DataType::Utf8View, true),
        other => Field::new(field.name(), other.clone(), true),
    };
    let mut fields: Vec<Field> = stored.fields().iter().map(|field| view(field)).collect();
    if has_ticks {
        fields.push(Field::new(TICKS_COLUMN, DataType::Utf8View, true));
    }
    Arc::new(Schema::new(fields))
}

/// The schema that the file says it has.
fn declared(read_as: &SchemaRef) -> SchemaRef {
    let plain = |field: &Field| match field.data_type() {
        DataType::Utf8View => Field::new(field.name(), DataType::Utf8, true),
        _ => field.clone(),
    };
    Arc::new(Schema::new(read_as.fields().iter().map(|field| plain(field)).collect::<Vec<_>>()))
}

/// A file that is read from its beginning to its end.
struct Cursor {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    batch: RecordBatch,
    /// By the order that rows are merged in; none where the table has no time.
    times: Option<Int64Array>,
    row: usize,
}

impl Cursor {
    fn open(path: &Path, footer: &Footer, schema: &SchemaRef) -> Result<Cursor> {
        let file = File::open(path).map_err(at(path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.metadata.clone());
        let reader = builder.with_batch_size(BATCH_ROWS).build()?;
        let batch = RecordBatch::new_empty(schema.clone());
        let mut cursor = Cursor { reader, schema: schema.clone(), batch, times: None, row: 0 };
        cursor.next_batch()?;
        Ok(cursor)
    }

    /// The time of the row that is next, `Some(None)` where it has none; `None` at the end.
    fn head(&self) -> Option<Option<i64>> {
        if self.row >= self.batch.num_rows() {
            return None;
        }
        Some(self.times.as_ref().filter(|times| times.is_valid(self.row)).map(|times| times.value(self.row)))
    }

    fn is_last_row(&self) -> bool {
        self.row + 1 >= self.batch.num_rows()
    }

    /// Goes to the next row; false at the end. At the last row of a batch nothing may refer to the batch any more.
    fn advance(&mut self) -> Result<bool> {
        self.row += 1;
        if self.row < self.batch.num_rows() { Ok(true) } else { self.next_batch() }
    }

    fn next_batch(&mut self) -> Result<bool> {
        self.row = 0;
        loop {
            let Some(read) = self.reader.next() else {
                self.batch = RecordBatch::new_empty(self.schema.clone());
                self.times = None;
                return Ok(false);
            };
            let read = read?;
            if read.num_rows() == 0 {
                continue;
            }
            let column = |field: &Arc<Field>| match read.column_by_name(field.name()) {
                Some(found) if found.data_type() == field.data_type() => found.clone(),
                Some(found) => arrow::compute::cast(found, field.data_type()).unwrap_or_else(|_| found.clone()),
                None if field.name() == TICKS_COLUMN => {
                    Arc::new(StringViewArray::new_null(read.num_rows())) as Arc<dyn Array>
                }
                None => new_null_array(field.data_type(), read.num_rows()),
            };
            let columns = self.schema.fields().iter().map(column).collect();
            self.batch = RecordBatch::try_new(self.schema.clone(), columns)?;
            let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _));
            let times = self.batch.column_by_name(TIME_COLUMN).filter(|times| is_time(times.data_type()));
            let times = times.map(|times| arrow::compute::cast(times, &DataType::Int64)).transpose()?;
            self.times = times.map(|times| times.as_primitive::<Int64Type>().clone());
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_file::StoredFile;

    const NOW_TICKS: i64 = 700_000 * TICKS_PER_DAY + TICKS_PER_DAY / 2;

    fn file(number: usize, days_ago: i64, rows: u64, written_ago_ticks: i64) -> DataFile {
        let (year, month, day) = kql::datetime::civil_from_days(NOW_TICKS / TICKS_PER_DAY - days_ago);
        DataFile {
            stored: StoredFile::new(format!("t/_Day={year:04}-{month:02}-{day:02}/{number}.parquet").into()),
            times: None,
            rows,
            bytes: rows * 40,
            written_ticks: NOW_TICKS - written_ago_ticks,
        }
    }

    #[test]
    fn files_of_a_day_that_goes_on_are_merged_when_enough_are_alike() {
        let mut files: Vec<DataFile> = (0..7).map(|number| file(number, 0, 1000, 0)).collect();
        files.push(file(7, 0, 90_000, 0));
        files.push(file(8, 1, 1000, 0));
        assert!(choose(&files, NOW_TICKS).is_none());
        files.push(file(9, 0, 1001, 0));
        let chosen = choose(&files, NOW_TICKS).expect("eight are alike");
        assert_eq!(chosen.len(), 8);
        assert!(chosen.iter().all(|file| file.rows < 2000 && file.day() == Some(700_000)));
    }

    #[test]
    fn a_day_that_is_over_is_merged_to_the_end() {
        let quiet = 2 * TICKS_PER_HOUR;
        let files = [file(0, 3, 100, quiet), file(1, 3, 200_000, quiet), file(2, 3, 900_000, quiet)];
        assert_eq!(choose(&files, NOW_TICKS).expect("two are small").len(), 2);
        let comes = [file(0, 3, 100, quiet), file(1, 3, 200_000, 0)];
        assert!(choose(&comes, NOW_TICKS).is_none(), "something came a moment ago");
    }

    #[test]
    fn no_file_becomes_larger_than_wanted() {
        let files: Vec<DataFile> = (0..10).map(|number| file(number, 2, 400_000, TICKS_PER_DAY)).collect();
        assert_eq!(choose(&files, NOW_TICKS).expect("small files").len(), 2);
        assert!(choose(&files[..1], NOW_TICKS).is_none());
    }
}
