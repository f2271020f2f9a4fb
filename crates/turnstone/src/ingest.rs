//! `turnstone ingest`: the rows of files into a table, in batches, with a progress bar.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use crate::output::Result as Table;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines are sent in batches of about this size.
const BATCH_BYTES: usize = 4 << 20;
const TOO_MANY_REQUESTS: u16 = 429;
/// How long to wait when a server is busy; it makes room within about this time.
const BACK_OFF: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone ingest -t SecurityAlert alerts.json
  turnstone ingest -t Readings readings-*.csv")]
pub struct Options {
    /// The table; it must be there.
    #[arg(short, long, value_name = "NAME")]
    table: String,
    /// Files ending in .csv (columns by position, a header line is passed over) or .json (one object a line).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The workspace of the table.
    #[arg(long, default_value = "default", value_name = "NAME")]
    workspace: String,
    #[command(flatten)]
    server: ServerOptions,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let client = Client::new(&options.server)?;
    // A column's name in `['…']` may hold anything but the closing pair.
    let quoted = options.table.replace(['\'', '\\'], "");
    let empty = client.query(&options.workspace, &format!("['{quoted}'] | take 0"))?.tables;
    let names = empty.first().map(|t| Table::from_kusto(t).names).unwrap_or_default();
    let mut total = 0;
    for path in &options.files {
        let rows = send(&client, options, path, &names)?;
        eprintln!("{}: {rows} rows", path.display());
        total += rows;
    }
    if options.files.len() > 1 {
        eprintln!("{total} rows in all");
    }
    Ok(())
}

fn send(client: &Client, options: &Options, path: &Path, names: &[String]) -> Result<u64, Failure> {
    let at = |e: &dyn std::fmt::Display| Failure::usage(format!("{}: {e}", path.display()));
    let format = match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => "csv",
        Some("json" | "jsonl" | "ndjson") => "json",
        _ => return Err(at(&"only .csv and .json files can be sent")),
    };
    let file = File::open(path).map_err(|e| at(&e))?;
    let bar = ProgressBar::new(file.metadata().map_err(|e| at(&e))?.len());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
    let target = format!("/v1/rest/ingest/{}/{}?streamFormat={format}", options.workspace, options.table);
    let mut reader = BufReader::new(file);
    let mut batch = Vec::with_capacity(BATCH_BYTES + (64 << 10));
    let (mut rows, mut is_first, mut quotes) = (0, true, 0usize);
    loop {
        let before = batch.len();
        let read = reader.read_until(b'\n', &mut batch).map_err(|e| at(&e))?;
        let line = &batch[before..];
        if is_first && format == "csv" && is_header(line, names) {
            batch.clear();
        }
        is_first = false;
        // A line break within quotes is no end of a record.
        quotes +=
            if format == "csv" { batch[before.min(batch.len())..].iter().filter(|b| **b == b'"').count() } else { 0 };
        bar.inc(read as u64);
        let is_whole = quotes % 2 == 0;
        if (batch.len() >= BATCH_BYTES && is_whole) || (read == 0 && !batch.is_empty()) {
            let answer = loop {
                match client.post(&target, "application/octet-stream", &batch) {
                    // More rows wait than the server has memory for.
                    Err(refused) if refused.status == TOO_MANY_REQUESTS => std::thread::sleep(BACK_OFF),
                    answer => break answer?,
                }
            };
            let counts = &answer["Tables"][0]["Rows"][0];
            rows += counts[0].as_u64().unwrap_or(0);
            if counts[1].as_u64().is_some_and(|rejected| rejected > 0) {
                let reason = counts[2].as_str().unwrap_or_default();
                eprintln!("{}: of {} bytes sent together, {reason}", path.display(), batch.len());
            }
            batch.clear();
        }
        if read == 0 {
            bar.finish_and_clear();
            return Ok(rows);
        }
    }
}

/// Whether a line names columns of the table.
fn is_header(line: &[u8], names: &[String]) -> bool {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.trim().trim_start_matches('\u{feff}').split(',').map(|f| f.trim().trim_matches('"'));
    fields.all(|f| names.iter().any(|n| n == f))
}
