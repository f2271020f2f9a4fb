//! Turnstone's own interface, `/api/v1`: what the portal, the command line and scripts need and no interface of Azure
//! offers.

mod devices;
mod live;
pub(crate) mod principals;
mod saved;

use crate::azure_error::AzureError;
use crate::requester::Requester;
use crate::{Services, backup, export, openapi};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use std::sync::Arc;

const BODY_BYTES_MAX: usize = 1 << 20;

pub(crate) fn router(services: Arc<Services>) -> Router {
    let backups = Router::new()
        .route("/api/v1/backups", post(backup::create))
        .with_state(Arc::new(backup::Shared { services: services.clone(), is_running: tokio::sync::Mutex::default() }));
    Router::new()
        .route("/api/v1/openapi.json", get(|| async { Json(openapi::description()) }))
        .route("/api/v1/devices", get(devices::list))
        .route(
            "/api/v1/devices/{id}",
            get(devices::show).put(devices::create).delete(devices::delete).patch(devices::change),
        )
        .route("/api/v1/devices/{id}/timeline", get(devices::timeline))
        .route("/api/v1/devices/{id}/modules/{module}", put(devices::create_module))
        .route("/api/v1/alerts/live", get(live::alerts))
        .route("/api/v1/roles", get(principals::roles))
        .route("/api/v1/roleAssignments", get(principals::assignments).post(principals::assign))
        .route("/api/v1/roleAssignments/{id}", delete(principals::delete_assignment))
        .route("/api/v1/servicePrincipals", get(principals::programs).post(principals::create_program))
        .route("/api/v1/servicePrincipals/{id}", get(principals::program).delete(principals::delete_program))
        .route("/api/v1/servicePrincipals/{id}/secrets", post(principals::create_secret))
        .route("/api/v1/servicePrincipals/{id}/secrets/{secret}", delete(principals::delete_secret))
        .route("/api/v1/users", get(principals::users).post(principals::create_user))
        .route(
            "/api/v1/users/{name}",
            get(principals::user).patch(principals::change_user).delete(principals::delete_user),
        )
        .route("/api/v1/users/{name}/totp", post(principals::new_totp).delete(principals::remove_totp))
        .route("/api/v1/users/{name}/totp/confirm", post(principals::confirm_totp))
        .route("/api/v1/tokens", get(principals::tokens).post(principals::create_token))
        .route("/api/v1/tokens/{id}", delete(principals::delete_token))
        .route("/api/v1/savedQueries", get(saved::list).post(saved::create))
        .route("/api/v1/savedQueries/{id}", get(saved::show).put(saved::change).delete(saved::delete))
        .route("/api/v1/workspaces/{database}/export", post(export::export))
        .route("/api/v1/{*rest}", any(nothing))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(services)
        .merge(backups)
}

async fn nothing(requester: Requester) -> Result<(), AzureError> {
    requester.is_somebody("Turnstone/nothing/read")?;
    Err(AzureError::not_found("NotFound", "there is nothing at this address"))
}

/// An error in the shape of this interface, which is that of Azure's.
pub(crate) fn failed(status: StatusCode, code: &'static str, message: &str) -> Response {
    AzureError::new(status, code, message).into_response()
}

/// What stands behind the question mark; what cannot be read is refused in the shape of this interface.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = AzureError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Params<T>, AzureError> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(read)| Params(read)).map_err(|e| AzureError::bad_request("InvalidParameter", e.body_text()))
    }
}

/// A JSON body, read once it is known that the caller may do what it asks for.
pub(crate) struct Body(Bytes);

impl Body {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, AzureError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            AzureError::bad_request("InvalidRequestContent", format!("the body cannot be read: {error}"))
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = AzureError;

    async fn from_request(request: Request, state: &S) -> Result<Body, AzureError> {
        let bytes = Bytes::from_request(request, state).await;
        bytes
            .map(Body)
            .map_err(|rejection| AzureError::new(rejection.status(), "InvalidRequestContent", rejection.body_text()))
    }
}
