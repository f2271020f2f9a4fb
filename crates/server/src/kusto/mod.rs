//! Kusto's REST interface: `/v1/rest/query`, `/v2/rest/query`, `/v1/rest/mgmt`, `/v1/rest/ingest`.

mod command;
pub mod error;
mod frames;
mod ingest;
pub(crate) mod query;
pub(crate) mod response;

use crate::Services;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;

/// Longer request texts are refused; the language itself refuses queries over 4 MiB.
const QUERY_BODY_BYTES_MAX: usize = 8 << 20;

pub(crate) fn router(services: Arc<Services>) -> Router {
    let queries = Router::new()
        .route("/v1/rest/query", post(query::query))
        .route("/v2/rest/query", post(query::query_in_frames))
        .route("/v1/rest/mgmt", post(query::manage))
        .layer(DefaultBodyLimit::max(QUERY_BODY_BYTES_MAX));
    let ingestion = Router::new().route("/v1/rest/ingest/{database}/{table}", post(ingest::ingest));
    let unknown = Router::new()
        .route("/v1/rest/{*rest}", axum::routing::any(error::no_such_path))
        .route("/v2/rest/{*rest}", axum::routing::any(error::no_such_path));
    let metadata = Router::new().route("/v1/rest/auth/metadata", get(auth_metadata));
    queries.merge(metadata).merge(ingestion).merge(unknown).with_state(services)
}

/// `GET /v1/rest/auth/metadata`: where a client signs in, for anybody. All members are needed; the host is the one that
/// the client knows.
async fn auth_metadata(State(services): State<Arc<Services>>, headers: HeaderMap) -> Json<Value> {
    let base = services.https_address(&headers);
    Json(json!({ "AzureAD": {
        "LoginEndpoint": base,
        "LoginMfaRequired": false,
        "KustoClientAppId": "db662dc1-0cfe-4e1c-a843-19a68e65be58",
        "KustoClientRedirectUri": "http://localhost",
        "KustoServiceResourceId": "https://kusto.kusto.windows.net",
        "FirstPartyAuthorityUrl": format!("{base}/adfs"),
    }}))
}
