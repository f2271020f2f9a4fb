//! Management: resources in the tree of Azure's Resource Manager, below `/subscriptions`.
//!
//! Paths compare without regard to case and any `api-version` is taken. A call is read once ([`call`]), checked once
//! against the caller's roles, and answered by the module of its type.

mod analytics;
mod call;
mod collection;
mod directory;
mod groups;
mod hubs;
mod records;
pub(crate) mod saved_searches;
mod solutions;
mod tables;
pub(crate) mod workspaces;

pub(crate) use analytics::DISMISSED;
pub use directory::{Directory, NotApplied, Start};
pub(crate) use directory::{RULE_OFF, recommendation_names};

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::any;
use call::{Call, Target};
use resources::collection_rule;
use resources::solution::{self, HUB_TYPE, WORKSPACE_TYPE};
use std::sync::Arc;

const BODY_BYTES_MAX: usize = 4 << 20;

pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/subscriptions", any(manage))
        .route("/subscriptions/", any(manage))
        .route("/subscriptions/{*rest}", any(manage))
        .route("/providers/{*rest}", any(manage))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(services)
}

async fn manage(
    State(services): State<Arc<Services>>,
    requester: Requester,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AzureError> {
    requester.is_somebody("Microsoft.Resources/subscriptions/read")?;
    let call = Call::read(&services, requester, method, &uri, &headers, body)?;
    call.check()?;
    let answered = answer(&services, &call).await?;
    if call.method == Method::DELETE && answered.status().is_success() {
        // Roles were given for what was there, not for what may come to be named so.
        let scope = match &call.target {
            Target::Group(name) => call.group_id(name),
            target => target.to_string(),
        };
        services.access.forget_scope(&scope).await?;
    }
    Ok(answered)
}

/// Gives the call to the module of its type.
async fn answer(services: &Services, call: &Call) -> Result<Response, AzureError> {
    let of = call.target.type_name().to_lowercase();
    let is = |known: &str| of == known.to_lowercase();
    if let Target::List { group: Some(group), .. } = &call.target {
        services.directory.check_group(group).await?;
    }
    match &call.target {
        Target::Subscriptions | Target::Subscription => groups::subscriptions(services, call),
        Target::Groups | Target::Group(_) => groups::answer(services, call).await,
        _ if is(HUB_TYPE) => hubs::answer(services, call).await,
        _ if is(WORKSPACE_TYPE) || is_below(&of, WORKSPACE_TYPE) => workspaces::answer(services, call).await,
        _ if is(collection_rule::TYPE) || is(collection::ENDPOINT_TYPE) => collection::answer(services, call).await,
        _ if is(solution::TYPE) => solutions::answer(services, call).await,
        _ if is_below(&of, &format!("{}/analyticsModels", solution::TYPE))
            || is(&format!("{}/analyticsModels", solution::TYPE)) =>
        {
            analytics::answer(services, call).await
        }
        _ if is_below(&of, solution::TYPE) => records::answer(services, call).await,
        _ if of.ends_with("/devicesecuritygroups") => {
            let message = "deviceSecurityGroups (custom alert rules) are not there yet";
            Err(AzureError::not_found("NotSupported", message))
        }
        _ => {
            let message = format!("there are no resources of the type '{}' here", call.target.type_name());
            Err(AzureError::not_found("InvalidResourceType", message))
        }
    }
}

/// Whether a type is one of those below another, both in small letters or not.
fn is_below(of: &str, parent: &str) -> bool {
    of.strip_prefix(&parent.to_lowercase()).is_some_and(|rest| rest.starts_with('/'))
}

fn method_not_allowed(call: &Call) -> AzureError {
    let message = format!("{} cannot be asked of '{}'", call.method, call.target);
    AzureError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
}

fn not_found(id: &impl std::fmt::Display) -> AzureError {
    AzureError::not_found("ResourceNotFound", format!("there is no resource '{id}'"))
}
