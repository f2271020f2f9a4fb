//! IoT hubs.

use super::call::{Call, Target, describe, put_answer};
use super::directory::with_location;
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hub::DEFAULT_HUB;
use resources::ResourceId;
use serde_json::{Value, json};

const NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=50;

fn shown(call: &Call, body: &Value, name: &str) -> Value {
    let host = call.base.trim_start_matches("https://");
    let mut shown = body.clone();
    shown["properties"] = json!({
        "provisioningState": "Succeeded",
        "state": "Active",
        // Devices tell hubs apart by the name that they connect to; every name but another hub's means the first.
        "hostName": if name == DEFAULT_HUB { host.to_owned() } else { format!("{name}.{host}") },
    });
    if !shown["sku"].is_object() {
        shown["sku"] = json!({ "name": "S1", "tier": "Standard", "capacity": 1 });
    }
    shown
}

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let directory = &services.directory;
    let id = match &call.target {
        Target::Resource(id) => id,
        Target::List { .. } if call.method == Method::GET => {
            let all = services.listed(call).await?;
            let value = all.iter().map(|hub| describe(&hub.id, &shown(call, &hub.body, &hub.id.name)));
            return call.page(value.collect(), false);
        }
        _ => return Err(method_not_allowed(call)),
    };
    let known = directory.resources.get(id).await?;
    match call.method {
        Method::GET => {
            let known = known.ok_or_else(|| not_found(id))?;
            Ok(Json(describe(&known.id, &shown(call, &known.body, &known.id.name))).into_response())
        }
        Method::PUT => {
            directory.check_group(&id.group).await?;
            check_name(id)?;
            let _changing = directory.changing.lock().await;
            // Devices know a hub by its name alone.
            if let Some(other) = directory.known_hub(&id.name).filter(|other| !other.is(id)) {
                let message = format!("there is a hub of this name already: '{other}'");
                return Err(AzureError::new(StatusCode::CONFLICT, "NameNotAvailable", message));
            }
            let mut body = call.object()?;
            body.as_object_mut().map(|body| body.remove("properties"));
            with_location(&mut body);
            let id = known.map_or_else(|| id.clone(), |known| known.id);
            let is_new = directory.resources.put(&id, &body).await?;
            directory.note_hub(&id);
            services.apply_solutions().await?;
            Ok(put_answer(&id, &shown(call, &body, &id.name), is_new))
        }
        Method::DELETE => {
            let Some(known) = known else { return Ok(StatusCode::NO_CONTENT.into_response()) };
            if known.id.name == DEFAULT_HUB {
                let message = "the first hub stays: it is the one that is meant where none is named";
                return Err(AzureError::new(StatusCode::CONFLICT, "CannotDelete", message));
            }
            let _changing = directory.changing.lock().await;
            if let Some((used, _)) = directory.solutions().await?.iter().find(|(_, s)| s.hubs.iter().any(|h| h.is(id)))
            {
                let message = format!("the solution '{}' watches this hub; change or delete it first", used.id);
                return Err(AzureError::new(StatusCode::CONFLICT, "InUse", message));
            }
            directory.resources.delete_below(&id.to_string()).await?;
            directory.resources.delete(id).await?;
            services.fleet.remove(&id.name);
            let deleted = services.hubs.delete(&id.name).await;
            deleted.map_err(|error| AzureError::internal(&error))?;
            directory.forget_hub(&id.name);
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

/// A name is a label of a host name.
fn check_name(id: &ResourceId) -> Result<(), AzureError> {
    let name = &id.name;
    let is_name = NAME_CHARACTERS.contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    match is_name {
        true => Ok(()),
        false => {
            let message =
                format!("'{name}' is no name of a hub: 3 to 50 letters, digits and dashes, no dash at its ends");
            Err(AzureError::bad_request("InvalidParameter", message))
        }
    }
}
