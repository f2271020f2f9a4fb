//! The Parquet files of a table: what is known of each, and writing them.

use crate::catalog_file::sync_folder;
use crate::error::{Error, Result, at};
use crate::layout::Layout;
use crate::storage::{DAY_COLUMN, declared_schema, has_digits, to_stored};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use deltalake_core::kernel::{Add, LogicalFileView};
use kql::datetime::{from_unix_micros, to_unix_micros};
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND};
use kql::{Type, datetime};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ROW_GROUP_ROWS: usize = 128 * 1024;
/// The column whose day partitions a table.
pub(crate) const TIME_COLUMN: &str = "TimeGenerated";
/// So many rows at a time are put in order.
const SORTED_ROWS: usize = ROW_GROUP_ROWS;
/// How hard files are pressed that are written while senders wait.
pub(crate) const QUICK_COMPRESSION: i32 = 1;
/// How hard files are pressed that are written once and kept.
pub(crate) const LASTING_COMPRESSION: i32 = 3;

/// A file on the disk, held by the tables and queries that read it.
#[derive(Debug)]
pub(crate) struct StoredFile {
    pub path: PathBuf,
    is_doomed: AtomicBool,
}

impl StoredFile {
    pub fn new(path: PathBuf) -> Arc<StoredFile> {
        Arc::new(StoredFile { path, is_doomed: AtomicBool::new(false) })
    }

    /// Has the file and its side files removed once nobody holds it any more. What a stop of the program leaves is removed at the next
    /// start.
    pub fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if !self.is_doomed.load(Ordering::Relaxed) {
            return;
        }
        crate::side::remove_with(&self.path);
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a file that is no longer needed was not removed");
        }
    }
}

/// A live file of a table.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub stored: Arc<StoredFile>,
    /// The least and greatest [`TIME_COLUMN`], in ticks, rounded outward to the µs.
    pub times: Option<(i64, i64)>,
    pub rows: u64,
    pub bytes: u64,
    /// When it was written, in ticks.
    pub written_ticks: i64,
}

impl DataFile {
    /// The file at `path` that the Delta log names.
    pub fn of_log(path: PathBuf, view: &LogicalFileView) -> DataFile {
        let stats: Option<serde_json::Value> = view.stats().and_then(|s| serde_json::from_str(&s).ok());
        let time = |which: &str| {
            let text = stats.as_ref()?.get(which)?.get(TIME_COLUMN)?.as_str()?.to_owned();
            datetime::parse(&text)
        };
        // Statistics are cut to the millisecond.
        let times =
            time("minValues").zip(time("maxValues")).map(|(least, greatest)| (least, greatest + TICKS_PER_MILLISECOND));
        let rows = stats.as_ref().and_then(|stats| stats.get("numRecords")?.as_u64());
        DataFile {
            stored: StoredFile::new(path),
            times,
            rows: rows.unwrap_or_default(),
            bytes: u64::try_from(view.size()).unwrap_or_default(),
            written_ticks: from_unix_micros(view.modification_time().saturating_mul(1000)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.stored.path
    }

    /// The day whose rows it holds, counted from 0001-01-01.
    pub fn day(&self) -> Option<i64> {
        let folder = self.path().parent()?.file_name()?.to_str()?;
        let text = folder.strip_prefix(DAY_COLUMN)?.strip_prefix('=')?;
        Some(datetime::parse(text)? / TICKS_PER_DAY)
    }
}

/// A file that is on the disk and not yet in the Delta log.
pub(crate) struct Written {
    pub add: Add,
    pub file: DataFile,
}

/// A file that goes when this is dropped, unless it is finished.
struct Unfinished {
    path: PathBuf,
    is_finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed now is at the next start.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// A file that is being written, for the rows of one day. Until [`TableFileWriter::finish`] it is nothing.
pub(crate) struct TableFileWriter {
    unfinished: Unfinished,
    relative: String,
    day_text: String,
    writer: ArrowWriter<File>,
    rows: usize,
    /// The least and greatest time so far, in µs since 1970.
    times_micros: Option<(i64, i64)>,
}

impl TableFileWriter {
    /// Begins a file below the table's folder, for rows of `schema` as files store them.
    pub fn create(folder: &Path, day: i64, schema: SchemaRef, compression: i32) -> Result<TableFileWriter> {
        let (year, month, date) = datetime::civil_from_days(day);
        let day_text = format!("{year:04}-{month:02}-{date:02}");
        let parent = folder.join(format!("{DAY_COLUMN}={day_text}"));
        if !parent.exists() {
            std::fs::create_dir_all(&parent).map_err(at(&parent))?;
            sync_folder(folder)?;
        }
        let relative = format!("{DAY_COLUMN}={day_text}/part-{}.parquet", uuid::Uuid::new_v4());
        let path = folder.join(&relative);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(compression)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = File::create(&path).map_err(at(&path))?;
        let unfinished = Unfinished { path, is_finished: false };
        let writer = ArrowWriter::try_new(file, schema, Some(properties))?;
        Ok(TableFileWriter { unfinished, relative, day_text, writer, rows: 0, times_micros: None })
    }

    /// Adds rows as files store them.
    pub fn write(&mut self, stored: &RecordBatch) -> Result<()> {
        let times =
            stored.column_by_name(TIME_COLUMN).filter(|times| matches!(times.data_type(), DataType::Timestamp(..)));
        if let Some(times) = times.map(|times| times.as_primitive::<TimestampMicrosecondType>())
            && let Some((least, greatest)) = arrow::compute::min(times).zip(arrow::compute::max(times))
        {
            let (before_least, before_greatest) = self.times_micros.unwrap_or((least, greatest));
            self.times_micros = Some((before_least.min(least), before_greatest.max(greatest)));
        }
        self.rows += stored.num_rows();
        self.writer.write(stored).map_err(|error| out_of_room(error, &self.unfinished.path))
    }

    /// Makes the file durable.
    pub fn finish(self) -> Result<Written> {
        let mut unfinished = self.unfinished;
        let path = unfinished.path.clone();
        let file = self.writer.into_inner().map_err(|error| out_of_room(error, &path))?;
        file.sync_all().map_err(at(&path))?;
        let bytes = file.metadata().map_err(at(&path))?.len();
        if let Some(parent) = path.parent() {
            sync_folder(parent)?;
        }
        let to_ticks = |(least, greatest)| {
            (from_unix_micros(least), from_unix_micros(greatest).saturating_add(TICKS_PER_MICROSECOND))
        };
        let times = self.times_micros.map(to_ticks);
        let now = datetime::now();
        let add = Add {
            path: self.relative,
            partition_values: HashMap::from([(DAY_COLUMN.to_owned(), Some(self.day_text))]),
            size: i64::try_from(bytes).unwrap_or(i64::MAX),
            modification_time: to_unix_micros(now) / 1000,
            data_change: true,
            stats: Some(statistics(self.rows, times)),
            ..Default::default()
        };
        unfinished.is_finished = true;
        let file = DataFile { stored: StoredFile::new(path), times, rows: self.rows as u64, bytes, written_ticks: now };
        Ok(Written { add, file })
    }
}

/// Parquet wraps what the disk says; whoever reads the error needs the path.
fn out_of_room(error: parquet::errors::ParquetError, path: &Path) -> Error {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::Io { path: path.to_owned(), source: *source },
            Err(other) => Error::Parquet(parquet::errors::ParquetError::External(other)),
        },
        other => Error::Parquet(other),
    }
}

/// Removes what was written and shall not be.
pub(crate) fn discard(written: Vec<Written>) {
    written.iter().for_each(|one| one.file.stored.doom());
}

/// Writes one file for each day that the rows fall on. When one cannot be written, none is left.
pub(crate) fn write_files(folder: &Path, layout: &Layout, mut batches: Vec<RecordBatch>) -> Result<Vec<Written>> {
    batches.retain(|b| b.num_rows() > 0);
    let has_digits = has_digits(layout, &batches);
    let today = datetime::now() / TICKS_PER_DAY;
    let mut days =
        DayWriters { folder, layout, has_digits, today, without_time: Vec::new(), open: None, written: Vec::new() };
    let outcome = write_days(&mut days, batches);
    match outcome.and_then(|()| days.finish()) {
        Ok(()) => Ok(days.written),
        Err(error) => {
            discard(days.written);
            Err(error)
        }
    }
}

/// The files of days that follow each other, each finished before the next is begun.
struct DayWriters<'a> {
    folder: &'a Path,
    layout: &'a Layout,
    has_digits: bool,
    today: i64,
    /// Rows that have no time, for the file of today.
    without_time: Vec<RecordBatch>,
    open: Option<(i64, TableFileWriter)>,
    written: Vec<Written>,
}

impl DayWriters<'_> {
    /// Adds rows of a day, which is not before the one that was written last.
    fn write(&mut self, day: i64, rows: &RecordBatch) -> Result<()> {
        if day >= self.today {
            self.write_without_time()?;
        }
        self.add(day, rows)
    }

    /// Adds rows that have no time.
    fn hold(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.without_time.push(rows);
        }
    }

    fn write_without_time(&mut self) -> Result<()> {
        std::mem::take(&mut self.without_time).iter().try_for_each(|rows| self.add(self.today, rows))
    }

    fn finish(&mut self) -> Result<()> {
        self.write_without_time()?;
        self.close()
    }

    fn add(&mut self, day: i64, rows: &RecordBatch) -> Result<()> {
        let stored = to_stored(self.layout, rows, self.has_digits)?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != day) {
            self.close()?;
            let writer = TableFileWriter::create(self.folder, day, declared_schema(&stored), QUICK_COMPRESSION)?;
            self.open = Some((day, writer));
        }
        self.open.as_mut().map_or(Ok(()), |(_, writer)| writer.write(&stored))
    }

    /// Adds rows in order of time, none of them null.
    fn write_in_order(&mut self, rows: &RecordBatch, ticks: &[i64]) -> Result<()> {
        let mut from = 0;
        while from < ticks.len() {
            let day = ticks[from] / TICKS_PER_DAY;
            let count = ticks[from..].partition_point(|t| *t / TICKS_PER_DAY <= day);
            self.write(day, &rows.slice(from, count))?;
            from += count;
        }
        Ok(())
    }

    /// Makes the file that is being written durable.
    fn close(&mut self) -> Result<()> {
        let Some((_, writer)) = self.open.take() else { return Ok(()) };
        self.written.push(writer.finish()?);
        Ok(())
    }
}

fn write_days(days: &mut DayWriters, mut batches: Vec<RecordBatch>) -> Result<()> {
    let columns = &days.layout.columns;
    let time = columns.iter().position(|c| c.name == TIME_COLUMN && c.column_type == Type::DateTime);
    let Some(time) = time else {
        batches.into_iter().for_each(|batch| days.hold(batch));
        return Ok(());
    };
    // Batches that are in order among themselves, as those of a single sender are, leave nothing to sort.
    let first_time = |batch: &RecordBatch| times(batch, time).iter().flatten().next();
    batches.sort_by_key(first_time);
    if !are_in_order(batches.iter().map(|batch| times(batch, time))) {
        return write_sorted(days, batches, time);
    }
    // Nulls are first.
    for batch in &batches {
        days.hold(batch.slice(0, batch.column(time).null_count()));
    }
    for batch in batches {
        let nulls = batch.column(time).null_count();
        let rows = batch.slice(nulls, batch.num_rows() - nulls);
        days.write_in_order(&rows, times(&rows, time).values())?;
    }
    Ok(())
}

/// Writes rows that are in no order of time, the column at the place `time`. They are put in order some at a time, so that
/// they are not all in memory twice.
fn write_sorted(days: &mut DayWriters, batches: Vec<RecordBatch>, time: usize) -> Result<()> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(()) };
    let all = concat_batches(&schema, &batches)?;
    drop(batches);
    // Nulls are first.
    let order = sort_to_indices(all.column(time), None, None)?;
    let nulls = all.column(time).null_count();
    for from in (0..order.len()).step_by(SORTED_ROWS) {
        let rows = take_record_batch(&all, &order.slice(from, SORTED_ROWS.min(order.len() - from)))?;
        let null_rows = nulls.saturating_sub(from).min(rows.num_rows());
        days.hold(rows.slice(0, null_rows));
        let rows = rows.slice(null_rows, rows.num_rows() - null_rows);
        days.write_in_order(&rows, times(&rows, time).values())?;
    }
    Ok(())
}

fn times(batch: &RecordBatch, time: usize) -> &Int64Array {
    batch.column(time).as_primitive()
}

/// Whether times are in order, each batch's nulls first.
fn are_in_order<'t>(batches: impl IntoIterator<Item = &'t Int64Array>) -> bool {
    let mut last = i64::MIN;
    batches.into_iter().all(|ticks| {
        let nulls = ticks.null_count();
        let times = &ticks.values()[nulls..];
        let is_in_order = (0..nulls).all(|row| ticks.is_null(row))
            && times.is_sorted()
            && times.first().is_none_or(|first| last <= *first);
        last = times.last().copied().unwrap_or(last);
        is_in_order
    })
}

/// Writes rows of one day.
pub(crate) fn write_file(folder: &Path, layout: &Layout, rows: &RecordBatch, day: i64) -> Result<Written> {
    let stored = to_stored(layout, rows, has_digits(layout, std::slice::from_ref(rows)))?;
    let mut writer = TableFileWriter::create(folder, day, declared_schema(&stored), QUICK_COMPRESSION)?;
    writer.write(&stored)?;
    writer.finish()
}

/// The statistics that readers of Delta prune by: the row count and the span of time, cut to the millisecond.
fn statistics(rows: usize, times: Option<(i64, i64)>) -> String {
    let mut stats = serde_json::json!({ "numRecords": rows });
    if let Some((least, greatest)) = times {
        let text = |ticks: i64| {
            let cut = ticks - ticks % TICKS_PER_MILLISECOND;
            let full = datetime::format(cut);
            format!("{}Z", &full[..full.len() - 5])
        };
        stats["minValues"] = serde_json::json!({ TIME_COLUMN: text(least) });
        stats["maxValues"] = serde_json::json!({ TIME_COLUMN: text(greatest) });
    }
    stats.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::SegmentCache;
    use crate::segments::FileSegment;
    use arrow::datatypes::Int64Type;
    use engine::Column;
    use engine::columnar::{Segment, plain};

    /// Days from today, and a number for each row; `None` for a row without a time.
    fn batch(layout: &Layout, rows: &[(Option<i64>, i64)]) -> RecordBatch {
        let today = datetime::now() / TICKS_PER_DAY;
        let ticks = |(day, n): &(Option<i64>, i64)| day.map(|day| (today + day) * TICKS_PER_DAY + n);
        let times: Int64Array = rows.iter().map(ticks).collect();
        let numbers = Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n));
        RecordBatch::try_new(layout.schema.clone(), vec![Arc::new(times), Arc::new(numbers)]).expect("a batch")
    }

    #[test]
    fn rows_come_to_the_file_of_their_day_in_order_of_time() {
        let columns = [(TIME_COLUMN, Type::DateTime), ("N", Type::Long)].map(|(name, of)| Column::new(name, of));
        let layout = Arc::new(Layout::new(columns.to_vec()));
        let none = |n| (None, n);
        let on = |day, n| (Some(day), n);
        let cases: [Vec<Vec<(Option<i64>, i64)>>; 3] = [
            // In order, whatever the order of batches.
            vec![vec![none(7), on(-1, 3), on(0, 5)], vec![none(8)], vec![on(-2, 1), on(-1, 2)], vec![on(1, 6)]],
            vec![vec![on(0, 5), on(-1, 2), none(7)], vec![on(-2, 1), none(8)], vec![on(1, 6), on(-1, 3)]],
            // Batches that are in order and overlap.
            vec![vec![none(7), on(-2, 1), on(-1, 3), on(0, 5)], vec![none(8), on(-1, 2), on(1, 6)]],
        ];
        for case in cases {
            let folder = tempfile::tempdir().expect("a folder");
            let batches = case.iter().map(|rows| batch(&layout, rows)).collect();
            let written = write_files(folder.path(), &layout, batches).expect("written");
            let today = datetime::now() / TICKS_PER_DAY;
            let mut days = Vec::new();
            for Written { file, .. } in &written {
                let cache = SegmentCache::new(1 << 20);
                let segments = FileSegment::of_file(&layout, file, &cache).expect("a footer");
                let mut numbers = Vec::new();
                for segment in segments {
                    let read = plain(&segment.column(1).expect("read")).expect("plain");
                    numbers.extend(read.as_primitive::<Int64Type>().values().iter().copied());
                    // Their digits of 100 ns are the numbers.
                    let times = segment.column(0).expect("read");
                    let digits = times.as_primitive::<Int64Type>().iter().flatten().map(|ticks| ticks % 10);
                    assert!(digits.eq(numbers.iter().copied().filter(|n| *n < 7)), "{case:?}");
                }
                assert_eq!(file.rows as usize, numbers.len());
                days.push((file.day().expect("a day") - today, numbers));
            }
            let mut of_today = days.remove(2).1;
            of_today.sort_unstable();
            assert_eq!(of_today, [5, 7, 8], "{case:?}");
            assert_eq!(days, [(-2, vec![1]), (-1, vec![2, 3]), (1, vec![6])], "{case:?}");
        }
    }
}
