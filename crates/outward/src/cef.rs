//! The Common Event Format. Source of the form: ArcSight's "Implementing ArcSight CEF", revision 25.

use crate::{Alert, device, text, unix_millis};

const VENDOR: &str = "Turnstone";

/// An alert as a CEF event.
pub(crate) fn event(alert: &Alert) -> String {
    let severity = match text(alert, "AlertSeverity") {
        "High" => 9,
        "Medium" => 6,
        "Low" => 3,
        _ => 1,
    };
    let header = [VENDOR, VENDOR, env!("CARGO_PKG_VERSION"), text(alert, "AlertType"), text(alert, "DisplayName")];
    let mut event = String::from("CEF:0");
    for part in header {
        event.push('|');
        event.push_str(&in_header(part));
    }
    event.push_str(&format!("|{severity}|"));
    let (rt, start, end) =
        (unix_millis(alert, "TimeGenerated"), unix_millis(alert, "StartTime"), unix_millis(alert, "EndTime"));
    let device = device(alert);
    let extension: [(&str, String); 11] = [
        ("rt", rt.to_string()),
        ("start", start.to_string()),
        ("end", end.to_string()),
        ("externalId", text(alert, "SystemAlertId").to_owned()),
        ("deviceExternalId", device.clone()),
        ("dvchost", device),
        ("msg", text(alert, "Description").to_owned()),
        ("cs1Label", "IoTHub".to_owned()),
        ("cs1", text(alert, "ResourceId").to_owned()),
        ("cs2Label", "ExtendedProperties".to_owned()),
        ("cs2", text(alert, "ExtendedProperties").to_owned()),
    ];
    let pairs: Vec<String> = extension.iter().map(|(name, value)| format!("{name}={}", in_extension(value))).collect();
    event.push_str(&pairs.join(" "));
    event
}

fn in_header(value: &str) -> String {
    value.replace('\\', "\\\\").replace('|', "\\|").replace(['\r', '\n'], " ")
}

fn in_extension(value: &str) -> String {
    value.replace('\\', "\\\\").replace('=', "\\=").replace('\r', "\\r").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_the_form_is_escaped() {
        let event = event(&crate::sample());
        assert!(event.starts_with("CEF:0|Turnstone|Turnstone|"), "{event}");
        assert!(
            event.contains("|IoT_ReverseShell|Reverse \\| shell|9|rt=1772445605000 start=1772445600000 "),
            "{event}"
        );
        assert!(
            event.contains("deviceExternalId=pump-07") && event.contains("msg=A shell \\= open.\\nLook."),
            "{event}"
        );
        assert!(!event.contains('\n'));
    }
}
