//! Kusto's REST interface: `/v1/rest/query`, `/v1/rest/mgmt`, `/v1/rest/ingest`.

mod command;
pub mod error;
mod ingest;
mod query;
mod response;

use crate::Services;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use std::sync::Arc;

/// Longer request texts are refused; the language itself refuses queries over 4 MiB.
const QUERY_BODY_BYTES_MAX: usize = 8 << 20;

pub(crate) fn router(services: Arc<Services>) -> Router {
    let queries = Router::new()
        .route("/v1/rest/query", post(query::query))
        .route("/v1/rest/mgmt", post(query::manage))
        .layer(DefaultBodyLimit::max(QUERY_BODY_BYTES_MAX));
    let ingestion = Router::new().route("/v1/rest/ingest/{database}/{table}", post(ingest::ingest));
    let unknown = axum::Router::new().route("/v1/rest/{*rest}", axum::routing::any(error::no_such_path));
    queries.merge(ingestion).merge(unknown).with_state(services)
}
