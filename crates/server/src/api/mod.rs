//! Turnstone's own interface, `/api/v1`: what the portal, the command line and scripts need and no interface of Azure
//! offers.

mod devices;
mod dismissed;
mod hubs;
mod instance;
mod live;
pub(crate) mod principals;
mod rules;
mod saved;
mod workbooks;

use crate::azure_error::AzureError;
use crate::openapi::Operation;
use crate::requester::Requester;
use crate::{Services, backup, export, openapi, outward};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use std::sync::Arc;

const BODY_BYTES_MAX: usize = 1 << 20;

/// Every operation of this interface, with who answers it.
pub(crate) fn operations() -> Vec<Operation> {
    let of_hub = |operation: Operation| {
        operation.query("hub", "string", "The hub's name; the first one's where nothing is said.")
    };
    let of_workspace = |operation: Operation| {
        operation.query("workspace", "string", "A workspace's name or GUID; the first one's where nothing is said.")
    };
    let mut all = vec![
        Operation::new("get", "/api/v1/openapi.json", "describe", "This description.")
            .by(get(|| async { Json(openapi::description()) }))
            .open()
            .answers(200, "The description.", "Any"),
        of_hub(Operation::new("get", "/api/v1/devices", "listDevices", "Lists the devices of a hub and how they are."))
            .by(get(devices::list))
            .query("search", "string", "A part of the id, in any case.")
            .query("id", "string", "The whole id, of the one device that is wanted.")
            .query("isEnabled", "boolean", "Only those that may send, or may not.")
            .query("top", "integer", "So many at most on a page.")
            .query("skipToken", "string", "Where a page begins; from nextLink.")
            .lists("Devices, by id.", "Device"),
        of_hub(Operation::new("get", "/api/v1/devices/{id}", "getDevice", "Shows a device."))
            .by(get(devices::show).put(devices::create).delete(devices::delete).patch(devices::change))
            .answers(200, "The device; with its keys for those who may see them.", "Device"),
        of_hub(Operation::new("put", "/api/v1/devices/{id}", "createDevice", "Makes a device with two new keys."))
            .answers(201, "The device.", "Device"),
        of_hub(Operation::new("patch", "/api/v1/devices/{id}", "changeDevice", "Says whether a device may send."))
            .body(&[("isEnabled", "boolean", true)])
            .answers_nothing(204, "It is changed."),
        of_hub(Operation::new(
            "delete",
            "/api/v1/devices/{id}",
            "deleteDevice",
            "Removes a device; it can send no more.",
        ))
        .answers_nothing(204, "It is gone."),
        of_hub(Operation::new("get", "/api/v1/devices/{id}/timeline", "getTimeline", "What happened to a device."))
            .by(get(devices::timeline))
            .query("from", "string", "A time; a week before the end where nothing is said.")
            .query("to", "string", "A time; now where nothing is said.")
            .query("top", "integer", "So many at most.")
            .lists("Alerts, changes of recommendations and events, the newest first.", "TimelineEntry"),
        of_hub(Operation::new(
            "put",
            "/api/v1/devices/{id}/modules/{module}",
            "createModule",
            "Makes a module of a device.",
        ))
        .by(put(devices::create_module))
        .answers(201, "The module and its keys.", "Module"),
        Operation::new(
            "get",
            "/api/v1/alerts/live",
            "followAlerts",
            "Alerts as they are stored, as server-sent events.",
        )
        .by(get(live::alerts))
        .answers_as(
            200,
            "Events 'alert', each a row of SecurityAlert; 'lost' where the reader was too slow.",
            "text/event-stream",
        ),
        Operation::new("get", "/api/v1/alerts", "exportAlerts", "Alerts of a span of time, a line for each.")
            .by(get(outward::export))
            .query("from", "string", "A time; a day before the end where nothing is said.")
            .query("to", "string", "A time; now where nothing is said.")
            .query("form", "string", "row (the columns of SecurityAlert), ocsf or cef.")
            .answers_as(200, "The alerts, the oldest first.", "application/x-ndjson"),
        Operation::new("get", "/api/v1/alertDestinations", "listAlertDestinations", "Lists who is told of alerts.")
            .by(get(outward::list).post(outward::create))
            .lists("Webhooks and syslog servers.", "AlertDestination"),
        destination(Operation::new(
            "post",
            "/api/v1/alertDestinations",
            "createAlertDestination",
            "Tells one more system of alerts.",
        ))
        .answers(
            201,
            "The destination, and this once the secret that webhooks are signed with.",
            "AlertDestination",
        ),
        Operation::new("get", "/api/v1/alertDestinations/{id}", "getAlertDestination", "Shows a destination.")
            .by(get(outward::show).put(outward::change).delete(outward::delete))
            .answers(200, "The destination.", "AlertDestination"),
        destination(Operation::new(
            "put",
            "/api/v1/alertDestinations/{id}",
            "changeAlertDestination",
            "Changes a destination.",
        ))
        .answers(200, "The destination.", "AlertDestination"),
        Operation::new("delete", "/api/v1/alertDestinations/{id}", "deleteAlertDestination", "Tells it no more.")
            .answers_nothing(204, "It is gone."),
        of_workspace(Operation::new("get", "/api/v1/savedQueries", "listSavedQueries", "Lists saved queries."))
            .by(get(saved::list).post(saved::create))
            .lists("Saved queries.", "SavedQuery"),
        of_workspace(Operation::new("post", "/api/v1/savedQueries", "createSavedQuery", "Saves a query."))
            .body(&[("displayName", "string", true), ("query", "string", true), ("category", "string", false)])
            .answers(201, "The saved query.", "SavedQuery"),
        of_workspace(Operation::new("get", "/api/v1/savedQueries/{id}", "getSavedQuery", "Shows a saved query."))
            .by(get(saved::show).put(saved::change).delete(saved::delete))
            .answers(200, "The saved query.", "SavedQuery"),
        of_workspace(Operation::new("put", "/api/v1/savedQueries/{id}", "changeSavedQuery", "Changes a saved query."))
            .body(&[("displayName", "string", true), ("query", "string", true), ("category", "string", false)])
            .answers(200, "The saved query.", "SavedQuery"),
        of_workspace(Operation::new(
            "delete",
            "/api/v1/savedQueries/{id}",
            "deleteSavedQuery",
            "Removes a saved query.",
        ))
        .answers_nothing(204, "It is gone."),
        Operation::new(
            "post",
            "/api/v1/workspaces/{database}/export",
            "export",
            "The rows of a query as a Parquet file.",
        )
        .by(post(export::export))
        .body(&[("csl", "string", true), ("properties", "object", false)])
        .answers_as(200, "The file.", "application/vnd.apache.parquet")
        .answers(504, "The query took too long.", "Error"),
        Operation::new("get", "/api/v1/hubs", "listDeviceCounts", "Lists hubs and how many devices each has.")
            .by(get(hubs::list))
            .lists("The hubs whose devices the caller may see.", "Hub"),
        Operation::new("get", "/api/v1/dismissedAlerts", "listDismissedAlerts", "Lists which alerts are dismissed.")
            .by(get(dismissed::list))
            .query("solution", "string", "The id of a solution.")
            .lists("The names of aggregated alerts, type and day.", "DismissedAlert"),
        of_solution(Operation::new("get", "/api/v1/rules", "listRules", "Lists the rules that detection goes by."))
            .by(get(rules::list))
            .lists("Rules, without their texts.", "Rule"),
        of_solution(Operation::new("get", "/api/v1/rules/{id}", "getRule", "Shows a rule."))
            .by(get(rules::show).patch(rules::change))
            .answers(200, "The rule with its text.", "Rule"),
        of_solution(Operation::new("patch", "/api/v1/rules/{id}", "changeRule", "Switches a rule on or off."))
            .body(&[("isEnabled", "boolean", true)])
            .answers_nothing(204, "It is so for what comes from now on."),
        Operation::new("post", "/api/v1/rules/{id}/test", "testRule", "Runs a rule's own sample events through it.")
            .by(post(rules::test))
            .lists("How each test went.", "RuleTestOutcome"),
        of_workspace(Operation::new("get", "/api/v1/workbooks", "listWorkbooks", "Lists workbooks."))
            .by(get(workbooks::list).post(workbooks::create))
            .lists("Workbooks; those of the program first.", "Workbook"),
        workbook(of_workspace(Operation::new("post", "/api/v1/workbooks", "createWorkbook", "Keeps a workbook.")))
            .answers(201, "The workbook.", "Workbook"),
        of_workspace(Operation::new("get", "/api/v1/workbooks/{id}", "getWorkbook", "Shows a workbook."))
            .by(get(workbooks::show).put(workbooks::change).delete(workbooks::delete))
            .answers(200, "The workbook.", "Workbook"),
        workbook(of_workspace(Operation::new(
            "put",
            "/api/v1/workbooks/{id}",
            "changeWorkbook",
            "Changes a workbook.",
        )))
        .answers(200, "The workbook.", "Workbook"),
        of_workspace(Operation::new("delete", "/api/v1/workbooks/{id}", "deleteWorkbook", "Removes a workbook."))
            .answers_nothing(204, "It is gone."),
        Operation::new("get", "/api/v1/ca.pem", "getAuthority", "The authority of this server's certificate.")
            .by(get(instance::authority))
            .answers_as(200, "PEM; 404 where the owner has given a certificate.", "application/x-pem-file"),
        Operation::new("get", "/api/v1/settings", "getSettings", "How the instance is set up.")
            .by(get(instance::settings))
            .answers(200, "What everybody who is signed in may know.", "Any"),
        Operation::new("get", "/api/v1/audit", "listAudit", "Who has changed what, and who has signed in.")
            .by(get(instance::audit))
            .query("from", "string", "A time; 30 days before the end where nothing is said.")
            .query("to", "string", "A time; now where nothing is said.")
            .query("caller", "string", "One caller's alone.")
            .query("top", "integer", "So many at most.")
            .lists("Entries, the newest first.", "AuditEntry"),
        Operation::new(
            "post",
            "/api/v1/backups",
            "backUp",
            "Backs everything up into a folder of the server's machine.",
        )
        .by(post(backup::create))
        .body(&[("path", "string", true), ("keep", "integer", false)])
        .answers(200, "What was added.", "Backup"),
    ];
    all.extend(access_operations());
    all
}

/// With the solution that a rule is switched for.
fn of_solution(operation: Operation) -> Operation {
    operation.query("solution", "string", "The id of a solution, to see and change what holds for its hubs.")
}

/// With the body that says what a workbook is.
fn workbook(operation: Operation) -> Operation {
    operation.body(&[
        ("title", "string", true),
        ("description", "string", false),
        ("parameters", "array", false),
        ("items", "array", true),
    ])
}

/// With the body that says what a destination is.
fn destination(operation: Operation) -> Operation {
    operation.body(&[
        ("url", "string", true),
        ("form", "string", false),
        ("severities", "array", false),
        ("isEnabled", "boolean", false),
    ])
}

fn access_operations() -> Vec<Operation> {
    vec![
        Operation::new("get", "/api/v1/roles", "listRoles", "Lists the roles and what they allow.")
            .by(get(principals::roles))
            .lists("Roles.", "Role"),
        Operation::new("get", "/api/v1/roleAssignments", "listRoleAssignments", "Lists who has which role where.")
            .by(get(principals::assignments).post(principals::assign))
            .lists("Assignments at scopes that the caller may see.", "RoleAssignment"),
        Operation::new("post", "/api/v1/roleAssignments", "assignRole", "Gives a principal a role at a scope.")
            .body(&[("principalId", "string", true), ("role", "string", true), ("scope", "string", true)])
            .answers(201, "The assignment.", "RoleAssignment"),
        Operation::new("delete", "/api/v1/roleAssignments/{id}", "deleteRoleAssignment", "Takes a role back.")
            .by(delete(principals::delete_assignment))
            .answers_nothing(204, "It is gone."),
        Operation::new("get", "/api/v1/servicePrincipals", "listServicePrincipals", "Lists programs that can sign in.")
            .by(get(principals::programs).post(principals::create_program))
            .lists("Service principals.", "Principal"),
        Operation::new(
            "post",
            "/api/v1/servicePrincipals",
            "createServicePrincipal",
            "Makes a service principal with a first secret.",
        )
        .body(&[("displayName", "string", true), ("days", "integer", false)])
        .answers(201, "The service principal, and its secret this once.", "Principal"),
        Operation::new("get", "/api/v1/servicePrincipals/{id}", "getServicePrincipal", "Shows a service principal.")
            .by(get(principals::program).delete(principals::delete_program))
            .answers(200, "The service principal.", "Principal"),
        Operation::new(
            "delete",
            "/api/v1/servicePrincipals/{id}",
            "deleteServicePrincipal",
            "Removes a service principal.",
        )
        .answers_nothing(204, "It is gone, with its secrets and roles."),
        Operation::new(
            "post",
            "/api/v1/servicePrincipals/{id}/secrets",
            "createSecret",
            "Makes one more client secret.",
        )
        .by(post(principals::create_secret))
        .body(&[("days", "integer", false)])
        .answers(201, "The secret, with its text this once.", "Secret"),
        Operation::new(
            "delete",
            "/api/v1/servicePrincipals/{id}/secrets/{secret}",
            "deleteSecret",
            "Removes a client secret.",
        )
        .by(delete(principals::delete_secret))
        .answers_nothing(204, "It is gone."),
        Operation::new("get", "/api/v1/users", "listUsers", "Lists people.")
            .by(get(principals::users).post(principals::create_user))
            .lists("Users of this server and of outside providers.", "Principal"),
        Operation::new("post", "/api/v1/users", "createUser", "Makes a user with a password.")
            .body(&[("name", "string", true), ("password", "string", true), ("displayName", "string", false)])
            .answers(201, "The user.", "Principal"),
        Operation::new("get", "/api/v1/users/{name}", "getUser", "Shows a user.")
            .by(get(principals::user).patch(principals::change_user).delete(principals::delete_user))
            .answers(200, "The user.", "Principal"),
        Operation::new("patch", "/api/v1/users/{name}", "changeUser", "Changes a user.")
            .body(&[
                ("displayName", "string", false),
                ("isEnabled", "boolean", false),
                ("password", "string", false),
                ("currentPassword", "string", false),
                ("code", "string", false),
            ])
            .answers(200, "The user.", "Principal"),
        Operation::new("delete", "/api/v1/users/{name}", "deleteUser", "Removes a user.")
            .answers_nothing(204, "It is gone, with its tokens and roles."),
        Operation::new("post", "/api/v1/users/{name}/totp", "createTotp", "A new secret for one-time codes.")
            .by(post(principals::new_totp).delete(principals::remove_totp))
            .answers(200, "The secret, for an authenticator.", "Totp"),
        Operation::new("delete", "/api/v1/users/{name}/totp", "deleteTotp", "Asks for one-time codes no more.")
            .answers_nothing(204, "It is done."),
        Operation::new(
            "post",
            "/api/v1/users/{name}/totp/confirm",
            "confirmTotp",
            "Asks for one-time codes from now on.",
        )
        .by(post(principals::confirm_totp))
        .body(&[("code", "string", true)])
        .answers_nothing(204, "It is done."),
        Operation::new("get", "/api/v1/principals/{id}/tokens", "listTokensOf", "Lists the tokens of somebody.")
            .by(get(principals::tokens_of))
            .lists("Tokens.", "Token"),
        Operation::new(
            "delete",
            "/api/v1/principals/{id}/tokens/{token}",
            "deleteTokenOf",
            "Ends a token of somebody.",
        )
        .by(delete(principals::delete_token_of))
        .answers_nothing(204, "It is gone."),
        Operation::new("get", "/api/v1/tokens", "listTokens", "Lists the caller's own tokens.")
            .by(get(principals::tokens).post(principals::create_token))
            .lists("Tokens.", "Token"),
        Operation::new("post", "/api/v1/tokens", "createToken", "Makes a token for the caller.")
            .body(&[
                ("name", "string", true),
                ("days", "integer", false),
                ("role", "string", false),
                ("scope", "string", false),
            ])
            .answers(201, "The token, with its text this once.", "Token"),
        Operation::new("delete", "/api/v1/tokens/{id}", "deleteToken", "Removes a token of the caller.")
            .by(delete(principals::delete_token))
            .answers_nothing(204, "It is gone."),
    ]
}

pub(crate) fn router(services: Arc<Services>) -> Router {
    openapi::routes(operations())
        .route("/api/v1", any(nothing))
        .route("/api/v1/", any(nothing))
        .route("/api/v1/{*rest}", any(nothing))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(services)
}

async fn nothing(requester: Requester) -> Result<(), AzureError> {
    requester.is_somebody("Turnstone/nothing/read")?;
    Err(AzureError::not_found("NotFound", "there is nothing at this address"))
}

/// A time of a request, in ticks.
pub(crate) fn time(name: &str, given: Option<&str>, default: i64) -> Result<i64, AzureError> {
    let wrong =
        |text: &str| AzureError::bad_request("InvalidParameter", format!("{name}: '{text}' is no date and time"));
    given.map_or(Ok(default), |text| kql::datetime::parse(text).ok_or_else(|| wrong(text)))
}

/// A time as the value of a query's parameter.
pub(crate) fn literal(ticks: i64) -> String {
    format!("datetime({})", kql::datetime::format(ticks))
}

/// An error in the shape of this interface, which is that of Azure's.
pub(crate) fn failed(status: StatusCode, code: &'static str, message: &str) -> Response {
    AzureError::new(status, code, message).into_response()
}

/// What stands behind the question mark; what cannot be read is refused in the shape of this interface.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = AzureError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Params<T>, AzureError> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(read)| Params(read)).map_err(|e| AzureError::bad_request("InvalidParameter", e.body_text()))
    }
}

/// The names in a path; what is no text is refused in the shape of this interface.
pub(crate) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = AzureError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, AzureError> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(read)| Path(read))
            .map_err(|e| AzureError::bad_request("InvalidParameter", e.body_text()))
    }
}

/// A JSON body, read once it is known that the caller may do what it asks for.
pub(crate) struct Body(Bytes);

impl Body {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, AzureError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            AzureError::bad_request("InvalidRequestContent", format!("the body cannot be read: {error}"))
        })
    }
}

impl Body {
    /// What a request without a body says.
    pub fn read_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, AzureError> {
        if self.0.is_empty() { Ok(T::default()) } else { self.read() }
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = AzureError;

    async fn from_request(request: Request, state: &S) -> Result<Body, AzureError> {
        let bytes = Bytes::from_request(request, state).await;
        bytes
            .map(Body)
            .map_err(|rejection| AzureError::new(rejection.status(), "InvalidRequestContent", rejection.body_text()))
    }
}
