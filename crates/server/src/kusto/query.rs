//! Queries and commands: a body with the database and the text.

use super::error::KustoError;
use super::{command, response};
use crate::Services;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    db: Option<String>,
    csl: String,
}

fn request(services: &Services, headers: &HeaderMap, body: &[u8]) -> Result<(String, String), KustoError> {
    if !services.admin_token.admits(headers) {
        return Err(KustoError::unauthorized());
    }
    let request: Request = serde_json::from_slice(body)
        .map_err(|e| KustoError::bad_request(format!("the body must be JSON with the members 'db' and 'csl': {e}")))?;
    let database = request.db.filter(|d| !d.is_empty()).unwrap_or_else(|| services.default_database.clone());
    Ok((database, request.csl))
}

/// `POST /v1/rest/query`. A text that begins with a dot is a command here too: old tools send them so.
pub(super) async fn query(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text) = request(&services, &headers, &body)?;
    if text.trim_start().starts_with('.') {
        return command::run(&services, &database, &text).await;
    }
    let catalog = services.workspaces.catalog();
    if !catalog.has_database(&database) {
        return Err(KustoError::bad_request(format!("there is no database named '{database}'")));
    }
    let failed = |error: engine::Error| KustoError::engine(&error, &text);
    let results = services.session.query(catalog.as_ref(), &database, &text).await.map_err(failed)?;
    let mut answers = Vec::with_capacity(results.len());
    for rows in results {
        answers.push(rows.collect().await.map_err(failed)?);
    }
    Ok(response::query(&answers))
}

/// `POST /v1/rest/mgmt`.
pub(super) async fn manage(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, KustoError> {
    let (database, text) = request(&services, &headers, &body)?;
    command::run(&services, &database, &text).await
}
