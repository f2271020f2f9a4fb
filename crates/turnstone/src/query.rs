//! `turnstone query`: one query, or a shell.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use crate::files;
use crate::output::{Format, Result as Table};
use crate::shell::{self, Source};
use crate::up::QUERY_STACK_BYTES;
use clap::Args;
use engine::catalog::FixedCatalog;
use engine::cells::Cells;
use engine::{Answer, Limits, Session};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone query 'SecurityAlert | where TimeGenerated > ago(7d) | summarize count() by AlertSeverity'
  turnstone query --format csv 'SecurityRecommendation | take 10' > recommendations.csv
  turnstone query --file Logins=logins.csv 'Logins | where Result == \"Fail\" | count'
  echo 'print now()' | turnstone query -
  turnstone query                          a shell: history, completion, several lines")]
pub struct Options {
    /// The query; '-' reads it from standard input. Without one, a shell begins.
    query: Option<String>,
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
    let fallback = if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv };
    let format = options.format.unwrap_or(fallback);
    let source: Box<dyn Source> = if options.files.is_empty() {
        Box::new(OfServer { client: Client::new(&options.server)?, workspace: options.workspace.clone() })
    } else {
        Box::new(OfFiles::open(&options.files)?)
    };
    let text = match options.query.as_deref() {
        None if std::io::stdin().is_terminal() => return shell::run(source.as_ref(), format),
        None | Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(Failure::run)?;
            text
        }
        Some(text) => text.to_owned(),
    };
    let (tables, missing) = source.ask(&text)?;
    for (i, table) in tables.iter().enumerate() {
        if i > 0 {
            println!();
        }
        print!("{}", table.print(format));
    }
    missing.map_or(Ok(()), |why| Err(Failure::run(why)))
}

/// A workspace of a server.
struct OfServer {
    client: Client,
    workspace: String,
}

impl Source for OfServer {
    fn ask(&self, text: &str) -> Result<(Vec<Table>, Option<String>), Failure> {
        let answer = self.client.query(&self.workspace, text).map_err(|refused| explain(refused.into(), text))?;
        Ok((answer.tables.iter().map(Table::from_kusto).collect(), answer.missing))
    }

    fn names(&self) -> BTreeMap<String, Vec<String>> {
        // Without the names, nothing is completed; the first query will say what is wrong.
        let command = format!(".show database ['{}'] schema as json", self.workspace.replace('\'', "\\'"));
        let Ok(answer) = self.client.query(&self.workspace, &command) else { return BTreeMap::new() };
        let cell = answer.tables.first().and_then(|table| table["Rows"][0][0].as_str()).unwrap_or_default();
        let document: Value = serde_json::from_str(cell).unwrap_or_default();
        let schema = &document["Databases"][&self.workspace];
        let names_of = |list: &Value| {
            let names = list.as_array().into_iter().flatten().filter_map(|c| c["Name"].as_str());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let tables = schema["Tables"].as_object().into_iter().flatten();
        let functions = schema["Functions"].as_object().into_iter().flatten();
        tables
            .map(|(name, table)| (name.clone(), names_of(&table["OrderedColumns"])))
            .chain(functions.map(|(name, _)| (name.clone(), Vec::new())))
            .collect()
    }
}

/// Files as tables.
struct OfFiles {
    catalog: FixedCatalog,
    session: Session,
    runtime: tokio::runtime::Runtime,
}

impl OfFiles {
    fn open(files: &[String]) -> Result<OfFiles, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(QUERY_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(Failure::run)?;
        let session = Session::new(Limits::default()).map_err(Failure::run)?;
        Ok(OfFiles { catalog: files::catalog(files)?, session, runtime })
    }
}

impl Source for OfFiles {
    fn ask(&self, text: &str) -> Result<(Vec<Table>, Option<String>), Failure> {
        let failed = |error: engine::Error| match error {
            engine::Error::Query(diagnostics) => {
                Failure::usage(diagnostics.iter().map(|d| d.render(text)).collect::<Vec<_>>().join("\n"))
            }
            other => Failure::run(other),
        };
        let (session, catalog, query) = (self.session.clone(), self.catalog.clone(), text.to_owned());
        // On a thread of the runtime, which has the stack that planning may need.
        let task = self.runtime.spawn(async move {
            let mut tables = Vec::new();
            for rows in session.query(&catalog, "files", &query).await? {
                tables.push(table(&rows.collect().await?));
            }
            Ok((tables, None))
        });
        self.runtime.block_on(task).map_err(Failure::run)?.map_err(failed)
    }

    fn names(&self) -> BTreeMap<String, Vec<String>> {
        let columns = |table: &engine::catalog::Table| table.columns.iter().map(|c| c.name.clone()).collect();
        self.catalog.tables.iter().map(|(name, table)| (name.clone(), columns(table))).collect()
    }
}

/// Shows where in the query the faults are: by this program's own parser, or by the places that the server names.
fn explain(failure: Failure, text: &str) -> Failure {
    let parsed = kql::parse(text);
    if text.trim_start().starts_with('.') {
        return failure;
    }
    if !parsed.diagnostics.is_empty() {
        return Failure::usage(parsed.diagnostics.iter().map(|d| d.render(text)).collect::<Vec<_>>().join("\n"));
    }
    let found: Vec<String> =
        failure.message.lines().filter_map(|line| Some(named_place(line, text)?.render(text))).collect();
    if found.is_empty() { failure } else { Failure::usage(found.join("\n")) }
}

/// The finding behind a line of a message such as `Semantic error: SEM0100: line 2, column 9: there is no …`.
fn named_place(message: &str, text: &str) -> Option<kql::Diagnostic> {
    let (_, rest) = message.split_once("line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let (column, finding) = rest.split_once(": ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let offset = text.get(before..)?.char_indices().nth(column.checked_sub(1)?)?.0 + before;
    let word = text.get(offset..)?.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - offset);
    Some(kql::Diagnostic::semantic(kql::Span::new(offset, offset + word.max(1)), finding))
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
