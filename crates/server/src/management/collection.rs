//! Data collection rules and endpoints.

use super::call::{Call, Target, describe, put_answer};
use super::directory::with_location;
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use access::role::INGEST;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use resources::collection_rule::{CollectionRule, TYPE};
use resources::{Resource, ResourceId};
use serde_json::{Value, json};

pub(super) const ENDPOINT_TYPE: &str = "Microsoft.Insights/dataCollectionEndpoints";

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let resources = &services.directory.resources;
    // What is made of a rule depends on what was there.
    let _changing = match call.method {
        Method::GET => None,
        _ => Some(services.directory.changing.lock().await),
    };
    let id = match &call.target {
        Target::Resource(id) => id,
        Target::List { .. } if call.method == Method::GET => {
            let all = services.listed(call).await?;
            return call.page(all.iter().map(|resource| describe(&resource.id, &resource.body)).collect(), false);
        }
        _ => return Err(method_not_allowed(call)),
    };
    let known = resources.get(id).await?;
    match call.method {
        Method::GET => {
            let known = known.ok_or_else(|| not_found(id))?;
            Ok(Json(describe(&known.id, &known.body)).into_response())
        }
        Method::PUT => {
            services.directory.check_group(&id.group).await?;
            let mut body = call.object()?;
            with_location(&mut body);
            match id.is_of(TYPE) {
                true => put_rule(services, call, id, known.as_ref(), body).await,
                false => put_endpoint(services, call, id, known.as_ref(), body).await,
            }
        }
        Method::PATCH => patch(services, id, known, call).await,
        Method::DELETE => {
            let Some(known) = known else { return Ok(StatusCode::NO_CONTENT.into_response()) };
            resources.delete(id).await?;
            services.collection_rules.remove(&immutable_id(&known.body));
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

fn immutable_id(body: &Value) -> String {
    body["properties"]["immutableId"].as_str().unwrap_or_default().to_owned()
}

async fn put_rule(
    services: &Services,
    call: &Call,
    id: &ResourceId,
    known: Option<&Resource>,
    mut body: Value,
) -> Result<Response, AzureError> {
    let wrong = |problem: String| {
        AzureError::bad_request("InvalidPayload", format!("Data collection rule is invalid: {problem}"))
    };
    if !body["properties"].is_object() {
        return Err(wrong("it has no properties".to_owned()));
    }
    let immutable_id = match known {
        Some(known) => immutable_id(&known.body),
        None => format!("dcr-{}", uuid::Uuid::new_v4().simple()),
    };
    body["properties"]["immutableId"] = json!(immutable_id);
    body["properties"]["provisioningState"] = json!("Succeeded");
    let rule = CollectionRule::read(&body["properties"], &immutable_id).map_err(wrong)?;
    // Whoever sends rows through a rule sends them in the name of who made it.
    for workspace in rule.flows.iter().flat_map(|flow| &flow.workspaces) {
        call.requester.also_may(INGEST, &workspace.to_string())?;
    }
    services.check_collection_rule(&rule).await.map_err(wrong)?;
    let is_new = services.directory.resources.put(id, &body).await?;
    let id = known.map_or(id, |known| &known.id);
    services.collection_rules.insert(id.clone(), rule);
    Ok(put_answer(id, &body, is_new))
}

/// An endpoint is this server by another name.
async fn put_endpoint(
    services: &Services,
    call: &Call,
    id: &ResourceId,
    known: Option<&Resource>,
    mut body: Value,
) -> Result<Response, AzureError> {
    let immutable_id = match known {
        Some(known) => immutable_id(&known.body),
        None => format!("dce-{}", uuid::Uuid::new_v4().simple()),
    };
    if !body["properties"].is_object() {
        body["properties"] = json!({});
    }
    let properties = &mut body["properties"];
    properties["immutableId"] = json!(immutable_id);
    properties["provisioningState"] = json!("Succeeded");
    for interface in ["logsIngestion", "configurationAccess", "metricsIngestion"] {
        properties[interface] = json!({ "endpoint": call.base });
    }
    if !properties["networkAcls"].is_object() {
        properties["networkAcls"] = json!({ "publicNetworkAccess": "Enabled" });
    }
    let is_new = services.directory.resources.put(id, &body).await?;
    Ok(put_answer(known.map_or(id, |known| &known.id), &body, is_new))
}

/// Tags are what can be changed without naming the rest.
async fn patch(
    services: &Services,
    id: &ResourceId,
    known: Option<Resource>,
    call: &Call,
) -> Result<Response, AzureError> {
    let change = call.object()?;
    let mut known = known.ok_or_else(|| not_found(id))?;
    if let Some(other) = change.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| *name != "tags") {
        let message = format!("'{other}' cannot be changed by itself; only tags can: use PUT");
        return Err(AzureError::bad_request("InvalidPayload", message));
    }
    known.body["tags"] = change["tags"].clone();
    services.directory.resources.put(&known.id, &known.body).await?;
    Ok(Json(describe(&known.id, &known.body)).into_response())
}
