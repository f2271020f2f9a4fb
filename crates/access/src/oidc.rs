//! What an OpenID Connect provider says about a person: checking its ID tokens.
//!
//! Whoever speaks with the provider brings its keys and the token; nothing here does I/O.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// The ways of signing that are taken. None of them has a secret that both sides know.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
const CLOCK_SKEW_SECONDS: u64 = 60;

/// Who a provider says that somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    #[serde(rename = "iss")]
    pub issuer: String,
    #[serde(rename = "sub")]
    pub subject: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    /// The parties that the token is for, where there are several: the one that asked for it.
    #[serde(default)]
    azp: Option<String>,
}

impl Person {
    /// How it is shown.
    pub fn shown(&self) -> &str {
        self.name.as_deref().or(self.email.as_deref()).unwrap_or(&self.subject)
    }
}

/// Reads an ID token: signed by one of `keys`, from `issuer`, for `client_id`, not expired, and an answer to the request
/// that had this nonce. The error says which of these it is not.
pub fn check(token: &str, keys: &JwkSet, issuer: &str, client_id: &str, nonce: &str) -> Result<Person, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|e| format!("the ID token cannot be read: {e}"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(format!("the ID token is signed with {:?}, which is not taken", header.alg));
    }
    let found = match &header.kid {
        Some(id) => keys.find(id),
        None if keys.keys.len() == 1 => keys.keys.first(),
        None => None,
    };
    let key = found.ok_or("the ID token is signed with a key that the provider does not list")?;
    let key = DecodingKey::from_jwk(key).map_err(|e| format!("a key of the provider cannot be read: {e}"))?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.leeway = CLOCK_SKEW_SECONDS;
    let person = jsonwebtoken::decode::<Person>(token, &key, &validation)
        .map_err(|e| format!("the ID token is not good: {e}"))?
        .claims;
    if person.azp.as_ref().is_some_and(|party| party != client_id) {
        return Err("the ID token was made for another party".to_owned());
    }
    if person.nonce.as_deref() != Some(nonce) {
        return Err("the ID token answers another request".to_owned());
    }
    if person.subject.is_empty() {
        return Err("the ID token names nobody".to_owned());
    }
    Ok(person)
}
