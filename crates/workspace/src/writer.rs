//! Appending: one thread writes the log, for all requests that wait at the same time with one sync of the disk.

use crate::error::{Error, Result};
use crate::ids::RecentIds;
use crate::log::{Log, TableRows, encode};
use crate::store::Tables;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use kql::datetime;
use kql::timespan::TICKS_PER_DAY;
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// At most this many requests share one write of the log.
const GROUP_MAX: usize = 256;

/// The identity of an event, from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(u128);

impl EventId {
    /// The id of an event that `scope` (a device, a rule) calls `id`.
    pub fn new(scope: &str, id: &str) -> EventId {
        let name = format!("{scope}\u{0}{id}");
        EventId(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
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

pub(crate) enum Request {
    Append {
        append: Append,
        reply: oneshot::Sender<Result<Appended>>,
    },
    /// Cut the log: rows up to the flushed sequence numbers of the tables are in files.
    Trim,
    Stop,
}

pub(crate) struct Writer {
    pub log: Log,
    pub ids: RecentIds,
    pub tables: Arc<Tables>,
}

struct Prepared {
    rows: Vec<TableRows>,
    sequence: u64,
    appended: Appended,
    reply: oneshot::Sender<Result<Appended>>,
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
            let mut stop = false;
            let mut prepared = Vec::new();
            let mut encoded = Vec::new();
            for request in group {
                match request {
                    Request::Stop => stop = true,
                    Request::Trim => {
                        if let Err(error) = self.trim() {
                            tracing::error!(%error, "failed to cut the log");
                        }
                    }
                    Request::Append { append, reply } => {
                        if let Some(problem) = &failed {
                            let _ = reply.send(Err(Error::Stopped(problem.clone())));
                            continue;
                        }
                        match self.prepare(append, &mut encoded) {
                            Ok((rows, sequence, appended)) => {
                                prepared.push(Prepared { rows, sequence, appended, reply });
                            }
                            Err(error) => {
                                let _ = reply.send(Err(error));
                            }
                        }
                    }
                }
            }
            if let Err(error) = self.commit(&encoded, prepared) {
                tracing::error!(%error, "failed to write the log; no more rows are taken");
                failed = Some(error.to_string());
            }
            if stop {
                break;
            }
        }
    }

    /// Checks an append, leaves out repeated events and encodes the rest.
    fn prepare(&mut self, append: Append, encoded: &mut Vec<u8>) -> Result<(Vec<TableRows>, u64, Appended)> {
        self.ids.advance(datetime::now() / TICKS_PER_DAY)?;
        let mut rows = Vec::new();
        let mut fresh: Vec<u128> = Vec::new();
        let mut appended = Appended::default();
        for (i, (table, batch)) in append.tables.into_iter().enumerate() {
            let shaped = self.tables.shape(&append.database, &table, &batch)?;
            let kept = match append.ids.get(i).filter(|ids| ids.len() == batch.num_rows()) {
                None => shaped,
                Some(ids) => {
                    let is_new: BooleanArray = ids.iter().map(|id| Some(!self.ids.contains(id.0))).collect();
                    fresh.extend(ids.iter().map(|id| id.0));
                    filter_record_batch(&shaped, &is_new)?
                }
            };
            appended.repeated += batch.num_rows() - kept.num_rows();
            appended.rows += kept.num_rows();
            if kept.num_rows() > 0 {
                appended.stored.push(kept.clone());
                rows.push(TableRows { database: append.database.clone(), table, batch: kept });
            }
        }
        let sequence = self.log.next_sequence;
        if !rows.is_empty() {
            fresh.retain(|id| !self.ids.contains(*id));
            fresh.sort_unstable();
            fresh.dedup();
            encode(sequence, &fresh, &rows, encoded)?;
            self.log.next_sequence += 1;
            // Requests of the same group must see each other's ids.
            fresh.iter().for_each(|id| self.ids.insert(*id));
        }
        Ok((rows, sequence, appended))
    }

    fn commit(&mut self, encoded: &[u8], prepared: Vec<Prepared>) -> Result<()> {
        let mut touched = Vec::new();
        for one in &prepared {
            touched.extend(one.rows.iter().map(|r| ((r.database.clone(), r.table.clone()), one.sequence)));
        }
        let written = if encoded.is_empty() { Ok(()) } else { self.log.write(encoded, &touched) };
        match written {
            Ok(()) => {
                for one in prepared {
                    for rows in one.rows {
                        self.tables.push_hot(&rows.database, &rows.table, one.sequence, rows.batch);
                    }
                    let _ = one.reply.send(Ok(one.appended));
                }
                Ok(())
            }
            Err(error) => {
                for one in prepared {
                    let _ = one.reply.send(Err(Error::Stopped(error.to_string())));
                }
                Err(error)
            }
        }
    }

    fn trim(&mut self) -> Result<()> {
        self.ids.save()?;
        self.log.trim(|(database, table)| self.tables.flushed(database, table))
    }
}
