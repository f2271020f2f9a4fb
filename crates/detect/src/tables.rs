//! The tables of a security workspace, and building their rows.

use crate::Error;
use arrow::array::RecordBatch;
use engine::Column;
use kql::Type;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use workspace::{BatchBuilder, TableSchema, Workspaces};

pub const RAW_EVENTS: &str = "SecurityIoTRawEvent";
pub const ALERTS: &str = "SecurityAlert";
pub const RECOMMENDATIONS: &str = "SecurityRecommendation";
pub const OPERATION: &str = "Operation";

/// The name that queries may put before a table's, as in `AzureSecurityOfThings.SecurityAlert`.
pub const SOLUTION: &str = "AzureSecurityOfThings";

static TEXT: &str = include_str!("../../../content/tables.yaml");

/// Every built-in table, from `content/tables.yaml`.
pub static SCHEMAS: LazyLock<Vec<TableSchema>> = LazyLock::new(|| match parse(TEXT) {
    Ok(schemas) => schemas,
    Err(error) => {
        tracing::error!(%error, "the built-in tables could not be read");
        Vec::new()
    }
});

fn parse(text: &str) -> Result<Vec<TableSchema>, Error> {
    let file = "content/tables.yaml";
    let tables: BTreeMap<String, Vec<String>> = crate::content::read(file, text)?;
    let column = |line: &String| {
        let (name, of) = line.split_once(' ').unwrap_or((line, ""));
        Type::from_name(of.trim()).map(|t| Column::new(name, t)).ok_or_else(|| Error::Content {
            file: file.to_owned(),
            problem: format!("'{line}' is no column: write its name, a blank and its type"),
        })
    };
    tables
        .into_iter()
        .map(|(name, lines)| Ok(TableSchema { name, columns: lines.iter().map(column).collect::<Result<_, _>>()? }))
        .collect()
}

/// The columns of a built-in table; none for an unknown name.
pub fn columns(table: &str) -> &'static [Column] {
    SCHEMAS.iter().find(|s| s.name == table).map_or(&[], |s| &s.columns)
}

/// The columns of a built-in table as they are in a database, whose owner may have given some of them other types.
pub fn columns_in(workspaces: &Workspaces, database: &str, table: &str) -> Vec<Column> {
    let mut columns = columns(table).to_vec();
    // Where there is no such table, storing rows says so.
    let known = workspaces.columns(database, table).unwrap_or_default();
    for column in &mut columns {
        if let Some(known) = known.iter().find(|known| known.name == column.name) {
            column.column_type = known.column_type;
        }
    }
    columns
}

/// Rows from JSON objects, whose values are read as the types of the columns. A JSON text of a bag or an array is that bag
/// or array where the column is dynamic: queries ask either with `parse_json`.
pub fn rows(columns: &[Column], objects: &[Map<String, Value>]) -> Result<RecordBatch, Error> {
    let mut builder = BatchBuilder::new(columns);
    for object in objects {
        let parsed = |column: &Column| match object.get(&column.name) {
            Some(Value::String(text)) if column.column_type == Type::Dynamic && text.starts_with(['{', '[']) => {
                serde_json::from_str::<Value>(text).ok()
            }
            _ => None,
        };
        let parsed: Vec<(&str, Value)> = columns.iter().filter_map(|c| Some((c.name.as_str(), parsed(c)?))).collect();
        if parsed.is_empty() {
            builder.push_object(object);
        } else {
            let mut object = object.clone();
            parsed.into_iter().for_each(|(name, value)| drop(object.insert(name.to_owned(), value)));
            builder.push_object(&object);
        }
    }
    Ok(builder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_read() {
        let schemas = parse(TEXT).expect("the file is right");
        for table in [RAW_EVENTS, ALERTS, RECOMMENDATIONS, OPERATION, "DefenderIoTRawEvent"] {
            assert!(schemas.iter().any(|s| s.name == table), "{table}");
        }
        assert!(parse("T: [\"a nothing\"]").is_err());
    }
}
