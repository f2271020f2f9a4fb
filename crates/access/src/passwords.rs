//! Passwords, as Argon2id hashes, and one-time codes.

use crate::Error;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::LazyLock;
use totp_rs::TOTP;

pub(crate) const PASSWORD_CHARACTERS_MIN: usize = 12;
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;
/// 19 MiB, 2 passes, 1 lane: the least that OWASP's password storage cheat sheet recommends for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const TOTP_SECRET_BYTES: usize = 20;
const TOTP_DIGITS: usize = 6;
pub(crate) const TOTP_STEP_SECONDS: u64 = 30;

fn hasher() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|e| Error::Bad(format!("Argon2: {e}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash of a new password, or why it is not taken. Takes tens of milliseconds and 19 MiB.
pub(crate) fn hash(password: &str) -> Result<String, Error> {
    let characters = password.chars().count();
    if characters < PASSWORD_CHARACTERS_MIN || password.len() > PASSWORD_BYTES_MAX {
        let message = format!(
            "a password has at least {PASSWORD_CHARACTERS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes"
        );
        return Err(Error::Bad(message));
    }
    let mut salt = [0u8; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).map_err(|_| Error::NoRandomness)?;
    let salt = BASE64_STANDARD_NO_PAD.encode(salt);
    let failed = |e: argon2::password_hash::Error| Error::Bad(format!("the password could not be hashed: {e}"));
    let salt = Salt::from_b64(&salt).map_err(failed)?;
    Ok(hasher()?.hash_password(password.as_bytes(), salt).map_err(failed)?.to_string())
}

/// Whether a password is the one of a hash. Where there is no hash it takes as long, and is not.
pub(crate) fn is_right(password: &str, hash: Option<&str>) -> bool {
    static NOBODYS: LazyLock<String> = LazyLock::new(|| self::hash("nobody's password").unwrap_or_default());
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(&NOBODYS)) else { return false };
    let is_right = hasher().is_ok_and(|hasher| hasher.verify_password(password.as_bytes(), &parsed).is_ok());
    is_right && hash.is_some()
}

/// A new secret for one-time codes, in the form of authenticators (base32).
pub(crate) fn new_totp_secret() -> Result<String, Error> {
    let mut bytes = [0u8; TOTP_SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    Ok(totp_rs::Secret::Raw(bytes.to_vec()).to_encoded().to_string())
}

fn totp(secret: &str, account: &str) -> Option<TOTP> {
    let bytes = totp_rs::Secret::Encoded(secret.to_owned()).to_bytes().ok()?;
    let issuer = Some("Turnstone".to_owned());
    TOTP::new(totp_rs::Algorithm::SHA1, TOTP_DIGITS, 1, TOTP_STEP_SECONDS, bytes, issuer, account.to_owned()).ok()
}

/// The address that authenticators read from a picture.
pub(crate) fn totp_uri(secret: &str, account: &str) -> String {
    totp(secret, account).map(|totp| totp.get_url()).unwrap_or_default()
}

/// The step of time that a code belongs to, when it is the code of that or a neighbouring step.
pub(crate) fn totp_step(secret: &str, code: &str, unix_seconds: u64) -> Option<u64> {
    let totp = totp(secret, "user")?;
    let step = unix_seconds / TOTP_STEP_SECONDS;
    let around = step.saturating_sub(1)..=step + 1;
    around.into_iter().find(|step| {
        let wanted = totp.generate(step * TOTP_STEP_SECONDS);
        // Codes are short and few are tried, but the comparison is constant in time all the same.
        wanted.len() == code.len() && wanted.bytes().zip(code.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_known_by_their_hashes() {
        let kept = hash("correct horse battery").expect("long enough");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is_right("correct horse battery", Some(&kept)));
        assert!(!is_right("correct horse batterx", Some(&kept)));
        assert!(!is_right("nobody's password", None));
        assert!(hash("short").is_err());
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, with six digits.
        let secret = totp_rs::Secret::Raw(b"12345678901234567890".to_vec()).to_encoded().to_string();
        assert_eq!(totp_step(&secret, "287082", 59), Some(1));
        assert_eq!(totp_step(&secret, "287082", 89), Some(1));
        assert_eq!(totp_step(&secret, "287082", 120), None);
        assert_eq!(totp_step(&secret, "081804", 1_111_111_109), Some(37_037_036));
        assert!(totp_uri(&secret, "ann").starts_with("otpauth://totp/Turnstone:ann?secret="));
    }
}
