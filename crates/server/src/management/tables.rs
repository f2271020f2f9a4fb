//! The tables of a workspace.

use super::call::{Call, describe};
use super::workspaces::days;
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::Column;
use kql::Type;
use resources::ResourceId;
use serde_json::{Value, json};
use workspace::{TableInfo, TableSchema};

/// Tables that their owner has made, as Azure names them.
const CUSTOM_ENDING: &str = "_CL";

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

pub(super) async fn list(services: &Services, workspace: &ResourceId) -> Result<Response, AzureError> {
    let mut value = Vec::new();
    for info in services.workspaces.tables(&workspace.name).await? {
        value.push(describe_table(services, workspace, &info).await?);
    }
    // All of them: its readers do not turn pages.
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn answer(
    services: &Services,
    call: &Call,
    workspace: &ResourceId,
    name: &str,
) -> Result<Response, AzureError> {
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
