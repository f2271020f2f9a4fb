//! `turnstone export`: the rows of a table or a query into a Parquet file.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::File;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone export SecurityAlert -o alerts.parquet
  turnstone export 'SecurityAlert | where TimeGenerated > ago(30d)' -o month.parquet")]
pub struct Options {
    /// A table, or a query.
    #[arg(value_name = "QUERY")]
    query: String,
    /// The Parquet file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
    /// The workspace of the table.
    #[arg(long, default_value = "default", value_name = "NAME")]
    workspace: String,
    #[command(flatten)]
    server: ServerOptions,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let output = &options.output;
    let at = |path: &PathBuf, e: &dyn std::fmt::Display| Failure::usage(format!("{}: {e}", path.display()));
    if output.exists() && !options.force {
        return Err(at(output, &"the file is there already; --force writes over it"));
    }
    let client = Client::patient(&options.server)?;
    let request = json!({ "csl": options.query }).to_string();
    let path = format!("/api/v1/workspaces/{}/export", options.workspace);
    // A file by the wanted name is a whole one.
    let mut name = output.clone().into_os_string();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = File::create(&part).map_err(|e| at(&part, &e))?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let copied = client.download(&path, request.as_bytes(), &mut bar.wrap_write(&mut file));
    bar.finish_and_clear();
    let copied = copied.map_err(Failure::from).and_then(|bytes| {
        file.sync_all().map_err(|e| at(&part, &e))?;
        std::fs::rename(&part, output).map_err(|e| at(output, &e))?;
        Ok(bytes)
    });
    let bytes = copied.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
    eprintln!("{}: {}", output.display(), HumanBytes(bytes));
    Ok(())
}
