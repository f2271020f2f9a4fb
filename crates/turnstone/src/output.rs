//! Printing results: as a table for people, or as JSON, CSV or Markdown for other programs.

use clap::ValueEnum;
use comfy_table::TableComponent::{
    BottomBorder, BottomBorderIntersections, HorizontalLines, LeftBorderIntersections, MiddleIntersections,
    RightBorderIntersections, TopBorder, TopBorderIntersections,
};
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
    Markdown,
}

/// A result: names and rows of JSON values.
pub struct Result {
    pub names: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

/// A cell as text; a string without its quotes, null as nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

impl Result {
    /// A table of Kusto's version 1 answers.
    pub fn from_kusto(table: &Value) -> Result {
        let names = table["Columns"].as_array().into_iter().flatten();
        let rows = table["Rows"].as_array().into_iter().flatten();
        Result {
            names: names.map(|c| c["ColumnName"].as_str().unwrap_or("").to_owned()).collect(),
            rows: rows.map(|r| r.as_array().cloned().unwrap_or_default()).collect(),
        }
    }

    pub fn print(&self, format: Format) -> String {
        match format {
            Format::Table => self.table(),
            Format::Json => self.json(),
            Format::Csv => self.csv(),
            Format::Markdown => self.markdown(),
        }
    }

    fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        // A line under the header is enough.
        for line in [
            HorizontalLines,
            LeftBorderIntersections,
            MiddleIntersections,
            RightBorderIntersections,
            TopBorder,
            TopBorderIntersections,
            BottomBorder,
            BottomBorderIntersections,
        ] {
            table.remove_style(line);
        }
        table.set_header(&self.names);
        for row in &self.rows {
            table.add_row(row.iter().map(text));
        }
        let count = match self.rows.len() {
            1 => "1 row".to_owned(),
            n => format!("{n} rows"),
        };
        format!("{table}\n{count}\n")
    }

    /// One object a row, in an array.
    fn json(&self) -> String {
        let objects: Vec<Value> = self
            .rows
            .iter()
            .map(|row| Value::Object(self.names.iter().cloned().zip(row.iter().cloned()).collect()))
            .collect();
        format!("{:#}\n", Value::Array(objects))
    }

    fn csv(&self) -> String {
        let quote = |text: String| {
            let special = text.contains([',', '"', '\n', '\r']);
            if special { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
        };
        let mut out = self.names.iter().cloned().map(quote).collect::<Vec<_>>().join(",") + "\n";
        for row in &self.rows {
            out += &(row.iter().map(|v| quote(text(v))).collect::<Vec<_>>().join(",") + "\n");
        }
        out
    }

    fn markdown(&self) -> String {
        let cell = |text: String| text.replace('|', "\\|").replace('\n', " ");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.names.iter().cloned().map(cell).collect());
        let _ = writeln!(out, "|{}", "--|".repeat(self.names.len()));
        for row in &self.rows {
            out += &line(row.iter().map(|v| cell(text(v))).collect());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats() {
        let result = Result {
            names: vec!["a".into(), "b".into()],
            rows: vec![vec![json!(1), json!("x, \"y\"")], vec![json!(null), json!({"k": "v|w"})]],
        };
        assert_eq!(result.print(Format::Csv), "a,b\n1,\"x, \"\"y\"\"\"\n,\"{\"\"k\"\":\"\"v|w\"\"}\"\n");
        assert_eq!(result.print(Format::Markdown), "| a | b |\n|--|--|\n| 1 | x, \"y\" |\n|  | {\"k\":\"v\\|w\"} |\n");
        assert!(result.print(Format::Table).ends_with("2 rows\n"));
        assert_eq!(serde_json::from_str::<Value>(&result.print(Format::Json)).expect("JSON")[0]["a"], 1);
    }
}
