//! Answers in the form of Log Analytics: tables with columns and rows, and what the client has asked for beside them.

use crate::kusto::response::{cut_off, visualization};
use crate::queries::Limits;
use engine::cells::Cells;
use engine::{Column, RecordBatch, Rows, json};
use kql::Type;
use serde_json::{Value, json as json_value};
use std::fmt::Write as _;
use std::time::Instant;

/// One result as JSON.
pub(super) struct Part {
    columns: String,
    rows: String,
    count: usize,
    render: String,
    failure: Option<String>,
}

impl Part {
    /// Reads the rows as far as the limits go.
    pub async fn read(mut rows: Rows, limits: Limits) -> Result<Part, engine::Error> {
        let names =
            |column: &Column| format!("{{\"name\":{},\"type\":\"{}\"}}", json::quote(&column.name), column.column_type);
        let columns = json::array(rows.columns.iter().map(names));
        let render = visualization(rows.visualization.as_ref());
        let mut part = Part { columns, rows: String::new(), count: 0, render, failure: None };
        while let Some(batch) = rows.next().await? {
            if !part.add(&rows.columns, &batch, limits) {
                part.failure = Some(cut_off(part.count, limits));
                break;
            }
        }
        Ok(part)
    }

    /// Adds rows as far as they fit; whether all did. A dynamic value is a text that holds JSON.
    fn add(&mut self, columns: &[Column], batch: &RecordBatch, limits: Limits) -> bool {
        let cells: Vec<Cells> =
            batch.columns().iter().zip(columns).map(|(a, c)| Cells::new(c.column_type, a)).collect();
        for row in 0..batch.num_rows() {
            let before = self.rows.len();
            if self.count >= limits.rows_max {
                return false;
            }
            self.rows.push_str(if self.count == 0 { "[" } else { ",[" });
            for (place, (cell, column)) in cells.iter().zip(columns).enumerate() {
                if place > 0 {
                    self.rows.push(',');
                }
                match column.column_type {
                    Type::Dynamic if !cell.is_null(row) => json::quote_into(&mut self.rows, &cell.text(row)),
                    _ => cell.write_json(row, &mut self.rows),
                }
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
}

/// The answer. What it took is said since `begun`.
pub(super) fn as_tables(parts: &[Part], includes_statistics: bool, includes_render: bool, begun: Instant) -> String {
    let mut out = String::from("{\"tables\":[");
    for (place, part) in parts.iter().enumerate() {
        let name = if place == 0 { "PrimaryResult".to_owned() } else { format!("Table_{place}") };
        let separator = if place > 0 { "," } else { "" };
        let _ = write!(out, "{separator}{{\"name\":\"{name}\",\"columns\":{},\"rows\":[{}]}}", part.columns, part.rows);
    }
    out.push(']');
    if includes_statistics {
        let sizes = parts.iter().map(|p| format!("{{\"tableRowCount\":{},\"tableSize\":{}}}", p.count, p.rows.len()));
        let _ = write!(
            out,
            ",\"statistics\":{{\"query\":{{\"executionTime\":{:.7},\"datasetStatistics\":{}}}}}",
            begun.elapsed().as_secs_f64(),
            json::array(sizes)
        );
    }
    if includes_render && let Some(first) = parts.first() {
        let _ = write!(out, ",\"render\":{}", lower_camel(&first.render));
    }
    if let Some(failure) = parts.iter().find_map(|part| part.failure.as_ref()) {
        let error = json_value!({
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [{
                "code": "EngineError",
                "message": "Something went wrong processing your query on the server.",
                "innererror": { "code": "-2133196797", "message": failure, "severity": 2, "severityName": "Error" },
            }],
        });
        let _ = write!(out, ",\"error\":{error}");
    }
    out.push('}');
    out
}

/// The properties of a render with the first letters of their names small, and without those that nobody set.
fn lower_camel(render: &str) -> String {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(render) else { return "{}".to_owned() };
    let small = |name: &str| {
        let mut letters = name.chars();
        letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    let renamed: serde_json::Map<String, Value> =
        members.into_iter().map(|(name, value)| (small(&name), value)).collect();
    Value::Object(renamed).to_string()
}
