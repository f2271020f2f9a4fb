//! Streaming ingestion: `POST /v1/rest/ingest/{database}/{table}?streamFormat=csv|json|...`.
//!
//! A record that cannot be read costs itself alone: the others are stored, the answer counts it, and it goes with its
//! reason to the table `Operation` of the database, where there is one. Only when nothing can be read is the request
//! refused.

use super::error::KustoError;
use super::response::{self, Table, text};
use crate::Services;
use crate::ingestion::{self, Refused, Stored};
use crate::requester::Requester;
use access::role::INGEST;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use engine::Column;
use kql::Type;
use serde::Deserialize;
use std::sync::Arc;
use workspace::format::{Mapping, Parsed};
use workspace::{EventId, Workspaces, format};

/// Longer names of batches are refused.
const BATCH_ID_CHARACTERS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Options {
    stream_format: Option<String>,
    mapping_name: Option<String>,
    /// What the sender calls this batch, our own: a batch of a name that was stored within the last day is not stored
    /// again.
    batch_id: Option<String>,
}

pub(super) async fn ingest(
    State(services): State<Arc<Services>>,
    Path((database, table)): Path<(String, String)>,
    Query(options): Query<Options>,
    requester: Requester,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, KustoError> {
    let mut body = body.into_data_stream();
    let taken = take(&services, &requester, database, table, options, &headers, &mut body).await;
    if taken.is_err() {
        ingestion::pass_over(&mut body).await;
    }
    let stored = taken?;
    let mut answer = Table::new(&[
        ("ConsumedRecordsCount", Type::Long),
        ("RejectedRecordsCount", Type::Long),
        ("RejectionReason", Type::String),
        ("RepeatedRecordsCount", Type::Long),
    ]);
    let counts = [stored.rows, stored.rejected, stored.repeated].map(|count| count.to_string());
    let [rows, rejected, repeated] = counts;
    answer.push(&[rows, rejected, text(stored.reason), repeated]);
    Ok(response::command(answer))
}

async fn take(
    services: &Services,
    requester: &Requester,
    database: String,
    table: String,
    options: Options,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Stored, KustoError> {
    requester.may(INGEST, &services.directory.workspace(&database).to_string())?;
    let workspaces = &services.workspaces;
    let failed = |error: workspace::Error| KustoError::workspace(&error);
    let columns = workspaces.columns(&database, &table).map_err(failed)?;
    workspaces.check_quota(&database).map_err(failed)?;
    let kind = options.stream_format.unwrap_or_else(|| "csv".to_owned()).to_ascii_lowercase();
    let form = Form::named(&kind)?;
    let mapping = match options.mapping_name.filter(|name| !name.is_empty()) {
        Some(name) => Some(mapping(workspaces, &database, &table, &columns, form, &name).await?),
        None => None,
    };
    let batch_id = options.batch_id.filter(|id| !id.is_empty());
    if batch_id.as_ref().is_some_and(|id| id.len() > BATCH_ID_CHARACTERS_MAX) {
        return Err(KustoError::bad_request(format!("batchId has more than {BATCH_ID_CHARACTERS_MAX} characters")));
    }
    let mut taken = ingestion::take(workspaces, headers, body).await?;
    let bytes = std::mem::take(&mut taken.bytes);
    let parsed = ingestion::on_processor(move || form.parse(&columns, mapping.as_ref(), bytes)).await?;
    let mut stored = Stored { rejected: parsed.rejected, ..Stored::default() };
    let rows = parsed.batch.num_rows();
    if rows > 0 {
        // All rows of a batch go by its name: either none was stored before, or all were.
        let id = batch_id.map(|id| EventId::new(&format!("batch {database}/{table}"), &id));
        let ids = id.map(|id| vec![vec![id; rows]]).unwrap_or_default();
        let tables = vec![(table.clone(), parsed.batch.clone())];
        let appended = taken.store(workspaces, &database, tables, ids).await?;
        (stored.rows, stored.repeated) = (appended.rows, appended.repeated);
    }
    if stored.repeated == 0 {
        stored.reason = ingestion::note_rejects(workspaces, &database, &table, &parsed).await;
    }
    if parsed.rejected > 0 && rows == 0 {
        return Err(KustoError::bad_request(format!("Bad request: {}", stored.reason)));
    }
    Ok(stored)
}

/// The form of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With what stands between fields.
    Separated(u8),
    Json,
    Parquet,
    Avro,
}

impl Form {
    fn named(name: &str) -> Result<Form, KustoError> {
        Ok(match name {
            "csv" => Form::Separated(b','),
            "tsv" => Form::Separated(b'\t'),
            "psv" => Form::Separated(b'|'),
            "json" | "multijson" => Form::Json,
            "parquet" => Form::Parquet,
            "avro" => Form::Avro,
            other => {
                let message = format!(
                    "Not supported: streamFormat={other}; csv, tsv, psv, json, multijson, parquet and avro are"
                );
                return Err(KustoError::bad_request(message));
            }
        })
    }

    /// The kind of the mappings that fit it.
    fn mapping_kind(self) -> &'static str {
        match self {
            Form::Separated(_) => "csv",
            Form::Json => "json",
            Form::Parquet => "parquet",
            Form::Avro => "avro",
        }
    }

    fn parse(self, columns: &[Column], mapping: Option<&Mapping>, bytes: Vec<u8>) -> Result<Parsed, Refused> {
        let unread = |error: workspace::Error| Refused::Body(format!("the body cannot be read: {error}"));
        match (self, mapping) {
            (Form::Separated(separator), None) => Ok(format::parse_csv(columns, &bytes, separator)?),
            (Form::Separated(separator), Some(mapping)) => {
                Ok(format::parse_csv_mapped(columns, mapping, &bytes, separator)?)
            }
            (Form::Json, None) => Ok(format::parse_json(columns, &bytes)?),
            (Form::Json, Some(mapping)) => Ok(format::parse_json_mapped(columns, mapping, &bytes)?),
            (Form::Parquet | Form::Avro, _) if bytes.is_empty() => Ok(format::parse_csv(columns, &bytes, b',')?),
            (Form::Parquet, mapping) => format::parse_parquet(columns, mapping, bytes).map_err(unread),
            (Form::Avro, mapping) => format::parse_avro(columns, mapping, &bytes).map_err(unread),
        }
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
    let kind = form.mapping_kind();
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
