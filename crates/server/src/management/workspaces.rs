//! Workspaces of Log Analytics and their keys.

use super::call::{Call, Target, describe, put_answer};
use super::directory::with_location;
use super::{method_not_allowed, not_found, saved_searches, tables};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use resources::ResourceId;
use serde_json::{Value, json};

const BYTES_PER_GIGABYTE: f64 = 1e9;

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let (kind, id) = match &call.target {
        Target::Resource(id) => (id.kind.to_lowercase(), id.clone()),
        Target::List { of, parent, .. } => {
            let kind = of.rsplit('/').next().unwrap_or_default().to_lowercase();
            match parent {
                Some(parent) => (kind, parent.clone()),
                None if call.method == Method::GET => return list(services, call).await,
                None => return Err(method_not_allowed(call)),
            }
        }
        Target::Action { id, name } => {
            let workspace = known(services, id)?;
            return match name.to_lowercase().as_str() {
                "sharedkeys" | "regeneratesharedkey" => shared_keys(services, &workspace, name).await,
                _ => Err(method_not_allowed(call)),
            };
        }
        _ => return Err(method_not_allowed(call)),
    };
    match (kind.as_str(), id.parents.len(), &call.target) {
        ("workspaces", 0, Target::Resource(_)) => workspace(services, call, &id).await,
        ("tables", 0, Target::List { .. }) => tables::list(services, &known(services, &id)?).await,
        ("tables", 1, Target::Resource(_)) => {
            let workspace = known(services, &parent_of(&id))?;
            tables::answer(services, call, &workspace, &id.name).await
        }
        ("savedsearches", 0, Target::List { .. }) => {
            let workspace = known(services, &id)?;
            let all = saved_searches::all(services, &workspace).await?;
            call.page(all.iter().map(|saved| describe(&saved.id, &saved.body)).collect(), false)
        }
        ("savedsearches", 1, Target::Resource(_)) => {
            let workspace = known(services, &parent_of(&id))?;
            saved_searches::answer(services, call, &workspace, &id.name).await
        }
        _ => {
            Err(AzureError::not_found("InvalidResourceType", format!("there is nothing of the kind '{}'", call.target)))
        }
    }
}

fn parent_of(id: &ResourceId) -> ResourceId {
    let mut parent = id.clone();
    if let Some((kind, name)) = parent.parents.pop() {
        (parent.kind, parent.name) = (kind, name);
    }
    parent
}

/// The workspace of an id, as it is named.
fn known(services: &Services, id: &ResourceId) -> Result<ResourceId, AzureError> {
    find(services, id).ok_or_else(|| not_found(id))
}

/// The database of that name in any case, where its id is this one.
fn find(services: &Services, id: &ResourceId) -> Option<ResourceId> {
    let databases = services.databases();
    let name = databases.iter().find(|name| name.eq_ignore_ascii_case(&id.name))?;
    Some(services.directory.workspace(name))
        .filter(|known| known.is(id))
        .map(|known| ResourceId { name: name.clone(), ..known })
}

/// The body of a workspace as it is shown: what is kept, and what its database says.
async fn shown(services: &Services, id: &ResourceId) -> Result<Value, AzureError> {
    let kept = services.directory.resources.get(id).await?;
    let mut body = kept.as_ref().map_or_else(|| json!({}), |kept| kept.body.clone());
    with_location(&mut body);
    body.as_object_mut().map(|body| body.remove("keys"));
    if !body["properties"].is_object() {
        body["properties"] = json!({});
    }
    let properties = &mut body["properties"];
    let days = services.workspaces.database_retention(&id.name).await?;
    let (quota, _) = services.workspaces.daily_quota(&id.name);
    let gigabytes = quota.map_or(-1.0, |bytes| bytes as f64 / BYTES_PER_GIGABYTE);
    properties["customerId"] = json!(services.directory.workspace_guid(&id.name));
    properties["provisioningState"] = json!("Succeeded");
    if let Some(days) = days {
        properties["retentionInDays"] = json!(days);
    }
    properties["workspaceCapping"] = json!({ "dailyQuotaGb": gigabytes, "dataIngestionStatus": "RespectQuota" });
    if !properties["sku"].is_object() {
        properties["sku"] = json!({ "name": "PerGB2018" });
    }
    if let Some(kept) = kept {
        properties["modifiedDate"] = json!(kql::datetime::format(kept.changed_ticks));
    }
    Ok(body)
}

async fn list(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let Target::List { scope, .. } = &call.target else { return Err(method_not_allowed(call)) };
    let mut value = Vec::new();
    for name in services.databases() {
        let id = services.directory.workspace(&name);
        if access::role::holds(scope, &id.to_string()) && call.sees(&id.to_string()) {
            let id = ResourceId { name, ..id };
            value.push(describe(&id, &shown(services, &id).await?));
        }
    }
    call.page(value, false)
}

async fn workspace(services: &Services, call: &Call, id: &ResourceId) -> Result<Response, AzureError> {
    let directory = &services.directory;
    let found = find(services, id);
    match call.method {
        Method::GET => {
            let id = found.ok_or_else(|| not_found(id))?;
            Ok(Json(describe(&id, &shown(services, &id).await?)).into_response())
        }
        Method::PUT | Method::PATCH => {
            directory.check_group(&id.group).await?;
            if call.method == Method::PATCH && found.is_none() {
                return Err(not_found(id));
            }
            let given = call.object()?;
            let change = Change::read(&given["properties"])?;
            let _changing = directory.changing.lock().await;
            let is_new = found.is_none();
            // A database has one place in the tree.
            let taken = services.databases().into_iter().find(|name| name.eq_ignore_ascii_case(&id.name));
            if is_new && let Some(name) = taken {
                let message = format!("there is a workspace of this name already: '{}'", directory.workspace(&name));
                return Err(AzureError::new(StatusCode::CONFLICT, "NameNotAvailable", message));
            }
            let id = found.unwrap_or_else(|| id.clone());
            services.workspaces.create_database(&id.name).await?;
            let kept = directory.resources.get(&id).await?.map(|kept| kept.body);
            let mut body = match (call.method == Method::PATCH, &kept) {
                (true, Some(kept)) => merged(kept, &given),
                _ => given,
            };
            if let Some(keys) = kept.as_ref().and_then(|kept| kept.get("keys")) {
                body["keys"] = keys.clone();
            }
            with_location(&mut body);
            directory.resources.put(&id, &body).await?;
            directory.note_workspace(&id);
            change.make(services, &id.name).await?;
            Ok(put_answer(&id, &shown(services, &id).await?, is_new))
        }
        Method::DELETE => {
            let Some(id) = found else { return Ok(StatusCode::NO_CONTENT.into_response()) };
            let _changing = directory.changing.lock().await;
            let is_used = |solution: &resources::solution::Solution| {
                solution.workspace.iter().chain(solution.others.iter().map(|other| &other.workspace)).any(|w| w.is(&id))
            };
            if let Some((used, _)) = directory.solutions().await?.iter().find(|(_, solution)| is_used(solution)) {
                let message = format!("the solution '{}' writes to this workspace; change or delete it first", used.id);
                return Err(AzureError::new(StatusCode::CONFLICT, "InUse", message));
            }
            services.workspaces.drop_database(&id.name).await?;
            directory.resources.delete_below(&id.to_string()).await?;
            directory.resources.delete(&id).await?;
            directory.forget_workspace(&id.name);
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

/// An object with the members of another put over its own.
fn merged(kept: &Value, change: &Value) -> Value {
    match (kept, change) {
        (Value::Object(kept), Value::Object(change)) => {
            let mut merged = kept.clone();
            for (name, value) in change {
                let value = if name == "tags" { value.clone() } else { merged_member(kept.get(name), value) };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (_, change) => change.clone(),
    }
}

fn merged_member(kept: Option<&Value>, change: &Value) -> Value {
    kept.map_or_else(|| change.clone(), |kept| merged(kept, change))
}

/// What a request changes of a database.
struct Change {
    retention_days: Option<u32>,
    /// `None` where nothing is said, else the quota or that there is none.
    quota_bytes: Option<Option<u64>>,
}

impl Change {
    fn read(properties: &Value) -> Result<Change, AzureError> {
        let wrong = |name: &str, value: &Value| {
            AzureError::bad_request("InvalidParameter", format!("properties.{name}: {value} is not allowed"))
        };
        let retention_days = days(&properties["retentionInDays"]).map_err(|v| wrong("retentionInDays", &v))?;
        let quota = &properties["workspaceCapping"]["dailyQuotaGb"];
        let quota_bytes = match quota {
            Value::Null => None,
            value => match value.as_f64() {
                Some(-1.0) => Some(None),
                Some(gigabytes) if gigabytes > 0.0 && gigabytes < 1e9 => {
                    Some(Some((gigabytes * BYTES_PER_GIGABYTE) as u64))
                }
                _ => return Err(wrong("workspaceCapping.dailyQuotaGb", value)),
            },
        };
        Ok(Change { retention_days, quota_bytes })
    }

    async fn make(&self, services: &Services, database: &str) -> Result<(), AzureError> {
        if let Some(days) = self.retention_days {
            services.workspaces.set_retention(database, None, Some(days)).await?;
        }
        if let Some(quota) = self.quota_bytes {
            services.workspaces.set_daily_quota(database, quota).await?;
        }
        Ok(())
    }
}

/// A number of days; none where nothing is said, or -1, which leaves the default. The error is the value itself.
pub(super) fn days(value: &Value) -> Result<Option<u32>, Value> {
    match value {
        Value::Null => Ok(None),
        value if value.as_i64() == Some(-1) => Ok(None),
        value => value
            .as_u64()
            .and_then(|days| u32::try_from(days).ok())
            .filter(|days| *days > 0)
            .map(Some)
            .ok_or_else(|| value.clone()),
    }
}

/// The keys that the HTTP Data Collector interface is signed with.
async fn shared_keys(services: &Services, id: &ResourceId, action: &str) -> Result<Response, AzureError> {
    let directory = &services.directory;
    let _changing = directory.changing.lock().await;
    let mut body = directory.resources.get(id).await?.map_or_else(|| json!({ "properties": {} }), |kept| kept.body);
    let is_new = !body["keys"].is_object() || action.eq_ignore_ascii_case("regenerateSharedKey");
    if is_new {
        let key = || iothub::Key::random().map(|key| key.to_base64());
        let (Some(primary), Some(secondary)) = (key(), key()) else {
            return Err(AzureError::internal(&"no random numbers to be had"));
        };
        body["keys"] = json!({ "primary": primary, "secondary": secondary });
        directory.resources.put(id, &body).await?;
        directory.note_workspace(id);
    }
    let keys = &body["keys"];
    Ok(Json(json!({ "primarySharedKey": keys["primary"], "secondarySharedKey": keys["secondary"] })).into_response())
}

/// The shared keys of a workspace, where somebody has asked for them.
pub(crate) async fn keys_of(services: &Services, database: &str) -> Result<Vec<iothub::Key>, AzureError> {
    let kept = services.directory.resources.get(&services.directory.workspace(database)).await?;
    let keys = kept.map(|kept| kept.body["keys"].clone()).unwrap_or_default();
    let texts = [&keys["primary"], &keys["secondary"]].into_iter().filter_map(Value::as_str);
    Ok(texts.filter_map(iothub::Key::from_base64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_it_says() {
        let read = |properties: Value| Change::read(&properties).map(|c| (c.retention_days, c.quota_bytes)).ok();
        assert_eq!(read(json!({})), Some((None, None)));
        assert_eq!(
            read(json!({"retentionInDays": 30, "workspaceCapping": {"dailyQuotaGb": 0.5}})),
            Some((Some(30), Some(Some(500_000_000))))
        );
        assert_eq!(read(json!({"workspaceCapping": {"dailyQuotaGb": -1}})), Some((None, Some(None))));
        assert_eq!(read(json!({"retentionInDays": "many"})), None);
        assert_eq!(read(json!({"workspaceCapping": {"dailyQuotaGb": 0}})), None);
    }

    #[test]
    fn a_patch_leaves_what_it_does_not_name() {
        let kept = json!({"tags": {"a": 1}, "properties": {"x": 1, "y": {"z": 2}}});
        let patched = merged(&kept, &json!({"tags": {"b": 2}, "properties": {"y": {"w": 3}}}));
        assert_eq!(patched, json!({"tags": {"b": 2}, "properties": {"x": 1, "y": {"z": 2, "w": 3}}}));
    }
}
