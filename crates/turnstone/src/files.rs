//! Files as tables, for queries without a server.

use crate::Failure;
use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use engine::catalog::{FixedCatalog, Table};
use engine::types::arrow_schema;
use std::path::Path;
use std::sync::Arc;
use workspace::format;

/// Reads `NAME=PATH` files into a catalog.
pub fn catalog(files: &[String]) -> Result<FixedCatalog, Failure> {
    let mut catalog = FixedCatalog::default();
    for argument in files {
        let (name, path) = argument
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--file {argument}: expected NAME=PATH, such as T=events.csv")))?;
        let table = read(Path::new(path)).map_err(|problem| Failure::usage(format!("{path}: {problem}")))?;
        catalog.tables.insert(name.to_owned(), table);
    }
    Ok(catalog)
}

fn read(path: &Path) -> Result<Table, String> {
    let fault = |e: &dyn std::fmt::Display| e.to_string();
    let bytes = std::fs::read(path).map_err(|e| fault(&e))?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let (columns, batches) = match extension.as_str() {
        "csv" => {
            let columns = format::infer_csv(&bytes).map_err(|e| fault(&e))?;
            // The header line is no row.
            let body = bytes.iter().position(|b| *b == b'\n').map_or(&[][..], |at| &bytes[at + 1..]);
            let parsed = format::parse_csv(&columns, body, b',').map_err(|e| fault(&e))?;
            warn(path, &parsed);
            (columns, vec![parsed.batch])
        }
        "json" | "jsonl" | "ndjson" => {
            let columns = format::infer_json(&bytes);
            let parsed = format::parse_json(&columns, &bytes).map_err(|e| fault(&e))?;
            warn(path, &parsed);
            (columns, vec![parsed.batch])
        }
        "parquet" => format::read_parquet(bytes).map_err(|e| fault(&e))?,
        other => return Err(format!("files ending in '.{other}' cannot be read; .csv, .json and .parquet can")),
    };
    let schema = arrow_schema(&columns);
    let partitions: Vec<Vec<RecordBatch>> = vec![batches];
    let provider = MemTable::try_new(schema, partitions).map_err(|e| fault(&e))?;
    Ok(Table { columns, provider: Arc::new(provider) })
}

fn warn(path: &Path, parsed: &format::Parsed) {
    if let Some(first) = parsed.rejects.first() {
        eprintln!(
            "{}: {} records were passed over; the first is record {}: {}",
            path.display(),
            parsed.rejected,
            first.record,
            first.reason
        );
    }
}
