//! Alerts for other systems: in their forms ([`Form`]), and on the way to them ([`Destination`]).
//!
//! An alert is a row of `SecurityAlert`, as a JSON object. What has been sent, and when to try again, is the business of
//! whoever sends.

mod cef;
mod ocsf;
mod syslog;
mod webhook;

pub use webhook::new_secret;

use serde_json::{Map, Value, json};

/// An alert: a row of `SecurityAlert`.
pub type Alert = Map<String, Value>;

/// A way of writing an alert down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The row itself.
    Row,
    /// The Open Cybersecurity Schema Framework: a detection finding.
    Ocsf,
    /// The Common Event Format.
    Cef,
}

impl Form {
    /// `row`, `ocsf` or `cef`.
    pub fn named(name: &str) -> Option<Form> {
        match name.to_ascii_lowercase().as_str() {
            "row" => Some(Form::Row),
            "ocsf" => Some(Form::Ocsf),
            "cef" => Some(Form::Cef),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Form::Row => "row",
            Form::Ocsf => "ocsf",
            Form::Cef => "cef",
        }
    }

    /// An alert on one line.
    pub fn line(self, alert: &Alert) -> String {
        match self {
            Form::Row => Value::Object(alert.clone()).to_string(),
            Form::Ocsf => ocsf::finding(alert).to_string(),
            Form::Cef => cef::event(alert),
        }
    }
}

/// Whether an address is https, or http of this machine itself. One with a name or a password before its host is neither:
/// what stands there hides which host is meant.
pub fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
    let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else { return false };
    match uri.scheme_str() {
        Some("https") => !authority.host().is_empty(),
        Some("http") => matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]"),
        _ => false,
    }
}

/// Why an alert did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It may arrive later.
    #[error("{0}")]
    Failed(String),
    /// The other side does not want it, and will not.
    #[error("{0}")]
    Refused(String),
}

/// Where alerts are sent.
pub enum Destination {
    Webhook(Box<webhook::Webhook>),
    Syslog(syslog::Syslog),
}

impl Destination {
    /// Reads an address: `https://...` for a webhook, `tls://`, `tcp://` or `udp://host:port` for syslog. The secret is
    /// what webhooks are signed with. The error says what is wrong.
    pub fn read(url: &str, form: Form, secret: &str) -> Result<Destination, String> {
        match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()) {
            Some(scheme) if scheme == "https" || scheme == "http" => {
                webhook::Webhook::new(url, form, secret).map(|webhook| Destination::Webhook(Box::new(webhook)))
            }
            Some(scheme) if ["tls", "tcp", "udp"].contains(&scheme.as_str()) => {
                syslog::Syslog::new(url, form).map(Destination::Syslog)
            }
            _ => Err(format!("'{url}' is no address of https://, tls://, tcp:// or udp://")),
        }
    }

    /// `webhook` or `syslog`.
    pub fn kind(&self) -> &'static str {
        match self {
            Destination::Webhook(_) => "webhook",
            Destination::Syslog(_) => "syslog",
        }
    }

    /// Sends an alert. Blocks until it has arrived, as far as that can be known.
    pub fn send(&self, alert: &Alert) -> Result<(), Error> {
        match self {
            Destination::Webhook(webhook) => webhook.send(alert),
            Destination::Syslog(syslog) => syslog.send(alert),
        }
    }
}

pub(crate) fn text<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Milliseconds since 1970 of a time column; those of now where it has none.
pub(crate) fn unix_millis(alert: &Alert, name: &str) -> i64 {
    let ticks = kql::datetime::parse(text(alert, name)).unwrap_or_else(kql::datetime::now);
    kql::datetime::to_unix_micros(ticks) / 1000
}

/// A column that holds JSON as text.
pub(crate) fn parsed(alert: &Alert, name: &str) -> Value {
    serde_json::from_str(text(alert, name)).unwrap_or_else(|_| json!({}))
}

pub(crate) fn device(alert: &Alert) -> String {
    parsed(alert, "ExtendedProperties")["DeviceId"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) fn sample() -> Alert {
    let row = json!({
        "SystemAlertId": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "TimeGenerated": "2026-03-02T10:00:05Z",
        "StartTime": "2026-03-02T10:00:00Z",
        "EndTime": "2026-03-02T10:00:01Z",
        "AlertType": "IoT_ReverseShell",
        "DisplayName": "Reverse | shell",
        "AlertSeverity": "High",
        "Description": "A shell = open.\nLook.",
        "Tactics": "Execution, CommandAndControl",
        "Techniques": "[\"T1059\"]",
        "RemediationSteps": "[\"Look\",\"Mend\"]",
        "ResourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/hub",
        "ExtendedProperties": "{\"DeviceId\":\"pump-07\",\"CommandLine\":\"nc -e\"}",
    });
    row.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let kind = |url: &str| Destination::read(url, Form::Row, "").map(|destination| destination.kind()).ok();
        assert_eq!(kind("https://siem.example/hook"), Some("webhook"));
        assert_eq!(kind("http://127.0.0.1:9/hook"), Some("webhook"));
        assert_eq!(kind("tls://siem.example:6514"), Some("syslog"));
        for wrong in [
            "http://localhost:x@192.0.2.1/",
            "https://a@siem.example/",
            "http://siem.example/hook",
            "ftp://x",
            "tcp://siem.example",
            "udp://:514",
            "siem",
        ] {
            assert_eq!(kind(wrong), None, "{wrong}");
        }
    }
}
