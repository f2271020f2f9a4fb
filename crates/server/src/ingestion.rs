//! Taking rows from requests, whatever interface they came by: reading a body within the bounds of memory, and storing
//! what was read of it.
//!
//! A record that cannot be read costs itself alone: the others are stored, it is counted, and it goes with its reason to
//! the table `Operation`, where there is one.

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use std::io::Read;
use workspace::format::Parsed;
use workspace::{Admission, Append, Note, Workspaces};

/// One request, compressed or not.
const BODY_BYTES_MAX: usize = 64 << 20;
/// A request may unpack to this much.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// A body and the rows that are read from it take this much of the body's size, together.
const BODY_AND_ROWS: usize = 2;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a request brought no rows.
#[derive(Debug)]
pub(crate) enum Refused {
    TooLarge(String),
    /// The body cannot be read; the payload says why.
    Body(String),
    Workspace(workspace::Error),
    /// A fault of this program.
    Stopped(String),
}

impl From<workspace::Error> for Refused {
    fn from(error: workspace::Error) -> Refused {
        Refused::Workspace(error)
    }
}

/// A body and the room that was made for it.
pub(crate) struct Taken {
    pub bytes: Vec<u8>,
    admission: Admission,
}

/// What became of the records of a request.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub rows: usize,
    pub rejected: usize,
    /// Rows that had been stored by an earlier request of the same batch.
    pub repeated: usize,
    /// What is wrong with the rejected, in short; empty when there are none.
    pub reason: String,
}

/// Reads what a client still sends after its request was refused: else it would see its connection break instead of the
/// answer.
pub(crate) async fn pass_over(body: &mut BodyDataStream) {
    let mut passed_over = 0;
    while let Some(Ok(part)) = body.next().await
        && passed_over < BODY_BYTES_MAX
    {
        passed_over += part.len();
    }
}

/// The body, once there is room for it, unpacked. Some clients send gzip without saying so.
pub(crate) async fn take(
    workspaces: &Workspaces,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Taken, Refused> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || Refused::TooLarge(format!("the body has more than {BODY_BYTES_MAX} bytes; send less at once"));
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let admitted = declared.unwrap_or(0);
    let mut admission = workspaces.admit(admitted * BODY_AND_ROWS)?;
    let mut bytes = Vec::with_capacity(admitted);
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| Refused::Body(format!("the body broke off: {error}")))?;
        if bytes.len() + part.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if bytes.len() + part.len() > admitted {
            admission.grow(part.len() * BODY_AND_ROWS);
        }
        bytes.extend_from_slice(&part);
    }
    let is_packed = headers.get(header::CONTENT_ENCODING).is_some_and(|v| v.as_bytes() == b"gzip");
    if !is_packed && !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(Taken { bytes, admission });
    }
    let bytes = on_processor(move || unpack(&bytes)).await?;
    admission.grow(bytes.len() * BODY_AND_ROWS);
    Ok(Taken { bytes, admission })
}

/// Reading rows is work for a processor, not for the threads that answer requests.
pub(crate) async fn on_processor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refused::Stopped(error.to_string()))?
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read {
        Ok(count) if count as u64 <= UNPACKED_BYTES_MAX => Ok(bytes),
        Ok(_) => Err(Refused::TooLarge(format!("the body unpacks to more than {UNPACKED_BYTES_MAX} bytes"))),
        Err(error) => Err(Refused::Body(format!("the body is no gzip: {error}"))),
    }
}

impl Taken {
    /// Stores the rows that were read of the body, and notes the records that were not.
    pub async fn store(
        self,
        workspaces: &Workspaces,
        database: &str,
        tables: Vec<(String, arrow::array::RecordBatch)>,
        ids: Vec<Vec<workspace::EventId>>,
    ) -> Result<workspace::Appended, Refused> {
        for (table, _) in &tables {
            workspaces.check_changeable(database, table)?;
        }
        let append = Append { database: database.to_owned(), tables, ids };
        Ok(workspaces.append_admitted(append, self.admission).await?)
    }
}

/// Notes the records of a request that cannot be read. What is wrong with them in short; empty when there are none.
pub(crate) async fn note_rejects(workspaces: &Workspaces, database: &str, table: &str, parsed: &Parsed) -> String {
    let Some(first) = parsed.rejects.first() else { return String::new() };
    let detail = |r: &workspace::Reject| {
        format!("record {} of a request for the table '{table}' cannot be read: {}", r.record, r.reason)
    };
    let mut details: Vec<String> = parsed.rejects.iter().map(detail).collect();
    if parsed.rejected > details.len() {
        details.push(format!("{} more records of that request cannot be read", parsed.rejected - details.len()));
    }
    let note = |detail| Note { status: "Failed", category: "Ingestion", detail };
    workspaces.note(database, &details.into_iter().map(note).collect::<Vec<_>>()).await;
    format!("{} records cannot be read; the first is record {}: {}", parsed.rejected, first.record, first.reason)
}
