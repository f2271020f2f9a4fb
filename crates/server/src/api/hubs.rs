//! Hubs, and how many devices each has.

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::READ_DEVICES;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// The hubs whose devices the caller may see.
pub(super) async fn list(State(services): State<Arc<Services>>, requester: Requester) -> Result<Response, AzureError> {
    let caller = requester.may_below(READ_DEVICES, &services.directory.subscription_id())?;
    let mut value = Vec::new();
    for name in services.hubs.names() {
        let id = services.directory.hub_id(&name);
        let Some(registry) = services.hubs.hub(&name).filter(|_| caller.may(READ_DEVICES, &id)) else { continue };
        let count = registry.device_count().await.map_err(|error| AzureError::internal(&error))?;
        value.push(json!({ "id": id, "name": name, "deviceCount": count }));
    }
    Ok(Json(json!({ "value": value })).into_response())
}
