//! `/api/v1/session`: people sign in with name, password and, where they have one, a one-time code.

use super::{note, status};
use crate::Services;
use crate::api::{Body, failed};
use crate::azure_error::AzureError;
use crate::requester::{Requester, SESSION_COOKIE, is_same_origin, retry_seconds, session_of};
use access::{Means, Wrong};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Longer names are nobody's.
const NAME_CHARACTERS_MAX: usize = 128;
/// How long somebody waits for others to be checked.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    name: String,
    password: String,
    #[serde(default)]
    code: Option<String>,
}

pub(super) async fn begin(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A page of another site must not sign its visitors in as somebody else.
    if !is_same_origin(&headers) {
        return failed(StatusCode::FORBIDDEN, "SignInFailed", "people sign in from pages of this server alone");
    }
    let sign_in: SignIn = match body.read() {
        Ok(sign_in) => sign_in,
        Err(error) => return error.into_response(),
    };
    if sign_in.name.chars().count() > NAME_CHARACTERS_MAX {
        return failed(StatusCode::UNAUTHORIZED, "SignInFailed", &Wrong::Credentials.to_string());
    }
    let checked = {
        let turn = tokio::time::timeout(TURN_TIMEOUT, services.bounds.password_checks.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return AzureError::busy("too many sign in at this moment; try again").into_response();
        };
        let access = services.access.clone();
        let (name, password, code) = (sign_in.name.clone(), sign_in.password, sign_in.code);
        let address = requester.address;
        tokio::task::spawn_blocking(move || access.check_user(&name, &password, code.as_deref(), address)).await
    };
    let how = "password";
    match checked {
        Ok(Ok(principal_id)) => begun(&services, &principal_id, how, &requester).await,
        Ok(Err(Wrong::NeedsCode)) => failed(StatusCode::UNAUTHORIZED, "CodeNeeded", &Wrong::NeedsCode.to_string()),
        Ok(Err(wrong)) => {
            if let Some(address) = requester.address {
                services.bounds.limits.note_stranger(address);
            }
            note(&services, &sign_in.name, how, requester.address, Err(&wrong.to_string())).await;
            let mut response = failed(status(wrong), "SignInFailed", &wrong.to_string());
            if let Wrong::LockedOut(wait) = wrong {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds(wait)));
            }
            response
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()),
    }
}

/// The cookie of a session.
pub(super) struct SessionCookie(access::SecretText);

impl SessionCookie {
    pub fn text(&self) -> &str {
        self.0.reveal()
    }

    pub fn header(&self) -> String {
        // Browsers send it to this server alone, show it to no script, and, but on loopback, over TLS alone.
        format!("{SESSION_COOKIE}={}; Path=/; HttpOnly; Secure; SameSite=Strict", self.text())
    }
}

pub(super) async fn start(services: &Services, principal_id: &str) -> Result<SessionCookie, access::Error> {
    Ok(SessionCookie(services.access.start_session(principal_id).await?.text))
}

/// Begins a session for a principal that has shown who it is, and notes how.
pub(super) async fn begun(services: &Services, principal_id: &str, how: &str, requester: &Requester) -> Response {
    match start(services, principal_id).await {
        Ok(cookie) => {
            if let Some(caller) = services.access.by_session(cookie.text()) {
                note(services, &caller.name, how, requester.address, Ok(&caller)).await;
            }
            (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie.header())]).into_response()
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()),
    }
}

/// Who is signed in, and what they may do.
pub(super) async fn show(State(services): State<Arc<Services>>, requester: Requester) -> Response {
    let caller = match requester.caller() {
        Ok(caller) => caller,
        Err(denied) => return denied.into_response(),
    };
    let roles = caller.grants().iter().map(|grant| json!({ "role": grant.role.name, "scope": grant.scope }));
    let principal = match services.access.principal(&caller.principal_id) {
        Some(principal) => crate::api::principals::describe(&principal),
        None => {
            json!({ "id": caller.principal_id, "name": caller.name, "displayName": caller.name, "kind": "AdminToken" })
        }
    };
    Json(json!({ "principal": principal, "roles": roles.collect::<Vec<_>>() })).into_response()
}

/// Signs out.
pub(super) async fn end(State(services): State<Arc<Services>>, requester: Requester, headers: HeaderMap) -> Response {
    if let Ok(caller) = requester.is_somebody("Turnstone/signOut/action")
        && caller.means == Means::Session
        && session_of(&headers).is_some()
        && let Err(error) = services.access.end_session(&caller.principal_id, &caller.secret_id).await
    {
        return failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string());
    }
    let gone = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0");
    let cookie = HeaderValue::from_str(&gone).unwrap_or(HeaderValue::from_static(""));
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
