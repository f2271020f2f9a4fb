//! Talking to a server from the command line.

use crate::Failure;
use crate::settings::{Endpoints, default_data_folder};
use clap::Args;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// For what moves everything that a server keeps.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Which server, and how to be let in.
#[derive(Args, Clone)]
pub struct ServerOptions {
    /// The server's address; by default that of the server on this machine.
    #[arg(long, env = "TURNSTONE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A bearer token; by default the admin token of the data folder.
    #[arg(long, env = "TURNSTONE_TOKEN", hide_env_values = true, value_name = "TOKEN", allow_hyphen_values = true)]
    pub token: Option<String>,
    /// The certificate authority to trust; by default that of the data folder.
    #[arg(long, env = "TURNSTONE_CA", value_name = "PEM")]
    pub ca: Option<PathBuf>,
    /// The data folder of the server on this machine.
    #[arg(long, env = "TURNSTONE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl ServerOptions {
    pub fn data_folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_data_folder)
    }
}

pub struct Client {
    agent: ureq::Agent,
    pub url: String,
    token: String,
}

/// What a query gave.
pub struct Answered {
    /// The results, as Kusto's tables.
    pub tables: Vec<Value>,
    /// Why rows are missing, where they are.
    pub missing: Option<String>,
}

/// An answer that says what is wrong.
pub struct Refused {
    pub status: u16,
    pub message: String,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused.status {
            400..=499 => Failure::usage(refused.message),
            _ => Failure::run(refused.message),
        }
    }
}

impl Client {
    pub fn new(options: &ServerOptions) -> Result<Client, Failure> {
        Client::with_timeout(options, REQUEST_TIMEOUT)
    }

    /// A client that waits for answers as long as back-ups and exports take.
    pub fn patient(options: &ServerOptions) -> Result<Client, Failure> {
        Client::with_timeout(options, PATIENT_TIMEOUT)
    }

    fn with_timeout(options: &ServerOptions, timeout: Duration) -> Result<Client, Failure> {
        let data = options.data_folder();
        let url = match &options.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => Endpoints::load(&data).map(|e| e.http).ok_or_else(|| {
                let folder = data.display();
                Failure::run(format!("no server has run with the data folder {folder}; start one with 'turnstone up', or name one with --url"))
            })?,
        };
        let token = match &options.token {
            Some(token) => token.clone(),
            None => {
                let path = data.join("admin-token");
                std::fs::read_to_string(&path)
                    .map(|t| t.trim().to_owned())
                    .map_err(|e| Failure::run(format!("{}: {e}; give a token with --token", path.display())))?
            }
        };
        let mut config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
        let ca = options.ca.clone().or_else(|| Some(data.join("ca.pem")).filter(|p| p.exists()));
        if url.starts_with("https:") {
            let path = ca.ok_or_else(|| {
                Failure::run(format!(
                    "no certificate authority is known that could vouch for {url}; name one with --ca"
                ))
            })?;
            let at = |e: &dyn std::fmt::Display| Failure::run(format!("{}: {e}", path.display()));
            let pem = std::fs::read(&path).map_err(|e| at(&e))?;
            let certificate = Certificate::from_pem(&pem).map_err(|e| at(&e))?;
            config =
                config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build());
        }
        Ok(Client { agent: config.build().new_agent(), url, token })
    }

    fn unreachable(&self, error: &ureq::Error) -> Refused {
        Refused {
            status: 599,
            message: format!("failed to reach {}: {error}; 'turnstone doctor' tells more", self.url),
        }
    }

    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Value, Refused> {
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_string()
            .map_err(|e| Refused { status: 599, message: format!("the answer broke off: {e}") })?;
        if (200..300).contains(&status) {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let error = &body["error"];
        let message =
            error["@message"].as_str().or_else(|| error["message"].as_str()).map_or(text.clone(), str::to_owned);
        Err(Refused {
            status,
            message: if message.is_empty() { format!("the server answered {status}") } else { message },
        })
    }

    pub fn get(&self, path: &str) -> Result<Value, Refused> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let sent = request.header("Authorization", format!("Bearer {}", self.token)).call();
        Self::read(sent.map_err(|e| self.unreachable(&e))?)
    }

    pub fn put(&self, path: &str) -> Result<Value, Refused> {
        let request = self.agent.put(format!("{}{path}", self.url));
        let sent = request.header("Authorization", format!("Bearer {}", self.token)).send_empty();
        Self::read(sent.map_err(|e| self.unreachable(&e))?)
    }

    pub fn patch(&self, path: &str, body: &[u8]) -> Result<Value, Refused> {
        let request = self.agent.patch(format!("{}{path}", self.url));
        let sent = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .send(body);
        Self::read(sent.map_err(|e| self.unreachable(&e))?)
    }

    pub fn delete(&self, path: &str) -> Result<Value, Refused> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let sent = request.header("Authorization", format!("Bearer {}", self.token)).call();
        Self::read(sent.map_err(|e| self.unreachable(&e))?)
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value, Refused> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let sent = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", content_type)
            .send(body);
        Self::read(sent.map_err(|e| self.unreachable(&e))?)
    }

    /// Sends JSON and copies the answer as it comes. The number of bytes.
    pub fn download(&self, path: &str, body: &[u8], sink: &mut impl Write) -> Result<u64, Refused> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let sent = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .send(body);
        let mut response = sent.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Self::read(response).map(|_| 0);
        }
        let broken = |e: std::io::Error| Refused { status: 599, message: format!("the answer broke off: {e}") };
        std::io::copy(&mut response.body_mut().as_reader(), sink).map_err(broken)
    }

    /// Runs a query or a command.
    pub fn query(&self, database: &str, text: &str) -> Result<Answered, Refused> {
        let body = json!({ "db": database, "csl": text }).to_string();
        let path = if text.trim_start().starts_with('.') { "/v1/rest/mgmt" } else { "/v1/rest/query" };
        let mut answer = self.post(path, "application/json", body.as_bytes())?;
        let mut tables = match answer["Tables"].take() {
            Value::Array(tables) => tables,
            _ => Vec::new(),
        };
        // Behind the results of a query stand their properties, the status and the table of contents. A command has
        // these where a query follows it.
        if tables.last().is_some_and(|last| last["Columns"][0]["ColumnName"] == "Ordinal") {
            tables.truncate(tables.len().saturating_sub(3));
        }
        let mut missing = None;
        for rows in tables.iter_mut().filter_map(|table| table["Rows"].as_array_mut()) {
            // In the place of rows that are missing stands an object that says why.
            rows.retain(|row| match row.get("Exceptions") {
                Some(reasons) => {
                    missing = reasons[0].as_str().map(str::to_owned);
                    false
                }
                None => true,
            });
        }
        Ok(Answered { tables, missing })
    }
}
