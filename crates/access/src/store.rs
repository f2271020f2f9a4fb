//! Who signs in, what their secrets are good for, and how principals, secrets and roles change.

use crate::admin_token::AdminToken;
use crate::attempts::RateLimit;
use crate::link::Links;
use crate::passwords;
use crate::principal::{ADMINISTRATOR_ID, Assignment, Caller, Grant, Kind, Means, Principal, SecretInfo};
use crate::role::{Role, holds};
use crate::secret::{Digest, SecretText};
use crate::state::{self, KeptPrincipal, KeptSecret, State, Use};
use crate::ticket::{LIFE_SECONDS, Tickets};
use crate::{Error, oidc};
use kql::timespan::{TICKS_PER_DAY, TICKS_PER_HOUR};
use parking_lot::RwLock;
use sqlx::SqlitePool;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const FILE_NAME: &str = "access.sqlite";

const NAME_CHARACTERS_MAX: usize = 128;
const SCOPE_CHARACTERS_MAX: usize = 1024;
/// OpenID Connect says so.
const SUBJECT_BYTES_MAX: usize = 255;
const SECRETS_OF_PRINCIPAL_MAX: usize = 100;
const PRINCIPALS_MAX: usize = 100_000;
const ASSIGNMENTS_MAX: usize = 100_000;
/// The longest life of a client secret or a personal access token.
pub(crate) const DAYS_MAX: u32 = 730;
const SESSION_TICKS: i64 = 12 * TICKS_PER_HOUR;
/// So many wrong passwords of one name from one address at once, then one in 90 seconds: about ten in 15 minutes.
const FAILURES_OF_NAME: u32 = 10;
const FAILURES_OF_NAME_PER_SECOND: f64 = 1.0 / 90.0;
/// The same of one user from everywhere: enough that nobody locks a user out from one address alone.
const FAILURES_OF_USER: u32 = 100;
const FAILURES_OF_USER_PER_SECOND: f64 = 1.0 / 9.0;
/// So many pairs of name and address are counted.
const ATTEMPTS_MAX: usize = 10_000;

/// A secret that was made just now, with the text that is shown this once.
#[derive(Debug, Clone)]
pub struct NewSecret {
    pub info: SecretInfo,
    pub text: SecretText,
}

/// What is changed of a principal; nothing where nothing is said.
#[derive(Default)]
pub struct UserChange {
    pub display_name: Option<String>,
    pub is_enabled: Option<bool>,
    pub password: Option<String>,
}

/// What an authenticator is set up with. Never printed.
#[derive(Clone)]
pub struct Totp {
    pub secret: String,
    pub uri: String,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the name, the password or the code is wrong")]
    Credentials,
    /// The password is right, but the one-time code is missing.
    #[error("a one-time code is needed")]
    NeedsCode,
    /// Too many wrong attempts.
    #[error("too many wrong attempts; try again later")]
    LockedOut(Duration),
    /// The secret was good once.
    #[error("the secret has expired")]
    Expired,
}

/// Everybody who may do something, and what. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    pool: SqlitePool,
    state: Arc<RwLock<State>>,
    tickets: Arc<Tickets>,
    admin_token: Arc<AdminToken>,
    links: Arc<Links>,
    /// Wrong attempts, by name and address, and by user.
    failures: Arc<RateLimit<(String, Option<IpAddr>)>>,
    failures_of_user: Arc<RateLimit<String>>,
    /// One change at a time, so that what is in memory is what is on disk.
    changing: Arc<tokio::sync::Mutex<()>>,
}

fn now() -> i64 {
    kql::datetime::now()
}

fn unix_seconds(ticks: i64) -> u64 {
    u64::try_from(kql::datetime::to_unix_micros(ticks) / 1_000_000).unwrap_or_default()
}

impl Access {
    /// Opens what a data folder knows of principals, or makes it.
    pub async fn open(folder: &Path) -> Result<Access, Error> {
        let pool = sqlite::open(&folder.join(FILE_NAME), state::VERSIONS).await?;
        sqlx::query("delete from secret where expires_ticks < ? and kind = 'session'")
            .bind(now())
            .execute(&pool)
            .await?;
        let mut state = state::load(&pool).await?;
        state::ensure_administrator(&pool, &mut state).await?;
        Ok(Access {
            pool,
            state: Arc::new(RwLock::new(state)),
            tickets: Arc::new(Tickets::load_or_create(folder)?),
            admin_token: Arc::new(AdminToken::load_or_create(folder)?),
            links: Arc::default(),
            failures: Arc::new(RateLimit::new(ATTEMPTS_MAX, FAILURES_OF_NAME, FAILURES_OF_NAME_PER_SECOND)),
            failures_of_user: Arc::new(RateLimit::new(PRINCIPALS_MAX, FAILURES_OF_USER, FAILURES_OF_USER_PER_SECOND)),
            changing: Arc::default(),
        })
    }

    /// Writes a copy of the principals as they are at this moment, into a folder.
    pub async fn copy_to(&self, folder: &Path) -> Result<(), Error> {
        Ok(sqlite::copy(&self.pool, &folder.join(FILE_NAME)).await?)
    }

    /// Who shows a bearer token: the admin token, an access token of this server, or a personal access token.
    pub fn by_token(&self, token: &str) -> Option<Caller> {
        let digest = Digest::of(token);
        if self.admin_token.is(digest) {
            return Role::named("Owner").map(Caller::administrator);
        }
        if let Some(principal) = self.tickets.principal_of(token, unix_seconds(now())) {
            return self.caller(&principal, Means::AccessToken, None);
        }
        self.by_digest(digest, Use::Personal, Means::PersonalToken)
    }

    /// Who shows a session's text.
    pub fn by_session(&self, text: &str) -> Option<Caller> {
        self.by_digest(Digest::of(text), Use::Session, Means::Session)
    }

    fn by_digest(&self, digest: Digest, of: Use, means: Means) -> Option<Caller> {
        let state = self.state.read();
        let secret = state.secrets.get(&digest).filter(|secret| secret.of == of)?;
        if secret.info.expires_ticks <= now() {
            return None;
        }
        let info = secret.info.clone();
        drop(state);
        // Tokens of the administrator go with the admin token that they were made with.
        if info.principal_id == ADMINISTRATOR_ID && self.admin_token.was_renewed_after(info.created_ticks) {
            return None;
        }
        self.caller(&info.principal_id.clone(), means, Some(info))
    }

    fn caller(&self, principal_id: &str, means: Means, secret: Option<SecretInfo>) -> Option<Caller> {
        let state = self.state.read();
        let principal = state.principals.get(principal_id).filter(|principal| principal.shown.is_enabled)?;
        let of = state.assignments.values().filter(|assignment| assignment.principal_id == principal_id);
        let mut grants: Vec<Grant> = of.map(|assignment| assignment.grant.clone()).collect();
        if principal.shown.kind == Kind::Administrator {
            grants.extend(Role::named("Owner").map(|role| Grant { role, scope: "/".to_owned() }));
        }
        let (secret_id, limit) = secret.map_or((String::new(), None), |secret| (secret.id, secret.limit));
        Some(Caller {
            principal_id: principal_id.to_owned(),
            name: principal.shown.name.clone(),
            means,
            secret_id,
            grants,
            limit,
        })
    }

    /// The code of a link that signs the administrator in, once, within [`crate::LINK_TICKS`].
    pub fn sign_in_link(&self) -> Result<SecretText, Error> {
        self.links.issue(now())
    }

    /// Whom a link signs in, where its code is good. It is good no more after this.
    pub fn redeem_link(&self, code: &str) -> Option<String> {
        let made = self.links.redeem(code, now())?;
        // Links go with the admin token that they were made with, as tokens do.
        (!self.admin_token.was_renewed_after(made)).then(|| ADMINISTRATOR_ID.to_owned())
    }

    /// Signs a program in by its client secret; an access token and for how many seconds it is good. Nobody is locked
    /// out: what is 256 random bits is not guessed, and whoever knows a program's id must not be able to stop it.
    pub fn sign_in_program(
        &self,
        app_id: &str,
        secret: &str,
        issuer: &str,
        audience: &str,
    ) -> Result<(Caller, String, u64), Wrong> {
        let found = {
            let state = self.state.read();
            let secret = state.secrets.get(&Digest::of(secret)).filter(|secret| secret.of == Use::Client);
            secret.and_then(|secret| {
                let principal = state.principals.get(&secret.info.principal_id)?;
                let is_it = principal.shown.is_enabled && principal.shown.name.eq_ignore_ascii_case(app_id);
                is_it.then(|| (principal.shown.id.clone(), secret.info.expires_ticks <= now()))
            })
        };
        let (principal_id, is_expired) = found.ok_or(Wrong::Credentials)?;
        if is_expired {
            return Err(Wrong::Expired);
        }
        let caller = self.caller(&principal_id, Means::AccessToken, None).ok_or(Wrong::Credentials)?;
        let issued = self.tickets.issue(&principal_id, app_id, issuer, audience, unix_seconds(now()));
        Ok((caller, issued.ok_or(Wrong::Credentials)?, LIFE_SECONDS))
    }

    /// Signs a person in by password and, where it has one, one-time code. Takes tens of milliseconds of a processor.
    pub fn check_user(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<String, Wrong> {
        if name.chars().count() > NAME_CHARACTERS_MAX || password.len() > passwords::PASSWORD_BYTES_MAX {
            return Err(Wrong::Credentials);
        }
        let key = (name.to_lowercase(), address);
        self.failures.check(&key, Instant::now()).map_err(Wrong::LockedOut)?;
        let user = self.state.read().principals.values().find(|p| p.is_user_named(name)).map(|p| p.shown.id.clone());
        if let Some(id) = &user {
            self.failures_of_user.check(id, Instant::now()).map_err(Wrong::LockedOut)?;
        }
        let outcome = self.check_password(user.as_deref(), password, code);
        match (&outcome, &user) {
            (Err(Wrong::Credentials), user) => {
                let _ = self.failures.take(&key, Instant::now());
                if let Some(id) = user {
                    let _ = self.failures_of_user.take(id, Instant::now());
                }
            }
            (Ok(id), _) => {
                self.failures.forgive(&key);
                self.failures_of_user.forgive(id);
            }
            _ => {}
        }
        outcome
    }

    /// Whether this is the password of a user and, where one is needed, a code of this moment that was not used yet. It
    /// takes as long where there is no such user.
    fn check_password(&self, id: Option<&str>, password: &str, code: Option<&str>) -> Result<String, Wrong> {
        let found = id.and_then(|id| {
            let state = self.state.read();
            let user = state.principals.get(id)?;
            Some((user.shown.is_enabled, user.password_hash.clone(), user.totp_secret.clone()))
        });
        let is_right = passwords::is_right(password, found.as_ref().and_then(|(_, hash, _)| hash.as_deref()));
        let (Some(id), Some((true, _, totp_secret))) = (id, found.filter(|_| is_right)) else {
            return Err(Wrong::Credentials);
        };
        let Some(secret) = totp_secret else { return Ok(id.to_owned()) };
        let Some(code) = code.filter(|code| !code.is_empty()) else { return Err(Wrong::NeedsCode) };
        let step = passwords::totp_step(&secret, code, unix_seconds(now()));
        let mut state = self.state.write();
        let user = state.principals.get_mut(id);
        let used = user.zip(step).filter(|(user, step)| *step > user.totp_step_used);
        let (user, step) = used.ok_or(Wrong::Credentials)?;
        user.totp_step_used = step;
        Ok(id.to_owned())
    }

    /// Whether somebody who is signed in knows their password, before it or what goes with it is changed.
    pub fn confirm(&self, id: &str, password: &str, code: Option<&str>, address: Option<IpAddr>) -> Result<(), Wrong> {
        let name = self.principal(id).map(|principal| principal.name).unwrap_or_default();
        self.check_user(&name, password, code, address).map(|_| ())
    }

    /// A session for a principal that has just shown who it is.
    pub async fn start_session(&self, principal_id: &str) -> Result<NewSecret, Error> {
        // The step of the code that was shown outlives a restart.
        let step = self.state.read().principals.get(principal_id).map_or(0, |user| user.totp_step_used);
        let query = sqlx::query("update principal set totp_step_used = max(totp_step_used, ?) where id = ?");
        query.bind(i64::try_from(step).unwrap_or(i64::MAX)).bind(principal_id).execute(&self.pool).await?;
        self.put_secret(principal_id, Use::Session, "session", None, now() + SESSION_TICKS).await
    }

    /// The principal of a person whom an outside provider vouches for; made when it is not known yet, without any role.
    pub async fn outside_user(&self, person: &oidc::Person) -> Result<Principal, Error> {
        if person.subject.len() > SUBJECT_BYTES_MAX {
            return Err(Error::Bad(format!(
                "the provider's name of the person has more than {SUBJECT_BYTES_MAX} bytes"
            )));
        }
        let shown: String = person.shown().chars().filter(|c| !c.is_control()).take(NAME_CHARACTERS_MAX).collect();
        let known = self.find(|p| p.kind == Kind::OutsideUser && p.issuer == person.issuer && p.name == person.subject);
        match known {
            Some(known) if !known.is_enabled => Err(Error::Bad(format!("'{}' is disabled", known.display_name))),
            Some(known) => Ok(known),
            None => self.put_principal(Kind::OutsideUser, &person.subject, &shown, &person.issuer, None).await,
        }
    }

    fn find(&self, is_it: impl Fn(&Principal) -> bool) -> Option<Principal> {
        self.state.read().principals.values().map(|p| &p.shown).find(|p| is_it(p)).cloned()
    }

    pub fn principal(&self, id: &str) -> Option<Principal> {
        self.state.read().principals.get(id).map(|p| p.shown.clone())
    }

    /// The user of that name, in any case, or of that id. People whom others vouch for go by their ids: their names are
    /// given elsewhere.
    pub fn user(&self, name: &str) -> Option<Principal> {
        self.find(|p| match p.kind {
            Kind::User => p.name.eq_ignore_ascii_case(name) || p.id == name,
            Kind::OutsideUser => p.id == name,
            _ => false,
        })
    }

    /// All principals, by name.
    pub fn principals(&self) -> Vec<Principal> {
        let mut all: Vec<Principal> = self.state.read().principals.values().map(|p| p.shown.clone()).collect();
        all.sort_by(|a, b| (&a.display_name, &a.id).cmp(&(&b.display_name, &b.id)));
        all
    }

    /// A program, known by a new application id.
    pub async fn create_program(&self, display_name: &str) -> Result<Principal, Error> {
        check_name(display_name)?;
        self.put_principal(Kind::ServicePrincipal, &Uuid::new_v4().to_string(), display_name, "", None).await
    }

    /// A person with a password here.
    pub async fn create_user(&self, name: &str, display_name: &str, password: &str) -> Result<Principal, Error> {
        check_name(name)?;
        check_name(display_name)?;
        // An authenticator shows issuer and name with a colon between them.
        if name.contains(':') || name.contains('/') {
            return Err(Error::Bad("the name of a user has neither ':' nor '/' in it".to_owned()));
        }
        if self.find(|p| p.kind == Kind::User && p.name.eq_ignore_ascii_case(name)).is_some() {
            return Err(Error::Exists(format!("a user named '{name}'")));
        }
        let hash = hashed(password).await?;
        self.put_principal(Kind::User, name, display_name, "", Some(hash)).await
    }

    async fn put_principal(
        &self,
        kind: Kind,
        name: &str,
        display_name: &str,
        issuer: &str,
        password_hash: Option<String>,
    ) -> Result<Principal, Error> {
        let _changing = self.changing.lock().await;
        if self.state.read().principals.len() >= PRINCIPALS_MAX {
            return Err(Error::Bad(format!("there are {PRINCIPALS_MAX} principals, which is all there can be")));
        }
        let shown = Principal {
            id: Uuid::new_v4().to_string(),
            kind,
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            issuer: issuer.to_owned(),
            is_enabled: true,
            has_totp: false,
            created_ticks: now(),
        };
        let inserted = sqlx::query(
            "insert into principal (id, kind, name, display_name, issuer, password_hash, is_enabled, created_ticks)
             values (?, ?, ?, ?, ?, ?, 1, ?) on conflict do nothing",
        )
        .bind(&shown.id)
        .bind(kind.name())
        .bind(name)
        .bind(display_name)
        .bind(issuer)
        .bind(&password_hash)
        .bind(shown.created_ticks)
        .execute(&self.pool)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(Error::Exists(format!("a principal named '{name}'")));
        }
        let kept = KeptPrincipal {
            shown: shown.clone(),
            password_hash,
            totp_secret: None,
            totp_pending: None,
            totp_step_used: 0,
        };
        self.state.write().principals.insert(shown.id.clone(), kept);
        Ok(shown)
    }

    /// Switches a principal on or off.
    pub async fn set_enabled(&self, id: &str, is_enabled: bool) -> Result<(), Error> {
        self.change_user(id, UserChange { is_enabled: Some(is_enabled), ..UserChange::default() }).await
    }

    /// A new password. Sessions and tokens of the user end: whoever had the old one may have made them.
    pub async fn set_password(&self, id: &str, password: &str) -> Result<(), Error> {
        self.change_user(id, UserChange { password: Some(password.to_owned()), ..UserChange::default() }).await
    }

    /// Changes a principal, all of it or nothing.
    pub async fn change_user(&self, id: &str, change: UserChange) -> Result<(), Error> {
        if let Some(name) = &change.display_name {
            check_name(name)?;
        }
        let hash = match &change.password {
            Some(password) => Some(hashed(password).await?),
            None => None,
        };
        let _changing = self.changing.lock().await;
        let known = self.principal(id).ok_or_else(|| Error::NotFound(format!("principal '{id}'")))?;
        if hash.is_some() && known.kind != Kind::User {
            return Err(Error::Bad(format!("'{}' has no password here", known.display_name)));
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update principal set display_name = coalesce(?, display_name), is_enabled = coalesce(?, is_enabled),
             password_hash = coalesce(?, password_hash) where id = ?",
        )
        .bind(&change.display_name)
        .bind(change.is_enabled)
        .bind(&hash)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        if hash.is_some() {
            let query = sqlx::query("delete from secret where principal_id = ? and kind <> 'client'").bind(id);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let mut state = self.state.write();
        if hash.is_some() {
            state.secrets.retain(|_, secret| secret.of == Use::Client || secret.info.principal_id != id);
            self.failures_of_user.forgive(&id.to_owned());
            self.failures.forgive_all(|(name, _)| *name == known.name.to_lowercase());
        }
        if let Some(kept) = state.principals.get_mut(id) {
            kept.shown.display_name = change.display_name.unwrap_or(known.display_name);
            kept.shown.is_enabled = change.is_enabled.unwrap_or(known.is_enabled);
            kept.password_hash = hash.or(kept.password_hash.take());
        }
        Ok(())
    }

    /// A secret for one-time codes, not asked for before [`Access::confirm_totp`]; until then the one before is.
    pub async fn new_totp(&self, id: &str) -> Result<Totp, Error> {
        let secret = passwords::new_totp_secret()?;
        let user = self.principal(id).filter(|p| p.kind == Kind::User);
        let user = user.ok_or_else(|| Error::NotFound(format!("user '{id}' with a password")))?;
        let _changing = self.changing.lock().await;
        let query = sqlx::query("update principal set totp_pending_secret = ? where id = ?").bind(&secret).bind(id);
        query.execute(&self.pool).await?;
        self.change(id, |kept| kept.totp_pending = Some(secret.clone()))?;
        Ok(Totp { uri: passwords::totp_uri(&secret, &user.name), secret })
    }

    /// Asks for one-time codes of the new secret from now on, once a first one is right; whether it was. That code is good
    /// for nothing else.
    pub async fn confirm_totp(&self, id: &str, code: &str) -> Result<bool, Error> {
        let secret = self.state.read().principals.get(id).and_then(|kept| kept.totp_pending.clone());
        let secret = secret.ok_or_else(|| Error::NotFound(format!("new secret for one-time codes of '{id}'")))?;
        let Some(step) = passwords::totp_step(&secret, code, unix_seconds(now())) else { return Ok(false) };
        self.put_totp(id, Some(&secret), step).await?;
        Ok(true)
    }

    /// Asks for no codes any more.
    pub async fn remove_totp(&self, id: &str) -> Result<(), Error> {
        self.put_totp(id, None, 0).await
    }

    async fn put_totp(&self, id: &str, secret: Option<&str>, step_used: u64) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let text = "update principal set totp_secret = ?, totp_pending_secret = null, totp_step_used = ? where id = ?";
        let step = i64::try_from(step_used).unwrap_or(i64::MAX);
        sqlx::query(text).bind(secret).bind(step).bind(id).execute(&self.pool).await?;
        self.change(id, |kept| {
            kept.totp_secret = secret.map(str::to_owned);
            kept.totp_pending = None;
            kept.totp_step_used = step_used;
            kept.shown.has_totp = secret.is_some();
        })
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut KeptPrincipal)) -> Result<(), Error> {
        let mut state = self.state.write();
        let kept = state.principals.get_mut(id).ok_or_else(|| Error::NotFound(format!("principal '{id}'")))?;
        change(kept);
        Ok(())
    }

    /// Removes a principal with its secrets and roles.
    pub async fn delete_principal(&self, id: &str) -> Result<(), Error> {
        if id == ADMINISTRATOR_ID {
            return Err(Error::Bad("the administrator is always there".to_owned()));
        }
        let _changing = self.changing.lock().await;
        let deleted = sqlx::query("delete from principal where id = ?").bind(id).execute(&self.pool).await?;
        if deleted.rows_affected() == 0 {
            return Err(Error::NotFound(format!("principal '{id}'")));
        }
        let mut state = self.state.write();
        state.principals.remove(id);
        state.secrets.retain(|_, secret| secret.info.principal_id != id);
        state.assignments.retain(|_, assignment| assignment.principal_id != id);
        Ok(())
    }

    /// A client secret of a program.
    pub async fn create_client_secret(&self, id: &str, days: u32) -> Result<NewSecret, Error> {
        if self.principal(id).is_none_or(|p| p.kind != Kind::ServicePrincipal) {
            return Err(Error::NotFound(format!("service principal '{id}'")));
        }
        self.put_secret(id, Use::Client, "client secret", None, expiry(days)?).await
    }

    /// A personal access token, good for what its owner may do, or for the part of it that `limit` names.
    pub async fn create_token(
        &self,
        id: &str,
        name: &str,
        days: u32,
        limit: Option<Grant>,
    ) -> Result<NewSecret, Error> {
        check_name(name)?;
        if let Some(limit) = &limit {
            check_scope(&limit.scope)?;
        }
        self.put_secret(id, Use::Personal, name, limit, expiry(days)?).await
    }

    async fn put_secret(
        &self,
        principal_id: &str,
        of: Use,
        name: &str,
        limit: Option<Grant>,
        expires_ticks: i64,
    ) -> Result<NewSecret, Error> {
        let _changing = self.changing.lock().await;
        if self.principal(principal_id).is_none() {
            return Err(Error::NotFound(format!("principal '{principal_id}'")));
        }
        self.drop_expired(principal_id).await?;
        let (count, oldest) = {
            let state = self.state.read();
            let own = state.secrets.values().filter(|s| s.info.principal_id == principal_id && s.of == of);
            let oldest = own.clone().min_by_key(|s| s.info.created_ticks).map(|s| s.info.id.clone());
            (own.count(), oldest)
        };
        if count >= SECRETS_OF_PRINCIPAL_MAX {
            match oldest.filter(|_| of == Use::Session) {
                Some(oldest) => self.remove_secret(&oldest).await?,
                None => return Err(Error::Bad(format!("there are {count} of them already; delete some"))),
            }
        }
        let text = SecretText::random()?;
        let info = SecretInfo {
            id: Uuid::new_v4().to_string(),
            principal_id: principal_id.to_owned(),
            name: name.to_owned(),
            created_ticks: now(),
            expires_ticks,
            limit,
        };
        sqlx::query(
            "insert into secret (id, principal_id, kind, digest, name, role, scope, created_ticks, expires_ticks)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&info.id)
        .bind(principal_id)
        .bind(of.name())
        .bind(text.digest().to_text())
        .bind(name)
        .bind(info.limit.as_ref().map(|limit| limit.role.name))
        .bind(info.limit.as_ref().map(|limit| limit.scope.clone()))
        .bind(info.created_ticks)
        .bind(expires_ticks)
        .execute(&self.pool)
        .await?;
        self.state.write().secrets.insert(text.digest(), KeptSecret { of, info: info.clone() });
        Ok(NewSecret { info, text })
    }

    /// Sessions and tokens that have run out are of no use to anybody. Client secrets stay, so that their programs are
    /// told that they have.
    async fn drop_expired(&self, principal_id: &str) -> Result<(), Error> {
        let until = now();
        let query =
            sqlx::query("delete from secret where principal_id = ? and kind <> 'client' and expires_ticks <= ?");
        query.bind(principal_id).bind(until).execute(&self.pool).await?;
        let is_good = |secret: &KeptSecret| {
            secret.info.principal_id != principal_id || secret.of == Use::Client || secret.info.expires_ticks > until
        };
        self.state.write().secrets.retain(|_, secret| is_good(secret));
        Ok(())
    }

    async fn remove_secret(&self, id: &str) -> Result<(), Error> {
        let deleted = sqlx::query("delete from secret where id = ?").bind(id).execute(&self.pool).await?;
        self.state.write().secrets.retain(|_, secret| secret.info.id != id);
        if deleted.rows_affected() == 0 { Err(Error::NotFound(format!("secret '{id}'"))) } else { Ok(()) }
    }

    /// Removes a client secret of a program.
    pub async fn delete_client_secret(&self, principal_id: &str, id: &str) -> Result<(), Error> {
        self.delete_secret(principal_id, Use::Client, id).await
    }

    /// Removes a personal access token.
    pub async fn delete_token(&self, principal_id: &str, id: &str) -> Result<(), Error> {
        self.delete_secret(principal_id, Use::Personal, id).await
    }

    /// Ends a session.
    pub async fn end_session(&self, principal_id: &str, id: &str) -> Result<(), Error> {
        self.delete_secret(principal_id, Use::Session, id).await
    }

    async fn delete_secret(&self, principal_id: &str, of: Use, id: &str) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let is_it = |s: &KeptSecret| s.info.id == id && s.of == of && s.info.principal_id == principal_id;
        if !self.state.read().secrets.values().any(is_it) {
            return Err(Error::NotFound(format!("secret '{id}'")));
        }
        self.remove_secret(id).await
    }

    /// The caller as it is now; `None` where it is none any more: disabled, or its secret gone.
    pub fn still(&self, caller: &Caller) -> Option<Caller> {
        let secret = match caller.means {
            Means::AdminToken => return Some(caller.clone()),
            Means::AccessToken => None,
            Means::PersonalToken | Means::Session => {
                let state = self.state.read();
                let kept = state.secrets.values().find(|secret| secret.info.id == caller.secret_id)?;
                Some(kept.info.clone()).filter(|info| info.expires_ticks > now())
            }
        };
        if secret.is_none() && caller.means != Means::AccessToken {
            return None;
        }
        self.caller(&caller.principal_id, caller.means, secret)
    }

    /// Takes back all roles at a scope and below: what is made there anew is another thing.
    pub async fn forget_scope(&self, scope: &str) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let below: Vec<String> = {
            let state = self.state.read();
            let below = state.assignments.values().filter(|assignment| holds(scope, &assignment.grant.scope));
            below.map(|assignment| assignment.id.clone()).collect()
        };
        for id in below {
            sqlx::query("delete from assignment where id = ?").bind(&id).execute(&self.pool).await?;
            self.state.write().assignments.remove(&id);
        }
        Ok(())
    }

    /// The client secrets of a program.
    pub fn client_secrets(&self, principal_id: &str) -> Vec<SecretInfo> {
        self.secrets(principal_id, Use::Client)
    }

    /// The personal access tokens of a principal.
    pub fn tokens(&self, principal_id: &str) -> Vec<SecretInfo> {
        self.secrets(principal_id, Use::Personal)
    }

    fn secrets(&self, principal_id: &str, of: Use) -> Vec<SecretInfo> {
        let state = self.state.read();
        let own = state.secrets.values().filter(|s| s.of == of && s.info.principal_id == principal_id);
        let mut own: Vec<SecretInfo> = own.map(|s| s.info.clone()).collect();
        own.sort_by_key(|info| info.created_ticks);
        own
    }

    /// Gives a principal a role at a scope.
    pub async fn assign(&self, principal_id: &str, mut grant: Grant) -> Result<Assignment, Error> {
        if grant.scope.len() > 1 {
            grant.scope.truncate(grant.scope.trim_end_matches('/').len());
        }
        let _changing = self.changing.lock().await;
        check_scope(&grant.scope)?;
        if self.principal(principal_id).is_none() {
            return Err(Error::NotFound(format!("principal '{principal_id}'")));
        }
        {
            let state = self.state.read();
            let is_same = |a: &&Assignment| {
                a.principal_id == principal_id
                    && a.grant.role == grant.role
                    && a.grant.scope.eq_ignore_ascii_case(&grant.scope)
            };
            if let Some(known) = state.assignments.values().find(is_same) {
                return Ok(known.clone());
            }
            if state.assignments.len() >= ASSIGNMENTS_MAX {
                return Err(Error::Bad(format!(
                    "there are {ASSIGNMENTS_MAX} role assignments, which is all there can be"
                )));
            }
        }
        let assignment = Assignment {
            id: Uuid::new_v4().to_string(),
            principal_id: principal_id.to_owned(),
            grant,
            created_ticks: now(),
        };
        sqlx::query("insert into assignment (id, principal_id, role, scope, created_ticks) values (?, ?, ?, ?, ?)")
            .bind(&assignment.id)
            .bind(principal_id)
            .bind(assignment.grant.role.name)
            .bind(&assignment.grant.scope)
            .bind(assignment.created_ticks)
            .execute(&self.pool)
            .await?;
        self.state.write().assignments.insert(assignment.id.clone(), assignment.clone());
        Ok(assignment)
    }

    pub fn assignment(&self, id: &str) -> Option<Assignment> {
        self.state.read().assignments.get(id).cloned()
    }

    pub async fn delete_assignment(&self, id: &str) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        let deleted = sqlx::query("delete from assignment where id = ?").bind(id).execute(&self.pool).await?;
        self.state.write().assignments.remove(id);
        if deleted.rows_affected() == 0 { Err(Error::NotFound(format!("role assignment '{id}'"))) } else { Ok(()) }
    }

    /// All role assignments.
    pub fn assignments(&self) -> Vec<Assignment> {
        let mut all: Vec<Assignment> = self.state.read().assignments.values().cloned().collect();
        all.sort_by(|a, b| (a.created_ticks, &a.id).cmp(&(b.created_ticks, &b.id)));
        all
    }
}

async fn hashed(password: &str) -> Result<String, Error> {
    let password = password.to_owned();
    let done = tokio::task::spawn_blocking(move || passwords::hash(&password)).await;
    done.map_err(|_| Error::Bad("the password could not be hashed".to_owned()))?
}

fn expiry(days: u32) -> Result<i64, Error> {
    if days == 0 || days > DAYS_MAX {
        return Err(Error::Bad(format!("days is between 1 and {DAYS_MAX}")));
    }
    Ok(now() + i64::from(days) * TICKS_PER_DAY)
}

fn check_name(name: &str) -> Result<(), Error> {
    let characters = name.chars().count();
    if characters == 0 || characters > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) || name.trim() != name
    {
        let message =
            format!("a name has 1 to {NAME_CHARACTERS_MAX} characters, no control characters, and no blanks around it");
        return Err(Error::Bad(message));
    }
    Ok(())
}

fn check_scope(scope: &str) -> Result<(), Error> {
    let is_step = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    let is_scope = scope == "/"
        || (scope.to_ascii_lowercase().starts_with("/subscriptions/") && scope[1..].split('/').all(is_step));
    if !is_scope || scope.len() > SCOPE_CHARACTERS_MAX {
        return Err(Error::Bad(format!("'{scope}' is no scope: '/', or an id that begins with '/subscriptions/'")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin_token::ADMIN_TOKEN_FILE;
    use crate::role::QUERY;

    const SCOPE: &str = "/subscriptions/s/resourceGroups/default";
    const PASSWORD: &str = "a long enough password";

    fn reader() -> Grant {
        Grant { role: Role::named("Log Analytics Reader").expect("a role"), scope: SCOPE.to_owned() }
    }

    #[tokio::test]
    async fn a_program_signs_in_and_does_what_its_role_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path()).await.expect("opened");
        let program = access.create_program("notebooks").await.expect("made");
        let secret = access.create_client_secret(&program.id, 30).await.expect("made");
        access.assign(&program.id, reader()).await.expect("assigned");
        drop(access);
        let access = Access::open(folder.path()).await.expect("opened again");
        let sign_in = |secret: &str| access.sign_in_program(&program.name, secret, "https://here/adfs", "any");
        assert_eq!(sign_in("tst_wrong").map(drop), Err(Wrong::Credentials));
        let (_, token, _) = sign_in(secret.text.reveal()).expect("signed in");
        let caller = access.by_token(&token).expect("known");
        assert!(caller.may(QUERY, &format!("{SCOPE}/x")) && !caller.may(QUERY, "/subscriptions/s"));
        access.set_enabled(&program.id, false).await.expect("disabled");
        assert!(access.by_token(&token).is_none(), "a disabled principal's tokens are good no more");
        access.set_enabled(&program.id, true).await.expect("enabled");
        access.delete_client_secret(&program.id, &secret.info.id).await.expect("deleted");
        assert_eq!(sign_in(secret.text.reveal()).map(drop), Err(Wrong::Credentials));
        access.delete_principal(&program.id).await.expect("deleted");
        assert!(access.assignments().is_empty());
    }

    #[tokio::test]
    async fn a_name_is_locked_out_after_too_many_failures() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path()).await.expect("opened");
        let ann = access.create_user("ann", "Ann", PASSWORD).await.expect("made");
        assert!(matches!(access.create_user("ANN", "Ann", PASSWORD).await, Err(Error::Exists(_))));
        for _ in 0..FAILURES_OF_NAME {
            assert_eq!(access.check_user("Ann", "wrong", None, None), Err(Wrong::Credentials));
        }
        assert!(matches!(access.check_user("ann", PASSWORD, None, None), Err(Wrong::LockedOut(_))));
        let elsewhere = Some(std::net::Ipv4Addr::LOCALHOST.into());
        assert_eq!(
            access.check_user("ann", PASSWORD, None, elsewhere).as_ref(),
            Ok(&ann.id),
            "nobody locks out another"
        );
        assert_eq!(access.check_user("bob", PASSWORD, None, None), Err(Wrong::Credentials));
        // A new password, set by somebody who may, opens the door.
        access.set_password(&ann.id, "another long password").await.expect("set");
        assert_eq!(access.check_user("ann", "another long password", None, None), Ok(ann.id));
    }

    #[tokio::test]
    async fn codes_are_asked_for_once_confirmed_and_good_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path()).await.expect("opened");
        let ann = access.create_user("ann", "Ann", PASSWORD).await.expect("made");
        let totp = access.new_totp(&ann.id).await.expect("made");
        assert_eq!(access.check_user("ann", PASSWORD, None, None), Ok(ann.id.clone()), "not confirmed yet");
        let code = |later_seconds| {
            let bytes = totp_rs::Secret::Encoded(totp.secret.clone()).to_bytes().expect("base32");
            let totp = totp_rs::TOTP::new(totp_rs::Algorithm::SHA1, 6, 1, 30, bytes, None, "ann".to_owned());
            totp.expect("totp").generate(unix_seconds(now()) + later_seconds)
        };
        assert!(!access.confirm_totp(&ann.id, "000000x").await.expect("asked"));
        let first = code(0);
        assert!(access.confirm_totp(&ann.id, &first).await.expect("asked"));
        assert_eq!(access.check_user("ann", PASSWORD, None, None), Err(Wrong::NeedsCode));
        assert_eq!(access.check_user("ann", PASSWORD, Some(&first), None), Err(Wrong::Credentials), "it was used");
        let next = code(30);
        assert_eq!(access.check_user("ann", PASSWORD, Some(&next), None), Ok(ann.id.clone()));
        assert_eq!(access.check_user("ann", PASSWORD, Some(&next), None), Err(Wrong::Credentials));
        access.start_session(&ann.id).await.expect("begun");
        let access = Access::open(folder.path()).await.expect("opened again");
        assert_eq!(
            access.check_user("ann", PASSWORD, Some(&next), None),
            Err(Wrong::Credentials),
            "also after a restart"
        );
        access.new_totp(&ann.id).await.expect("another");
        assert_eq!(
            access.check_user("ann", PASSWORD, None, None),
            Err(Wrong::NeedsCode),
            "the one before is asked for"
        );
        access.remove_totp(&ann.id).await.expect("removed");
        assert_eq!(access.check_user("ann", PASSWORD, None, None), Ok(ann.id));
    }

    #[tokio::test]
    async fn tokens_and_sessions_are_good_for_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path()).await.expect("opened");
        let ann = access.create_user("ann", "Ann", PASSWORD).await.expect("made");
        access
            .assign(&ann.id, Grant { role: Role::named("Owner").expect("a role"), scope: "/".to_owned() })
            .await
            .expect("assigned");
        let token = access.create_token(&ann.id, "ci", 1, Some(reader())).await.expect("made");
        let session = access.start_session(&ann.id).await.expect("begun");
        let by_token = access.by_token(token.text.reveal()).expect("known");
        assert!(by_token.may(QUERY, SCOPE) && !by_token.may(crate::role::WRITE_ACCESS, "/"));
        assert!(access.by_token(session.text.reveal()).is_none(), "a session is no token");
        assert!(access.by_session(session.text.reveal()).expect("known").may(crate::role::WRITE_ACCESS, "/"));
        access.set_password(&ann.id, "another long password").await.expect("set");
        assert!(access.by_session(session.text.reveal()).is_none(), "a new password ends sessions");
        assert!(access.by_token(token.text.reveal()).is_none() && access.still(&by_token).is_none(), "and tokens");
        assert!(access.create_token(&ann.id, "ci", DAYS_MAX + 1, None).await.is_err());
    }

    #[tokio::test]
    async fn the_admin_token_can_be_renewed_while_the_server_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let access = Access::open(folder.path()).await.expect("opened");
        let old = std::fs::read_to_string(folder.path().join(ADMIN_TOKEN_FILE)).expect("a file");
        assert!(access.by_token(old.trim()).is_some());
        let made = access.create_token(ADMINISTRATOR_ID, "ci", 1, None).await.expect("made");
        assert!(access.by_token(made.text.reveal()).is_some());
        let new = AdminToken::renew(folder.path()).expect("renewed");
        access.admin_token.look_again();
        assert!(access.by_token(new.reveal()).is_some());
        assert!(access.by_token(old.trim()).is_none());
        assert!(access.by_token(made.text.reveal()).is_none(), "nor are tokens that were made with it");
    }
}
