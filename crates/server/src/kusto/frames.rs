//! Answers in frames, Kusto's version 2, sent while the query runs.
//!
//! Readers pull frames from a stream, so members stand in the order that they expect: the kind of the frame first, the
//! rows of a table last. Once the first frame is on its way a failure can no longer be a status of HTTP: it stands in the
//! place of a row, and at the end.

use super::error::KustoError;
use super::response::{cut_off, visualization};
use crate::queries::{Failed, Limits};
use axum::body::Bytes;
use engine::cells::Cells;
use engine::{Column, RecordBatch, Rows, json};
use kql::Type;
use std::fmt::Write as _;
use std::time::Instant;
use tokio::sync::mpsc;

/// Parts of a body are sent once they have about this size.
const PART_BYTES: usize = 64 << 10;
/// The code of a query whose result is cut off, as Kusto numbers it.
const CUT_OFF_CODE: &str = "-2133196797";

/// The frames of an answer on their way to a client.
pub(super) struct Frames {
    sink: mpsc::Sender<Bytes>,
    buffer: String,
    limits: Limits,
    client_request_id: String,
    begun: Instant,
    is_begun: bool,
    /// The rows of the table that is open.
    open_rows: Option<usize>,
    /// Of the table that is open.
    bytes: usize,
    tables: usize,
    /// Rows and bytes of each result.
    sizes: Vec<(usize, usize)>,
    /// Why results are cut off, where they are.
    failures: Vec<String>,
}

/// Nobody reads the answer any more.
pub(super) struct Gone;

impl From<Gone> for engine::Error {
    fn from(_: Gone) -> engine::Error {
        engine::Error::Run("nobody reads the answer any more".to_owned())
    }
}

impl Frames {
    pub fn new(sink: mpsc::Sender<Bytes>, limits: Limits, client_request_id: String) -> Frames {
        Frames {
            sink,
            buffer: String::new(),
            limits,
            client_request_id,
            begun: Instant::now(),
            is_begun: false,
            open_rows: None,
            bytes: 0,
            tables: 0,
            sizes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Writes the results of a query. An error of the query before its first rows is one of the request.
    pub async fn write(&mut self, results: Vec<Rows>) -> Result<(), engine::Error> {
        let visualizations: Vec<String> =
            results.iter().map(|rows| visualization(rows.visualization.as_ref())).collect();
        for mut rows in results {
            let mut next = rows.next().await?;
            if !self.is_begun {
                self.begin(&visualizations);
            }
            let name = rows.name.clone().unwrap_or_else(|| "PrimaryResult".to_owned());
            self.open("PrimaryResult", &name, &rows.columns.clone());
            while let Some(batch) = next {
                if !self.add(&rows.columns, &batch).await? {
                    let failure = cut_off(self.open_rows.unwrap_or_default(), self.limits);
                    if !self.limits.defers_failures {
                        self.push(&in_place_of_rows(&KustoError::limits_exceeded(&failure)));
                    }
                    self.failures.push(failure);
                    break;
                }
                next = rows.next().await?;
            }
            self.sizes.push((self.open_rows.unwrap_or_default(), self.bytes));
            self.close();
            if !self.failures.is_empty() && !self.limits.defers_failures {
                break;
            }
        }
        if !self.is_begun {
            self.begin(&visualizations);
        }
        Ok(())
    }

    /// Ends the answer in order.
    pub async fn finish(&mut self) {
        let failure = self.failures.first().cloned();
        match failure.filter(|_| !self.limits.defers_failures) {
            Some(failure) => self.complete(Some(&KustoError::limits_exceeded(&failure))),
            None => {
                self.completion_information();
                self.complete(None);
            }
        }
        let _ = self.send().await;
    }

    /// Ends an answer whose query failed when some of it had been sent. False when nothing had: the failure is one of the
    /// request then.
    pub async fn fail(&mut self, failed: Failed, text: &str) -> Result<(), Failed> {
        if !self.is_begun {
            return Err(failed);
        }
        let error = KustoError::failed(failed, text);
        if self.open_rows.is_some() {
            self.push(&in_place_of_rows(&error));
            self.close();
        }
        self.complete(Some(&error));
        let _ = self.send().await;
        Ok(())
    }

    fn begin(&mut self, visualizations: &[String]) {
        self.is_begun = true;
        let _ = write!(
            self.buffer,
            "[{{\"FrameType\":\"DataSetHeader\",\"IsProgressive\":{},\"Version\":\"v2.0\"}}",
            self.limits.is_progressive
        );
        let columns = [("TableId", Type::Int), ("Key", Type::String), ("Value", Type::Dynamic)];
        self.open_whole("QueryProperties", "@ExtendedProperties", &named(&columns));
        for (place, value) in visualizations.iter().enumerate() {
            let key = json::quote("Visualization");
            self.push(&json::array([(place + 1).to_string(), key, json::quote(value)]));
        }
        self.close_whole();
    }

    /// Opens a table whose rows come in one frame.
    fn open_whole(&mut self, kind: &str, name: &str, columns: &[Column]) {
        self.table_head("DataTable", kind, name, columns);
        self.buffer.push_str(",\"Rows\":[");
        (self.open_rows, self.bytes) = (Some(0), 0);
    }

    fn close_whole(&mut self) {
        self.buffer.push_str("]}");
        self.open_rows = None;
        self.tables += 1;
    }

    fn table_head(&mut self, frame: &str, kind: &str, name: &str, columns: &[Column]) {
        let _ = write!(
            self.buffer,
            ",{{\"FrameType\":\"{frame}\",\"TableId\":{},\"TableKind\":\"{kind}\",\"TableName\":{},\"Columns\":[",
            self.tables,
            json::quote(name)
        );
        for (place, column) in columns.iter().enumerate() {
            let separator = if place > 0 { "," } else { "" };
            let (name, of) = (json::quote(&column.name), column.column_type);
            let _ = write!(self.buffer, "{separator}{{\"ColumnName\":{name},\"ColumnType\":\"{of}\"}}");
        }
        self.buffer.push(']');
    }

    fn open(&mut self, kind: &str, name: &str, columns: &[Column]) {
        if !self.limits.is_progressive {
            return self.open_whole(kind, name, columns);
        }
        self.table_head("TableHeader", kind, name, columns);
        self.buffer.push('}');
        self.open_fragment();
        (self.open_rows, self.bytes) = (Some(0), 0);
    }

    fn open_fragment(&mut self) {
        let _ = write!(
            self.buffer,
            ",{{\"FrameType\":\"TableFragment\",\"TableId\":{},\"TableFragmentType\":\"DataAppend\",\"Rows\":[",
            self.tables
        );
    }

    fn close(&mut self) {
        if !self.limits.is_progressive {
            return self.close_whole();
        }
        let rows = self.open_rows.take().unwrap_or_default();
        let _ = write!(
            self.buffer,
            "]}},{{\"FrameType\":\"TableCompletion\",\"TableId\":{},\"RowCount\":{rows}}}",
            self.tables
        );
        self.tables += 1;
    }

    fn push(&mut self, row: &str) {
        if self.open_rows != Some(0) && !self.buffer.ends_with('[') {
            self.buffer.push(',');
        }
        self.buffer.push_str(row);
        self.open_rows = self.open_rows.map(|rows| rows + 1);
    }

    /// Adds the rows of a batch, as far as they fit; whether all did.
    async fn add(&mut self, columns: &[Column], batch: &RecordBatch) -> Result<bool, Gone> {
        let cells: Vec<Cells> =
            batch.columns().iter().zip(columns).map(|(a, c)| Cells::new(c.column_type, a)).collect();
        let mut line = String::new();
        let mut fits = true;
        let mut parts: Vec<Bytes> = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            line.push('[');
            for (place, cell) in cells.iter().enumerate() {
                if place > 0 {
                    line.push(',');
                }
                cell.write_json(row, &mut line);
            }
            line.push(']');
            fits = self.open_rows.unwrap_or_default() < self.limits.rows_max
                && self.bytes + line.len() <= self.limits.bytes_max;
            if !fits {
                break;
            }
            self.bytes += line.len() + 1;
            // The part before may be on its way already.
            let is_first = self.open_rows == Some(0) || self.buffer.ends_with('[');
            if !is_first {
                self.buffer.push(',');
            }
            self.buffer.push_str(&line);
            self.open_rows = self.open_rows.map(|rows| rows + 1);
            if self.buffer.len() >= PART_BYTES {
                if self.limits.is_progressive {
                    self.buffer.push_str("]}");
                }
                parts.push(Bytes::from(std::mem::take(&mut self.buffer)));
                if self.limits.is_progressive {
                    self.open_fragment();
                }
            }
        }
        drop(cells);
        for part in parts {
            self.sink.send(part).await.map_err(|_| Gone)?;
        }
        Ok(fits)
    }

    fn completion_information(&mut self) {
        let columns = [
            ("Timestamp", Type::DateTime),
            ("ClientRequestId", Type::String),
            ("ActivityId", Type::Guid),
            ("SubActivityId", Type::Guid),
            ("ParentActivityId", Type::Guid),
            ("Level", Type::Int),
            ("LevelName", Type::String),
            ("StatusCode", Type::Int),
            ("StatusCodeName", Type::String),
            ("EventType", Type::Int),
            ("EventTypeName", Type::String),
            ("Payload", Type::String),
        ];
        self.open_whole("QueryCompletionInformation", "QueryCompletionInformation", &named(&columns));
        let id = uuid::Uuid::new_v4().to_string();
        let sizes =
            self.sizes.iter().map(|(rows, bytes)| format!("{{\"table_row_count\":{rows},\"table_size\":{bytes}}}"));
        let consumption = format!(
            "{{\"ExecutionTime\":{:.7},\"resource_usage\":{{}},\"input_dataset_statistics\":{{}},\"dataset_statistics\":{}}}",
            self.begun.elapsed().as_secs_f64(),
            json::array(sizes.collect::<Vec<_>>())
        );
        let now = kql::datetime::format(kql::datetime::now());
        let outcome = match self.failures.first() {
            None => {
                ("4", "Info", "0", "S_OK (0)", "{\"Count\":1,\"Text\":\"Query completed successfully\"}".to_owned())
            }
            Some(failure) => {
                let text = format!("{{\"Count\":1,\"Text\":{}}}", json::quote(failure));
                ("2", "Error", CUT_OFF_CODE, "E_QUERY_RESULT_SET_TOO_LARGE (0x80DA0003)", text)
            }
        };
        let (level, name, code, code_name, payload) = outcome;
        let rows = [
            (level, name, code, code_name, "4", "QueryInfo", payload.as_str()),
            ("6", "Stats", "0", "S_OK (0)", "0", "QueryResourceConsumption", consumption.as_str()),
        ];
        for (level, level_name, code, code_name, event, event_name, payload) in rows {
            let text = |value: &str| json::quote(value);
            self.push(&json::array([
                text(&now),
                text(&self.client_request_id),
                text(&id),
                text(&id),
                text(&id),
                level.to_owned(),
                text(level_name),
                code.to_owned(),
                text(code_name),
                event.to_owned(),
                text(event_name),
                text(payload),
            ]));
        }
        self.close_whole();
    }

    fn complete(&mut self, error: Option<&KustoError>) {
        let _ = write!(
            self.buffer,
            ",{{\"FrameType\":\"DataSetCompletion\",\"HasErrors\":{},\"Cancelled\":false",
            error.is_some()
        );
        if let Some(error) = error {
            let _ = write!(self.buffer, ",\"OneApiErrors\":{}", one_api_errors(error));
        }
        self.buffer.push_str("}]");
    }

    async fn send(&mut self) -> Result<(), Gone> {
        self.sink.send(Bytes::from(std::mem::take(&mut self.buffer))).await.map_err(|_| Gone)
    }
}

fn named(columns: &[(&str, Type)]) -> Vec<Column> {
    columns.iter().map(|(name, of)| Column::new(*name, *of)).collect()
}

/// The error in a list.
fn one_api_errors(error: &KustoError) -> String {
    format!("[{}]", error.body(&uuid::Uuid::new_v4().to_string()))
}

/// What stands in the place of a row where rows are missing.
fn in_place_of_rows(error: &KustoError) -> String {
    format!("{{\"OneApiErrors\":{}}}", one_api_errors(error))
}
