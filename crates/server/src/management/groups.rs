//! The subscription and its resource groups.

use super::call::{Call, Target};
use super::directory::{DEFAULT_GROUP, GROUP_TYPE, with_location};
use super::method_not_allowed;
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use resources::solution::{HUB_TYPE, WORKSPACE_TYPE};
use serde_json::{Value, json};

pub(super) fn subscriptions(services: &Services, call: &Call) -> Result<Response, AzureError> {
    if call.method != Method::GET {
        return Err(method_not_allowed(call));
    }
    let subscription = services.directory.subscription();
    let shown = json!({
        "id": call.subscription_id,
        "subscriptionId": subscription,
        "tenantId": subscription,
        "displayName": "Turnstone",
        "state": "Enabled",
        "subscriptionPolicies": { "locationPlacementId": "", "quotaId": "", "spendingLimit": "Off" },
        "authorizationSource": "RoleBased",
    });
    Ok(match call.target {
        Target::Subscription => Json(shown).into_response(),
        _ => Json(json!({ "value": [shown], "count": { "type": "Total", "value": 1 } })).into_response(),
    })
}

fn describe(call: &Call, name: &str, body: &Value) -> Value {
    let mut shown = body.clone();
    shown["id"] = json!(call.group_id(name));
    shown["name"] = json!(name);
    shown["type"] = json!("Microsoft.Resources/resourceGroups");
    shown["properties"] = json!({ "provisioningState": "Succeeded" });
    shown
}

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let directory = &services.directory;
    let Target::Group(name) = &call.target else {
        if call.method != Method::GET {
            return Err(method_not_allowed(call));
        }
        let all = directory.resources.of_type(GROUP_TYPE).await?;
        let seen = all.iter().filter(|group| call.sees(&call.group_id(&group.id.name)));
        return call.page(seen.map(|group| describe(call, &group.id.name, &group.body)).collect(), false);
    };
    let id = directory.group(name);
    let known = directory.resources.get(&id).await?;
    let missing = || AzureError::not_found("ResourceGroupNotFound", format!("there is no resource group '{name}'"));
    match call.method {
        Method::GET => {
            let known = known.ok_or_else(missing)?;
            Ok(Json(describe(call, &known.id.name, &known.body)).into_response())
        }
        Method::HEAD => known.map(|_| StatusCode::NO_CONTENT.into_response()).ok_or_else(missing),
        Method::PUT | Method::PATCH => {
            if call.method == Method::PATCH && known.is_none() {
                return Err(missing());
            }
            check_name(name)?;
            let mut body = call.object()?;
            body.as_object_mut().map(|body| body.remove("properties"));
            with_location(&mut body);
            let is_new = directory.resources.put(&id, &body).await?;
            let name = known.map_or_else(|| name.clone(), |known| known.id.name);
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, Json(describe(call, &name, &body))).into_response())
        }
        Method::DELETE => delete(services, name, known.is_some()).await,
        _ => Err(method_not_allowed(call)),
    }
}

/// A group goes with what is in it; one that has hubs or workspaces is kept, since devices and rows would go with them.
async fn delete(services: &Services, name: &str, is_known: bool) -> Result<Response, AzureError> {
    let directory = &services.directory;
    if !is_known {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let id = directory.group(name);
    let holds = |of: &'static str| async move { directory.resources.below(&id_text(services, name), of).await };
    let is_used = !holds(HUB_TYPE).await?.is_empty() || !holds(WORKSPACE_TYPE).await?.is_empty();
    if is_used || name.eq_ignore_ascii_case(DEFAULT_GROUP) {
        let message = format!("the resource group '{name}' has hubs or workspaces; delete these first");
        return Err(AzureError::new(StatusCode::CONFLICT, "ResourceGroupNotEmpty", message));
    }
    let _changing = directory.changing.lock().await;
    directory.resources.delete_below(&id_text(services, name)).await?;
    directory.resources.delete(&id).await?;
    services.apply_solutions().await?;
    services.collection_rules.read_again(&directory.resources).await?;
    Ok(StatusCode::OK.into_response())
}

fn id_text(services: &Services, name: &str) -> String {
    services.directory.group(name).group_id()
}

fn check_name(name: &str) -> Result<(), AzureError> {
    let is_name = (1..=90).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '(' | ')'))
        && !name.ends_with('.');
    match is_name {
        true => Ok(()),
        false => {
            let message =
                format!("'{name}' is no name of a resource group: 1 to 90 letters, digits, or any of _ - . ( )");
            Err(AzureError::bad_request("InvalidParameter", message))
        }
    }
}
