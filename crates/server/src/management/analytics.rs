//! What a solution's alerts and recommendations come to: aggregated by type and day, and in numbers.
//!
//! Everything is asked of the solution's workspace. An aggregated alert is the alerts of one type on one UTC day; its
//! name is `{type}/{day}`. One that is dismissed leaves lists and numbers and stays in the table.

use super::call::{Call, Target};
use super::{method_not_allowed, not_found};
use crate::Services;
use crate::api::literal;
use crate::azure_error::AzureError;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::json::quote;
use kql::timespan::TICKS_PER_DAY;
use resources::ResourceId;
use resources::solution::{self, Solution};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

type Row = Map<String, Value>;

/// What marks an aggregated alert as dismissed.
pub(crate) const DISMISSED: &str = "dismissedAlert";
const DEVICES_OF_ALERT: usize = 10;
const TOP: usize = 3;

const ALERTS: &str = "declare query_parameters (hubs: dynamic, kind: string, begin: datetime, end: datetime);
SecurityAlert
| where ResourceId in~ (hubs) and (kind == '' or AlertType =~ kind)
| where isnull(begin) or (TimeGenerated >= begin and TimeGenerated < end)
| extend DeviceId = tostring(parse_json(ExtendedProperties).DeviceId), Day = startofday(TimeGenerated)
| summarize Count = count_distinct(SystemAlertId), Last = max(TimeGenerated),
    arg_max(TimeGenerated, DisplayName, VendorName, AlertSeverity, Description, RemediationSteps)
    by AlertType, Day, DeviceId
| sort by Day desc, AlertType asc, Count desc, DeviceId asc
| project AlertType, Day = format_datetime(Day, 'yyyy-MM-dd'), DeviceId, Count, Last = format_datetime(Last, 'HH:mm'),
    DisplayName, VendorName, AlertSeverity, Description, RemediationSteps";

const RECOMMENDATIONS: &str = "declare query_parameters (hubs: dynamic);
SecurityRecommendation
| where AssessedResourceId in~ (hubs)
| summarize arg_max(TimeGenerated, RecommendationState, RecommendationDisplayName, Description, RecommendationSeverity,
    ProviderName) by RecommendationName, AssessedResourceId, DeviceId
| where RecommendationState == 'Active'
| summarize Devices = count(), DeviceIds = make_set(DeviceId, 100000),
    arg_max(TimeGenerated, RecommendationDisplayName, Description, RecommendationSeverity, ProviderName)
    by RecommendationName
| sort by Devices desc, RecommendationName asc";

pub(super) async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let (id, is_list) = match &call.target {
        Target::Resource(id) => (id.clone(), false),
        Target::List { parent: Some(parent), .. } => (parent.clone(), true),
        Target::Action { id, name } if name.eq_ignore_ascii_case("dismiss") => {
            return dismiss(services, &solution_of(id), &id.name).await;
        }
        _ => return Err(method_not_allowed(call)),
    };
    if call.method != Method::GET {
        return Err(method_not_allowed(call));
    }
    let solution = Known::find(services, &solution_of(&id)).await?;
    let of = call.target.type_name().to_lowercase();
    let kind = of.rsplit('/').next().unwrap_or_default();
    // There is one model of a solution, and all else is below it.
    let steps = id.parents.iter().map(|(kind, name)| (kind, name)).chain([(&id.kind, &id.name)]);
    let is_other = |(kind, name): (&String, &String)| {
        kind.eq_ignore_ascii_case("analyticsModels") && !name.eq_ignore_ascii_case("default")
    };
    if steps.into_iter().any(is_other) {
        return Err(not_found(&id));
    }
    let one = |found: Option<Value>| found.map(|found| Json(found).into_response()).ok_or_else(|| not_found(&id));
    match (kind, is_list) {
        ("analyticsmodels", true) => {
            let model = solution.model(services).await?;
            Ok(Json(json!({ "value": [model] })).into_response())
        }
        ("analyticsmodels", false) => Ok(Json(solution.model(services).await?).into_response()),
        ("aggregatedalerts", true) => {
            let alerts = solution.alerts(services, &Asked::All).await?;
            let shown = alerts.iter().filter(|alert| !alert.is_dismissed).map(|alert| alert.shown(&solution));
            call.page(shown.collect(), false)
        }
        ("aggregatedalerts", false) => {
            let alerts = solution.alerts(services, &Asked::named(&id.name)).await?;
            let found = alerts.iter().find(|alert| alert.name().eq_ignore_ascii_case(&id.name));
            one(found.map(|alert| alert.shown(&solution)))
        }
        ("aggregatedrecommendations", true) => {
            let all = solution.recommendations(services).await?;
            call.page(all.iter().map(|row| solution.recommendation(row)).collect(), false)
        }
        ("aggregatedrecommendations", false) => {
            let all = solution.recommendations(services).await?;
            let is_it = |row: &&Row| text(row, "RecommendationName").eq_ignore_ascii_case(&id.name);
            one(all.iter().find(is_it).map(|row| solution.recommendation(row)))
        }
        _ => Err(not_found(&call.target)),
    }
}

/// Which aggregated alerts are asked about.
enum Asked {
    All,
    /// Those of a type on a day.
    OfDay {
        alert_type: String,
        /// Midnight, in ticks.
        begin: i64,
    },
    /// A name that none can have.
    Nothing,
}

impl Asked {
    /// The one of a name, `{type}/{day}`.
    fn named(name: &str) -> Asked {
        let parts = name.rsplit_once('/');
        match parts.and_then(|(alert_type, day)| Some((alert_type, kql::datetime::parse(day)?))) {
            Some((alert_type, begin)) if !alert_type.is_empty() => {
                Asked::OfDay { alert_type: alert_type.to_owned(), begin }
            }
            _ => Asked::Nothing,
        }
    }
}

/// The solution that something is below.
pub(super) fn solution_of(id: &ResourceId) -> ResourceId {
    let (_, name) = id.parents.first().cloned().unwrap_or_else(|| (id.kind.clone(), id.name.clone()));
    ResourceId::new(&id.subscription, &id.group, solution::TYPE, &name)
}

/// A solution that is there.
pub(super) struct Known {
    pub id: ResourceId,
    pub solution: Solution,
    /// The database of its workspace.
    pub database: String,
    /// The ids of its hubs, as the value of a query's parameter.
    pub hubs: String,
}

impl Known {
    pub async fn find(services: &Services, id: &ResourceId) -> Result<Known, AzureError> {
        let all = services.directory.solutions().await?;
        let found = all.into_iter().find(|(known, _)| known.id.is(id));
        let (resource, solution) = found.ok_or_else(|| not_found(id))?;
        let named = solution.workspace.as_ref().map_or(services.default_database.as_str(), |id| id.name.as_str());
        let databases = services.databases();
        let database = databases.into_iter().find(|name| name.eq_ignore_ascii_case(named));
        let ids: Vec<String> = solution.hubs.iter().map(ToString::to_string).collect();
        Ok(Known {
            id: resource.id,
            database: database.unwrap_or_else(|| services.default_database.clone()),
            hubs: format!("dynamic({})", json!(ids)),
            solution,
        })
    }

    /// The rows of a query over the workspace, about the hubs of the solution.
    pub async fn ask(&self, services: &Services, text: &str, more: &[(&str, &str)]) -> Result<Vec<Row>, AzureError> {
        let mut parameters = vec![("hubs", self.hubs.as_str())];
        parameters.extend(more);
        // A workspace that has had no data yet has no tables for it.
        if services.workspaces.columns(&self.database, "SecurityAlert").is_err() {
            return Ok(Vec::new());
        }
        services.ask(&self.database, text, &parameters).await
    }

    async fn alerts(&self, services: &Services, asked: &Asked) -> Result<Vec<AggregatedAlert>, AzureError> {
        let always = || "datetime(null)".to_owned();
        let (alert_type, begin, end) = match asked {
            Asked::All => ("", always(), always()),
            Asked::OfDay { alert_type, begin } => {
                (alert_type.as_str(), literal(*begin), literal(begin.saturating_add(TICKS_PER_DAY)))
            }
            Asked::Nothing => return Ok(Vec::new()),
        };
        let dismissed = services.directory.resources.marked(&self.id, DISMISSED).await?;
        let parameters = [("kind", alert_type), ("begin", begin.as_str()), ("end", end.as_str())];
        Ok(aggregated(self.ask(services, ALERTS, &parameters).await?, &dismissed))
    }

    async fn recommendations(&self, services: &Services) -> Result<Vec<Row>, AzureError> {
        self.ask(services, RECOMMENDATIONS, &[]).await
    }

    fn below(&self, rest: &str) -> String {
        format!("{}/analyticsModels/default{rest}", self.id)
    }

    /// The first hub, in the form that drill-down queries compare with.
    fn hub_condition(&self, column: &str) -> String {
        let ids: Vec<String> = self.solution.hubs.iter().map(|hub| quote(&hub.to_string().to_lowercase())).collect();
        match ids.as_slice() {
            [one] => format!("tolower({column}) == {one}"),
            all => format!("tolower({column}) in ({})", all.join(", ")),
        }
    }

    fn recommendation(&self, row: &Row) -> Value {
        let name = text(row, "RecommendationName");
        let query = format!(
            "SecurityRecommendation\n| where {} and RecommendationName == {}\n| summarize arg_max(TimeGenerated, *) by DeviceId\n\
             | where RecommendationState == \"Active\"\n| project DeviceId, TimeGenerated, RecommendationDisplayName, \
             RecommendationSeverity, Description, RecommendationAdditionalData",
            self.hub_condition("AssessedResourceId"),
            quote(name)
        );
        json!({
            "id": self.below(&format!("/aggregatedRecommendations/{name}")),
            "name": name,
            "type": "Microsoft.Security/IoTSecurityAggregatedRecommendation",
            "properties": {
                "recommendationName": name,
                "recommendationDisplayName": row["RecommendationDisplayName"],
                "description": row["Description"],
                "recommendationTypeId": recommendation_type_id(name),
                "detectedBy": row["ProviderName"],
                "remediationSteps": remediation_of(name),
                "reportedSeverity": row["RecommendationSeverity"],
                // Devices tell what is wrong with them; which others were looked at is not kept.
                "healthyDevices": -1,
                "unhealthyDeviceCount": row["Devices"],
                "logAnalyticsQuery": query,
            },
        })
    }

    /// The numbers of the overview.
    async fn model(&self, services: &Services) -> Result<Value, AzureError> {
        let alerts: Vec<AggregatedAlert> =
            self.alerts(services, &Asked::All).await?.into_iter().filter(|alert| !alert.is_dismissed).collect();
        let recommendations = self.recommendations(services).await?;
        let mut metrics = Metrics::default();
        let mut days: Vec<(String, Metrics)> = Vec::new();
        let mut devices: Vec<(String, u64)> = Vec::new();
        let mut types: Vec<(String, String, u64)> = Vec::new();
        for alert in &alerts {
            metrics.add(&alert.severity, alert.count);
            match days.iter_mut().find(|(day, _)| *day == alert.day) {
                Some((_, day)) => day.add(&alert.severity, alert.count),
                None => {
                    let mut day = Metrics::default();
                    day.add(&alert.severity, alert.count);
                    days.push((alert.day.clone(), day));
                }
            }
            for (device, count, _) in &alert.devices {
                match devices.iter_mut().find(|(known, _)| known == device) {
                    Some((_, known)) => *known += count,
                    None => devices.push((device.clone(), *count)),
                }
            }
            match types.iter_mut().find(|(title, _, _)| *title == alert.title) {
                Some((_, _, known)) => *known += alert.count,
                None => types.push((alert.title.clone(), alert.severity.clone(), alert.count)),
            }
        }
        devices.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        types.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        let mut unhealthy = BTreeSet::new();
        for row in &recommendations {
            metrics.add(text(row, "RecommendationSeverity"), row["Devices"].as_u64().unwrap_or(0));
            let ids = row["DeviceIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
            unhealthy.extend(ids.filter(|id| !id.is_empty()).map(str::to_owned));
        }
        let day = |(day, metrics): &(String, Metrics)| json!({ "date": format!("{day}T00:00:00Z"), "devicesMetrics": metrics.shown() });
        let top_recommendations = recommendations.iter().take(TOP).map(|row| {
            json!({
                "recommendationDisplayName": row["RecommendationDisplayName"],
                "reportedSeverity": row["RecommendationSeverity"],
                "devicesCount": row["Devices"],
            })
        });
        Ok(json!({
            "id": self.below(""),
            "name": "default",
            "type": "Microsoft.Security/IoTSecuritySolutionAnalyticsModel",
            "properties": {
                "metrics": metrics.shown(),
                "unhealthyDeviceCount": unhealthy.len(),
                "devicesMetrics": days.iter().map(day).collect::<Vec<_>>(),
                "topAlertedDevices": devices.iter().take(TOP)
                    .map(|(device, count)| json!({ "deviceId": device, "alertsCount": count })).collect::<Vec<_>>(),
                "mostPrevalentDeviceAlerts": types.iter().take(TOP)
                    .map(|(title, severity, count)| {
                        json!({ "alertDisplayName": title, "reportedSeverity": severity, "alertsCount": count })
                    })
                    .collect::<Vec<_>>(),
                "mostPrevalentDeviceRecommendations": top_recommendations.collect::<Vec<_>>(),
            },
        }))
    }
}

/// Alerts and recommendations by severity. What is informational is counted nowhere.
#[derive(Default)]
struct Metrics {
    high: u64,
    medium: u64,
    low: u64,
}

impl Metrics {
    fn add(&mut self, severity: &str, count: u64) {
        match severity {
            "High" => self.high += count,
            "Medium" => self.medium += count,
            "Low" => self.low += count,
            _ => {}
        }
    }

    fn shown(&self) -> Value {
        json!({ "high": self.high, "medium": self.medium, "low": self.low })
    }
}

/// The alerts of one type and day.
struct AggregatedAlert {
    alert_type: String,
    /// `2026-03-02`.
    day: String,
    title: String,
    vendor: String,
    severity: String,
    description: String,
    remediation: String,
    count: u64,
    /// Each device, how many alerts, and the time of the last; the ones with most first.
    devices: Vec<(String, u64, String)>,
    is_dismissed: bool,
}

/// Puts rows of one type, day and device together, which come one after the other.
fn aggregated(rows: Vec<Row>, dismissed: &BTreeSet<String>) -> Vec<AggregatedAlert> {
    let mut alerts: Vec<AggregatedAlert> = Vec::new();
    for row in rows {
        let (alert_type, day) = (text(&row, "AlertType").to_owned(), text(&row, "Day").to_owned());
        let count = row["Count"].as_u64().unwrap_or(0);
        let device = (text(&row, "DeviceId").to_owned(), count, text(&row, "Last").to_owned());
        match alerts.last_mut().filter(|last| last.alert_type == alert_type && last.day == day) {
            Some(last) => {
                last.count += count;
                last.devices.push(device);
            }
            None => {
                let name = format!("{alert_type}/{day}");
                alerts.push(AggregatedAlert {
                    is_dismissed: dismissed.contains(&name),
                    title: text(&row, "DisplayName").to_owned(),
                    vendor: text(&row, "VendorName").to_owned(),
                    severity: text(&row, "AlertSeverity").to_owned(),
                    description: text(&row, "Description").to_owned(),
                    remediation: steps(text(&row, "RemediationSteps")),
                    count,
                    devices: vec![device],
                    alert_type,
                    day,
                });
            }
        }
    }
    alerts
}

impl AggregatedAlert {
    fn name(&self) -> String {
        format!("{}/{}", self.alert_type, self.day)
    }

    fn shown(&self, solution: &Known) -> Value {
        let devices = self.devices.iter().take(DEVICES_OF_ALERT);
        let device = |(device, count, last): &(String, u64, String)| json!({ "deviceId": device, "alertsCount": count, "lastOccurrence": last });
        let query = format!(
            "SecurityAlert\n| where {} and AlertType == {}\n| where TimeGenerated >= datetime({day}) and TimeGenerated < \
             datetime({day}) + 1d\n| project DeviceId = tostring(parse_json(ExtendedProperties)[\"DeviceId\"]), \
             TimeGenerated, DisplayName, AlertSeverity, Description, RemediationSteps, ExtendedProperties",
            solution.hub_condition("ResourceId"),
            quote(&self.alert_type),
            day = self.day,
        );
        json!({
            "id": solution.below(&format!("/aggregatedAlerts/{}", self.name())),
            "name": self.name(),
            "type": "Microsoft.Security/IoTSecurityAggregatedAlert",
            "properties": {
                "alertType": self.alert_type,
                "alertDisplayName": self.title,
                "aggregatedDateUtc": self.day,
                "vendorName": self.vendor,
                "reportedSeverity": self.severity,
                "remediationSteps": self.remediation,
                "description": self.description,
                "count": self.count,
                "effectedResourceType": "IoT Device",
                "systemSource": "Devices",
                "actionTaken": if self.is_dismissed { "Dismissed" } else { "Detected" },
                "logAnalyticsQuery": query,
                "topDevicesList": devices.map(device).collect::<Vec<_>>(),
            },
        })
    }
}

async fn dismiss(services: &Services, id: &ResourceId, name: &str) -> Result<Response, AzureError> {
    let solution = Known::find(services, id).await?;
    let alerts = solution.alerts(services, &Asked::named(name)).await?;
    let found = alerts.iter().find(|alert| alert.name().eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| not_found(&solution.below(&format!("/aggregatedAlerts/{name}"))))?;
    services.directory.resources.mark(&solution.id, DISMISSED, &found.name()).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) fn text<'r>(row: &'r Row, name: &str) -> &'r str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list of steps, as rows hold it, as one text with a line for each.
fn steps(list: &str) -> String {
    match serde_json::from_str::<Vec<String>>(list) {
        Ok(steps) => steps.join("\n"),
        Err(_) => list.to_owned(),
    }
}

fn remediation_of(recommendation: &str) -> String {
    let rules = detect::builtin::recommendation_rules().unwrap_or_default();
    let rule = rules.into_iter().find(|rule| rule.name == recommendation);
    rule.map(|rule| rule.remediation_steps.join("\n")).unwrap_or_default()
}

/// A GUID that a type of recommendations always has.
pub(super) fn recommendation_type_id(name: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("recommendation {name}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_a_type_and_day_are_one() {
        let row = |of: &str, day: &str, device: &str, count: u64| {
            json!({"AlertType": of, "Day": day, "DeviceId": device, "Count": count, "Last": "10:42", "DisplayName": of,
                "VendorName": "", "AlertSeverity": "High", "Description": "", "RemediationSteps": "[\"a\",\"b\"]"})
            .as_object()
            .cloned()
            .expect("an object")
        };
        let rows = vec![
            row("A", "2026-03-02", "d1", 2),
            row("A", "2026-03-02", "d2", 1),
            row("A", "2026-03-01", "d1", 5),
            row("B", "2026-03-01", "d1", 1),
        ];
        let all = aggregated(rows, &BTreeSet::from(["A/2026-03-01".to_owned()]));
        let names: Vec<_> = all.iter().map(|alert| (alert.name(), alert.count, alert.is_dismissed)).collect();
        assert_eq!(
            names,
            [
                ("A/2026-03-02".to_owned(), 3, false),
                ("A/2026-03-01".to_owned(), 5, true),
                ("B/2026-03-01".to_owned(), 1, false)
            ]
        );
        assert_eq!((all[0].devices.len(), all[0].remediation.as_str()), (2, "a\nb"));
    }
}
