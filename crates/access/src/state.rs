//! What is kept of principals, their secrets and their roles: the rows in SQLite, and the same in memory.

use crate::Error;
use crate::principal::{ADMINISTRATOR_ID, ADMINISTRATOR_NAME, Assignment, Grant, Kind, Principal, SecretInfo};
use crate::role::Role;
use crate::secret::Digest;
use sqlx::{Row, SqlitePool};
use std::collections::{BTreeMap, HashMap};

/// The tables, one step for each version.
pub(crate) const VERSIONS: &[&str] = &["
create table principal (
    id text primary key,
    kind text not null,
    name text not null,
    display_name text not null,
    issuer text not null,
    password_hash text,
    totp_secret text,
    totp_pending_secret text,
    totp_step_used integer not null default 0,
    is_enabled integer not null,
    created_ticks integer not null,
    unique (kind, issuer, name)
) strict;
create table secret (
    id text primary key,
    principal_id text not null references principal(id) on delete cascade,
    kind text not null,
    digest text not null unique,
    name text not null,
    role text,
    scope text,
    created_ticks integer not null,
    expires_ticks integer not null
) strict;
create table assignment (
    id text primary key,
    principal_id text not null references principal(id) on delete cascade,
    role text not null,
    scope text not null,
    created_ticks integer not null
) strict;
"];

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Client,
    Personal,
    Session,
}

impl Use {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Use::Client => "client",
            Use::Personal => "personal",
            Use::Session => "session",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Use> {
        [Use::Client, Use::Personal, Use::Session].into_iter().find(|of| of.name() == name)
    }
}

/// A principal, with what is never shown.
pub(crate) struct KeptPrincipal {
    pub(crate) shown: Principal,
    pub(crate) password_hash: Option<String>,
    pub(crate) totp_secret: Option<String>,
    /// A secret whose first code has not been shown yet.
    pub(crate) totp_pending: Option<String>,
    /// The step of the last code that was taken: a code is good once.
    pub(crate) totp_step_used: u64,
}

impl KeptPrincipal {
    pub(crate) fn is_user_named(&self, name: &str) -> bool {
        self.shown.kind == Kind::User && self.shown.name.eq_ignore_ascii_case(name)
    }
}

/// A secret, known by its digest alone.
pub(crate) struct KeptSecret {
    pub(crate) of: Use,
    pub(crate) info: SecretInfo,
}

/// Everything, for the questions of every call.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) principals: HashMap<String, KeptPrincipal>,
    pub(crate) secrets: HashMap<Digest, KeptSecret>,
    /// By id.
    pub(crate) assignments: BTreeMap<String, Assignment>,
}

/// The principal of the admin token, and its role.
pub(crate) async fn ensure_administrator(pool: &SqlitePool, state: &mut State) -> Result<(), Error> {
    let shown = Principal {
        id: ADMINISTRATOR_ID.to_owned(),
        kind: Kind::Administrator,
        name: ADMINISTRATOR_NAME.to_owned(),
        display_name: ADMINISTRATOR_NAME.to_owned(),
        issuer: String::new(),
        is_enabled: true,
        has_totp: false,
        created_ticks: kql::datetime::now(),
    };
    sqlx::query(
        "insert into principal (id, kind, name, display_name, issuer, is_enabled, created_ticks)
         values (?, ?, ?, ?, '', 1, ?) on conflict do nothing",
    )
    .bind(&shown.id)
    .bind(shown.kind.name())
    .bind(&shown.name)
    .bind(&shown.display_name)
    .bind(shown.created_ticks)
    .execute(pool)
    .await?;
    let kept = KeptPrincipal { shown, password_hash: None, totp_secret: None, totp_pending: None, totp_step_used: 0 };
    state.principals.entry(ADMINISTRATOR_ID.to_owned()).or_insert(kept);
    Ok(())
}

/// Reads everything.
pub(crate) async fn load(pool: &SqlitePool) -> Result<State, Error> {
    let mut state = State::default();
    for row in sqlx::query("select * from principal").fetch_all(pool).await? {
        let Some(kind) = Kind::named(row.try_get("kind")?) else { continue };
        let shown = Principal {
            id: row.try_get("id")?,
            kind,
            name: row.try_get("name")?,
            display_name: row.try_get("display_name")?,
            issuer: row.try_get("issuer")?,
            is_enabled: row.try_get("is_enabled")?,
            has_totp: row.try_get::<Option<String>, _>("totp_secret")?.is_some(),
            created_ticks: row.try_get("created_ticks")?,
        };
        let kept = KeptPrincipal {
            password_hash: row.try_get("password_hash")?,
            totp_secret: row.try_get("totp_secret")?,
            totp_pending: row.try_get("totp_pending_secret")?,
            totp_step_used: u64::try_from(row.try_get::<i64, _>("totp_step_used")?).unwrap_or_default(),
            shown,
        };
        state.principals.insert(kept.shown.id.clone(), kept);
    }
    for row in sqlx::query("select * from secret").fetch_all(pool).await? {
        let (role, scope): (Option<String>, Option<String>) = (row.try_get("role")?, row.try_get("scope")?);
        let limit = match role.zip(scope) {
            Some((role, scope)) => match Role::named(&role) {
                Some(role) => Some(Grant { role, scope }),
                // A token that was limited to a role that is no more is good for nothing.
                None => continue,
            },
            None => None,
        };
        let (of, digest) = (Use::named(row.try_get("kind")?), Digest::from_text(row.try_get("digest")?));
        let Some((of, digest)) = of.zip(digest) else { continue };
        let info = SecretInfo {
            id: row.try_get("id")?,
            principal_id: row.try_get("principal_id")?,
            name: row.try_get("name")?,
            created_ticks: row.try_get("created_ticks")?,
            expires_ticks: row.try_get("expires_ticks")?,
            limit,
        };
        state.secrets.insert(digest, KeptSecret { of, info });
    }
    for row in sqlx::query("select * from assignment").fetch_all(pool).await? {
        let Some(role) = Role::named(row.try_get("role")?) else { continue };
        let assignment = Assignment {
            id: row.try_get("id")?,
            principal_id: row.try_get("principal_id")?,
            grant: Grant { role, scope: row.try_get("scope")? },
            created_ticks: row.try_get("created_ticks")?,
        };
        state.assignments.insert(assignment.id.clone(), assignment);
    }
    Ok(state)
}
