//! The Open Cybersecurity Schema Framework, version 1.3: an alert is a detection finding (class 2004).

use crate::{Alert, device, parsed, text, unix_millis};
use serde_json::{Value, json};

const SCHEMA_VERSION: &str = "1.3.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;
const ACTIVITY_CREATE: u32 = 1;
const DEVICE_IOT: u32 = 7;

/// An alert as a detection finding.
pub(crate) fn finding(alert: &Alert) -> Value {
    let severity = text(alert, "AlertSeverity");
    let severity_id = match severity {
        "Informational" => 1,
        "Low" => 2,
        "Medium" => 3,
        "High" => 4,
        _ => 0,
    };
    let names = |name: &str| -> Vec<String> {
        let held = text(alert, name);
        let list = serde_json::from_str::<Vec<String>>(held);
        let split = || held.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        list.unwrap_or_else(|_| split())
    };
    let (tactics, techniques) = (names("Tactics"), names("Techniques"));
    let attacks: Vec<Value> = match techniques.is_empty() {
        true => tactics.iter().map(|tactic| json!({ "tactic": { "name": tactic } })).collect(),
        false => techniques
            .iter()
            .map(|technique| json!({ "technique": { "uid": technique }, "tactics": tactics.iter().map(|t| json!({ "name": t })).collect::<Vec<_>>() }))
            .collect(),
    };
    let steps = serde_json::from_str::<Vec<String>>(text(alert, "RemediationSteps")).unwrap_or_default();
    let time = unix_millis(alert, "TimeGenerated");
    let device = device(alert);
    json!({
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "activity_id": ACTIVITY_CREATE,
        "activity_name": "Create",
        "type_uid": CLASS * 100 + ACTIVITY_CREATE,
        "type_name": "Detection Finding: Create",
        "time": time,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "message": text(alert, "DisplayName"),
        "metadata": {
            "version": SCHEMA_VERSION,
            "uid": text(alert, "SystemAlertId"),
            "product": { "name": "Turnstone", "vendor_name": "Turnstone", "version": env!("CARGO_PKG_VERSION") },
        },
        "finding_info": {
            "uid": text(alert, "SystemAlertId"),
            "title": text(alert, "DisplayName"),
            "desc": text(alert, "Description"),
            "types": [text(alert, "AlertType")],
            "created_time": time,
            "first_seen_time": unix_millis(alert, "StartTime"),
            "last_seen_time": unix_millis(alert, "EndTime"),
            "attacks": attacks,
        },
        "device": { "uid": device, "name": device, "hostname": device, "type_id": DEVICE_IOT, "type": "IOT" },
        "remediation": { "desc": steps.join("\n") },
        "resources": [{ "uid": text(alert, "ResourceId"), "type": "Microsoft.Devices/IotHubs" }],
        "unmapped": { "ExtendedProperties": parsed(alert, "ExtendedProperties") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_a_detection_finding() {
        let finding = finding(&crate::sample());
        assert_eq!((finding["class_uid"].as_u64(), finding["type_uid"].as_u64()), (Some(2004), Some(200_401)));
        assert_eq!(finding["severity_id"], 4);
        assert_eq!(finding["time"], 1_772_445_605_000_i64);
        assert_eq!(finding["device"]["uid"], "pump-07");
        assert_eq!(finding["finding_info"]["attacks"][0]["technique"]["uid"], "T1059");
        assert_eq!(finding["finding_info"]["attacks"][0]["tactics"][1]["name"], "CommandAndControl");
        assert_eq!(finding["unmapped"]["ExtendedProperties"]["CommandLine"], "nc -e");
    }
}
