//! Data collection rules: what streams of records look like, how they are transformed, and into which tables they go.

use crate::ResourceId;
use crate::solution::WORKSPACE_TYPE;
use kql::Type;
use serde_json::{Map, Value};

/// The type of these resources.
pub const TYPE: &str = "Microsoft.Insights/dataCollectionRules";
/// Streams of this prefix are declared in the rule, those of the other are tables that are known.
const CUSTOM: &str = "Custom-";
const MICROSOFT: &str = "Microsoft-";
const NAME_LENGTH_MAX: usize = 260;
const FLOWS_MAX: usize = 100;

/// A rule that has been understood.
#[derive(Debug, Clone)]
pub struct CollectionRule {
    /// What senders name it by.
    pub immutable_id: String,
    pub streams: Vec<Stream>,
    pub flows: Vec<Flow>,
}

/// A stream of records and their members.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    pub name: String,
    pub columns: Vec<(String, Type)>,
}

/// Where the records of some streams go.
#[derive(Debug, Clone)]
pub struct Flow {
    pub streams: Vec<String>,
    pub workspaces: Vec<ResourceId>,
    /// A query over `source`; `None` where the records go as they are.
    pub transform: Option<String>,
    pub table: String,
}

impl CollectionRule {
    /// Reads the member `properties` of a rule. The error says what is wrong with it, and where.
    pub fn read(properties: &Value, immutable_id: &str) -> Result<CollectionRule, String> {
        let properties = properties.as_object().ok_or("properties must be an object")?;
        let declared = member(properties, "streamDeclarations").and_then(Value::as_object);
        let streams = declared.into_iter().flatten().map(|(name, value)| stream(name, value));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        let destinations = destinations(properties)?;
        let flows =
            member(properties, "dataFlows").and_then(Value::as_array).ok_or("properties.dataFlows must be a list")?;
        if flows.is_empty() || flows.len() > FLOWS_MAX {
            return Err(format!("properties.dataFlows must have 1 to {FLOWS_MAX} items"));
        }
        let flow = |(at, value): (usize, &Value)| flow(at, value, &streams, &destinations);
        let flows = flows.iter().enumerate().map(flow).collect::<Result<Vec<_>, _>>()?;
        Ok(CollectionRule { immutable_id: immutable_id.to_owned(), streams, flows })
    }

    /// The flows that take a stream.
    pub fn flows_of<'r>(&'r self, stream: &'r str) -> impl Iterator<Item = &'r Flow> {
        self.flows.iter().filter(move |flow| flow.streams.iter().any(|name| name.eq_ignore_ascii_case(stream)))
    }

    /// A stream that the rule declares.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name.eq_ignore_ascii_case(name))
    }
}

fn member<'m>(object: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn texts(object: &Map<String, Value>, name: &str, at: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{at}.{name} must be a list of texts that is not empty");
    let items = member(object, name).and_then(Value::as_array).filter(|items| !items.is_empty()).ok_or_else(wrong)?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn stream(name: &str, value: &Value) -> Result<Stream, String> {
    let at = format!("properties.streamDeclarations['{name}']");
    if !name.starts_with(CUSTOM) || name.len() > NAME_LENGTH_MAX {
        return Err(format!("{at}: the name of a declared stream begins with '{CUSTOM}'"));
    }
    let columns =
        value.get("columns").and_then(Value::as_array).ok_or_else(|| format!("{at}.columns must be a list"))?;
    let column = |(place, column): (usize, &Value)| {
        let text = |name: &str| column.get(name).and_then(Value::as_str);
        let (Some(name), Some(of)) = (text("name"), text("type")) else {
            return Err(format!("{at}.columns[{place}] must have a name and a type"));
        };
        let known = match of.to_ascii_lowercase().as_str() {
            "boolean" => Some(Type::Bool),
            "string" | "int" | "long" | "real" | "dynamic" | "datetime" => Type::from_name(&of.to_ascii_lowercase()),
            _ => None,
        };
        let known = known.ok_or_else(|| {
            format!("{at}.columns[{place}].type: '{of}' is none of string, int, long, real, boolean, dynamic, datetime")
        })?;
        Ok((name.to_owned(), known))
    };
    let columns = columns.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Err(format!("{at}.columns is empty"));
    }
    Ok(Stream { name: name.to_owned(), columns })
}

/// The destinations' names and their workspaces.
fn destinations(properties: &Map<String, Value>) -> Result<Vec<(String, ResourceId)>, String> {
    let at = "properties.destinations";
    let all = member(properties, "destinations")
        .and_then(Value::as_object)
        .ok_or_else(|| format!("{at} must be an object"))?;
    if let Some((other, _)) = all.iter().find(|(kind, _)| !kind.eq_ignore_ascii_case("logAnalytics")) {
        return Err(format!("{at}.{other} is not supported; logAnalytics is"));
    }
    let workspaces = member(all, "logAnalytics")
        .and_then(Value::as_array)
        .ok_or_else(|| format!("{at}.logAnalytics must be a list"))?;
    let read = |(place, value): (usize, &Value)| {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let (Some(name), Some(id)) = (text("name"), text("workspaceResourceId")) else {
            return Err(format!("{at}.logAnalytics[{place}] must have a name and a workspaceResourceId"));
        };
        let id = ResourceId::parse(id).filter(|id| id.is_of(WORKSPACE_TYPE));
        let id = id.ok_or_else(|| format!("{at}.logAnalytics[{place}].workspaceResourceId is no id of a workspace"))?;
        Ok((name.to_owned(), id))
    };
    workspaces.iter().enumerate().map(read).collect()
}

fn flow(at: usize, value: &Value, declared: &[Stream], destinations: &[(String, ResourceId)]) -> Result<Flow, String> {
    let at = format!("properties.dataFlows[{at}]");
    let object = value.as_object().ok_or_else(|| format!("{at} must be an object"))?;
    let streams = texts(object, "streams", &at)?;
    for name in &streams {
        let is_declared = declared.iter().any(|stream| stream.name.eq_ignore_ascii_case(name));
        if !is_declared && !name.starts_with(MICROSOFT) {
            return Err(format!("{at}.streams: the stream '{name}' is not declared"));
        }
    }
    let mut workspaces = Vec::new();
    for name in texts(object, "destinations", &at)? {
        let found = destinations.iter().find(|(known, _)| *known == name);
        let (_, workspace) =
            found.ok_or_else(|| format!("{at}.destinations: there is no destination named '{name}'"))?;
        workspaces.push(workspace.clone());
    }
    let text = |name: &str| member(object, name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let transform = text("transformKql").filter(|transform| transform.trim() != "source").map(str::to_owned);
    let output = match (text("outputStream"), streams.as_slice()) {
        (Some(output), _) => output,
        (None, [stream]) => stream,
        (None, _) => return Err(format!("{at} has several streams and no outputStream")),
    };
    let table = output.strip_prefix(CUSTOM).or_else(|| output.strip_prefix(MICROSOFT));
    let table = table.filter(|table| !table.is_empty()).ok_or_else(|| {
        format!("{at}.outputStream: '{output}' begins neither with '{CUSTOM}' nor with '{MICROSOFT}'")
    })?;
    let table = table.to_owned();
    Ok(Flow { streams, workspaces, transform, table })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn properties() -> Value {
        json!({
            "streamDeclarations": {"Custom-Raw": {"columns": [{"name": "Time", "type": "datetime"}, {"name": "Ok", "type": "boolean"}]}},
            "destinations": {"logAnalytics": [{
                "name": "here",
                "workspaceResourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/default",
            }]},
            "dataFlows": [{
                "streams": ["Custom-Raw"], "destinations": ["here"], "transformKql": "source | where Ok",
                "outputStream": "Custom-Raw_CL",
            }],
        })
    }

    #[test]
    fn a_rule_is_read() {
        let rule = CollectionRule::read(&properties(), "dcr-1").expect("a rule");
        assert_eq!(rule.stream("custom-raw").expect("declared").columns[1], ("Ok".to_owned(), Type::Bool));
        let flow = rule.flows_of("Custom-Raw").next().expect("a flow");
        assert_eq!((flow.table.as_str(), flow.workspaces[0].name.as_str()), ("Raw_CL", "default"));
        assert_eq!(flow.transform.as_deref(), Some("source | where Ok"));
        assert!(rule.flows_of("Custom-Other").next().is_none());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (pointer, value, wanted) in [
            ("/dataFlows", json!([]), "1 to 100 items"),
            ("/dataFlows/0/streams", json!(["Custom-Other"]), "'Custom-Other' is not declared"),
            ("/dataFlows/0/streams", json!("Custom-Raw"), "dataFlows[0].streams must be a list"),
            ("/dataFlows/0/destinations", json!(["there"]), "no destination named 'there'"),
            ("/dataFlows/0/outputStream", json!("Raw_CL"), "begins neither"),
            ("/destinations/logAnalytics/0/workspaceResourceId", json!("default"), "no id of a workspace"),
            ("/destinations", json!({"eventHubs": []}), "eventHubs is not supported"),
            ("/streamDeclarations/Custom-Raw/columns/0/type", json!("text"), "'text' is none of"),
        ] {
            let mut wrong = properties();
            *wrong.pointer_mut(pointer).expect("a place") = value;
            let error = CollectionRule::read(&wrong, "dcr-1").expect_err(pointer);
            assert!(error.contains(wanted), "{pointer}: {error}");
        }
    }
}
