//! Saved searches of a workspace, which Azure's interface and our own both show.

use super::call::{Call, describe};
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use resources::{Resource, ResourceId};
use serde_json::{Value, json};
use workspace::{FunctionEntry, Notes};

/// The part of a workspace that saved searches are.
pub(crate) const SAVED_SEARCH: &str = "savedSearches";
const SAVED_SEARCH_TYPE: &str = "Microsoft.OperationalInsights/workspaces/savedSearches";
const SAVED_SEARCHES_MAX: usize = 10_000;
const QUERY_CHARACTERS_MAX: usize = 64 << 10;

/// The saved searches of a workspace.
pub(crate) async fn all(services: &Services, workspace: &ResourceId) -> Result<Vec<Resource>, AzureError> {
    Ok(services.directory.resources.below(&workspace.to_string(), SAVED_SEARCH_TYPE).await?)
}

/// That the properties of a saved search can be kept.
fn check(properties: &Value) -> Result<(), AzureError> {
    let wrong = |problem: &str| Err(AzureError::bad_request("InvalidParameter", format!("properties.{problem}")));
    let text = |name: &str| properties[name].as_str().filter(|text| !text.trim().is_empty());
    if text("displayName").is_none_or(|name| name.chars().count() > 260) {
        return wrong("displayName must be a text of 1 to 260 characters");
    }
    match text("query") {
        Some(query) if query.chars().count() <= QUERY_CHARACTERS_MAX => Ok(()),
        _ => wrong("query must be a text of at most 64 Ki characters"),
    }
}

pub(super) async fn answer(
    services: &Services,
    call: &Call,
    workspace: &ResourceId,
    name: &str,
) -> Result<Response, AzureError> {
    let resources = &services.directory.resources;
    let id = workspace.child(SAVED_SEARCH, name);
    let known = resources.get(&id).await?;
    match call.method {
        Method::GET => {
            let known = known.ok_or_else(|| not_found(&id))?;
            Ok(Json(describe(&known.id, &known.body)).into_response())
        }
        Method::PUT => {
            let (id, body) = put(services, workspace, name, call.object()?).await?;
            Ok(Json(describe(&id, &body)).into_response())
        }
        Method::DELETE => {
            delete(services, workspace, name).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

/// The function that a saved search is, where it has the name of one.
fn alias(body: &Value) -> Option<String> {
    body["properties"]["functionAlias"].as_str().filter(|alias| !alias.is_empty()).map(str::to_owned)
}

/// Keeps a search. One with a function's name can be called by it in every query of the workspace.
pub(crate) async fn put(
    services: &Services,
    workspace: &ResourceId,
    name: &str,
    mut body: Value,
) -> Result<(ResourceId, Value), AzureError> {
    let resources = &services.directory.resources;
    check(&body["properties"])?;
    let _changing = services.directory.changing.lock().await;
    let id = workspace.child(SAVED_SEARCH, name);
    let known = resources.get(&id).await?;
    if known.is_none() && all(services, workspace).await?.len() >= SAVED_SEARCHES_MAX {
        let message = format!("a workspace has {SAVED_SEARCHES_MAX} saved searches at most");
        return Err(AzureError::bad_request("TooMany", message));
    }
    let properties = &mut body["properties"];
    if properties["category"].is_null() {
        properties["category"] = json!("Saved");
    }
    if properties["version"].is_null() {
        properties["version"] = json!(2);
    }
    let (old, new) = (known.as_ref().and_then(|known| alias(&known.body)), alias(&body));
    if let Some(new) = &new {
        put_function(services, &workspace.name, new, &body["properties"]).await?;
    }
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        services.workspaces.drop_function(&workspace.name, &old).await?;
    }
    resources.put(&id, &body).await?;
    Ok((known.map_or(id, |known| known.id), body))
}

/// Removes a search, and the function that it was; whether it was there.
pub(crate) async fn delete(services: &Services, workspace: &ResourceId, name: &str) -> Result<bool, AzureError> {
    let _changing = services.directory.changing.lock().await;
    let id = workspace.child(SAVED_SEARCH, name);
    let known = services.directory.resources.get(&id).await?;
    if let Some(old) = known.and_then(|known| alias(&known.body)) {
        services.workspaces.drop_function(&workspace.name, &old).await?;
    }
    Ok(services.directory.resources.delete(&id).await?)
}

async fn put_function(services: &Services, database: &str, name: &str, properties: &Value) -> Result<(), AzureError> {
    let text = |name: &str| properties[name].as_str().unwrap_or_default();
    let function = FunctionEntry {
        parameters: format!("({})", text("functionParameters")),
        body: format!("{{ {} }}", text("query")),
        is_view: false,
        notes: Notes { folder: text("category").to_owned(), docstring: text("displayName").to_owned() },
    };
    let (_, problems) = kql::parse_function(&function.text());
    if let Some(first) = problems.first() {
        let message = format!("properties.query: {}", first.one_line(&function.text()));
        return Err(AzureError::bad_request("InvalidParameter", message));
    }
    Ok(services.workspaces.put_function(database, name, function).await?)
}
