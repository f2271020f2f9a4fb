//! What the owner has set for a hub: where its data goes, and what of it.

use std::collections::BTreeSet;

/// The hub of a first start.
pub(crate) const DEFAULT_HUB: &str = "hub";

/// The settings of one hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The hub's name.
    pub hub: String,
    /// The hub's resource id.
    pub hub_resource_id: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// Whether messages are looked at. Those of a hub that is switched off are taken and passed over.
    pub is_enabled: bool,
    /// Where alerts, recommendations and raw events go.
    pub main: Destination,
    /// Where some of them go too.
    pub others: Vec<OtherDestination>,
    /// Whether raw events are stored in the main workspace.
    pub stores_raw_events: bool,
    /// Whether addresses are masked before anything is stored or judged.
    pub masks_addresses: bool,
    /// Recommendations that are not wanted, by name.
    pub recommendations_off: BTreeSet<String>,
    /// Alert rules that are switched off, by id.
    pub alert_rules_off: BTreeSet<String>,
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub database: String,
    /// The workspace's guid, the value of TenantId.
    pub workspace_id: String,
}

/// A workspace that gets a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherDestination {
    pub destination: Destination,
    pub gets_alerts: bool,
    pub gets_raw_events: bool,
}

impl Settings {
    /// The workspaces that alerts go to.
    pub(crate) fn of_alerts(&self) -> impl Iterator<Item = &Destination> {
        let others = self.others.iter().filter(|other| other.gets_alerts).map(|other| &other.destination);
        std::iter::once(&self.main).chain(others)
    }

    /// The workspaces beside the main one that raw events go to.
    pub(crate) fn others_of_raw_events(&self) -> impl Iterator<Item = &Destination> {
        self.others.iter().filter(|other| other.gets_raw_events).map(|other| &other.destination)
    }
}
