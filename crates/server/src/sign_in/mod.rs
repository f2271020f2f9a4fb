//! Signing in: programs by client secrets ([`token`]), people by password ([`session`]) or by an outside provider
//! ([`oidc`]).

pub mod oidc;
mod session;
mod token;

use crate::Services;
use crate::audit::Activity;
use access::{Caller, Wrong};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use std::net::IpAddr;
use std::sync::Arc;

/// Checking a password takes 19 MiB and a processor; so many are checked at once.
pub(crate) const PASSWORD_CHECKS_MAX: usize = 4;
/// What the audit calls a sign-in.
const SIGN_IN: &str = "Turnstone/signIn/action";

pub(crate) fn router(services: Arc<Services>) -> Router {
    // Whatever tenant a client is told, it means this server. `adfs` is the one that needs nothing of Microsoft's.
    Router::new()
        .route("/{tenant}/.well-known/openid-configuration", get(token::configuration))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(token::configuration))
        .route("/{tenant}/oauth2/token", post(token::issue))
        .route("/{tenant}/oauth2/v2.0/token", post(token::issue))
        .route("/adfs/discovery/keys", get(token::keys))
        .route("/metadata/endpoints", get(token::cloud))
        .route("/api/v1/session", post(session::begin).get(session::show).delete(session::end))
        .route("/api/v1/session/oidc", get(oidc::begin))
        .route("/api/v1/session/oidc/callback", get(oidc::end))
        .with_state(services)
}

/// The host that the client knows this server by.
fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost")
}

/// Notes that somebody signed in, or tried to.
async fn note(services: &Services, name: &str, how: &str, address: Option<IpAddr>, outcome: Result<&Caller, &str>) {
    let activity = Activity {
        operation: SIGN_IN.to_owned(),
        resource: "/".to_owned(),
        caller: name.to_owned(),
        principal_id: outcome.map_or("", |caller| &caller.principal_id).to_owned(),
        address,
        is_success: outcome.is_ok(),
        status: if outcome.is_ok() { StatusCode::OK } else { StatusCode::UNAUTHORIZED },
        request: match outcome {
            Ok(_) => how.to_owned(),
            Err(problem) => format!("{how}: {problem}"),
        },
        correlation_id: uuid::Uuid::new_v4().to_string(),
    };
    services.audit(&activity).await;
}

/// The status of a sign-in that failed.
fn status(wrong: Wrong) -> StatusCode {
    match wrong {
        Wrong::LockedOut(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNAUTHORIZED,
    }
}
