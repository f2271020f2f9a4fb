//! Answers in Kusto's version 1 form: tables with columns and rows, written as JSON.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::cells::Cells;
use engine::{Answer, Column, Visualization, json};
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

    /// Adds a row of JSON texts.
    pub fn push(&mut self, cells: &[String]) {
        if self.count > 0 {
            self.rows.push(',');
        }
        self.count += 1;
        self.rows.push_str(&json::array(cells));
    }

    pub fn of_answer(answer: &Answer) -> Table {
        let mut table = Table { columns: answer.columns.clone(), rows: String::new(), count: 0 };
        for batch in &answer.batches {
            let cells: Vec<Cells> =
                batch.columns().iter().zip(&answer.columns).map(|(a, c)| Cells::new(c.column_type, a)).collect();
            for row in 0..batch.num_rows() {
                table.rows.push_str(if table.count == 0 { "[" } else { ",[" });
                table.count += 1;
                for (i, cell) in cells.iter().enumerate() {
                    if i > 0 {
                        table.rows.push(',');
                    }
                    cell.write_json(row, &mut table.rows);
                }
                table.rows.push(']');
            }
        }
        table
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
    let mut body = String::from("{\"Tables\":[");
    for (i, (name, table)) in tables.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        table.write(name, &mut body);
    }
    body.push_str("]}");
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer of a command: one table.
pub(super) fn command(table: Table) -> Response {
    respond(&[("Table_0".to_owned(), table)])
}

/// The answer of a query: its results, then their properties, the status and a table of contents.
pub(super) fn query(answers: &[Answer]) -> Response {
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
    for answer in answers {
        list(tables.len(), "QueryResult", "PrimaryResult");
        properties.push(&[json::quote(&visualization(answer.visualization.as_ref()))]);
        tables.push((format!("Table_{}", tables.len()), Table::of_answer(answer)));
    }
    list(tables.len(), "QueryProperties", "@ExtendedProperties");
    tables.push((format!("Table_{}", tables.len()), properties));
    list(tables.len(), "QueryStatus", "QueryStatus");
    tables.push((format!("Table_{}", tables.len()), status()));
    tables.push((format!("Table_{}", tables.len()), contents));
    respond(&tables)
}

fn status() -> Table {
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
    table.push(&[
        json::quote(&kql::datetime::format(kql::datetime::now())),
        "4".to_owned(),
        json::quote("Info"),
        "0".to_owned(),
        json::quote("Query completed successfully"),
        "1".to_owned(),
        id.clone(),
        id.clone(),
        id,
        json::quote(""),
    ]);
    table
}

/// The properties of a `render`, in the names that clients know; all null without one.
fn visualization(asked: Option<&Visualization>) -> String {
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
