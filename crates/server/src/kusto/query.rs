//! Queries and commands: a body with the database and the text.

use super::error::KustoError;
use super::{command, response};
use crate::Services;
use crate::queries::Properties;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use engine::Caller;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    db: Option<String>,
    csl: String,
    #[serde(default)]
    properties: serde_json::Value,
}

fn request(services: &Services, headers: &HeaderMap, body: &[u8]) -> Result<(String, String, Properties), KustoError> {
    if !services.admin_token.admits(headers) {
        return Err(KustoError::unauthorized());
    }
    let request: Request = serde_json::from_slice(body)
        .map_err(|e| KustoError::bad_request(format!("the body must be JSON with the members 'db' and 'csl': {e}")))?;
    let database = request.db.filter(|d| !d.is_empty()).unwrap_or_else(|| services.default_database.clone());
    let mut properties = Properties::read(&request.properties).map_err(bad_option)?;
    // What a command carries may be rows, which say nothing of options.
    if !is_command(&request.csl) {
        properties.add_statements(&request.csl).map_err(bad_option)?;
    }
    properties.client_request_id = client_request_id(headers);
    properties.caller = caller(headers);
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

/// Who asks: whoever has the administrator's token, which is all that admits so far.
fn caller(headers: &HeaderMap) -> Caller {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Caller { principal: "turnstone=admin".to_owned(), endpoint: host.to_owned() }
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
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text, properties) = request(&services, &headers, &body)?;
    if is_command(&text) {
        return command::run(&services, &database, &text, &properties).await;
    }
    let catalog = services.workspaces.catalog();
    if !catalog.has_database(&database) {
        return Err(KustoError::bad_request(format!("there is no database named '{database}'")));
    }
    let answered = services.queries.run(catalog, database, text.clone(), properties, response::QueryResult::read).await;
    answered.map(response::query).map_err(|failed| KustoError::failed(failed, &text))
}

/// `POST /v1/rest/mgmt`.
pub(super) async fn manage(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text, properties) = request(&services, &headers, &body)?;
    command::run(&services, &database, &text, &properties).await
}
