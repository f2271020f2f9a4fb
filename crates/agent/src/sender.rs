//! Sending: HTTPS with a token signed by the device's key, again and again until the hub has taken a message.

use crate::ConnectionOptions;
use crate::spool::Spool;
use iothub::{ConnectionString, SasToken};
use messages::SECURITY_INTERFACE;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const TOKEN_LIFE_SECONDS: i64 = 3600;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const API_VERSION: &str = "2020-03-13";

pub struct Sender {
    agent: ureq::Agent,
    connection: ConnectionString,
    path: String,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    /// The hub will never take it; the payload says why.
    Refused(String),
    /// It may be taken later.
    Later(String),
}

impl Sender {
    pub fn new(options: &ConnectionOptions) -> Result<Sender, String> {
        let connection = options.connection()?;
        let mut config =
            ureq::Agent::config_builder().timeout_global(Some(REQUEST_TIMEOUT)).http_status_as_error(false);
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", options.ca.display());
        let pem = std::fs::read(&options.ca).map_err(|e| at(&e))?;
        let certificate = Certificate::from_pem(&pem).map_err(|e| at(&e))?;
        config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build());
        let module = connection.module_id.as_ref().map(|m| format!("/modules/{m}")).unwrap_or_default();
        let path = format!("devices/{}{module}", connection.device_id);
        Ok(Sender { agent: config.build().new_agent(), connection, path })
    }

    pub fn host(&self) -> &str {
        &self.connection.host
    }

    /// Sends one message.
    pub fn send(&self, body: &[u8]) -> Outcome {
        self.post(body, Some(SECURITY_INTERFACE))
    }

    /// Asks whether the hub knows this device, without sending it anything that it would keep: what is not marked as
    /// a security message is refused, but only once the token has been found good.
    pub fn probe(&self) -> Result<(), String> {
        match self.post(b"{}", None) {
            Outcome::Taken => Ok(()),
            Outcome::Refused(reason) if reason.contains("only security messages") => Ok(()),
            Outcome::Refused(reason) | Outcome::Later(reason) => Err(reason),
        }
    }

    fn post(&self, body: &[u8], interface: Option<&str>) -> Outcome {
        let now = kql::datetime::to_unix_micros(kql::datetime::now()) / 1_000_000;
        let host = self.connection.host.split(':').next().unwrap_or("");
        let token = SasToken::sign(&format!("{host}/{}", self.path), &self.connection.key, now + TOKEN_LIFE_SECONDS);
        let url = format!("https://{}/{}/messages/events?api-version={API_VERSION}", self.connection.host, self.path);
        let mut request =
            self.agent.post(url).header("Authorization", token).header("Content-Type", "application/json");
        if let Some(interface) = interface {
            request = request.header("iothub-interface-id", interface);
        }
        match request.send(body) {
            Err(error) => Outcome::Later(format!("failed to reach {}: {error}", self.connection.host)),
            Ok(mut response) => {
                let status = response.status().as_u16();
                let text = response.body_mut().read_to_string().unwrap_or_default();
                let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                let message = format!("{status} {}", answer["Message"].as_str().unwrap_or(""));
                match status {
                    200..=299 => Outcome::Taken,
                    400 | 413 => Outcome::Refused(message),
                    _ => Outcome::Later(message),
                }
            }
        }
    }

    /// Sends what waits, oldest first, until nothing waits or the hub does not take it. `Ok` when nothing is left.
    pub fn drain(&self, spool: &Spool) -> Result<(), String> {
        while let Some(waiting) = spool.oldest() {
            match self.send(&waiting.body) {
                Outcome::Taken => spool.done(&waiting),
                Outcome::Refused(reason) => {
                    eprintln!("turnstone-agent: the hub refused a message: {reason}");
                    spool.lost(&waiting);
                }
                Outcome::Later(reason) => return Err(reason),
            }
        }
        Ok(())
    }
}
