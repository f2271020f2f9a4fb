//! The tree of resources, and making it so: what the settings of solutions mean for each hub.

use crate::Services;
use crate::azure_error::AzureError;
use detect::intake::INTERNAL_DATABASE;
use detect::{Destination, Fleet, OtherDestination, Settings, builtin};
use hub::{DEFAULT_HUB, Hubs};
use parking_lot::RwLock;
use resources::solution::{self, HUB_TYPE, Solution, WORKSPACE_TYPE};
use resources::{Resource, ResourceId, Resources};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// The resource group, workspace and solution of a first start.
pub(super) const DEFAULT_GROUP: &str = "default";
const DEFAULT_SOLUTION: &str = "default";
/// Groups are resources too, though their ids have another form.
pub(super) const GROUP_TYPE: &str = "Microsoft.Resources/resourceGroups";
const LOCATION: &str = "local";
/// What marks an alert rule as switched off for a solution, by its id.
pub(crate) const RULE_OFF: &str = "alertRuleOff";

/// What a first start makes, and what each start may change.
pub struct Start {
    pub subscription: String,
    /// The GUID and the name of the first workspace.
    pub workspace_id: String,
    pub database: String,
    /// Whether the owner has said on the command line that raw events are stored.
    pub stores_raw_events: bool,
}

/// Why the settings of solutions are not in force. They are tried again with the next change, and at the next start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotApplied {
    #[error(transparent)]
    Resources(#[from] resources::Error),
    #[error(transparent)]
    Registry(#[from] hub::registry::Error),
    #[error(transparent)]
    Detection(#[from] detect::Error),
}

/// All resources, with what every call needs of them in memory.
pub struct Directory {
    pub resources: Resources,
    subscription: String,
    workspace_id: Uuid,
    database: String,
    /// The ids of workspaces and of hubs, by name in small letters.
    workspaces: RwLock<HashMap<String, ResourceId>>,
    hubs: RwLock<HashMap<String, ResourceId>>,
    /// The databases that the data of hubs goes to, by the hub's name in small letters.
    destinations: RwLock<HashMap<String, String>>,
    /// One change of what depends on each other at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Directory {
    /// Reads the resources; a first start makes a group, a hub, a workspace and a solution that watches the hub.
    pub async fn open(resources: Resources, start: Start) -> Result<Directory, resources::Error> {
        let directory = Directory {
            resources,
            subscription: start.subscription,
            workspace_id: Uuid::parse_str(&start.workspace_id).unwrap_or_default(),
            database: start.database,
            workspaces: RwLock::default(),
            hubs: RwLock::default(),
            destinations: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        let new = |of: &str, name: &str| ResourceId::new(&directory.subscription, DEFAULT_GROUP, of, name);
        let (hub, workspace) = (new(HUB_TYPE, DEFAULT_HUB), new(WORKSPACE_TYPE, &directory.database));
        let default = new(solution::TYPE, DEFAULT_SOLUTION);
        let resources = &directory.resources;
        let group = directory.group(DEFAULT_GROUP);
        if resources.get(&group).await?.is_none() {
            resources.put(&hub, &json!({ "location": LOCATION })).await?;
            resources.put(&workspace, &json!({ "location": LOCATION, "properties": {} })).await?;
            let export = if start.stores_raw_events { json!(["RawEvents"]) } else { json!([]) };
            let properties = json!({
                "displayName": DEFAULT_SOLUTION,
                "status": "Enabled",
                "workspace": workspace.to_string(),
                "iotHubs": [hub.to_string()],
                "export": export,
                "unmaskedIpLoggingStatus": "Enabled",
            });
            resources.put(&default, &json!({ "location": LOCATION, "properties": properties })).await?;
            // Last: where it is, the others are.
            resources.put(&group, &json!({ "location": LOCATION })).await?;
        } else if start.stores_raw_events
            && let Some(mut known) = resources.get(&default).await?
            && known.body["properties"]["export"] != json!(["RawEvents"])
        {
            known.body["properties"]["export"] = json!(["RawEvents"]);
            resources.put(&default, &known.body).await?;
        }
        for (of, into) in [(WORKSPACE_TYPE, &directory.workspaces), (HUB_TYPE, &directory.hubs)] {
            let all = resources.of_type(of).await?;
            into.write().extend(all.into_iter().map(|resource| (resource.id.name.to_lowercase(), resource.id)));
        }
        Ok(directory)
    }

    /// `/subscriptions/{guid}`.
    pub fn subscription_id(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    pub(super) fn subscription(&self) -> &str {
        &self.subscription
    }

    pub(super) fn is_subscription(&self, asked: &str) -> bool {
        asked.eq_ignore_ascii_case(&self.subscription)
    }

    /// The id that a group is kept by.
    pub(super) fn group(&self, name: &str) -> ResourceId {
        ResourceId::new(&self.subscription, name, GROUP_TYPE, name)
    }

    /// That there is such a group.
    pub(super) async fn check_group(&self, name: &str) -> Result<(), AzureError> {
        match self.resources.get(&self.group(name)).await? {
            Some(_) => Ok(()),
            None => {
                let message = format!("there is no resource group '{name}'");
                Err(AzureError::not_found("ResourceGroupNotFound", message))
            }
        }
    }

    /// The id of a workspace. Databases that were made otherwise count as workspaces of the default group.
    pub fn workspace(&self, database: &str) -> ResourceId {
        // It is nowhere in the tree, so that only who owns everything reaches it, by its name.
        if database.eq_ignore_ascii_case(INTERNAL_DATABASE) {
            return ResourceId::new("internal", "internal", WORKSPACE_TYPE, database);
        }
        let known = self.workspaces.read().get(&database.to_lowercase()).cloned();
        known.unwrap_or_else(|| ResourceId::new(&self.subscription, DEFAULT_GROUP, WORKSPACE_TYPE, database))
    }

    /// The GUID of a workspace: that of the instance for its first one, and one that follows from both for the others.
    pub fn workspace_guid(&self, database: &str) -> String {
        match database == self.database {
            true => self.workspace_id.to_string(),
            false => Uuid::new_v5(&self.workspace_id, database.as_bytes()).to_string(),
        }
    }

    /// The id of a hub.
    pub fn hub_id(&self, name: &str) -> String {
        let known = self.hubs.read().get(&name.to_lowercase()).cloned();
        known.unwrap_or_else(|| ResourceId::new(&self.subscription, DEFAULT_GROUP, HUB_TYPE, name)).to_string()
    }

    /// The database that the data of a hub goes to.
    pub fn database_of_hub(&self, name: &str) -> String {
        self.destinations.read().get(&name.to_lowercase()).cloned().unwrap_or_else(|| self.database.clone())
    }

    pub(super) fn note_workspace(&self, id: &ResourceId) {
        self.workspaces.write().insert(id.name.to_lowercase(), id.clone());
    }

    pub(super) fn forget_workspace(&self, name: &str) {
        self.workspaces.write().remove(&name.to_lowercase());
    }

    pub(super) fn note_hub(&self, id: &ResourceId) {
        self.hubs.write().insert(id.name.to_lowercase(), id.clone());
    }

    pub(super) fn forget_hub(&self, name: &str) {
        self.hubs.write().remove(&name.to_lowercase());
        self.destinations.write().remove(&name.to_lowercase());
    }

    pub(super) fn known_hub(&self, name: &str) -> Option<ResourceId> {
        self.hubs.read().get(&name.to_lowercase()).cloned()
    }

    /// Every hub is watched as its solution says; one without a solution is not.
    pub async fn apply(
        &self,
        hubs: &Hubs,
        fleet: &Fleet,
        workspaces: &workspace::Workspaces,
    ) -> Result<(), NotApplied> {
        let solutions = self.solutions().await?;
        let all: Vec<ResourceId> = self.hubs.read().values().cloned().collect();
        let mut failed = None;
        for id in all {
            hubs.create(&id.name).await?;
            let of = solutions.iter().find(|(_, solution)| solution.hubs.iter().any(|hub| hub.is(&id)));
            let mut settings = self.settings(&id, of.map(|(_, solution)| solution), workspaces);
            if let Some((resource, _)) = of {
                settings.alert_rules_off = self.resources.marked(&resource.id, RULE_OFF).await?;
            }
            self.destinations.write().insert(id.name.to_lowercase(), settings.main.database.clone());
            // What is wrong with one hub must not keep the others from being watched.
            if let Err(error) = fleet.set(settings).await {
                tracing::error!(%error, hub = id.name, "a hub is not watched as its settings say");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// All solutions that can be read; they were checked when they were made.
    pub(super) async fn solutions(&self) -> Result<Vec<(Resource, Solution)>, resources::Error> {
        let known = recommendation_names();
        let mut read = Vec::new();
        for resource in self.resources.of_type(solution::TYPE).await? {
            match Solution::read(&resource.body["properties"], &known) {
                Ok(solution) => read.push((resource, solution)),
                Err(problem) => tracing::error!(id = %resource.id, problem, "a solution cannot be read"),
            }
        }
        Ok(read)
    }

    fn settings(&self, hub: &ResourceId, of: Option<&Solution>, workspaces: &workspace::Workspaces) -> Settings {
        let databases = workspaces.databases();
        let destination = |asked: Option<&ResourceId>| {
            let found = asked.and_then(|id| databases.iter().find(|name| name.eq_ignore_ascii_case(&id.name)));
            let database = found.unwrap_or(&self.database).clone();
            Destination { workspace_id: self.workspace_guid(&database), database }
        };
        let others = of.map(|solution| solution.others.as_slice()).unwrap_or_default();
        Settings {
            hub: hub.name.clone(),
            hub_resource_id: hub.to_string(),
            subscription_id: self.subscription.clone(),
            resource_group: hub.group.clone(),
            is_enabled: of.is_some_and(|solution| solution.is_enabled),
            main: destination(of.and_then(|solution| solution.workspace.as_ref())),
            others: others
                .iter()
                .map(|other| OtherDestination {
                    destination: destination(Some(&other.workspace)),
                    gets_alerts: other.gets_alerts,
                    gets_raw_events: other.gets_raw_events,
                })
                .collect(),
            stores_raw_events: of.is_some_and(|solution| solution.stores_raw_events),
            masks_addresses: of.is_some_and(|solution| solution.masks_addresses),
            recommendations_off: of.into_iter().flat_map(|solution| solution.recommendations_off.clone()).collect(),
            alert_rules_off: BTreeSet::new(),
        }
    }
}

impl Services {
    /// Makes the settings of solutions so, now.
    pub(crate) async fn apply_solutions(&self) -> Result<(), AzureError> {
        let applied = self.directory.apply(&self.hubs, &self.fleet, &self.workspaces).await;
        applied.map_err(|error| AzureError::internal(&error))
    }
}

/// The recommendations of our own rules: names and titles.
pub(super) fn recommendation_titles() -> Vec<(String, String)> {
    let rules = builtin::recommendation_rules().unwrap_or_default();
    rules.into_iter().map(|rule| (rule.name, rule.display_name)).collect()
}

pub(crate) fn recommendation_names() -> Vec<String> {
    recommendation_titles().into_iter().map(|(name, _)| name).collect()
}

/// The location of a resource, as it was given.
pub(super) fn with_location(body: &mut Value) {
    if !body["location"].is_string() {
        body["location"] = json!(LOCATION);
    }
}
