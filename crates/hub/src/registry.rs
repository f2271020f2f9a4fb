//! Hubs and the identities of their devices and modules, in SQLite.

use iothub::{Key, is_valid_id};
use parking_lot::RwLock;
use sqlx::{Row, SqlitePool};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The hub that is meant where none is named, and that is always there.
pub const DEFAULT_HUB: &str = "hub";

const VERSIONS: &[&str] = &[
    "
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
",
    // Version 1 had one hub, which was named so.
    "
create table hub (name text primary key collate nocase) strict;
insert into hub values ('hub');
create table device_of_hub (
    hub text not null collate nocase references hub(name) on delete cascade,
    id text not null,
    primary_key text not null,
    secondary_key text not null,
    is_enabled integer not null,
    created_ticks integer not null,
    primary key (hub, id)
) strict;
insert into device_of_hub select 'hub', id, primary_key, secondary_key, is_enabled, created_ticks from device;
create table module_of_hub (
    hub text not null collate nocase,
    device_id text not null,
    id text not null,
    primary_key text not null,
    secondary_key text not null,
    primary key (hub, device_id, id),
    foreign key (hub, device_id) references device_of_hub(hub, id) on delete cascade
) strict;
insert into module_of_hub select 'hub', device_id, id, primary_key, secondary_key from module;
drop table module;
drop table device;
alter table device_of_hub rename to device;
alter table module_of_hub rename to module;
",
];

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
    #[error("there is no hub named '{0}'")]
    NoHub(String),
    #[error(transparent)]
    Open(#[from] sqlite::Error),
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

/// All hubs and their identities. Cheap to clone.
#[derive(Clone)]
pub struct Hubs {
    pool: SqlitePool,
    names: Arc<RwLock<BTreeSet<String>>>,
}

/// The identities of one hub. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pool: SqlitePool,
    hub: String,
}

impl Hubs {
    /// Opens the hubs in `path`, or makes the file with one hub in it.
    pub async fn open(path: &Path) -> Result<Hubs, Error> {
        let pool = sqlite::open(path, VERSIONS).await?;
        let rows = sqlx::query("select name from hub").fetch_all(&pool).await?;
        let names = rows.iter().map(|row| row.try_get("name")).collect::<Result<BTreeSet<String>, _>>()?;
        Ok(Hubs { pool, names: Arc::new(RwLock::new(names)) })
    }

    /// Writes a copy of the file as it is at this moment.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        Ok(sqlite::copy(&self.pool, path).await?)
    }

    /// The names of all hubs.
    pub fn names(&self) -> Vec<String> {
        self.names.read().iter().cloned().collect()
    }

    /// The identities of a hub, by its name in any case.
    pub fn hub(&self, name: &str) -> Option<Registry> {
        let names = self.names.read();
        let known = names.iter().find(|known| known.eq_ignore_ascii_case(name))?;
        Some(Registry { pool: self.pool.clone(), hub: known.clone() })
    }

    /// The hub that a host name means: the one of that name or of its first label, else the default one.
    pub fn of_host(&self, host: &str) -> Registry {
        let label = host.split('.').next().unwrap_or_default();
        let named = self.hub(host).or_else(|| self.hub(label));
        named.unwrap_or_else(|| Registry { pool: self.pool.clone(), hub: DEFAULT_HUB.to_owned() })
    }

    /// Makes a hub, if there is none of that name.
    pub async fn create(&self, name: &str) -> Result<Registry, Error> {
        sqlx::query("insert into hub values (?) on conflict do nothing").bind(name).execute(&self.pool).await?;
        if let Some(known) = self.hub(name) {
            return Ok(known);
        }
        self.names.write().insert(name.to_owned());
        Ok(Registry { pool: self.pool.clone(), hub: name.to_owned() })
    }

    /// Removes a hub with all of its devices.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let deleted = sqlx::query("delete from hub where name = ?").bind(name).execute(&self.pool).await?;
        self.names.write().retain(|known| !known.eq_ignore_ascii_case(name));
        if deleted.rows_affected() == 0 { Err(Error::NoHub(name.to_owned())) } else { Ok(()) }
    }
}

impl Registry {
    /// The name of the hub.
    pub fn hub(&self) -> &str {
        &self.hub
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
        let inserted = sqlx::query("insert into device values (?, ?, ?, ?, 1, ?) on conflict do nothing")
            .bind(&self.hub)
            .bind(&device.id)
            .bind(device.primary_key.to_base64())
            .bind(device.secondary_key.to_base64())
            .bind(device.created_ticks)
            .execute(&self.pool)
            .await?;
        if inserted.rows_affected() == 0 { Err(Error::Exists(id.to_owned())) } else { Ok(device) }
    }

    pub async fn device(&self, id: &str) -> Result<Option<Device>, Error> {
        let query = sqlx::query("select * from device where hub = ? and id = ?").bind(&self.hub).bind(id);
        Ok(query.fetch_optional(&self.pool).await?.as_ref().and_then(device))
    }

    /// All devices, by id.
    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        let query = sqlx::query("select * from device where hub = ? order by id").bind(&self.hub);
        Ok(query.fetch_all(&self.pool).await?.iter().filter_map(device).collect())
    }

    /// How many devices there are.
    pub async fn device_count(&self) -> Result<u64, Error> {
        let query = sqlx::query("select count(*) from device where hub = ?").bind(&self.hub);
        let count: i64 = query.fetch_one(&self.pool).await?.get(0);
        Ok(u64::try_from(count).unwrap_or_default())
    }

    pub async fn set_enabled(&self, id: &str, is_enabled: bool) -> Result<(), Error> {
        let changed = sqlx::query("update device set is_enabled = ? where hub = ? and id = ?")
            .bind(is_enabled)
            .bind(&self.hub)
            .bind(id)
            .execute(&self.pool)
            .await?;
        if changed.rows_affected() == 0 { Err(Error::NoDevice(id.to_owned())) } else { Ok(()) }
    }

    pub async fn delete_device(&self, id: &str) -> Result<(), Error> {
        let query = sqlx::query("delete from device where hub = ? and id = ?").bind(&self.hub).bind(id);
        let deleted = query.execute(&self.pool).await?;
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
        let inserted = sqlx::query("insert into module values (?, ?, ?, ?, ?) on conflict do nothing")
            .bind(&self.hub)
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
        let text = "select primary_key, secondary_key from module where hub = ? and device_id = ? and id = ?";
        let row = sqlx::query(text).bind(&self.hub).bind(device_id).bind(id).fetch_optional(&self.pool).await?;
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
        let registry = Hubs::open(&path).await.expect("opened").of_host("any");
        let made = registry.create_device("pump-07").await.expect("made");
        assert!(matches!(registry.create_device("pump-07").await, Err(Error::Exists(_))));
        assert!(matches!(registry.create_device("a b").await, Err(Error::BadId(_))));
        drop(registry);
        let registry = Hubs::open(&path).await.expect("opened again").hub("HUB").expect("the default");
        let found = registry.device("pump-07").await.expect("read").expect("there");
        assert_eq!(found.primary_key, made.primary_key);
        assert_ne!(found.primary_key, found.secondary_key);
        registry.set_enabled("pump-07", false).await.expect("changed");
        assert!(!registry.device("pump-07").await.expect("read").expect("there").is_enabled);
        registry.delete_device("pump-07").await.expect("deleted");
        assert!(registry.devices().await.expect("read").is_empty());
        assert!(matches!(registry.delete_device("pump-07").await, Err(Error::NoDevice(_))));
    }

    #[tokio::test]
    async fn devices_of_two_hubs_are_two() {
        let folder = tempfile::tempdir().expect("a folder");
        let hubs = Hubs::open(&folder.path().join("hub.sqlite")).await.expect("opened");
        let plant = hubs.create("plant-b").await.expect("made");
        hubs.create("PLANT-B").await.expect("it is there");
        assert_eq!(hubs.names(), ["hub", "plant-b"]);
        let here = plant.create_device("pump-07").await.expect("made");
        plant.create_module("pump-07", "agent").await.expect("made");
        let there = hubs.of_host("localhost").create_device("pump-07").await.expect("another");
        assert_ne!(here.primary_key, there.primary_key);
        assert_eq!(hubs.of_host("plant-b.example.com").hub(), "plant-b");
        assert!(hubs.hub("hub").expect("there").module_keys("pump-07", "agent").await.expect("read").is_none());
        hubs.delete("plant-b").await.expect("deleted");
        assert_eq!(hubs.of_host("plant-b.example.com").hub(), DEFAULT_HUB);
        let again = hubs.create("plant-b").await.expect("made");
        assert!(again.device("pump-07").await.expect("read").is_none(), "its devices went with it");
    }

    #[tokio::test]
    async fn devices_of_version_1_are_those_of_the_default_hub() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.sqlite");
        let old = sqlite::open(&path, &VERSIONS[..1]).await.expect("version 1");
        let key = Key::random().expect("random").to_base64();
        for insert in
            ["insert into device values ('pump-07', ?, ?, 1, 7)", "insert into module values ('pump-07', 'm', ?, ?)"]
        {
            sqlx::query(insert).bind(&key).bind(&key).execute(&old).await.expect("inserted");
        }
        old.close().await;
        let hub = Hubs::open(&path).await.expect("brought up").hub(DEFAULT_HUB).expect("there");
        assert_eq!(hub.device("pump-07").await.expect("read").expect("there").created_ticks, 7);
        assert!(hub.module_keys("pump-07", "m").await.expect("read").is_some());
    }
}
