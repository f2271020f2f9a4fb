//! Links that sign somebody in once: how the first person comes in, before there are users.

use super::{note, session};
use crate::Services;
use crate::api::{Body, failed};
use crate::azure_error::AzureError;
use crate::requester::{Requester, is_same_origin};
use access::Means;
use access::role::ADMINISTER;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Makes a link, for whoever shows the admin token itself: what is less than it must not become a session of the
/// administrator.
pub(super) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
) -> Result<Response, AzureError> {
    let caller = requester.may(ADMINISTER, "/")?;
    if caller.means != Means::AdminToken {
        let message = "sign-in links are made with the admin token of the data folder";
        return Err(AzureError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message));
    }
    let code = services.access.sign_in_link()?;
    let expires = kql::datetime::now().saturating_add(access::LINK_TICKS);
    let body = json!({ "code": code.reveal(), "expiresTime": kql::datetime::format_short(expires) });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    code: String,
}

/// Begins a session for whoever shows the code of a link.
pub(super) async fn begin(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_same_origin(&headers) {
        return failed(StatusCode::FORBIDDEN, "SignInFailed", "people sign in from pages of this server alone");
    }
    let shown: Shown = match body.read() {
        Ok(shown) => shown,
        Err(error) => return error.into_response(),
    };
    let how = "link";
    let Some(principal_id) = services.access.redeem_link(&shown.code) else {
        if let Some(address) = requester.address {
            services.bounds.limits.note_stranger(address);
        }
        let problem = "the link was used already, or is too old; `turnstone admin link` makes another";
        note(&services, "", how, requester.address, Err(problem)).await;
        return failed(StatusCode::UNAUTHORIZED, "SignInFailed", problem);
    };
    session::begun(&services, &principal_id, how, &requester).await
}

/// How people can sign in, for the page where they do.
pub(super) async fn ways(State(services): State<Arc<Services>>) -> Response {
    Json(json!({ "hasOutsideSignIn": services.provider.is_some() })).into_response()
}
