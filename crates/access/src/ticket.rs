//! Access tokens: signed, good for an hour, and kept nowhere.

use crate::Error;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How long an access token is good for.
pub(crate) const LIFE_SECONDS: u64 = 3600;
const KEY_BYTES: usize = 32;
const FILE_NAME: &str = "token-key";

/// What an access token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The principal's id.
    sub: String,
    appid: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// Signs access tokens and knows its own again.
pub(crate) struct Tickets {
    signs: EncodingKey,
    knows: DecodingKey,
}

impl Tickets {
    /// With the key of a data folder; made, readable by its owner alone, when there is none yet.
    pub fn load_or_create(folder: &Path) -> Result<Tickets, Error> {
        let path = folder.join(FILE_NAME);
        let at = |source| Error::Io { path: path.display().to_string(), source };
        let key = match std::fs::read(&path) {
            Ok(key) if key.len() == KEY_BYTES => key,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(error)),
            // A file of another length was cut off while it was made; nobody has a token of it.
            _ => {
                let mut key = vec![0u8; KEY_BYTES];
                SystemRandom::new().fill(&mut key).map_err(|_| Error::NoRandomness)?;
                let mut options = std::fs::OpenOptions::new();
                let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
                file.and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all())).map_err(at)?;
                key
            }
        };
        Ok(Tickets { signs: EncodingKey::from_secret(&key), knows: DecodingKey::from_secret(&key) })
    }

    /// A token for a principal.
    pub fn issue(&self, principal_id: &str, app_id: &str, issuer: &str, audience: &str, now: u64) -> Option<String> {
        let claims = Claims {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            sub: principal_id.to_owned(),
            appid: app_id.to_owned(),
            iat: now,
            nbf: now,
            exp: now + LIFE_SECONDS,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signs).ok()
    }

    /// The principal of a token that is ours and not expired. Whatever audience it was asked for, this server is it.
    pub fn principal_of(&self, token: &str, now: u64) -> Option<String> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_aud = false;
        // Time is compared here, so that one clock decides.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.knows, &validation).ok()?.claims;
        (now < claims.exp).then_some(claims.sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_until_they_expire() {
        let folder = tempfile::tempdir().expect("a folder");
        let tickets = Tickets::load_or_create(folder.path()).expect("made");
        let token = tickets.issue("p", "a", "https://here/adfs", "https://there", 1000).expect("signed");
        let again = Tickets::load_or_create(folder.path()).expect("read");
        assert_eq!(again.principal_of(&token, 1000 + LIFE_SECONDS - 1).as_deref(), Some("p"));
        assert_eq!(again.principal_of(&token, 1000 + LIFE_SECONDS), None);
        let other = tempfile::tempdir().expect("a folder");
        let other = Tickets::load_or_create(other.path()).expect("made");
        assert_eq!(other.principal_of(&token, 1000), None);
        // One that says it is not signed.
        let body = token.split('.').nth(1).expect("a body");
        assert_eq!(again.principal_of(&format!("eyJhbGciOiJub25lIn0.{body}."), 1000), None);
    }
}
