//! Policies: how long rows are kept (`retention`), and how much a database takes in a day (`daily_quota`, our own).
//!
//! `.alter table T policy retention '{"SoftDeletePeriod": "30.00:00:00"}'`, `.alter-merge table T policy retention
//! softdelete = 30d`, `.show table T policy retention`, `.delete table T policy retention`, and the same of databases.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::Words;
use super::{Command, failed};
use kql::Type;
use kql::timespan::{self, TICKS_PER_DAY};
use kql::token::Symbol;
use serde_json::{Map, Value, json};

/// Kusto's own default, taken for ever: a thousand years in days.
const FOR_EVER_DAYS: i64 = 365_000;
const BYTES_PER_GIGABYTE: f64 = 1e9;

/// What a policy is of.
pub(super) enum Entity {
    Table(String),
    Database(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Retention,
    DailyQuota,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Policy::Retention => "RetentionPolicy",
            Policy::DailyQuota => "DailyQuotaPolicy",
        }
    }
}

impl Command<'_> {
    /// Behind the word `policy`: which one.
    fn policy(&self, words: &mut Words<'_>) -> Result<Policy, KustoError> {
        match words.one_of(&["retention", "daily_quota"]) {
            Some("retention") => Ok(Policy::Retention),
            Some(_) => Ok(Policy::DailyQuota),
            None => {
                let found = words.rest().split_whitespace().next().unwrap_or_default();
                let message = format!("Not supported: the policy '{found}'; retention and daily_quota are");
                Err(KustoError::bad_request(message))
            }
        }
    }

    /// Tables are those of the database of the request, which has been checked.
    fn check_entity(&self, entity: &Entity) -> Result<(), KustoError> {
        match entity {
            Entity::Table(_) => Ok(()),
            Entity::Database(name) => self.check_database(name),
        }
    }

    pub(super) async fn show_policy(&self, entity: Entity, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let policy = self.policy(words)?;
        self.check_entity(&entity)?;
        self.described(policy, &entity).await
    }

    pub(super) async fn delete_policy(&self, entity: Entity, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let policy = self.policy(words)?;
        words.finish()?;
        self.check_entity(&entity)?;
        match policy {
            Policy::Retention => self.keep_days(&entity, None).await?,
            Policy::DailyQuota => self.quota(&entity, None).await?,
        }
        self.described(policy, &entity).await
    }

    /// `.alter ... policy`, or `.alter-merge`, which leaves what is not named as it is.
    pub(super) async fn put_policy(&self, entity: Entity, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let policy = self.policy(words)?;
        self.check_entity(&entity)?;
        if policy == Policy::Retention && words.take("softdelete") {
            words.expect(Symbol::Equal)?;
            let said = words.value()?;
            if words.take("recoverability") {
                words.expect(Symbol::Equal)?;
                words.value()?;
            }
            words.finish()?;
            let days = timespan::parse(&said).map(|ticks| ticks / TICKS_PER_DAY).ok_or_else(|| bad_period(&said))?;
            self.keep_days(&entity, days_kept(days)?).await?;
            return self.described(policy, &entity).await;
        }
        let said = words.string("a policy in quotes")?;
        words.finish()?;
        let members: Map<String, Value> = serde_json::from_str(&said)
            .map_err(|error| KustoError::bad_request(format!("Bad request: the policy is no JSON object: {error}")))?;
        let member =
            |name: &str| members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match policy {
            Policy::Retention => {
                let period = member("SoftDeletePeriod").and_then(Value::as_str);
                let period =
                    period.ok_or_else(|| KustoError::bad_request("Bad request: the policy has no SoftDeletePeriod"))?;
                let days =
                    timespan::parse(period).map(|ticks| ticks / TICKS_PER_DAY).ok_or_else(|| bad_period(period))?;
                self.keep_days(&entity, days_kept(days)?).await?;
            }
            Policy::DailyQuota => {
                let gigabytes = member("DailyQuotaGb").and_then(Value::as_f64).filter(|gigabytes| *gigabytes > 0.0);
                let missing = "Bad request: the policy needs a DailyQuotaGb above zero; .delete database D policy daily_quota lifts the bound";
                let gigabytes = gigabytes.ok_or_else(|| KustoError::bad_request(missing))?;
                self.quota(&entity, Some((gigabytes * BYTES_PER_GIGABYTE) as u64)).await?;
            }
        }
        self.described(policy, &entity).await
    }

    async fn keep_days(&self, entity: &Entity, days: Option<u32>) -> Result<(), KustoError> {
        let workspaces = &self.services.workspaces;
        match entity {
            Entity::Table(name) => workspaces.set_retention(self.database, Some(name), days).await.map_err(failed),
            Entity::Database(name) => workspaces.set_retention(name, None, days).await.map_err(failed),
        }
    }

    async fn quota(&self, entity: &Entity, quota_bytes: Option<u64>) -> Result<(), KustoError> {
        match entity {
            Entity::Database(name) => self.services.workspaces.set_daily_quota(name, quota_bytes).await.map_err(failed),
            Entity::Table(_) => {
                Err(KustoError::bad_request("Not supported: a daily quota of a table; databases have one"))
            }
        }
    }

    async fn described(&self, policy: Policy, entity: &Entity) -> Result<Table, KustoError> {
        let workspaces = &self.services.workspaces;
        let period = |days: Option<u32>| match days {
            Some(days) => json!({ "SoftDeletePeriod": format!("{days}.00:00:00"), "Recoverability": "Disabled" }),
            None => Value::Null,
        };
        let value = match (policy, entity) {
            (Policy::Retention, Entity::Table(name)) => {
                period(workspaces.retention(self.database, name).await.map_err(failed)?.table_days)
            }
            (Policy::Retention, Entity::Database(name)) => {
                period(workspaces.database_retention(name).await.map_err(failed)?)
            }
            (Policy::DailyQuota, Entity::Database(name)) => {
                let (quota, taken) = workspaces.daily_quota(name);
                let gigabytes = |bytes: u64| bytes as f64 / BYTES_PER_GIGABYTE;
                json!({ "DailyQuotaGb": quota.map(gigabytes), "TakenTodayGb": gigabytes(taken) })
            }
            (Policy::DailyQuota, Entity::Table(_)) => Value::Null,
        };
        let (name, kind) = match entity {
            Entity::Table(name) => (format!("[{}].[{name}]", self.database), "Table"),
            Entity::Database(name) => (format!("[{name}]"), "Database"),
        };
        let mut table = Table::new(&[
            ("PolicyName", Type::String),
            ("EntityName", Type::String),
            ("Policy", Type::String),
            ("ChildEntities", Type::String),
            ("EntityType", Type::String),
        ]);
        table.push(&[policy.name(), &name, &value.to_string(), "", kind].map(text));
        Ok(table)
    }
}

fn bad_period(said: &str) -> KustoError {
    KustoError::bad_request(format!("Bad request: '{said}' is no time: write it like 30d or 30.00:00:00"))
}

/// Days as a policy keeps them; `None` for ever.
fn days_kept(days: i64) -> Result<Option<u32>, KustoError> {
    match days {
        FOR_EVER_DAYS.. => Ok(None),
        1.. => Ok(u32::try_from(days).ok()),
        _ => Err(KustoError::bad_request("Bad request: rows are kept for one day at least")),
    }
}
