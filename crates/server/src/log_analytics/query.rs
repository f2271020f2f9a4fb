//! Queries of Log Analytics: by workspace, by resource, and many in one request.

use super::error::LogsError;
use super::response::{Part, as_tables};
use super::{database_of, timespan};
use crate::Services;
use crate::kusto::query::principal;
use crate::kusto::response as kusto;
use crate::queries::{Limits, Properties};
use crate::requester::Requester;
use access::role::QUERY;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::together::Together;
use engine::within::{TIME_COLUMN, Within};
use engine::{Caller, json};
use kql::datetime;
use resources::ResourceId;
use resources::solution::WORKSPACE_TYPE;
use serde::Deserialize;
use serde_json::{Value, json as json_value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a request can wait at most, and what it waits when it says nothing.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
const WAIT: Duration = Duration::from_secs(3 * 60);
const BATCH_REQUESTS_MAX: usize = 100;
const WORKSPACES_MAX: usize = 100;

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
    requester: Requester,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    let database = workspace_asked(&services, &requester, &workspace)?;
    answered(&services, &requester, &database, read_body(&body)?, &headers).await
}

pub(super) async fn get(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(workspace): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, LogsError> {
    let database = workspace_asked(&services, &requester, &workspace)?;
    answered(&services, &requester, &database, asked, &headers).await
}

pub(super) async fn post_by_resource(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(resource): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    let database = resource_asked(&services, &requester, &resource)?;
    answered(&services, &requester, &database, read_body(&body)?, &headers).await
}

pub(super) async fn get_by_resource(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(resource): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, LogsError> {
    let database = resource_asked(&services, &requester, &resource)?;
    answered(&services, &requester, &database, asked, &headers).await
}

fn read_body(body: &[u8]) -> Result<Asked, LogsError> {
    serde_json::from_slice(body)
        .map_err(|e| LogsError::bad_argument(format!("the body must be JSON with a member 'query': {e}")))
}

/// The workspace of that GUID or name, if the caller may query it.
fn workspace_asked(services: &Services, requester: &Requester, workspace: &str) -> Result<String, LogsError> {
    let found = database_of(services, workspace);
    let scope = services.directory.workspace(found.as_deref().unwrap_or(workspace)).to_string();
    // Whoever may not see any workspace is not told which there are.
    match found {
        Some(database) => requester.may(QUERY, &scope).map(|_| database).map_err(LogsError::from),
        None => {
            requester.may_below(QUERY, &services.directory.subscription_id())?;
            Err(LogsError::no_workspace(workspace))
        }
    }
}

/// The workspace of `{subscription}/…/workspaces/{name}/query`, with or without `api` before `query`.
fn resource_asked(services: &Services, requester: &Requester, path: &str) -> Result<String, LogsError> {
    requester.is_somebody(QUERY)?;
    let path = path.strip_suffix("/query").ok_or_else(LogsError::no_path)?;
    let path = path.strip_suffix("/api").unwrap_or(path);
    let id = ResourceId::parse(&format!("subscriptions/{path}")).filter(|id| id.is_of(WORKSPACE_TYPE));
    let id = id.ok_or_else(LogsError::no_path)?;
    workspace_asked(services, requester, &id.name)
}

async fn answered(
    services: &Services,
    requester: &Requester,
    database: &str,
    asked: Asked,
    headers: &HeaderMap,
) -> Result<Response, LogsError> {
    let preferences = Preferences::read(headers);
    let body = answer(services, requester, database, asked, &preferences, headers).await?;
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

/// The body of an answer.
async fn answer(
    services: &Services,
    requester: &Requester,
    database: &str,
    asked: Asked,
    preferences: &Preferences,
    headers: &HeaderMap,
) -> Result<String, LogsError> {
    let begun = Instant::now();
    let text = asked.query.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| LogsError::bad_argument("the request has no 'query'"))?;
    let caller = requester.caller()?;
    let mut catalog = services.catalog_for(caller);
    let mut all = vec![database.to_owned()];
    for other in asked.workspaces.into_iter().chain(asked.additional_workspaces).flatten() {
        let name = ResourceId::parse(&other).filter(|id| id.is_of(WORKSPACE_TYPE)).map_or(other, |id| id.name);
        let other = workspace_asked(services, requester, &name)?;
        if !all.contains(&other) {
            all.push(other);
        }
    }
    if all.len() > WORKSPACES_MAX {
        return Err(LogsError::bad_argument(format!("a query asks {WORKSPACES_MAX} workspaces at most")));
    }
    if let Some(span) = asked.timespan.filter(|span| !span.is_empty()) {
        let read = timespan::parse(&span, datetime::now());
        let span = read.ok_or_else(|| {
            LogsError::bad_argument(format!("the timespan '{span}' is none of ISO 8601: P1D, or start/end"))
        })?;
        catalog = Arc::new(Within { inner: catalog, column: TIME_COLUMN.to_owned(), span });
    }
    // Over the others: it asks each table for its part of the span.
    if all.len() > 1 {
        catalog = Arc::new(Together { inner: catalog, databases: all });
    }
    let limits = Limits { timeout: preferences.wait, ..Limits::default() };
    let id = headers.get("x-ms-client-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let properties = Properties {
        limits,
        client_request_id: id.chars().take(200).collect(),
        caller: Caller { principal: principal(caller), endpoint: String::new() },
        ..Properties::default()
    };
    let catalog_database = database.to_owned();
    if preferences.is_kusto {
        let ran =
            services.queries.run(catalog, catalog_database, text.clone(), properties, kusto::QueryResult::read).await;
        return Ok(kusto::query_text(ran.map_err(|failed| LogsError::failed(failed, &text))?));
    }
    let ran = services.queries.run(catalog, catalog_database, text.clone(), properties, Part::read).await;
    let parts = ran.map_err(|failed| LogsError::failed(failed, &text))?;
    Ok(as_tables(&parts, preferences.includes_statistics, preferences.includes_render, begun))
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
    requester: Requester,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, LogsError> {
    requester.is_somebody(QUERY)?;
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
        let outcome = match workspace_asked(&services, &requester, &request.workspace) {
            Err(error) => Err(error),
            Ok(database) => answer(&services, &requester, &database, request.body, &preferences, &headers).await,
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
    requester: Requester,
    Path(workspace): Path<String>,
) -> Result<Json<Value>, LogsError> {
    let database = workspace_asked(&services, &requester, &workspace)?;
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
        "id": services.directory.workspace_guid(&database),
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
