//! Telling other systems of alerts: destinations that the owner has set up, and the loop that sends to each.
//!
//! An alert is sent at least once, in the order of their coming, and again until it has arrived; one that the other side
//! refuses for good is passed over after some attempts, and a row of `Operation` says so. How far a destination has come
//! is kept with it, so that a restart goes on from there.

use crate::Services;
use crate::api::{Body, Params, literal, time};
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::SecretText;
use access::role::ADMINISTER;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use outward::{Alert, Destination, Error, Form};
use parking_lot::Mutex;
use resources::ResourceId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
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
/// An alert that was refused so often is passed over.
const REFUSALS_MAX: u32 = 5;
const SEVERITIES: &[&str] = &["High", "Medium", "Low", "Informational"];
/// Alerts that one request for a list gets.
const LISTED_MAX: usize = 10_000;

const ALERTS: &str = "declare query_parameters (begin: datetime, end: datetime, most: long);
SecurityAlert
| where TimeGenerated >= begin and TimeGenerated <= end
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
    let secret = SecretText::random()?;
    let name = uuid::Uuid::new_v4().to_string();
    let kind = Destination::read(&asked.url, form, "").map_or("", |destination| destination.kind());
    let kept = json!({
        "kind": kind,
        "url": asked.url,
        "form": form.name(),
        "severities": severities,
        "isEnabled": asked.is_enabled.unwrap_or(true),
        "secret": secret.reveal(),
        "deliveredUntil": kql::datetime::format(kql::datetime::now()),
    });
    services.directory.resources.put(&id(&services, &name), &kept).await?;
    services.clone().start_sender(&name);
    let mut shown = describe(&services, &name, &kept);
    shown["secret"] = json!(secret.reveal());
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
    let caller = requester.may_below(access::role::READ_SECURITY, &subscription)?.clone();
    let wrong = |problem: String| AzureError::bad_request("InvalidParameter", problem);
    let form = span.form.as_deref().unwrap_or("row");
    let form = Form::named(form).ok_or_else(|| wrong(format!("form: '{form}' is none of row, ocsf, cef")))?;
    let end = time("to", span.to.as_deref(), kql::datetime::now())?;
    let begin = time("from", span.from.as_deref(), end.saturating_sub(kql::timespan::TICKS_PER_DAY))?;
    let alerts = services.alerts_between(begin, end, LISTED_MAX).await?;
    let sees = |alert: &&Alert| {
        alert.get("ResourceId").and_then(Value::as_str).is_some_and(|hub| caller.may(access::role::READ_SECURITY, hub))
    };
    let mut lines: String = alerts.iter().filter(sees).map(|alert| form.line(alert) + "\n").collect();
    lines.shrink_to_fit();
    let content_type = if form == Form::Cef { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    Ok(([(header::CONTENT_TYPE, content_type)], lines).into_response())
}

impl Services {
    /// The alerts of all workspaces that hubs write to, the oldest first.
    async fn alerts_between(&self, begin: i64, end: i64, most: usize) -> Result<Vec<Alert>, AzureError> {
        let (begin, end, most) = (literal(begin), literal(end), most.to_string());
        let parameters = [("begin", begin.as_str()), ("end", &end), ("most", &most)];
        let mut databases: Vec<String> =
            self.hubs.names().iter().map(|hub| self.directory.database_of_hub(hub)).collect();
        databases.sort();
        databases.dedup();
        let mut all: Vec<Alert> = Vec::new();
        for database in databases {
            all.extend(self.ask(&database, ALERTS, &parameters).await?);
        }
        let key = |alert: &Alert| {
            let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("TimeGenerated"), text("SystemAlertId"))
        };
        all.sort_by_key(key);
        Ok(all)
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
        let task = tokio::spawn(async move { services.send_all(&owned).await });
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
        let mut sent: HashSet<String> = HashSet::new();
        loop {
            match self.send_waiting(name, &mut sent).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(destination = name, error = error.message(), "alerts could not be read or noted")
                }
            }
            // Whatever wakes it, all that waits is read from the table.
            let _ = tokio::time::timeout(LOOK_INTERVAL, told.recv()).await;
        }
    }

    /// Sends what waits; whether the destination is still there.
    async fn send_waiting(&self, name: &str, sent: &mut HashSet<String>) -> Result<bool, AzureError> {
        let id = id(self, name);
        let Some(mut kept) =
            self.directory.resources.get(&id).await?.filter(|kept| kept.body["isEnabled"] == json!(true))
        else {
            return Ok(false);
        };
        let text = |name: &str| kept.body[name].as_str().unwrap_or_default().to_owned();
        let form = Form::named(&text("form")).unwrap_or(Form::Row);
        let Ok(destination) = Destination::read(&text("url"), form, &text("secret")) else { return Ok(false) };
        let destination = Arc::new(destination);
        let severities = kept.body["severities"].as_array().cloned().unwrap_or_default();
        let mut until = kql::datetime::parse(&text("deliveredUntil")).unwrap_or_else(kql::datetime::now);
        loop {
            let begin = until.saturating_sub(OVERLAP_TICKS);
            let found = self.alerts_between(begin, i64::MAX / 2, BATCH + sent.len()).await?;
            let id_of =
                |alert: &Alert| alert.get("SystemAlertId").and_then(Value::as_str).unwrap_or_default().to_owned();
            let fresh: Vec<&Alert> = found.iter().filter(|alert| !sent.contains(&id_of(alert))).collect();
            if fresh.is_empty() {
                // What is too old to be found again need not be remembered.
                sent.retain(|id| found.iter().any(|alert| id_of(alert) == *id));
                return Ok(true);
            }
            for alert in fresh {
                let time = alert.get("TimeGenerated").and_then(Value::as_str).and_then(kql::datetime::parse);
                // Those of the overlap that came before the destination was made are none of its business.
                let is_new = time.is_some_and(|time| time >= until || !sent.is_empty());
                let is_wanted = severities.is_empty() || severities.contains(&alert["AlertSeverity"]);
                if is_new && is_wanted {
                    self.send_one(name, &destination, alert).await;
                }
                sent.insert(id_of(alert));
                until = until.max(time.unwrap_or(until));
            }
            kept.body["deliveredUntil"] = json!(kql::datetime::format(until));
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
                let alert = alert.get("SystemAlertId").and_then(Value::as_str).unwrap_or_default();
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
