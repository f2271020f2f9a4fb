//! Whether a token lets its bearer speak for a device or module.

use crate::registry::{Error, Hubs};
use iothub::SasToken;

/// Clocks of devices and hub may differ by this much.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// Who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The name of its hub.
    pub hub: String,
    pub device_id: String,
    pub module_id: Option<String>,
}

/// Why somebody is not let in. The words go to the log; what the sender is told is less.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("no Authorization header")]
    NoToken,
    #[error("bad token: {0}")]
    BadToken(#[from] iothub::sas::Error),
    #[error("expired token")]
    Expired,
    #[error("the token is for another device")]
    OtherDevice,
    #[error("unknown device")]
    UnknownDevice,
    #[error("unknown module")]
    UnknownModule,
    #[error("the signature fits none of the keys")]
    WrongKey,
    #[error("the device is disabled")]
    Disabled,
    #[error(transparent)]
    Registry(#[from] Error),
}

/// Checks a token against the keys of the device, and of the module when one is named. Which hub is meant is told by the
/// host that the token is for.
pub async fn check(
    hubs: &Hubs,
    token: Option<&str>,
    device_id: &str,
    module_id: Option<&str>,
    now_unix_seconds: i64,
) -> Result<Sender, Refusal> {
    let token = SasToken::parse(token.ok_or(Refusal::NoToken)?)?;
    let path = match module_id {
        Some(module) => format!("devices/{device_id}/modules/{module}"),
        None => format!("devices/{device_id}"),
    };
    if !token.covers(&path) {
        return Err(Refusal::OtherDevice);
    }
    let registry = hubs.of_host(&token.host());
    let device = registry.device(device_id).await?.ok_or(Refusal::UnknownDevice)?;
    let mut is_signed = token.is_signed_by(&device.primary_key) || token.is_signed_by(&device.secondary_key);
    if let Some(module) = module_id {
        let keys = registry.module_keys(device_id, module).await?.ok_or(Refusal::UnknownModule)?;
        is_signed |= keys.iter().any(|key| token.is_signed_by(key));
    }
    if !is_signed {
        return Err(Refusal::WrongKey);
    }
    if token.is_expired(now_unix_seconds - CLOCK_SKEW_SECONDS) {
        return Err(Refusal::Expired);
    }
    // Asked last: only who has a key learns that its device is disabled.
    if !device.is_enabled {
        return Err(Refusal::Disabled);
    }
    Ok(Sender { hub: registry.hub().to_owned(), device_id: device.id, module_id: module_id.map(str::to_owned) })
}
