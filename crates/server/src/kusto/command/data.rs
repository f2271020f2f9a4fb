//! Commands that put rows into tables: `.ingest inline`, `.set`, `.append`, `.set-or-append`.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::{Properties, Words};
use super::{Command, failed};
use engine::{Column, RecordBatch};
use kql::Type;
use workspace::{Append, TableSchema, format};

/// The rows that one command stores, all or none, take no more memory than this.
const STORED_BYTES_MAX: usize = 256 << 20;

/// A command and the rows or the query that it takes, where it takes any.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let trimmed = text.trim_start();
    let verb = trimmed.split_whitespace().next()?.to_ascii_lowercase();
    if !matches!(
        verb.as_str(),
        ".ingest" | ".set" | ".append" | ".set-or-append" | ".set-or-replace" | ".delete" | ".purge"
    ) {
        return None;
    }
    trimmed.split_once("<|")
}

impl Command<'_> {
    pub(super) async fn take_rows(&self, before: &str, after: &str) -> Result<Table, KustoError> {
        let mut words = Words::new(before)?;
        if words.take("ingest inline into table") {
            let name = words.name("a table name")?;
            let properties = words.properties()?;
            self.check_database(self.database)?;
            return self.ingest_inline(&name, &properties, after).await;
        }
        if words.take("delete") {
            return self.delete_records(&mut words, after).await;
        }
        if words.take("purge") {
            return self.purge(&mut words, after).await;
        }
        if words.take("set-or-replace") {
            return Err(self.unsupported());
        }
        let Some(verb) = words.one_of(&["set-or-append", "set", "append"]) else { return Err(self.unsupported()) };
        self.check_database(self.database)?;
        if words.take("async") || words.take("stored_query_result") {
            return Err(self.unsupported());
        }
        let name = words.name("a table name")?;
        if let Some(unknown) = words.properties()?.keys().find(|name| *name != "tags") {
            let message = format!("Not supported: the property '{unknown}'");
            return Err(KustoError::bad_request(message));
        }
        if !words.at_end() {
            return Err(words.unexpected("'<|'"));
        }
        self.store_query(verb, &name, after).await
    }

    /// `.ingest inline into table T with (format = "csv") <| rows`. A bad record stops all: nothing is stored.
    async fn ingest_inline(&self, name: &str, properties: &Properties, rows: &str) -> Result<Table, KustoError> {
        let columns = self.services.workspaces.columns(self.database, name).map_err(failed)?;
        let kind = properties.get("format").map_or("csv", String::as_str).to_ascii_lowercase();
        if let Some(unknown) =
            properties.keys().find(|name| !matches!(name.as_str(), "format" | "ignorefirstrecord" | "tags"))
        {
            let message = format!("Not supported: the property '{unknown}'; format and ignoreFirstRecord are");
            return Err(KustoError::bad_request(message));
        }
        let rows = rows.trim_start_matches([' ', '\t']).trim_start_matches("\r\n").trim_start_matches('\n');
        let skips_first = properties.get("ignorefirstrecord").is_some_and(|said| said.eq_ignore_ascii_case("true"));
        let rows = match skips_first {
            true => rows.split_once('\n').map_or("", |(_, rest)| rest),
            false => rows,
        };
        let parsed = match kind.as_str() {
            "csv" => format::parse_csv(&columns, rows.as_bytes(), b','),
            "tsv" => format::parse_csv(&columns, rows.as_bytes(), b'\t'),
            "psv" => format::parse_csv(&columns, rows.as_bytes(), b'|'),
            "json" | "multijson" => format::parse_json(&columns, rows.as_bytes()),
            other => {
                let message = format!("Not supported: format='{other}'; csv, tsv, psv, json and multijson are");
                return Err(KustoError::bad_request(message));
            }
        }
        .map_err(failed)?;
        if let Some(first) = parsed.rejects.first() {
            let message = format!("Bad request: record {} cannot be read: {}", first.record, first.reason);
            return Err(KustoError::bad_request(message));
        }
        self.append(name, parsed.batch).await?;
        let mut table = Table::new(&[("ExtentId", Type::Guid)]);
        table.push(&[text(uuid::Uuid::new_v4().to_string())]);
        Ok(table)
    }

    /// Stores rows, all or none.
    async fn append(&self, table: &str, batch: RecordBatch) -> Result<(), KustoError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.services.workspaces.check_changeable(self.database, table).map_err(failed)?;
        let tables = vec![(table.to_owned(), batch)];
        let append = Append { database: self.database.to_owned(), tables, ids: Vec::new() };
        self.services.workspaces.append(append).await.map(|_| ()).map_err(failed)
    }

    /// `.set T <| query` makes a table, `.append` needs one, `.set-or-append` takes either. Columns go by place, and
    /// their types must be those of the table.
    async fn store_query(&self, verb: &str, name: &str, query: &str) -> Result<Table, KustoError> {
        let workspaces = &self.services.workspaces;
        let known = match workspaces.columns(self.database, name) {
            Ok(_) if verb == "set" => return Err(KustoError::already_exists(name, "Table")),
            Ok(columns) => Some(columns),
            Err(workspace::Error::NoTable(_)) if verb != "append" => None,
            Err(error) => return Err(failed(error)),
        };
        let read = |mut rows: engine::Rows, _| async move {
            let mut batches: Vec<RecordBatch> = Vec::new();
            let mut bytes = 0;
            while let Some(batch) = rows.next().await? {
                bytes += batch.get_array_memory_size();
                if bytes > STORED_BYTES_MAX {
                    let message = format!("the result takes more than {STORED_BYTES_MAX} bytes; store it in parts");
                    return Err(engine::Error::Run(message));
                }
                batches.push(batch);
            }
            Ok((rows.columns, batches))
        };
        let ran = self
            .services
            .queries
            .run(
                self.services.catalog_for(&self.caller),
                self.database.to_owned(),
                query.to_owned(),
                self.limits.clone(),
                read,
            )
            .await;
        let mut results = ran.map_err(|failed| KustoError::failed(failed, query))?;
        let (Some((columns, batches)), true) = (results.pop(), results.is_empty()) else {
            return Err(KustoError::bad_request("the query must have one result"));
        };
        let target = match known {
            Some(target) => target,
            None => {
                let schema = TableSchema { name: name.to_owned(), columns: columns.clone() };
                workspaces.create_merge_table(self.database, &schema).await.map_err(failed)?
            }
        };
        let types = |columns: &[Column]| columns.iter().map(|c| c.column_type.name()).collect::<Vec<_>>().join(",");
        if types(&columns) != types(&target) {
            return Err(KustoError::bad_request(format!(
                "Query schema does not match table schema. QuerySchema=('{}'), TableSchema=('{}')",
                types(&columns),
                types(&target)
            )));
        }
        let rows = engine::types::renamed(&batches, &target).map_err(|e| KustoError::internal(e.to_string()))?;
        let stored = rows.num_rows();
        self.append(name, rows).await?;
        let mut table = Table::new(&[
            ("ExtentId", Type::Guid),
            ("OriginalSize", Type::Real),
            ("ExtentSize", Type::Real),
            ("CompressedSize", Type::Real),
            ("IndexSize", Type::Real),
            ("RowCount", Type::Long),
        ]);
        if stored > 0 {
            // Sizes are known once the rows are in files; until then there are none.
            let none = || "0.0".to_owned();
            let id = text(uuid::Uuid::new_v4().to_string());
            table.push(&[id, none(), none(), none(), none(), stored.to_string()]);
        }
        Ok(table)
    }
}
