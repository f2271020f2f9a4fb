//! The HTTP Data Collector interface, which older senders use: `POST /api/logs` with a JSON array, signed with a shared
//! key of the workspace.
//!
//! Records of the type `X` become rows of the table `X_CL`. Each member is a column whose name says its type: `_s` for
//! texts, `_d` for numbers, `_b` for booleans, `_t` for times, `_g` for GUIDs. Columns are added as they come. Source of
//! the form: Azure Monitor's documentation of the interface (api-version 2016-04-01).

use crate::Services;
use crate::ingestion::{self, Refused};
use crate::management::workspaces::keys_of;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use engine::Column;
use kql::{Type, datetime};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use workspace::{BatchBuilder, TableSchema};

const TYPE_CHARACTERS_MAX: usize = 100;
const COLUMNS_MAX: usize = 500;
/// The clocks of sender and server may differ by this much.
const CLOCK_SKEW_TICKS: i64 = 15 * kql::timespan::TICKS_PER_MINUTE;

/// An error in the shape of this interface.
struct Failed(StatusCode, &'static str, String);

impl Failed {
    fn bad(code: &'static str, message: impl Into<String>) -> Failed {
        Failed(StatusCode::BAD_REQUEST, code, message.into())
    }

    fn forbidden(message: impl Into<String>) -> Failed {
        Failed(StatusCode::FORBIDDEN, "InvalidAuthorization", message.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(json!({ "Error": self.1, "Message": self.2 }))).into_response();
        if matches!(self.0, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        use workspace::Error::{DiskFull, Overloaded, QuotaReached};
        let busy = |status, message| Failed(status, "ServiceUnavailable", message);
        match refused {
            Refused::TooLarge(message) => Failed(StatusCode::PAYLOAD_TOO_LARGE, "MaxDataSizeExceeded", message),
            Refused::Body(message) => Failed::bad("InvalidDataFormat", message),
            Refused::Workspace(error @ (Overloaded | QuotaReached { .. })) => {
                busy(StatusCode::TOO_MANY_REQUESTS, error.to_string())
            }
            Refused::Workspace(error @ DiskFull(_)) => busy(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Refused::Workspace(error) => Failed::bad("InvalidDataFormat", error.to_string()),
            Refused::Stopped(message) => Failed(StatusCode::INTERNAL_SERVER_ERROR, "UnspecifiedError", message),
        }
    }
}

impl From<workspace::Error> for Failed {
    fn from(error: workspace::Error) -> Failed {
        Refused::Workspace(error).into()
    }
}

pub(super) async fn collect(State(services): State<Arc<Services>>, headers: HeaderMap, body: Body) -> Response {
    let mut body = body.into_data_stream();
    match take(&services, &headers, &mut body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(failed) => {
            ingestion::pass_over(&mut body).await;
            failed.into_response()
        }
    }
}

async fn take(services: &Services, headers: &HeaderMap, body: &mut axum::body::BodyDataStream) -> Result<(), Failed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let database = signer(services, headers).await?;
    let of = text("log-type");
    let is_type = (1..=TYPE_CHARACTERS_MAX).contains(&of.len())
        && of.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && of.starts_with(|c: char| c.is_ascii_alphabetic());
    if !is_type {
        return Err(Failed::bad("InvalidCustomLogName", "the header Log-Type is needed: letters, digits and _"));
    }
    let table = format!("{of}_CL");
    services.workspaces.check_quota(&database)?;
    let mut taken = ingestion::take(&services.workspaces, headers, body).await?;
    let bytes = std::mem::take(&mut taken.bytes);
    let time_field = text("time-generated-field").to_owned();
    let (rows, columns) = ingestion::on_processor(move || {
        let rows = read(&bytes, &time_field)?;
        let columns = columns_of(&rows)?;
        Ok((rows, columns))
    })
    .await?;
    let known = services.workspaces.columns(&database, &table).unwrap_or_default();
    let new = columns.iter().filter(|column| !known.iter().any(|known| known.name == column.name)).count();
    if known.len() + new > COLUMNS_MAX {
        return Err(Failed::bad("InvalidDataFormat", format!("the table would have more than {COLUMNS_MAX} columns")));
    }
    let all = services.workspaces.create_merge_table(&database, &TableSchema { name: table.clone(), columns }).await?;
    let mut builder = BatchBuilder::new(&all);
    for mut row in rows {
        row.insert("Type".to_owned(), Value::String(table.clone()));
        builder.push_object(&row);
    }
    let batch = builder.finish()?;
    taken.store(&services.workspaces, &database, vec![(table, batch)], Vec::new()).await?;
    Ok(())
}

/// The database whose key has signed the request.
async fn signer(services: &Services, headers: &HeaderMap) -> Result<String, Failed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wrong = || Failed::forbidden("the request is not signed with a shared key of a workspace that is here");
    let (workspace, signature) =
        text("authorization").strip_prefix("SharedKey ").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
    let date = text("x-ms-date");
    let sent = datetime::parse(date).ok_or_else(|| Failed::forbidden("the header x-ms-date is no date"))?;
    if (sent - datetime::now()).abs() > CLOCK_SKEW_TICKS {
        return Err(Failed::forbidden("the header x-ms-date is more than 15 minutes from now"));
    }
    let database = crate::log_analytics::database_of(services, workspace).ok_or_else(wrong)?;
    let keys = keys_of(services, &database).await.map_err(|_| wrong())?;
    let signed = format!("POST\n{}\n{}\nx-ms-date:{date}\n/api/logs", text("content-length"), text("content-type"));
    let signature = BASE64_STANDARD.decode(signature.trim()).map_err(|_| wrong())?;
    match keys.iter().any(|key| key.has_signed(signed.as_bytes(), &signature)) {
        true => Ok(database),
        false => Err(wrong()),
    }
}

/// The columns that rows have, each once.
fn columns_of(rows: &[Map<String, Value>]) -> Result<Vec<Column>, Refused> {
    let mut columns = vec![Column::new("TimeGenerated", Type::DateTime), Column::new("Type", Type::String)];
    let mut seen: HashSet<&str> = HashSet::from(["TimeGenerated", "Type"]);
    for (name, value) in rows.iter().flatten() {
        if seen.insert(name) {
            columns.push(Column::new(name, type_of(name, value)));
            if columns.len() > COLUMNS_MAX {
                return Err(Refused::Body(format!("the records have more than {COLUMNS_MAX} members")));
            }
        }
    }
    Ok(columns)
}

/// The rows of a body, each member under its column's name. Records that are no objects cost all: the interface has no
/// way to tell of them.
fn read(bytes: &[u8], time_field: &str) -> Result<Vec<Map<String, Value>>, Refused> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Refused::Body(format!("the body is no JSON: {e}")))?;
    let records = match value {
        Value::Array(records) => records,
        record @ Value::Object(_) => vec![record],
        _ => return Err(Refused::Body("the body must be a JSON array of records".to_owned())),
    };
    let now = datetime::format(datetime::now());
    let row = |(at, record): (usize, Value)| {
        let Value::Object(record) = record else { return Err(Refused::Body(format!("record {at} is no object"))) };
        let time = record.get(time_field).and_then(Value::as_str).filter(|text| datetime::parse(text).is_some());
        let mut row = Map::new();
        row.insert("TimeGenerated".to_owned(), json!(time.unwrap_or(&now)));
        for (name, value) in &record {
            if name == time_field && time.is_some() {
                continue;
            }
            if let Some(name) = column_name(name, value)? {
                row.insert(name, value_of(value));
            }
        }
        Ok(row)
    };
    records.into_iter().enumerate().map(row).collect()
}

/// A member's column; none for a null.
fn column_name(name: &str, value: &Value) -> Result<Option<String>, Refused> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Refused::Body(format!("'{name}' is no name of a member: letters, digits and _")));
    }
    let ending = match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => "b",
        Value::Number(_) => "d",
        Value::String(text) if is_guid(text) => "g",
        Value::String(text) if is_time(text) => "t",
        _ => "s",
    };
    Ok(Some(format!("{name}_{ending}")))
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::parse_str(text).is_ok()
}

fn is_time(text: &str) -> bool {
    text.len() >= 19 && text.as_bytes()[10] == b'T' && datetime::parse(text).is_some()
}

/// Objects and lists are texts here.
fn value_of(value: &Value) -> Value {
    match value {
        Value::Object(_) | Value::Array(_) => Value::String(value.to_string()),
        other => other.clone(),
    }
}

fn type_of(name: &str, value: &Value) -> Type {
    match (name, name.rsplit('_').next()) {
        ("TimeGenerated", _) | (_, Some("t")) => Type::DateTime,
        (_, Some("d")) if value.is_number() => Type::Real,
        (_, Some("b")) => Type::Bool,
        (_, Some("g")) => Type::Guid,
        _ => Type::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(datetime::parse("Mon, 02 Mar 2026 10:00:00 GMT"), datetime::parse("2026-03-02T10:00:00Z"));
    }

    #[test]
    fn members_are_columns_by_their_types() {
        let body =
            br#"[{"When":"2026-03-02T10:00:00Z","A":1,"B":"x","C":true,"D":"6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "E":"2026-03-03T10:00:00Z","F":{"k":[1]},"G":null}]"#;
        let rows = read(body, "When").expect("rows");
        let names: Vec<&str> = rows[0].keys().map(String::as_str).collect();
        assert_eq!(names, ["TimeGenerated", "A_d", "B_s", "C_b", "D_g", "E_t", "F_s"]);
        assert_eq!(rows[0]["TimeGenerated"], "2026-03-02T10:00:00Z");
        assert_eq!(rows[0]["F_s"], r#"{"k":[1]}"#);
        assert!(matches!(read(b"[1]", ""), Err(Refused::Body(_))));
        assert!(matches!(read(br#"{"a b":1}"#, ""), Err(Refused::Body(_))));
    }
}
