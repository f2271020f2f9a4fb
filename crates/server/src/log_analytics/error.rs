//! Errors in the shape of Log Analytics. Clients report the innermost message.

use crate::queries::Failed;
use crate::requester::Denied;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kql::Severity;
use serde_json::{Value, json};

/// An error that a client of Log Analytics understands.
#[derive(Debug)]
pub(super) struct LogsError {
    pub status: StatusCode,
    code: &'static str,
    message: String,
    inner: Option<Value>,
}

impl LogsError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> LogsError {
        LogsError { status, code, message: message.into(), inner: None }
    }

    pub fn bad_argument(message: impl Into<String>) -> LogsError {
        LogsError::new(StatusCode::BAD_REQUEST, "BadArgumentError", message)
    }

    pub fn no_workspace(asked: &str) -> LogsError {
        LogsError::new(StatusCode::NOT_FOUND, "PathNotFoundError", format!("there is no workspace '{asked}'"))
    }

    pub fn no_path() -> LogsError {
        LogsError::new(StatusCode::NOT_FOUND, "PathNotFoundError", "The requested path does not exist")
    }

    /// Why a query whose text is `text` gave no answer.
    pub fn failed(failed: Failed, text: &str) -> LogsError {
        match failed {
            Failed::Engine(engine::Error::Query(problems)) => LogsError::of_query(&problems, text),
            Failed::Engine(error) => LogsError {
                inner: Some(json!({ "code": "EngineError", "message": error.to_string() })),
                ..LogsError::bad_argument("The query could not be run")
            },
            Failed::TimedOut(limit) => {
                let message = format!(
                    "the query took longer than {} seconds; ask for less, or send Prefer: wait=600",
                    limit.as_secs()
                );
                LogsError::new(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", message)
            }
            Failed::Cancelled => LogsError::bad_argument("the query was cancelled"),
            Failed::Stopped(problem) => {
                tracing::error!(%problem, "a query broke off");
                LogsError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError",
                    "the query broke off by a fault of the server",
                )
            }
        }
    }

    fn of_query(problems: &[kql::Diagnostic], text: &str) -> LogsError {
        let lines: Vec<String> = problems.iter().map(|problem| problem.one_line(text)).collect();
        let all = lines.join("\n");
        let inner = match problems.first().map(|problem| (problem.severity, problem)) {
            Some((Severity::Semantic, _)) => json!({
                "code": "SemanticError",
                "message": "A semantic error occurred.",
                "innererror": { "code": "SEM0100", "message": all },
            }),
            Some((Severity::Unsupported, _)) => json!({ "code": "NotSupported", "message": all }),
            Some((_, problem)) => {
                let before = text.get(..problem.span.start.min(text.len())).unwrap_or_default();
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                json!({
                    "code": "SyntaxError",
                    "message": "A syntax error occurred.",
                    "innererror": {
                        "code": "SYN0002",
                        "message": all,
                        "line": before.matches('\n').count() + 1,
                        "pos": before.len() - line_start,
                        "token": problem.span.text(text),
                    },
                })
            }
            None => json!({ "code": "BadQuery", "message": "the query is wrong" }),
        };
        LogsError { inner: Some(inner), ..LogsError::bad_argument("The request had some invalid properties") }
    }

    pub fn body(&self) -> Value {
        let mut error = json!({
            "message": self.message,
            "code": self.code,
            "correlationId": uuid::Uuid::new_v4().to_string(),
        });
        if let Some(inner) = &self.inner {
            error["innererror"] = inner.clone();
        }
        json!({ "error": error })
    }
}

impl From<Denied> for LogsError {
    fn from(denied: Denied) -> LogsError {
        let (status, message) = (denied.status(), denied.message());
        match denied {
            Denied::Unknown => LogsError::new(status, "AuthorizationRequiredError", message),
            Denied::Forbidden { .. } => LogsError::new(status, "InsufficientAccessError", message),
            Denied::TooMany(_) => LogsError::new(status, "TooManyRequests", message),
        }
    }
}

impl IntoResponse for LogsError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
