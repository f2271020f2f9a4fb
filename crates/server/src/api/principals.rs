//! Who may do what: service principals, users, personal access tokens and role assignments.

use super::{Body, Path};
use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::{READ_ACCESS, WRITE_ACCESS};
use access::{Assignment, Caller, Grant, Kind, Means, NewSecret, Principal, ROLES, Role, SecretInfo, UserChange};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How long a secret is good where nothing is said.
const DAYS: u32 = 90;
/// Principals belong to no part of the tree of resources.
const EVERYWHERE: &str = "/";

type Answer = Result<Response, AzureError>;

fn time(ticks: i64) -> String {
    kql::datetime::format_short(ticks)
}

pub(crate) fn describe(principal: &Principal) -> Value {
    let mut value = json!({
        "id": principal.id,
        "kind": principal.kind.name(),
        "displayName": principal.display_name,
        "isEnabled": principal.is_enabled,
        "createdTime": time(principal.created_ticks),
    });
    match principal.kind {
        Kind::ServicePrincipal => value["appId"] = json!(principal.name),
        Kind::User => {
            value["name"] = json!(principal.name);
            value["hasTotp"] = json!(principal.has_totp);
        }
        Kind::Administrator => value["name"] = json!(principal.name),
        Kind::OutsideUser => {
            value["name"] = json!(principal.name);
            value["issuer"] = json!(principal.issuer);
        }
    }
    value
}

fn describe_secret(secret: &SecretInfo) -> Value {
    json!({
        "keyId": secret.id,
        "startDateTime": time(secret.created_ticks),
        "endDateTime": time(secret.expires_ticks),
    })
}

fn with_text(secret: &NewSecret) -> Value {
    let mut value = describe_secret(&secret.info);
    value["secretText"] = json!(secret.text.reveal());
    value
}

fn describe_token(token: &SecretInfo) -> Value {
    let mut value = json!({
        "id": token.id,
        "name": token.name,
        "createdTime": time(token.created_ticks),
        "expiresTime": time(token.expires_ticks),
    });
    if let Some(limit) = &token.limit {
        value["role"] = json!(limit.role.name);
        value["scope"] = json!(limit.scope);
    }
    value
}

fn describe_assignment(services: &Services, assignment: &Assignment) -> Value {
    let principal = services.access.principal(&assignment.principal_id);
    json!({
        "id": assignment.id,
        "principalId": assignment.principal_id,
        "principalName": principal.map(|principal| principal.display_name),
        "role": assignment.grant.role.name,
        "scope": assignment.grant.scope,
        "createdTime": time(assignment.created_ticks),
    })
}

fn listed(value: Vec<Value>) -> Response {
    Json(json!({ "value": value })).into_response()
}

/// Every role and what it allows.
pub(super) async fn roles(requester: Requester) -> Answer {
    requester.is_somebody("Microsoft.Authorization/roleDefinitions/read")?;
    let role = |role: &Role| {
        json!({
            "name": role.name,
            "description": role.description,
            "actions": role.actions,
            "notActions": role.not_actions,
        })
    };
    Ok(listed(ROLES.iter().map(role).collect()))
}

fn grant(role: &str, scope: &str) -> Result<Grant, AzureError> {
    let found = Role::named(role).ok_or_else(|| {
        let names: Vec<&str> = ROLES.iter().map(|role| role.name).collect();
        AzureError::bad_request("RoleNotFound", format!("'{role}' is none of the roles {}", names.join(", ")))
    })?;
    Ok(Grant { role: found, scope: scope.to_owned() })
}

/// The assignments at the scopes that the caller may see.
pub(super) async fn assignments(State(services): State<Arc<Services>>, requester: Requester) -> Answer {
    let caller = requester.may_below(READ_ACCESS, EVERYWHERE)?.clone();
    let all = services.access.assignments();
    let seen = all.iter().filter(|assignment| caller.may(READ_ACCESS, &assignment.grant.scope));
    Ok(listed(seen.map(|assignment| describe_assignment(&services, assignment)).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewAssignment {
    principal_id: String,
    role: String,
    scope: String,
}

/// Whoever may write access at a scope may assign roles there, and nowhere else.
pub(super) async fn assign(State(services): State<Arc<Services>>, requester: Requester, body: Body) -> Answer {
    requester.may_below(WRITE_ACCESS, EVERYWHERE)?;
    let asked: NewAssignment = body.read()?;
    requester.may(WRITE_ACCESS, &asked.scope)?;
    requester.note("principalId", asked.principal_id.clone());
    requester.note("role", asked.role.clone());
    let made = services.access.assign(&asked.principal_id, grant(&asked.role, &asked.scope)?).await?;
    Ok((StatusCode::CREATED, Json(describe_assignment(&services, &made))).into_response())
}

pub(super) async fn delete_assignment(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Result<StatusCode, AzureError> {
    let found = services.access.assignment(&id);
    requester.may(WRITE_ACCESS, found.as_ref().map_or(EVERYWHERE, |found| &found.grant.scope))?;
    if let Some(found) = found {
        requester.note("principalId", found.principal_id);
        requester.note("role", found.grant.role.name);
    }
    services.access.delete_assignment(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn found(services: &Services, id: &str, is_wanted: impl Fn(&Principal) -> bool) -> Result<Principal, AzureError> {
    let missing = || AzureError::not_found("PrincipalNotFound", format!("there is no principal '{id}' of this kind"));
    services.access.principal(id).filter(is_wanted).ok_or_else(missing)
}

fn is_program(principal: &Principal) -> bool {
    principal.kind == Kind::ServicePrincipal
}

fn is_user(principal: &Principal) -> bool {
    matches!(principal.kind, Kind::User | Kind::OutsideUser)
}

pub(super) async fn programs(State(services): State<Arc<Services>>, requester: Requester) -> Answer {
    requester.may(READ_ACCESS, EVERYWHERE)?;
    Ok(listed(services.access.principals().iter().filter(|p| is_program(p)).map(describe).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewProgram {
    display_name: String,
    #[serde(default)]
    days: Option<u32>,
}

/// A service principal with a first secret.
pub(super) async fn create_program(State(services): State<Arc<Services>>, requester: Requester, body: Body) -> Answer {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    let asked: NewProgram = body.read()?;
    let days = asked.days.unwrap_or(DAYS);
    let program = services.access.create_program(&asked.display_name).await?;
    let secret = match services.access.create_client_secret(&program.id, days).await {
        Ok(secret) => secret,
        Err(error) => {
            // What is refused has made nothing.
            services.access.delete_principal(&program.id).await?;
            return Err(error.into());
        }
    };
    requester.note("principalId", program.id.clone());
    let mut value = describe(&program);
    value["secret"] = with_text(&secret);
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

pub(super) async fn program(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Answer {
    requester.may(READ_ACCESS, EVERYWHERE)?;
    let program = found(&services, &id, is_program)?;
    let mut value = describe(&program);
    value["secrets"] = services.access.client_secrets(&id).iter().map(describe_secret).collect();
    Ok(Json(value).into_response())
}

pub(super) async fn delete_program(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Result<StatusCode, AzureError> {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    found(&services, &id, is_program)?;
    services.access.delete_principal(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Life {
    #[serde(default)]
    days: Option<u32>,
}

pub(super) async fn create_secret(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    let life: Life = body.read()?;
    let secret = services.access.create_client_secret(&id, life.days.unwrap_or(DAYS)).await?;
    Ok((StatusCode::CREATED, Json(with_text(&secret))).into_response())
}

pub(super) async fn delete_secret(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path((id, secret)): Path<(String, String)>,
) -> Result<StatusCode, AzureError> {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    found(&services, &id, is_program)?;
    services.access.delete_client_secret(&id, &secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn users(State(services): State<Arc<Services>>, requester: Requester) -> Answer {
    requester.may(READ_ACCESS, EVERYWHERE)?;
    Ok(listed(services.access.principals().iter().filter(|p| is_user(p)).map(describe).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    password: String,
    #[serde(default)]
    display_name: Option<String>,
}

pub(super) async fn create_user(State(services): State<Arc<Services>>, requester: Requester, body: Body) -> Answer {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    let asked: NewUser = body.read()?;
    let shown = asked.display_name.as_deref().unwrap_or(&asked.name);
    let user = services.access.create_user(&asked.name, shown, &asked.password).await?;
    requester.note("principalId", user.id.clone());
    Ok((StatusCode::CREATED, Json(describe(&user))).into_response())
}

fn user_named(services: &Services, name: &str) -> Result<Principal, AzureError> {
    let missing = || AzureError::not_found("PrincipalNotFound", format!("there is no user named '{name}'"));
    services.access.user(name).ok_or_else(missing)
}

/// A user may see itself.
fn may_see(requester: &Requester, user: Option<&Principal>) -> Result<(), AzureError> {
    let is_own = user.is_some_and(|user| requester.caller().is_ok_and(|caller| caller.principal_id == user.id));
    match is_own {
        true => requester.is_somebody(READ_ACCESS)?,
        false => requester.may(READ_ACCESS, EVERYWHERE)?,
    };
    Ok(())
}

/// A user changes what it signs in with itself, in a session; whoever writes access does so for all.
fn may_change(requester: &Requester, user: Option<&Principal>) -> Result<(), AzureError> {
    let is_own = user.is_some_and(|user| {
        requester.caller().is_ok_and(|caller| caller.principal_id == user.id && caller.means == Means::Session)
    });
    match is_own {
        true => requester.is_somebody(WRITE_ACCESS)?,
        false => requester.may(WRITE_ACCESS, EVERYWHERE)?,
    };
    Ok(())
}

pub(super) async fn user(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
) -> Answer {
    may_see(&requester, services.access.user(&name).as_ref())?;
    Ok(Json(describe(&user_named(&services, &name)?)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    is_enabled: Option<bool>,
    #[serde(default)]
    password: Option<String>,
    /// Who changes their own password shows the one before, and a code where one is needed.
    #[serde(default)]
    current_password: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

pub(super) async fn change_user(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    may_change(&requester, services.access.user(&name).as_ref())?;
    let change: Change = body.read()?;
    // Nobody switches themselves on.
    if change.is_enabled.is_some() {
        requester.may(WRITE_ACCESS, EVERYWHERE)?;
    }
    let user = user_named(&services, &name)?;
    requester.note("principalId", user.id.clone());
    if change.password.is_some() {
        confirm(&services, &requester, &user, change.current_password, change.code).await?;
    }
    let changed =
        UserChange { display_name: change.display_name, is_enabled: change.is_enabled, password: change.password };
    services.access.change_user(&user.id, changed).await?;
    Ok(Json(describe(&user_named(&services, &user.id)?)).into_response())
}

/// That somebody who changes what they themselves sign in with is who the session says: a session alone must not take an
/// account over.
async fn confirm(
    services: &Services,
    requester: &Requester,
    user: &Principal,
    password: Option<String>,
    code: Option<String>,
) -> Result<(), AzureError> {
    let caller = requester.caller()?;
    if caller.principal_id != user.id {
        return Ok(());
    }
    let wrong = |message: &str| AzureError::new(StatusCode::FORBIDDEN, "ConfirmationFailed", message);
    let password = password.ok_or_else(|| wrong("currentPassword is needed to change what you sign in with"))?;
    let (access, id, address) = (services.access.clone(), user.id.clone(), requester.address);
    let checked = tokio::task::spawn_blocking(move || access.confirm(&id, &password, code.as_deref(), address)).await;
    match checked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(wrong(&problem.to_string())),
        Err(error) => Err(AzureError::internal(&error)),
    }
}

pub(super) async fn delete_user(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
) -> Result<StatusCode, AzureError> {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    services.access.delete_principal(&user_named(&services, &name)?.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody shows who changes what they themselves sign in with.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Confirmation {
    #[serde(default)]
    current_password: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

/// A new secret for an authenticator. Codes are asked for once a first one has been confirmed.
pub(super) async fn new_totp(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    may_change(&requester, services.access.user(&name).as_ref())?;
    let user = user_named(&services, &name)?;
    let shown: Confirmation = body.read_or_default()?;
    confirm(&services, &requester, &user, shown.current_password, shown.code).await?;
    let totp = services.access.new_totp(&user.id).await?;
    Ok(Json(json!({ "secret": totp.secret, "uri": totp.uri })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

pub(super) async fn confirm_totp(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, AzureError> {
    may_change(&requester, services.access.user(&name).as_ref())?;
    let code: Code = body.read()?;
    match services.access.confirm_totp(&user_named(&services, &name)?.id, &code.code).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(AzureError::bad_request("WrongCode", "this is not the code of this moment")),
    }
}

pub(super) async fn remove_totp(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, AzureError> {
    may_change(&requester, services.access.user(&name).as_ref())?;
    let user = user_named(&services, &name)?;
    let shown: Confirmation = body.read_or_default()?;
    confirm(&services, &requester, &user, shown.current_password, shown.code).await?;
    services.access.remove_totp(&user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

const OWN_TOKENS: &str = "Turnstone/tokens/read";
const WRITE_OWN_TOKENS: &str = "Turnstone/tokens/write";

/// A token that is good for a part knows nothing of the others.
fn check_unlimited(caller: &Caller) -> Result<(), AzureError> {
    match caller.is_unlimited() {
        true => Ok(()),
        false => {
            let message = "a token that is limited has no say in other tokens; sign in";
            Err(AzureError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message))
        }
    }
}

/// The tokens of a user or a service principal, for whoever may write access.
pub(super) async fn tokens_of(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Answer {
    requester.may(READ_ACCESS, EVERYWHERE)?;
    found(&services, &id, |_| true)?;
    Ok(listed(services.access.tokens(&id).iter().map(describe_token).collect()))
}

/// Ends a token of somebody else.
pub(super) async fn delete_token_of(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path((id, token)): Path<(String, String)>,
) -> Result<StatusCode, AzureError> {
    requester.may(WRITE_ACCESS, EVERYWHERE)?;
    requester.note("tokenId", token.clone());
    services.access.delete_token(&id, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's own tokens.
pub(super) async fn tokens(State(services): State<Arc<Services>>, requester: Requester) -> Answer {
    let caller = requester.is_somebody(OWN_TOKENS)?;
    check_unlimited(caller)?;
    Ok(listed(services.access.tokens(&caller.principal_id).iter().map(describe_token).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    #[serde(default)]
    days: Option<u32>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

/// A token for the caller itself. One that may do only a part cannot be used to make one that may do more.
pub(super) async fn create_token(State(services): State<Arc<Services>>, requester: Requester, body: Body) -> Answer {
    let caller = requester.is_somebody(WRITE_OWN_TOKENS)?;
    check_unlimited(caller)?;
    if caller.means == Means::PersonalToken {
        let message = "a personal token cannot make others, which might outlive it; sign in";
        return Err(AzureError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message));
    }
    let asked: NewToken = body.read()?;
    let limit = match (&asked.role, &asked.scope) {
        (Some(role), Some(scope)) => Some(grant(role, scope)?),
        (None, None) => None,
        _ => return Err(AzureError::bad_request("InvalidToken", "role and scope go together")),
    };
    let token =
        services.access.create_token(&caller.principal_id, &asked.name, asked.days.unwrap_or(DAYS), limit).await?;
    requester.note("tokenId", token.info.id.clone());
    let mut value = describe_token(&token.info);
    value["token"] = json!(token.text.reveal());
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

pub(super) async fn delete_token(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
) -> Result<StatusCode, AzureError> {
    let caller = requester.is_somebody(WRITE_OWN_TOKENS)?;
    check_unlimited(caller)?;
    requester.note("tokenId", id.clone());
    services.access.delete_token(&caller.principal_id, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
