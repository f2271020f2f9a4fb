//! Errors in Kusto's shape. Clients show `@message`, decide about repeating by `@permanent`, and look for the words
//! `Semantic error` and `Syntax error` in it.

use crate::ingestion::Refused;
use crate::queries::Failed;
use crate::requester::Denied;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kql::{Diagnostic, Severity};
use serde_json::{Value, json};

/// Rows that wait in memory are moved to files within about this time, which makes room for more.
const RETRY_AFTER_SECONDS: u32 = 1;
/// A database whose daily quota is used up takes more on the next day, or when its owner says so.
const QUOTA_RETRY_AFTER_SECONDS: u32 = 600;
/// A disk that is full is made room on by somebody, or by retention.
const DISK_RETRY_AFTER_SECONDS: u32 = 30;

/// An error that a client of Kusto understands.
#[derive(Debug)]
pub struct KustoError {
    status: StatusCode,
    code: &'static str,
    exception: &'static str,
    message: String,
    permanent: bool,
    retry_after_seconds: u32,
    /// What is wrong with a query, place by place.
    findings: Vec<Value>,
}

impl KustoError {
    fn new(status: StatusCode, code: &'static str, exception: &'static str, message: String) -> KustoError {
        KustoError {
            status,
            code,
            exception,
            message,
            permanent: true,
            retry_after_seconds: RETRY_AFTER_SECONDS,
            findings: Vec::new(),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoBadRequestException";
        KustoError::new(StatusCode::BAD_REQUEST, "General_BadRequest", exception, message.into())
    }

    pub fn too_large(message: impl Into<String>) -> KustoError {
        KustoError { status: StatusCode::PAYLOAD_TOO_LARGE, ..KustoError::bad_request(message) }
    }

    /// A command that makes what is there.
    pub fn already_exists(name: &str, kind: &str) -> KustoError {
        let exception = "Kusto.Common.Svc.Exceptions.EntityAlreadyExistsException";
        let message = format!("Entity '{name}' of kind '{kind}' already exists.");
        KustoError::new(StatusCode::BAD_REQUEST, "BadRequest", exception, message)
    }

    fn not_found(name: &str, kind: &str) -> KustoError {
        let exception = "Kusto.Data.Exceptions.EntityNotFoundException";
        let message = format!("Entity ID '{name}' of kind '{kind}' was not found.");
        KustoError::new(StatusCode::BAD_REQUEST, "BadRequest_EntityNotFound", exception, message)
    }

    /// Why a query whose text is `source` gave no answer.
    pub fn failed(failed: Failed, source: &str) -> KustoError {
        match failed {
            Failed::Engine(error) => KustoError::engine(&error, source),
            Failed::TimedOut(limit) => KustoError::timed_out(limit),
            Failed::Cancelled => KustoError::bad_request("the query was cancelled"),
            Failed::Stopped(problem) => {
                tracing::error!(%problem, "a query broke off");
                KustoError::internal("the query broke off by a fault of the server")
            }
        }
    }

    pub fn internal(message: impl Into<String>) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoServiceException";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        KustoError { permanent: false, ..KustoError::new(status, "Internal", exception, message.into()) }
    }

    pub fn timed_out(limit: std::time::Duration) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoServiceTimeoutException";
        let message = format!(
            "the query took longer than its {} seconds and was stopped; ask for less, or allow more with 'set servertimeout'",
            limit.as_secs()
        );
        let status = StatusCode::GATEWAY_TIMEOUT;
        KustoError { permanent: false, ..KustoError::new(status, "Timeout", exception, message) }
    }

    pub fn too_busy(message: impl Into<String>) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoRequestThrottledException";
        let status = StatusCode::TOO_MANY_REQUESTS;
        KustoError { permanent: false, ..KustoError::new(status, "Throttled", exception, message.into()) }
    }

    /// Something that will be well again by itself or by somebody's doing.
    pub fn unavailable(message: impl Into<String>) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoServiceException";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let retry_after_seconds = DISK_RETRY_AFTER_SECONDS;
        let error = KustoError::new(status, "ServiceUnavailable", exception, message.into());
        KustoError { permanent: false, retry_after_seconds, ..error }
    }

    /// The findings about a query, the first of which decides the code.
    pub fn query(diagnostics: &[Diagnostic], source: &str) -> KustoError {
        let lines: Vec<String> = diagnostics.iter().map(|d| d.one_line(source)).collect();
        let text = lines.join("\n");
        let findings = diagnostics.iter().map(|diagnostic| finding(diagnostic, source)).collect();
        let error = match diagnostics.first().map(|d| d.severity) {
            Some(Severity::Semantic) => {
                let exception = "Kusto.Data.Exceptions.SemanticException";
                let message = format!("Semantic error: SEM0100: {text}");
                KustoError::new(StatusCode::BAD_REQUEST, "SEM0100", exception, message)
            }
            Some(Severity::Unsupported) => KustoError::bad_request(format!("Not supported: {text}")),
            _ => {
                let exception = "Kusto.Data.Exceptions.SyntaxException";
                let message = format!("Syntax error: SYN0002: {text}");
                KustoError::new(StatusCode::BAD_REQUEST, "BadRequest_SyntaxError", exception, message)
            }
        };
        KustoError { findings, ..error }
    }

    /// The failure of a query whose text is `source`.
    pub fn engine(error: &engine::Error, source: &str) -> KustoError {
        match error {
            engine::Error::Query(diagnostics) => KustoError::query(diagnostics, source),
            other => KustoError::bad_request(other.to_string()),
        }
    }

    pub fn workspace(error: &workspace::Error) -> KustoError {
        use workspace::Error::{
            AppendOnly, BadBatch, BadColumn, BadFunction, BadName, ColumnType, DiskFull, NoDatabase, NoFunction,
            NoTable, Overloaded, QuotaReached, TakenName, TooLarge,
        };
        match error {
            NoTable(name) => KustoError::not_found(name, "Table"),
            NoFunction(name) => KustoError::not_found(name, "ExpressionFunction"),
            NoDatabase(_)
            | BadName(_)
            | BadFunction(_)
            | BadColumn(_)
            | BadBatch(_)
            | ColumnType { .. }
            | AppendOnly(_)
            | TakenName { .. }
            | TooLarge { .. } => KustoError::bad_request(error.to_string()),
            Overloaded => KustoError::too_busy(error.to_string()),
            QuotaReached { .. } => {
                KustoError { retry_after_seconds: QUOTA_RETRY_AFTER_SECONDS, ..KustoError::too_busy(error.to_string()) }
            }
            DiskFull(_) => KustoError::unavailable(error.to_string()),
            other => {
                tracing::error!(error = %other, "a request failed");
                KustoError::internal(other.to_string())
            }
        }
    }
}

impl From<Refused> for KustoError {
    fn from(refused: Refused) -> KustoError {
        match refused {
            Refused::TooLarge(message) => KustoError::too_large(message),
            Refused::Body(message) => KustoError::bad_request(format!("Bad request: {message}")),
            Refused::Workspace(error) => KustoError::workspace(&error),
            Refused::Stopped(message) => KustoError::internal(message),
        }
    }
}

impl From<Denied> for KustoError {
    fn from(denied: Denied) -> KustoError {
        let (status, message) = (denied.status(), denied.message());
        let (code, exception) = match denied {
            Denied::Unknown => ("Unauthorized", "Kusto.Data.Exceptions.KustoUnauthorizedException"),
            Denied::Forbidden { .. } => {
                ("Forbidden", "Kusto.Common.Svc.Exceptions.UnauthorizedDatabaseAccessException")
            }
            Denied::TooMany(_) => return KustoError::too_busy(message),
        };
        KustoError::new(status, code, exception, message)
    }
}

impl KustoError {
    /// The result of a query that is cut off.
    pub fn limits_exceeded(message: &str) -> KustoError {
        let exception = "Kusto.Data.Exceptions.KustoServicePartialQueryFailureLimitsExceededException";
        let message = format!("Query execution has exceeded the allowed limits (80DA0003): {message}");
        KustoError {
            permanent: false,
            ..KustoError::new(StatusCode::BAD_REQUEST, "LimitsExceeded", exception, message)
        }
    }

    /// The error as an object with one member, `error`.
    pub fn body(&self, activity: &str) -> Value {
        let mut body = json!({ "error": {
            "code": self.code,
            "message": "Request is invalid and cannot be executed.",
            "@type": self.exception,
            "@message": self.message,
            "@context": {
                "timestamp": kql::datetime::format(kql::datetime::now()),
                "serviceAlias": "TURNSTONE",
                "activityId": activity,
            },
            "@permanent": self.permanent,
        }});
        // A member of our own, for editors that underline what is wrong.
        if !self.findings.is_empty() {
            body["error"]["@findings"] = json!(self.findings);
        }
        body
    }
}

/// What is wrong, and from where to where in the text, in units of UTF-16 as editors in browsers count.
fn finding(diagnostic: &Diagnostic, source: &str) -> Value {
    let place = |bytes: usize| source.get(..bytes).unwrap_or(source).encode_utf16().count();
    let message = match &diagnostic.hint {
        Some(hint) => format!("{}. {hint}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    json!({ "message": message, "start": place(diagnostic.span.start), "end": place(diagnostic.span.end) })
}

impl IntoResponse for KustoError {
    fn into_response(self) -> Response {
        let activity = uuid::Uuid::new_v4().to_string();
        let mut response = (self.status, Json(self.body(&activity))).into_response();
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&activity) {
            headers.insert("x-ms-activity-id", value);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_seconds));
        }
        response
    }
}

pub(super) async fn no_such_path() -> KustoError {
    let message = "there is nothing at this address".to_owned();
    KustoError::new(StatusCode::NOT_FOUND, "NotFound", "Kusto.Data.Exceptions.KustoBadRequestException", message)
}
