//! Runs the specification of the language: the Markdown files under `tests/spec`.
//!
//! A file holds prose and examples. An example is a block fenced as `kql` and what follows it: a Markdown table
//! (the expected rows, in order when the query sorts, with the column types under the names), one for each result, or
//! a block fenced as `error` with the expected message. A block fenced as `kql setup` is put before each later query of the file.

#![allow(clippy::expect_used, clippy::panic)]

use engine::catalog::FixedCatalog;
use engine::cells::Cells;
use engine::{Answer, Error, Limits, QueryOptions, Session};
use std::fmt::Write as _;
use std::path::Path;

/// `now()` in the examples: 2026-03-02T10:00:00Z.
const NOW: &str = "2026-03-02T10:00:00Z";

struct Example {
    line: usize,
    query: String,
    expected: Expected,
}

enum Expected {
    /// A table for each result.
    Tables(Vec<Vec<String>>),
    Error(String),
}

fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut setup = String::new();
    let mut pending: Option<(usize, String)> = None;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if let Some(kind) = line.strip_prefix("```").filter(|k| !k.is_empty()) {
            let mut body = String::new();
            for (_, inner) in lines.by_ref() {
                if inner == "```" {
                    break;
                }
                let _ = writeln!(body, "{inner}");
            }
            match kind {
                "kql setup" => setup = body,
                "kql" => {
                    assert!(pending.is_none(), "the query at line {number} has no expectation");
                    pending = Some((number + 1, format!("{setup}{body}")));
                }
                "error" => {
                    let (line, query) =
                        pending.take().unwrap_or_else(|| panic!("line {number}: error without a query"));
                    examples.push(Example { line, query, expected: Expected::Error(body.trim().to_owned()) });
                }
                _ => {}
            }
        } else if line.starts_with('|') {
            let mut table = vec![line.trim().to_owned()];
            while let Some((_, row)) = lines.next_if(|(_, l)| l.starts_with('|')) {
                table.push(row.trim().to_owned());
            }
            match (pending.take(), examples.last_mut()) {
                (Some((line, query)), _) => {
                    examples.push(Example { line, query, expected: Expected::Tables(vec![table]) });
                }
                (None, Some(Example { expected: Expected::Tables(tables), .. })) => tables.push(table),
                (None, _) => {}
            }
        }
    }
    assert!(pending.is_none(), "the last query has no expectation");
    examples
}

/// A row of a Markdown table with single blanks around its cells, so that authors may align as they like.
fn normal(row: &str) -> String {
    let inner = row.trim().trim_start_matches('|').strip_suffix('|').unwrap_or(row);
    let cells: Vec<String> =
        inner.replace("\\|", "\u{1}").split('|').map(|c| c.trim().replace('\u{1}', "\\|")).collect();
    format!("| {} |", cells.join(" | "))
}

async fn run(session: &Session, query: &str) -> Result<Vec<Vec<String>>, String> {
    let options = QueryOptions { now_ticks: kql::datetime::parse(NOW), ..QueryOptions::default() };
    let catalog = FixedCatalog::default();
    let outcome = session.query_with(&catalog, "default", query, &options).await;
    let describe = |error: Error| match error {
        Error::Query(diagnostics) => diagnostics.iter().map(|d| d.one_line(query)).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    };
    let mut tables = Vec::new();
    for rows in outcome.map_err(describe)? {
        tables.push(printed(&rows.collect().await.map_err(describe)?));
    }
    Ok(tables)
}

fn printed(answer: &Answer) -> Vec<String> {
    let names: Vec<&str> = answer.columns.iter().map(|c| c.name.as_str()).collect();
    let types: Vec<&str> = answer.columns.iter().map(|c| c.column_type.name()).collect();
    let mut table = vec![format!("| {} |", names.join(" | ")), format!("| {} |", types.join(" | "))];
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&answer.columns).map(|(array, column)| {
                let cells = Cells::new(column.column_type, array);
                let text = if cells.is_null(row) { "*null*".to_owned() } else { cells.text(row) };
                text.replace('|', "\\|").replace('\n', "\\n")
            });
            table.push(format!("| {} |", cells.collect::<Vec<_>>().join(" | ")).replace("|  |", "| |"));
        }
    }
    table.iter().map(|r| normal(r)).collect()
}

/// The expected table as it is written in the file: names, a rule with the types, rows.
fn expected_table(table: &[String]) -> Vec<String> {
    let types = table.get(1).map(|rule| normal(rule).replace(['-', ':'], "")).unwrap_or_default();
    let mut rows = vec![normal(&table[0]), normal(&types)];
    rows.extend(table.iter().skip(2).map(|r| normal(r)));
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn specification() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec");
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let (mut passed, mut failures) = (0, String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for example in examples(&text) {
            let got = run(&session, &example.query).await;
            let problem = match (&example.expected, got) {
                (Expected::Error(wanted), Err(message)) if message.contains(wanted.as_str()) => None,
                (Expected::Error(wanted), Err(message)) => {
                    Some(format!("wanted error: {wanted}\ngot error: {message}"))
                }
                (Expected::Error(wanted), Ok(tables)) => {
                    Some(format!("wanted error: {wanted}\ngot:\n{}", tables.concat().join("\n")))
                }
                (Expected::Tables(_), Err(message)) => Some(format!("error: {message}")),
                (Expected::Tables(tables), Ok(mut got)) => {
                    let mut wanted: Vec<Vec<String>> = tables.iter().map(|t| expected_table(t)).collect();
                    let is_ordered = ["sort by", "order by", "top "].iter().any(|w| example.query.contains(w));
                    if !is_ordered {
                        wanted.iter_mut().chain(&mut got).for_each(|table| table[2..].sort());
                    }
                    let text = |tables: &[Vec<String>]| tables.concat().join("\n");
                    (wanted != got).then(|| format!("wanted:\n{}\ngot:\n{}", text(&wanted), text(&got)))
                }
            };
            match problem {
                None => passed += 1,
                Some(problem) => {
                    let _ = writeln!(failures, "\n{name}:{}\n{}\n{problem}", example.line, example.query);
                }
            }
        }
    }
    println!("{passed} examples passed");
    assert!(failures.is_empty(), "{passed} examples passed, these failed:\n{failures}");
}
