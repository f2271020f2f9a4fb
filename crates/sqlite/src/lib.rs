//! Opening the SQLite files of a data folder, and bringing them to the version of this program.
//!
//! What stands in a file, and what its tables mean, is the business of whoever opens it.

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row, SqlitePool};
use std::path::Path;

const CONNECTIONS_MAX: u32 = 4;

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A newer program has written it.
    #[error(
        "{path} has schema version {found}, this program reads versions up to {known}: it was written by a newer one"
    )]
    Newer { path: String, found: i64, known: usize },
    #[error("{path}: {source}")]
    Database { path: String, source: sqlx::Error },
}

/// Opens the file at `path`, or makes it. `versions` are what leads from each version of the schema to the next, the
/// first from an empty file; each is done whole or not at all. A change is on disk when it is committed.
pub async fn open(path: &Path, versions: &'static [&'static str]) -> Result<SqlitePool, Error> {
    let shown = path.display().to_string();
    let at = |source| Error::Database { path: shown.clone(), source };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await.map_err(at)?;
    let found: i64 = sqlx::query("pragma user_version").fetch_one(&pool).await.map_err(at)?.get(0);
    let Some(missing) = usize::try_from(found).ok().and_then(|found| versions.get(found..)) else {
        return Err(Error::Newer { path: shown, found, known: versions.len() });
    };
    for (step, sql) in (found + 1..).zip(missing) {
        let mut transaction = pool.begin().await.map_err(at)?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(at)?;
        let noted = AssertSqlSafe(format!("pragma user_version = {step}"));
        sqlx::raw_sql(noted).execute(&mut *transaction).await.map_err(at)?;
        transaction.commit().await.map_err(at)?;
    }
    Ok(pool)
}

/// Writes a copy of an open file as it is at this moment.
pub async fn copy(pool: &SqlitePool, path: &Path) -> Result<(), sqlx::Error> {
    sqlx::query("vacuum into ?").bind(path.to_string_lossy().into_owned()).execute(pool).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_brought_to_the_newest_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sqlite");
        let old = open(&path, &["create table t (a integer) strict; insert into t values (1);"]).await.expect("made");
        old.close().await;
        let both: &[&str] = &["create table t (a integer) strict;", "alter table t add column b text;"];
        let new = open(&path, both).await.expect("brought up");
        let row = sqlx::query("select a, b from t").fetch_one(&new).await.expect("a row");
        assert_eq!((row.get::<i64, _>(0), row.get::<Option<String>, _>(1)), (1, None));
        copy(&new, &folder.path().join("b.sqlite")).await.expect("copied");
        new.close().await;
        let error = open(&path, &["create table t (a integer) strict;"]).await.expect_err("it is newer");
        assert!(error.to_string().contains("version 2"), "{error}");
        open(&folder.path().join("b.sqlite"), both).await.expect("the copy opens");
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_the_version_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sqlite");
        open(&path, &["create table t (a integer) strict;", "create table u (a integer) strict; broken"])
            .await
            .expect_err("broken");
        let pool = open(&path, &["create table t (a integer) strict;"]).await.expect("version 1");
        let tables = sqlx::query("select name from sqlite_master").fetch_all(&pool).await.expect("tables");
        assert_eq!(tables.len(), 1);
    }
}
