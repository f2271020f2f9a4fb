//! Resources in SQLite.

use crate::id::ResourceId;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, SqlitePool};
use std::path::Path;

/// The version of the table below, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
create table resource (
    key text primary key,
    id text not null,
    type text not null,
    body text not null,
    changed_ticks integer not null
) strict;
create index resource_type on resource (type);
";
const CONNECTIONS_MAX: u32 = 4;

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the resources have schema version {found}, this program reads version {SCHEMA_VERSION}")]
    SchemaVersion { found: i64 },
    #[error("the resource '{0}' is damaged: {1}")]
    Damaged(String, String),
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
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        let found: i64 = sqlx::query("pragma user_version").fetch_one(&pool).await?.get(0);
        match found {
            0 => {
                let mut transaction = pool.begin().await?;
                sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
                sqlx::raw_sql("pragma user_version = 1").execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            SCHEMA_VERSION => {}
            found => return Err(Error::SchemaVersion { found }),
        }
        Ok(Resources { pool })
    }

    /// Keeps a resource, in the place of one of the same id. True when there was none.
    pub async fn put(&self, id: &ResourceId, body: &Value) -> Result<bool, Error> {
        let is_new = self.get(id).await?.is_none();
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
        query.bind(of.to_lowercase()).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Writes a copy of the file as it is at this moment.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        sqlx::query("vacuum into ?").bind(path.to_string_lossy().into_owned()).execute(&self.pool).await?;
        Ok(())
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
