//! Saved queries: texts that people keep for themselves and each other, by workspace.

use super::{Body, Params, Path};
use crate::Services;
use crate::azure_error::AzureError;
use crate::management::saved_searches::{self, SAVED_SEARCH};
use crate::requester::Requester;
use access::role::{MANAGE_WORKSPACE, QUERY};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use resources::ResourceId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct OfWorkspace {
    #[serde(default)]
    workspace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Saved {
    display_name: String,
    query: String,
    #[serde(default)]
    category: Option<String>,
}

/// A saved query is a saved search of Azure's interface, so that both show the same.
fn describe(id: &ResourceId, body: &Value) -> Value {
    let properties = &body["properties"];
    json!({
        "id": id.name,
        "displayName": properties["displayName"],
        "category": properties["category"],
        "query": properties["query"],
    })
}

pub(super) fn workspace(services: &Services, of: &OfWorkspace) -> Result<ResourceId, AzureError> {
    let name = of.workspace.as_deref().unwrap_or(&services.default_database);
    let database = crate::log_analytics::database_of(services, name);
    let missing = || AzureError::not_found("ResourceNotFound", format!("there is no workspace '{name}'"));
    Ok(services.directory.workspace(&database.ok_or_else(missing)?))
}

pub(super) async fn list(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<OfWorkspace>,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(QUERY, &workspace.to_string())?;
    let all = saved_searches::all(&services, &workspace).await?;
    let value: Vec<Value> = all.iter().map(|saved| describe(&saved.id, &saved.body)).collect();
    Ok(Json(json!({ "value": value })).into_response())
}

/// Keeps a query in the place of one, of which what our own interface does not know stays.
async fn keep(
    services: &Services,
    workspace: &ResourceId,
    name: &str,
    mut body: Value,
    saved: Saved,
) -> Result<Value, AzureError> {
    let properties = &mut body["properties"];
    properties["displayName"] = json!(saved.display_name);
    properties["query"] = json!(saved.query);
    if let Some(category) = saved.category {
        properties["category"] = json!(category);
    }
    let (id, body) = saved_searches::put(services, workspace, name, body).await?;
    Ok(describe(&id, &body))
}

pub(super) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<OfWorkspace>,
    body: Body,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    let saved: Saved = body.read()?;
    let name = uuid::Uuid::new_v4().to_string();
    let kept = keep(&services, &workspace, &name, json!({ "properties": {} }), saved).await?;
    Ok((StatusCode::CREATED, Json(kept)).into_response())
}

pub(super) async fn show(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(QUERY, &workspace.to_string())?;
    let found = services.directory.resources.get(&workspace.child(SAVED_SEARCH, &id)).await?;
    let found = found.ok_or_else(|| missing(&id))?;
    Ok(Json(describe(&found.id, &found.body)).into_response())
}

pub(super) async fn change(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
    body: Body,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    let saved: Saved = body.read()?;
    let known = services.directory.resources.get(&workspace.child(SAVED_SEARCH, &id)).await?;
    let known = known.ok_or_else(|| missing(&id))?;
    Ok(Json(keep(&services, &workspace, &known.id.name, known.body, saved).await?).into_response())
}

pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
) -> Result<StatusCode, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    match saved_searches::delete(&services, &workspace, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&id)),
    }
}

fn missing(name: &str) -> AzureError {
    AzureError::not_found("ResourceNotFound", format!("there is no saved query '{name}'"))
}
