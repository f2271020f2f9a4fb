//! Which alerts of a solution are dismissed. Dismissing is a call of the management interface.

use super::Params;
use crate::Services;
use crate::azure_error::AzureError;
use crate::management::DISMISSED;
use crate::requester::Requester;
use access::role::READ_SECURITY;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use resources::ResourceId;
use resources::solution;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which solution is meant, by its id.
#[derive(Deserialize)]
pub(super) struct OfSolution {
    pub solution: String,
}

impl OfSolution {
    /// The id, where it is one of a solution.
    pub fn id(&self) -> Result<ResourceId, AzureError> {
        let read = ResourceId::parse(&self.solution);
        read.filter(|id| id.type_name().eq_ignore_ascii_case(solution::TYPE)).ok_or_else(|| {
            let message = format!("solution: '{}' is no id of a solution", self.solution);
            AzureError::bad_request("InvalidParameter", message)
        })
    }
}

/// The names of aggregated alerts, `{type}/{day}`.
pub(super) async fn list(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<OfSolution>,
) -> Result<Response, AzureError> {
    let id = of.id()?;
    requester.may(READ_SECURITY, &id.to_string())?;
    let marked = services.directory.resources.marked(&id, DISMISSED).await?;
    let value: Vec<Value> = marked.iter().map(|name| json!({ "name": name })).collect();
    Ok(Json(json!({ "value": value })).into_response())
}
