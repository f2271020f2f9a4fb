//! Webhooks, signed as Standard Webhooks says (standardwebhooks.com): HMAC-SHA256 over id, time and body.
//!
//! The id is that of the alert: whoever gets it twice knows it.

use crate::{Alert, Error, Form, text};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const TIMEOUT: Duration = Duration::from_secs(15);
/// What secrets of the standard begin with; the rest is base64.
const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

/// A new secret.
pub fn new_secret() -> Option<String> {
    let mut bytes = [0u8; SECRET_BYTES];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok()?;
    Some(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

pub struct Webhook {
    url: String,
    form: Form,
    key: hmac::Key,
    agent: ureq::Agent,
}

impl Webhook {
    pub(crate) fn new(url: &str, form: Form, secret: &str) -> Result<Webhook, String> {
        let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        let key = BASE64_STANDARD.decode(encoded).map_err(|_| "the secret is no base64".to_owned())?;
        if !crate::is_private(url) {
            return Err(format!("'{url}' is no https:// address; http:// is for loopback only"));
        }
        let roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let config = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::from(roots)).build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Ok(Webhook {
            url: url.to_owned(),
            form,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            agent: ureq::Agent::new_with_config(config),
        })
    }

    /// The headers of a message: id, time and signature.
    fn signed(&self, id: &str, unix_seconds: i64, body: &str) -> [(&'static str, String); 3] {
        let signature = hmac::sign(&self.key, format!("{id}.{unix_seconds}.{body}").as_bytes());
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", unix_seconds.to_string()),
            ("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(signature.as_ref()))),
        ]
    }

    pub(crate) fn send(&self, alert: &Alert) -> Result<(), Error> {
        let body = self.form.line(alert);
        let now = kql::datetime::to_unix_micros(kql::datetime::now()) / 1_000_000;
        let mut request = self.agent.post(&self.url);
        for (name, value) in self.signed(text(alert, "SystemAlertId"), now, &body) {
            request = request.header(name, value);
        }
        let content_type = if self.form == Form::Cef { "text/plain; charset=utf-8" } else { "application/json" };
        let sent = request.header("Content-Type", content_type).send(body);
        let status = sent.map_err(|e| Error::Failed(e.to_string()))?.status().as_u16();
        match status {
            200..300 => Ok(()),
            // The alert itself is not wanted; whatever else is wrong may be mended on the other side.
            400 | 410 | 413 | 415 | 422 => Err(Error::Refused(format!("the answer is {status}"))),
            _ => Err(Error::Failed(format!("the answer is {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        let webhook = Webhook::new("https://siem.example/hook", Form::Row, "whsec_c2VjcmV0").expect("an address");
        let [id, time, signature] = webhook.signed("msg", 1_700_000_000, "{}");
        assert_eq!((id.1.as_str(), time.1.as_str()), ("msg", "1700000000"));
        let given = BASE64_STANDARD.decode(signature.1.strip_prefix("v1,").expect("a version")).expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&key, b"msg.1700000000.{}", &given).expect("signed");
        assert!(Webhook::new("https://siem.example/hook", Form::Row, &new_secret().expect("random")).is_ok());
    }
}
