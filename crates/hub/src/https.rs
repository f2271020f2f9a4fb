//! The front door over HTTPS: `POST /devices/{id}/messages/events` and its form for modules.
//!
//! Errors have the shape that device SDKs know: `{"Message": "ErrorCode:…;…", "ExceptionMessage": "…"}`.

use crate::credentials::{self, Refusal, Sender};
use crate::registry::Hubs;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use messages::intake::{Delivery, Intake, NotKept, Refused};
use messages::{Invalid, MESSAGE_BYTES_MAX, SECURITY_INTERFACE};
use std::sync::Arc;

/// The header that marks a security message.
const INTERFACE_HEADER: &str = "iothub-interface-id";

/// The hub as this door sees it.
pub struct Door {
    pub hubs: Hubs,
    pub intake: Arc<dyn Intake>,
}

/// The routes that devices use.
pub fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/devices/{device}/messages/events", post(from_device))
        .route("/devices/{device}/modules/{module}/messages/events", post(from_module))
        .with_state(door)
}

struct HubError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl HubError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> HubError {
        HubError { status, code, message: message.into() }
    }
}

impl IntoResponse for HubError {
    fn into_response(self) -> Response {
        let tracking = format!("Tracking ID:{}", uuid::Uuid::new_v4());
        let body = serde_json::json!({
            "Message": format!("ErrorCode:{};{}", self.code, self.message),
            "ExceptionMessage": tracking,
        });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("SharedAccessSignature"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

async fn from_device(
    State(door): State<Arc<Door>>,
    Path(device): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HubError> {
    take(&door, &device, None, &headers, body).await
}

async fn from_module(
    State(door): State<Arc<Door>>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HubError> {
    take(&door, &device, Some(&module), &headers, body).await
}

async fn take(
    door: &Door,
    device: &str,
    module: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<StatusCode, HubError> {
    let now = kql::datetime::now();
    let now_unix_seconds = kql::datetime::to_unix_micros(now) / 1_000_000;
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let sender = credentials::check(&door.hubs, token, device, module, now_unix_seconds)
        .await
        .map_err(|refusal| turned_away(device, &refusal))?;
    let bytes = match to_bytes(body, MESSAGE_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) if !error.to_string().contains("length limit") => {
            return Err(HubError::new(StatusCode::BAD_REQUEST, "ArgumentInvalid", "the body broke off"));
        }
        Err(_) => return Err(too_large(door, &sender, now).await),
    };
    if headers.get(INTERFACE_HEADER).and_then(|v| v.to_str().ok()) != Some(SECURITY_INTERFACE) {
        let message = format!(
            "only security messages are taken here; mark them with the header {INTERFACE_HEADER}: {SECURITY_INTERFACE}"
        );
        return Err(HubError::new(StatusCode::BAD_REQUEST, "ArgumentInvalid", message));
    }
    let message = match messages::parse(&bytes) {
        Ok(message) => message,
        Err(reason) => {
            let text = reason.to_string();
            note(door, &sender, reason, bytes.len(), now).await;
            return Err(HubError::new(StatusCode::BAD_REQUEST, "ArgumentInvalid", text));
        }
    };
    let delivery = Delivery {
        hub: sender.hub,
        device_id: sender.device_id,
        module_id: sender.module_id,
        message,
        received_ticks: now,
    };
    // In a task of its own: a sender that hangs up must not keep its message from being judged.
    let intake = door.intake.clone();
    let accepted = tokio::spawn(async move { intake.accept(delivery).await }).await;
    match accepted.unwrap_or_else(|e| Err(NotKept::Failed(e.to_string()))) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error @ NotKept::Busy) => {
            Err(HubError::new(StatusCode::TOO_MANY_REQUESTS, "ThrottlingBacklogTimeout", error.to_string()))
        }
        Err(error) => {
            tracing::error!(device, %error, "a message was not kept");
            Err(HubError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ServerError",
                "the message was not kept; send it again",
            ))
        }
    }
}

async fn too_large(door: &Door, sender: &Sender, received_ticks: i64) -> HubError {
    let problem = format!("is larger than {MESSAGE_BYTES_MAX} bytes");
    let message = format!("the message {problem}");
    note(door, sender, Invalid { field: String::new(), problem }, MESSAGE_BYTES_MAX + 1, received_ticks).await;
    HubError::new(StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge", message)
}

async fn note(door: &Door, sender: &Sender, reason: Invalid, size_bytes: usize, received_ticks: i64) {
    tracing::info!(device = %sender.device_id, %reason, "a message was refused");
    let refused = Refused {
        hub: sender.hub.clone(),
        device_id: sender.device_id.clone(),
        module_id: sender.module_id.clone(),
        reason,
        size_bytes,
        received_ticks,
    };
    door.intake.note_refused(refused).await;
}

fn turned_away(device: &str, refusal: &Refusal) -> HubError {
    // The id is the sender's claim: cut and quoted, so that it cannot write its own log lines.
    let claimed: String = device.chars().take(iothub::ID_LENGTH_MAX).collect();
    tracing::warn!(device = ?claimed, %refusal, "a sender was turned away");
    match refusal {
        Refusal::Disabled => HubError::new(StatusCode::FORBIDDEN, "DeviceDisabled", "the device is disabled"),
        Refusal::Expired => {
            HubError::new(StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess", "the token has expired")
        }
        Refusal::Registry(error) => {
            tracing::error!(%error, "the registry failed");
            HubError::new(StatusCode::INTERNAL_SERVER_ERROR, "ServerError", "the registry failed; try again")
        }
        Refusal::NoToken | Refusal::BadToken(_) => {
            HubError::new(StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess", refusal.to_string())
        }
        // Which of these it was is for the log: a stranger should not learn which devices there are.
        _ => {
            HubError::new(StatusCode::UNAUTHORIZED, "IotHubUnauthorizedAccess", "the token is not good for this device")
        }
    }
}
