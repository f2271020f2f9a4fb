//! Recommendations at work: each device's latest snapshots, and whether it is unhealthy by them.

use crate::content::RecommendationRule;
use crate::settings::DEFAULT_HUB;
use crate::tables::{RAW_EVENTS, columns};
use crate::{Error, Settings};
use arrow::array::RecordBatch;
use engine::catalog::FixedCatalog;
use engine::cells::Cells;
use engine::slot::Slot;
use engine::{Prepared, Session};
use kql::{datetime, timespan};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// An active recommendation is written again after this long, so that a query over the last days shows it.
const REFRESH_TICKS: i64 = timespan::TICKS_PER_DAY;

/// Where a recommendation stands for one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub is_active: bool,
    /// RecommendationAdditionalData, JSON text.
    pub details: String,
    /// When it became active, in ticks.
    pub discovered_ticks: i64,
    /// When the last row about it was written.
    pub written_ticks: i64,
}

/// A change that becomes a row of SecurityRecommendation.
#[derive(Debug, Clone)]
pub struct Change {
    pub name: String,
    pub device_id: String,
    pub standing: Standing,
}

/// A rule that is ready to judge snapshots.
pub struct RecommendationEvaluator {
    pub rule: RecommendationRule,
    snapshots: Slot,
    query: Prepared,
    standings: HashMap<String, Standing>,
    /// Of devices whose standing an earlier run has left: until when it had judged.
    judged_ticks: HashMap<String, i64>,
}

impl RecommendationEvaluator {
    pub async fn new(rule: RecommendationRule, session: &Session) -> Result<RecommendationEvaluator, Error> {
        let fault = |problem: String| Error::Query { rule: rule.name.clone(), problem };
        let snapshots = Slot::default();
        let mut catalog = FixedCatalog::default();
        catalog.tables.insert(RAW_EVENTS.to_owned(), snapshots.table(columns(RAW_EVENTS)));
        let query = session.prepare(&catalog, "default", &rule.query).await.map_err(|error| match &error {
            engine::Error::Query(d) => fault(d.first().map_or_else(|| error.to_string(), |d| d.one_line(&rule.query))),
            _ => fault(error.to_string()),
        })?;
        if !query.columns.iter().any(|c| c.name == "DeviceId") {
            return Err(fault("the query gives no column DeviceId".to_owned()));
        }
        Ok(RecommendationEvaluator { rule, snapshots, query, standings: HashMap::new(), judged_ticks: HashMap::new() })
    }

    /// Ends all that is active, since nobody wants to know of it any more: the changes to write.
    pub fn retire(&mut self, now_ticks: i64) -> Vec<Change> {
        let active = self.standings.iter_mut().filter(|(_, standing)| standing.is_active);
        active
            .map(|(device_id, standing)| {
                standing.is_active = false;
                standing.written_ticks = now_ticks;
                Change { name: self.rule.name.clone(), device_id: device_id.clone(), standing: standing.clone() }
            })
            .collect()
    }

    /// All that is active, as a change to be written now.
    pub fn active(&mut self, now_ticks: i64) -> Vec<Change> {
        let active = self.standings.iter_mut().filter(|(_, standing)| standing.is_active);
        active
            .map(|(device_id, standing)| {
                standing.written_ticks = now_ticks;
                Change { name: self.rule.name.clone(), device_id: device_id.clone(), standing: standing.clone() }
            })
            .collect()
    }

    pub fn reads(&self, event_name: &str) -> bool {
        self.rule.inputs.iter().any(|i| i == event_name)
    }

    /// Notes where a device stood when the program last ran.
    pub fn remember(&mut self, device_id: &str, standing: Standing) {
        self.judged_ticks.insert(device_id.to_owned(), standing.written_ticks);
        self.standings.insert(device_id.to_owned(), standing);
    }

    /// Whether an earlier run has judged what was received then, so that a replay does not repeat old changes.
    pub fn has_judged(&self, device_id: &str, received_ticks: i64) -> bool {
        self.judged_ticks.get(device_id).is_some_and(|until| received_ticks <= *until)
    }

    /// Evaluates one device by its latest snapshots; the change, if there is one to write.
    pub async fn judge(
        &mut self,
        device_id: &str,
        snapshots: Vec<RecordBatch>,
        event_ticks: i64,
        now_ticks: i64,
    ) -> Result<Option<Change>, Error> {
        self.snapshots.set(snapshots);
        let result = self.query.run().await;
        self.snapshots.set(Vec::new());
        let found = result?.iter().find(|b| b.num_rows() > 0).map(|b| self.details(b));
        let known = self.standings.get(device_id);
        let standing = match (found, known) {
            (Some(details), Some(old)) if old.is_active => {
                let is_due = now_ticks - old.written_ticks >= REFRESH_TICKS;
                if old.details == details && !is_due {
                    return Ok(None);
                }
                Standing { details, written_ticks: now_ticks, ..old.clone() }
            }
            (Some(details), _) => {
                Standing { is_active: true, details, discovered_ticks: event_ticks, written_ticks: now_ticks }
            }
            (None, Some(old)) if old.is_active => {
                Standing { is_active: false, written_ticks: now_ticks, ..old.clone() }
            }
            (None, _) => return Ok(None),
        };
        self.standings.insert(device_id.to_owned(), standing.clone());
        Ok(Some(Change { name: self.rule.name.clone(), device_id: device_id.to_owned(), standing }))
    }

    /// The first row but its DeviceId, as a bag of texts (the original's values are texts too).
    fn details(&self, batch: &RecordBatch) -> String {
        let mut bag = Map::new();
        for (column, array) in self.query.columns.iter().zip(batch.columns()) {
            if column.name != "DeviceId" {
                bag.insert(column.name.clone(), Value::String(Cells::new(column.column_type, array).text(0)));
            }
        }
        Value::Object(bag).to_string()
    }

    /// The row of SecurityRecommendation.
    pub fn row(&self, change: &Change, settings: &Settings) -> Map<String, Value> {
        let standing = &change.standing;
        let time = |ticks| Value::String(datetime::format(ticks));
        let mut name = format!("{}\u{0}{}", change.name, change.device_id);
        // Ids of the default hub are older than other hubs.
        if settings.hub != DEFAULT_HUB {
            name = format!("{name}\u{0}{}", settings.hub);
        }
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
        let row = serde_json::json!({
            "TenantId": settings.main.workspace_id,
            "TimeGenerated": time(standing.written_ticks),
            "RecommendationId": id.to_string(),
            "RecommendationName": self.rule.name,
            "RecommendationDisplayName": self.rule.display_name,
            "Description": self.rule.description,
            "RecommendationSeverity": self.rule.severity.name(),
            "RecommendationState": if standing.is_active { "Active" } else { "Inactive" },
            "RecommendationAdditionalData": serde_json::from_str::<Value>(&standing.details).unwrap_or_default(),
            "AssessedResourceId": settings.hub_resource_id,
            "DeviceId": change.device_id,
            "DiscoveredTimeUTC": time(standing.discovered_ticks),
            "ResolvedTimeUTC": if standing.is_active { Value::Null } else { time(standing.written_ticks) },
            "StatusChangeDate": time(standing.written_ticks),
            "ProviderName": "IoTSecurity",
            "IsSnapshot": false,
            "SourceSystem": "Turnstone",
            "Type": crate::tables::RECOMMENDATIONS,
            "_IsBillable": "False",
        });
        match row {
            Value::Object(row) => row,
            _ => Map::new(),
        }
    }
}
