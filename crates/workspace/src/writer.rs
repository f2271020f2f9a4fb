//! Appending: one thread writes the log, for all requests that wait at the same time with one sync of the disk.

use crate::error::{Error, Result, at};
use crate::ids::RecentIds;
use crate::log::{EncodedRecord, EncodedRows, Log, TableRows};
use crate::machine::disk_bytes;
use crate::snapshot::link_into;
use crate::store::Tables;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use kql::datetime;
use kql::timespan::TICKS_PER_DAY;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// At most this many requests share one write of the log.
const GROUP_MAX: usize = 256;
/// So much of a disk, as a divisor, stays free for what makes room: flushes, retention, deletion.
const DISK_RESERVE_SHARE: u64 = 50;
const DISK_RESERVE_BYTES_MAX: u64 = 256 << 20;
/// A group is written in parts of about this size.
const FRAME_BYTES_WANTED: usize = 64 << 20;

/// The identity of an event, from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(u128);

impl EventId {
    /// The id of an event that `scope` (a device, a rule) calls `id`.
    pub fn new(scope: &str, id: &str) -> EventId {
        let name = format!("{scope}\u{0}{id}");
        EventId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
    }

    /// The id of the same event in another place that may have it or not, such as a second database.
    pub fn of(self, place: &str) -> EventId {
        EventId(uuid::Uuid::new_v5(&uuid::Uuid::from_u128(self.0), place.as_bytes()).as_u128())
    }
}

/// Rows for tables of one database, stored all or none.
#[derive(Debug, Default)]
pub struct Append {
    pub database: String,
    /// Tables and their rows. A batch has the columns of its table, in any order, or some of them.
    pub tables: Vec<(String, RecordBatch)>,
    /// The id of the event that each row of a table belongs to, in the order of `tables`; empty when the rows are not
    /// to be compared with earlier ones.
    pub ids: Vec<Vec<EventId>>,
}

/// What became of an append.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// Rows stored, over all tables.
    pub rows: usize,
    /// Rows left out because their event was stored before.
    pub repeated: usize,
    /// The rows that were stored, under the columns of their tables.
    pub stored: Vec<RecordBatch>,
}

/// An append under the columns of its tables.
pub(crate) struct Shaped {
    rows: Vec<TableRows>,
    ids: Vec<Vec<EventId>>,
    /// The rows as the log takes them, where it is known beforehand that all of them are stored.
    encoded: Option<EncodedRows>,
}

impl Shaped {
    /// Checks an append against the tables, and encodes it if it can be.
    pub fn new(tables: &Tables, append: Append) -> Result<Shaped> {
        if !append.ids.is_empty() && append.ids.len() != append.tables.len() {
            return Err(Error::BadBatch("ids must be given for each table or for none".to_owned()));
        }
        let mut rows: Vec<TableRows> = Vec::with_capacity(append.tables.len());
        for (table, batch) in &append.tables {
            let (key, batch) = tables.shape(&append.database, table, batch)?;
            if rows.iter().any(|r| r.key == key) {
                return Err(Error::BadBatch(format!("the table '{table}' stands twice in one append")));
            }
            rows.push(TableRows { key, batch });
        }
        let mut encoded = None;
        if append.ids.is_empty() {
            rows.retain(|r| r.batch.num_rows() > 0);
            if !rows.is_empty() {
                encoded = Some(EncodedRows::new(&rows)?);
            }
        }
        Ok(Shaped { rows, ids: append.ids, encoded })
    }
}

pub(crate) enum Request {
    Append {
        append: Shaped,
        reply: oneshot::Sender<Result<Appended>>,
    },
    Trim,
    /// Copies the log, the ids and the figures of use, as they are after all that was answered, below a folder.
    Copy {
        target: PathBuf,
        reply: oneshot::Sender<Result<()>>,
    },
    Stop,
}

pub(crate) struct Writer {
    pub log: Log,
    pub ids: RecentIds,
    pub tables: Arc<Tables>,
    /// Said once, not for each request.
    pub is_disk_full: bool,
}

struct Prepared {
    rows: Vec<TableRows>,
    ids: Vec<u128>,
    sequence: u64,
    appended: Appended,
}

/// What one write of the log makes durable, and who waits for it.
#[derive(Default)]
struct Group {
    records: Vec<EncodedRecord>,
    bytes: usize,
    waiting: Vec<(Prepared, oneshot::Sender<Result<Appended>>)>,
}

impl Writer {
    /// Serves requests until told to stop. A failure of the disk stops it for good: what was not acknowledged is not
    /// promised, and what was is on disk.
    pub fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let mut failed: Option<String> = None;
        while let Ok(first) = requests.recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            if let Err(error) = self.ids.advance(datetime::now() / TICKS_PER_DAY) {
                tracing::error!(%error, "the ids of the day before were not saved");
            }
            let (mut is_trim, mut is_stop) = (false, false);
            let mut group_of_rows = Group::default();
            let mut copies = Vec::new();
            for request in group {
                match request {
                    Request::Stop => is_stop = true,
                    Request::Trim => is_trim = true,
                    Request::Copy { target, reply } => copies.push((target, reply)),
                    Request::Append { append, reply } => {
                        if let Some(problem) = &failed {
                            let _ = reply.send(Err(Error::Stopped(problem.clone())));
                            continue;
                        }
                        match self.prepare(append) {
                            Ok((record, prepared)) => {
                                group_of_rows.bytes += record.as_ref().map_or(0, EncodedRecord::size_bytes);
                                group_of_rows.records.extend(record);
                                group_of_rows.waiting.push((prepared, reply));
                            }
                            Err(error) => {
                                let _ = reply.send(Err(error));
                            }
                        }
                        if group_of_rows.bytes > FRAME_BYTES_WANTED {
                            failed = self.commit(std::mem::take(&mut group_of_rows)).err();
                        }
                    }
                }
            }
            if failed.is_none() {
                failed = self.commit(group_of_rows).err();
            }
            // Behind the rows of the group: what is trimmed, and the ids that are saved, are those of rows that are safe.
            if is_trim
                && failed.is_none()
                && let Err(error) = self.trim()
            {
                tracing::error!(%error, "failed to cut the log");
            }
            for (target, reply) in copies {
                let _ = reply.send(self.copy_to(&target));
            }
            if is_stop {
                break;
            }
        }
    }

    /// Leaves out repeated events, and encodes the rest.
    fn prepare(&mut self, append: Shaped) -> Result<(Option<EncodedRecord>, Prepared)> {
        let Shaped { mut rows, ids, encoded } = append;
        let mut fresh: Vec<u128> = Vec::new();
        let mut repeated = 0;
        for (rows, ids) in rows.iter_mut().zip(&ids) {
            if ids.len() != rows.batch.num_rows() {
                return Err(Error::BadBatch(format!("{} ids for {} rows", ids.len(), rows.batch.num_rows())));
            }
            let is_new: BooleanArray = ids.iter().map(|id| Some(!self.ids.contains(id.0))).collect();
            fresh.extend(ids.iter().map(|id| id.0));
            let kept = filter_record_batch(&rows.batch, &is_new)?;
            repeated += ids.len() - kept.num_rows();
            rows.batch = kept;
        }
        rows.retain(|r| r.batch.num_rows() > 0);
        fresh.retain(|id| !self.ids.contains(*id));
        fresh.sort_unstable();
        fresh.dedup();
        let sequence = self.log.next_sequence;
        let mut record = None;
        if !rows.is_empty() {
            let encoded = encoded.map_or_else(|| EncodedRows::new(&rows), Ok)?;
            record = Some(EncodedRecord::new(sequence, &fresh, encoded)?);
            self.log.next_sequence += 1;
            // Later requests of the same group must see these ids.
            fresh.iter().for_each(|id| self.ids.insert(*id));
        }
        let stored: Vec<RecordBatch> = rows.iter().map(|r| r.batch.clone()).collect();
        let appended = Appended { rows: stored.iter().map(RecordBatch::num_rows).sum(), repeated, stored };
        Ok((record, Prepared { rows, ids: fresh, sequence, appended }))
    }

    /// Writes what is prepared, shows it to queries and answers. The error is what went wrong with the disk.
    fn commit(&mut self, group: Group) -> std::result::Result<(), String> {
        let touched: Vec<_> =
            group.waiting.iter().flat_map(|(one, _)| one.rows.iter().map(|r| (r.key.clone(), one.sequence))).collect();
        let written = match group.records.is_empty() {
            true => Ok(()),
            false => self.room_for(group.bytes).and_then(|()| self.log.write(&group.records, &touched)),
        };
        if let Err(Error::DiskFull(problem)) = written {
            if !std::mem::replace(&mut self.is_disk_full, true) {
                tracing::error!(problem, "the disk is full; rows are refused until there is room");
            }
            for (one, reply) in group.waiting {
                self.ids.forget(&one.ids);
                let _ = reply.send(Err(Error::DiskFull(problem.clone())));
            }
            return Ok(());
        }
        if std::mem::take(&mut self.is_disk_full) {
            tracing::info!("there is room on the disk again; rows are taken");
        }
        if let Err(error) = written {
            tracing::error!(%error, "failed to write the log; no more rows are taken");
            let problem = error.to_string();
            for (_, reply) in group.waiting {
                let _ = reply.send(Err(Error::Stopped(problem.clone())));
            }
            return Err(problem);
        }
        let now = datetime::now();
        for (one, reply) in group.waiting {
            self.ids.logged(&one.ids);
            for rows in one.rows {
                self.tables.usage.lock().count(&rows.key, one.sequence, &rows.batch, now);
                self.tables.push_hot(&rows.key, one.sequence, &rows.batch);
            }
            let _ = reply.send(Ok(one.appended));
        }
        Ok(())
    }

    fn copy_to(&mut self, target: &Path) -> Result<()> {
        let closed = self.log.close_segment()?;
        self.ids.save()?;
        self.tables.usage.lock().save()?;
        let log = target.join("log");
        std::fs::create_dir_all(&log).map_err(at(&log))?;
        for segment in closed {
            link_into(&segment, &log)?;
        }
        // Others are appended to.
        self.ids.copy_to(target)?;
        self.tables.usage.lock().copy_to(target)
    }

    /// Whether the disk has room for a write, and for what makes room: moving rows to files, and removing old ones.
    fn room_for(&self, bytes: usize) -> Result<()> {
        let folder = self.log.folder();
        let Some(disk) = disk_bytes(folder) else { return Ok(()) };
        let reserve = (disk.total / DISK_RESERVE_SHARE).min(DISK_RESERVE_BYTES_MAX);
        if disk.free >= reserve + bytes as u64 {
            return Ok(());
        }
        Err(Error::DiskFull(format!(
            "{} has {} bytes free, of which {reserve} are held back",
            folder.display(),
            disk.free
        )))
    }

    fn trim(&mut self) -> Result<()> {
        self.ids.save()?;
        self.tables.usage.lock().save()?;
        self.log.trim(|key| self.tables.flushed(key))
    }
}
