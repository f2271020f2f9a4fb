//! The listeners: plain HTTP on loopback only, HTTPS anywhere.

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// How long requests in flight have to end once the program is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

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
    let server = axum_server::from_tcp(bound.listener).map_err(Error::Serve)?;
    server.handle(stop.0.clone()).serve(router.into_make_service()).await.map_err(Error::Serve)
}

/// Serves over TLS with the certificate of the data folder until stopped.
pub async fn serve_https(bound: Bound, router: Router, data: &Path, stop: &Stop) -> Result<(), Error> {
    let config = RustlsConfig::from_pem_file(data.join("server.pem"), data.join("server.key"))
        .await
        .map_err(Error::Certificate)?;
    let server = axum_server::from_tcp_rustls(bound.listener, config).map_err(Error::Serve)?;
    server.handle(stop.0.clone()).serve(router.into_make_service()).await.map_err(Error::Serve)
}
