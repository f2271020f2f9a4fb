//! Data collection rules, by what senders name them by, and whether a rule can work.

use super::transform::{self, Transformed};
use crate::Services;
use engine::Column;
use parking_lot::RwLock;
use resources::collection_rule::{CollectionRule, Flow, TYPE};
use resources::{ResourceId, Resources};
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

/// A rule and where it is among the resources.
pub(crate) struct KnownRule {
    pub id: ResourceId,
    rule: CollectionRule,
}

impl Deref for KnownRule {
    type Target = CollectionRule;

    fn deref(&self) -> &CollectionRule {
        &self.rule
    }
}

/// All rules. Cheap to clone.
#[derive(Clone)]
pub struct CollectionRules {
    /// By immutable id, in small letters.
    rules: Arc<RwLock<HashMap<String, Arc<KnownRule>>>>,
}

impl CollectionRules {
    /// Reads the rules that are kept.
    pub async fn open(resources: &Resources) -> Result<CollectionRules, resources::Error> {
        let rules = CollectionRules { rules: Arc::default() };
        rules.read_again(resources).await?;
        Ok(rules)
    }

    pub(crate) async fn read_again(&self, resources: &Resources) -> Result<(), resources::Error> {
        let mut rules = HashMap::new();
        for resource in resources.of_type(TYPE).await? {
            match read(&resource.body) {
                Ok(rule) => {
                    let key = rule.immutable_id.to_lowercase();
                    rules.insert(key, Arc::new(KnownRule { id: resource.id, rule }));
                }
                Err(problem) => tracing::error!(id = %resource.id, problem, "a data collection rule cannot be read"),
            }
        }
        *self.rules.write() = rules;
        Ok(())
    }

    /// The rule that senders name so.
    pub(crate) fn get(&self, immutable_id: &str) -> Option<Arc<KnownRule>> {
        self.rules.read().get(&immutable_id.to_lowercase()).cloned()
    }

    pub(crate) fn insert(&self, id: ResourceId, rule: CollectionRule) {
        let key = rule.immutable_id.to_lowercase();
        self.rules.write().insert(key, Arc::new(KnownRule { id, rule }));
    }

    pub(crate) fn remove(&self, immutable_id: &str) {
        self.rules.write().remove(&immutable_id.to_lowercase());
    }
}

fn read(body: &Value) -> Result<CollectionRule, String> {
    let immutable_id = body["properties"]["immutableId"].as_str().unwrap_or_default();
    CollectionRule::read(&body["properties"], immutable_id)
}

impl Services {
    /// Tries a rule without records: all its tables are there, and what it makes fits them.
    pub(crate) async fn check_collection_rule(&self, rule: &CollectionRule) -> Result<(), String> {
        for (at, flow) in rule.flows.iter().enumerate() {
            let at = |problem: String| format!("properties.dataFlows[{at}]: {problem}");
            check_flow(self, rule, flow).await.map_err(at)?;
        }
        Ok(())
    }
}

impl Services {
    /// The database of a workspace, where it is the one of that id.
    pub(super) fn database_of_workspace(&self, id: &ResourceId) -> Result<String, String> {
        let databases = self.databases();
        let found = databases.into_iter().find(|name| name.eq_ignore_ascii_case(&id.name));
        let found = found.filter(|name| self.directory.workspace(name).is(id));
        found.ok_or_else(|| format!("there is no workspace '{id}'"))
    }
}

async fn check_flow(services: &Services, rule: &CollectionRule, flow: &Flow) -> Result<(), String> {
    if let Some(text) = &flow.transform {
        transform::check(text).map_err(|problem| format!("transformKql: {problem}"))?;
    }
    for stream in &flow.streams {
        for workspace in &flow.workspaces {
            let workspace = &services.database_of_workspace(workspace)?;
            services.workspaces.check_changeable(workspace, &flow.table).map_err(|error| error.to_string())?;
            let table = services
                .workspaces
                .columns(workspace, &flow.table)
                .map_err(|error| format!("outputStream: {error}"))?;
            let columns = stream_columns(services, rule, workspace, stream)?;
            let none = engine::RecordBatch::new_empty(engine::types::arrow_schema(&columns));
            let made = match &flow.transform {
                Some(text) => transform::run(&services.queries, text, &columns, none)
                    .await
                    .map_err(|p| format!("transformKql: {p}"))?,
                None => Transformed { columns, batch: none },
            };
            if let Some(problem) = made.misfit(&table) {
                return Err(format!("the output does not fit the table '{}': {problem}", flow.table));
            }
        }
    }
    Ok(())
}

/// The columns of a stream: declared ones, or those of the table that a stream of Microsoft's is named after.
pub(super) fn stream_columns(
    services: &Services,
    rule: &CollectionRule,
    workspace: &str,
    stream: &str,
) -> Result<Vec<Column>, String> {
    if let Some(declared) = rule.stream(stream) {
        return Ok(declared.columns.iter().map(|(name, of)| Column::new(name, *of)).collect());
    }
    let table = stream.strip_prefix("Microsoft-").unwrap_or(stream);
    services.workspaces.columns(workspace, table).map_err(|error| format!("the stream '{stream}': {error}"))
}
