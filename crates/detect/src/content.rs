//! The files of `content/`: what a rule says.
//!
//! Alert rules have the form of Microsoft Sentinel's analytics rules, with four keys of our own: `alertType`,
//! `remediationSteps`, `alertKey` and `tests`. Recommendations have a form of the same kind.

use crate::Error;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Severity {
    High,
    Medium,
    Low,
    Informational,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::High => "High",
            Severity::Medium => "Medium",
            Severity::Low => "Low",
            Severity::Informational => "Informational",
        }
    }
}

/// An alert rule. Its query gives one row for each alert, with at least the columns `DeviceId` and `TimeStamp`
/// (or, where it summarizes, `StartTime` and `EndTime`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertRule {
    /// A guid.
    pub id: String,
    /// The title of its alerts.
    pub name: String,
    pub description: String,
    pub severity: Severity,
    /// The type id of its alerts, such as `IoT_ReverseShell`.
    pub alert_type: String,
    #[serde(default)]
    pub tactics: Vec<String>,
    #[serde(default)]
    pub relevant_techniques: Vec<String>,
    pub remediation_steps: Vec<String>,
    /// For queries that summarize: the step between windows, a timespan. Not needed otherwise.
    #[serde(default)]
    pub query_frequency: Option<String>,
    /// For queries that summarize: the length of a window, a timespan.
    #[serde(default)]
    pub query_period: Option<String>,
    pub query: String,
    /// Columns whose values tell one alert from another.
    #[serde(default)]
    pub alert_key: Vec<String>,
    /// Alerts of the same key within this timespan of event time are one.
    #[serde(default)]
    pub suppression_duration: Option<String>,
    /// Keys of ExtendedProperties and the columns that they show.
    #[serde(default)]
    pub custom_details: BTreeMap<String, String>,
    #[serde(default)]
    pub entity_mappings: Vec<EntityMapping>,
    pub version: String,
    pub kind: Kind,
    // Keys of Sentinel's form that say nothing here.
    #[serde(default, rename = "requiredDataConnectors")]
    _required_data_connectors: Value,
    #[serde(default, rename = "triggerOperator")]
    _trigger_operator: Value,
    #[serde(default, rename = "triggerThreshold")]
    _trigger_threshold: Value,
    #[serde(default, rename = "status")]
    _status: Value,
    #[serde(default)]
    pub tests: Vec<RuleTest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    Scheduled,
    #[serde(rename = "NRT")]
    NearRealTime,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntityMapping {
    pub entity_type: String,
    pub field_mappings: Vec<FieldMapping>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldMapping {
    pub identifier: String,
    pub column_name: String,
}

/// A recommendation rule. Its query reads the latest snapshots of one device and gives a row when the device is
/// unhealthy; every column but `DeviceId` goes into RecommendationAdditionalData.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecommendationRule {
    /// The type id, such as `IoT_OpenPorts`.
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub severity: Severity,
    pub remediation_steps: Vec<String>,
    /// The snapshots that it reads, by event name; a new one of these has it evaluated.
    pub inputs: Vec<String>,
    pub query: String,
    pub version: String,
    #[serde(default)]
    pub tests: Vec<RuleTest>,
}

/// Sample events and what must come of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleTest {
    pub name: String,
    pub events: Vec<SampleEvent>,
    /// For alert rules: the alerts, in order, each with members that its ExtendedProperties must have.
    #[serde(default)]
    pub alerts: Option<Vec<Map<String, Value>>>,
    /// For recommendations: the states after the events, in order, such as `[Active, Inactive]`.
    #[serde(default)]
    pub states: Option<Vec<String>>,
}

/// An event of a test: one payload item, or a snapshot of several.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SampleEvent {
    pub name: String,
    #[serde(default = "sample_device")]
    pub device: String,
    /// When it happened; the tests' own day when not said.
    #[serde(default)]
    pub time: Option<String>,
    /// The event happened so many times, a second apart.
    #[serde(default = "once")]
    pub times: usize,
    #[serde(default)]
    pub item: Option<Map<String, Value>>,
    /// The items of a snapshot; none for an empty one.
    #[serde(default)]
    pub items: Option<Vec<Map<String, Value>>>,
}

fn sample_device() -> String {
    "pump-07".to_owned()
}

fn once() -> usize {
    1
}

/// Reads a rule of either kind from YAML.
pub fn read<T: for<'de> Deserialize<'de>>(file: &str, text: &str) -> Result<T, Error> {
    serde_saphyr::from_str(text).map_err(|e| Error::Content { file: file.to_owned(), problem: e.to_string() })
}
