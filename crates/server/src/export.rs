//! `POST /api/v1/workspaces/{database}/export`: the rows of a query as a Parquet file, sent while they are computed.

use crate::Services;
use crate::api::{Body, Path};
use crate::azure_error::AzureError;
use crate::kusto::query::principal;
use crate::queries::{Failed, Limits, Properties};
use crate::requester::Requester;
use access::role::QUERY;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Caller;
use futures::StreamExt;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use workspace::format::ParquetWriter;

/// Parts of a file that wait for a slow reader.
const PARTS_MAX: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    csl: String,
    /// As of Kusto's queries; a span of time is taken from it.
    #[serde(default)]
    properties: serde_json::Value,
}

type Part = Result<Bytes, Failed>;

pub(crate) async fn export(
    State(services): State<Arc<Services>>,
    Path(database): Path<String>,
    requester: Requester,
    body: Body,
) -> Result<Response, AzureError> {
    let caller = requester.may(QUERY, &services.directory.workspace(&database).to_string())?;
    let request: Request = body.read()?;
    let given = Properties::read(&request.properties).map_err(|option| {
        let message = format!("the value of the request option '{option}' cannot be read");
        AzureError::bad_request("InvalidParameter", message)
    })?;
    let catalog = given.scope.apply(services.catalog_for(caller));
    if !catalog.has_database(&database) {
        return Err(workspace::Error::NoDatabase(database).into());
    }
    let (parts, mut received) = mpsc::channel::<Part>(PARTS_MAX);
    let text = request.csl.clone();
    let limits = Limits { timeout: TIMEOUT, rows_max: usize::MAX, bytes_max: usize::MAX, ..Limits::default() };
    let named = Caller { principal: principal(caller), endpoint: String::new() };
    let properties = Properties { limits, caller: named, ..Properties::default() };
    let Ok(turn) = services.bounds.exports.clone().try_acquire_owned() else {
        return Err(AzureError::busy("too many exports run at this moment; try again"));
    };
    // What is still running when nobody reads the body any more, ends with this.
    let mut running = JoinSet::new();
    running.spawn(async move {
        let _turn = turn;
        let sink = parts.clone();
        let has_begun = Arc::new(AtomicBool::new(false));
        let write = move |mut rows: engine::Rows, _| {
            let (sink, has_begun) = (sink.clone(), has_begun.clone());
            async move {
                // A file holds one table.
                if has_begun.swap(true, Ordering::Relaxed) {
                    return Err(engine::Error::Run(
                        "the query has more than one result; export one of them".to_owned(),
                    ));
                }
                let failed = |error: workspace::Error| engine::Error::Run(error.to_string());
                let mut writer = ParquetWriter::new(rows.columns.clone()).map_err(failed)?;
                while let Some(batch) = rows.next().await? {
                    let part = writer.write(&batch).map_err(failed)?;
                    send(&sink, part).await?;
                }
                send(&sink, writer.finish().map_err(failed)?).await
            }
        };
        if let Err(failed) = services.queries.run(catalog, database, text, properties, write).await {
            let _ = parts.send(Err(failed)).await;
        }
    });
    // A query that is wrong, or fails before it has rows, is answered as such; later the body breaks off.
    let first = match received.recv().await {
        Some(Ok(first)) => first,
        Some(Err(failed)) => return Err(refused(failed, &request.csl)),
        None => return Err(AzureError::internal(&"the query ended without a result")),
    };
    let rest = futures::stream::unfold((received, running), |(mut received, running)| async move {
        let part = received.recv().await?;
        Some((part.map_err(|failed| std::io::Error::other(format!("{failed:?}"))), (received, running)))
    });
    let body = futures::stream::iter([Ok::<Bytes, std::io::Error>(first)]).chain(rest);
    Ok(([(header::CONTENT_TYPE, "application/vnd.apache.parquet")], axum::body::Body::from_stream(body))
        .into_response())
}

async fn send(sink: &mpsc::Sender<Part>, part: Vec<u8>) -> Result<(), engine::Error> {
    if part.is_empty() {
        return Ok(());
    }
    sink.send(Ok(Bytes::from(part))).await.map_err(|_| engine::Error::Run("nobody reads the rows any more".to_owned()))
}

fn refused(failed: Failed, text: &str) -> AzureError {
    match failed {
        Failed::Engine(engine::Error::Query(problems)) => {
            let lines: Vec<String> = problems.iter().map(|problem| problem.one_line(text)).collect();
            AzureError::bad_request("BadQuery", lines.join("\n"))
        }
        Failed::Engine(error) => AzureError::bad_request("QueryFailed", error.to_string()),
        Failed::TimedOut(limit) => {
            let message = format!("the query took longer than {} seconds", limit.as_secs());
            AzureError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
        }
        Failed::Cancelled => AzureError::bad_request("Cancelled", "the query was cancelled"),
        Failed::Stopped(problem) => AzureError::internal(&problem),
    }
}
