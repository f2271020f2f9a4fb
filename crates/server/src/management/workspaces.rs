//! Workspaces of Log Analytics, their tables and saved searches.

use super::call::{Call, Target, describe, put_answer};
use super::directory::with_location;
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::Column;
use kql::Type;
use resources::{Resource, ResourceId};
use serde_json::{Value, json};
use workspace::{FunctionEntry, Notes, TableInfo, TableSchema};

/// The part of a workspace that saved searches are.
pub(crate) const SAVED_SEARCH: &str = "savedSearches";
const SAVED_SEARCH_TYPE: &str = "Microsoft.OperationalInsights/workspaces/savedSearches";
const SAVED_SEARCHES_MAX: usize = 10_000;
const QUERY_CHARACTERS_MAX: usize = 64 << 10;
/// Tables that their owner has made, as Azure names them.
const CUSTOM_ENDING: &str = "_CL";
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
        ("tables", 0, Target::List { .. }) => list_tables(services, &known(services, &id)?).await,
        ("tables", 1, Target::Resource(_)) => {
            let workspace = known(services, &parent_of(&id))?;
            table(services, call, &workspace, &id.name).await
        }
        ("savedsearches", 0, Target::List { .. }) => {
            let workspace = known(services, &id)?;
            let all = saved_searches(services, &workspace).await?;
            call.page(all.iter().map(|saved| describe(&saved.id, &saved.body)).collect(), false)
        }
        ("savedsearches", 1, Target::Resource(_)) => {
            let workspace = known(services, &parent_of(&id))?;
            saved_search(services, call, &workspace, &id.name).await
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
    let databases = services.workspaces.databases();
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
    for name in services.workspaces.databases() {
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
            let taken = services.workspaces.databases().into_iter().find(|name| name.eq_ignore_ascii_case(&id.name));
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
fn days(value: &Value) -> Result<Option<u32>, Value> {
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

/// The name of a type in this interface.
fn type_name(of: Type) -> &'static str {
    match of {
        Type::Bool => "boolean",
        Type::DateTime => "dateTime",
        Type::Decimal => "real",
        other => other.name(),
    }
}

fn type_of(name: &str) -> Option<Type> {
    match name.to_ascii_lowercase().as_str() {
        "boolean" => Some(Type::Bool),
        "uuid" => Some(Type::Guid),
        other => Type::from_name(other),
    }
}

async fn describe_table(services: &Services, workspace: &ResourceId, info: &TableInfo) -> Result<Value, AzureError> {
    let retention = services.workspaces.retention(&workspace.name, &info.name).await?;
    let is_custom = info.name.ends_with(CUSTOM_ENDING);
    let column = |column: &Column| json!({ "name": column.name, "type": type_name(column.column_type) });
    let columns: Vec<Value> = info.columns.iter().map(column).collect();
    let (standard, custom) = if is_custom { (Vec::new(), columns.clone()) } else { (columns.clone(), Vec::new()) };
    let properties = json!({
        "plan": "Analytics",
        "provisioningState": "Succeeded",
        "retentionInDays": retention.days().map_or(json!(-1), |days| json!(days)),
        "totalRetentionInDays": retention.days().map_or(json!(-1), |days| json!(days)),
        "retentionInDaysAsDefault": retention.table_days.is_none(),
        "schema": {
            "name": info.name,
            "displayName": info.name,
            "description": info.notes.docstring,
            "tableType": if is_custom { "CustomLog" } else { "Microsoft" },
            "tableSubType": "DataCollectionRuleBased",
            "columns": if is_custom { columns } else { Vec::new() },
            "standardColumns": standard,
            "customColumns": custom,
            "solutions": [],
        },
    });
    Ok(describe(&workspace.child("tables", &info.name), &json!({ "properties": properties })))
}

async fn list_tables(services: &Services, workspace: &ResourceId) -> Result<Response, AzureError> {
    let mut value = Vec::new();
    for info in services.workspaces.tables(&workspace.name).await? {
        value.push(describe_table(services, workspace, &info).await?);
    }
    // All of them: its readers do not turn pages.
    Ok(Json(json!({ "value": value })).into_response())
}

async fn table(services: &Services, call: &Call, workspace: &ResourceId, name: &str) -> Result<Response, AzureError> {
    let database = &workspace.name;
    let find = || async {
        let tables = services.workspaces.tables(database).await?;
        Ok::<_, AzureError>(tables.into_iter().find(|info| info.name.eq_ignore_ascii_case(name)))
    };
    let missing = || not_found(&workspace.child("tables", name));
    let found = find().await?;
    match call.method {
        Method::GET => {
            Ok(Json(describe_table(services, workspace, &found.ok_or_else(missing)?).await?).into_response())
        }
        Method::PUT | Method::PATCH => {
            let body = call.object()?;
            let properties = &body["properties"];
            let wrong = |problem: String| AzureError::bad_request("InvalidParameter", problem);
            let days = days(&properties["retentionInDays"])
                .map_err(|value| wrong(format!("properties.retentionInDays: {value} is no number of days")))?;
            let columns = schema(&properties["schema"]).map_err(wrong)?;
            let name = match (&found, columns) {
                (None, _) if call.method == Method::PATCH => return Err(missing()),
                (None, None) => return Err(wrong("properties.schema.columns is needed to make a table".to_owned())),
                (Some(info), None) => info.name.clone(),
                (found, Some(columns)) => {
                    let name = found.as_ref().map_or(name, |info| &info.name).to_owned();
                    let schema = TableSchema { name: name.clone(), columns };
                    services.workspaces.check_changeable(database, &name)?;
                    services.workspaces.create_merge_table(database, &schema).await?;
                    name
                }
            };
            if !properties["retentionInDays"].is_null() {
                services.workspaces.set_retention(database, Some(&name), days).await?;
            }
            let info = services.workspaces.tables(database).await?.into_iter().find(|info| info.name == name);
            let info = info.ok_or_else(missing)?;
            Ok(Json(describe_table(services, workspace, &info).await?).into_response())
        }
        Method::DELETE => {
            let Some(info) = found else { return Ok(StatusCode::NO_CONTENT.into_response()) };
            if !info.name.ends_with(CUSTOM_ENDING) {
                let message =
                    format!("'{}' is not one of your own tables, whose names end in {CUSTOM_ENDING}", info.name);
                return Err(wrong_table(message));
            }
            services.workspaces.drop_table(database, &info.name).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
}

fn wrong_table(message: String) -> AzureError {
    AzureError::bad_request("InvalidParameter", message)
}

/// The columns of a schema, where it names some.
fn schema(schema: &Value) -> Result<Option<Vec<Column>>, String> {
    let Some(columns) = schema["columns"].as_array().filter(|columns| !columns.is_empty()) else { return Ok(None) };
    let column = |(at, column): (usize, &Value)| {
        let at = format!("properties.schema.columns[{at}]");
        let (Some(name), Some(of)) = (column["name"].as_str(), column["type"].as_str()) else {
            return Err(format!("{at} must have a name and a type"));
        };
        let of = type_of(of).ok_or_else(|| format!("{at}.type: there is no type '{of}'"))?;
        Ok(Column::new(name, of))
    };
    columns.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The saved searches of a workspace.
pub(crate) async fn saved_searches(services: &Services, workspace: &ResourceId) -> Result<Vec<Resource>, AzureError> {
    Ok(services.directory.resources.below(&workspace.to_string(), SAVED_SEARCH_TYPE).await?)
}

/// That the properties of a saved search can be kept.
pub(crate) fn check_saved_search(properties: &Value) -> Result<(), AzureError> {
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

/// A search with a function's name can be called by it in every query of the workspace.
async fn saved_search(
    services: &Services,
    call: &Call,
    workspace: &ResourceId,
    name: &str,
) -> Result<Response, AzureError> {
    let resources = &services.directory.resources;
    let id = workspace.child(SAVED_SEARCH, name);
    let known = resources.get(&id).await?;
    let alias =
        |body: &Value| body["properties"]["functionAlias"].as_str().filter(|a| !a.is_empty()).map(str::to_owned);
    match call.method {
        Method::GET => {
            let known = known.ok_or_else(|| not_found(&id))?;
            Ok(Json(describe(&known.id, &known.body)).into_response())
        }
        Method::PUT => {
            let mut body = call.object()?;
            check_saved_search(&body["properties"])?;
            let count = saved_searches(services, workspace).await?.len();
            if known.is_none() && count >= SAVED_SEARCHES_MAX {
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
            let old = known.as_ref().and_then(|known| alias(&known.body));
            let new = alias(&body);
            if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
                services.workspaces.drop_function(&workspace.name, &old).await?;
            }
            if let Some(new) = new {
                put_function(services, &workspace.name, &new, &body["properties"]).await?;
            }
            resources.put(&id, &body).await?;
            let id = known.map_or(id, |known| known.id);
            Ok(Json(describe(&id, &body)).into_response())
        }
        Method::DELETE => {
            if let Some(old) = known.as_ref().and_then(|known| alias(&known.body)) {
                services.workspaces.drop_function(&workspace.name, &old).await?;
            }
            resources.delete(&id).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(method_not_allowed(call)),
    }
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
