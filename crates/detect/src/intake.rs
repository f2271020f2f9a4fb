//! The pipeline behind the hub's front doors: store the event, then judge it.
//!
//! An event is durable before its sender is answered. When the owner keeps raw events it goes to the raw-event table;
//! when not, to a private table of the same shape that holds a bounded time, so that detection works the same and
//! events that were accepted just before a crash are still judged at the next start. What is judged twice gives the
//! same alert with the same id, which the workspace stores once.

use crate::alerts::Alert;
use crate::detector::{Detector, Findings};
use crate::events::raw_rows;
use crate::mask::{mask, masked_text};
use crate::recommendations::Standing;
use crate::tables::{ALERTS, OPERATION, RAW_EVENTS, RECOMMENDATIONS, SCHEMAS, SOLUTION, columns, columns_in, rows};
use crate::{Destination, Error, Settings};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use engine::catalog::TablesOf;
use engine::{Column, Session};
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use kql::{Type, datetime};
use messages::intake::{Delivery, Intake, NotKept, Refused};
use parking_lot::RwLock;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use workspace::{Append, EventId, Note, TableSchema, Workspaces};

/// The database of the program's own tables.
pub const INTERNAL_DATABASE: &str = "turnstone-internal";
/// Events that are kept for detection alone.
pub const WINDOW_TABLE: &str = "DetectionWindow";
/// How long they are kept.
const WINDOW_TICKS: i64 = TICKS_PER_DAY;
/// At a start, events that came so long ago at most are judged again.
const REPLAY_TICKS: i64 = TICKS_PER_HOUR;
/// Batches that wait to be judged; more make senders wait.
const QUEUE_BATCHES_MAX: usize = 1024;
/// Batches judged together.
const GROUP_BATCHES_MAX: usize = 64;
/// What an alert is known by among its rows.
const ALERT_ID: &str = "SystemAlertId";
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Findings that a workspace beside the main one does not take so often are given up there.
const ATTEMPTS_ELSEWHERE_MAX: u32 = 10;
const CLEANING_INTERVAL: Duration = Duration::from_secs(600);

/// What takes the messages of one hub.
pub struct Pipeline {
    workspaces: Workspaces,
    settings: RwLock<Arc<Settings>>,
    judging: mpsc::Sender<Work>,
    is_over_quota: AtomicBool,
    is_passing_over: AtomicBool,
}

/// What raw events are stored for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// To be judged, and to be kept where the owner keeps them.
    Judged,
    /// To be kept.
    Kept,
}

/// What is done one after the other.
enum Work {
    Events(RecordBatch),
    Settings(Arc<Settings>),
}

/// Makes the tables of a security workspace, where they are not there yet. A column that the owner has given another type
/// keeps it.
pub async fn create_tables(workspaces: &Workspaces, database: &str) -> Result<(), Error> {
    workspaces.create_database(database).await?;
    for schema in SCHEMAS.iter() {
        let columns = columns_in(workspaces, database, &schema.name);
        for (kept, own) in columns.iter().zip(&schema.columns).filter(|(kept, own)| kept != own) {
            let (table, column) = (&schema.name, &own.name);
            let (of, wanted) = (kept.column_type.name(), own.column_type.name());
            tracing::warn!(
                database,
                table,
                column,
                "a column of type {of}, not {wanted}: what is found is stored as {of}"
            );
        }
        workspaces.create_merge_table(database, &TableSchema { name: schema.name.clone(), columns }).await?;
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
        alerts: broadcast::Sender<Value>,
    ) -> Result<Pipeline, Error> {
        create_tables(&workspaces, &settings.main.database).await?;
        // A workspace whose tables the owner has changed must not keep the hub from being watched.
        if let Err(error) = restore(&mut detector, &workspaces, &session, &settings).await {
            tracing::error!(%error, hub = settings.hub, "what earlier runs found cannot be read; it may be found again");
        }
        let unfinished = match recent_events(&workspaces, &session, &settings).await {
            Ok(unfinished) => unfinished,
            Err(error) => {
                tracing::error!(%error, hub = settings.hub, "events that came lately cannot be read; they are not judged again");
                Vec::new()
            }
        };
        let ended = detector.switch_off(&settings, datetime::now());
        let settings = Arc::new(settings);
        let (judging, mut waiting) = mpsc::channel::<Work>(QUEUE_BATCHES_MAX);
        let mut writer = Writer { workspaces: workspaces.clone(), settings: settings.clone(), alerts: Some(alerts) };
        tokio::spawn(async move {
            writer.write(&detector, &Findings { alerts: Vec::new(), changes: ended }).await;
            // Of a hub that is not watched any more, nothing is.
            for batch in unfinished.iter().filter(|_| writer.settings.is_enabled) {
                writer.judge(&mut detector, batch).await;
            }
            let mut group = Vec::new();
            while waiting.recv_many(&mut group, GROUP_BATCHES_MAX).await > 0 {
                let mut events = Vec::new();
                for work in group.drain(..) {
                    match work {
                        Work::Events(batch) => events.push(batch),
                        Work::Settings(changed) => {
                            writer.judge_all(&mut detector, &mut events).await;
                            writer.change(&mut detector, changed).await;
                        }
                    }
                }
                writer.judge_all(&mut detector, &mut events).await;
            }
        });
        Ok(Pipeline {
            workspaces,
            settings: RwLock::new(settings),
            judging,
            is_over_quota: AtomicBool::new(false),
            is_passing_over: AtomicBool::new(false),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().clone()
    }

    /// Goes on with other settings. They are in force for every message that comes from now on.
    pub async fn change(&self, settings: Settings) -> Result<(), Error> {
        for destination in settings.of_alerts().chain(settings.others_of_raw_events()) {
            create_tables(&self.workspaces, &destination.database).await?;
        }
        let settings = Arc::new(settings);
        *self.settings.write() = settings.clone();
        // When judging has ended, the program ends.
        let _ = self.judging.send(Work::Settings(settings)).await;
        Ok(())
    }

    /// Whether the hub is switched on. When it is not, that messages are passed over is noted once.
    async fn is_enabled(&self, settings: &Settings) -> bool {
        let is_off = !settings.is_enabled;
        if self.is_passing_over.swap(is_off, Ordering::Relaxed) != is_off {
            let hub = &settings.hub;
            let (status, detail) = match is_off {
                true => (
                    "Warning",
                    format!(
                        "messages to the hub '{hub}' are passed over from now on: no solution that is enabled watches it"
                    ),
                ),
                false => ("Succeeded", format!("messages to the hub '{hub}' are looked at again")),
            };
            self.workspaces
                .note(&settings.main.database, &[Note { status, category: "Security message", detail }])
                .await;
        }
        settings.is_enabled
    }

    /// Whether the database takes raw events on this day. Beyond its quota they are judged all the same, and when that
    /// begins and ends is noted.
    async fn is_within_quota(&self, database: &str) -> bool {
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

    async fn store(&self, mut delivery: Delivery) -> Result<(), NotKept> {
        let settings = self.settings();
        if !self.is_enabled(&settings).await {
            return Ok(());
        }
        if settings.masks_addresses {
            for item in delivery.message.events.iter_mut().flat_map(|event| &mut event.payload) {
                let mut value = Value::Object(std::mem::take(item));
                mask(&mut value);
                if let Value::Object(masked) = value {
                    *item = masked;
                }
            }
        }
        let main = &settings.main;
        let is_kept = settings.stores_raw_events && self.is_within_quota(&main.database).await;
        // Events are judged as they are stored, which needs the types that rules know.
        let is_judged_there =
            is_kept && columns_in(&self.workspaces, &main.database, RAW_EVENTS) == columns(RAW_EVENTS);
        let window;
        let (place, table) = match is_judged_there {
            true => (main, RAW_EVENTS),
            false => {
                window = Destination { database: INTERNAL_DATABASE.to_owned(), ..main.clone() };
                (&window, WINDOW_TABLE)
            }
        };
        for batch in self.append_raw(&delivery, &settings, place, table, Use::Judged).await? {
            // The events are durable: if judging has ended they are judged at the next start.
            let _ = self.judging.send(Work::Events(batch)).await;
        }
        if is_kept && !is_judged_there {
            self.append_raw(&delivery, &settings, main, RAW_EVENTS, Use::Kept).await?;
        }
        for other in settings.others_of_raw_events() {
            self.append_raw(&delivery, &settings, other, RAW_EVENTS, Use::Kept).await?;
        }
        Ok(())
    }

    /// The rows that were not there yet.
    async fn append_raw(
        &self,
        delivery: &Delivery,
        settings: &Settings,
        place: &Destination,
        table: &str,
        wanted: Use,
    ) -> Result<Vec<RecordBatch>, NotKept> {
        let failed = |error: Error| NotKept::Failed(error.to_string());
        let database = &place.database;
        let columns = match wanted {
            Use::Judged => columns(RAW_EVENTS).to_vec(),
            Use::Kept => columns_in(&self.workspaces, database, table),
        };
        let (batch, mut ids) = raw_rows(delivery, settings, &place.workspace_id, &columns).map_err(failed)?;
        if wanted == Use::Kept {
            // Each workspace has had an event or has not, whether or not it has been judged.
            ids = ids.iter().map(|id| id.of(database)).collect();
        }
        let append = Append { database: database.clone(), tables: vec![(table.to_owned(), batch)], ids: vec![ids] };
        let stored = self.workspaces.append(append).await.map_err(|error| match error {
            workspace::Error::Overloaded | workspace::Error::DiskFull(_) => NotKept::Busy,
            other => NotKept::Failed(other.to_string()),
        })?;
        Ok(stored.stored)
    }
}

#[async_trait::async_trait]
impl Intake for Pipeline {
    async fn accept(&self, delivery: Delivery) -> Result<(), NotKept> {
        self.store(delivery).await
    }

    async fn note_refused(&self, refused: Refused) {
        let sender = match &refused.module_id {
            Some(module) => format!("module '{module}' of device '{}'", refused.device_id),
            None => format!("device '{}'", refused.device_id),
        };
        let settings = self.settings();
        if !settings.is_enabled {
            return;
        }
        let mut detail =
            format!("a message of {} bytes from {sender} was refused: {}", refused.size_bytes, refused.reason);
        if settings.masks_addresses {
            detail = masked_text(&detail).unwrap_or(detail);
        }
        let row = json!({
            "TenantId": settings.main.workspace_id,
            "TimeGenerated": datetime::format(refused.received_ticks),
            "SourceSystem": "Turnstone",
            "OperationStatus": "Failed",
            "OperationCategory": "Security message",
            "Detail": detail,
            "Solution": SOLUTION,
            "Computer": refused.device_id,
            "ResourceId": settings.hub_resource_id,
            "OperationKey": refused.reason.field,
            "Type": OPERATION,
        });
        let Value::Object(row) = row else { return };
        let writer = Writer { workspaces: self.workspaces.clone(), settings: settings.clone(), alerts: None };
        if let Err(error) = writer.append(&settings.main.database, OPERATION, &[row], Vec::new()).await {
            tracing::error!(%error, "a refused message was not noted");
        }
    }
}

struct Writer {
    workspaces: Workspaces,
    settings: Arc<Settings>,
    /// Who wants to know of alerts.
    alerts: Option<broadcast::Sender<Value>>,
}

impl Writer {
    async fn judge_all(&self, detector: &mut Detector, events: &mut Vec<RecordBatch>) {
        let Some(first) = events.first() else { return };
        match arrow::compute::concat_batches(&first.schema(), events.iter()) {
            Ok(batch) => self.judge(detector, &batch).await,
            Err(error) => tracing::error!(%error, "events of different shapes cannot be judged together"),
        }
        events.clear();
    }

    async fn judge(&self, detector: &mut Detector, batch: &RecordBatch) {
        let now = datetime::now();
        match detector.judge(batch, now).await {
            Ok(findings) => self.write(detector, &findings).await,
            Err(error) => tracing::error!(%error, "events could not be judged"),
        }
    }

    async fn change(&mut self, detector: &mut Detector, settings: Arc<Settings>) {
        let now = datetime::now();
        let changes = detector.switch_off(&settings, now);
        // What ends is written where it began; a new workspace is told of what is still wrong.
        self.write(detector, &Findings { alerts: Vec::new(), changes }).await;
        let is_another = settings.is_enabled && self.settings.main != settings.main;
        self.settings = settings;
        if is_another {
            let changes = detector.active(now);
            self.write(detector, &Findings { alerts: Vec::new(), changes }).await;
        }
    }

    /// Stores what was found; tries again until it is stored, since nobody else would.
    async fn write(&self, detector: &Detector, findings: &Findings) {
        // What the main workspace has had before is known in the others, or came before these were told of anything.
        let mut new: Vec<&Alert> = findings.alerts.iter().collect();
        for destination in self.settings.of_alerts() {
            let is_main = destination == &self.settings.main;
            let of = if is_main { "alert".to_owned() } else { format!("alert for {}", destination.database) };
            let ids: Vec<EventId> =
                new.iter().map(|alert| EventId::new(&of, &alert.id(&self.settings.hub).to_string())).collect();
            // Their time is that of their storing, so that whoever reads on from a time misses none.
            let rows = || {
                let now = datetime::now();
                new.iter().map(|alert| alert.row(&self.settings, &destination.workspace_id, now)).collect::<Vec<_>>()
            };
            let alerts = self.write_rows(destination, ALERTS, rows, &ids).await;
            if is_main {
                let is_stored = |alert: &&Alert| {
                    let id = alert.id(&self.settings.hub).to_string();
                    alerts.iter().any(|row| row.get(ALERT_ID).and_then(Value::as_str) == Some(&id))
                };
                new.retain(is_stored);
            }
            if is_main && let Some(told) = &self.alerts {
                // That nobody listens is no failure.
                alerts.into_iter().for_each(|alert| drop(told.send(Value::Object(alert))));
            }
        }
        let rows = || findings.changes.iter().map(|c| detector.recommendation_row(c, &self.settings)).collect();
        self.write_rows(&self.settings.main, RECOMMENDATIONS, rows, &[]).await;
    }

    /// Stores rows and gives those back that were not there yet. The main workspace must get them; another one is given up after some attempts,
    /// and that is noted.
    async fn write_rows(
        &self,
        destination: &Destination,
        table: &str,
        rows: impl Fn() -> Vec<Map<String, Value>>,
        ids: &[EventId],
    ) -> Vec<Map<String, Value>> {
        let database = &destination.database;
        for attempt in 1.. {
            let made = rows();
            if made.is_empty() {
                return made;
            }
            let error = match self.append(database, table, &made, ids.to_vec()).await {
                Ok(new) => {
                    return made.into_iter().zip(new).filter(|(_, is_new)| *is_new).map(|(row, _)| row).collect();
                }
                Err(error) => error,
            };
            tracing::error!(%error, database, table, "findings were not stored; trying again");
            match &error {
                Error::Workspace(workspace::Error::Stopped(_)) => return Vec::new(),
                // Somebody has dropped it.
                Error::Workspace(workspace::Error::NoTable(_) | workspace::Error::NoDatabase(_)) => {
                    if let Err(error) = create_tables(&self.workspaces, database).await {
                        tracing::error!(%error, database, "the tables for findings cannot be made");
                    }
                }
                _ => {}
            }
            if destination != &self.settings.main && attempt >= ATTEMPTS_ELSEWHERE_MAX {
                let detail = format!(
                    "{} rows of {table} could not be stored in the workspace '{database}': {error}",
                    made.len()
                );
                let note = Note { status: "Failed", category: "Additional workspace", detail };
                self.workspaces.note(&self.settings.main.database, &[note]).await;
                return Vec::new();
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
        Vec::new()
    }

    /// Stores rows; of each whether it was not there yet.
    async fn append(
        &self,
        database: &str,
        table: &str,
        objects: &[Map<String, Value>],
        ids: Vec<EventId>,
    ) -> Result<Vec<bool>, Error> {
        let columns = columns_in(&self.workspaces, database, table);
        let tells_rows_apart = columns.iter().any(|c| c.name == ALERT_ID && c.column_type == Type::String);
        if !ids.is_empty() && !tells_rows_apart {
            // Rows that the owner has given an id of another type are told apart by coming alone.
            let mut is_new = Vec::with_capacity(objects.len());
            for (object, id) in objects.iter().zip(ids) {
                let (repeated, _) = self.append_rows(database, table, &columns, from_ref(object), vec![id]).await?;
                is_new.push(repeated == 0);
            }
            return Ok(is_new);
        }
        let (repeated, stored) = self.append_rows(database, table, &columns, objects, ids).await?;
        if repeated == 0 {
            return Ok(vec![true; objects.len()]);
        }
        let texts = stored.iter().filter_map(|batch| batch.column_by_name(ALERT_ID)?.as_string_view_opt());
        let stored: HashSet<&str> = texts.flat_map(|ids| ids.iter().flatten()).collect();
        let is_new =
            |row: &Map<String, Value>| row.get(ALERT_ID).and_then(Value::as_str).is_some_and(|id| stored.contains(id));
        Ok(objects.iter().map(is_new).collect())
    }

    /// Stores rows; how many were there, and the rows that were not.
    async fn append_rows(
        &self,
        database: &str,
        table: &str,
        columns: &[Column],
        objects: &[Map<String, Value>],
        ids: Vec<EventId>,
    ) -> Result<(usize, Vec<RecordBatch>), Error> {
        let append = Append {
            database: database.to_owned(),
            tables: vec![(table.to_owned(), rows(columns, objects)?)],
            ids: if ids.is_empty() { Vec::new() } else { vec![ids] },
        };
        let appended = self.workspaces.append(append).await?;
        Ok((appended.repeated, appended.stored))
    }
}

/// Removes the events of the detection window that nothing asks for any more, for as long as the program runs.
pub(crate) fn clean_window(workspaces: Workspaces) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(CLEANING_INTERVAL).await;
            let oldest = datetime::now() - WINDOW_TICKS;
            if let Err(error) = workspaces.drop_older_than(INTERNAL_DATABASE, WINDOW_TABLE, oldest).await {
                tracing::warn!(%error, "old events of the detection window were not removed");
            }
        }
    });
}

/// A condition that holds for the rows of a hub, whose id stands in `column`.
fn of_hub(column: &str, settings: &Settings) -> String {
    format!("{column} =~ {}", engine::json::quote(&settings.hub_resource_id))
}

/// The rows of a query over the tables of a database, whatever functions were made beside them.
async fn read(
    workspaces: &Workspaces,
    session: &Session,
    database: &str,
    text: &str,
) -> Result<Vec<RecordBatch>, Error> {
    let catalog = TablesOf { inner: workspaces.catalog(), database: database.to_owned() };
    let mut batches = Vec::new();
    for rows in session.query(&catalog, database, text).await? {
        batches.extend(rows.collect().await?.batches);
    }
    Ok(batches)
}

/// Reads back what earlier runs found, so that it is not found anew.
async fn restore(
    detector: &mut Detector,
    workspaces: &Workspaces,
    session: &Session,
    settings: &Settings,
) -> Result<(), Error> {
    let database = &settings.main.database;
    // Types are those that are read below, whatever the owner has made of the columns.
    let text = format!(
        "SecurityAlert | where TimeGenerated > ago(1d) and {} | project tostring(VendorOriginalId), todatetime(EndTime)",
        of_hub("ResourceId", settings)
    );
    for batch in read(workspaces, session, database, &text).await? {
        let (origins, ends) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            if let Some((rule, key)) = origins.value(row).split_once('/').filter(|_| ends.is_valid(row)) {
                detector.remember_alert(rule, key, ends.value(row));
            }
        }
    }
    let text = format!(
        "SecurityRecommendation
        | where {}
        | summarize arg_max(TimeGenerated, RecommendationState, RecommendationAdditionalData, DiscoveredTimeUTC)
            by RecommendationName, DeviceId
        | project tostring(RecommendationName), tostring(DeviceId), tostring(RecommendationState),
            tostring(RecommendationAdditionalData), todatetime(DiscoveredTimeUTC), todatetime(TimeGenerated)",
        of_hub("AssessedResourceId", settings)
    );
    for batch in read(workspaces, session, database, &text).await? {
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
    Ok(())
}

/// The raw events of a hub that came lately, in the order of their coming.
async fn recent_events(
    workspaces: &Workspaces,
    session: &Session,
    settings: &Settings,
) -> Result<Vec<RecordBatch>, Error> {
    let since = datetime::format(datetime::now() - REPLAY_TICKS);
    let is_its = of_hub("AssociatedResourceId", settings);
    let mut batches = Vec::new();
    for (database, table) in [(settings.main.database.as_str(), RAW_EVENTS), (INTERNAL_DATABASE, WINDOW_TABLE)] {
        let text =
            format!("{table} | where TimeGenerated >= datetime({since}) and {is_its} | sort by TimeGenerated asc");
        let fits = |batch: &RecordBatch| {
            let wanted = engine::types::arrow_schema(columns(RAW_EVENTS));
            let types = wanted.fields().iter().map(|field| (field.name(), field.data_type()));
            types.eq(batch.schema_ref().fields().iter().map(|field| (field.name(), field.data_type())))
        };
        let (fitting, others): (Vec<_>, Vec<_>) =
            read(workspaces, session, database, &text).await?.into_iter().partition(|batch| fits(batch));
        if !others.is_empty() {
            tracing::error!(database, table, "the table was changed; what came lately is not judged again");
        }
        batches.extend(fitting);
    }
    Ok(batches)
}
