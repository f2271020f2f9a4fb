//! Data collection: rules that say what streams of records look like and where they go ([`rules`]), and the Logs
//! Ingestion interface that takes such records ([`ingest`]); and the older interface for records without rules
//! ([`collector`]). Rules are made through the management interface.

mod collector;
mod ingest;
mod rules;
mod transform;

pub use rules::CollectionRules;

use crate::Services;
use axum::Router;
use axum::routing::post;
use std::sync::Arc;

pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/dataCollectionRules/{rule}/streams/{stream}", post(ingest::ingest))
        .route("/api/logs", post(collector::collect))
        .with_state(services)
}
