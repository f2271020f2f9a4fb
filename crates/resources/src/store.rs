//! Resources in SQLite.

use crate::id::ResourceId;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use std::collections::BTreeSet;
use std::path::Path;

const VERSIONS: &[&str] = &[
    "
create table resource (
    key text primary key,
    id text not null,
    type text not null,
    body text not null,
    changed_ticks integer not null
) strict;
create index resource_type on resource (type);
",
    "
create table mark (
    key text not null references resource(key) on delete cascade,
    kind text not null,
    name text not null,
    made_ticks integer not null,
    primary key (key, kind, name)
) strict;
",
];

/// So many resources of a type are kept.
const OF_TYPE_MAX: i64 = 10_000;

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Open(#[from] sqlite::Error),
    #[error("the resource '{0}' is damaged: {1}")]
    Damaged(String, String),
    #[error("'{0}' is no id of a resource")]
    BadId(String),
    #[error("there are {OF_TYPE_MAX} resources of the type '{0}', which is all there can be")]
    TooMany(String),
    #[error("resources: {0}")]
    Database(#[from] sqlx::Error),
}

/// A resource as it is kept.
#[derive(Debug, Clone)]
pub struct Resource {
    pub id: ResourceId,
    /// A JSON object without the members that follow from the id.
    pub body: Value,
    /// When it was last changed, in ticks.
    pub changed_ticks: i64,
}

/// All resources of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct Resources {
    pool: SqlitePool,
}

impl Resources {
    /// Opens the resources in `path`, or makes the file.
    pub async fn open(path: &Path) -> Result<Resources, Error> {
        let pool = sqlite::open(path, VERSIONS).await?;
        Ok(Resources { pool })
    }

    /// Keeps a resource, in the place of one of the same id. True when there was none.
    pub async fn put(&self, id: &ResourceId, body: &Value) -> Result<bool, Error> {
        if !ResourceId::parse(&id.to_string()).is_some_and(|read| read.is(id)) {
            return Err(Error::BadId(id.to_string()));
        }
        let is_new = self.get(id).await?.is_none();
        if is_new {
            let count = sqlx::query("select count(*) from resource where type = ?").bind(id.type_name().to_lowercase());
            let count: i64 = count.fetch_one(&self.pool).await?.get(0);
            if count >= OF_TYPE_MAX {
                return Err(Error::TooMany(id.type_name()));
            }
        }
        let statement = "insert into resource (key, id, type, body, changed_ticks) values (?, ?, ?, ?, ?)
            on conflict (key) do update set body = excluded.body, changed_ticks = excluded.changed_ticks";
        sqlx::query(statement)
            .bind(id.key())
            .bind(id.to_string())
            .bind(id.type_name().to_lowercase())
            .bind(body.to_string())
            .bind(kql::datetime::now())
            .execute(&self.pool)
            .await?;
        Ok(is_new)
    }

    pub async fn get(&self, id: &ResourceId) -> Result<Option<Resource>, Error> {
        let query = sqlx::query("select id, body, changed_ticks from resource where key = ?").bind(id.key());
        query.fetch_optional(&self.pool).await?.map(|row| read(&row)).transpose()
    }

    /// Removes a resource; false when there is none.
    pub async fn delete(&self, id: &ResourceId) -> Result<bool, Error> {
        let deleted = sqlx::query("delete from resource where key = ?").bind(id.key()).execute(&self.pool).await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// All resources of a type, `Microsoft.Insights/dataCollectionRules`, by id.
    pub async fn of_type(&self, of: &str) -> Result<Vec<Resource>, Error> {
        let query = sqlx::query("select id, body, changed_ticks from resource where type = ? order by key");
        let rows = query.bind(of.to_lowercase()).fetch_all(&self.pool).await?;
        // One that cannot be read must not hide the others.
        let readable =
            |row: &SqliteRow| read(row).inspect_err(|error| tracing::error!(%error, "a resource is passed over")).ok();
        Ok(rows.iter().filter_map(readable).collect())
    }

    /// All resources below one, by id.
    pub async fn below(&self, id: &str, of: &str) -> Result<Vec<Resource>, Error> {
        let mut all = self.of_type(of).await?;
        let beginning = format!("{}/", id.trim_end_matches('/').to_lowercase());
        all.retain(|resource| resource.id.key().starts_with(&beginning));
        Ok(all)
    }

    /// Removes everything below an id: of a group its resources, of a resource its parts.
    pub async fn delete_below(&self, id: &str) -> Result<(), Error> {
        let beginning = format!("{}/", id.trim_end_matches('/').to_lowercase());
        sqlx::query("delete from resource where substr(key, 1, length(?1)) = ?1")
            .bind(beginning)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Marks something of a resource, such as an alert that is dismissed.
    pub async fn mark(&self, id: &ResourceId, kind: &str, name: &str) -> Result<(), Error> {
        sqlx::query("insert into mark values (?, ?, ?, ?) on conflict do nothing")
            .bind(id.key())
            .bind(kind)
            .bind(name)
            .bind(kql::datetime::now())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a mark away, where there is one.
    pub async fn unmark(&self, id: &ResourceId, kind: &str, name: &str) -> Result<(), Error> {
        let query = sqlx::query("delete from mark where key = ? and kind = ? and name = ?");
        query.bind(id.key()).bind(kind).bind(name).execute(&self.pool).await?;
        Ok(())
    }

    /// The names of what is marked so.
    pub async fn marked(&self, id: &ResourceId, kind: &str) -> Result<BTreeSet<String>, Error> {
        let query = sqlx::query("select name from mark where key = ? and kind = ?").bind(id.key()).bind(kind);
        Ok(query.fetch_all(&self.pool).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Writes a copy of the file as it is at this moment.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        Ok(sqlite::copy(&self.pool, path).await?)
    }
}

fn read(row: &SqliteRow) -> Result<Resource, Error> {
    let (id, body): (String, String) = (row.get(0), row.get(1));
    let damaged = |problem: &str| Error::Damaged(id.clone(), problem.to_owned());
    Ok(Resource {
        id: ResourceId::parse(&id).ok_or_else(|| damaged("its id cannot be read"))?,
        body: serde_json::from_str(&body).map_err(|error| damaged(&error.to_string()))?,
        changed_ticks: row.get(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(name: &str) -> ResourceId {
        let text = format!("/subscriptions/S/resourceGroups/g/providers/Microsoft.Insights/dataCollectionRules/{name}");
        ResourceId::parse(&text).expect("an id")
    }

    #[tokio::test]
    async fn what_is_below_goes_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let resources = Resources::open(&folder.path().join("resources.sqlite")).await.expect("opened");
        let (rule, other) = (id("rule"), id("rule2"));
        for id in [&rule, &other, &rule.child("parts", "P")] {
            resources.put(id, &json!({})).await.expect("kept");
        }
        resources.mark(&rule, "dismissed", "a").await.expect("marked");
        assert_eq!(
            resources
                .below(&rule.to_string(), "Microsoft.Insights/dataCollectionRules/parts")
                .await
                .expect("listed")
                .len(),
            1
        );
        resources.delete_below(&rule.to_string()).await.expect("deleted");
        assert!(resources.get(&rule.child("parts", "p")).await.expect("asked").is_none());
        assert_eq!(resources.marked(&id("RULE"), "dismissed").await.expect("asked").len(), 1);
        resources.mark(&rule, "off", "a").await.expect("marked");
        resources.unmark(&rule, "off", "a").await.expect("unmarked");
        assert!(resources.marked(&rule, "off").await.expect("asked").is_empty());
        assert_eq!(resources.marked(&rule, "dismissed").await.expect("asked").len(), 1, "another kind stays");
        resources.delete(&rule).await.expect("deleted");
        assert!(resources.marked(&rule, "dismissed").await.expect("asked").is_empty());
        assert!(resources.get(&other).await.expect("asked").is_some());
    }

    #[tokio::test]
    async fn resources_are_kept_by_ids_of_any_case() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("resources.sqlite");
        let resources = Resources::open(&path).await.expect("opened");
        assert!(resources.put(&id("Rule"), &json!({"a": 1})).await.expect("kept"));
        assert!(!resources.put(&id("RULE"), &json!({"a": 2})).await.expect("kept"));
        let copy = folder.path().join("copy.sqlite");
        resources.copy_to(&copy).await.expect("copied");
        for path in [&path, &copy] {
            let resources = Resources::open(path).await.expect("opened again");
            let found = resources.get(&id("rule")).await.expect("asked").expect("it is there");
            assert_eq!((found.id.name.as_str(), found.body["a"].as_i64()), ("Rule", Some(2)));
            assert_eq!(resources.of_type("microsoft.insights/DataCollectionRules").await.expect("listed").len(), 1);
            assert!(resources.delete(&id("rulE")).await.expect("deleted"));
            assert!(!resources.delete(&id("rule")).await.expect("deleted"));
        }
    }
}
