//! Answers in Kusto's version 1 form: tables with columns and rows, written as JSON.

use crate::queries::Limits;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::cells::Cells;
use engine::{Column, RecordBatch, Rows, Visualization, json};
use kql::Type;
use std::fmt::Write as _;

/// The .NET name of a type, which older clients read.
fn data_type(of: Type) -> &'static str {
    match of {
        Type::Bool => "SByte",
        Type::Int => "Int32",
        Type::Long => "Int64",
        Type::Real => "Double",
        Type::Decimal => "SqlDecimal",
        Type::String => "String",
        Type::DateTime => "DateTime",
        Type::TimeSpan => "TimeSpan",
        Type::Guid => "Guid",
        Type::Dynamic => "Object",
    }
}

/// A cell of text.
pub(super) fn text(value: impl AsRef<str>) -> String {
    json::quote(value.as_ref())
}

/// A table whose cells are already JSON.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: String,
    count: usize,
}

impl Table {
    pub fn new(columns: &[(&str, Type)]) -> Table {
        let columns = columns.iter().map(|(name, t)| Column::new(*name, *t)).collect();
        Table { columns, rows: String::new(), count: 0 }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows in the engine's form.
    pub fn batch(&self) -> workspace::Result<RecordBatch> {
        let mut builder = workspace::BatchBuilder::new(&self.columns);
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(&format!("[{}]", self.rows)).unwrap_or_default();
        for row in &rows {
            builder.push(|column, _| row.get(column).filter(|value| !value.is_null()).cloned());
        }
        builder.finish()
    }

    /// Adds a row of JSON texts.
    pub fn push(&mut self, cells: &[String]) {
        if self.count > 0 {
            self.rows.push(',');
        }
        self.count += 1;
        self.rows.push_str(&json::array(cells));
    }

    /// Adds what stands in the place of a row.
    fn push_json(&mut self, row: &str) {
        if self.count > 0 {
            self.rows.push(',');
        }
        self.count += 1;
        self.rows.push_str(row);
    }

    /// Adds the rows of a batch, as far as they fit; whether all did.
    fn add(&mut self, batch: &RecordBatch, limits: Limits) -> bool {
        let cells: Vec<Cells> =
            batch.columns().iter().zip(&self.columns).map(|(a, c)| Cells::new(c.column_type, a)).collect();
        for row in 0..batch.num_rows() {
            let before = self.rows.len();
            if self.count >= limits.rows_max {
                return false;
            }
            self.rows.push_str(if self.count == 0 { "[" } else { ",[" });
            for (i, cell) in cells.iter().enumerate() {
                if i > 0 {
                    self.rows.push(',');
                }
                cell.write_json(row, &mut self.rows);
            }
            self.rows.push(']');
            if self.rows.len() > limits.bytes_max {
                self.rows.truncate(before);
                return false;
            }
            self.count += 1;
        }
        true
    }

    fn write(&self, name: &str, out: &mut String) {
        let _ = write!(out, "{{\"TableName\":{},\"Columns\":[", json::quote(name));
        for (i, column) in self.columns.iter().enumerate() {
            let separator = if i > 0 { "," } else { "" };
            let _ = write!(
                out,
                "{separator}{{\"ColumnName\":{},\"DataType\":\"{}\",\"ColumnType\":\"{}\"}}",
                json::quote(&column.name),
                data_type(column.column_type),
                column.column_type,
            );
        }
        let _ = write!(out, "],\"Rows\":[{}]}}", self.rows);
    }
}

fn respond(tables: &[(String, Table)]) -> Response {
    let mut response = text_of(tables).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text_of(tables: &[(String, Table)]) -> String {
    let mut body = String::from("{\"Tables\":[");
    for (i, (name, table)) in tables.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        table.write(name, &mut body);
    }
    body.push_str("]}");
    body
}

/// The answer of a command: one table.
pub(super) fn command(table: Table) -> Response {
    respond(&[("Table_0".to_owned(), table)])
}

/// One result of a query, with what became of it.
pub(crate) struct QueryResult {
    name: Option<String>,
    visualization: Option<Visualization>,
    table: Table,
    /// Why rows are missing at the end, where they are.
    failure: Option<String>,
}

impl QueryResult {
    /// Reads the rows as far as the limits go.
    pub async fn read(mut rows: Rows, limits: Limits) -> Result<QueryResult, engine::Error> {
        let mut table = Table { columns: rows.columns.clone(), rows: String::new(), count: 0 };
        let mut failure = None;
        while let Some(batch) = rows.next().await? {
            if !table.add(&batch, limits) {
                failure = Some(cut_off(table.count, limits));
                break;
            }
        }
        Ok(QueryResult { name: rows.name, visualization: rows.visualization, table, failure })
    }
}

/// What is said of a result that is cut off after `count` rows.
pub(crate) fn cut_off(count: usize, limits: Limits) -> String {
    let what = match count >= limits.rows_max {
        true => format!("{} rows", limits.rows_max),
        false => format!("{} bytes", limits.bytes_max),
    };
    format!(
        "the result is larger than {what} and is cut off there (E_QUERY_RESULT_SET_TOO_LARGE); ask for less, or begin the query with 'set notruncation;'"
    )
}

/// The answer of a query: its results, then their properties, the status and a table of contents. Where a result is
/// incomplete, its last row is an object that says so, and so does the status.
pub(super) fn query(results: Vec<QueryResult>) -> Response {
    respond(&tables_of(results))
}

/// The body of [`query`].
pub(crate) fn query_text(results: Vec<QueryResult>) -> String {
    text_of(&tables_of(results))
}

fn tables_of(results: Vec<QueryResult>) -> Vec<(String, Table)> {
    let mut tables: Vec<(String, Table)> = Vec::new();
    let mut contents = Table::new(&[
        ("Ordinal", Type::Long),
        ("Kind", Type::String),
        ("Name", Type::String),
        ("Id", Type::String),
        ("PrettyName", Type::String),
    ]);
    let mut list = |ordinal: usize, kind: &str, name: &str| {
        let id = uuid::Uuid::new_v4().to_string();
        contents.push(&[ordinal.to_string(), json::quote(kind), json::quote(name), json::quote(&id), json::quote("")]);
    };
    let mut properties = Table::new(&[("Value", Type::String)]);
    let mut failures: Vec<String> = Vec::new();
    for mut result in results {
        list(tables.len(), "QueryResult", result.name.as_deref().unwrap_or("PrimaryResult"));
        properties.push(&[json::quote(&visualization(result.visualization.as_ref()))]);
        if let Some(failure) = result.failure {
            let exceptions = json::array([json::quote(&failure)]);
            result.table.push_json(&json::bag([("Exceptions".to_owned(), exceptions)]));
            failures.push(failure);
        }
        tables.push((format!("Table_{}", tables.len()), result.table));
    }
    list(tables.len(), "QueryProperties", "@ExtendedProperties");
    tables.push((format!("Table_{}", tables.len()), properties));
    list(tables.len(), "QueryStatus", "QueryStatus");
    tables.push((format!("Table_{}", tables.len()), status(&failures)));
    tables.push((format!("Table_{}", tables.len()), contents));
    tables
}

fn status(failures: &[String]) -> Table {
    let mut table = Table::new(&[
        ("Timestamp", Type::DateTime),
        ("Severity", Type::Int),
        ("SeverityName", Type::String),
        ("StatusCode", Type::Int),
        ("StatusDescription", Type::String),
        ("Count", Type::Int),
        ("RequestId", Type::Guid),
        ("ActivityId", Type::Guid),
        ("SubActivityId", Type::Guid),
        ("ClientActivityId", Type::String),
    ]);
    let id = json::quote(&uuid::Uuid::new_v4().to_string());
    // The code is that of a result that is cut off, as Kusto numbers it.
    let (severity, description) = match failures.is_empty() {
        true => (("4", "Info", "0"), "Query completed successfully".to_owned()),
        false => (("2", "Error", "-2133196797"), failures.join("\n")),
    };
    table.push(&[
        json::quote(&kql::datetime::format(kql::datetime::now())),
        severity.0.to_owned(),
        json::quote(severity.1),
        severity.2.to_owned(),
        json::quote(&description),
        "1".to_owned(),
        id.clone(),
        id.clone(),
        id,
        json::quote(""),
    ]);
    table
}

/// The properties of a `render`, in the names that clients know; all null without one.
pub(crate) fn visualization(asked: Option<&Visualization>) -> String {
    const NAMES: [&str; 14] = [
        "Title",
        "XColumn",
        "Series",
        "YColumns",
        "AnomalyColumns",
        "XTitle",
        "YTitle",
        "XAxis",
        "YAxis",
        "Legend",
        "YSplit",
        "Kind",
        "Ymin",
        "Ymax",
    ];
    let value = |name: &str| {
        let values: Vec<&str> = asked
            .map(|v| {
                let matching = v.properties.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                matching.map(|(_, value)| value.as_str()).collect()
            })
            .unwrap_or_default();
        match values.is_empty() {
            true if name.starts_with("Ym") => json::quote("NaN"),
            true => "null".to_owned(),
            false => json::quote(&values.join(",")),
        }
    };
    let kind = asked.map_or("null".to_owned(), |v| json::quote(&v.kind));
    let named = NAMES.iter().map(|n| ((*n).to_owned(), value(n)));
    let flags = [("Accumulate", "false"), ("IsQuerySorted", "false")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    json::bag(std::iter::once(("Visualization".to_owned(), kind)).chain(named).chain(flags))
}
