//! `turnstone backup` and `turnstone restore`: everything that a server keeps, into a folder and out of it.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use ::backup::Backup;
use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone backup /mnt/backup/turnstone              a new generation; only what is new takes room
  turnstone backup /mnt/backup/turnstone --keep 14    and the oldest go
  turnstone backup /mnt/backup/turnstone --list")]
pub struct BackupOptions {
    /// The folder of the back-ups, on the server's machine.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Keep so many generations and remove older ones.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Show the generations and make none.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Args)]
#[command(after_help = "Example:
  turnstone restore /mnt/backup/turnstone --data /srv/turnstone-restored")]
pub struct RestoreOptions {
    /// The folder of the back-ups.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The data folder to make; it must be empty or missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The generation, as --list names it; by default the newest.
    #[arg(long, value_name = "NAME")]
    generation: Option<String>,
}

pub fn backup(options: &BackupOptions) -> Result<(), Failure> {
    if options.list {
        for generation in Backup::open(&options.folder).and_then(|b| b.generations()).map_err(Failure::usage)? {
            println!("{}  {} files, {}", generation.name, generation.files, HumanBytes(generation.bytes));
        }
        return Ok(());
    }
    let folder = absolute(&options.folder)?;
    let client = Client::patient(&options.server)?;
    let request = json!({ "path": folder, "keep": options.keep }).to_string();
    let added = client.post("/api/v1/backups", "application/json", request.as_bytes())?;
    let number = |name: &str| added[name].as_u64().unwrap_or_default();
    println!(
        "{}: {} files, {}, of which {} are new",
        added["generation"].as_str().unwrap_or_default(),
        number("files"),
        HumanBytes(number("bytes")),
        HumanBytes(number("new_bytes"))
    );
    Ok(())
}

pub fn restore(options: &RestoreOptions) -> Result<(), Failure> {
    let backup = Backup::open(&options.folder).map_err(Failure::usage)?;
    let restored = backup.restore(options.generation.as_deref(), &options.data).map_err(Failure::usage)?;
    println!(
        "{}: {} files, {}, each compared with its digest; 'turnstone up --data {}' starts it",
        restored.name,
        restored.files,
        HumanBytes(restored.bytes),
        options.data.display()
    );
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
