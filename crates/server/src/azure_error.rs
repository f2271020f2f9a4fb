//! Errors in the shape of Azure's management and monitoring interfaces: `{"error": {"code", "message"}}`.

use crate::ingestion::Refused;
use crate::requester::{Denied, retry_seconds};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

const RETRY_AFTER_SECONDS: u32 = 1;
const QUOTA_RETRY_AFTER_SECONDS: u32 = 600;

/// An error that Azure's clients understand.
#[derive(Debug)]
pub(crate) struct AzureError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_seconds: Option<u32>,
}

impl AzureError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> AzureError {
        AzureError { status, code, message: message.into(), retry_after_seconds: None }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> AzureError {
        AzureError::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> AzureError {
        AzureError::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn internal(problem: &dyn std::fmt::Display) -> AzureError {
        tracing::error!(%problem, "a request failed");
        AzureError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", problem.to_string())
    }

    /// What will be well again by itself.
    pub fn busy(message: impl Into<String>) -> AzureError {
        AzureError::retry(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message.into(), RETRY_AFTER_SECONDS)
    }

    fn retry(status: StatusCode, code: &'static str, message: String, retry_after_seconds: u32) -> AzureError {
        AzureError { retry_after_seconds: Some(retry_after_seconds), ..AzureError::new(status, code, message) }
    }
}

impl From<workspace::Error> for AzureError {
    fn from(error: workspace::Error) -> AzureError {
        use workspace::Error::{
            AppendOnly, BadColumn, BadFunction, BadName, ColumnType, DiskFull, NoDatabase, NoTable, Overloaded,
            QuotaReached, TakenName, TooLarge,
        };
        let message = error.to_string();
        match error {
            NoDatabase(_) | NoTable(_) => AzureError::not_found("ResourceNotFound", message),
            AppendOnly(_) => AzureError::new(StatusCode::CONFLICT, "AppendOnly", message),
            TakenName { .. } => AzureError::new(StatusCode::CONFLICT, "NameNotAvailable", message),
            BadName(_) | BadColumn(_) | BadFunction(_) | ColumnType { .. } => {
                AzureError::bad_request("InvalidParameter", message)
            }
            TooLarge { .. } => AzureError::new(StatusCode::PAYLOAD_TOO_LARGE, "ContentLengthLimitExceeded", message),
            Overloaded => {
                AzureError::retry(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message, RETRY_AFTER_SECONDS)
            }
            QuotaReached { .. } => AzureError::retry(
                StatusCode::TOO_MANY_REQUESTS,
                "DailyQuotaReached",
                message,
                QUOTA_RETRY_AFTER_SECONDS,
            ),
            DiskFull(_) => {
                AzureError::retry(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message, RETRY_AFTER_SECONDS)
            }
            other => AzureError::internal(&other),
        }
    }
}

impl From<Refused> for AzureError {
    fn from(refused: Refused) -> AzureError {
        match refused {
            Refused::TooLarge(message) => {
                AzureError::new(StatusCode::PAYLOAD_TOO_LARGE, "ContentLengthLimitExceeded", message)
            }
            Refused::Body(message) => AzureError::bad_request("InvalidRequestBody", message),
            Refused::Workspace(error) => error.into(),
            Refused::Stopped(problem) => AzureError::internal(&problem),
        }
    }
}

impl From<Denied> for AzureError {
    fn from(denied: Denied) -> AzureError {
        let (status, message) = (denied.status(), denied.message());
        match denied {
            Denied::Unknown => AzureError::new(status, "InvalidAuthenticationToken", message),
            Denied::Forbidden { .. } => AzureError::new(status, "AuthorizationFailed", message),
            Denied::TooMany(wait) => {
                let seconds = u32::try_from(retry_seconds(wait)).unwrap_or(u32::MAX);
                AzureError::retry(status, "TooManyRequests", message, seconds)
            }
        }
    }
}

impl From<access::Error> for AzureError {
    fn from(error: access::Error) -> AzureError {
        use access::Error::{Bad, Exists, NotFound};
        let message = error.to_string();
        match error {
            NotFound(_) => AzureError::not_found("NotFound", message),
            Exists(_) => AzureError::new(StatusCode::CONFLICT, "Conflict", message),
            Bad(_) => AzureError::bad_request("InvalidParameter", message),
            other => AzureError::internal(&other),
        }
    }
}

impl From<resources::Error> for AzureError {
    fn from(error: resources::Error) -> AzureError {
        match &error {
            resources::Error::BadId(_) | resources::Error::TooMany(_) => {
                AzureError::bad_request("InvalidParameter", error.to_string())
            }
            _ => AzureError::internal(&error),
        }
    }
}

impl IntoResponse for AzureError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
