//! The listeners: plain HTTP on loopback only, HTTPS anywhere.

use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How long requests in flight have to end once the program is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the files of the certificate are looked at.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// What could not be listened on, as a fragment after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    /// Plain HTTP would send tokens in the clear.
    #[error("listen on {0} without TLS: plain HTTP is for loopback addresses only")]
    NotLoopback(SocketAddr),
    #[error("read the certificate: {0}")]
    Certificate(std::io::Error),
    #[error("serve: {0}")]
    Serve(std::io::Error),
}

/// A bound socket whose address is known and that does not serve yet.
pub struct Bound {
    listener: TcpListener,
    pub address: SocketAddr,
}

fn bind(address: SocketAddr) -> Result<Bound, Error> {
    let at = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(at)?;
    listener.set_nonblocking(true).map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    Ok(Bound { listener, address })
}

/// Binds plain HTTP; refuses any address that is not loopback.
pub fn bind_http(address: SocketAddr) -> Result<Bound, Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    bind(address)
}

pub fn bind_https(address: SocketAddr) -> Result<Bound, Error> {
    bind(address)
}

/// Marks requests that came without TLS.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

/// Ends all servers that were started with it, letting requests in flight finish.
#[derive(Clone, Default)]
pub struct Stop(Handle<SocketAddr>);

impl Stop {
    pub fn stop(&self) {
        self.0.graceful_shutdown(Some(DRAIN_TIMEOUT));
    }
}

/// Serves until stopped.
pub async fn serve_http(bound: Bound, router: Router, stop: &Stop) -> Result<(), Error> {
    let router = router.layer(Extension(Plain));
    let server = axum_server::from_tcp(bound.listener).map_err(Error::Serve)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    server.handle(stop.0.clone()).serve(service).await.map_err(Error::Serve)
}

/// The files that HTTPS is served with, as PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// When either file was changed last.
    fn changed(&self) -> Option<SystemTime> {
        let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        changed(&self.certificate).max(changed(&self.key))
    }

    /// Takes the files anew whenever they change. While they do not fit each other, the old ones are served.
    async fn follow(self, config: RustlsConfig) {
        let mut known = self.changed();
        loop {
            tokio::time::sleep(CERTIFICATE_CHECK_INTERVAL).await;
            let now = self.changed();
            if now == known {
                continue;
            }
            match config.reload_from_pem_file(&self.certificate, &self.key).await {
                Ok(()) => {
                    tracing::info!(certificate = %self.certificate.display(), "the certificate has changed and is served");
                    known = now;
                }
                Err(error) => {
                    tracing::warn!(certificate = %self.certificate.display(), %error, "the certificate has changed and cannot be served yet");
                }
            }
        }
    }
}

/// Serves over TLS until stopped.
pub async fn serve_https(bound: Bound, router: Router, files: Certificate, stop: &Stop) -> Result<(), Error> {
    let config = RustlsConfig::from_pem_file(&files.certificate, &files.key).await.map_err(Error::Certificate)?;
    let server = axum_server::from_tcp_rustls(bound.listener, config.clone()).map_err(Error::Serve)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = server.handle(stop.0.clone()).serve(service) => served.map_err(Error::Serve),
        () = files.follow(config) => Ok(()),
    }
}
