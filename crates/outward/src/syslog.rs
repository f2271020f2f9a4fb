//! Syslog: messages of RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, counted) or TLS (RFC 5425).
//!
//! Only TLS and TCP can tell that the other side is there; none of them says that a message was kept.

use crate::{Alert, Error, Form, text};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Security and authorization messages.
const FACILITY: u32 = 10;
/// What one datagram can hold, with room for headers on the way.
const DATAGRAM_BYTES_MAX: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tls,
    Tcp,
    Udp,
}

pub struct Syslog {
    transport: Transport,
    host: String,
    port: u16,
    form: Form,
}

impl Syslog {
    pub(crate) fn new(url: &str, form: Form) -> Result<Syslog, String> {
        let wrong = || format!("'{url}' is no address of the form tls://host:port, tcp://host:port or udp://host:port");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "tls" => Transport::Tls,
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(wrong()),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        Ok(Syslog { transport, host: host.to_owned(), port, form })
    }

    fn message(&self, alert: &Alert) -> String {
        let severity = match text(alert, "AlertSeverity") {
            "High" => 2,
            "Medium" => 4,
            "Low" => 5,
            _ => 6,
        };
        let time = text(alert, "TimeGenerated");
        // Six digits are what the standard takes of a second.
        let time = kql::datetime::parse(time).map_or("-".to_owned(), |ticks| {
            let shown = kql::datetime::format(ticks);
            format!("{}Z", &shown[..shown.len().min(26)])
        });
        let word = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let device: String = crate::device(alert).chars().filter(char::is_ascii_graphic).take(255).collect();
        let of: String = text(alert, "AlertType").chars().filter(char::is_ascii_graphic).take(32).collect();
        let line = self.form.line(alert);
        format!("<{}>1 {time} {} turnstone - {} - {line}", FACILITY * 8 + severity, word(device), word(of))
    }

    pub(crate) fn send(&self, alert: &Alert) -> Result<(), Error> {
        let message = self.message(alert);
        let failed = |e: std::io::Error| Error::Failed(e.to_string());
        if self.transport == Transport::Udp && message.len() > DATAGRAM_BYTES_MAX {
            let problem =
                format!("the alert takes {} bytes, more than a datagram holds; use tcp:// or tls://", message.len());
            return Err(Error::Refused(problem));
        }
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs().map_err(failed)?;
        let address = addresses.next().ok_or_else(|| Error::Failed(format!("'{}' has no address", self.host)))?;
        if self.transport == Transport::Udp {
            let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(local).map_err(failed)?;
            return socket.send_to(message.as_bytes(), address).map(|_| ()).map_err(failed);
        }
        let counted = format!("{} {message}", message.len());
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        if self.transport == Transport::Tcp {
            return stream.write_all(counted.as_bytes()).and_then(|()| stream.flush()).map_err(failed);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|e| Error::Refused(e.to_string()))?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| Error::Failed(e.to_string()))?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(counted.as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
        stream.conn.send_close_notify();
        stream.flush().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_form_of_the_standard() {
        let syslog = Syslog::new("tcp://127.0.0.1:514", Form::Cef).expect("an address");
        let message = syslog.message(&crate::sample());
        let beginning = "<82>1 2026-03-02T10:00:05.000000Z pump-07 turnstone - IoT_ReverseShell - CEF:0|Turnstone|";
        assert!(message.starts_with(beginning), "{message}");
    }
}
