//! Who makes a request, and whether they may do what it asks for.
//!
//! Every request is identified once, before any handler sees it ([`identify`]). Handlers ask [`Requester::may`] before
//! they do something; what was asked last is what the audit says was done. A request that is answered although nobody
//! asked is a fault of this program, and is not answered.

use crate::Services;
use crate::audit::Activity;
use access::{Caller, RateLimit};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::Value;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// The cookie that holds a session.
pub(crate) const SESSION_COOKIE: &str = "turnstone-session";
/// So many principals and addresses are counted.
const KEYS_MAX: usize = 10_000;
/// So many requests of a principal at once, and a second after that.
const REQUESTS_AT_ONCE: u32 = 10_000;
const REQUESTS_PER_SECOND: f64 = 2_000.0;
/// So many requests with credentials that nobody knows, of an address.
const STRANGERS_AT_ONCE: u32 = 200;
const STRANGERS_PER_SECOND: f64 = 5.0;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// Paths that anybody may ask for: what leads to signing in, health, the description of the interface. The front doors
/// of devices look at tokens of their own.
const OPEN: &[&str] = &[
    "/healthz",
    "/adfs/",
    "/metadata/endpoints",
    "/v1/rest/auth/metadata",
    "/api/v1/openapi.json",
    "/api/v1/session",
    "/devices/",
    // Signed with a key of its own.
    "/api/logs",
    "/ui",
];

/// Why somebody may not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request does not say who makes it, or says it with credentials that are not good.
    Unknown,
    /// The caller has no role that allows it.
    Forbidden { name: String, action: String, resource: String },
    /// Too many requests; after so long there will be room.
    TooMany(Duration),
}

impl Denied {
    pub fn message(&self) -> String {
        match self {
            Denied::Unknown => "the request carries no valid token; send Authorization: Bearer and a token".to_owned(),
            Denied::Forbidden { name, action, resource } => format!(
                "'{name}' may not perform the action '{action}' on '{resource}'; an owner can assign a role that allows it"
            ),
            Denied::TooMany(wait) => format!("too many requests; try again in {} seconds", retry_seconds(*wait)),
        }
    }
}

/// Whole seconds, at least one.
pub(crate) fn retry_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1)
}

/// What was asked of [`Requester::may`], and what else there is to say of it.
#[derive(Debug, Default)]
struct Asked {
    /// Action and resource of the last question.
    last: Option<(String, String)>,
    /// The same of the last question about a change.
    change: Option<(String, String)>,
    details: Vec<(String, Value)>,
}

/// Who makes a request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Requester {
    caller: Option<Arc<Caller>>,
    pub address: Option<IpAddr>,
    asked: Arc<Mutex<Asked>>,
}

impl Requester {
    /// Who it is.
    pub fn caller(&self) -> Result<&Arc<Caller>, Denied> {
        self.caller.as_ref().ok_or(Denied::Unknown)
    }

    /// Whether the caller may do that to a resource, given by its id.
    pub fn may(&self, action: &str, resource: &str) -> Result<&Arc<Caller>, Denied> {
        let caller = self.ask(action, resource)?;
        match caller.may(action, resource) {
            true => Ok(caller),
            false => Err(self.forbidden(caller, action, resource)),
        }
    }

    /// Whether the caller may do that too, beside what the request is about.
    pub fn also_may(&self, action: &str, resource: &str) -> Result<(), Denied> {
        let caller = self.caller()?;
        match caller.may(action, resource) {
            true => Ok(()),
            false => Err(self.forbidden(caller, action, resource)),
        }
    }

    /// Whether the caller may do that to anything at or below a scope. Of what is there it sees its part.
    pub fn may_below(&self, action: &str, scope: &str) -> Result<&Arc<Caller>, Denied> {
        let caller = self.ask(action, scope)?;
        match caller.may_somewhere_below(action, scope) {
            true => Ok(caller),
            false => Err(self.forbidden(caller, action, scope)),
        }
    }

    /// Whoever it is may do that, since it is about themselves.
    pub fn is_somebody(&self, action: &str) -> Result<&Arc<Caller>, Denied> {
        self.ask(action, "/")
    }

    /// Something that the audit says of what is done, such as the text of a command. Long texts are cut there.
    pub fn note(&self, name: &str, value: impl Into<Value>) {
        self.asked.lock().details.push((name.to_owned(), value.into()));
    }

    fn ask(&self, action: &str, resource: &str) -> Result<&Arc<Caller>, Denied> {
        let question = Some((action.to_owned(), resource.to_owned()));
        let mut asked = self.asked.lock();
        if is_change(action) {
            asked.change.clone_from(&question);
        }
        asked.last = question;
        drop(asked);
        self.caller()
    }

    fn forbidden(&self, caller: &Caller, action: &str, resource: &str) -> Denied {
        Denied::Forbidden { name: caller.name.clone(), action: action.to_owned(), resource: resource.to_owned() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Requester {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Requester, Infallible> {
        let nobody = || Requester { caller: None, address: None, asked: Arc::default() };
        Ok(parts.extensions.get::<Requester>().cloned().unwrap_or_else(nobody))
    }
}

/// Bounds on how often somebody may ask.
pub(crate) struct Limits {
    requests: RateLimit<String>,
    strangers: RateLimit<IpAddr>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests: RateLimit::new(KEYS_MAX, REQUESTS_AT_ONCE, REQUESTS_PER_SECOND),
            strangers: RateLimit::new(KEYS_MAX, STRANGERS_AT_ONCE, STRANGERS_PER_SECOND),
        }
    }
}

impl Limits {
    /// Notes that somebody at an address showed credentials that are not good.
    pub fn note_stranger(&self, address: IpAddr) {
        let _ = self.strangers.take(&network(address), Instant::now());
    }
}

/// The layer around all handlers.
pub(crate) async fn identify(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let client_request_id = request.headers().get(CLIENT_REQUEST_ID).cloned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let request_id = uuid::Uuid::new_v4().to_string();
    let begun = Instant::now();
    let span = tracing::info_span!("request", %method, path, request_id);
    let handled = handle(services.clone(), request, next, address, request_id.clone()).instrument(span);
    // What changes something is done to its end, and noted, though the client hangs up. Queries end with their clients.
    let mut response = if method == Method::GET || method == Method::HEAD || is_query(&path) {
        handled.await
    } else {
        match tokio::spawn(handled).await {
            Ok(response) => response,
            Err(error) => crate::azure_error::AzureError::internal(&error).into_response(),
        }
    };
    services.metrics.answered(&path, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = client_request_id {
        headers.entry(CLIENT_REQUEST_ID).or_insert(id);
    }
    response
}

/// Finds out who asks, has the request answered, and notes what was changed.
async fn handle(
    services: Arc<Services>,
    mut request: Request,
    next: Next,
    address: Option<IpAddr>,
    request_id: String,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (caller, has_credentials) = caller(&services, request.headers(), &method);
    let limits = &services.bounds.limits;
    let limited = match (&caller, address.map(network)) {
        (Some(caller), _) => limits.requests.take(&caller.principal_id, Instant::now()),
        (None, Some(network)) if is_sign_in(&path) => limits.strangers.check(&network, Instant::now()),
        (None, Some(network)) if has_credentials && !is_open(&path) => limits.strangers.take(&network, Instant::now()),
        _ => Ok(()),
    };
    let requester = Requester { caller: caller.map(Arc::new), address, asked: Arc::default() };
    let response = match limited {
        Err(wait) => refusal(&path, Denied::TooMany(wait)),
        // Nobody's request is read any further; what it still sends is, so that it sees the answer.
        Ok(()) if requester.caller.is_none() && is_closed(&path) => {
            crate::ingestion::pass_over(&mut request.into_body().into_data_stream()).await;
            refusal(&path, Denied::Unknown)
        }
        Ok(()) => {
            request.extensions_mut().insert(requester.clone());
            // A fault of a handler costs its request alone, and is noted as any other outcome.
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(_) => {
                    crate::azure_error::AzureError::internal(&"a request met a fault of the server").into_response()
                }
            }
        }
    };
    let asked = std::mem::take(&mut *requester.asked.lock());
    if asked.last.is_none() && response.status().is_success() && !is_open(&path) {
        tracing::error!(%method, path, "a request was answered although nobody asked whether it may");
        return crate::azure_error::AzureError::internal(&"the request was not checked").into_response();
    }
    if let Some((operation, resource)) = asked.change {
        let caller = requester.caller.as_deref();
        let activity = Activity {
            operation,
            resource,
            caller: caller.map_or("", |caller| &caller.name).to_owned(),
            principal_id: caller.map_or("", |caller| &caller.principal_id).to_owned(),
            means: caller.map_or("", |caller| caller.means.name()),
            secret_id: caller.map_or("", |caller| &caller.secret_id).to_owned(),
            address,
            is_success: response.status().as_u16() < 400,
            status: response.status(),
            request: format!("{method} {path}"),
            details: asked.details,
            correlation_id: request_id,
        };
        services.audit(&activity).await;
    }
    response
}

/// What an address counts as: of IPv6 the network, since whoever has one address there has them all.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::from(segments)
        }
    }
}

/// Paths of queries, which change nothing and may run for long.
fn is_query(path: &str) -> bool {
    path.ends_with("/query") || path.ends_with("/$batch") || path.ends_with("/export")
}

/// Paths on which somebody shows a password, a client secret or a provider's code.
fn is_sign_in(path: &str) -> bool {
    path.starts_with("/api/v1/session") || path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token")
}

fn is_open(path: &str) -> bool {
    let is_below = |open: &&str| {
        path.strip_prefix(*open).is_some_and(|rest| rest.is_empty() || open.ends_with('/') || rest.starts_with('/'))
    };
    // Sign-in by any tenant's name.
    let of_tenant = path.strip_prefix('/').and_then(|rest| rest.split_once('/')).map_or("", |(_, rest)| rest);
    let is_of_tenant = matches!(
        of_tenant,
        ".well-known/openid-configuration"
            | "v2.0/.well-known/openid-configuration"
            | "oauth2/token"
            | "oauth2/v2.0/token"
    );
    path == "/" || is_of_tenant || OPEN.iter().any(is_below)
}

/// Whether a path is one that needs a caller.
fn is_closed(path: &str) -> bool {
    const CLOSED: &[&str] = &[
        "/v1/",
        "/v2/",
        "/workspaces/",
        "/$batch",
        "/subscriptions",
        "/providers/",
        "/api/v1/",
        "/dataCollectionRules/",
        "/metrics",
    ];
    !is_open(path) && CLOSED.iter().any(|closed| path.starts_with(closed))
}

/// A refusal in the shape of the interface that a path belongs to.
fn refusal(path: &str, denied: Denied) -> Response {
    if path.starts_with("/v1/rest/") || path.starts_with("/v2/rest/") {
        return crate::kusto::error::KustoError::from(denied).into_response();
    }
    if ["/v1/", "/workspaces/", "/$batch"].iter().any(|beginning| path.starts_with(beginning)) {
        return crate::log_analytics::refusal(denied);
    }
    denied.into_response()
}

/// Whether an action changes something that the audit tells of. Rows that are sent are no changes of what is set up.
fn is_change(action: &str) -> bool {
    let sends = [access::role::INGEST, access::role::SEND_TELEMETRY];
    !action.ends_with("/read") && !sends.contains(&action)
}

/// Who the headers say it is, and whether they say anything.
fn caller(services: &Services, headers: &HeaderMap, method: &Method) -> (Option<Caller>, bool) {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(given) = text(header::AUTHORIZATION) {
        let token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return (token.and_then(|(_, token)| services.access.by_token(token.trim())), true);
    }
    if let Some(key) = text(HeaderName::from_static("x-api-key")) {
        return (services.access.by_token(key), true);
    }
    let Some(session) = session_of(headers) else { return (None, false) };
    // A page of another site can make a browser send the cookie, but not hide where the request comes from.
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && !is_same_origin(headers) {
        return (None, true);
    }
    (services.access.by_session(session), true)
}

/// The text of the session cookie.
pub(crate) fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

/// Whether a request comes from a page of this server, or from no page.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = text("origin") else { return true };
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    text("host").is_some_and(|own| own.eq_ignore_ascii_case(host))
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        crate::azure_error::AzureError::from(self).into_response()
    }
}

impl Denied {
    pub fn status(&self) -> StatusCode {
        match self {
            Denied::Unknown => StatusCode::UNAUTHORIZED,
            Denied::Forbidden { .. } => StatusCode::FORBIDDEN,
            Denied::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_session_is_one_of_the_cookies() {
        let given = headers(&[("cookie", "a=b; turnstone-session=tst_x"), ("cookie", "c=d")]);
        assert_eq!(session_of(&given), Some("tst_x"));
        assert_eq!(session_of(&headers(&[("cookie", "a=turnstone-session")])), None);
    }

    #[test]
    fn pages_of_other_sites_are_known_by_their_origin() {
        assert!(is_same_origin(&headers(&[("host", "hub:8443")])));
        assert!(is_same_origin(&headers(&[("host", "hub:8443"), ("origin", "https://HUB:8443")])));
        assert!(!is_same_origin(&headers(&[("host", "hub:8443"), ("origin", "https://evil.example")])));
        assert!(!is_same_origin(&headers(&[("host", "hub:8443"), ("origin", "null")])));
        assert!(!is_same_origin(&headers(&[("host", "hub:8443"), ("sec-fetch-site", "cross-site")])));
    }
}
