//! Turnstone's own interface, `/api/v1`: what no interface of Azure offers to the command line.

use crate::{Services, backup, export};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hub::registry::Error;
use hub::{Device, Registry};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

struct Shared {
    services: Arc<Services>,
    registry: Registry,
}

pub(crate) fn router(services: Arc<Services>, registry: Registry) -> Router {
    let exports =
        Router::new().route("/api/v1/workspaces/{database}/export", post(export::export)).with_state(services.clone());
    let shared =
        backup::Shared { services: services.clone(), registry: registry.clone(), is_running: Mutex::default() };
    let backups = Router::new().route("/api/v1/backups", post(backup::create)).with_state(Arc::new(shared));
    exports.merge(backups).merge(devices(services, registry))
}

fn devices(services: Arc<Services>, registry: Registry) -> Router {
    Router::new()
        .route("/api/v1/devices", get(list))
        .route("/api/v1/devices/{id}", get(show).put(create).delete(delete).patch(change))
        .route("/api/v1/devices/{id}/modules/{module}", axum::routing::put(create_module))
        .route(
            "/api/v1/{*rest}",
            axum::routing::any(|| async { failed(StatusCode::NOT_FOUND, "there is nothing at this address") }),
        )
        .with_state(Arc::new(Shared { services, registry }))
}

fn failed(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "code": status.as_u16().to_string(), "message": message } }))).into_response()
}

fn refused(error: &Error) -> Response {
    let status = match error {
        Error::BadId(_) => StatusCode::BAD_REQUEST,
        Error::Exists(_) => StatusCode::CONFLICT,
        Error::NoDevice(_) => StatusCode::NOT_FOUND,
        other => {
            tracing::error!(error = %other, "the registry failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    failed(status, &error.to_string())
}

fn check(shared: &Shared, headers: &HeaderMap) -> Result<(), Box<Response>> {
    if shared.services.admin_token.admits(headers) {
        return Ok(());
    }
    Err(Box::new(failed(StatusCode::UNAUTHORIZED, "the request carries no valid token")))
}

/// A device without its keys, or with them for the one call that asks for one device.
fn describe(device: &Device, with_keys: bool) -> Value {
    let mut value = json!({
        "deviceId": device.id,
        "isEnabled": device.is_enabled,
        "createdTime": kql::datetime::format_short(device.created_ticks),
    });
    if with_keys {
        value["primaryKey"] = json!(device.primary_key.to_base64());
        value["secondaryKey"] = json!(device.secondary_key.to_base64());
    }
    value
}

type Answer = Result<Response, Response>;

async fn list(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    let devices = shared.registry.devices().await.map_err(|e| refused(&e))?;
    let devices: Vec<Value> = devices.iter().map(|d| describe(d, false)).collect();
    Ok(Json(json!({ "value": devices })).into_response())
}

async fn show(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    match shared.registry.device(&id).await.map_err(|e| refused(&e))? {
        Some(device) => Ok(Json(describe(&device, true)).into_response()),
        None => Err(refused(&Error::NoDevice(id))),
    }
}

async fn create(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    let device = shared.registry.create_device(&id).await.map_err(|e| refused(&e))?;
    Ok((StatusCode::CREATED, Json(describe(&device, true))).into_response())
}

async fn create_module(
    State(shared): State<Arc<Shared>>,
    Path((id, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    let [primary, secondary] = shared.registry.create_module(&id, &module).await.map_err(|e| refused(&e))?;
    let answer = json!({
        "deviceId": id,
        "moduleId": module,
        "primaryKey": primary.to_base64(),
        "secondaryKey": secondary.to_base64(),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn delete(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    shared.registry.delete_device(&id).await.map_err(|e| refused(&e))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    is_enabled: bool,
}

async fn change(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Answer {
    check(&shared, &headers).map_err(|r| *r)?;
    shared.registry.set_enabled(&id, change.is_enabled).await.map_err(|e| refused(&e))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
