//! Queries of Log Analytics: by workspace, by resource, and many in one request.

use super::error::LogsError;
use super::within::Within;
use super::{database_of, timespan, workspace_id};
use crate::Services;
use crate::kusto::response::{cut_off, visualization};
use crate::queries::{Limits, Properties};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::cells::Cells;
use engine::{Caller, RecordBatch, Rows, json};
use kql::{Type, datetime};
use resources::ResourceId;
use serde::Deserialize;
use serde_json::{Value, json as json_value};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a request can wait at most, and what it waits when it says nothing.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
const WAIT: Duration = Duration::from_secs(3 * 60);
const BATCH_REQUESTS_MAX: usize = 100;
/// The type of a workspace's resource id.
const WORKSPACE_TYPE: &str = "Microsoft.OperationalInsights/workspaces";

/// A query and what stands beside it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    query: Option<String>,
    timespan: Option<String>,
    #[serde(default)]
    workspaces: Option<Vec<String>>,
    #[serde(default, rename = "additionalWorkspaces")]
    additional_workspaces: Option<Vec<String>>,
}

/// What a client prefers, from the header of that name.
#[derive(Debug, Clone, PartialEq)]
struct Preferences {
    wait: Duration,
    includes_statistics: bool,
    includes_render: bool,
    /// Old tools want the tables of Kusto.
    is_kusto: bool,
}

impl Preferences {
    fn read(headers: &HeaderMap) -> Preferences {
        let text = headers.get("prefer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut preferences = Preferences::of(text);
        preferences.is_kusto = headers.contains_key("x-api-key");
        preferences
    }

    fn of(text: &str) -> Preferences {
        let mut read = Preferences { wait: WAIT, includes_statistics: false, includes_render: false, is_kusto: false };
        for one in text.split([',', ';']) {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
                ("wait", seconds) => {
                    let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
                    read.wait = seconds.map_or(WAIT, Duration::from_secs).min(WAIT_MAX);
                }
                ("include-statistics", value) => read.includes_statistics = value.eq_ignore_ascii_case("true"),
                ("include-render", value) => read.includes_render = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        read
    }
}

pub(super) async fn post(
    State(services): State<Arc<Services>>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    let database = workspace_asked(&services, &headers, &workspace)?;
    answered(&services, &database, read_body(&body)?, &headers).await
}

pub(super) async fn get(
    State(services): State<Arc<Services>>,
    Path(workspace): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, LogsError> {
    let database = workspace_asked(&services, &headers, &workspace)?;
    answered(&services, &database, asked, &headers).await
}

pub(super) async fn post_by_resource(
    State(services): State<Arc<Services>>,
    Path(resource): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    let database = resource_asked(&services, &headers, &resource)?;
    answered(&services, &database, read_body(&body)?, &headers).await
}

pub(super) async fn get_by_resource(
    State(services): State<Arc<Services>>,
    Path(resource): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, LogsError> {
    let database = resource_asked(&services, &headers, &resource)?;
    answered(&services, &database, asked, &headers).await
}

fn read_body(body: &[u8]) -> Result<Asked, LogsError> {
    serde_json::from_slice(body)
        .map_err(|e| LogsError::bad_argument(format!("the body must be JSON with a member 'query': {e}")))
}

fn check(services: &Services, headers: &HeaderMap) -> Result<(), LogsError> {
    let by_key = || {
        let key = headers.get("x-api-key").and_then(|key| key.to_str().ok())?;
        services.admin_token.is(key).then_some(())
    };
    if services.admin_token.admits(headers) || by_key().is_some() { Ok(()) } else { Err(LogsError::unauthorized()) }
}

fn workspace_asked(services: &Services, headers: &HeaderMap, workspace: &str) -> Result<String, LogsError> {
    check(services, headers)?;
    database_of(services, workspace).ok_or_else(|| LogsError::no_workspace(workspace))
}

/// The workspace of `{subscription}/…/workspaces/{name}/query`, with or without `api` before `query`.
fn resource_asked(services: &Services, headers: &HeaderMap, path: &str) -> Result<String, LogsError> {
    check(services, headers)?;
    let path = path.strip_suffix("/query").ok_or_else(LogsError::no_path)?;
    let path = path.strip_suffix("/api").unwrap_or(path);
    let id = ResourceId::parse(&format!("subscriptions/{path}")).filter(|id| id.is_of(WORKSPACE_TYPE));
    let id = id.ok_or_else(LogsError::no_path)?;
    database_of(services, &id.name).ok_or_else(|| LogsError::no_workspace(&id.name))
}

async fn answered(
    services: &Services,
    database: &str,
    asked: Asked,
    headers: &HeaderMap,
) -> Result<Response, LogsError> {
    let preferences = Preferences::read(headers);
    let body = answer(services, database, asked, &preferences, headers).await?;
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

/// The body of an answer.
async fn answer(
    services: &Services,
    database: &str,
    asked: Asked,
    preferences: &Preferences,
    headers: &HeaderMap,
) -> Result<String, LogsError> {
    let begun = Instant::now();
    let text = asked.query.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| LogsError::bad_argument("the request has no 'query'"))?;
    let others = asked.workspaces.into_iter().chain(asked.additional_workspaces).flatten();
    for other in others {
        if database_of(services, &other).as_deref() != Some(database) {
            let message = format!(
                "Not supported: queries over several workspaces in one request; name the tables of '{other}' with workspace('{other}').Table"
            );
            return Err(LogsError::bad_argument(message));
        }
    }
    let mut catalog = services.workspaces.catalog();
    if let Some(span) = asked.timespan.filter(|span| !span.is_empty()) {
        let read = timespan::parse(&span, datetime::now());
        let span = read.ok_or_else(|| {
            LogsError::bad_argument(format!("the timespan '{span}' is none of ISO 8601: P1D, or start/end"))
        })?;
        catalog = Arc::new(Within { inner: catalog, span });
    }
    let limits = Limits { timeout: preferences.wait, ..Limits::default() };
    let id = headers.get("x-ms-client-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let properties = Properties {
        limits,
        client_request_id: id.chars().take(200).collect(),
        caller: Caller { principal: "turnstone=admin".to_owned(), endpoint: String::new() },
        ..Properties::default()
    };
    let kusto = preferences.is_kusto;
    let read = move |rows, limits| async move { Part::read(rows, limits, kusto).await };
    let ran = services.queries.run(catalog, database.to_owned(), text.clone(), properties, read).await;
    let parts = ran.map_err(|failed| LogsError::failed(failed, &text))?;
    Ok(if kusto { as_kusto(&parts) } else { as_tables(&parts, preferences, begun) })
}

/// One result as JSON.
struct Part {
    columns: String,
    rows: String,
    count: usize,
    render: String,
    failure: Option<String>,
}

impl Part {
    async fn read(mut rows: Rows, limits: Limits, is_kusto: bool) -> Result<Part, engine::Error> {
        let names = |column: &engine::Column| {
            let (name, of) = (json::quote(&column.name), column.column_type);
            match is_kusto {
                true => format!(
                    "{{\"ColumnName\":{name},\"DataType\":\"{}\",\"ColumnType\":\"{of}\"}}",
                    crate::kusto::response::data_type(of)
                ),
                false => format!("{{\"name\":{name},\"type\":\"{of}\"}}"),
            }
        };
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
    fn add(&mut self, columns: &[engine::Column], batch: &RecordBatch, limits: Limits) -> bool {
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

fn as_tables(parts: &[Part], preferences: &Preferences, begun: Instant) -> String {
    let mut out = String::from("{\"tables\":[");
    for (place, part) in parts.iter().enumerate() {
        let name = if place == 0 { "PrimaryResult".to_owned() } else { format!("Table_{place}") };
        let separator = if place > 0 { "," } else { "" };
        let _ = write!(out, "{separator}{{\"name\":\"{name}\",\"columns\":{},\"rows\":[{}]}}", part.columns, part.rows);
    }
    out.push(']');
    if preferences.includes_statistics {
        let sizes = parts.iter().map(|p| format!("{{\"tableRowCount\":{},\"tableSize\":{}}}", p.count, p.rows.len()));
        let _ = write!(
            out,
            ",\"statistics\":{{\"query\":{{\"executionTime\":{:.7},\"datasetStatistics\":{}}}}}",
            begun.elapsed().as_secs_f64(),
            json::array(sizes)
        );
    }
    if preferences.includes_render
        && let Some(first) = parts.first()
    {
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

/// The form of Kusto's version 1: the result, its properties, the status and the contents.
fn as_kusto(parts: &[Part]) -> String {
    let column = |name: &str, of: Type| {
        format!(
            "{{\"ColumnName\":\"{name}\",\"DataType\":\"{}\",\"ColumnType\":\"{of}\"}}",
            crate::kusto::response::data_type(of)
        )
    };
    let table = |number: usize, columns: &str, rows: &str| {
        format!("{{\"TableName\":\"Table_{number}\",\"Columns\":{columns},\"Rows\":[{rows}]}}")
    };
    let mut tables: Vec<String> =
        parts.iter().enumerate().map(|(n, part)| table(n, &part.columns, &part.rows)).collect();
    let mut contents: Vec<String> =
        (0..parts.len()).map(|n| format!("[{n},\"QueryResult\",\"PrimaryResult\",\"\",\"\"]")).collect();
    let renders: Vec<String> = parts.iter().map(|part| json::array([json::quote(&part.render)])).collect();
    contents.push(format!("[{},\"QueryProperties\",\"@ExtendedProperties\",\"\",\"\"]", tables.len()));
    tables.push(table(tables.len(), &json::array([column("Value", Type::String)]), &renders.join(",")));
    let status_columns = [
        ("Timestamp", Type::DateTime),
        ("Severity", Type::Int),
        ("SeverityName", Type::String),
        ("StatusCode", Type::Int),
        ("StatusDescription", Type::String),
    ];
    let now = json::quote(&datetime::format(datetime::now()));
    let status = match parts.iter().find_map(|part| part.failure.as_ref()) {
        None => json::array([
            now,
            "4".to_owned(),
            json::quote("Info"),
            "0".to_owned(),
            json::quote("Query completed successfully"),
        ]),
        Some(failure) => {
            json::array([now, "2".to_owned(), json::quote("Error"), "-2133196797".to_owned(), json::quote(failure)])
        }
    };
    contents.push(format!("[{},\"QueryStatus\",\"QueryStatus\",\"\",\"\"]", tables.len()));
    tables.push(table(tables.len(), &json::array(status_columns.map(|(name, of)| column(name, of))), &status));
    let content_columns = [
        ("Ordinal", Type::Long),
        ("Kind", Type::String),
        ("Name", Type::String),
        ("Id", Type::String),
        ("PrettyName", Type::String),
    ];
    let columns = json::array(content_columns.map(|(name, of)| column(name, of)));
    tables.push(table(tables.len(), &columns, &contents.join(",")));
    format!("{{\"Tables\":{}}}", json::array(tables))
}

#[derive(Deserialize)]
pub(super) struct Batch {
    requests: Vec<BatchRequest>,
}

#[derive(Deserialize)]
struct BatchRequest {
    id: String,
    workspace: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: Asked,
}

/// Many queries in one request, answered in their order. One that fails fails alone.
pub(super) async fn batch(
    State(services): State<Arc<Services>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    check(&services, &headers)?;
    let batch: Batch = serde_json::from_slice(&body)
        .map_err(|e| LogsError::bad_argument(format!("the body is no batch of requests: {e}")))?;
    if batch.requests.len() > BATCH_REQUESTS_MAX {
        return Err(LogsError::bad_argument(format!("a batch has {BATCH_REQUESTS_MAX} requests at most")));
    }
    let mut responses = Vec::with_capacity(batch.requests.len());
    for request in batch.requests {
        let prefer =
            request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("prefer")).map(|(_, value)| value);
        let preferences = Preferences::of(prefer.map_or("", String::as_str));
        let outcome = match database_of(&services, &request.workspace) {
            None => Err(LogsError::no_workspace(&request.workspace)),
            Some(database) => answer(&services, &database, request.body, &preferences, &headers).await,
        };
        let (status, body) = match outcome {
            Ok(body) => (200, body),
            Err(error) => (error.status.as_u16(), error.body().to_string()),
        };
        responses.push(format!(
            "{{\"id\":{},\"status\":{status},\"headers\":{{}},\"body\":{body}}}",
            json::quote(&request.id)
        ));
    }
    let mut response = format!("{{\"responses\":{}}}", json::array(responses)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

/// The tables, their columns and the functions of a workspace.
pub(super) async fn metadata(
    State(services): State<Arc<Services>>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, LogsError> {
    let database = workspace_asked(&services, &headers, &workspace)?;
    let failed = |error: workspace::Error| LogsError::bad_argument(error.to_string());
    let table = |info: workspace::TableInfo| {
        let column = |c: &engine::Column| json_value!({ "name": c.name, "type": c.column_type.name() });
        json_value!({
            "id": format!("t/{}", info.name),
            "name": info.name,
            "description": info.notes.docstring,
            "timespanColumn": info.columns.iter().any(|c| c.name == "TimeGenerated").then_some("TimeGenerated"),
            "columns": info.columns.iter().map(column).collect::<Vec<_>>(),
        })
    };
    let tables: Vec<Value> =
        services.workspaces.tables(&database).await.map_err(failed)?.into_iter().map(table).collect();
    let functions = services.workspaces.functions(&database).await.map_err(failed)?;
    let function = |(name, entry): (String, workspace::FunctionEntry)| json_value!({ "id": format!("f/{name}"), "name": name, "parameters": entry.parameters, "body": entry.body, "description": entry.notes.docstring });
    let ids: Vec<&Value> = tables.iter().map(|table| &table["id"]).collect();
    let workspaces = json_value!([{
        "id": workspace_id(&services, &database),
        "name": database,
        "tables": ids,
    }]);
    Ok(Json(json_value!({
        "tables": tables,
        "functions": functions.into_iter().map(function).collect::<Vec<_>>(),
        "workspaces": workspaces,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_also_where_there_are_none() {
        assert_eq!(
            Preferences::of(""),
            Preferences { wait: WAIT, includes_statistics: false, includes_render: false, is_kusto: false }
        );
        let read = Preferences::of("wait=5, include-statistics=true,include-render=true, ai.response-thinning=false");
        assert!(read.includes_statistics && read.includes_render);
        assert_eq!(read.wait, Duration::from_secs(5));
        assert_eq!(Preferences::of("wait=9999").wait, WAIT_MAX);
    }
}
