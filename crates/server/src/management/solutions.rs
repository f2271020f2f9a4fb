//! Security solutions: what is done with the data of hubs.

use super::call::{Call, Target, describe, put_answer};
use super::directory::{recommendation_names, recommendation_titles, with_location};
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use resources::solution::{self, Solution};
use resources::{Resource, ResourceId};
use serde_json::{Value, json};

/// What a PATCH can change.
const CHANGEABLE: &[&str] = &["userDefinedResources", "recommendationsConfiguration"];

fn shown(services: &Services, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    let properties = solution::shown(&body["properties"], &recommendation_titles());
    let mut discovered: Vec<Value> = properties["iotHubs"].as_array().cloned().unwrap_or_default();
    discovered.extend(properties.get("workspace").filter(|workspace| workspace.is_string()).cloned());
    discovered.push(json!(services.directory.subscription_id()));
    body["properties"] = properties;
    body["properties"]["autoDiscoveredResources"] = Value::Array(discovered);
    body["systemData"] = json!({ "lastModifiedAt": kql::datetime::format(resource.changed_ticks) });
    describe(&resource.id, &body)
}

fn wrong(problem: impl Into<String>) -> AzureError {
    AzureError::bad_request("InvalidRequestContent", problem)
}

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let id = match &call.target {
        Target::Resource(id) => id,
        Target::List { .. } if call.method == Method::GET => {
            let mut all = services.listed(call).await?;
            if let Some(filter) = call.parameter("$filter") {
                let hub = hub_of(filter)?;
                let has_it = |hubs: &Value| {
                    let hubs = hubs.as_array().into_iter().flatten().filter_map(Value::as_str);
                    hubs.filter_map(ResourceId::parse).any(|known| known.is(&hub))
                };
                all.retain(|resource| has_it(&resource.body["properties"]["iotHubs"]));
            }
            return call.page(all.iter().map(|resource| shown(services, resource)).collect(), false);
        }
        _ => return Err(method_not_allowed(call)),
    };
    let directory = &services.directory;
    match call.method {
        Method::GET => {
            let known = directory.resources.get(id).await?.ok_or_else(|| not_found(id))?;
            Ok(Json(shown(services, &known)).into_response())
        }
        Method::PUT => {
            directory.check_group(&id.group).await?;
            let mut body = call.object()?;
            with_location(&mut body);
            body["properties"].as_object_mut().map(|properties| properties.remove("autoDiscoveredResources"));
            let _changing = directory.changing.lock().await;
            put(services, call, id, &body).await
        }
        Method::PATCH => {
            let change = call.object()?;
            // Nobody else may change what is read here before it is kept again.
            let _changing = directory.changing.lock().await;
            let mut known = directory.resources.get(id).await?.ok_or_else(|| not_found(id))?;
            for (name, value) in change.as_object().into_iter().flatten() {
                match (name.as_str(), value) {
                    ("tags", tags) => known.body["tags"] = tags.clone(),
                    ("properties", Value::Object(properties)) => {
                        for (name, value) in properties {
                            let Some(name) = CHANGEABLE.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
                                let message = format!("properties.{name} cannot be changed by itself; use PUT");
                                return Err(wrong(message));
                            };
                            known.body["properties"][*name] = value.clone();
                        }
                    }
                    (other, _) => return Err(wrong(format!("'{other}' cannot be changed by itself; use PUT"))),
                }
            }
            put(services, call, id, &known.body).await
        }
        Method::DELETE => {
            let _changing = directory.changing.lock().await;
            if directory.resources.get(id).await?.is_none() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            directory.resources.delete(id).await?;
            services.apply_solutions().await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

/// Keeps a solution and makes it so. It takes effect for the data that comes from now on. The caller has the lock for
/// changes.
async fn put(services: &Services, call: &Call, id: &ResourceId, body: &Value) -> Result<Response, AzureError> {
    let directory = &services.directory;
    let read = Solution::read(&body["properties"], &recommendation_names()).map_err(wrong)?;
    let others = read.others.iter().map(|other| &other.workspace);
    // Where the data of a hub goes is said by who may say it of the hub and of the workspace.
    for resource in read.hubs.iter().chain(&read.workspace).chain(others) {
        call.requester.also_may(&format!("{}/write", solution::TYPE), &resource.to_string())?;
    }
    for hub in &read.hubs {
        if directory.known_hub(&hub.name).is_none_or(|known| !known.is(hub)) {
            return Err(wrong(format!("properties.iotHubs: there is no hub '{hub}'")));
        }
    }
    let databases = services.databases();
    for workspace in read.workspace.iter().chain(read.others.iter().map(|other| &other.workspace)) {
        let is_known = databases.iter().any(|name| name.eq_ignore_ascii_case(&workspace.name))
            && directory.workspace(&workspace.name).is(workspace);
        if !is_known {
            return Err(wrong(format!("there is no workspace '{workspace}'")));
        }
    }
    for (other, solution) in directory.solutions().await? {
        let shared = solution.hubs.iter().find(|hub| read.hubs.iter().any(|wanted| wanted.is(hub)));
        if let Some(hub) = shared.filter(|_| !other.id.is(id)) {
            let message = format!("the hub '{hub}' is watched by the solution '{}' already", other.id);
            return Err(AzureError::new(StatusCode::CONFLICT, "Conflict", message));
        }
    }
    let is_new = directory.resources.put(id, body).await?;
    services.apply_solutions().await?;
    let kept = directory.resources.get(id).await?.ok_or_else(|| not_found(id))?;
    Ok(put_answer(&kept.id, &shown(services, &kept), is_new))
}

/// The hub of the one filter that there is: `properties.iotHubs/any(i eq "{id}")`.
fn hub_of(filter: &str) -> Result<ResourceId, AzureError> {
    let inner = filter.trim().strip_prefix("properties.iotHubs/any(").and_then(|rest| rest.strip_suffix(')'));
    let value = inner.and_then(|inner| inner.split_once(" eq ")).map(|(_, value)| value.trim());
    let quoted = value.and_then(|value| value.strip_prefix(['"', '\''])?.strip_suffix(['"', '\'']));
    quoted.and_then(ResourceId::parse).ok_or_else(|| {
        let message =
            format!("'{filter}' is no filter of solutions; write properties.iotHubs/any(i eq \"a hub's id\")");
        AzureError::bad_request("InvalidFilter", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_are_found_by_their_hubs() {
        let hub = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h";
        for quote in ['"', '\''] {
            let filter = format!("properties.iotHubs/any(i eq {quote}{hub}{quote})");
            assert_eq!(hub_of(&filter).expect("a filter").to_string(), hub);
        }
        hub_of("name eq 'x'").expect_err("another filter");
    }
}
