//! `turnstone`: the command line.
//!
//! This crate reads options and wires the other crates together; it holds no logic of its own.

mod admin;
mod backup;
mod client;
mod device;
mod doctor;
mod export;
mod files;
mod ingest;
mod output;
mod query;
mod rule;
mod settings;
mod shell;
mod telemetry;
mod up;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use std::process::ExitCode;

// What queries free goes back to the system: glibc's allocator keeps large pieces once several threads have used them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Security monitoring for fleets of Linux IoT devices, self-hosted.
#[derive(Parser)]
#[command(name = "turnstone", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: the hub, the workspace, the interfaces and a local agent.
    Up(up::Options),
    /// Run a KQL query, against a server or on files alone.
    Query(query::Options),
    /// Put the rows of files into a table.
    Ingest(ingest::Options),
    /// Write the rows of a table or a query to a Parquet file.
    Export(export::Options),
    /// Back up everything that a server keeps, while it runs.
    Backup(backup::BackupOptions),
    /// Make a data folder of a back-up.
    Restore(backup::RestoreOptions),
    /// Create, list, show or delete the devices that may send.
    #[command(subcommand)]
    Device(device::Command),
    /// Get back in when everybody is locked out.
    #[command(subcommand)]
    Admin(admin::Command),
    /// Work with detection rules.
    #[command(subcommand)]
    Rule(rule::Command),
    /// Find out why something does not work.
    Doctor(doctor::Options),
}

/// A command that failed: what to print, and the exit code.
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something the caller can mend: a wrong option, query or file. Exit code 2.
    fn usage(message: impl std::fmt::Display) -> Failure {
        Failure { message: message.to_string(), code: 2 }
    }

    /// Something that went wrong. Exit code 1.
    fn run(message: impl std::fmt::Display) -> Failure {
        Failure { message: message.to_string(), code: 1 }
    }
}

fn main() -> ExitCode {
    // Two crypto providers are compiled in, by way of dependencies; this program uses ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Arguments::parse().command {
        Command::Up(options) => up::run(options),
        Command::Query(options) => query::run(&options),
        Command::Ingest(options) => ingest::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Device(command) => device::run(&command),
        Command::Admin(command) => admin::run(&command),
        Command::Rule(command) => rule::run(&command),
        Command::Doctor(options) => doctor::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message.trim_end());
            ExitCode::from(failure.code)
        }
    }
}
