//! Connection strings: `HostName=…;DeviceId=…;SharedAccessKey=…`.

use crate::sas::Key;
use std::fmt;

/// Where a device connects to and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Host and, when it is not the default, port: `hub.example:8443`.
    pub host: String,
    pub device_id: String,
    pub module_id: Option<String>,
    pub key: Key,
}

/// What is wrong with a connection string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the connection string lacks {0}=…")]
    Missing(&'static str),
    #[error("the connection string has a part without '=': parts are name=value, separated by ';'")]
    NoValue,
    #[error("the SharedAccessKey of the connection string is no base64")]
    BadKey,
}

impl ConnectionString {
    /// Reads a device's or module's connection string; parts that are not known are passed over.
    pub fn parse(text: &str) -> Result<ConnectionString, Error> {
        let (mut host, mut device, mut module, mut key) = (None, None, None, None);
        for part in text.trim().split(';').filter(|p| !p.trim().is_empty()) {
            let (name, value) = part.split_once('=').ok_or(Error::NoValue)?;
            match name.trim() {
                "HostName" => host = Some(value.trim()),
                "DeviceId" => device = Some(value.trim()),
                "ModuleId" => module = Some(value.trim()),
                "SharedAccessKey" => key = Some(value.trim()),
                _ => {}
            }
        }
        Ok(ConnectionString {
            host: host.ok_or(Error::Missing("HostName"))?.to_owned(),
            device_id: device.ok_or(Error::Missing("DeviceId"))?.to_owned(),
            module_id: module.map(str::to_owned),
            key: Key::from_base64(key.ok_or(Error::Missing("SharedAccessKey"))?).ok_or(Error::BadKey)?,
        })
    }

    /// The string itself, key included.
    pub fn reveal(&self) -> String {
        let module = self.module_id.as_ref().map(|m| format!(";ModuleId={m}")).unwrap_or_default();
        format!("HostName={};DeviceId={}{module};SharedAccessKey={}", self.host, self.device_id, self.key.to_base64())
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({}/{}, key hidden)", self.host, self.device_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let text = "HostName=localhost:8443;DeviceId=pump-07;ModuleId=m;SharedAccessKey=c2VjcmV0IGtleQ==";
        let parsed = ConnectionString::parse(text).expect("parsed");
        assert_eq!(parsed.reveal(), text);
        assert!(!format!("{parsed:?}").contains("c2Vj"), "the key stays hidden");
        assert_eq!(ConnectionString::parse("HostName=h;DeviceId=d"), Err(Error::Missing("SharedAccessKey")));
        assert_eq!(ConnectionString::parse("HostName"), Err(Error::NoValue));
    }
}
