//! What a workspace says of itself in tables that queries can ask: `Operation`, what was refused, dropped or deleted
//! and why; `Usage`, how much came. A database without these tables goes without.

use crate::error::Result;
use crate::rows::BatchBuilder;
use crate::store::Workspaces;
use crate::usage::UsageEntry;
use crate::writer::{Append, EventId};
use kql::datetime;
use kql::timespan::TICKS_PER_HOUR;
use serde_json::{Map, Value, json};

const OPERATION: &str = "Operation";
const USAGE: &str = "Usage";
const SOURCE: &str = "Turnstone";
const BYTES_PER_MEGABYTE: f64 = 1e6;

/// Something that an owner should know of.
#[derive(Debug, Clone)]
pub struct Note {
    /// `Failed`, `Warning` or `Succeeded`.
    pub status: &'static str,
    pub category: &'static str,
    pub detail: String,
}

impl Workspaces {
    /// Adds rows to the table `Operation` of a database. That this fails is logged; what is noted stands all the same.
    pub async fn note(&self, database: &str, notes: &[Note]) {
        let now = datetime::format(datetime::now());
        let row = |note: &Note| {
            json!({
                "TimeGenerated": now,
                "SourceSystem": SOURCE,
                "OperationStatus": note.status,
                "OperationCategory": note.category,
                "Detail": note.detail,
                "Type": OPERATION,
            })
        };
        let rows: Vec<Value> = notes.iter().map(row).collect();
        if let Err(error) = self.append_objects(database, OPERATION, &rows, Vec::new()).await {
            tracing::error!(%error, database, "what should be known was not noted");
        }
    }

    /// Adds the figures of hours that are over to the table `Usage`. A repeat adds nothing.
    pub(crate) async fn write_usage(&self, now_ticks: i64) -> Result<()> {
        let finished = self.shared().usage.lock().finished(now_ticks);
        for database in self.databases() {
            let of_database: Vec<&UsageEntry> = finished.iter().filter(|entry| entry.database == database).collect();
            let id = |entry: &&UsageEntry| {
                EventId::new(&format!("usage {database}"), &format!("{} {}", entry.hour, entry.table))
            };
            let rows: Vec<Value> = of_database.iter().map(|entry| usage_row(entry)).collect();
            self.append_objects(&database, USAGE, &rows, of_database.iter().map(id).collect()).await?;
        }
        if !finished.is_empty() {
            self.shared().usage.lock().forget(&finished);
        }
        Ok(())
    }

    async fn append_objects(&self, database: &str, table: &str, rows: &[Value], ids: Vec<EventId>) -> Result<()> {
        let Ok(columns) = self.columns(database, table) else { return Ok(()) };
        if rows.is_empty() {
            return Ok(());
        }
        let mut builder = BatchBuilder::new(&columns);
        let none = Map::new();
        rows.iter().for_each(|row| builder.push_object(row.as_object().unwrap_or(&none)));
        let ids = if ids.is_empty() { Vec::new() } else { vec![ids] };
        let append = Append { database: database.to_owned(), tables: vec![(table.to_owned(), builder.finish()?)], ids };
        self.append(append).await.map(|_| ())
    }
}

fn usage_row(entry: &UsageEntry) -> Value {
    let start = entry.hour * TICKS_PER_HOUR;
    let end = datetime::format(start + TICKS_PER_HOUR);
    json!({
        "TimeGenerated": end,
        "StartTime": datetime::format(start),
        "EndTime": end,
        "SourceSystem": SOURCE,
        "DataType": entry.table,
        "Quantity": entry.bytes as f64 / BYTES_PER_MEGABYTE,
        "QuantityUnit": "MBytes",
        "IsBillable": false,
        "Type": USAGE,
    })
}
