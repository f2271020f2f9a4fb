//! Streaming ingestion: `POST /v1/rest/ingest/{database}/{table}?streamFormat=csv|json`.

use super::error::KustoError;
use super::response::{self, Table};
use crate::Services;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use kql::Type;
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;
use workspace::{Append, format};

/// A request may unpack to this much.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;

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
    body: Bytes,
) -> Result<Response, KustoError> {
    if !services.admin_token.admits(&headers) {
        return Err(KustoError::unauthorized());
    }
    if let Some(mapping) = options.mapping_name.filter(|m| !m.is_empty()) {
        let message = format!("Not supported: the ingestion mapping '{mapping}'; columns are matched by name");
        return Err(KustoError::bad_request(message));
    }
    let failed = |error: workspace::Error| KustoError::workspace(&error);
    let columns = services.workspaces.columns(&database, &table).map_err(failed)?;
    let kind = options.stream_format.unwrap_or_else(|| "csv".to_owned()).to_ascii_lowercase();
    let is_packed = headers.get(header::CONTENT_ENCODING).is_some_and(|v| v.as_bytes() == b"gzip");
    // Reading rows is work for a processor, not for the threads that answer requests.
    let parsed = tokio::task::spawn_blocking(move || {
        let bytes = if is_packed { unpack(&body)? } else { body.to_vec() };
        match kind.as_str() {
            "csv" => format::parse_csv(&columns, &bytes, b','),
            "tsv" => format::parse_csv(&columns, &bytes, b'\t'),
            "psv" => format::parse_csv(&columns, &bytes, b'|'),
            "json" | "multijson" => format::parse_json(&columns, &bytes),
            other => {
                let message = format!("Not supported: streamFormat={other}; csv, tsv, psv, json and multijson are");
                return Err(KustoError::bad_request(message));
            }
        }
        .map_err(|error| KustoError::workspace(&error))
    })
    .await
    .map_err(|error| KustoError::internal(error.to_string()))??;
    if let Some(first) = parsed.rejects.first() {
        // Clients of this interface know only whole requests: nothing is stored when a record is bad.
        let message = format!(
            "Bad request: {} records cannot be read; the first is record {}: {}",
            parsed.rejected, first.record, first.reason
        );
        return Err(KustoError::bad_request(message));
    }
    let rows = parsed.batch.num_rows();
    if rows > 0 {
        let append = Append { database, tables: vec![(table, parsed.batch)], ids: Vec::new() };
        services.workspaces.append(append).await.map_err(failed)?;
    }
    let mut answer = Table::new(&[("ConsumedRecordsCount", Type::Long)]);
    answer.push(&[rows.to_string()]);
    Ok(response::command(answer))
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
