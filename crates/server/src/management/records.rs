//! Single alerts and recommendations of a solution's devices, and their types.

use super::analytics::{Known, recommendation_type_id, solution_of, text};
use super::call::{Call, Target};
use super::{method_not_allowed, not_found};
use crate::azure_error::AzureError;
use crate::{Services, api};
use axum::Json;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use detect::builtin;
use detect::content::{AlertRule, RecommendationRule};
use resources::ResourceId;
use serde_json::{Map, Value, json};

/// So many records are listed at most, the newest first.
const RECORDS_MAX: usize = 10_000;

const ALERTS: &str = "declare query_parameters (hubs: dynamic, after: datetime, before: datetime, kind: string,
    entity: string, id: string, most: long);
SecurityAlert
| where ResourceId in~ (hubs) and StartTime >= after and StartTime <= before
| where (kind == '' or AlertType =~ kind) and (id == '' or SystemAlertId =~ id)
| extend DeviceId = tostring(parse_json(ExtendedProperties).DeviceId)
| where entity == '' or DeviceId == entity or CompromisedEntity =~ entity
| summarize arg_max(TimeGenerated, *) by SystemAlertId
| top most by StartTime desc
| project SystemAlertId, CompromisedEntity, AlertType, StartTime, EndTime, Entities = todynamic(Entities),
    ExtendedProperties = todynamic(ExtendedProperties)";

const RECOMMENDATIONS: &str = "declare query_parameters (hubs: dynamic, kind: string, device: string, most: long);
SecurityRecommendation
| where AssessedResourceId in~ (hubs) and (kind == '' or RecommendationName =~ kind) and (device == '' or DeviceId == device)
| summarize arg_max(TimeGenerated, RecommendationState, DiscoveredTimeUTC, RecommendationAdditionalData)
    by RecommendationName, DeviceId, AssessedResourceId
| where RecommendationState == 'Active'
| top most by DiscoveredTimeUTC desc
| project RecommendationName, DeviceId, DiscoveredTimeUTC, RecommendationAdditionalData";

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    if call.method != Method::GET {
        return Err(method_not_allowed(call));
    }
    let (id, name) = match &call.target {
        Target::Resource(id) => (solution_of(id), Some(id.name.as_str())),
        Target::List { parent: Some(parent), .. } => (solution_of(parent), None),
        _ => return Err(method_not_allowed(call)),
    };
    let solution = Known::find(services, &id).await?;
    let of = call.target.type_name().to_lowercase();
    let kind = of.rsplit('/').next().unwrap_or_default();
    let mut found = match kind {
        "iotalerts" => alerts(services, call, &solution, name).await?,
        "iotrecommendations" => recommendations(services, call, &solution, name).await?,
        "iotalerttypes" => rules(builtin::alert_rules())?.iter().map(|rule| alert_type(&solution.id, rule)).collect(),
        "iotrecommendationtypes" => {
            rules(builtin::recommendation_rules())?.iter().map(|rule| recommendation_type(&solution.id, rule)).collect()
        }
        _ => {
            return Err(AzureError::not_found("InvalidResourceType", format!("there is nothing of the kind '{kind}'")));
        }
    };
    let Some(name) = name else { return call.page(found, kind == "iotalerts") };
    found.retain(|item| item["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)));
    found.pop().map(|found| Json(found).into_response()).ok_or_else(|| not_found(&call.target))
}

fn rules<T>(read: Result<Vec<T>, detect::Error>) -> Result<Vec<T>, AzureError> {
    read.map_err(|error| AzureError::internal(&error))
}

/// A bound of time: `startTimeUtc>` and `startTimeUtc<` are what its parameters are called.
fn time(call: &Call, name: &str, default: i64) -> Result<String, AzureError> {
    Ok(api::literal(api::time(name, call.parameter(name), default)?))
}

async fn alerts(
    services: &Services,
    call: &Call,
    solution: &Known,
    id: Option<&str>,
) -> Result<Vec<Value>, AzureError> {
    let after = time(call, "startTimeUtc>", 0)?;
    let before = time(call, "startTimeUtc<", kql::datetime::now() + 366 * kql::timespan::TICKS_PER_DAY)?;
    let most = RECORDS_MAX.to_string();
    let parameters = [
        ("after", after.as_str()),
        ("before", &before),
        ("kind", call.parameter("alertType").unwrap_or_default()),
        ("entity", call.parameter("compromisedEntity").unwrap_or_default()),
        ("id", id.unwrap_or_default()),
        ("most", &most),
    ];
    let rows = solution.ask(services, ALERTS, &parameters).await?;
    let shown = |row: &Map<String, Value>| {
        let name = text(row, "SystemAlertId");
        let properties = json!({
            "systemAlertId": name,
            "compromisedEntity": row["CompromisedEntity"],
            "alertType": row["AlertType"],
            "startTimeUtc": row["StartTime"],
            "endTimeUtc": row["EndTime"],
            "entities": row["Entities"],
            "extendedProperties": row["ExtendedProperties"],
        });
        item(&solution.id, "iotAlerts", name, "Microsoft.Security/IoTAlert", properties)
    };
    Ok(rows.iter().map(shown).collect())
}

async fn recommendations(
    services: &Services,
    call: &Call,
    solution: &Known,
    name: Option<&str>,
) -> Result<Vec<Value>, AzureError> {
    let (kind, device) = match name.and_then(|name| name.split_once('|')) {
        Some((kind, device)) => (kind, device),
        None => {
            (call.parameter("recommendationType").unwrap_or_default(), call.parameter("deviceId").unwrap_or_default())
        }
    };
    let most = RECORDS_MAX.to_string();
    let rows = solution.ask(services, RECOMMENDATIONS, &[("kind", kind), ("device", device), ("most", &most)]).await?;
    let shown = |row: &Map<String, Value>| {
        let (of, device) = (text(row, "RecommendationName"), text(row, "DeviceId"));
        let properties = json!({
            "deviceId": device,
            "recommendationType": of,
            "discoveredTimeUtc": row["DiscoveredTimeUTC"],
            "recommendationAdditionalData": row["RecommendationAdditionalData"],
        });
        item(
            &solution.id,
            "iotRecommendations",
            &format!("{of}|{device}"),
            "Microsoft.Security/IoTRecommendation",
            properties,
        )
    };
    Ok(rows.iter().map(shown).collect())
}

fn alert_type(solution: &ResourceId, rule: &AlertRule) -> Value {
    let properties = json!({
        "alertDisplayName": rule.name,
        "severity": rule.severity.name(),
        "description": rule.description,
        "providerName": "IoTSecurity",
        "productName": "Azure Security Center for IoT",
        "productComponentName": "",
        "vendorName": "Microsoft",
        "intent": rule.tactics.join(", "),
        "remediationSteps": rule.remediation_steps,
    });
    item(solution, "iotAlertTypes", &rule.alert_type, "Microsoft.Security/IoTAlertType", properties)
}

fn recommendation_type(solution: &ResourceId, rule: &RecommendationRule) -> Value {
    let properties = json!({
        "recommendationTypeId": recommendation_type_id(&rule.name),
        "recommendationDisplayName": rule.display_name,
        "severity": rule.severity.name(),
        "description": rule.description,
        "productName": "Azure Security Center for IoT",
        "productComponentName": "",
        "vendorName": "Microsoft",
        "control": "",
        "remediationSteps": rule.remediation_steps,
        "dataSource": rule.inputs.join(", "),
    });
    item(solution, "iotRecommendationTypes", &rule.name, "Microsoft.Security/IoTRecommendationType", properties)
}

fn item(solution: &ResourceId, kind: &str, name: &str, of: &str, properties: Value) -> Value {
    json!({ "id": format!("{solution}/{kind}/{name}"), "name": name, "type": of, "properties": properties })
}
