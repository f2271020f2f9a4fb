//! Secrets that this program makes: random texts of which only digests are kept.

use crate::Error;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

const RANDOM_BYTES: usize = 32;
/// What every secret begins with: people and secret scanners know one when they see it, and no program takes it for a
/// flag.
const PREFIX: &str = "tst_";

/// The SHA-256 of a secret. Secrets are 256 random bits, so a digest tells nothing of them and needs no salt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// A secret as its owner sees it, once. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl SecretText {
    /// A new one.
    pub fn random() -> Result<SecretText, Error> {
        let mut bytes = [0u8; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
        Ok(SecretText(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text, to be shown to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl Digest {
    pub fn of(text: &str) -> Digest {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(digest.as_ref());
        Digest(bytes)
    }

    pub fn to_text(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    pub fn from_text(text: &str) -> Option<Digest> {
        Some(Digest(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_known_by_their_digests() {
        let (one, other) = (SecretText::random().expect("random"), SecretText::random().expect("random"));
        assert!(one.reveal().starts_with(PREFIX) && one != other);
        assert!(Digest::from_text(&one.digest().to_text()) == Some(Digest::of(one.reveal())));
        assert!(!format!("{one:?}").contains(one.reveal()));
    }
}
