//! Running the tests that a rule carries.

use crate::alerts::Alert;
use crate::content::{AlertRule, RecommendationRule, RuleTest, SampleEvent, read};
use crate::detector::Detector;
use crate::events::raw_rows;
use crate::tables::{RAW_EVENTS, columns};
use crate::{Destination, Error, Settings};
use arrow::compute::concat_batches;
use engine::{Limits, Session};
use kql::datetime;
use kql::timespan::TICKS_PER_SECOND;
use messages::intake::Delivery;
use messages::{Category, Event, SecurityMessage, schema};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// When the events of a test happen that do not say: 2026-03-02T10:00:00Z.
const DEFAULT_TIME: &str = "2026-03-02T10:00:00Z";

/// How one test of a rule went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub rule: String,
    pub test: String,
    /// What went wrong; `None` when the test passed.
    pub problem: Option<String>,
}

/// Whether the text is a recommendation's (it has `displayName:`) or an alert rule's.
fn is_recommendation(text: &str) -> bool {
    text.lines().any(|l| l.starts_with("displayName:"))
}

/// Runs all tests of the rule in `text`, each from a fresh start.
pub async fn run(file: &str, text: &str) -> Result<Vec<Outcome>, Error> {
    let session = Session::new(Limits { parallelism: 1, ..Limits::default() })?;
    let (name, tests, rules) = if is_recommendation(text) {
        let rule: RecommendationRule = read(file, text)?;
        (rule.name.clone(), rule.tests.clone(), (Vec::new(), vec![rule]))
    } else {
        let rule: AlertRule = read(file, text)?;
        (rule.name.clone(), rule.tests.clone(), (vec![rule], Vec::new()))
    };
    let mut outcomes = Vec::new();
    // A rule without tests must at least be one that can be planned.
    Detector::new(&session, rules.0.clone(), rules.1.clone()).await?;
    for test in tests {
        let mut detector = Detector::new(&session, rules.0.clone(), rules.1.clone()).await?;
        let problem = run_one(&mut detector, &test).await?.err();
        outcomes.push(Outcome { rule: name.clone(), test: test.name, problem });
    }
    Ok(outcomes)
}

async fn run_one(detector: &mut Detector, test: &RuleTest) -> Result<Result<(), String>, Error> {
    let settings = Settings {
        hub: "hub".to_owned(),
        hub_resource_id: "hub".to_owned(),
        subscription_id: String::new(),
        resource_group: "default".to_owned(),
        is_enabled: true,
        main: Destination { database: "default".to_owned(), workspace_id: String::new() },
        others: Vec::new(),
        stores_raw_events: true,
        masks_addresses: false,
        recommendations_off: BTreeSet::new(),
        alert_rules_off: BTreeSet::new(),
    };
    let now = datetime::parse(DEFAULT_TIME).unwrap_or(0);
    let mut clock = now;
    let mut alerts = Vec::new();
    let mut states = Vec::new();
    let mut number = 0;
    for sample in &test.events {
        let start = match &sample.time {
            Some(text) => match datetime::parse(text) {
                Some(ticks) => ticks,
                None => return Ok(Err(format!("'{text}' is no date and time"))),
            },
            None => clock,
        };
        let mut batches = Vec::new();
        for i in 0..sample.times {
            number += 1;
            clock = start + i as i64 * TICKS_PER_SECOND;
            let delivery = match delivery(sample, number, clock, now) {
                Ok(delivery) => delivery,
                Err(problem) => return Ok(Err(problem)),
            };
            batches.push(raw_rows(&delivery, &settings, "", columns(RAW_EVENTS))?.0);
        }
        clock += TICKS_PER_SECOND;
        let Some(first) = batches.first() else { continue };
        let findings = detector.judge(&concat_batches(&first.schema(), &batches)?, now).await?;
        alerts.extend(findings.alerts);
        let state = |active: bool| if active { "Active" } else { "Inactive" };
        states.extend(findings.changes.iter().map(|c| state(c.standing.is_active).to_owned()));
    }
    if let Some(wanted) = &test.alerts
        && let Err(problem) = compare_alerts(wanted, &alerts)
    {
        return Ok(Err(problem));
    }
    Ok(match &test.states {
        Some(wanted) if *wanted != states => Err(format!("wanted the states {wanted:?}, got {states:?}")),
        _ => Ok(()),
    })
}

fn compare_alerts(wanted: &[Map<String, Value>], got: &[Alert]) -> Result<(), String> {
    let shown: Vec<String> = got.iter().map(|a| Value::Object(a.properties.clone()).to_string()).collect();
    if wanted.len() != got.len() {
        return Err(format!("wanted {} alerts, got {}: {}", wanted.len(), got.len(), shown.join(" ")));
    }
    for (wanted, alert) in wanted.iter().zip(got) {
        for (key, value) in wanted {
            if alert.properties.get(key) != Some(value) {
                let found = alert.properties.get(key).map_or("nothing".to_owned(), Value::to_string);
                return Err(format!("wanted '{key}' to be {value}, got {found}"));
            }
        }
    }
    Ok(())
}

fn delivery(sample: &SampleEvent, number: usize, ticks: i64, now_ticks: i64) -> Result<Delivery, String> {
    let time = datetime::format(ticks);
    let payload = match (&sample.item, &sample.items) {
        (Some(item), None) => vec![item.clone()],
        (None, Some(items)) => items.clone(),
        _ => return Err(format!("the event '{}' needs either an item or items", sample.name)),
    };
    let event = Event {
        id: uuid::Uuid::from_u128(number as u128).to_string(),
        timestamp_local: time.clone(),
        timestamp_utc: time,
        category: if sample.items.is_some() { Category::Periodic } else { Category::Triggered },
        name: sample.name.clone(),
        event_type: schema::event_type(&sample.name).unwrap_or(messages::EventType::Security),
        is_empty: payload.is_empty(),
        payload_schema_version: "1.0".to_owned(),
        payload,
    };
    let message = SecurityMessage {
        agent_version: "0.1.0".to_owned(),
        agent_id: uuid::Uuid::nil().to_string(),
        message_schema_version: "1.0".to_owned(),
        events: vec![event],
    };
    // A sample that no device could send proves nothing.
    let text = serde_json::to_vec(&message).map_err(|e| e.to_string())?;
    messages::parse(&text).map_err(|e| format!("the sample event is not valid: {e}"))?;
    Ok(Delivery {
        hub: "hub".to_owned(),
        device_id: sample.device.clone(),
        module_id: None,
        message,
        received_ticks: now_ticks,
    })
}
