//! Roles: which actions at which part of the tree of resources.
//!
//! An action is named as Azure names it, `Microsoft.Security/iotSecuritySolutions/write`; a role lists patterns of
//! actions, in which `*` stands for anything. Roles have Azure's names and, as far as there are such actions here, their
//! meaning.

/// A role.
#[derive(Debug, PartialEq, Eq)]
pub struct Role {
    pub name: &'static str,
    pub description: &'static str,
    /// Patterns of what it allows.
    pub actions: &'static [&'static str],
    /// Patterns of what it does not, of the former.
    pub not_actions: &'static [&'static str],
}

/// Runs queries over the rows of a workspace.
pub const QUERY: &str = "Microsoft.OperationalInsights/workspaces/query/read";
/// Sends rows to a table of a workspace.
pub const INGEST: &str = "Microsoft.OperationalInsights/workspaces/ingest/action";
/// Makes, changes and drops tables, functions and policies of a workspace.
pub const MANAGE_WORKSPACE: &str = "Microsoft.OperationalInsights/workspaces/write";
/// Deletes rows of a workspace.
pub const PURGE: &str = "Microsoft.OperationalInsights/workspaces/purge/action";
/// Sends records to a data collection rule.
pub const SEND_TELEMETRY: &str = "Microsoft.Insights/telemetry/write";
pub const READ_DEVICES: &str = "Microsoft.Devices/IotHubs/devices/read";
pub const WRITE_DEVICES: &str = "Microsoft.Devices/IotHubs/devices/write";
pub const DELETE_DEVICES: &str = "Microsoft.Devices/IotHubs/devices/delete";
/// Sees the keys of devices.
pub const DEVICE_KEYS: &str = "Microsoft.Devices/IotHubs/devices/listKeys/action";
pub const READ_ACCESS: &str = "Microsoft.Authorization/principals/read";
/// Makes and changes principals and what they may do.
pub const WRITE_ACCESS: &str = "Microsoft.Authorization/principals/write";
/// Backs up, looks into and changes the program itself.
pub const ADMINISTER: &str = "Turnstone/server/administer/action";
/// Sees alerts and recommendations.
pub const READ_SECURITY: &str = "Microsoft.Security/iotSecuritySolutions/read";

/// All roles there are.
pub const ROLES: &[Role] = &[
    Role { name: "Owner", description: "May do everything.", actions: &["*"], not_actions: &[] },
    Role {
        name: "Security Reader",
        description: "Sees alerts, recommendations and settings, and queries workspaces.",
        actions: &[
            "Microsoft.Security/*/read",
            "Microsoft.OperationalInsights/workspaces/read",
            "Microsoft.OperationalInsights/workspaces/*/read",
            "Microsoft.Resources/*/read",
            "Microsoft.Devices/IotHubs/read",
            READ_DEVICES,
        ],
        not_actions: &[],
    },
    Role {
        name: "Security Admin",
        description: "As Security Reader; also changes settings and dismisses alerts.",
        actions: &[
            "Microsoft.Security/*",
            "Microsoft.OperationalInsights/workspaces/read",
            "Microsoft.OperationalInsights/workspaces/*/read",
            "Microsoft.Resources/*/read",
            "Microsoft.Devices/IotHubs/read",
            READ_DEVICES,
        ],
        not_actions: &[],
    },
    Role {
        name: "Log Analytics Reader",
        description: "Sees all resources and queries workspaces.",
        actions: &["*/read"],
        not_actions: &["Microsoft.OperationalInsights/workspaces/sharedKeys/*"],
    },
    Role {
        name: "Log Analytics Contributor",
        description: "As Log Analytics Reader; also sends rows and manages workspaces and data collection.",
        actions: &[
            "*/read",
            "Microsoft.OperationalInsights/*",
            "Microsoft.Insights/dataCollectionRules/*",
            "Microsoft.Insights/dataCollectionEndpoints/*",
            SEND_TELEMETRY,
        ],
        not_actions: &[],
    },
    Role {
        name: "Monitoring Metrics Publisher",
        description: "Sends records to data collection rules.",
        actions: &[SEND_TELEMETRY],
        not_actions: &[],
    },
    Role {
        name: "IoT Hub Data Contributor",
        description: "Manages the devices of a hub.",
        actions: &["Microsoft.Devices/IotHubs/read", "Microsoft.Devices/IotHubs/devices/*"],
        not_actions: &[],
    },
];

impl Role {
    /// The role of that name, in any case.
    pub fn named(name: &str) -> Option<&'static Role> {
        ROLES.iter().find(|role| role.name.eq_ignore_ascii_case(name))
    }

    pub fn allows(&self, action: &str) -> bool {
        let is_in = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, action));
        is_in(self.actions) && !is_in(self.not_actions)
    }
}

/// Whether an action fits a pattern, in any case.
fn matches(pattern: &str, action: &str) -> bool {
    let starts = |text: &str, part: &str| text.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part));
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    if !starts(action, first) {
        return false;
    }
    let mut rest = &action[first.len()..];
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = (0..=rest.len()).find(|at| rest.is_char_boundary(*at) && starts(&rest[*at..], part)) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.len().checked_sub(last.len()).is_some_and(|at| rest.is_char_boundary(at) && starts(&rest[at..], last))
}

/// Whether `scope` holds `resource`: it is the same, or a part of the path to it. Both are ids, in any case.
pub fn holds(scope: &str, resource: &str) -> bool {
    let mut inner = resource.split('/').filter(|part| !part.is_empty());
    scope
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|part| inner.next().is_some_and(|i| i.eq_ignore_ascii_case(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_fit_patterns() {
        for (pattern, action, wanted) in [
            ("*", "Anything/at/all", true),
            ("*/read", "Microsoft.Security/iotSecuritySolutions/read", true),
            ("*/read", "Microsoft.Security/iotSecuritySolutions/write", false),
            ("Microsoft.Security/*/read", "microsoft.security/iotsecuritysolutions/analyticsModels/READ", true),
            ("Microsoft.Security/*", "Microsoft.SecurityInsights/x/read", false),
            ("A/b/write", "A/b/write", true),
            ("A/b/write", "A/b/writes", false),
            ("A/*/b/*/c", "A/1/b/2/c", true),
            ("A/*/b/*/c", "A/1/2/c", false),
        ] {
            assert_eq!(matches(pattern, action), wanted, "{pattern} {action}");
        }
    }

    #[test]
    fn scopes_hold_what_is_below_them() {
        assert!(holds("/", "/subscriptions/s"));
        assert!(holds("/subscriptions/S/resourcegroups/g", "/subscriptions/s/resourceGroups/G/providers/a/b/c"));
        assert!(!holds("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/g2"));
        assert!(!holds("/subscriptions/s/resourceGroups/g", "/subscriptions/s"));
    }

    #[test]
    fn readers_read_and_nothing_else() {
        let reader = Role::named("log analytics reader").expect("a role");
        assert!(reader.allows(QUERY));
        for denied in [INGEST, MANAGE_WORKSPACE, PURGE, WRITE_ACCESS, DEVICE_KEYS, ADMINISTER] {
            assert!(!reader.allows(denied), "{denied}");
        }
        assert!(!reader.allows("Microsoft.OperationalInsights/workspaces/sharedKeys/action"));
        let contributor = Role::named("IoT Hub Data Contributor").expect("a role");
        assert!(contributor.allows(DEVICE_KEYS) && !contributor.allows(QUERY));
    }
}
