//! The HTTP interfaces of Turnstone: Kusto's query, management and streaming-ingestion forms, our own `/api/v1`, and
//! health.
//!
//! Each family of paths answers errors in its own shape ([`kusto::error`]). Nothing here knows what the data
//! means; requests become calls of the engine and the workspace.

mod api;
pub mod auth;
mod azure_error;
mod backup;
mod collection;
mod export;
pub mod external;
mod ingestion;
pub mod kusto;
pub mod listen;
mod log_analytics;
mod one_table;
pub mod queries;
pub mod query_log;
pub mod tls;

pub use collection::CollectionRules;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hub::Registry;
use std::sync::Arc;
use workspace::Workspaces;

/// What the handlers share.
pub struct Services {
    pub workspaces: Workspaces,
    pub queries: queries::Queries,
    pub admin_token: auth::AdminToken,
    pub collection_rules: CollectionRules,
    /// Everything that is kept is below it.
    pub data_folder: std::path::PathBuf,
    /// The GUID of the first workspace.
    pub workspace_id: String,
    /// The database that a request without one means.
    pub default_database: String,
}

/// All routes of this crate.
pub fn router(services: Arc<Services>, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(|| async { (StatusCode::OK, "ok\n") }))
        .merge(kusto::router(services.clone()))
        .merge(collection::router(services.clone()))
        .merge(log_analytics::router(services.clone()))
        .merge(api::router(services, registry))
}
