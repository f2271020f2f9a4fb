//! Signing in by an outside OpenID Connect provider: the authorization code flow with PKCE.
//!
//! The provider's addresses are read from its discovery document, its keys with each sign-in. What a sign-in that has
//! begun is waiting for is kept in memory, for some minutes.

use super::{host, note, session};
use crate::Services;
use crate::api::failed;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::{SecretText, oidc};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long what the provider says of itself is taken for true.
const DISCOVERY_TIME: Duration = Duration::from_secs(60 * 60);
/// How long somebody has to sign in at the provider.
const WAITING_TIME: Duration = Duration::from_secs(10 * 60);
/// So many can be at it at once; beyond, whoever began first begins anew.
const WAITING_MAX: usize = 10_000;
/// The cookie that ties an answer of the provider to the browser that was sent there.
const STATE_COOKIE: &str = "turnstone-oidc";

/// The provider, as the owner has set it up.
pub struct Provider {
    issuer: String,
    client_id: String,
    client_secret: String,
    /// The address of this server as browsers see it, when it is not the one that they ask for.
    public_url: Option<String>,
    agent: ureq::Agent,
    discovered: Mutex<Option<(Discovery, Instant)>>,
    waiting: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// How the provider wants to be shown the client's secret; by a header where it does not say.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// A sign-in that has begun.
struct Waiting {
    nonce: String,
    verifier: String,
    redirect_uri: String,
    /// The page of the portal to go to.
    return_to: String,
    begun: Instant,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Provider {
    /// `authority` is the PEM of a certificate authority to trust beside the machine's.
    pub fn new(
        issuer: &str,
        client_id: &str,
        client_secret: &str,
        authority: Option<&[u8]>,
        public_url: Option<&str>,
    ) -> Result<Provider, String> {
        if !outward::is_private(issuer) {
            return Err(format!("'{issuer}' is no https:// address; http:// is for loopback only"));
        }
        let mut roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        if let Some(pem) = authority {
            let certificate = Certificate::from_pem(pem).map_err(|e| format!("the provider's authority: {e}"))?;
            roots.push(certificate);
        }
        let tls = TlsConfig::builder().root_certs(RootCerts::from(roots)).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Ok(Provider {
            issuer: issuer.trim_end_matches('/').to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
            agent: ureq::Agent::new_with_config(config),
            discovered: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// Blocking.
    fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let mut answer = self.agent.get(url).call().map_err(|e| format!("{url}: {e}"))?;
        if answer.status() != 200 {
            return Err(format!("{url} answers {}", answer.status()));
        }
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        serde_json::from_str(&text.map_err(|e| format!("{url}: {e}"))?).map_err(|e| format!("{url}: {e}"))
    }

    /// Blocking.
    fn discovery(&self) -> Result<Discovery, String> {
        if let Some((known, at)) = self.discovered.lock().clone()
            && at.elapsed() < DISCOVERY_TIME
        {
            return Ok(known);
        }
        let found: Discovery = self.get(&format!("{}/.well-known/openid-configuration", self.issuer))?;
        if found.issuer.trim_end_matches('/') != self.issuer {
            return Err(format!("the provider calls itself '{}', not '{}'", found.issuer, self.issuer));
        }
        for endpoint in [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri] {
            if !outward::is_private(endpoint) {
                return Err(format!("the provider names '{endpoint}', which is no https:// address"));
            }
        }
        *self.discovered.lock() = Some((found.clone(), Instant::now()));
        Ok(found)
    }

    fn redirect_uri(&self, headers: &HeaderMap) -> String {
        let base = self.public_url.clone().unwrap_or_else(|| format!("https://{}", host(headers)));
        format!("{base}/api/v1/session/oidc/callback")
    }

    fn wait_for(&self, state: String, waiting: Waiting) {
        let mut all = self.waiting.lock();
        all.retain(|_, waiting| waiting.begun.elapsed() < WAITING_TIME);
        if all.len() >= WAITING_MAX {
            let oldest = all.iter().min_by_key(|(_, waiting)| waiting.begun).map(|(state, _)| state.clone());
            oldest.map(|state| all.remove(&state));
        }
        all.insert(state, waiting);
    }

    /// The person whom an answer of the provider is about. Blocking.
    fn person(&self, code: &str, waiting: &Waiting) -> Result<oidc::Person, String> {
        let discovery = self.discovery()?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &waiting.redirect_uri),
            ("client_id", &self.client_id),
            ("code_verifier", &waiting.verifier),
        ];
        let url = &discovery.token_endpoint;
        let mut request = self.agent.post(url);
        let methods = &discovery.token_endpoint_auth_methods_supported;
        if methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic") {
            // Both are encoded as values of a form before they are joined (RFC 6749, 2.3.1).
            let pair = format!("{}:{}", form_encoded(&self.client_id), form_encoded(&self.client_secret));
            request = request.header("Authorization", format!("Basic {}", BASE64_STANDARD.encode(pair)));
        } else {
            form.push(("client_secret", &self.client_secret));
        }
        let mut answer = request.send_form(form).map_err(|e| format!("{url}: {e}"))?;
        if answer.status() != 200 {
            return Err(format!("the provider gives no token for the code; it answers {}", answer.status()));
        }
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|e| format!("{url}: {e}"))?;
        let tokens: Tokens =
            serde_json::from_str(&text).map_err(|_| "the provider's answer has no ID token".to_owned())?;
        let keys = self.get(&discovery.jwks_uri)?;
        oidc::check(&tokens.id_token, &keys, &discovery.issuer, &self.client_id, &waiting.nonce)
    }
}

fn form_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

fn random() -> Result<String, AzureError> {
    let text = SecretText::random().map_err(|error| AzureError::internal(&error))?;
    Ok(text.reveal().to_owned())
}

fn not_set_up() -> AzureError {
    AzureError::not_found("NotFound", "no outside provider is set up; see --oidc-issuer")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begun {
    return_to: Option<String>,
}

/// Where the portal is, and where a browser goes that was to go nowhere else.
const PORTAL: &str = "/ui/";
/// An address to go back to has at most so many bytes.
const RETURN_BYTES_MAX: usize = 4096;

/// The address of a page of the portal, if it is one: whoever signs in is sent to no other site.
fn page_of_portal(address: &str) -> Option<String> {
    let climbs = |address: &str| address.contains("..") || address.to_ascii_lowercase().contains("%2e");
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let is_page = address.starts_with(PORTAL)
        && address.len() <= RETURN_BYTES_MAX
        && !climbs(path)
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_page.then(|| address.to_owned())
}

/// `GET /api/v1/session/oidc`: sends the browser to the provider.
pub(super) async fn begin(
    State(services): State<Arc<Services>>,
    Query(begun): Query<Begun>,
    headers: HeaderMap,
) -> Result<Response, AzureError> {
    let Some(provider) = services.provider.clone() else { return Err(not_set_up()) };
    let asked = provider.clone();
    let discovery = tokio::task::spawn_blocking(move || asked.discovery()).await;
    let discovery = discovery.unwrap_or_else(|e| Err(e.to_string())).map_err(|problem| {
        tracing::error!(problem, "the OpenID Connect provider cannot be asked");
        AzureError::new(
            StatusCode::BAD_GATEWAY,
            "ProviderFailed",
            "the provider cannot be asked; the server's log says why",
        )
    })?;
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let challenge =
        BASE64_URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()).as_ref());
    let redirect_uri = provider.redirect_uri(&headers);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let separator = if discovery.authorization_endpoint.contains('?') { '&' } else { '?' };
    let location = format!(
        "{}{separator}response_type=code&client_id={}&redirect_uri={}&scope=openid%20profile%20email&state={state}\
         &nonce={nonce}&code_challenge={challenge}&code_challenge_method=S256",
        discovery.authorization_endpoint,
        encoded(&provider.client_id),
        encoded(&redirect_uri),
    );
    // Lax, since the browser comes back from another site.
    let path = "/api/v1/session/oidc";
    let cookie = format!("{STATE_COOKIE}={state}; Path={path}; HttpOnly; Secure; SameSite=Lax; Max-Age=600");
    let return_to = begun.return_to.as_deref().and_then(page_of_portal).unwrap_or_else(|| PORTAL.to_owned());
    provider.wait_for(state, Waiting { nonce, verifier, redirect_uri, return_to, begun: Instant::now() });
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::SET_COOKIE, cookie)]).into_response())
}

#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// `GET /api/v1/session/oidc/callback`: the browser comes back.
pub(super) async fn end(
    State(services): State<Arc<Services>>,
    requester: Requester,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, Response> {
    let Some(provider) = services.provider.clone() else { return Err(not_set_up().into_response()) };
    let refused = |message: &str| failed(StatusCode::UNAUTHORIZED, "SignInFailed", message);
    let state = answer.state.unwrap_or_default();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let is_same_browser = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(name, value)| name == STATE_COOKIE && !state.is_empty() && value == state);
    if !is_same_browser {
        return Err(refused("this answer belongs to no sign-in of this browser; begin again"));
    }
    let waiting = provider.waiting.lock().remove(&state).filter(|waiting| waiting.begun.elapsed() < WAITING_TIME);
    let Some(waiting) = waiting else {
        return Err(refused("the sign-in took too long or was done already; begin again"));
    };
    let Some(code) = answer.code.filter(|_| answer.error.is_none()) else {
        return Err(refused("the provider did not sign you in"));
    };
    let return_to = waiting.return_to.clone();
    let asked = provider.clone();
    let person = tokio::task::spawn_blocking(move || asked.person(&code, &waiting)).await;
    let how = "OpenID Connect";
    let person = match person.unwrap_or_else(|e| Err(e.to_string())) {
        Ok(person) => person,
        Err(problem) => {
            tracing::warn!(problem, "a sign-in by the OpenID Connect provider failed");
            note(&services, "", how, requester.address, Err(&problem)).await;
            return Err(refused("what the provider says of you cannot be trusted; the server's log says why"));
        }
    };
    let principal = match services.access.outside_user(&person).await {
        Ok(principal) => principal,
        Err(error) => {
            note(&services, person.shown(), how, requester.address, Err(&error.to_string())).await;
            return Err(refused(&error.to_string()));
        }
    };
    let cookie = session::start(&services, &principal.id)
        .await
        .map_err(|error| failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()))?;
    if let Some(caller) = services.access.by_session(cookie.text()) {
        note(&services, person.shown(), how, requester.address, Ok(&caller)).await;
    }
    let location = [(header::LOCATION, return_to), (header::SET_COOKIE, cookie.header())];
    Ok((StatusCode::FOUND, location).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for page in ["/ui/", "/ui/alerts/IoT_X/2026-03-02?device=a%20b", "/ui/logs#query=T+%7C+count"] {
            assert_eq!(page_of_portal(page).as_deref(), Some(page));
        }
        for other in [
            "//evil.example/ui/",
            "https://evil.example/ui/",
            "/api/v1/session",
            "/ui",
            "/ui/\r\nX: y",
            "/ui/\\x",
            "/ui/../a",
            "/ui/%2E./a",
        ] {
            assert_eq!(page_of_portal(other), None, "{other}");
        }
        assert_eq!(page_of_portal(&format!("/ui/{}", "a".repeat(RETURN_BYTES_MAX))), None);
    }

    #[test]
    fn plain_http_is_for_loopback() {
        assert!(Provider::new("http://provider.example", "a", "b", None, None).is_err());
        assert!(Provider::new("http://127.0.0.1:9000", "a", "b", None, None).is_ok());
    }
}
