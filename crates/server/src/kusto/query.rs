//! Queries and commands: a body with the database and the text.

use super::error::KustoError;
use super::frames::Frames;
use super::{command, response};
use crate::Services;
use crate::queries::{Properties, TimeScope};
use crate::requester::Requester;
use access::Means;
use access::role::QUERY;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use engine::Caller;
use engine::catalog::Catalog;
use futures::{StreamExt, stream};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    db: Option<String>,
    csl: String,
    #[serde(default)]
    properties: serde_json::Value,
}

fn request(
    services: &Services,
    requester: &Requester,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(String, String, Properties), KustoError> {
    let caller = requester.caller()?;
    let request: Request = serde_json::from_slice(body)
        .map_err(|e| KustoError::bad_request(format!("the body must be JSON with the members 'db' and 'csl': {e}")))?;
    let database = request.db.filter(|d| !d.is_empty()).unwrap_or_else(|| services.default_database.clone());
    let mut properties = Properties::read(&request.properties).map_err(bad_option)?;
    // What a command carries may be rows, which say nothing of options.
    if !is_command(&request.csl) {
        properties.add_statements(&request.csl).map_err(bad_option)?;
    }
    properties.client_request_id = client_request_id(headers);
    properties.caller = Caller { principal: principal(caller), endpoint: host(headers) };
    Ok((database, request.csl, properties))
}

/// Whether a text is a command: its first word, after comments, begins with a dot.
fn is_command(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix("//") {
        rest = comment.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    rest.starts_with('.')
}

/// A caller as queries name it.
pub(crate) fn principal(caller: &access::Caller) -> String {
    match caller.means {
        Means::AdminToken => "turnstone=admin".to_owned(),
        Means::AccessToken => format!("aadapp={};{}", caller.name, caller.principal_id),
        Means::PersonalToken | Means::Session => format!("aaduser={};{}", caller.principal_id, caller.name),
    }
}

fn host(headers: &HeaderMap) -> String {
    headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The catalog for a query in a database.
fn catalog(
    services: &Services,
    requester: &Requester,
    database: &str,
    scope: &TimeScope,
) -> Result<Arc<dyn Catalog>, KustoError> {
    let caller = requester.may(QUERY, &services.directory.workspace(database).to_string())?;
    let catalog = services.catalog_for(caller);
    match catalog.has_database(database) {
        true => Ok(scope.apply(catalog)),
        false => Err(KustoError::bad_request(format!("there is no database named '{database}'"))),
    }
}

/// What the client calls its request.
fn client_request_id(headers: &HeaderMap) -> String {
    /// A longer one is cut.
    const CHARACTERS_MAX: usize = 200;
    let given = headers.get("x-ms-client-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.chars().take(CHARACTERS_MAX).collect()
}

fn bad_option(option: String) -> KustoError {
    KustoError::bad_request(format!("the value of the request option '{option}' cannot be read"))
}

/// `POST /v1/rest/query`. A text that begins with a dot is a command here too: old tools send them so.
pub(super) async fn query(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text, properties) = request(&services, &requester, &headers, &body)?;
    if is_command(&text) {
        return command::run(&services, &requester, &database, &text, &properties).await;
    }
    let catalog = catalog(&services, &requester, &database, &properties.scope)?;
    let answered = services.queries.run(catalog, database, text.clone(), properties, response::QueryResult::read).await;
    answered.map(response::query).map_err(|failed| KustoError::failed(failed, &text))
}

/// Parts of an answer that wait for a slow reader.
const PARTS_MAX: usize = 8;

/// `POST /v2/rest/query`: the answer in frames, which begins before the query ends.
pub(super) async fn query_in_frames(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text, properties) = request(&services, &requester, &headers, &body)?;
    if is_command(&text) {
        return Err(KustoError::bad_request("a command begins with a dot; send commands to /v1/rest/mgmt"));
    }
    let catalog = catalog(&services, &requester, &database, &properties.scope)?;
    let (sink, mut parts) = mpsc::channel(PARTS_MAX);
    let (failing, failed) = oneshot::channel();
    let frames = Frames::new(sink, properties.limits, properties.client_request_id.clone());
    let asked = text.clone();
    // Whatever is still running when nobody reads the answer any more, ends with this.
    let mut running = JoinSet::new();
    running.spawn(async move {
        let frames = Arc::new(Mutex::new(frames));
        let writing = frames.clone();
        let write = |results, _| async move { writing.lock().await.write(results).await };
        match services.queries.run_all(catalog, database, asked.clone(), properties, write).await {
            Ok(()) => frames.lock().await.finish().await,
            Err(failed) => {
                if let Err(failed) = frames.lock().await.fail(failed, &asked).await {
                    let _ = failing.send(failed);
                }
            }
        }
    });
    let Some(first) = parts.recv().await else {
        return Err(match failed.await {
            Ok(failed) => KustoError::failed(failed, &text),
            Err(_) => KustoError::internal("the query broke off by a fault of the server"),
        });
    };
    let rest = stream::unfold((parts, running), |(mut parts, running)| async move {
        let part = parts.recv().await?;
        Some((Ok::<Bytes, Infallible>(part), (parts, running)))
    });
    let body = Body::from_stream(stream::iter([Ok::<Bytes, Infallible>(first)]).chain(rest));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// `POST /v1/rest/mgmt`.
pub(super) async fn manage(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text, properties) = request(&services, &requester, &headers, &body)?;
    command::run(&services, &requester, &database, &text, &properties).await
}
