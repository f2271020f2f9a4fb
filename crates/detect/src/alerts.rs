//! Alert rules at work: what each needs to remember between events, and the alerts that come out.
//!
//! The row-wise head of a rule's query is planned once and run over each arriving batch. Where the query goes on to
//! summarize, the rows of the head are kept for each device for as long as a window is, and the tail is run over
//! every window that a new row falls into. Windows are steps of `queryFrequency` in event time, each `queryPeriod`
//! long, so that an event counts by when it happened, however late it comes.

use crate::content::{AlertRule, Severity};
use crate::settings::DEFAULT_HUB;
use crate::split::{Split, WINDOW, split};
use crate::tables::{RAW_EVENTS, columns};
use crate::{Error, Settings};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int64Type;
use engine::catalog::FixedCatalog;
use engine::cells::Cells;
use engine::slot::Slot;
use engine::{Column, Prepared, Session, json};
use kql::{Type, datetime, timespan};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// A device keeps at most this many rows of a rule's head; the oldest go first.
const WINDOW_ROWS_MAX: usize = 20_000;
/// One batch of events opens at most this many windows of a rule and device.
const WINDOWS_MAX: usize = 10_000;
/// Rows that came less than this ago are kept even when their own time is long past, so that an old log that comes
/// in several messages is seen as one.
const ARRIVAL_TICKS: i64 = 15 * timespan::TICKS_PER_MINUTE;

/// An alert, not yet a row.
#[derive(Debug, Clone)]
pub struct Alert {
    pub rule_id: String,
    pub alert_type: String,
    pub name: String,
    pub description: String,
    pub severity: Severity,
    pub tactics: Vec<String>,
    pub techniques: Vec<String>,
    pub remediation_steps: Vec<String>,
    pub device_id: String,
    /// The first and last event behind it, in ticks.
    pub start_ticks: i64,
    pub end_ticks: i64,
    /// What tells it from other alerts of the rule: the same cause, found again, has the same key.
    pub key: String,
    /// ExtendedProperties, `DeviceId` included.
    pub properties: Map<String, Value>,
    pub entities: Vec<Value>,
}

impl Alert {
    /// The id, which the same alert of the same hub always has. Ids of the default hub are older than other hubs.
    pub fn id(&self, hub: &str) -> uuid::Uuid {
        let mut name = format!("{}\u{0}{}\u{0}{}", self.rule_id, self.key, self.start_ticks);
        if hub != DEFAULT_HUB {
            name = format!("{name}\u{0}{hub}");
        }
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes())
    }

    /// The row of SecurityAlert.
    pub fn row(&self, settings: &Settings, workspace_id: &str, now_ticks: i64) -> Map<String, Value> {
        let time = |ticks| Value::String(datetime::format(ticks));
        let row = serde_json::json!({
            "TenantId": workspace_id,
            "TimeGenerated": time(now_ticks),
            "ProcessingEndTime": time(now_ticks),
            "StartTime": time(self.start_ticks),
            "EndTime": time(self.end_ticks),
            "DisplayName": self.name,
            "AlertName": self.name,
            "AlertType": self.alert_type,
            "AlertSeverity": self.severity.name(),
            "Description": self.description,
            "RemediationSteps": serde_json::json!(self.remediation_steps).to_string(),
            "ProviderName": "IoTSecurity",
            "VendorName": "Microsoft",
            "VendorOriginalId": format!("{}/{}", self.rule_id, self.key),
            "SystemAlertId": self.id(&settings.hub).to_string(),
            "ResourceId": settings.hub_resource_id,
            "ProductName": "Azure Security Center for IoT",
            "CompromisedEntity": self.device_id,
            "IsIncident": false,
            "ExtendedProperties": Value::Object(self.properties.clone()).to_string(),
            "ExtendedLinks": "[]",
            "Entities": Value::Array(self.entities.clone()).to_string(),
            "Status": "New",
            "Tactics": self.tactics.join(","),
            "Techniques": serde_json::json!(self.techniques).to_string(),
            "WorkspaceSubscriptionId": settings.subscription_id,
            "WorkspaceResourceGroup": settings.resource_group,
            "SourceSystem": "Turnstone",
            "Type": crate::tables::ALERTS,
            "_IsBillable": "False",
        });
        match row {
            Value::Object(row) => row,
            _ => Map::new(),
        }
    }
}

/// A rule that is ready to judge events.
pub struct AlertEvaluator {
    pub(crate) rule: AlertRule,
    events: Slot,
    head: Prepared,
    window: Option<Window>,
    suppression_ticks: i64,
    /// For each key the times at which alerts were raised, in event time.
    raised: HashMap<String, Vec<i64>>,
}

struct Window {
    rows: Slot,
    tail: Prepared,
    period_ticks: i64,
    step_ticks: i64,
    devices: HashMap<String, DeviceRows>,
}

/// The rows of a rule's head that came from one device.
struct DeviceRows {
    batch: RecordBatch,
    /// When each row came.
    arrivals: Vec<i64>,
}

fn span(rule: &AlertRule, text: Option<&String>, key: &str) -> Result<i64, Error> {
    let fault = |problem: String| Error::Query { rule: rule.name.clone(), problem };
    let text = text.ok_or_else(|| fault(format!("a query that summarizes needs {key}")))?;
    parse_span(text).filter(|t| *t > 0).ok_or_else(|| fault(format!("{key} '{text}' is no timespan above zero")))
}

/// A timespan as rules write it: `5m`, `1h`, or ISO 8601's `PT5M`, `P1D`.
fn parse_span(text: &str) -> Option<i64> {
    let Some(iso) = text.strip_prefix('P') else { return timespan::parse(text) };
    let (days, clock) = iso.split_once('T').unwrap_or((iso, ""));
    let mut total = 0i64;
    for (part, is_clock) in [(days, false), (clock, true)] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            let unit = match (c, is_clock) {
                ('D', false) => "d",
                ('H', true) => "h",
                ('M', true) => "m",
                ('S', true) => "s",
                _ => return None,
            };
            total = total.checked_add(timespan::scale(&std::mem::take(&mut number), timespan::unit_ticks(unit)?)?)?;
        }
        if !number.is_empty() {
            return None;
        }
    }
    Some(total)
}

impl AlertEvaluator {
    /// Plans the rule's query.
    pub async fn new(rule: AlertRule, session: &Session) -> Result<AlertEvaluator, Error> {
        let fault = |problem: String| Error::Query { rule: rule.name.clone(), problem };
        let Split { head, tail } = split(&rule.query).map_err(fault)?;
        let describe = |error: engine::Error, query: &str| match &error {
            engine::Error::Query(d) => d.first().map_or_else(|| error.to_string(), |d| d.one_line(query)),
            _ => error.to_string(),
        };
        let events = Slot::default();
        let mut catalog = FixedCatalog::default();
        catalog.tables.insert(RAW_EVENTS.to_owned(), events.table(columns(RAW_EVENTS)));
        let prepared = session.prepare(&catalog, "default", &head).await.map_err(|e| fault(describe(e, &head)))?;
        let mut window = None;
        if let Some(tail) = tail {
            for (name, of) in [("DeviceId", Type::String), ("TimeStamp", Type::DateTime)] {
                if !prepared.columns.contains(&Column::new(name, of)) {
                    return Err(fault(format!("the rows before 'summarize' must keep the column {name}")));
                }
            }
            let rows = Slot::default();
            let mut catalog = FixedCatalog::default();
            catalog.tables.insert(WINDOW.to_owned(), rows.table(&prepared.columns));
            let tail = session.prepare(&catalog, "default", &tail).await.map_err(|e| fault(describe(e, &tail)))?;
            window = Some(Window {
                rows,
                tail,
                period_ticks: span(&rule, rule.query_period.as_ref(), "queryPeriod")?,
                step_ticks: span(&rule, rule.query_frequency.as_ref(), "queryFrequency")?,
                devices: HashMap::new(),
            });
        }
        let result = window.as_ref().map_or(&prepared.columns, |w| &w.tail.columns);
        for name in std::iter::once("DeviceId").chain(rule.alert_key.iter().map(String::as_str)) {
            if !result.iter().any(|c| c.name == name) {
                return Err(fault(format!("the query gives no column {name}")));
            }
        }
        let suppression_ticks = match &rule.suppression_duration {
            Some(text) => span(&rule, Some(text), "suppressionDuration")?,
            None => 0,
        };
        Ok(AlertEvaluator { rule, events, head: prepared, window, suppression_ticks, raised: HashMap::new() })
    }

    /// Notes an alert of an earlier run of the program, so that it is not raised again.
    pub fn remember(&mut self, rule_id: &str, key: &str, end_ticks: i64) {
        if rule_id == self.rule.id {
            self.raised.entry(key.to_owned()).or_default().push(end_ticks);
        }
    }

    /// The alerts that new raw events give.
    pub async fn judge(&mut self, batch: &RecordBatch, now_ticks: i64) -> Result<Vec<Alert>, Error> {
        self.events.set(vec![batch.clone()]);
        let heads = self.head.run().await;
        self.events.set(Vec::new());
        let heads: Vec<RecordBatch> = heads?.into_iter().filter(|b| b.num_rows() > 0).collect();
        let Some(first) = heads.first() else { return Ok(Vec::new()) };
        let rows = concat_batches(&first.schema(), &heads)?;
        let mut found = Vec::new();
        match &mut self.window {
            None => found.extend(row_alerts(&self.rule, &self.head.columns, &rows)),
            Some(window) => {
                for batch in window.judge(&self.head.columns, &rows, now_ticks).await? {
                    found.extend(row_alerts(&self.rule, &window.tail.columns, &batch));
                }
            }
        }
        found.sort_by_key(|a| (a.end_ticks, a.start_ticks));
        found.retain(|alert| {
            let times = self.raised.entry(alert.key.clone()).or_default();
            let known = times.iter().any(|t| (alert.end_ticks - t).abs() < self.suppression_ticks);
            if !known && self.suppression_ticks > 0 {
                times.push(alert.end_ticks);
            }
            !known
        });
        self.forget();
        Ok(found)
    }

    /// Keeps the memory of raised alerts bounded: of each key the latest.
    fn forget(&mut self) {
        const TIMES_MAX: usize = 64;
        const KEYS_MAX: usize = 100_000;
        for times in self.raised.values_mut().filter(|t| t.len() > TIMES_MAX) {
            times.sort_unstable();
            times.drain(..times.len() - TIMES_MAX);
        }
        if self.raised.len() > KEYS_MAX {
            self.raised.clear();
        }
    }
}

impl Window {
    /// Adds rows of the head, and gives the results of the tail over every window that they fall into.
    async fn judge(
        &mut self,
        columns: &[Column],
        rows: &RecordBatch,
        now_ticks: i64,
    ) -> Result<Vec<RecordBatch>, Error> {
        let at = |name: &str| columns.iter().position(|c| c.name == name).unwrap_or(0);
        let (device_at, time_at) = (at("DeviceId"), at("TimeStamp"));
        let devices: BTreeSet<String> =
            rows.column(device_at).as_string_view().iter().flatten().map(str::to_owned).collect();
        let mut results = Vec::new();
        for device in devices {
            let of_device: BooleanArray =
                rows.column(device_at).as_string_view().iter().map(|d| Some(d == Some(device.as_str()))).collect();
            let fresh = filter_record_batch(rows, &of_device)?;
            let new_times: Vec<i64> = fresh.column(time_at).as_primitive::<Int64Type>().iter().flatten().collect();
            let known = match self.devices.remove(&device) {
                Some(known) => known,
                None => DeviceRows { batch: RecordBatch::new_empty(rows.schema()), arrivals: Vec::new() },
            };
            let mut arrivals = known.arrivals;
            arrivals.extend(std::iter::repeat_n(now_ticks, fresh.num_rows()));
            let batch = concat_batches(&rows.schema(), [&known.batch, &fresh])?;
            for end in self.window_ends(&batch, time_at, &new_times) {
                let times = batch.column(time_at).as_primitive::<Int64Type>();
                let inside: BooleanArray =
                    times.iter().map(|t| Some(t.is_some_and(|t| t <= end && t > end - self.period_ticks))).collect();
                self.rows.set(vec![filter_record_batch(&batch, &inside)?]);
                let found = self.tail.run().await;
                self.rows.set(Vec::new());
                results.extend(found?.into_iter().filter(|b| b.num_rows() > 0));
            }
            let kept = self.prune(DeviceRows { batch, arrivals }, time_at, now_ticks)?;
            self.devices.insert(device, kept);
        }
        Ok(results)
    }

    /// The ends of the windows whose result may have changed: those that hold a new row and end where some row is the
    /// last.
    fn window_ends(&self, batch: &RecordBatch, time_at: usize, new_times: &[i64]) -> Vec<i64> {
        let mut sorted = new_times.to_vec();
        sorted.sort_unstable();
        let times = batch.column(time_at).as_primitive::<Int64Type>();
        let holds_new = |end: i64| {
            let from = sorted.partition_point(|t| *t <= end - self.period_ticks);
            sorted.get(from).is_some_and(|t| *t <= end)
        };
        let step = self.step_ticks;
        let end_of = |t: i64| t.checked_add(step - 1).map_or(t, |t| t - t.rem_euclid(step));
        let ends: BTreeSet<i64> = times.iter().flatten().map(end_of).filter(|end| holds_new(*end)).collect();
        ends.into_iter().rev().take(WINDOWS_MAX).rev().collect()
    }

    fn prune(&self, rows: DeviceRows, time_at: usize, now_ticks: i64) -> Result<DeviceRows, Error> {
        let times = rows.batch.column(time_at).as_primitive::<Int64Type>();
        let newest = times.iter().flatten().max().unwrap_or(0);
        let excess = rows.batch.num_rows().saturating_sub(WINDOW_ROWS_MAX);
        let keep: Vec<bool> = (0..rows.batch.num_rows())
            .map(|i| {
                let is_recent = times.is_valid(i) && times.value(i) > newest - self.period_ticks;
                i >= excess && (is_recent || rows.arrivals[i] > now_ticks - ARRIVAL_TICKS)
            })
            .collect();
        let arrivals = rows.arrivals.iter().zip(&keep).filter(|(_, k)| **k).map(|(a, _)| *a).collect();
        let batch = filter_record_batch(&rows.batch, &BooleanArray::from(keep))?;
        Ok(DeviceRows { batch, arrivals })
    }
}

/// One alert for each row of a rule's result.
fn row_alerts(rule: &AlertRule, columns: &[Column], batch: &RecordBatch) -> Vec<Alert> {
    let cells: HashMap<&str, Cells> = columns
        .iter()
        .zip(batch.columns())
        .map(|(c, array)| (c.name.as_str(), Cells::new(c.column_type, array)))
        .collect();
    let text = |name: &str, row: usize| cells.get(name).map(|c| c.text(row)).unwrap_or_default();
    let ticks = |name: &str, row: usize| {
        let at = columns.iter().position(|c| c.name == name && c.column_type == Type::DateTime)?;
        let times = batch.column(at).as_primitive::<Int64Type>();
        times.is_valid(row).then(|| times.value(row))
    };
    (0..batch.num_rows())
        .map(|row| {
            let device_id = text("DeviceId", row);
            let moment = ticks("TimeStamp", row);
            let start_ticks = ticks("StartTime", row).or(moment).unwrap_or(0);
            let end_ticks = ticks("EndTime", row).or(moment).unwrap_or(start_ticks);
            let mut properties: Map<String, Value> = rule
                .custom_details
                .iter()
                .map(|(key, column)| (key.clone(), Value::String(text(column, row))))
                .collect();
            properties.insert("DeviceId".to_owned(), Value::String(device_id.clone()));
            let entities = rule.entity_mappings.iter().enumerate().map(|(i, mapping)| {
                let mut entity = Map::new();
                entity.insert("$id".to_owned(), Value::String((i + 1).to_string()));
                for field in &mapping.field_mappings {
                    entity.insert(field.identifier.clone(), Value::String(text(&field.column_name, row)));
                }
                entity.insert("Type".to_owned(), Value::String(mapping.entity_type.to_lowercase()));
                Value::Object(entity)
            });
            let mut key = vec![json::quote(&device_id)];
            key.extend(rule.alert_key.iter().map(|column| json::quote(&text(column, row))));
            Alert {
                rule_id: rule.id.clone(),
                alert_type: rule.alert_type.clone(),
                name: rule.name.clone(),
                description: rule.description.clone(),
                severity: rule.severity,
                tactics: rule.tactics.clone(),
                techniques: rule.relevant_techniques.clone(),
                remediation_steps: rule.remediation_steps.clone(),
                start_ticks,
                end_ticks,
                key: json::array(key),
                entities: entities.collect(),
                properties,
                device_id,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timespans_of_rules() {
        assert_eq!(parse_span("5m"), parse_span("PT5M"));
        assert_eq!(parse_span("P1DT12H"), timespan::parse("1.5d"));
        assert_eq!(parse_span("PT"), Some(0));
        assert_eq!(parse_span("P5"), None);
        assert_eq!(parse_span("soon"), None);
    }
}
