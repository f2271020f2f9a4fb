//! Data collection rules as resources: making, showing, changing and removing them.

use super::transform::{self, Transformed};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::Column;
use parking_lot::RwLock;
use resources::collection_rule::{CollectionRule, Flow, TYPE};
use resources::{Resource, ResourceId, Resources};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The only resource group so far.
const GROUP: &str = "default";

/// All rules, by what senders name them by. Cheap to clone.
#[derive(Clone)]
pub struct CollectionRules {
    resources: Resources,
    subscription: String,
    rules: Arc<RwLock<HashMap<String, Arc<CollectionRule>>>>,
}

impl CollectionRules {
    /// Reads the rules that are kept.
    pub async fn open(resources: Resources, subscription: String) -> Result<CollectionRules, resources::Error> {
        let mut rules = HashMap::new();
        for resource in resources.of_type(TYPE).await? {
            match read(&resource.body) {
                Ok(rule) => drop(rules.insert(rule.immutable_id.clone(), Arc::new(rule))),
                Err(problem) => tracing::error!(id = %resource.id, problem, "a data collection rule cannot be read"),
            }
        }
        Ok(CollectionRules { resources, subscription, rules: Arc::new(RwLock::new(rules)) })
    }

    /// The store that rules are kept in.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The rule that senders name so.
    pub fn get(&self, immutable_id: &str) -> Option<Arc<CollectionRule>> {
        self.rules.read().get(&immutable_id.to_lowercase()).cloned()
    }
}

fn read(body: &Value) -> Result<CollectionRule, String> {
    let immutable_id = body["properties"]["immutableId"].as_str().unwrap_or_default();
    CollectionRule::read(&body["properties"], immutable_id)
}

/// Everything below `/subscriptions/`. Paths compare without regard to case.
pub(super) async fn manage(
    State(services): State<Arc<Services>>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AzureError> {
    if !services.admin_token.admits(&headers) {
        return Err(AzureError::unauthorized());
    }
    let rules = &services.collection_rules;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if !parts.first().is_some_and(|subscription| subscription.eq_ignore_ascii_case(&rules.subscription)) {
        let message = format!("there is no subscription '{}'", parts.first().unwrap_or(&""));
        return Err(AzureError::not_found("SubscriptionNotFound", message));
    }
    if let Some(id) = ResourceId::parse(&format!("subscriptions/{path}")).filter(|id| id.is_of(TYPE)) {
        check_group(&id.group)?;
        return match method {
            Method::GET => show(rules, &id).await,
            Method::PUT => put(&services, &id, &body).await,
            Method::PATCH => patch(rules, &id, &body).await,
            Method::DELETE => delete(rules, &id).await,
            _ => Err(AzureError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "GET, PUT, PATCH and DELETE are",
            )),
        };
    }
    // Lists, of the subscription or of a group.
    let tail: Vec<String> = parts.iter().skip(1).map(|part| part.to_lowercase()).collect();
    let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
    let kind = match tail.as_slice() {
        ["providers", namespace, kind] => Some(format!("{namespace}/{kind}")),
        ["resourcegroups", group, "providers", namespace, kind] => {
            check_group(group)?;
            Some(format!("{namespace}/{kind}"))
        }
        _ => None,
    };
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE)) && method == Method::GET {
        let all = rules.resources.of_type(TYPE).await?;
        let value: Vec<Value> = all.iter().map(describe).collect();
        return Ok(Json(json!({ "value": value })).into_response());
    }
    Err(AzureError::not_found("NotFound", format!("there is nothing at /subscriptions/{path}")))
}

fn check_group(group: &str) -> Result<(), AzureError> {
    match group.eq_ignore_ascii_case(GROUP) {
        true => Ok(()),
        false => Err(AzureError::not_found("ResourceGroupNotFound", format!("there is no resource group '{group}'"))),
    }
}

/// A resource as it is shown.
fn describe(resource: &Resource) -> Value {
    let mut shown = resource.body.clone();
    shown["id"] = json!(resource.id.to_string());
    shown["name"] = json!(resource.id.name);
    shown["type"] = json!(TYPE);
    shown
}

async fn found(rules: &CollectionRules, id: &ResourceId) -> Result<Resource, AzureError> {
    let missing = || AzureError::not_found("ResourceNotFound", format!("there is no resource '{id}'"));
    rules.resources.get(id).await?.ok_or_else(missing)
}

async fn show(rules: &CollectionRules, id: &ResourceId) -> Result<Response, AzureError> {
    Ok(Json(describe(&found(rules, id).await?)).into_response())
}

async fn put(services: &Services, id: &ResourceId, body: &[u8]) -> Result<Response, AzureError> {
    let rules = &services.collection_rules;
    let mut body = object(body)?;
    let known = rules.resources.get(id).await?;
    let immutable_id = match &known {
        Some(known) => known.body["properties"]["immutableId"].as_str().unwrap_or_default().to_owned(),
        None => format!("dcr-{}", uuid::Uuid::new_v4().simple()),
    };
    let wrong = |problem: String| {
        AzureError::bad_request("InvalidPayload", format!("Data collection rule is invalid: {problem}"))
    };
    if !body["properties"].is_object() {
        return Err(wrong("it has no properties".to_owned()));
    }
    let properties = &mut body["properties"];
    properties["immutableId"] = json!(immutable_id);
    properties["provisioningState"] = json!("Succeeded");
    let rule = CollectionRule::read(&body["properties"], &immutable_id).map_err(wrong)?;
    for (at, flow) in rule.flows.iter().enumerate() {
        check_flow(services, &rule, flow)
            .await
            .map_err(|problem| wrong(format!("properties.dataFlows[{at}]: {problem}")))?;
    }
    for member in ["id", "name", "type"] {
        body.as_object_mut().map(|body| body.remove(member));
    }
    let is_new = rules.resources.put(id, &body).await?;
    rules.rules.write().insert(immutable_id, Arc::new(rule));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(describe(&found(rules, id).await?))).into_response())
}

/// Tags are what can be changed of a rule without naming the rest.
async fn patch(rules: &CollectionRules, id: &ResourceId, body: &[u8]) -> Result<Response, AzureError> {
    let change = object(body)?;
    let mut resource = found(rules, id).await?;
    if let Some(other) = change.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| *name != "tags") {
        let message = format!("'{other}' cannot be changed by itself; only tags can: use PUT");
        return Err(AzureError::bad_request("InvalidPayload", message));
    }
    resource.body["tags"] = change["tags"].clone();
    rules.resources.put(id, &resource.body).await?;
    show(rules, id).await
}

async fn delete(rules: &CollectionRules, id: &ResourceId) -> Result<Response, AzureError> {
    let Some(resource) = rules.resources.get(id).await? else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    rules.resources.delete(id).await?;
    if let Some(immutable_id) = resource.body["properties"]["immutableId"].as_str() {
        rules.rules.write().remove(immutable_id);
    }
    Ok(StatusCode::OK.into_response())
}

fn object(body: &[u8]) -> Result<Value, AzureError> {
    let wrong = |problem: String| AzureError::bad_request("InvalidRequestContent", problem);
    let value: Value = serde_json::from_slice(body).map_err(|error| wrong(format!("the body is no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(wrong("the body is no JSON object".to_owned())) }
}

/// Tries a flow without records: all its tables are there, and what it makes fits them.
async fn check_flow(services: &Services, rule: &CollectionRule, flow: &Flow) -> Result<(), String> {
    if let Some(text) = &flow.transform {
        transform::check(text).map_err(|problem| format!("transformKql: {problem}"))?;
    }
    for stream in &flow.streams {
        for workspace in &flow.workspaces {
            let table = services
                .workspaces
                .columns(workspace, &flow.table)
                .map_err(|error| format!("outputStream: {error}"))?;
            let columns = stream_columns(services, rule, workspace, stream)?;
            let none = engine::RecordBatch::new_empty(engine::types::arrow_schema(&columns));
            let made = match &flow.transform {
                Some(text) => transform::run(&services.queries, text, &columns, none)
                    .await
                    .map_err(|p| format!("transformKql: {p}"))?,
                None => Transformed { columns, batch: none },
            };
            if let Some(problem) = made.misfit(&table) {
                return Err(format!("the output does not fit the table '{}': {problem}", flow.table));
            }
        }
    }
    Ok(())
}

/// The columns of a stream: declared ones, or those of the table that a stream of Microsoft's is named after.
pub(super) fn stream_columns(
    services: &Services,
    rule: &CollectionRule,
    workspace: &str,
    stream: &str,
) -> Result<Vec<Column>, String> {
    if let Some(declared) = rule.stream(stream) {
        return Ok(declared.columns.iter().map(|(name, of)| Column::new(name, *of)).collect());
    }
    let table = stream.strip_prefix("Microsoft-").unwrap_or(stream);
    services.workspaces.columns(workspace, table).map_err(|error| format!("the stream '{stream}': {error}"))
}
