//! `turnstone query`.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use crate::files;
use crate::output::{Format, Result as Table};
use clap::Args;
use engine::cells::Cells;
use engine::{Answer, Limits, Session};
use std::io::{IsTerminal, Read};

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone query 'SecurityAlert | where TimeGenerated > ago(7d) | summarize count() by AlertSeverity'
  turnstone query --format csv 'SecurityRecommendation | take 10' > recommendations.csv
  turnstone query --file Logins=logins.csv 'Logins | where Result == \"Fail\" | count'
  echo 'print now()' | turnstone query -")]
pub struct Options {
    /// The query; '-' reads it from standard input.
    query: String,
    /// Query a file instead of a server: NAME=PATH, for .csv (with a header), .json (one object a line) or .parquet.
    /// May be given several times.
    #[arg(long = "file", value_name = "NAME=PATH")]
    files: Vec<String>,
    /// How to print; a table on a terminal, CSV elsewhere.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The workspace to query.
    #[arg(long, default_value = "default", value_name = "NAME")]
    workspace: String,
    #[command(flatten)]
    server: ServerOptions,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let mut text = options.query.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(Failure::run)?;
    }
    let fallback = if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv };
    let format = options.format.unwrap_or(fallback);
    let mut missing = None;
    let tables = if options.files.is_empty() {
        let client = Client::new(&options.server)?;
        let answer = client.query(&options.workspace, &text).map_err(|refused| explain(refused.into(), &text))?;
        missing = answer.missing;
        answer.tables.iter().map(Table::from_kusto).collect()
    } else {
        on_files(&options.files, &text)?
    };
    for (i, table) in tables.iter().enumerate() {
        if i > 0 {
            println!();
        }
        print!("{}", table.print(format));
    }
    missing.map_or(Ok(()), |why| Err(Failure::run(why)))
}

/// Shows where in the query the fault is: by this program's own parser, or by the place that the server names.
fn explain(failure: Failure, text: &str) -> Failure {
    let parsed = kql::parse(text);
    if text.trim_start().starts_with('.') {
        return failure;
    }
    if !parsed.diagnostics.is_empty() {
        return Failure::usage(parsed.diagnostics.iter().map(|d| d.render(text)).collect::<Vec<_>>().join("\n"));
    }
    match named_place(&failure.message, text) {
        Some(diagnostic) => Failure::usage(diagnostic.render(text)),
        None => failure,
    }
}

/// The finding behind a message such as `Semantic error: SEM0100: line 2, column 9: there is no …`.
fn named_place(message: &str, text: &str) -> Option<kql::Diagnostic> {
    let (_, rest) = message.split_once("line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let (column, finding) = rest.split_once(": ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let offset = text.get(before..)?.char_indices().nth(column.checked_sub(1)?)?.0 + before;
    let word = text.get(offset..)?.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - offset);
    Some(kql::Diagnostic::semantic(kql::Span::new(offset, offset + word.max(1)), finding.lines().next()?))
}

fn on_files(files: &[String], text: &str) -> Result<Vec<Table>, Failure> {
    let catalog = files::catalog(files)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::run)?;
    let session = Session::new(Limits::default()).map_err(Failure::run)?;
    runtime.block_on(async {
        let failed = |error: engine::Error| match error {
            engine::Error::Query(diagnostics) => {
                Failure::usage(diagnostics.iter().map(|d| d.render(text)).collect::<Vec<_>>().join("\n"))
            }
            other => Failure::run(other),
        };
        let mut tables = Vec::new();
        for rows in session.query(&catalog, "files", text).await.map_err(failed)? {
            tables.push(table(&rows.collect().await.map_err(failed)?));
        }
        Ok(tables)
    })
}

fn table(answer: &Answer) -> Table {
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let cells: Vec<Cells> =
            batch.columns().iter().zip(&answer.columns).map(|(a, c)| Cells::new(c.column_type, a)).collect();
        for row in 0..batch.num_rows() {
            let value = |cell: &Cells| {
                let mut json = String::new();
                cell.write_json(row, &mut json);
                serde_json::from_str(&json).unwrap_or_default()
            };
            rows.push(cells.iter().map(value).collect());
        }
    }
    Table { names: answer.columns.iter().map(|c| c.name.clone()).collect(), rows }
}
