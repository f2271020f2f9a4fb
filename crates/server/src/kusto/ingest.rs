//! Streaming ingestion: `POST /v1/rest/ingest/{database}/{table}?streamFormat=csv|json|...`.
//!
//! A record that cannot be read costs itself alone: the others are stored, the answer counts it, and it goes with its
//! reason to the table `Operation` of the database, where there is one. Only when nothing can be read is the request
//! refused.

use super::error::KustoError;
use super::response::{self, Table, text};
use crate::Services;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use engine::Column;
use futures::StreamExt;
use kql::Type;
use serde::Deserialize;
use serde_json::json;
use std::io::Read;
use std::sync::Arc;
use workspace::format::{Mapping, Parsed};
use workspace::{Admission, Append, BatchBuilder, Workspaces, format};

/// One request, compressed or not.
const BODY_BYTES_MAX: usize = 64 << 20;
/// A request may unpack to this much.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;
/// A body and the rows that are read from it take this much of the body's size, together.
const BODY_AND_ROWS: usize = 2;
/// Where records that cannot be read are noted.
const OPERATION: &str = "Operation";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Options {
    stream_format: Option<String>,
    mapping_name: Option<String>,
}

pub(super) async fn ingest(
    State(services): State<Arc<Services>>,
    Path((database, table)): Path<(String, String)>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, KustoError> {
    let mut body = body.into_data_stream();
    let taken = take(&services, database, table, options, &headers, &mut body).await;
    if taken.is_err() {
        // A client that still sends would see its connection break instead of the answer.
        let mut passed_over = 0;
        while let Some(Ok(part)) = body.next().await
            && passed_over < BODY_BYTES_MAX
        {
            passed_over += part.len();
        }
    }
    taken
}

async fn take(
    services: &Services,
    database: String,
    table: String,
    options: Options,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, KustoError> {
    if !services.admin_token.admits(headers) {
        return Err(KustoError::unauthorized());
    }
    let failed = |error: workspace::Error| KustoError::workspace(&error);
    let columns = services.workspaces.columns(&database, &table).map_err(failed)?;
    let kind = options.stream_format.unwrap_or_else(|| "csv".to_owned()).to_ascii_lowercase();
    let form = Form::named(&kind)?;
    let mapping = match options.mapping_name.filter(|name| !name.is_empty()) {
        Some(name) => Some(mapping(&services.workspaces, &database, &table, &columns, form, &name).await?),
        None => None,
    };
    let is_packed = headers.get(header::CONTENT_ENCODING).is_some_and(|v| v.as_bytes() == b"gzip");
    let (body, mut admission) = read(&services.workspaces, headers, body).await?;
    // Reading rows is work for a processor, not for the threads that answer requests.
    let (parsed, admission) = tokio::task::spawn_blocking(move || {
        let bytes = if is_packed { unpack(&body)? } else { body };
        if is_packed {
            admission.grow(bytes.len() * BODY_AND_ROWS);
        }
        Ok((form.parse(&columns, mapping.as_ref(), bytes)?, admission))
    })
    .await
    .map_err(|error| KustoError::internal(error.to_string()))??;
    let rejected = Rejected::of(&parsed, &table);
    let rows = parsed.batch.num_rows();
    if rows > 0 {
        let tables = vec![(table, parsed.batch)];
        let append = Append { database: database.clone(), tables, ids: Vec::new() };
        services.workspaces.append_admitted(append, admission).await.map_err(failed)?;
    }
    if let Some(rejected) = &rejected {
        rejected.note(&services.workspaces, &database).await;
        if rows == 0 {
            return Err(KustoError::bad_request(format!("Bad request: {}", rejected.summary)));
        }
    }
    let mut answer = Table::new(&[
        ("ConsumedRecordsCount", Type::Long),
        ("RejectedRecordsCount", Type::Long),
        ("RejectionReason", Type::String),
    ]);
    let (count, reason) = rejected.map_or((0, String::new()), |r| (r.count, r.summary));
    answer.push(&[rows.to_string(), count.to_string(), text(reason)]);
    Ok(response::command(answer))
}

/// The form of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With what stands between fields.
    Separated(u8),
    Json,
    Parquet,
}

impl Form {
    fn named(name: &str) -> Result<Form, KustoError> {
        Ok(match name {
            "csv" => Form::Separated(b','),
            "tsv" => Form::Separated(b'\t'),
            "psv" => Form::Separated(b'|'),
            "json" | "multijson" => Form::Json,
            "parquet" => Form::Parquet,
            other => {
                let message =
                    format!("Not supported: streamFormat={other}; csv, tsv, psv, json, multijson and parquet are");
                return Err(KustoError::bad_request(message));
            }
        })
    }

    /// The kind of the mappings that fit it.
    fn mapping_kind(self) -> Option<&'static str> {
        match self {
            Form::Separated(_) => Some("csv"),
            Form::Json => Some("json"),
            Form::Parquet => None,
        }
    }

    fn parse(self, columns: &[Column], mapping: Option<&Mapping>, bytes: Vec<u8>) -> Result<Parsed, KustoError> {
        let parsed = match (self, mapping) {
            (Form::Separated(separator), None) => format::parse_csv(columns, &bytes, separator),
            (Form::Separated(separator), Some(mapping)) => {
                format::parse_csv_mapped(columns, mapping, &bytes, separator)
            }
            (Form::Json, None) => format::parse_json(columns, &bytes),
            (Form::Json, Some(mapping)) => format::parse_json_mapped(columns, mapping, &bytes),
            (Form::Parquet, _) if bytes.is_empty() => format::parse_csv(columns, &bytes, b','),
            (Form::Parquet, _) => {
                let parsed = format::parse_parquet(columns, bytes);
                return parsed
                    .map_err(|e| KustoError::bad_request(format!("Bad request: the body cannot be read: {e}")));
            }
        };
        parsed.map_err(|error| KustoError::workspace(&error))
    }
}

/// The stored mapping of that name, for the columns that the table has now.
async fn mapping(
    workspaces: &Workspaces,
    database: &str,
    table: &str,
    columns: &[Column],
    form: Form,
    name: &str,
) -> Result<Mapping, KustoError> {
    let Some(kind) = form.mapping_kind() else {
        return Err(KustoError::bad_request("Not supported: mappings of Parquet; columns are matched by name"));
    };
    let known = workspaces.mappings(database, table).await.map_err(|e| KustoError::workspace(&e))?;
    let Some(found) = known.iter().find(|m| m.kind == kind && m.name == name) else {
        let message = format!(
            "there is no {kind} mapping named '{name}' for the table '{table}'; make one with .create table {table} ingestion {kind} mapping"
        );
        return Err(KustoError::bad_request(message));
    };
    Mapping::parse(columns, kind, &found.text)
        .map_err(|problem| KustoError::bad_request(format!("Bad request: {problem}")))
}

/// The body, once there is room for it.
async fn read(
    workspaces: &Workspaces,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<(Vec<u8>, Admission), KustoError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large =
        || KustoError::too_large(format!("the body has more than {BODY_BYTES_MAX} bytes; send less at once"));
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let admitted = declared.unwrap_or(0);
    let mut admission = workspaces.admit(admitted * BODY_AND_ROWS).map_err(|e| KustoError::workspace(&e))?;
    let mut bytes = Vec::with_capacity(admitted);
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| KustoError::bad_request(format!("the body broke off: {error}")))?;
        if bytes.len() + part.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if bytes.len() + part.len() > admitted {
            admission.grow(part.len() * BODY_AND_ROWS);
        }
        bytes.extend_from_slice(&part);
    }
    Ok((bytes, admission))
}

/// Records of a request that cannot be read.
struct Rejected {
    count: usize,
    summary: String,
    /// What is noted of each of them, or of the first where there are many.
    details: Vec<String>,
}

impl Rejected {
    fn of(parsed: &Parsed, table: &str) -> Option<Rejected> {
        let first = parsed.rejects.first()?;
        let summary = format!(
            "{} records cannot be read; the first is record {}: {}",
            parsed.rejected, first.record, first.reason
        );
        let detail = |r: &workspace::Reject| {
            format!("record {} of a request for the table '{table}' cannot be read: {}", r.record, r.reason)
        };
        let mut details: Vec<String> = parsed.rejects.iter().map(detail).collect();
        if parsed.rejected > details.len() {
            details.push(format!("{} more records of that request cannot be read", parsed.rejected - details.len()));
        }
        Some(Rejected { count: parsed.rejected, summary, details })
    }

    /// Adds rows to the table `Operation`. What is stored of the request stands whether or not this succeeds.
    async fn note(&self, workspaces: &Workspaces, database: &str) {
        let Ok(columns) = workspaces.columns(database, OPERATION) else { return };
        let mut builder = BatchBuilder::new(&columns);
        let now = kql::datetime::format(kql::datetime::now());
        for detail in &self.details {
            let row = json!({
                "TimeGenerated": now,
                "SourceSystem": "Turnstone",
                "OperationStatus": "Failed",
                "OperationCategory": "Ingestion",
                "Detail": detail,
                "Type": OPERATION,
            });
            row.as_object().into_iter().for_each(|row| builder.push_object(row));
        }
        let noted = match builder.finish() {
            Ok(batch) => {
                let tables = vec![(OPERATION.to_owned(), batch)];
                workspaces.append(Append { database: database.to_owned(), tables, ids: Vec::new() }).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::error!(%error, database, "records that cannot be read were not noted");
        }
    }
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, KustoError> {
    let mut bytes = Vec::new();
    let read = flate2::read::GzDecoder::new(body).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read {
        Ok(count) if count as u64 <= UNPACKED_BYTES_MAX => Ok(bytes),
        Ok(_) => Err(KustoError::bad_request(format!("the body unpacks to more than {UNPACKED_BYTES_MAX} bytes"))),
        Err(error) => Err(KustoError::bad_request(format!("the body is no gzip: {error}"))),
    }
}
