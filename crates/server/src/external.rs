//! Reads `externaldata`: files on hosts that the owner has allowed, and on no others.
//!
//! Whoever may query could otherwise make this machine ask any address that it can reach.

use engine::RecordBatch;
use engine::external::{ExternalData, ExternalReader};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use workspace::format;

/// One file, unpacked.
const FILE_BYTES_MAX: u64 = 100 << 20;
/// All files of one `externaldata`, as rows in memory.
const FILES_BYTES_MAX: usize = 512 << 20;
const FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads files over HTTP and HTTPS.
pub struct AllowedHosts {
    /// `host` or `host:port`, in lower case.
    hosts: Vec<String>,
    agent: ureq::Agent,
}

impl AllowedHosts {
    /// `None` where no hosts are allowed.
    pub fn new(hosts: &[String]) -> Option<Arc<AllowedHosts>> {
        if hosts.is_empty() {
            return None;
        }
        // The certificate authorities that the machine trusts.
        let authorities: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&authorities)).build();
        // A redirect could lead to a host that is not allowed.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(FILE_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .tls_config(tls);
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Some(Arc::new(AllowedHosts { hosts, agent: config.build().new_agent() }))
    }

    fn check(&self, address: &str) -> Result<(), String> {
        let uri: ureq::http::Uri = address.parse().map_err(|e| format!("'{}' is no address: {e}", shown(address)))?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let with_port = uri.port_u16().map(|port| format!("{host}:{port}"));
        let is_allowed = self.hosts.iter().any(|allowed| match &with_port {
            Some(with_port) => allowed == with_port,
            None => *allowed == host,
        });
        if is_web && is_allowed {
            return Ok(());
        }
        let host = with_port.unwrap_or(host);
        Err(format!("Not supported: externaldata from '{host}', which the owner of this server has not allowed"))
    }

    fn fetch(&self, address: &str) -> Result<Vec<u8>, String> {
        let failed = |problem: String| format!("failed to read '{}': {problem}", shown(address));
        let mut response = self.agent.get(address).call().map_err(|e| failed(e.to_string()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(format!("the answer is {status}")));
        }
        let body = response.body_mut().with_config().limit(FILE_BYTES_MAX).read_to_vec();
        let body = body.map_err(|e| failed(e.to_string()))?;
        if !body.starts_with(&[0x1f, 0x8b]) {
            return Ok(body);
        }
        let mut unpacked = Vec::new();
        let read =
            flate2::read::MultiGzDecoder::new(body.as_slice()).take(FILE_BYTES_MAX + 1).read_to_end(&mut unpacked);
        match read {
            Ok(count) if count as u64 <= FILE_BYTES_MAX => Ok(unpacked),
            Ok(_) => Err(failed(format!("it unpacks to more than {FILE_BYTES_MAX} bytes"))),
            Err(error) => Err(failed(format!("it is no gzip: {error}"))),
        }
    }

    fn read_file(&self, wanted: &ExternalData, address: &str) -> Result<RecordBatch, String> {
        self.check(address)?;
        let bytes = self.fetch(address)?;
        let format = wanted.format.clone().unwrap_or_else(|| format_of(address));
        let bytes = match wanted.ignores_first_record {
            true => bytes.iter().position(|b| *b == b'\n').map_or(&[][..], |end| &bytes[end + 1..]),
            false => &bytes,
        };
        let columns = &wanted.columns;
        let parsed = match format.as_str() {
            "csv" => format::parse_csv(columns, bytes, b','),
            "tsv" => format::parse_csv(columns, bytes, b'\t'),
            "psv" => format::parse_csv(columns, bytes, b'|'),
            "scsv" => format::parse_csv(columns, bytes, b';'),
            "json" | "multijson" => format::parse_json(columns, bytes),
            "txt" => format::parse_lines(columns, bytes),
            "raw" => format::parse_whole(columns, bytes),
            other => {
                let known = "csv, tsv, psv, scsv, json, multijson, txt and raw are";
                return Err(format!("Not supported: externaldata of the format '{other}'; {known}"));
            }
        }
        .map_err(|error| error.to_string())?;
        match parsed.rejects.first() {
            None => Ok(parsed.batch),
            Some(first) => {
                Err(format!("record {} of '{}' cannot be read: {}", first.record, shown(address), first.reason))
            }
        }
    }
}

/// The address without what may be secret: a signature after the question mark, a name before the at sign.
fn shown(address: &str) -> &str {
    let path = address.split(['?', ';', '#']).next().unwrap_or_default();
    if path.contains('@') { "an address with credentials" } else { path }
}

/// The format that the name of a file says.
fn format_of(address: &str) -> String {
    let name = shown(address).trim_end_matches(".gz");
    let ending = name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase) {
        Some(known) if ["tsv", "psv", "scsv", "json", "txt", "raw"].contains(&known.as_str()) => known,
        _ => "csv".to_owned(),
    }
}

/// Tells the thread that reads that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl ExternalReader for AllowedHosts {
    fn read(&self, wanted: ExternalData) -> BoxFuture<'_, Result<Vec<RecordBatch>, String>> {
        let reader = AllowedHosts { hosts: self.hosts.clone(), agent: self.agent.clone() };
        let is_left = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(is_left.clone());
        let work = move || {
            let mut batches: Vec<RecordBatch> = Vec::new();
            for address in &wanted.addresses {
                if is_left.load(Ordering::Relaxed) {
                    return Err("nobody waits for the files any more".to_owned());
                }
                batches.push(reader.read_file(&wanted, address)?);
                let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                if bytes > FILES_BYTES_MAX {
                    return Err(format!("the files of externaldata take more than {FILES_BYTES_MAX} bytes"));
                }
            }
            Ok(batches)
        };
        async move {
            let read = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string());
            drop(waiting);
            read?
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    #[test]
    fn only_hosts_that_are_allowed_are_asked() {
        let reader = AllowedHosts::new(&["Example.org".to_owned(), "127.0.0.1:8000".to_owned()]).expect("hosts");
        for address in ["https://example.org/a.csv", "http://EXAMPLE.org/a", "http://127.0.0.1:8000/x"] {
            reader.check(address).expect(address);
        }
        for address in [
            "https://example.org:8443/a",
            "https://sub.example.org/a",
            "http://127.0.0.1/x",
            "http://127.0.0.1:8001/x",
            "https://example.org@evil.org/a",
            "file:///etc/passwd",
            "example.org",
            "",
        ] {
            reader.check(address).expect_err(address);
        }
        assert!(AllowedHosts::new(&[]).is_none());
    }

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(shown("https://a.org/b.csv?sig=secret"), "https://a.org/b.csv");
        assert!(!shown("https://me:secret@a.org/b.csv").contains("secret"));
        assert_eq!(format_of("https://a.org/b.TSV.gz?x=y.json"), "tsv");
        assert_eq!(format_of("https://a.org/b.json.gz?x"), "json");
    }
}
