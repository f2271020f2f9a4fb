//! Shared access signatures: `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}`.
//!
//! The signature is HMAC-SHA256 over the text of `sr` as it stands in the token, a line feed, and the text of `se`.
//! Makers encode `sr` differently, so it is never decoded and encoded again before it is checked.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use std::fmt;

const SCHEME: &str = "SharedAccessSignature ";
/// What the device SDKs leave as it is: letters, digits and `- . _ ~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A symmetric key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    pub fn from_base64(text: &str) -> Option<Key> {
        BASE64_STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty()).map(Key)
    }

    /// A new key of 256 random bits; `None` when the machine has no randomness to give.
    pub fn random() -> Option<Key> {
        let mut bytes = vec![0u8; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok()?;
        Some(Key(bytes))
    }

    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.0)
    }

    /// Whether `signature` is the HMAC-SHA256 of a text with this key. Takes the same time whatever the signature.
    pub fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&hmac_key(self), text, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A token, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SasToken {
    /// `sr` as it stands in the token.
    resource_raw: String,
    /// The decoded signature, still base64.
    signature: String,
    /// `se` as it stands in the token.
    expiry_raw: String,
    /// Unix time in seconds after which the token counts no more.
    pub expiry_unix_seconds: i64,
    /// The name of the hub policy whose key signed, if one did.
    pub policy: Option<String>,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the token does not begin with 'SharedAccessSignature '")]
    Scheme,
    #[error("the token lacks {0}=…")]
    Missing(&'static str),
    #[error("se is no Unix time in seconds")]
    Expiry,
}

impl SasToken {
    /// Reads a token; its fields may stand in any order.
    pub fn parse(text: &str) -> Result<SasToken, Error> {
        let fields = text.trim().strip_prefix(SCHEME).ok_or(Error::Scheme)?;
        let (mut resource, mut signature, mut expiry, mut policy) = (None, None, None, None);
        for field in fields.split('&') {
            let Some((name, value)) = field.split_once('=') else { continue };
            match name.trim() {
                "sr" => resource = Some(value),
                "sig" => signature = Some(value),
                "se" => expiry = Some(value),
                "skn" => policy = Some(value).filter(|v| !v.is_empty()),
                _ => {}
            }
        }
        let expiry = expiry.ok_or(Error::Missing("se"))?.trim();
        Ok(SasToken {
            resource_raw: resource.ok_or(Error::Missing("sr"))?.to_owned(),
            signature: decode(signature.ok_or(Error::Missing("sig"))?),
            expiry_raw: expiry.to_owned(),
            expiry_unix_seconds: expiry.parse().map_err(|_| Error::Expiry)?,
            policy: policy.map(str::to_owned),
        })
    }

    /// Makes the token of a device or module: `resource` is `host/devices/id[/modules/id]`.
    pub fn sign(resource: &str, key: &Key, expiry_unix_seconds: i64) -> String {
        let resource = utf8_percent_encode(resource, RESERVED).to_string();
        let signed = hmac::sign(&hmac_key(key), format!("{resource}\n{expiry_unix_seconds}").as_bytes());
        let signature = BASE64_STANDARD.encode(signed.as_ref());
        let signature = utf8_percent_encode(&signature, RESERVED);
        format!("{SCHEME}sr={resource}&sig={signature}&se={expiry_unix_seconds}")
    }

    /// Whether `key` signed this token. Takes the same time whatever the signature.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(&self.signature) else { return false };
        key.has_signed(format!("{}\n{}", self.resource_raw, self.expiry_raw).as_bytes(), &signature)
    }

    pub fn is_expired(&self, now_unix_seconds: i64) -> bool {
        self.expiry_unix_seconds <= now_unix_seconds
    }

    /// The host that the token is for, decoded, without its port.
    pub fn host(&self) -> String {
        let resource = decode(&self.resource_raw);
        let host = resource.split('/').next().unwrap_or("");
        host.split(':').next().unwrap_or("").to_ascii_lowercase()
    }

    /// Whether the token covers `path`, such as `devices/d/modules/m`: a token for a device covers its modules, one
    /// for the host covers all.
    pub fn covers(&self, path: &str) -> bool {
        let resource = decode(&self.resource_raw);
        let Some((_, scope)) = resource.split_once('/') else { return true };
        let scope = scope.trim_end_matches('/');
        path == scope || path.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn hmac_key(key: &Key) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &key.0)
}

/// Decodes `%XX` only; a `+` stays a `+`.
fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_base64("c2VjcmV0IGtleSBmb3IgdGVzdHM=").expect("a key")
    }

    #[test]
    fn signs_and_verifies() {
        let text = SasToken::sign("hub.example/devices/pump 07", &key(), 2_000_000_000);
        assert!(text.starts_with("SharedAccessSignature sr=hub.example%2Fdevices%2Fpump%2007&sig="), "{text}");
        let token = SasToken::parse(&text).expect("a token");
        assert!(token.is_signed_by(&key()));
        assert!(!token.is_signed_by(&Key::from_base64("YW5vdGhlcg==").expect("a key")));
        assert!(token.is_expired(2_000_000_000) && !token.is_expired(1_999_999_999));
        assert_eq!(token.host(), "hub.example");
    }

    #[test]
    fn the_raw_resource_is_what_is_signed() {
        // Lower-case hex, as another maker writes it: the same resource, another text, another signature.
        let raw = "hub%2fdevices%2fd";
        let signature = BASE64_STANDARD.encode(hmac::sign(&hmac_key(&key()), format!("{raw}\n99").as_bytes()));
        let encoded = utf8_percent_encode(&signature, RESERVED);
        let token =
            SasToken::parse(&format!("SharedAccessSignature se=99&sig={encoded}&sr={raw}&skn=")).expect("a token");
        assert!(token.is_signed_by(&key()));
        assert_eq!(token.policy, None);
        // A slash in the signature may come bare.
        let bare = SasToken::parse(&format!("SharedAccessSignature sr={raw}&sig={signature}&se=99")).expect("a token");
        assert!(bare.is_signed_by(&key()));
    }

    #[test]
    fn covers_by_prefix_of_whole_segments() {
        let token = |resource: &str| SasToken::parse(&SasToken::sign(resource, &key(), 1)).expect("a token");
        assert!(token("h/devices/d").covers("devices/d"));
        assert!(token("h/devices/d").covers("devices/d/modules/m"));
        assert!(!token("h/devices/d").covers("devices/d2"));
        assert!(!token("h/devices/d/modules/m").covers("devices/d"));
        assert!(token("h:8443").covers("devices/anything"));
    }

    #[test]
    fn bad_tokens_say_what_is_missing() {
        assert_eq!(SasToken::parse("Bearer x"), Err(Error::Scheme));
        assert_eq!(SasToken::parse("SharedAccessSignature sr=a&se=1"), Err(Error::Missing("sig")));
        assert_eq!(SasToken::parse("SharedAccessSignature sr=a&sig=b&se=soon"), Err(Error::Expiry));
    }
}
