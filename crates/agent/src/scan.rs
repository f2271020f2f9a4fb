//! `turnstone-agent scan`: a historical log, once.

use crate::ConnectionOptions;
use crate::collectors::auth_log::AuthLog;
use crate::event::fold;
use crate::sender::Sender;
use crate::spool::Spool;
use clap::Args;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// Messages of one scan may take this much room until they are sent.
const SPOOL_BYTES_MAX: u64 = 1 << 30;
const EVENTS_AT_ONCE: usize = 2000;

#[derive(Args)]
#[command(after_help = "Example:
  turnstone-agent scan --auth-log /var/log/auth.log.1 --year 2025")]
pub struct Options {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// A log of sign-ins in the form of /var/log/auth.log.
    #[arg(long, value_name = "FILE")]
    auth_log: PathBuf,
    /// The year of the first line, for logs whose times have none; by default the latest that does not lie ahead.
    #[arg(long, value_name = "YYYY", value_parser = clap::value_parser!(i64).range(1970..=9999))]
    year: Option<i64>,
}

pub fn run(options: &Options) -> Result<(), String> {
    let sender = Sender::new(&options.connection)?;
    let at = |e: std::io::Error| format!("{}: {e}", options.auth_log.display());
    let file = std::fs::File::open(&options.auth_log).map_err(at)?;
    // A scan has a spool of its own, beside nothing else's.
    let state = std::env::temp_dir().join(format!("turnstone-agent-scan-{}", std::process::id()));
    std::fs::create_dir_all(&state).map_err(|e| format!("{}: {e}", state.display()))?;
    let outcome = send(&sender, &state, file, options);
    let _ = std::fs::remove_dir_all(&state);
    let (lines, logins) = outcome?;
    eprintln!("{}: {lines} lines, {logins} logins sent to {}", options.auth_log.display(), sender.host());
    Ok(())
}

fn send(
    sender: &Sender,
    state: &std::path::Path,
    file: std::fs::File,
    options: &Options,
) -> Result<(usize, usize), String> {
    let spool = Spool::open(state, SPOOL_BYTES_MAX)?;
    let mut log = AuthLog::new(options.year);
    let (mut lines, mut logins) = (0, 0);
    let mut pending = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|e| format!("{}: {e}", options.auth_log.display()))?;
        lines += 1;
        let text = String::from_utf8_lossy(&line);
        if let Some(login) = log.login(&text) {
            logins += 1;
            pending.push(login.identified(format!("{lines} {text}")));
        }
        if pending.len() >= EVENTS_AT_ONCE {
            spool.push(fold(std::mem::take(&mut pending)))?;
            sender.drain(&spool)?;
        }
    }
    spool.push(fold(pending))?;
    sender.drain(&spool)?;
    Ok((lines, logins))
}
