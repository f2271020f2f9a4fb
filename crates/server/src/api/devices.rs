//! Devices: their identities, and what is known of them.

use super::{Body, Params, Path, literal, time};
use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::{DELETE_DEVICES, DEVICE_KEYS, READ_DEVICES, WRITE_DEVICES};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use detect::intake::INTERNAL_DATABASE;
use hub::{DEFAULT_HUB, Device, Registry};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Devices of a page, where nothing is said and at most.
const PAGE: usize = 1000;
const TIMELINE: usize = 100;
const TIMELINE_MAX: usize = 1000;

/// Which hub is meant.
#[derive(Deserialize)]
pub(super) struct OfHub {
    #[serde(default)]
    hub: Option<String>,
}

impl OfHub {
    fn find(&self, services: &Services) -> Result<(Registry, String), AzureError> {
        let name = self.hub.as_deref().unwrap_or(DEFAULT_HUB);
        let registry = services.hubs.hub(name);
        let registry =
            registry.ok_or_else(|| AzureError::not_found("HubNotFound", format!("there is no hub named '{name}'")))?;
        let scope = services.directory.hub_id(registry.hub());
        Ok((registry, scope))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    #[serde(default)]
    hub: Option<String>,
    /// A part of the id, in any case.
    #[serde(default)]
    search: Option<String>,
    /// The whole id.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    is_enabled: Option<bool>,
    #[serde(default)]
    top: Option<usize>,
    /// Where the page begins: after this id.
    #[serde(default)]
    skip_token: Option<String>,
}

/// A device without its keys.
fn describe(device: &Device) -> Value {
    json!({
        "deviceId": device.id,
        "isEnabled": device.is_enabled,
        "createdTime": kql::datetime::format_short(device.created_ticks),
    })
}

fn with_keys(device: &Device) -> Value {
    let mut value = describe(device);
    value["primaryKey"] = json!(device.primary_key.to_base64());
    value["secondaryKey"] = json!(device.secondary_key.to_base64());
    value
}

/// What workspaces know of devices of a hub.
const ACTIVITY: &str = "declare query_parameters (hub: string, devices: dynamic);
let alerts = SecurityAlert
    | where TimeGenerated > ago(7d) and ResourceId =~ hub
    | extend DeviceId = tostring(parse_json(ExtendedProperties).DeviceId)
    | where DeviceId in (devices)
    | summarize Alerts = dcount(SystemAlertId), LastAlert = max(TimeGenerated) by DeviceId;
let recommendations = SecurityRecommendation
    | where AssessedResourceId =~ hub and DeviceId in (devices)
    | summarize arg_max(TimeGenerated, RecommendationState) by DeviceId, RecommendationName
    | summarize Recommendations = countif(RecommendationState == 'Active'), LastChange = max(TimeGenerated) by DeviceId;
let events = SecurityIoTRawEvent
    | where AssociatedResourceId =~ hub and DeviceId in (devices)
    | summarize FirstSeen = min(TimeGenerated), LastEvent = max(TimeGenerated) by DeviceId;
let information = SecurityIoTRawEvent
    | where TimeGenerated > ago(90d)
    | where AssociatedResourceId =~ hub and RawEventName == 'SystemInformation' and DeviceId in (devices)
    | summarize arg_max(TimeGenerated, EventDetails, AgentVersion) by DeviceId
    | project DeviceId, InformationTime = TimeGenerated, Information = EventDetails, AgentVersion;
union alerts, recommendations, events, information
| summarize Alerts = take_any(Alerts), Recommendations = take_any(Recommendations), FirstSeen = min(FirstSeen),
    LastActivity = max(max_of(LastEvent, LastAlert, LastChange)), InformationTime = max(InformationTime),
    Information = max(Information), AgentVersion = max(AgentVersion) by DeviceId";

type Row = Map<String, Value>;

fn by_device(rows: &[Row]) -> HashMap<&str, &Row> {
    rows.iter().map(|row| (row["DeviceId"].as_str().unwrap_or_default(), row)).collect()
}

/// A text of a row; empty where there is none.
fn text(row: Option<&Row>, name: &str) -> String {
    row.and_then(|row| row.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn or_null(text: String) -> Value {
    if text.is_empty() { Value::Null } else { Value::String(text) }
}

/// Adds how active a device is: by the rows that the workspace has of it, and by those of the window of detection.
fn describe_activity(value: &mut Value, told: Option<&Row>, heard: Option<&Row>) {
    let count = |name: &str| told.and_then(|row| row[name].as_u64()).unwrap_or_default();
    value["alerts"] = json!(count("Alerts"));
    value["activeRecommendations"] = json!(count("Recommendations"));
    value["firstSeenTime"] = or_null(text(told, "FirstSeen"));
    // Times of this form compare as texts.
    value["lastActivityTime"] = or_null(text(told, "LastActivity").max(text(heard, "LastActivity")));
}

/// Adds what a device last said of its system.
fn describe_system(value: &mut Value, told: Option<&Row>, heard: Option<&Row>) {
    let newest = [told, heard].into_iter().max_by_key(|row| text(*row, "InformationTime")).flatten();
    value["systemInformation"] = serde_json::from_str(&text(newest, "Information")).unwrap_or_default();
    value["systemInformationTime"] = or_null(text(newest, "InformationTime"));
    value["agentVersion"] = or_null(text(newest, "AgentVersion"));
}

pub(super) async fn list(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(asked): Params<Listed>,
) -> Result<Response, AzureError> {
    let (registry, scope) = OfHub { hub: asked.hub.clone() }.find(&services)?;
    let caller = requester.may(READ_DEVICES, &scope)?;
    // What a device says of itself is the content of an event.
    let sees_events = caller.may(access::role::READ_SECURITY, &scope);
    let search = asked.search.as_deref().unwrap_or_default().to_lowercase();
    let is_wanted = |device: &&Device| {
        device.id.to_lowercase().contains(&search)
            && asked.id.as_ref().is_none_or(|wanted| device.id == *wanted)
            && asked.is_enabled.is_none_or(|wanted| device.is_enabled == wanted)
            && asked.skip_token.as_ref().is_none_or(|after| device.id > *after)
    };
    let devices = registry.devices().await.map_err(refused)?;
    let top = asked.top.unwrap_or(PAGE).clamp(1, PAGE);
    let mut wanted = devices.iter().filter(is_wanted);
    let page: Vec<&Device> = wanted.by_ref().take(top).collect();
    let is_last = wanted.next().is_none();
    let ids: Vec<&str> = page.iter().map(|device| device.id.as_str()).collect();
    let ids = format!("dynamic({})", json!(ids));
    let parameters = [("hub", scope.as_str()), ("devices", ids.as_str())];
    let told = services.ask(&services.directory.database_of_hub(registry.hub()), ACTIVITY, &parameters).await?;
    let heard = services.ask(INTERNAL_DATABASE, WINDOW, &parameters).await?;
    let (told, heard) = (by_device(&told), by_device(&heard));
    let value = page.iter().map(|device| {
        let mut value = describe(device);
        let (told, heard) = (told.get(device.id.as_str()).copied(), heard.get(device.id.as_str()).copied());
        describe_activity(&mut value, told, heard);
        if sees_events {
            describe_system(&mut value, told, heard);
        }
        value
    });
    let mut answer = json!({ "value": value.collect::<Vec<_>>() });
    if let Some(last) = page.last().filter(|_| !is_last) {
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let mut link =
            format!("/api/v1/devices?hub={}&top={top}&skipToken={}", encode(registry.hub()), encode(&last.id));
        if !search.is_empty() {
            link.push_str(&format!("&search={}", encode(&search)));
        }
        if let Some(id) = &asked.id {
            link.push_str(&format!("&id={}", encode(id)));
        }
        if let Some(is_enabled) = asked.is_enabled {
            link.push_str(&format!("&isEnabled={is_enabled}"));
        }
        answer["nextLink"] = json!(link);
    }
    Ok(Json(answer).into_response())
}

/// A device; with its keys for those who may see them.
pub(super) async fn show(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfHub>,
) -> Result<Response, AzureError> {
    let (registry, scope) = of.find(&services)?;
    let caller = requester.may(READ_DEVICES, &scope)?;
    let device = registry.device(&id).await.map_err(refused)?;
    let device = device.ok_or_else(|| refused(hub::registry::Error::NoDevice(id)))?;
    let shown = match caller.may(DEVICE_KEYS, &scope) {
        // That keys are seen is noted.
        true => {
            requester.may(DEVICE_KEYS, &scope)?;
            with_keys(&device)
        }
        false => describe(&device),
    };
    Ok(Json(shown).into_response())
}

pub(super) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfHub>,
) -> Result<Response, AzureError> {
    let (registry, scope) = of.find(&services)?;
    requester.may(WRITE_DEVICES, &scope)?;
    let device = registry.create_device(&id).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(with_keys(&device))).into_response())
}

pub(super) async fn create_module(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path((id, module)): Path<(String, String)>,
    Params(of): Params<OfHub>,
) -> Result<Response, AzureError> {
    let (registry, scope) = of.find(&services)?;
    requester.may(WRITE_DEVICES, &scope)?;
    let [primary, secondary] = registry.create_module(&id, &module).await.map_err(refused)?;
    let answer = json!({
        "deviceId": id,
        "moduleId": module,
        "primaryKey": primary.to_base64(),
        "secondaryKey": secondary.to_base64(),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfHub>,
) -> Result<StatusCode, AzureError> {
    let (registry, scope) = of.find(&services)?;
    requester.may(DELETE_DEVICES, &scope)?;
    registry.delete_device(&id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Change {
    is_enabled: bool,
}

pub(super) async fn change(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfHub>,
    body: Body,
) -> Result<StatusCode, AzureError> {
    let (registry, scope) = of.find(&services)?;
    requester.may(WRITE_DEVICES, &scope)?;
    let change: Change = body.read()?;
    registry.set_enabled(&id, change.is_enabled).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    hub: Option<String>,
    /// Times; the last week where nothing is said.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    top: Option<usize>,
}

const EVENTS: &str =
    "declare query_parameters (hub: string, device: string, begin: datetime, end: datetime, most: long);
let alerts = SecurityAlert
    | where TimeGenerated >= begin - 1d and ResourceId =~ hub
    | where tostring(parse_json(ExtendedProperties).DeviceId) == device
    | project Time = coalesce(StartTime, TimeGenerated), Recorded = TimeGenerated, Kind = 'alert', Name = AlertType, Title = DisplayName,
        Severity = AlertSeverity, State = Status, Details = todynamic(ExtendedProperties), Id = SystemAlertId;
let recommendations = SecurityRecommendation
    | where TimeGenerated >= begin - 1d and AssessedResourceId =~ hub and DeviceId == device
    | project Time = TimeGenerated, Recorded = TimeGenerated, Kind = 'recommendation', Name = RecommendationName,
        Title = RecommendationDisplayName, Severity = RecommendationSeverity, State = RecommendationState,
        Details = RecommendationAdditionalData, Id = RecommendationId;
let events = SecurityIoTRawEvent
    | where TimeGenerated >= begin - 1d and AssociatedResourceId =~ hub and DeviceId == device
    | project Time = TimeStamp, Recorded = TimeGenerated, Kind = 'event', Name = RawEventName, Title = RawEventName, Severity = '', State = '',
        Details = todynamic(EventDetails), Id = IoTRawEventId;
union alerts, recommendations, events
| where Time between (begin .. end)
| top most by Time desc";

/// The last events of devices whose raw events are not stored, from the window that detection keeps.
const WINDOW: &str = "declare query_parameters (hub: string, devices: dynamic);
let events = DetectionWindow | where AssociatedResourceId =~ hub and DeviceId in (devices);
let information = events
    | where RawEventName == 'SystemInformation'
    | summarize arg_max(TimeGenerated, EventDetails, AgentVersion) by DeviceId
    | project DeviceId, InformationTime = TimeGenerated, Information = EventDetails, AgentVersion;
events
| summarize LastActivity = max(TimeGenerated) by DeviceId
| join kind=leftouter information on DeviceId
| project DeviceId, LastActivity, InformationTime, Information, AgentVersion";

/// What happened to a device: alerts, changes of recommendations and events, the newest first.
pub(super) async fn timeline(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(span): Params<Span>,
) -> Result<Response, AzureError> {
    let (registry, scope) = OfHub { hub: span.hub }.find(&services)?;
    requester.may(READ_DEVICES, &scope)?;
    requester.may(access::role::READ_SECURITY, &scope)?;
    let end = time("to", span.to.as_deref(), kql::datetime::now())?;
    let begin = time("from", span.from.as_deref(), end.saturating_sub(7 * kql::timespan::TICKS_PER_DAY))?;
    if registry.device(&id).await.map_err(refused)?.is_none() {
        return Err(refused(hub::registry::Error::NoDevice(id)));
    }
    let most = span.top.unwrap_or(TIMELINE).clamp(1, TIMELINE_MAX).to_string();
    let (begin, end) = (literal(begin), literal(end));
    let parameters = [("hub", scope.as_str()), ("device", &id), ("begin", &begin), ("end", &end), ("most", &most)];
    let rows = services.ask(&services.directory.database_of_hub(registry.hub()), EVENTS, &parameters).await?;
    let value = rows.into_iter().map(lower_camel).collect::<Vec<_>>();
    Ok(Json(json!({ "value": value })).into_response())
}

/// The members with the first letters of their names small.
fn lower_camel(row: Map<String, Value>) -> Value {
    let small = |name: String| {
        let mut letters = name.chars();
        letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    Value::Object(row.into_iter().map(|(name, value)| (small(name), value)).collect())
}

fn refused(error: hub::registry::Error) -> AzureError {
    use hub::registry::Error::{BadId, Exists, NoDevice};
    let message = error.to_string();
    match error {
        BadId(_) => AzureError::bad_request("InvalidId", message),
        Exists(_) => AzureError::new(StatusCode::CONFLICT, "Conflict", message),
        NoDevice(_) => AzureError::not_found("DeviceNotFound", message),
        other => AzureError::internal(&other),
    }
}
