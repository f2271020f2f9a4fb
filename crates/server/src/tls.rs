//! The program's own certificate authority and the certificate that it serves with.
//!
//! Made at the first start: `ca.pem` (to hand to clients), `ca.key`, `server.pem` and `server.key`. The names in the
//! certificate are those of this machine and of loopback. Clients need an authority key identifier, and basic
//! constraints and key usage marked critical (Python 3.13 checks strictly).

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Days that the certificate authority lives.
const CA_YEARS: i32 = 20;
/// The longest life of a server certificate that all clients take.
const SERVER_DAYS: i64 = 825;

/// What could not be done, as a fragment after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("write {path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<(), Error> {
    let path = folder.join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(&path);
    file.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()))
        .map_err(|source| Error::Io { path: path.display().to_string(), source })
}

/// Makes the authority and the server's certificate in `folder`, unless they are there.
pub fn ensure_certificates(folder: &Path) -> Result<(), Error> {
    if folder.join("server.pem").exists() && folder.join("ca.pem").exists() {
        return Ok(());
    }
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Turnstone CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let today = kql::datetime::Parts::of(kql::datetime::now());
    let (year, month, day) = (today.year as i32, today.month as u8, today.day.min(28) as u8);
    ca.not_before = rcgen::date_time_ymd(year, month, day);
    ca.not_after = rcgen::date_time_ymd(year + CA_YEARS, month, day);
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(host.trim().to_owned());
    }
    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "Turnstone");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let ends = kql::datetime::Parts::of(kql::datetime::now() + SERVER_DAYS * kql::timespan::TICKS_PER_DAY);
    server.not_before = rcgen::date_time_ymd(year, month, day);
    server.not_after = rcgen::date_time_ymd(ends.year as i32, ends.month as u8, ends.day.min(28) as u8);
    let server_certificate = server.signed_by(&server_key, &issuer)?;

    write(folder, "ca.key", &issuer.key().serialize_pem(), 0o600)?;
    write(folder, "ca.pem", &ca_certificate.pem(), 0o644)?;
    write(folder, "server.key", &server_key.serialize_pem(), 0o600)?;
    // Last, since its presence says that the others are whole.
    write(folder, "server.pem", &format!("{}{}", server_certificate.pem(), ca_certificate.pem()), 0o644)
}
