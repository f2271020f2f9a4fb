//! Making events: ids, times, folding of like ones.

use messages::schema;
use messages::{Category, Event, EventType};
use serde_json::{Map, Value, json};

/// One thing that a collector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    pub name: &'static str,
    /// When it happened, in ticks.
    pub ticks: i64,
    pub item: Map<String, Value>,
    /// What makes it the same happening when it is read again, such as a line of a log; the id follows from it.
    /// `None` for one that cannot be read twice.
    pub identity: Option<String>,
}

impl Happening {
    pub fn new(name: &'static str, ticks: i64, item: Map<String, Value>) -> Happening {
        Happening { name, ticks, item, identity: None }
    }

    pub fn identified(mut self, identity: impl Into<String>) -> Happening {
        self.identity = Some(identity.into());
        self
    }
}

/// A date and time with this machine's offset, for `TimestampLocal`.
fn local(ticks: i64) -> String {
    let micros = kql::datetime::to_unix_micros(ticks);
    chrono::DateTime::from_timestamp_micros(micros)
        .map(|t| t.with_timezone(&chrono::Local).format("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string())
        .unwrap_or_else(|| kql::datetime::format(ticks))
}

fn event(name: &str, ticks: i64, category: Category, id: uuid::Uuid, payload: Vec<Map<String, Value>>) -> Event {
    Event {
        id: id.to_string(),
        timestamp_local: local(ticks),
        timestamp_utc: kql::datetime::format(ticks),
        category,
        name: name.to_owned(),
        event_type: schema::event_type(name).unwrap_or(EventType::Security),
        is_empty: payload.is_empty(),
        payload_schema_version: "1.0".to_owned(),
        payload,
    }
}

/// A snapshot: all that there is now.
pub fn snapshot(name: &'static str, ticks: i64, items: Vec<Map<String, Value>>) -> Event {
    event(name, ticks, Category::Periodic, uuid::Uuid::new_v4(), items)
}

/// The events of happenings, the same ones (but for their times and process ids) folded into one with a hit count.
pub fn fold(happenings: Vec<Happening>) -> Vec<Event> {
    /// Two starts of a program are the same whatever their process ids are.
    const NOT_COMPARED: [&str; 2] = ["ProcessId", "ParentProcessId"];
    let mut groups: Vec<(String, Vec<Happening>)> = Vec::new();
    for happening in happenings {
        let folds = happening.name == "ProcessCreate" && happening.identity.is_none();
        let key = if folds {
            let mut item = happening.item.clone();
            NOT_COMPARED.iter().for_each(|name| {
                item.remove(*name);
            });
            format!("{} {}", happening.name, Value::Object(item))
        } else {
            uuid::Uuid::new_v4().to_string()
        };
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push(happening),
            None => groups.push((key, vec![happening])),
        }
    }
    groups.into_iter().filter_map(|(_, group)| fold_group(group)).collect()
}

fn fold_group(group: Vec<Happening>) -> Option<Event> {
    let first = group.first()?;
    let id = match &first.identity {
        Some(identity) => uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, identity.as_bytes()),
        None => uuid::Uuid::new_v4(),
    };
    if group.len() == 1 {
        return Some(event(first.name, first.ticks, Category::Triggered, id, vec![first.item.clone()]));
    }
    let start = group.iter().map(|h| h.ticks).min()?;
    let end = group.iter().map(|h| h.ticks).max()?;
    let mut item = first.item.clone();
    for name in ["ProcessId", "ParentProcessId"] {
        if item.contains_key(name) {
            item.insert(name.to_owned(), json!(0));
        }
    }
    item.insert(
        "ExtraDetails".to_owned(),
        json!({
            "HitCount": group.len().to_string(),
            "StartTimeUtc": kql::datetime::format(start),
            "EndTimeUtc": kql::datetime::format(end),
            "StartTimeLocal": local(start),
            "EndTimeLocal": local(end),
        }),
    );
    Some(event(first.name, start, Category::Aggregated, id, vec![item]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(pid: i64, command: &str) -> Happening {
        let item = json!({"Executable": "/bin/true", "ProcessId": pid, "ParentProcessId": 1, "UserId": "0", "CommandLine": command});
        Happening::new("ProcessCreate", pid, item.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn folds_the_same_command() {
        let events = fold(vec![start(10, "true"), start(20, "true"), start(30, "false")]);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].category, Category::Aggregated);
        assert_eq!(events[0].payload[0]["ExtraDetails"]["HitCount"], "2");
        assert_eq!(events[0].payload[0]["ProcessId"], 0);
        assert_eq!(events[1].category, Category::Triggered);
    }

    #[test]
    fn what_is_read_again_has_the_same_id() {
        let id = |identity: &str| fold(vec![start(1, "x").identified(identity)])[0].id.clone();
        assert_eq!(id("line 1"), id("line 1"));
        assert_ne!(id("line 1"), id("line 2"));
    }
}
