//! `turnstone-agent`: collects a device's security events and sends them to a hub.
//!
//! Collectors ([`collectors`]) make events, the [`spool`] keeps them on disk until the hub has taken them, the
//! [`sender`] sends. Threads, no async runtime: the program is small and mostly asleep.

mod collectors;
mod doctor;
mod event;
mod run;
mod scan;
mod sender;
mod spool;

use clap::{Args, Parser, Subcommand};
use iothub::ConnectionString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Watches this device for security events and reports them to a hub.
#[derive(Parser)]
#[command(name = "turnstone-agent", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch this device and report, until stopped.
    Run(run::Options),
    /// Read a log of sign-ins once and send them with their own times.
    Scan(scan::Options),
    /// Explain why no data arrives.
    Doctor(ConnectionOptions),
}

/// Where to send, and as whom.
#[derive(Args, Clone)]
pub struct ConnectionOptions {
    /// The device's connection string.
    #[arg(long, env = "TURNSTONE_CONNECTION_STRING", hide_env_values = true, value_name = "TEXT")]
    connection_string: Option<String>,
    /// A file that holds the connection string.
    #[arg(long, default_value = "/etc/turnstone-agent/connection-string", value_name = "FILE")]
    connection_string_file: PathBuf,
    /// The certificate authority of the hub.
    #[arg(long, default_value = "/etc/turnstone-agent/ca.pem", value_name = "PEM")]
    ca: PathBuf,
}

impl ConnectionOptions {
    fn connection(&self) -> Result<ConnectionString, String> {
        let text = match &self.connection_string {
            Some(text) => text.clone(),
            None => std::fs::read_to_string(&self.connection_string_file)
                .map_err(|e| format!("{}: {e}", self.connection_string_file.display()))?,
        };
        ConnectionString::parse(&text).map_err(|e| e.to_string())
    }
}

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Scan(options) => scan::run(&options),
        Command::Doctor(options) => doctor::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("turnstone-agent: {message}");
            ExitCode::FAILURE
        }
    }
}
