//! Who may call: the admin token of the data folder, presented as a bearer token.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const TOKEN_BYTES: usize = 32;
/// What every token begins with: people and secret scanners know one when they see it, and no program takes it for a flag.
const TOKEN_PREFIX: &str = "tst_";
const FILE_NAME: &str = "admin-token";

/// A bearer token with all rights. Its text is never printed.
pub struct AdminToken(String);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl AdminToken {
    /// The token of a data folder; made, readable by its owner alone, when there is none yet.
    pub fn load_or_create(folder: &Path) -> std::io::Result<AdminToken> {
        let path = folder.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(AdminToken(text.trim().to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut bytes = [0u8; TOKEN_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers to be had"))?;
        let token = format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(token.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        Ok(AdminToken(token))
    }

    /// Whether the request carries this token.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
            let (scheme, token) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        given.is_some_and(|given| self.is(given))
    }

    /// Whether a text is this token. Takes as long for a near miss as for a far one.
    pub fn is(&self, given: &str) -> bool {
        // Digests are of one length, so comparing them tells nothing about the token's.
        let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let (mine, theirs) = (digest(&self.0), digest(given));
        let difference = mine.as_ref().iter().zip(theirs.as_ref()).fold(0u8, |acc, (a, b)| acc | (a ^ b));
        difference == 0
    }
}
