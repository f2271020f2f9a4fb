//! The query interface of Log Analytics: `/v1/workspaces/{id}/query` and its kin.
//!
//! A workspace is a database; it is named by its GUID or its own name, or by a resource id.

mod error;
mod query;
mod response;
mod timespan;

use crate::Services;
use crate::requester::Denied;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

const BODY_BYTES_MAX: usize = 8 << 20;

pub(crate) fn router(services: Arc<Services>) -> Router {
    // Clients differ in who adds the version.
    let family = |version: &str| {
        Router::new()
            .route(&format!("{version}/workspaces/{{workspace}}/query"), post(query::post).get(query::get))
            .route(&format!("{version}/workspaces/{{workspace}}/metadata"), get(query::metadata).post(query::metadata))
            .route(&format!("{version}/$batch"), post(query::batch))
    };
    let of_version = family("/v1")
        .route("/v1/subscriptions/{*resource}", post(query::post_by_resource).get(query::get_by_resource))
        // Some clients put two slashes there.
        .route("/v1//subscriptions/{*resource}", post(query::post_by_resource).get(query::get_by_resource));
    of_version.merge(family("")).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(services)
}

/// A refusal in the shape of this interface.
pub(crate) fn refusal(denied: Denied) -> Response {
    error::LogsError::from(denied).into_response()
}

/// The database that a client means by a GUID or a name.
pub(crate) fn database_of(services: &Services, asked: &str) -> Option<String> {
    let databases = services.databases();
    let is_it =
        |name: &&String| name.as_str() == asked || services.directory.workspace_guid(name).eq_ignore_ascii_case(asked);
    databases.iter().find(is_it).cloned()
}
