//! `turnstone ingest`: the rows of files into tables, in batches, with a progress bar.
//!
//! A file whose sending was cut off is gone on with where it was; what was on the way then is known by the server.

mod progress;
mod source;

use crate::Failure;
use crate::client::{Client, Refused, ServerOptions};
use crate::output::Result as Table;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use progress::Progress;
use source::{Batch, Form, Source};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a server that is busy or full answers; it makes room, or somebody does.
const COME_AGAIN: [u16; 2] = [429, 503];
/// How long to wait then.
const BACK_OFF: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone ingest -t SecurityAlert alerts.json
  turnstone ingest -t Readings readings-*.csv.gz more.parquet
  turnstone ingest exported/                 what Azure Monitor exported: each record names its table")]
pub struct Options {
    /// The table; it must be there. Without it each record goes to the table that its member Type names.
    #[arg(short, long, value_name = "NAME")]
    table: Option<String>,
    /// Files ending in .csv or .tsv (columns by position, a header line is passed over), .json (one object a line, or an
    /// array), .parquet or .avro; texts may be packed, .gz. Of a folder, all such files in it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An ingestion mapping of the table.
    #[arg(long, value_name = "NAME", requires = "table")]
    mapping: Option<String>,
    /// Send files from their beginning, also where sending was cut off before.
    #[arg(long)]
    restart: bool,
    /// The workspace of the table.
    #[arg(long, default_value = "default", value_name = "NAME")]
    workspace: String,
    #[command(flatten)]
    server: ServerOptions,
}

/// What became of records.
#[derive(Default)]
struct Counts {
    rows: u64,
    repeated: u64,
    rejected: u64,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let client = Client::new(&options.server)?;
    let columns = match &options.table {
        Some(table) => columns(&client, &options.workspace, table)?,
        None => Vec::new(),
    };
    let files = source::files(&options.files)?;
    let mut total = Counts::default();
    for path in &files {
        let counts = send(&client, options, path, &columns)?;
        eprintln!("{}: {}", path.display(), counts.told());
        total.rows += counts.rows;
        total.repeated += counts.repeated;
        total.rejected += counts.rejected;
    }
    if files.len() > 1 {
        eprintln!("in all: {}", total.told());
    }
    Ok(())
}

impl Counts {
    fn told(&self) -> String {
        let mut told = format!("{} rows", self.rows);
        if self.repeated > 0 {
            told.push_str(&format!(", {} more were there already", self.repeated));
        }
        if self.rejected > 0 {
            told.push_str(&format!(", {} records could not be read", self.rejected));
        }
        told
    }
}

fn columns(client: &Client, workspace: &str, table: &str) -> Result<Vec<String>, Failure> {
    // A column's name in `['…']` may hold anything but the closing pair.
    let quoted = table.replace(['\'', '\\'], "");
    let empty = client.query(workspace, &format!("['{quoted}'] | take 0"))?.tables;
    Ok(empty.first().map(|t| Table::from_kusto(t).names).unwrap_or_default())
}

fn send(client: &Client, options: &Options, path: &Path, columns: &[String]) -> Result<Counts, Failure> {
    let at = |e: &dyn std::fmt::Display| Failure::usage(format!("{}: {e}", path.display()));
    let form =
        Form::of_path(path).ok_or_else(|| at(&"only .csv, .tsv, .json, .parquet and .avro files can be sent"))?;
    if options.table.is_none() && matches!(form.0, Form::Csv | Form::Tsv | Form::Avro) {
        return Err(at(&"its records name no table; name it with -t"));
    }
    let target = format!("{}/{}/{}", client.url, options.workspace, options.table.as_deref().unwrap_or_default());
    let mut progress = Progress::load(path, &target);
    if options.restart {
        progress.restart();
    }
    let bar = ProgressBar::new(0);
    let template = match form.0 {
        Form::Parquet => "{msg} {wide_bar} {human_pos}/{human_len} rows {eta}",
        _ => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
    let begin = progress.position();
    if begin > 0 {
        let unit = if form.0 == Form::Parquet { "row" } else { "byte" };
        bar.suspend(|| eprintln!("{}: going on at {unit} {begin}", path.display()));
    }
    let mut source = Source::open(path, form, begin, options.table.is_none(), columns, &bar).map_err(|e| at(&e))?;
    let mut counts = Counts { rows: progress.rows(), ..Counts::default() };
    let mut batch_begin = begin;
    while let Some(batch) = source.next_batch(&bar).map_err(|e| at(&e))? {
        let sent = send_batch(client, options, path, form.0, batch_begin, &batch, &bar)?;
        progress.advance(batch.end, sent.rows + sent.repeated);
        batch_begin = batch.end;
        counts.rows += sent.rows;
        counts.repeated += sent.repeated;
        counts.rejected += sent.rejected;
    }
    progress.done();
    bar.finish_and_clear();
    Ok(counts)
}

/// Sends a batch until it is taken.
fn send_batch(
    client: &Client,
    options: &Options,
    path: &Path,
    form: Form,
    begin: u64,
    batch: &Batch,
    bar: &ProgressBar,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    for (named, bytes) in &batch.parts {
        let table = options.table.as_deref().unwrap_or(named);
        // The same part of a file of the same name is the same batch; a changed one is another.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = [name.as_bytes(), &begin.to_le_bytes(), bytes].concat();
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &part).simple();
        let mut target =
            format!("/v1/rest/ingest/{}/{table}?streamFormat={}&batchId={id}", options.workspace, form.name());
        if let Some(mapping) = &options.mapping {
            target.push_str(&format!("&mappingName={mapping}"));
        }
        let mut is_told = false;
        let answer = loop {
            match client.post(&target, "application/octet-stream", bytes) {
                Err(refused) if COME_AGAIN.contains(&refused.status) => {
                    if !std::mem::replace(&mut is_told, true) {
                        bar.suspend(|| eprintln!("waiting: {}", refused.message));
                    }
                    std::thread::sleep(BACK_OFF);
                }
                answer => break answer.map_err(|refused| named_failure(path, begin, refused))?,
            }
        };
        let row = &answer["Tables"][0]["Rows"][0];
        let count = |place: usize| row[place].as_u64().unwrap_or(0);
        counts.rows += count(0);
        counts.rejected += count(1);
        counts.repeated += count(3);
        if count(1) > 0 {
            let reason = row[2].as_str().unwrap_or_default();
            bar.suspend(|| {
                eprintln!("{}: of {} bytes sent together from {begin} on, {reason}", path.display(), bytes.len())
            });
        }
    }
    Ok(counts)
}

fn named_failure(path: &Path, begin: u64, refused: Refused) -> Failure {
    let message = format!("{} at {begin}: {}", path.display(), refused.message);
    Failure::from(Refused { message, ..refused })
}
