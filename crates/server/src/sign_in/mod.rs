//! Signing in: programs by client secrets ([`token`]), people by password ([`session`]) or by an outside provider
//! ([`oidc`]), and whoever owns the machine by a link that is good once ([`link`]).

mod link;
pub mod oidc;
mod session;
mod token;

use crate::Services;
use crate::audit::Activity;
use crate::openapi::{self, Operation};
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

/// Every operation of signing in, with who answers it. Whatever tenant a client is told, it means this server; `adfs` is
/// the one that needs nothing of Microsoft's.
pub(crate) fn operations() -> Vec<Operation> {
    const TAG: &str = "Sign-in";
    let issues = |path, name| {
        Operation::new("post", path, name, "Gives a program an access token for its client secret, over https.")
            .of(TAG)
            .open()
            .by(post(token::issue))
            .body_as("application/x-www-form-urlencoded")
            .answers(200, "An access token.", "AccessToken")
            .answers(400, "The form is wrong.", "OAuthError")
            .answers(401, "The client id or its secret is wrong.", "OAuthError")
    };
    let leads = |path, name| {
        Operation::new("get", path, name, "Where tokens are to be had.")
            .of(TAG)
            .open()
            .by(get(token::configuration))
            .answers(200, "The addresses.", "Any")
    };
    vec![
        leads("/{tenant}/.well-known/openid-configuration", "signInConfiguration"),
        leads("/{tenant}/v2.0/.well-known/openid-configuration", "signInConfigurationV2"),
        issues("/{tenant}/oauth2/token", "issueToken"),
        issues("/{tenant}/oauth2/v2.0/token", "issueTokenV2"),
        Operation::new("get", "/adfs/discovery/keys", "signInKeys", "The keys to check access tokens with: none.")
            .of(TAG)
            .open()
            .by(get(token::keys))
            .answers(200, "No keys.", "Any"),
        Operation::new("get", "/metadata/endpoints", "describeCloud", "The cloud that this server is.")
            .of(TAG)
            .open()
            .by(get(token::cloud))
            .answers(200, "Its addresses.", "Any"),
        Operation::new("post", "/api/v1/session", "signIn", "Signs a person in; the session is a cookie.")
            .of(TAG)
            .open()
            .by(post(session::begin).get(session::show).delete(session::end))
            .body(&[("name", "string", true), ("password", "string", true), ("code", "string", false)])
            .answers_nothing(204, "The session has begun."),
        Operation::new("get", "/api/v1/session", "showSession", "Who is signed in, and what they may do.")
            .of(TAG)
            .answers(200, "The principal and its roles.", "Session"),
        Operation::new("delete", "/api/v1/session", "signOut", "Ends the session.")
            .of(TAG)
            .open()
            .answers_nothing(204, "It has ended."),
        Operation::new("get", "/api/v1/session/ways", "showSignInWays", "How people can sign in.")
            .of(TAG)
            .open()
            .by(get(link::ways))
            .answers(200, "Whether there is an outside provider.", "Any"),
        Operation::new("post", "/api/v1/session/links", "createSignInLink", "Makes a link that signs in once.")
            .of(TAG)
            .by(post(link::create))
            .answers(201, "Its code, for /ui/sign-in#code=…, and until when it is good.", "SignInLink"),
        Operation::new("post", "/api/v1/session/link", "signInByLink", "Signs in whoever shows the code of a link.")
            .of(TAG)
            .open()
            .by(post(link::begin))
            .body(&[("code", "string", true)])
            .answers_nothing(204, "The session has begun."),
        Operation::new("get", "/api/v1/session/oidc", "signInOutside", "Sends the browser to the outside provider.")
            .of(TAG)
            .open()
            .by(get(oidc::begin))
            .query("returnTo", "string", "The page of the portal to go to then, beginning with /ui/.")
            .answers_nothing(302, "To the provider.")
            .answers(502, "The provider cannot be asked.", "Error"),
        Operation::new(
            "get",
            "/api/v1/session/oidc/callback",
            "signInFromOutside",
            "The browser comes back from the provider.",
        )
        .of(TAG)
        .open()
        .by(get(oidc::end))
        .query("state", "string", "What the browser was sent with.")
        .query("code", "string", "What the provider gives a token for.")
        .answers_nothing(302, "To the portal, signed in."),
    ]
}

pub(crate) fn router(services: Arc<Services>) -> Router {
    openapi::routes(operations()).with_state(services)
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
        means: outcome.map_or("", |caller| caller.means.name()),
        secret_id: outcome.map_or("", |caller| &caller.secret_id).to_owned(),
        details: Vec::new(),
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
