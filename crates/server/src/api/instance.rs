//! The instance itself: how it is set up, and its audit.

use super::Params;
use crate::Services;
use crate::audit;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::READ_ACCESS;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const ENTRIES: usize = 100;
const ENTRIES_MAX: usize = 5000;

/// What everybody who is signed in may know of the instance. What is done with devices' data is said by the security
/// solutions, which are resources.
pub(super) async fn settings(
    State(services): State<Arc<Services>>,
    requester: Requester,
) -> Result<Response, AzureError> {
    requester.is_somebody("Turnstone/settings/read")?;
    let subscription = services.directory.subscription_id();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "subscriptionId": subscription.trim_start_matches("/subscriptions/"),
        "defaultWorkspace": services.default_database,
        "defaultWorkspaceId": services.workspace_id,
        "publicUrl": services.addresses.public_url,
        "httpsPort": services.addresses.https_port,
        "hasOutsideSignIn": services.provider.is_some(),
        "hubs": services.hubs.names(),
    }))
    .into_response())
}

/// The certificate authority of this server's own certificate, which devices and clients are told to trust.
pub(super) async fn authority(
    State(services): State<Arc<Services>>,
    requester: Requester,
) -> Result<Response, AzureError> {
    requester.is_somebody("Turnstone/settings/read")?;
    match &services.addresses.authority {
        Some(pem) => Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem.clone()).into_response()),
        None => {
            let message = "the certificate of this server was given by its owner; ask them for its authority";
            Err(AzureError::not_found("NotFound", message))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    caller: Option<String>,
    #[serde(default)]
    top: Option<usize>,
}

/// The newest entries of the audit, of a span of time.
pub(super) async fn audit(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(span): Params<Span>,
) -> Result<Response, AzureError> {
    requester.may(READ_ACCESS, "/")?;
    let end = super::time("to", span.to.as_deref(), kql::datetime::now())?;
    let begin = super::time("from", span.from.as_deref(), end.saturating_sub(30 * kql::timespan::TICKS_PER_DAY))?;
    let query = format!(
        "declare query_parameters (begin: datetime, end: datetime, who: string, most: long);
        {}
        | where TimeGenerated between (begin .. end) and (who == '' or Caller =~ who)
        | top most by TimeGenerated desc
        | project time = TimeGenerated, caller = Caller, address = CallerIpAddress, operation = OperationName,
            resource = ResourceId, status = ActivityStatusValue, statusCode = toint(ActivitySubstatusValue),
            request = HTTPRequest, correlationId = CorrelationId",
        audit::TABLE
    );
    let most = span.top.unwrap_or(ENTRIES).clamp(1, ENTRIES_MAX).to_string();
    let (begin, end) = (super::literal(begin), super::literal(end));
    let who = span.caller.unwrap_or_default();
    let parameters = [("begin", begin.as_str()), ("end", &end), ("who", &who), ("most", &most)];
    let rows = services.ask(&services.default_database, &query, &parameters).await?;
    let value: Vec<Value> = rows.into_iter().map(Value::Object).collect();
    Ok(Json(json!({ "value": value })).into_response())
}
