//! The pipeline behind the hub's front doors: store the event, then judge it.
//!
//! An event is durable before its sender is answered. When the owner keeps raw events it goes to the raw-event table;
//! when not, to a private table of the same shape that holds a bounded time, so that detection works the same and
//! events that were accepted just before a crash are still judged at the next start. What is judged twice gives the
//! same alert with the same id, which the workspace stores once.

use crate::Error;
use crate::detector::{Detector, Findings};
use crate::events::raw_rows;
use crate::recommendations::Standing;
use crate::tables::{ALERTS, OPERATION, RAW_EVENTS, RECOMMENDATIONS, SCHEMAS, SOLUTION, columns, rows};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use engine::Session;
use kql::datetime;
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use messages::intake::{Delivery, Intake, NotKept, Refused};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use workspace::{Append, EventId, Note, TableSchema, Workspaces};

/// The database of the program's own tables.
const INTERNAL_DATABASE: &str = "turnstone-internal";
/// Events that are kept for detection alone.
const WINDOW_TABLE: &str = "DetectionWindow";
/// How long they are kept.
const WINDOW_TICKS: i64 = TICKS_PER_DAY;
/// At a start, events that came so long ago at most are judged again.
const REPLAY_TICKS: i64 = TICKS_PER_HOUR;
/// Batches that wait to be judged; more make senders wait.
const QUEUE_BATCHES_MAX: usize = 1024;
/// Batches judged together.
const GROUP_BATCHES_MAX: usize = 64;
const RETRY_DELAY: Duration = Duration::from_secs(1);
const CLEANING_INTERVAL: Duration = Duration::from_secs(600);

/// Whose events these are, and what is kept of them.
#[derive(Debug, Clone)]
pub struct Settings {
    pub database: String,
    /// The workspace's guid, the value of TenantId.
    pub workspace_id: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// The hub's resource id.
    pub hub_resource_id: String,
    pub store_raw_events: bool,
}

/// The front doors' [`Intake`].
pub struct Pipeline {
    workspaces: Workspaces,
    settings: Arc<Settings>,
    judging: mpsc::Sender<RecordBatch>,
    is_over_quota: AtomicBool,
}

/// Makes the tables of a security workspace, where they are not there yet.
pub async fn create_tables(workspaces: &Workspaces, database: &str) -> Result<(), Error> {
    workspaces.create_database(database).await?;
    for schema in SCHEMAS.iter() {
        workspaces.create_merge_table(database, schema).await?;
    }
    workspaces.create_database(INTERNAL_DATABASE).await?;
    let window = TableSchema { name: WINDOW_TABLE.to_owned(), columns: columns(RAW_EVENTS).to_vec() };
    workspaces.create_merge_table(INTERNAL_DATABASE, &window).await?;
    Ok(())
}

impl Pipeline {
    /// Starts judging. Events that came shortly before the program last ended are judged first.
    pub async fn start(
        workspaces: Workspaces,
        session: Session,
        mut detector: Detector,
        settings: Settings,
    ) -> Result<Pipeline, Error> {
        create_tables(&workspaces, &settings.database).await?;
        let settings = Arc::new(settings);
        restore(&mut detector, &workspaces, &session, &settings.database).await?;
        let unfinished = recent_events(&workspaces, &session, &settings.database).await?;
        let (judging, mut waiting) = mpsc::channel::<RecordBatch>(QUEUE_BATCHES_MAX);
        let writer = Writer { workspaces: workspaces.clone(), settings: settings.clone() };
        tokio::spawn(async move {
            for batch in unfinished {
                writer.judge(&mut detector, &batch).await;
            }
            let mut group = Vec::new();
            while waiting.recv_many(&mut group, GROUP_BATCHES_MAX).await > 0 {
                match arrow::compute::concat_batches(&group[0].schema(), &group) {
                    Ok(batch) => writer.judge(&mut detector, &batch).await,
                    Err(error) => tracing::error!(%error, "events of different shapes cannot be judged together"),
                }
                group.clear();
            }
        });
        let cleaned = workspaces.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(CLEANING_INTERVAL).await;
                let oldest = datetime::now() - WINDOW_TICKS;
                if let Err(error) = cleaned.drop_older_than(INTERNAL_DATABASE, WINDOW_TABLE, oldest).await {
                    tracing::warn!(%error, "old events of the detection window were not removed");
                }
            }
        });
        Ok(Pipeline { workspaces, settings, judging, is_over_quota: AtomicBool::new(false) })
    }

    /// Whether the database takes raw events on this day. Beyond its quota they are judged all the same, and when that
    /// begins and ends is noted.
    async fn is_within_quota(&self) -> bool {
        let database = &self.settings.database;
        let outcome = self.workspaces.check_quota(database);
        let is_within = outcome.is_ok();
        if self.is_over_quota.swap(!is_within, Ordering::Relaxed) == is_within {
            let (status, detail) = match outcome {
                Err(reached) => ("Warning", format!("raw events are judged but not stored from now on: {reached}")),
                Ok(()) => ("Succeeded", "raw events are stored again".to_owned()),
            };
            self.workspaces.note(database, &[Note { status, category: "Daily quota", detail }]).await;
        }
        is_within
    }

    async fn store(&self, delivery: &Delivery) -> Result<(), NotKept> {
        let failed = |error: Error| NotKept::Failed(error.to_string());
        let (batch, ids) = raw_rows(delivery, &self.settings).map_err(failed)?;
        let (database, table) = if self.settings.store_raw_events && self.is_within_quota().await {
            (self.settings.database.as_str(), RAW_EVENTS)
        } else {
            (INTERNAL_DATABASE, WINDOW_TABLE)
        };
        let append = Append { database: database.to_owned(), tables: vec![(table.to_owned(), batch)], ids: vec![ids] };
        let stored = self.workspaces.append(append).await.map_err(|error| match error {
            workspace::Error::Overloaded | workspace::Error::DiskFull(_) => NotKept::Busy,
            other => NotKept::Failed(other.to_string()),
        })?;
        for batch in stored.stored {
            // The events are durable: if judging has ended they are judged at the next start.
            let _ = self.judging.send(batch).await;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Intake for Pipeline {
    async fn accept(&self, delivery: Delivery) -> Result<(), NotKept> {
        self.store(&delivery).await
    }

    async fn note_refused(&self, refused: Refused) {
        let sender = match &refused.module_id {
            Some(module) => format!("module '{module}' of device '{}'", refused.device_id),
            None => format!("device '{}'", refused.device_id),
        };
        let detail = format!("a message of {} bytes from {sender} was refused: {}", refused.size_bytes, refused.reason);
        let row = json!({
            "TenantId": self.settings.workspace_id,
            "TimeGenerated": datetime::format(refused.received_ticks),
            "SourceSystem": "Turnstone",
            "OperationStatus": "Failed",
            "OperationCategory": "Security message",
            "Detail": detail,
            "Solution": SOLUTION,
            "Computer": refused.device_id,
            "ResourceId": self.settings.hub_resource_id,
            "OperationKey": refused.reason.field,
            "Type": OPERATION,
        });
        let Value::Object(row) = row else { return };
        let writer = Writer { workspaces: self.workspaces.clone(), settings: self.settings.clone() };
        if let Err(error) = writer.append(OPERATION, &[row], Vec::new()).await {
            tracing::error!(%error, "a refused message was not noted");
        }
    }
}

struct Writer {
    workspaces: Workspaces,
    settings: Arc<Settings>,
}

impl Writer {
    async fn judge(&self, detector: &mut Detector, batch: &RecordBatch) {
        let now = datetime::now();
        match detector.judge(batch, now).await {
            Ok(findings) => self.write(detector, &findings, now).await,
            Err(error) => tracing::error!(%error, "events could not be judged"),
        }
    }

    /// Stores what was found; tries again until it is stored, since nobody else would.
    async fn write(&self, detector: &Detector, findings: &Findings, now_ticks: i64) {
        let alerts: Vec<Map<String, Value>> =
            findings.alerts.iter().map(|a| a.row(&self.settings, now_ticks)).collect();
        let ids: Vec<EventId> = findings.alerts.iter().map(|a| EventId::new("alert", &a.id().to_string())).collect();
        let changes: Vec<Map<String, Value>> =
            findings.changes.iter().map(|c| detector.recommendation_row(c, &self.settings)).collect();
        for (table, rows, ids) in [(ALERTS, alerts, ids), (RECOMMENDATIONS, changes, Vec::new())] {
            if rows.is_empty() {
                continue;
            }
            while let Err(error) = self.append(table, &rows, ids.clone()).await {
                tracing::error!(%error, table, "findings were not stored; trying again");
                if matches!(error, Error::Workspace(workspace::Error::Stopped(_))) {
                    return;
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }

    async fn append(&self, table: &str, objects: &[Map<String, Value>], ids: Vec<EventId>) -> Result<(), Error> {
        let append = Append {
            database: self.settings.database.clone(),
            tables: vec![(table.to_owned(), rows(table, objects)?)],
            ids: if ids.is_empty() { Vec::new() } else { vec![ids] },
        };
        self.workspaces.append(append).await?;
        Ok(())
    }
}

/// Reads back what earlier runs found, so that it is not found anew.
async fn restore(
    detector: &mut Detector,
    workspaces: &Workspaces,
    session: &Session,
    database: &str,
) -> Result<(), Error> {
    let catalog = workspaces.catalog();
    let text = "SecurityAlert | where TimeGenerated > ago(1d) | project VendorOriginalId, EndTime";
    for rows in session.query(catalog.as_ref(), database, text).await? {
        for batch in rows.collect().await?.batches {
            let (origins, ends) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                if let Some((rule, key)) = origins.value(row).split_once('/').filter(|_| ends.is_valid(row)) {
                    detector.remember_alert(rule, key, ends.value(row));
                }
            }
        }
    }
    let text = "SecurityRecommendation
        | summarize arg_max(TimeGenerated, RecommendationState, RecommendationAdditionalData, DiscoveredTimeUTC)
            by RecommendationName, DeviceId
        | project RecommendationName, DeviceId, RecommendationState, tostring(RecommendationAdditionalData),
            DiscoveredTimeUTC, TimeGenerated";
    for rows in session.query(catalog.as_ref(), database, text).await? {
        for batch in rows.collect().await?.batches {
            let text = |i: usize, row: usize| batch.column(i).as_string_view().value(row);
            let time = |i: usize, row: usize| batch.column(i).as_primitive::<Int64Type>().value(row);
            for row in 0..batch.num_rows() {
                let standing = Standing {
                    is_active: text(2, row) == "Active",
                    details: text(3, row).to_owned(),
                    discovered_ticks: time(4, row),
                    written_ticks: time(5, row),
                };
                detector.remember_recommendation(text(0, row), text(1, row), &standing);
            }
        }
    }
    Ok(())
}

/// The raw events that came lately, in the order of their coming.
async fn recent_events(workspaces: &Workspaces, session: &Session, database: &str) -> Result<Vec<RecordBatch>, Error> {
    let since = datetime::format(datetime::now() - REPLAY_TICKS);
    let mut batches = Vec::new();
    for (database, table) in [(database, RAW_EVENTS), (INTERNAL_DATABASE, WINDOW_TABLE)] {
        let text = format!("{table} | where TimeGenerated >= datetime({since}) | sort by TimeGenerated asc");
        for rows in session.query(workspaces.catalog().as_ref(), database, &text).await? {
            batches.extend(rows.collect().await?.batches);
        }
    }
    Ok(batches)
}
