//! Telling other systems of alerts: destinations that the owner has set up, and the loop that sends to each.
//!
//! An alert is sent at least once, in the order of their coming, and again until it has arrived; one that the other side
//! refuses for good is passed over after some attempts, and a row of `Operation` says so. How far a destination has come
//! is kept with it, so that a restart goes on from there.

use crate::Services;
use crate::api::{Body, Params, Path, literal, time};
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::{ADMINISTER, READ_SECURITY};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use outward::{Alert, Destination, Error, Form};
use parking_lot::Mutex;
use resources::ResourceId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use workspace::Note;

const TYPE: &str = "Turnstone/alertDestinations";
const GROUP: &str = "default";
const DESTINATIONS_MAX: usize = 50;
/// So many alerts are read at once.
const BATCH: usize = 200;
/// What is stored a little later than others of its time is still found.
const OVERLAP_TICKS: i64 = 2 * kql::timespan::TICKS_PER_MINUTE;
/// How often it is looked for alerts that nobody has told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// So many alerts that were sent last are known again after a restart.
const RECENT_MAX: usize = 1000;
/// An alert that was refused so often is passed over.
const REFUSALS_MAX: u32 = 5;
/// Says from when the rest of a list is to be had.
const NEXT_FROM: HeaderName = HeaderName::from_static("x-turnstone-next-from");
const SEVERITIES: &[&str] = &["High", "Medium", "Low", "Informational"];
/// Alerts that one request for a list gets.
const LISTED_MAX: usize = 10_000;

const ALERTS: &str = "declare query_parameters (hubs: dynamic, begin: datetime, end: datetime, most: long);
SecurityAlert
| where TimeGenerated >= begin and TimeGenerated <= end and ResourceId in~ (hubs)
| sort by TimeGenerated asc, SystemAlertId asc
| take most";

/// The loops that send, by destination.
#[derive(Default)]
pub(crate) struct Senders {
    running: Mutex<HashMap<String, AbortHandle>>,
    failures: Mutex<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    url: String,
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    severities: Option<Vec<String>>,
    #[serde(default)]
    is_enabled: Option<bool>,
}

fn id(services: &Services, name: &str) -> ResourceId {
    ResourceId::new(services.directory.subscription_id().trim_start_matches("/subscriptions/"), GROUP, TYPE, name)
}

fn describe(services: &Services, name: &str, body: &Value) -> Value {
    json!({
        "id": name,
        "kind": body["kind"],
        "url": body["url"],
        "form": body["form"],
        "severities": body["severities"],
        "isEnabled": body["isEnabled"],
        // How far it has come in each workspace.
        "deliveredUntil": body["deliveredUntil"],
        "lastFailure": services.bounds.senders.failures.lock().get(name),
    })
}

fn read(asked: &Asked) -> Result<(Form, Vec<String>), AzureError> {
    let wrong = |problem: String| AzureError::bad_request("InvalidParameter", problem);
    let form = asked.form.as_deref().unwrap_or("row");
    let form = Form::named(form).ok_or_else(|| wrong(format!("form: '{form}' is none of row, ocsf, cef")))?;
    let severities = asked.severities.clone().unwrap_or_default();
    if let Some(other) = severities.iter().find(|severity| !SEVERITIES.contains(&severity.as_str())) {
        return Err(wrong(format!("severities: '{other}' is none of {}", SEVERITIES.join(", "))));
    }
    Destination::read(&asked.url, form, "").map_err(|problem| wrong(format!("url: {problem}")))?;
    Ok((form, severities))
}

pub(crate) async fn list(State(services): State<Arc<Services>>, requester: Requester) -> Result<Response, AzureError> {
    requester.may(ADMINISTER, "/")?;
    let all = services.directory.resources.of_type(TYPE).await?;
    let value: Vec<Value> = all.iter().map(|one| describe(&services, &one.id.name, &one.body)).collect();
    Ok(Json(json!({ "value": value })).into_response())
}

/// A new destination, with the secret that its messages are signed with. It is told of alerts from now on.
pub(crate) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
    body: Body,
) -> Result<Response, AzureError> {
    requester.may(ADMINISTER, "/")?;
    let asked: Asked = body.read()?;
    let (form, severities) = read(&asked)?;
    if services.directory.resources.of_type(TYPE).await?.len() >= DESTINATIONS_MAX {
        return Err(AzureError::bad_request("TooMany", format!("there are {DESTINATIONS_MAX} destinations already")));
    }
    let secret = outward::new_secret().ok_or_else(|| AzureError::internal(&"no random numbers to be had"))?;
    let name = uuid::Uuid::new_v4().to_string();
    let kind = Destination::read(&asked.url, form, "").map_or("", |destination| destination.kind());
    let kept = json!({
        "kind": kind,
        "url": asked.url,
        "form": form.name(),
        "severities": severities,
        "isEnabled": asked.is_enabled.unwrap_or(true),
        "secret": secret,
        "since": kql::datetime::format(kql::datetime::now()),
        "deliveredUntil": {},
    });
    services.directory.resources.put(&id(&services, &name), &kept).await?;
    services.clone().start_sender(&name);
    let mut shown = describe(&services, &name, &kept);
    shown["secret"] = json!(secret);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

fn missing(name: &str) -> AzureError {
    AzureError::not_found("ResourceNotFound", format!("there is no destination '{name}'"))
}

pub(crate) async fn show(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
) -> Result<Response, AzureError> {
    requester.may(ADMINISTER, "/")?;
    let found = services.directory.resources.get(&id(&services, &name)).await?.ok_or_else(|| missing(&name))?;
    Ok(Json(describe(&services, &name, &found.body)).into_response())
}

/// Changes a destination; its secret and how far it has come stay.
pub(crate) async fn change(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, AzureError> {
    requester.may(ADMINISTER, "/")?;
    let asked: Asked = body.read()?;
    let (form, severities) = read(&asked)?;
    services.stop_sender(&name);
    let id = id(&services, &name);
    let mut kept = services.directory.resources.get(&id).await?.ok_or_else(|| missing(&name))?.body;
    kept["kind"] = json!(Destination::read(&asked.url, form, "").map_or("", |destination| destination.kind()));
    kept["url"] = json!(asked.url);
    kept["form"] = json!(form.name());
    kept["severities"] = json!(severities);
    kept["isEnabled"] = json!(asked.is_enabled.unwrap_or(true));
    services.directory.resources.put(&id, &kept).await?;
    services.clone().start_sender(&name);
    Ok(Json(describe(&services, &name, &kept)).into_response())
}

pub(crate) async fn delete(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
) -> Result<StatusCode, AzureError> {
    requester.may(ADMINISTER, "/")?;
    services.stop_sender(&name);
    match services.directory.resources.delete(&id(&services, &name)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&name)),
    }
}

#[derive(Deserialize)]
pub(crate) struct Span {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    form: Option<String>,
}

/// `GET /api/v1/alerts`: alerts of a span of time, a line for each.
pub(crate) async fn export(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(span): Params<Span>,
) -> Result<Response, AzureError> {
    let subscription = services.directory.subscription_id();
    let caller = requester.may_below(READ_SECURITY, &subscription)?;
    let wrong = |problem: String| AzureError::bad_request("InvalidParameter", problem);
    let form = span.form.as_deref().unwrap_or("row");
    let form = Form::named(form).ok_or_else(|| wrong(format!("form: '{form}' is none of row, ocsf, cef")))?;
    let end = time("to", span.to.as_deref(), kql::datetime::now())?;
    let begin = time("from", span.from.as_deref(), end.saturating_sub(kql::timespan::TICKS_PER_DAY))?;
    let mut hubs: Vec<String> = services.hubs.names().iter().map(|hub| services.directory.hub_id(hub)).collect();
    hubs.retain(|hub| caller.may(READ_SECURITY, hub));
    let mut alerts: Vec<Alert> = Vec::new();
    for database in services.alert_databases() {
        alerts.extend(services.alerts_of(&database, &hubs, begin, end, LISTED_MAX).await?);
    }
    alerts
        .sort_by_cached_key(|alert| (text(alert, "TimeGenerated").to_owned(), text(alert, "SystemAlertId").to_owned()));
    // Where there are more, the answer says from when to ask on.
    let next = (alerts.len() >= LISTED_MAX)
        .then(|| alerts.get(LISTED_MAX - 1).map(|last| text(last, "TimeGenerated").to_owned()));
    alerts.truncate(LISTED_MAX);
    let mut lines: String = alerts.iter().map(|alert| form.line(alert) + "\n").collect();
    lines.shrink_to_fit();
    let content_type = if form == Form::Cef { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    let mut response = ([(header::CONTENT_TYPE, content_type)], lines).into_response();
    if let Some(next) = next.flatten().and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert(NEXT_FROM, next);
    }
    Ok(response)
}

fn text<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Services {
    /// The databases that hubs write to.
    fn alert_databases(&self) -> Vec<String> {
        let mut databases: Vec<String> =
            self.hubs.names().iter().map(|hub| self.directory.database_of_hub(hub)).collect();
        databases.sort();
        databases.dedup();
        databases
    }

    /// The alerts of some hubs in a workspace, the oldest first.
    async fn alerts_of(
        &self,
        database: &str,
        hubs: &[String],
        begin: i64,
        end: i64,
        most: usize,
    ) -> Result<Vec<Alert>, AzureError> {
        let (begin, end, most) = (literal(begin), literal(end), most.to_string());
        let hubs = format!("dynamic({})", json!(hubs));
        let parameters = [("hubs", hubs.as_str()), ("begin", &begin), ("end", &end), ("most", &most)];
        self.ask(database, ALERTS, &parameters).await
    }

    /// Starts to send to every destination that there is.
    pub async fn start_senders(self: Arc<Self>) -> Result<(), resources::Error> {
        for destination in self.directory.resources.of_type(TYPE).await? {
            self.clone().start_sender(&destination.id.name);
        }
        Ok(())
    }

    fn start_sender(self: Arc<Self>, name: &str) {
        self.stop_sender(name);
        let (services, owned) = (self.clone(), name.to_owned());
        let task = tokio::spawn(async move {
            // A fault must not silence a destination for good.
            while AssertUnwindSafe(services.send_all(&owned)).catch_unwind().await.is_err() {
                tokio::time::sleep(RETRY_MAX).await;
            }
        });
        self.bounds.senders.running.lock().insert(name.to_owned(), task.abort_handle());
    }

    fn stop_sender(&self, name: &str) {
        if let Some(running) = self.bounds.senders.running.lock().remove(name) {
            running.abort();
        }
        self.bounds.senders.failures.lock().remove(name);
    }

    /// Sends to a destination what comes, for as long as it is there and switched on.
    async fn send_all(&self, name: &str) {
        let mut told = self.fleet.alerts();
        // What was sent of the overlap of each database.
        let mut sent: HashMap<String, HashSet<String>> = HashMap::new();
        loop {
            let mut is_there = true;
            for database in self.alert_databases() {
                match self.send_waiting(name, &database, sent.entry(database.clone()).or_default()).await {
                    Ok(found) => is_there &= found,
                    Err(error) => {
                        tracing::warn!(destination = name, database, error = error.message(), "alerts cannot be read");
                        let failure = format!("the alerts of '{database}' cannot be read: {}", error.message());
                        self.bounds.senders.failures.lock().insert(name.to_owned(), failure);
                    }
                }
            }
            if !is_there {
                return;
            }
            // Whatever wakes it, all that waits is read from the tables.
            let _ = tokio::time::timeout(LOOK_INTERVAL, told.recv()).await;
        }
    }

    /// Sends what waits in a database; whether the destination is still there.
    ///
    /// Alerts are found by their time, which is that of their storing; those of the last minutes are looked at again, since
    /// one can become visible a little after another of a later time.
    async fn send_waiting(&self, name: &str, database: &str, sent: &mut HashSet<String>) -> Result<bool, AzureError> {
        let id = id(self, name);
        loop {
            let kept = self.directory.resources.get(&id).await?;
            let Some(mut kept) = kept.filter(|kept| kept.body["isEnabled"] == json!(true)) else { return Ok(false) };
            let member = |name: &str| kept.body[name].as_str().unwrap_or_default().to_owned();
            let form = Form::named(&member("form")).unwrap_or(Form::Row);
            let Ok(destination) = Destination::read(&member("url"), form, &member("secret")) else { return Ok(false) };
            let destination = Arc::new(destination);
            let severities = kept.body["severities"].as_array().cloned().unwrap_or_default();
            let now = kql::datetime::now();
            let since = kql::datetime::parse(&member("since")).unwrap_or(now);
            let reached =
                kept.body["deliveredUntil"][database].as_str().and_then(kql::datetime::parse).unwrap_or(since);
            // A clock that was ahead must not hide what comes once it is right.
            let since = if since > now { now - OVERLAP_TICKS } else { since };
            let reached = reached.min(now);
            let begin = reached.saturating_sub(OVERLAP_TICKS).max(since);
            if sent.is_empty() {
                let recent = kept.body["recent"][database].as_array().into_iter().flatten();
                sent.extend(recent.filter_map(Value::as_str).map(str::to_owned));
            }
            let hubs: Vec<String> = self.hubs.names().iter().map(|hub| self.directory.hub_id(hub)).collect();
            // What claims to come from the future waits until it does.
            let found = self.alerts_of(database, &hubs, begin, now, BATCH + sent.len()).await?;
            let fresh: Vec<&Alert> =
                found.iter().filter(|alert| !sent.contains(text(alert, "SystemAlertId"))).collect();
            if fresh.is_empty() {
                // What is too old to be found again need not be remembered.
                sent.retain(|id| found.iter().any(|alert| text(alert, "SystemAlertId") == *id));
                return Ok(true);
            }
            let mut until = reached;
            for alert in fresh {
                let severity = text(alert, "AlertSeverity");
                if severities.is_empty() || severities.iter().any(|wanted| wanted == severity) {
                    self.send_one(name, &destination, alert).await;
                }
                sent.insert(text(alert, "SystemAlertId").to_owned());
                until = until.max(kql::datetime::parse(text(alert, "TimeGenerated")).unwrap_or(until));
            }
            for member in ["deliveredUntil", "recent"] {
                if !kept.body[member].is_object() {
                    kept.body[member] = json!({});
                }
            }
            kept.body["deliveredUntil"][database] = json!(kql::datetime::format(until));
            let recent = found.iter().rev().map(|alert| text(alert, "SystemAlertId")).take(RECENT_MAX);
            kept.body["recent"][database] = recent.collect();
            self.directory.resources.put(&id, &kept.body).await?;
        }
    }

    /// Sends an alert until it has arrived, or has been refused too often.
    async fn send_one(&self, name: &str, destination: &Arc<Destination>, alert: &Alert) {
        let (mut wait, mut refusals) = (RETRY_MIN, 0);
        loop {
            let (sending, row) = (destination.clone(), alert.clone());
            let outcome = tokio::task::spawn_blocking(move || sending.send(&row)).await;
            let outcome = outcome.unwrap_or_else(|e| Err(Error::Failed(e.to_string())));
            let Err(error) = outcome else {
                self.bounds.senders.failures.lock().remove(name);
                self.metrics.alert_sent(true);
                return;
            };
            self.metrics.alert_sent(false);
            self.bounds.senders.failures.lock().insert(name.to_owned(), error.to_string());
            refusals += u32::from(matches!(error, Error::Refused(_)));
            if refusals >= REFUSALS_MAX {
                let alert = text(alert, "SystemAlertId");
                let detail = format!(
                    "the alert '{alert}' was refused by the destination '{name}' {refusals} times and is passed over: {error}"
                );
                let note = Note { status: "Failed", category: "Alert destination", detail };
                self.workspaces.note(&self.default_database, &[note]).await;
                return;
            }
            tracing::warn!(destination = name, %error, "an alert did not arrive; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }
}
