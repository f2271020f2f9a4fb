//! Security solutions: which hubs are watched, where their data goes, and what of it.
//!
//! Source of the members: defender.md, 8.1. A setting whose source does not exist here is refused by name.

use crate::ResourceId;
use serde_json::{Map, Value, json};

/// The type of these resources.
pub const TYPE: &str = "Microsoft.Security/iotSecuritySolutions";
pub const HUB_TYPE: &str = "Microsoft.Devices/IotHubs";
pub const WORKSPACE_TYPE: &str = "Microsoft.OperationalInsights/workspaces";
const HUBS_MAX: usize = 100;
const OTHERS_MAX: usize = 10;
/// What the query of user-defined resources begins with.
const RESOURCES_QUERY: &str = "where type != \"microsoft.devices/iothubs\"";

/// Every recommendation of the original and how it is shown.
pub const RECOMMENDATIONS: &[(&str, &str)] = &[
    ("IoT_ACRAuthentication", "Service Principal Not Used with ACR"),
    ("IoT_AgentSendsUnutilizedMessages", "Agent sending underutilized messages"),
    ("IoT_Baseline", "Operating system (OS) baseline validation failure"),
    ("IoT_EdgeHubMemOptimize", "Edge Hub memory can be optimized"),
    ("IoT_EdgeLoggingOptions", "No Logging Configured for Edge Module"),
    ("IoT_InconsistentModuleSettings", "Module Settings Inconsistent in SecurityGroup"),
    ("IoT_InstallAgent", "Install the Azure Security of Things Agent"),
    ("IoT_IPFilter_DenyAll", "Default IP Filter Policy should be Deny"),
    ("IoT_IPFilter_PermissiveRule", "IP Filter rule includes large IP range"),
    ("IoT_OpenPorts", "Open Ports On Device"),
    ("IoT_PermissiveFirewallPolicy", "Permissive firewall policy in one of the chains was found"),
    ("IoT_PermissiveInputFirewallRules", "Permissive firewall rule in the input chain was found"),
    ("IoT_PermissiveOutputFirewallRules", "Permissive firewall rule in the output chain was found"),
    ("IoT_PrivilegedDockerOptions", "High level permissions configured in Edge model twin for Edge module"),
    ("IoT_SharedCredentials", "Same Authentication Credentials used by multiple devices"),
    ("IoT_VulnerableTLSCipherSuite", "TLS cipher suite upgrade"),
];

/// A solution that has been understood.
#[derive(Debug, Clone)]
pub struct Solution {
    pub display_name: String,
    pub is_enabled: bool,
    /// `None` where the data goes to the first workspace.
    pub workspace: Option<ResourceId>,
    pub hubs: Vec<ResourceId>,
    pub stores_raw_events: bool,
    pub masks_addresses: bool,
    /// Names of recommendations that are switched off.
    pub recommendations_off: Vec<String>,
    pub others: Vec<OtherWorkspace>,
}

/// A workspace that gets a part.
#[derive(Debug, Clone)]
pub struct OtherWorkspace {
    pub workspace: ResourceId,
    pub gets_alerts: bool,
    pub gets_raw_events: bool,
}

impl Solution {
    /// Reads the member `properties`. `known` are the recommendations of our own rules, beside those of the original. The
    /// error says what is wrong, and where.
    pub fn read(properties: &Value, known: &[String]) -> Result<Solution, String> {
        let properties = properties.as_object().ok_or("properties must be an object")?;
        let display_name = text(properties, "displayName")?.ok_or("properties.displayName is needed")?;
        let hubs = list(properties, "iotHubs")?.ok_or("properties.iotHubs is needed")?;
        if hubs.len() > HUBS_MAX {
            return Err(format!("properties.iotHubs has more than {HUBS_MAX} hubs"));
        }
        let hubs = hubs.iter().enumerate().map(|(at, hub)| id(hub, HUB_TYPE, &format!("iotHubs[{at}]")));
        let hubs = hubs.collect::<Result<Vec<_>, _>>()?;
        let workspace = match member(properties, "workspace") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => Some(id(value, WORKSPACE_TYPE, "workspace")?),
        };
        let export = words(properties, "export", &["RawEvents"])?;
        if let Some(other) = words(properties, "disabledDataSources", &["TwinData"])?.first() {
            return Err(format!(
                "properties.disabledDataSources: '{other}' is not supported: there is no such source here"
            ));
        }
        check_user_defined(member(properties, "userDefinedResources"))?;
        let others = list(properties, "additionalWorkspaces")?.map(Vec::as_slice).unwrap_or_default();
        if others.len() > OTHERS_MAX {
            return Err(format!("properties.additionalWorkspaces has more than {OTHERS_MAX} workspaces"));
        }
        Ok(Solution {
            display_name: display_name.to_owned(),
            is_enabled: switch(properties, "status", true)?,
            workspace,
            hubs,
            stores_raw_events: !export.is_empty(),
            masks_addresses: !switch(properties, "unmaskedIpLoggingStatus", false)?,
            recommendations_off: recommendations_off(properties, known)?,
            others: others
                .iter()
                .enumerate()
                .map(|(at, other)| other_workspace(at, other))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The member `properties` as it is shown: what was not said, as it is in force.
pub fn shown(properties: &Value, known: &[(String, String)]) -> Value {
    let mut shown = properties.clone();
    let empty = Map::new();
    let given = properties.as_object().unwrap_or(&empty);
    let default = |name: &str, value: Value, shown: &mut Value| {
        if member(given, name).is_none_or(Value::is_null) {
            shown[name] = value;
        }
    };
    default("status", json!("Enabled"), &mut shown);
    default("unmaskedIpLoggingStatus", json!("Disabled"), &mut shown);
    default("export", json!([]), &mut shown);
    default("disabledDataSources", json!([]), &mut shown);
    default("additionalWorkspaces", json!([]), &mut shown);
    let off: Vec<String> =
        recommendations_off(given, &known.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()).unwrap_or_default();
    let originals = RECOMMENDATIONS.iter().map(|(name, title)| (*name, *title));
    let ours = known.iter().map(|(name, title)| (name.as_str(), title.as_str()));
    let new = ours.filter(|(name, _)| !RECOMMENDATIONS.iter().any(|(known, _)| known == name));
    let all = originals.chain(new).map(|(name, title)| {
        let status = if off.iter().any(|off| off == name) { "Disabled" } else { "Enabled" };
        json!({ "recommendationType": name, "name": title, "status": status })
    });
    shown["recommendationsConfiguration"] = Value::Array(all.collect());
    shown
}

/// Says in the member `properties` whether a recommendation is wanted.
pub fn set_recommendation(properties: &mut Value, name: &str, is_enabled: bool) {
    let status = json!(if is_enabled { "Enabled" } else { "Disabled" });
    let Some(properties) = properties.as_object_mut() else { return };
    let key = properties.keys().find(|known| known.eq_ignore_ascii_case("recommendationsConfiguration")).cloned();
    let all = properties.entry(key.unwrap_or_else(|| "recommendationsConfiguration".to_owned())).or_insert(Value::Null);
    if !all.is_array() {
        *all = json!([]);
    }
    let is_it = |item: &&mut Value| {
        let given = item.as_object().and_then(|item| member(item, "recommendationType")).and_then(Value::as_str);
        given.is_some_and(|given| given.eq_ignore_ascii_case(name))
    };
    let mut is_there = false;
    for item in all.as_array_mut().into_iter().flatten().filter(is_it) {
        let key = item.as_object().and_then(|item| item.keys().find(|key| key.eq_ignore_ascii_case("status")));
        let key = key.cloned().unwrap_or_else(|| "status".to_owned());
        item[key] = status.clone();
        is_there = true;
    }
    if !is_there {
        let item = json!({ "recommendationType": name, "status": status });
        all.as_array_mut().into_iter().for_each(|all| all.push(item.clone()));
    }
}

fn member<'m>(object: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text<'m>(object: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, String> {
    match member(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("properties.{name} must be a text")),
    }
}

fn list<'m>(object: &'m Map<String, Value>, name: &str) -> Result<Option<&'m Vec<Value>>, String> {
    match member(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_array().map(Some).ok_or_else(|| format!("properties.{name} must be a list")),
    }
}

/// A list of words that are known.
fn words(object: &Map<String, Value>, name: &str, known: &[&'static str]) -> Result<Vec<&'static str>, String> {
    let items = list(object, name)?.map(Vec::as_slice).unwrap_or_default();
    let word = |(at, item): (usize, &Value)| {
        let found = known.iter().find(|word| item.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word)));
        found.copied().ok_or_else(|| format!("properties.{name}[{at}]: {item} is none of {}", known.join(", ")))
    };
    items.iter().enumerate().map(word).collect()
}

/// `Enabled` or `Disabled`.
fn switch(object: &Map<String, Value>, name: &str, default: bool) -> Result<bool, String> {
    match text(object, name)? {
        None => Ok(default),
        Some(word) if word.eq_ignore_ascii_case("Enabled") => Ok(true),
        Some(word) if word.eq_ignore_ascii_case("Disabled") => Ok(false),
        Some(other) => Err(format!("properties.{name}: '{other}' is neither Enabled nor Disabled")),
    }
}

fn id(value: &Value, of: &str, at: &str) -> Result<ResourceId, String> {
    let found = value.as_str().and_then(ResourceId::parse).filter(|id| id.is_of(of));
    found.ok_or_else(|| format!("properties.{at}: {value} is no id of a resource of the type {of}"))
}

fn recommendations_off(object: &Map<String, Value>, known: &[String]) -> Result<Vec<String>, String> {
    let items = list(object, "recommendationsConfiguration")?.map(Vec::as_slice).unwrap_or_default();
    let mut off = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let at = format!("recommendationsConfiguration[{at}]");
        let wrong = || format!("properties.{at} must have a recommendationType and a status");
        let item = item.as_object().ok_or_else(wrong)?;
        let name = member(item, "recommendationType").and_then(Value::as_str).ok_or_else(wrong)?;
        let originals = RECOMMENDATIONS.iter().map(|(name, _)| *name);
        let found = originals.chain(known.iter().map(String::as_str)).find(|known| known.eq_ignore_ascii_case(name));
        let name = found.ok_or_else(|| format!("properties.{at}: there is no recommendation '{name}'"))?;
        if !switch(item, "status", true).map_err(|_| wrong())? {
            off.push(name.to_owned());
        }
    }
    Ok(off)
}

fn check_user_defined(value: Option<&Value>) -> Result<(), String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(()) };
    let query = value.get("query").and_then(Value::as_str).ok_or("properties.userDefinedResources.query is needed")?;
    if !query.trim_start().to_lowercase().starts_with(RESOURCES_QUERY) {
        return Err(format!("properties.userDefinedResources.query must begin with {RESOURCES_QUERY}"));
    }
    let subscriptions = value.get("querySubscriptions").and_then(Value::as_array);
    match subscriptions.is_some_and(|all| all.iter().all(Value::is_string)) {
        true => Ok(()),
        false => Err("properties.userDefinedResources.querySubscriptions must be a list of texts".to_owned()),
    }
}

fn other_workspace(at: usize, value: &Value) -> Result<OtherWorkspace, String> {
    let place = format!("additionalWorkspaces[{at}]");
    let object = value.as_object().ok_or_else(|| format!("properties.{place} must be an object"))?;
    let of = member(object, "type").and_then(Value::as_str).unwrap_or("Sentinel");
    if !of.eq_ignore_ascii_case("Sentinel") {
        return Err(format!("properties.{place}.type: '{of}' is not supported; Sentinel is"));
    }
    let types = words(object, "dataTypes", &["Alerts", "RawEvents"])
        .map_err(|e| e.replace("properties.", &format!("properties.{place}.")))?;
    Ok(OtherWorkspace {
        workspace: id(
            member(object, "workspace").unwrap_or(&Value::Null),
            WORKSPACE_TYPE,
            &format!("{place}.workspace"),
        )?,
        gets_alerts: types.contains(&"Alerts"),
        gets_raw_events: types.contains(&"RawEvents"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h";
    const WORKSPACE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w";

    #[test]
    fn a_solution_is_read_with_what_holds_where_nothing_is_said() {
        let solution = Solution::read(&json!({"displayName": "plant", "iotHubs": [HUB]}), &[]).expect("a solution");
        assert!(solution.is_enabled && solution.masks_addresses && !solution.stores_raw_events);
        let given = json!({
            "displayName": "plant", "iotHubs": [HUB], "status": "disabled", "workspace": WORKSPACE, "export": ["RawEvents"],
            "unmaskedIpLoggingStatus": "Enabled",
            "recommendationsConfiguration": [{"recommendationType": "iot_openports", "status": "Disabled"}],
            "additionalWorkspaces": [{"workspace": WORKSPACE, "type": "Sentinel", "dataTypes": ["Alerts"]}],
        });
        let solution = Solution::read(&given, &[]).expect("a solution");
        assert!(!solution.is_enabled && !solution.masks_addresses && solution.stores_raw_events);
        assert_eq!(solution.recommendations_off, ["IoT_OpenPorts"]);
        assert!(solution.others[0].gets_alerts && !solution.others[0].gets_raw_events);
        let shown = shown(&given, &[("Own".to_owned(), "Our own".to_owned())]);
        let types = shown["recommendationsConfiguration"].as_array().expect("a list");
        assert_eq!(types.len(), RECOMMENDATIONS.len() + 1);
        assert!(types.iter().any(|t| t["recommendationType"] == "IoT_OpenPorts" && t["status"] == "Disabled"));
    }

    #[test]
    fn what_is_wrong_or_has_no_source_is_refused_by_name() {
        for (name, value, wanted) in [
            ("displayName", Value::Null, "displayName is needed"),
            ("iotHubs", json!(["h"]), "iotHubs[0]"),
            ("status", json!("On"), "neither Enabled nor Disabled"),
            ("export", json!(["Everything"]), "none of RawEvents"),
            ("disabledDataSources", json!(["TwinData"]), "there is no such source"),
            ("workspace", json!("w"), "no id of a resource"),
            ("userDefinedResources", json!({"query": "where true", "querySubscriptions": []}), "must begin with"),
            (
                "recommendationsConfiguration",
                json!([{"recommendationType": "Nothing", "status": "Disabled"}]),
                "'Nothing'",
            ),
            ("additionalWorkspaces", json!([{"workspace": WORKSPACE, "type": "Other"}]), "'Other' is not supported"),
        ] {
            let mut given = json!({"displayName": "plant", "iotHubs": [HUB]});
            given[name] = value;
            let error = Solution::read(&given, &[]).expect_err(name);
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }
}
