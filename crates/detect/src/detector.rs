//! All rules together: raw events in, alerts and recommendations out.

use crate::alerts::{Alert, AlertEvaluator};
use crate::content::{AlertRule, RecommendationRule};
use crate::recommendations::{Change, RecommendationEvaluator, Standing};
use crate::tables::{RAW_EVENTS, columns};
use crate::{Error, Settings};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use engine::Session;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// Snapshots of at most this many devices are kept; beyond, the ones heard of longest ago go.
const DEVICES_MAX: usize = 100_000;

/// What a batch of events gave.
#[derive(Debug, Default)]
pub struct Findings {
    pub alerts: Vec<Alert>,
    pub changes: Vec<Change>,
}

/// Every rule, and each device's latest snapshots.
pub struct Detector {
    alerts: Vec<AlertEvaluator>,
    recommendations: Vec<RecommendationEvaluator>,
    /// Recommendations that are not wanted, by name.
    recommendations_off: BTreeSet<String>,
    /// Alert rules that are switched off, by id.
    alert_rules_off: BTreeSet<String>,
    /// By device, by event name: the rows of the newest snapshot and its time.
    snapshots: HashMap<String, HashMap<String, Snapshot>>,
}

struct Snapshot {
    device: String,
    name: String,
    batch: RecordBatch,
    /// When it was taken, by the device's clock.
    ticks: i64,
    received_ticks: i64,
}

/// The columns of a batch of raw events that detection itself reads.
struct RawEvents<'b> {
    batch: &'b RecordBatch,
}

impl RawEvents<'_> {
    fn text(&self, name: &str, row: usize) -> &str {
        self.batch.column_by_name(name).map_or("", |c| c.as_string_view().value(row))
    }

    fn time(&self, name: &str, row: usize) -> i64 {
        let times = self.batch.column_by_name(name).map(|c| c.as_primitive::<Int64Type>());
        times.filter(|t| t.is_valid(row)).map_or(0, |t| t.value(row))
    }
}

impl Detector {
    /// Plans all rules. A rule that cannot be planned is an error that names it.
    pub async fn new(
        session: &Session,
        alerts: Vec<AlertRule>,
        recommendations: Vec<RecommendationRule>,
    ) -> Result<Detector, Error> {
        let mut detector = Detector {
            alerts: Vec::new(),
            recommendations: Vec::new(),
            recommendations_off: BTreeSet::new(),
            alert_rules_off: BTreeSet::new(),
            snapshots: HashMap::new(),
        };
        for rule in alerts {
            detector.alerts.push(AlertEvaluator::new(rule, session).await?);
        }
        for rule in recommendations {
            detector.recommendations.push(RecommendationEvaluator::new(rule, session).await?);
        }
        Ok(detector)
    }

    /// Notes an alert of an earlier run.
    pub fn remember_alert(&mut self, rule_id: &str, key: &str, end_ticks: i64) {
        self.alerts.iter_mut().for_each(|a| a.remember(rule_id, key, end_ticks));
    }

    /// Notes where a recommendation stood for a device in an earlier run.
    pub fn remember_recommendation(&mut self, name: &str, device_id: &str, standing: &Standing) {
        for evaluator in self.recommendations.iter_mut().filter(|r| r.rule.name == name) {
            evaluator.remember(device_id, standing.clone());
        }
    }

    /// Judges new raw events, rows of the raw-event table. A rule that fails at run time is logged and passed over:
    /// one bad rule must not silence the others.
    pub async fn judge(&mut self, batch: &RecordBatch, now_ticks: i64) -> Result<Findings, Error> {
        debug_assert_eq!(batch.num_columns(), columns(RAW_EVENTS).len());
        let mut findings = Findings::default();
        let off = &self.alert_rules_off;
        for evaluator in self.alerts.iter_mut().filter(|alert| !off.contains(&alert.rule.id)) {
            match evaluator.judge(batch, now_ticks).await {
                Ok(alerts) => findings.alerts.extend(alerts),
                Err(error) => tracing::error!(%error, "an alert rule failed"),
            }
        }
        for snapshot in snapshots(batch)? {
            self.judge_snapshot(snapshot, now_ticks, &mut findings).await;
        }
        Ok(findings)
    }

    /// Judges from now on without what the settings say is not wanted; of recommendations what was active ends.
    pub fn switch_off(&mut self, settings: &Settings, now_ticks: i64) -> Vec<Change> {
        let off = &settings.recommendations_off;
        let newly = self.recommendations.iter_mut().filter(|r| off.contains(&r.rule.name));
        let changes = newly.flat_map(|r| r.retire(now_ticks)).collect();
        self.recommendations_off = off.clone();
        self.alert_rules_off = settings.alert_rules_off.clone();
        changes
    }

    /// All that is active, to be written anew.
    pub fn active(&mut self, now_ticks: i64) -> Vec<Change> {
        self.recommendations.iter_mut().flat_map(|r| r.active(now_ticks)).collect()
    }

    /// The row of a change.
    pub fn recommendation_row(&self, change: &Change, settings: &Settings) -> Map<String, Value> {
        let evaluator = self.recommendations.iter().find(|r| r.rule.name == change.name);
        evaluator.map(|e| e.row(change, settings)).unwrap_or_default()
    }

    /// Keeps a snapshot, unless a newer one is known, and judges its device by it.
    async fn judge_snapshot(&mut self, snapshot: Snapshot, now_ticks: i64, findings: &mut Findings) {
        let (device, name) = (snapshot.device.clone(), snapshot.name.clone());
        let (ticks, received_ticks) = (snapshot.ticks, snapshot.received_ticks);
        let of_device = self.snapshots.entry(device.clone()).or_default();
        if of_device.get(&name).is_some_and(|known| known.ticks > ticks) {
            return;
        }
        of_device.insert(name.clone(), snapshot);
        let wanted =
            |r: &&mut RecommendationEvaluator| r.reads(&name) && !self.recommendations_off.contains(&r.rule.name);
        for evaluator in self.recommendations.iter_mut().filter(wanted) {
            if evaluator.has_judged(&device, received_ticks) {
                continue;
            }
            let known = self.snapshots.get(&device).into_iter().flatten();
            let inputs = known.filter(|(n, _)| evaluator.reads(n)).map(|(_, s)| s.batch.clone()).collect();
            match evaluator.judge(&device, inputs, ticks, now_ticks).await {
                Ok(change) => findings.changes.extend(change),
                Err(error) => tracing::error!(%error, "a recommendation rule failed"),
            }
        }
        while self.snapshots.len() > DEVICES_MAX {
            let newest = |s: &HashMap<String, Snapshot>| s.values().map(|s| s.ticks).max().unwrap_or(0);
            let oldest = self.snapshots.iter().min_by_key(|(_, s)| newest(s)).map(|(d, _)| d.clone());
            oldest.map(|device| self.snapshots.remove(&device));
        }
    }
}

/// The snapshots of a batch, in its order: the rows of each periodic event.
fn snapshots(batch: &RecordBatch) -> Result<Vec<Snapshot>, Error> {
    let events = RawEvents { batch };
    let mut found = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for row in 0..batch.num_rows() {
        let id = (events.text("DeviceId", row), events.text("IoTRawEventId", row));
        if !events.text("RawEventCategory", row).eq_ignore_ascii_case("periodic") || seen.contains(&id) {
            continue;
        }
        seen.push(id);
        let same: BooleanArray = (0..batch.num_rows())
            .map(|r| Some((events.text("DeviceId", r), events.text("IoTRawEventId", r)) == id))
            .collect();
        found.push(Snapshot {
            device: id.0.to_owned(),
            name: events.text("RawEventName", row).to_owned(),
            batch: filter_record_batch(batch, &same)?,
            ticks: events.time("TimeStamp", row),
            received_ticks: events.time("TimeGenerated", row),
        });
    }
    Ok(found)
}
