//! Workspaces in temporary folders, and what tests ask of them.

#![allow(clippy::expect_used, dead_code)]

use engine::{Column, Limits, Session};
use kql::Type;
use serde_json::Value;
use std::path::{Path, PathBuf};
use workspace::{Append, BatchBuilder, EventId, Options, TableSchema, Workspaces};

pub const DATABASE: &str = "d";

pub fn schema(columns: &[(&str, Type)]) -> TableSchema {
    TableSchema { name: "T".to_owned(), columns: columns.iter().map(|(n, t)| Column::new(*n, *t)).collect() }
}

pub fn first_columns() -> TableSchema {
    schema(&[("TimeGenerated", Type::DateTime), ("N", Type::Long), ("S", Type::String)])
}

/// The files with an extension below a folder, those of Delta logs left out.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "_delta_log") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
    found
}

pub async fn open(folder: &Path) -> Workspaces {
    Workspaces::open(folder, Options::default()).await.expect("the folder opens")
}

pub async fn open_with_table(folder: &Path) -> Workspaces {
    let workspaces = open(folder).await;
    workspaces.create_database(DATABASE).await.expect("a database");
    workspaces.create_merge_table(DATABASE, &first_columns()).await.expect("a table");
    workspaces
}

/// Closes, so that the folder can be opened again.
pub async fn close(workspaces: Workspaces) {
    workspaces.close().await;
}

pub async fn append(workspaces: &Workspaces, rows: &[Value], ids: &[&str]) -> workspace::Appended {
    let columns = workspaces.columns(DATABASE, "T").expect("the table is there");
    let mut builder = BatchBuilder::new(&columns);
    rows.iter().for_each(|row| builder.push_object(row.as_object().expect("an object")));
    let append = Append {
        database: DATABASE.to_owned(),
        tables: vec![("T".to_owned(), builder.finish().expect("a batch"))],
        ids: if ids.is_empty() { Vec::new() } else { vec![ids.iter().map(|id| EventId::new("test", id)).collect()] },
    };
    workspaces.append(append).await.expect("the rows are taken")
}

/// The rows of a query, as JSON texts.
pub async fn query(workspaces: &Workspaces, text: &str) -> Vec<String> {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let mut results = session.query(workspaces.catalog().as_ref(), DATABASE, text).await.expect("the query is right");
    let answer = results.pop().expect("a result").collect().await.expect("it runs");
    let mut rows = Vec::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&answer.columns).map(|(array, column)| {
                let mut text = String::new();
                engine::cells::Cells::new(column.column_type, array).write_json(row, &mut text);
                text
            });
            rows.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    rows
}
