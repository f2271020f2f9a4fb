//! The token endpoint, in the form that Microsoft's libraries use, and the documents that lead them to it.
//!
//! Source of the forms: RFC 6749 (4.4, 5.1, 5.2) and what the libraries send.

use super::{host, note, status};
use crate::Services;
use crate::listen::Plain;
use crate::requester::{Requester, retry_seconds};
use access::Wrong;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;

const FORM_BYTES_MAX: usize = 16 << 10;

/// `GET /{tenant}/.well-known/openid-configuration`: where tokens are to be had.
pub(super) async fn configuration(Path(tenant): Path<String>, headers: HeaderMap) -> Json<Value> {
    let base = format!("https://{}/{tenant}", host(&headers));
    Json(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "token_endpoint": format!("{base}/oauth2/token"),
        "jwks_uri": format!("https://{}/adfs/discovery/keys", host(&headers)),
        "device_authorization_endpoint": format!("{base}/oauth2/devicecode"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["HS256"],
    }))
}

/// The keys that others could check access tokens with: none, since only this server reads them.
pub(super) async fn keys() -> Json<Value> {
    Json(json!({ "keys": [] }))
}

/// `GET /metadata/endpoints`: the cloud that this server is, for anybody.
pub(super) async fn cloud(headers: HeaderMap) -> Json<Value> {
    let base = format!("https://{}", host(&headers));
    Json(json!({
        "name": "Turnstone",
        "portal": format!("{base}/ui/"),
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base, format!("{base}/")],
            "tenant": "adfs",
            "identityProvider": "ADFS",
        },
        "graphAudience": format!("{base}/"),
        "graph": format!("{base}/"),
        "media": base,
        "batch": base,
        "suffixes": {
            "storage": "", "keyVaultDns": "", "sqlServerHostname": "", "acrLoginServer": "", "azureDataLakeStoreFileSystem": "",
            "azureDataLakeAnalyticsCatalogAndJob": "", "azureFrontDoorEndpointSuffix": "",
        },
        "resourceManager": format!("{base}/"),
        "gallery": format!("{base}/"),
        "sqlManagement": format!("{base}/"),
        "activeDirectoryDataLake": format!("{base}/"),
        "logAnalyticsResourceId": base,
        "appInsightsResourceId": base,
        "microsoftGraphResourceId": format!("{base}/"),
        "synapseAnalyticsResourceId": base,
    }))
}

#[derive(Default)]
struct Form {
    client_id: String,
    client_secret: String,
    grant_type: String,
    audience: String,
}

impl Form {
    fn read(headers: &HeaderMap, body: &[u8]) -> Form {
        let mut form = Form::default();
        for pair in body.split(|byte| *byte == b'&') {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let value = decoded(value);
            match name {
                b"client_id" => form.client_id = value,
                b"client_secret" => form.client_secret = value,
                b"grant_type" => form.grant_type = value,
                b"scope" | b"resource" if form.audience.is_empty() => form.audience = audience(&value),
                _ => {}
            }
        }
        // The other way of the standard: in a header.
        let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let basic = basic.and_then(|value| BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok());
        if let Some((id, secret)) = basic.as_deref().and_then(|text| std::str::from_utf8(text).ok()?.split_once(':')) {
            (form.client_id, form.client_secret) = (decoded(id.as_bytes()), decoded(secret.as_bytes()));
        }
        form
    }
}

/// A value of a form.
fn decoded(value: &[u8]) -> String {
    let spaced: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

/// What a scope is about: `https://host//.default` is about `https://host`.
fn audience(scope: &str) -> String {
    let first = scope.split_whitespace().next().unwrap_or_default();
    first.trim_end_matches(".default").trim_end_matches('/').to_owned()
}

/// `POST /{tenant}/oauth2/token`.
pub(super) async fn issue(
    State(services): State<Arc<Services>>,
    Path(tenant): Path<String>,
    requester: Requester,
    plain: Option<Extension<Plain>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if plain.is_some() {
        return failed(StatusCode::BAD_REQUEST, "invalid_request", "tokens are given over https alone");
    }
    if body.len() > FORM_BYTES_MAX {
        return failed(StatusCode::BAD_REQUEST, "invalid_request", "the form is too long");
    }
    let form = Form::read(&headers, &body);
    if form.grant_type != "client_credentials" {
        let message = format!("the grant type '{}' is not supported; client_credentials is", form.grant_type);
        return failed(StatusCode::BAD_REQUEST, "unsupported_grant_type", &message);
    }
    if form.client_id.is_empty() || form.client_secret.is_empty() {
        return failed(StatusCode::BAD_REQUEST, "invalid_request", "client_id and client_secret are needed");
    }
    let issuer = format!("https://{}/{tenant}", host(&headers));
    let outcome = services.access.sign_in_program(&form.client_id, &form.client_secret, &issuer, &form.audience);
    match outcome {
        Ok((caller, token, seconds)) => {
            note(&services, &form.client_id, "client secret", requester.address, Ok(&caller)).await;
            let answer = json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            });
            no_store(Json(answer).into_response())
        }
        Err(wrong) => {
            if let Some(address) = requester.address {
                services.bounds.limits.note_stranger(address);
            }
            note(&services, &form.client_id, "client secret", requester.address, Err(&wrong.to_string())).await;
            let mut response = match wrong {
                Wrong::Expired => {
                    failed(status(wrong), "invalid_client", "the client secret has expired; make a new one")
                }
                Wrong::LockedOut(_) => failed(status(wrong), "temporarily_unavailable", &wrong.to_string()),
                _ => failed(status(wrong), "invalid_client", "the client id or its secret is wrong"),
            };
            if let Wrong::LockedOut(wait) = wrong {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds(wait)));
            }
            response
        }
    }
}

fn failed(status: StatusCode, error: &str, description: &str) -> Response {
    no_store((status, Json(json!({ "error": error, "error_description": description }))).into_response())
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_headers_are_read() {
        let body =
            b"client_id=a%2Db&client_secret=s+%2B&grant_type=client_credentials&scope=https%3A%2F%2Fhost%2F%2F.default";
        let form = Form::read(&HeaderMap::new(), body);
        assert_eq!((form.client_id.as_str(), form.client_secret.as_str()), ("a-b", "s +"));
        assert_eq!(form.audience, "https://host");
        let basic = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode("id:secret"))).expect("a header");
        let form =
            Form::read(&HeaderMap::from_iter([(header::AUTHORIZATION, basic)]), b"grant_type=client_credentials");
        assert_eq!((form.client_id.as_str(), form.client_secret.as_str()), ("id", "secret"));
    }
}
