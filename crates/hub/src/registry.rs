//! Device and module identities, in SQLite.

use iothub::{Key, is_valid_id};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlitePool};
use std::path::Path;

/// The version of the tables below, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
create table device (
    id text primary key,
    primary_key text not null,
    secondary_key text not null,
    is_enabled integer not null,
    created_ticks integer not null
) strict;
create table module (
    device_id text not null references device(id) on delete cascade,
    id text not null,
    primary_key text not null,
    secondary_key text not null,
    primary key (device_id, id)
) strict;
";
const CONNECTIONS_MAX: u32 = 4;

/// What the registry could not do, as a fragment after "failed to …" or a sentence of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("'{0}' is no device or module id: 1 to 128 ASCII letters, digits or any of - . % _ * ? ! ( ) , : = @ $ '")]
    BadId(String),
    #[error("there already is a device named '{0}'")]
    Exists(String),
    #[error("there is no device named '{0}'")]
    NoDevice(String),
    #[error("the registry has schema version {found}, this program reads version {SCHEMA_VERSION}")]
    SchemaVersion { found: i64 },
    #[error("no random numbers to be had for a key")]
    NoRandomness,
    #[error("registry: {0}")]
    Database(#[from] sqlx::Error),
}

/// A device's identity. Its keys are never printed.
#[derive(Debug, Clone)]
pub struct Device {
    pub id: String,
    pub primary_key: Key,
    pub secondary_key: Key,
    pub is_enabled: bool,
    /// When it was created, in ticks.
    pub created_ticks: i64,
}

/// The identities of one hub. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pool: SqlitePool,
}

impl Registry {
    /// Writes a copy of the registry as it is at this moment.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        sqlx::query("vacuum into ?").bind(path.to_string_lossy().into_owned()).execute(&self.pool).await?;
        Ok(())
    }

    /// Opens the registry in `path`, or makes it.
    pub async fn open(path: &Path) -> Result<Registry, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
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
        Ok(Registry { pool })
    }

    /// Makes a device with two new keys.
    pub async fn create_device(&self, id: &str) -> Result<Device, Error> {
        if !is_valid_id(id) {
            return Err(Error::BadId(id.to_owned()));
        }
        let device = Device {
            id: id.to_owned(),
            primary_key: Key::random().ok_or(Error::NoRandomness)?,
            secondary_key: Key::random().ok_or(Error::NoRandomness)?,
            is_enabled: true,
            created_ticks: kql::datetime::now(),
        };
        let inserted = sqlx::query("insert into device values (?, ?, ?, 1, ?) on conflict do nothing")
            .bind(&device.id)
            .bind(device.primary_key.to_base64())
            .bind(device.secondary_key.to_base64())
            .bind(device.created_ticks)
            .execute(&self.pool)
            .await?;
        if inserted.rows_affected() == 0 { Err(Error::Exists(id.to_owned())) } else { Ok(device) }
    }

    pub async fn device(&self, id: &str) -> Result<Option<Device>, Error> {
        let row = sqlx::query("select * from device where id = ?").bind(id).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().and_then(device))
    }

    /// All devices, by id.
    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        let rows = sqlx::query("select * from device order by id").fetch_all(&self.pool).await?;
        Ok(rows.iter().filter_map(device).collect())
    }

    pub async fn set_enabled(&self, id: &str, is_enabled: bool) -> Result<(), Error> {
        let changed = sqlx::query("update device set is_enabled = ? where id = ?")
            .bind(is_enabled)
            .bind(id)
            .execute(&self.pool)
            .await?;
        if changed.rows_affected() == 0 { Err(Error::NoDevice(id.to_owned())) } else { Ok(()) }
    }

    pub async fn delete_device(&self, id: &str) -> Result<(), Error> {
        let deleted = sqlx::query("delete from device where id = ?").bind(id).execute(&self.pool).await?;
        if deleted.rows_affected() == 0 { Err(Error::NoDevice(id.to_owned())) } else { Ok(()) }
    }

    /// Makes a module of a device, with two new keys: primary, secondary.
    pub async fn create_module(&self, device_id: &str, id: &str) -> Result<[Key; 2], Error> {
        if !is_valid_id(id) {
            return Err(Error::BadId(id.to_owned()));
        }
        if self.device(device_id).await?.is_none() {
            return Err(Error::NoDevice(device_id.to_owned()));
        }
        let keys = [Key::random().ok_or(Error::NoRandomness)?, Key::random().ok_or(Error::NoRandomness)?];
        let inserted = sqlx::query("insert into module values (?, ?, ?, ?) on conflict do nothing")
            .bind(device_id)
            .bind(id)
            .bind(keys[0].to_base64())
            .bind(keys[1].to_base64())
            .execute(&self.pool)
            .await?;
        if inserted.rows_affected() == 0 { Err(Error::Exists(format!("{device_id}/{id}"))) } else { Ok(keys) }
    }

    /// The keys of a module, `None` when there is no such module.
    pub async fn module_keys(&self, device_id: &str, id: &str) -> Result<Option<[Key; 2]>, Error> {
        let row = sqlx::query("select primary_key, secondary_key from module where device_id = ? and id = ?")
            .bind(device_id)
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.and_then(|row| Some([key(&row, "primary_key")?, key(&row, "secondary_key")?])))
    }
}

fn key(row: &sqlx::sqlite::SqliteRow, column: &str) -> Option<Key> {
    row.try_get::<String, _>(column).ok().and_then(|text| Key::from_base64(&text))
}

fn device(row: &sqlx::sqlite::SqliteRow) -> Option<Device> {
    Some(Device {
        id: row.try_get("id").ok()?,
        primary_key: key(row, "primary_key")?,
        secondary_key: key(row, "secondary_key")?,
        is_enabled: row.try_get("is_enabled").ok()?,
        created_ticks: row.try_get("created_ticks").ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn devices_come_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.sqlite");
        let registry = Registry::open(&path).await.expect("opened");
        let made = registry.create_device("pump-07").await.expect("made");
        assert!(matches!(registry.create_device("pump-07").await, Err(Error::Exists(_))));
        assert!(matches!(registry.create_device("a b").await, Err(Error::BadId(_))));
        drop(registry);
        let registry = Registry::open(&path).await.expect("opened again");
        let found = registry.device("pump-07").await.expect("read").expect("there");
        assert_eq!(found.primary_key, made.primary_key);
        assert_ne!(found.primary_key, found.secondary_key);
        registry.set_enabled("pump-07", false).await.expect("changed");
        assert!(!registry.device("pump-07").await.expect("read").expect("there").is_enabled);
        registry.delete_device("pump-07").await.expect("deleted");
        assert!(registry.devices().await.expect("read").is_empty());
        assert!(matches!(registry.delete_device("pump-07").await, Err(Error::NoDevice(_))));
    }
}
