//! The Logs Ingestion interface: `POST /dataCollectionRules/{immutable id}/streams/{stream}?api-version=...` with a JSON
//! array. The answer is 204 and empty: the records are on disk and every later query sees them.

use super::rules::stream_columns;
use super::transform::{self, Transformed};
use crate::Services;
use crate::azure_error::AzureError;
use crate::ingestion::{self, Refused};
use crate::requester::Requester;
use access::role::SEND_TELEMETRY;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use kql::datetime;
use std::collections::BTreeMap;
use std::sync::Arc;
use workspace::{Append, format};

pub(super) async fn ingest(
    State(services): State<Arc<Services>>,
    Path((rule, stream)): Path<(String, String)>,
    requester: Requester,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, AzureError> {
    let mut body = body.into_data_stream();
    let taken = take(&services, &requester, &rule, &stream, &headers, &mut body).await;
    if taken.is_err() {
        ingestion::pass_over(&mut body).await;
    }
    taken.map(|()| StatusCode::NO_CONTENT)
}

async fn take(
    services: &Services,
    requester: &Requester,
    rule: &str,
    stream: &str,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<(), AzureError> {
    requester.may_below(SEND_TELEMETRY, &services.directory.subscription_id())?;
    let missing = || {
        AzureError::not_found("NotFound", format!("there is no data collection rule with the immutable id '{rule}'"))
    };
    let rule = services.collection_rules.get(rule).ok_or_else(missing)?;
    requester.may(SEND_TELEMETRY, &rule.id.to_string())?;
    let flows: Vec<_> = rule.flows_of(stream).collect();
    if flows.is_empty() {
        let message = format!("the stream '{stream}' is in no data flow of the rule '{}'", rule.immutable_id);
        return Err(AzureError::bad_request("InvalidStream", message));
    }
    let workspaces = &services.workspaces;
    let wrong = |problem: String| AzureError::bad_request("InvalidTransformation", problem);
    for flow in &flows {
        for workspace in &flow.workspaces {
            let database = services.database_of_workspace(workspace).map_err(wrong)?;
            workspaces.check_quota(&database)?;
            workspaces.check_changeable(&database, &flow.table)?;
        }
    }
    let mut taken = ingestion::take(workspaces, headers, body).await?;
    let bytes = Arc::new(std::mem::take(&mut taken.bytes));
    let mut rows: BTreeMap<String, BTreeMap<String, Vec<RecordBatch>>> = BTreeMap::new();
    for flow in flows {
        for workspace in &flow.workspaces {
            let database = &services.database_of_workspace(workspace).map_err(wrong)?;
            let columns = stream_columns(services, &rule, database, stream).map_err(wrong)?;
            let (for_parsing, bytes) = (columns.clone(), bytes.clone());
            let parsed = ingestion::on_processor(move || {
                if !bytes.trim_ascii_start().starts_with(b"[") {
                    return Err(Refused::Body("the body must be a JSON array of records".to_owned()));
                }
                Ok(format::parse_json(&for_parsing, &bytes)?)
            })
            .await?;
            if parsed.rejected > 0 && parsed.batch.num_rows() == 0 {
                let reason = parsed.rejects.first().map(|reject| reject.reason.clone()).unwrap_or_default();
                return Err(AzureError::bad_request("InvalidRequestBody", format!("no record can be read: {reason}")));
            }
            ingestion::note_rejects(workspaces, database, &flow.table, &parsed).await;
            let made = match &flow.transform {
                Some(text) => transform::run(&services.queries, text, &columns, parsed.batch).await.map_err(wrong)?,
                None => Transformed { columns, batch: parsed.batch },
            };
            let table = workspaces.columns(database, &flow.table)?;
            // The table may have changed since the rule was made.
            if let Some(problem) = made.misfit(&table) {
                return Err(wrong(format!("the records do not fit the table '{}': {problem}", flow.table)));
            }
            let batch = made.rows(&table, datetime::now()).map_err(|error| AzureError::internal(&error))?;
            rows.entry(database.clone()).or_default().entry(flow.table.clone()).or_default().push(batch);
        }
    }
    let mut taken = Some(taken);
    for (database, tables) in rows {
        let merge = |(table, parts): (String, Vec<RecordBatch>)| -> Result<_, AzureError> {
            let batch = concat_batches(&parts[0].schema(), &parts).map_err(|error| AzureError::internal(&error))?;
            Ok((table, batch))
        };
        let tables = tables.into_iter().map(merge).collect::<Result<Vec<_>, _>>()?;
        match taken.take() {
            Some(taken) => drop(taken.store(workspaces, &database, tables, Vec::new()).await?),
            None => drop(workspaces.append(Append { database, tables, ids: Vec::new() }).await?),
        }
    }
    Ok(())
}
