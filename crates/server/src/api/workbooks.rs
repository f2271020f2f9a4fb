//! Workbooks: pages of text and queries that people keep for themselves and each other, by workspace. Some are part of
//! the program, and nobody changes these.

use super::saved::{OfWorkspace, workspace};
use super::{Body, Params, Path};
use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::{MANAGE_WORKSPACE, QUERY};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use resources::ResourceId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// The part of a workspace that workbooks are.
const WORKBOOK: &str = "workbooks";
const WORKBOOK_TYPE: &str = "Microsoft.OperationalInsights/workspaces/workbooks";
const WORKBOOKS_MAX: usize = 200;
const PARAMETERS_MAX: usize = 20;
const ITEMS_MAX: usize = 100;
const TITLE_CHARACTERS_MAX: usize = 260;
/// Of all texts of a workbook together.
const CHARACTERS_MAX: usize = 64 << 10;

/// What a workbook says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Workbook {
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    items: Vec<Item>,
}

/// A value that the queries of a workbook read by its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameter {
    name: String,
    label: String,
    kind: ParameterKind,
    /// Until somebody gives another.
    value: String,
    /// For a choice: a query whose first column has what there is to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ParameterKind {
    Text,
    Span,
    Choice,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Item {
    Text {
        text: String,
    },
    Query {
        title: String,
        query: String,
        /// How its result is shown: `grid`, `number`, or a kind of chart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        view: Option<String>,
    },
}

impl Workbook {
    /// That it can be kept: what is too long, or has a name that no query can read, is said.
    fn check(&self) -> Result<(), AzureError> {
        let wrong = |problem: String| Err(AzureError::bad_request("InvalidParameter", problem));
        let is_title = |text: &str| !text.trim().is_empty() && text.chars().count() <= TITLE_CHARACTERS_MAX;
        if !is_title(&self.title) {
            return wrong(format!("title must be a text of 1 to {TITLE_CHARACTERS_MAX} characters"));
        }
        if self.parameters.len() > PARAMETERS_MAX || self.items.len() > ITEMS_MAX {
            return wrong(format!("a workbook has at most {PARAMETERS_MAX} parameters and {ITEMS_MAX} items"));
        }
        for (at, parameter) in self.parameters.iter().enumerate() {
            let is_name = parameter.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && parameter.name.len() <= 64
                && parameter.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                let name = &parameter.name;
                return wrong(format!("parameters[{at}].name: '{name}' must be a letter, then letters, digits and _"));
            }
            if self.parameters[..at].iter().any(|known| known.name == parameter.name) {
                return wrong(format!("parameters[{at}].name: there are two parameters '{}'", parameter.name));
            }
        }
        match json!(self).to_string().chars().count() > CHARACTERS_MAX {
            true => wrong(format!("the workbook has more than {CHARACTERS_MAX} characters")),
            false => Ok(()),
        }
    }

    fn described(&self, id: &str, is_built_in: bool) -> Value {
        let mut value = json!(self);
        value["id"] = json!(id);
        value["isBuiltIn"] = json!(is_built_in);
        value
    }
}

/// Id and text of each workbook that is part of the program.
const TEXTS: &[(&str, &str)] = &[
    ("fleet_posture", include_str!("../../../../content/workbooks/fleet_posture.yaml")),
    ("one_device", include_str!("../../../../content/workbooks/one_device.yaml")),
];

static BUILT_IN: LazyLock<Vec<(&str, Workbook)>> = LazyLock::new(|| {
    let read = |(id, text): &(&'static str, &str)| match serde_saphyr::from_str(text) {
        Ok(workbook) => Some((*id, workbook)),
        Err(error) => {
            tracing::error!(%error, id, "a workbook of the program cannot be read");
            None
        }
    };
    TEXTS.iter().filter_map(read).collect()
});

fn built_in(id: &str) -> Option<&'static Workbook> {
    BUILT_IN.iter().find(|(known, _)| *known == id).map(|(_, workbook)| workbook)
}

fn missing(id: &str) -> AzureError {
    AzureError::not_found("ResourceNotFound", format!("there is no workbook '{id}'"))
}

/// Keeps a workbook under an id.
async fn keep(services: &Services, workspace: &ResourceId, id: &str, workbook: &Workbook) -> Result<Value, AzureError> {
    services.directory.resources.put(&workspace.child(WORKBOOK, id), &json!({ "properties": workbook })).await?;
    Ok(workbook.described(id, false))
}

pub(super) async fn list(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<OfWorkspace>,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(QUERY, &workspace.to_string())?;
    let mut value: Vec<Value> = BUILT_IN.iter().map(|(id, workbook)| workbook.described(id, true)).collect();
    for kept in services.directory.resources.below(&workspace.to_string(), WORKBOOK_TYPE).await? {
        match serde_json::from_value::<Workbook>(kept.body["properties"].clone()) {
            Ok(workbook) => value.push(workbook.described(&kept.id.name, false)),
            Err(error) => tracing::error!(%error, id = %kept.id, "a workbook is passed over"),
        }
    }
    Ok(Json(json!({ "value": value })).into_response())
}

pub(super) async fn show(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(QUERY, &workspace.to_string())?;
    if let Some(workbook) = built_in(&id) {
        return Ok(Json(workbook.described(&id, true)).into_response());
    }
    let kept = services.directory.resources.get(&workspace.child(WORKBOOK, &id)).await?.ok_or_else(|| missing(&id))?;
    let workbook: Workbook =
        serde_json::from_value(kept.body["properties"].clone()).map_err(|error| AzureError::internal(&error))?;
    Ok(Json(workbook.described(&kept.id.name, false)).into_response())
}

pub(super) async fn create(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Params(of): Params<OfWorkspace>,
    body: Body,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    let workbook: Workbook = body.read()?;
    workbook.check()?;
    let _changing = services.directory.changing.lock().await;
    if services.directory.resources.below(&workspace.to_string(), WORKBOOK_TYPE).await?.len() >= WORKBOOKS_MAX {
        let message = format!("a workspace has {WORKBOOKS_MAX} workbooks at most");
        return Err(AzureError::bad_request("TooMany", message));
    }
    let kept = keep(&services, &workspace, &uuid::Uuid::new_v4().to_string(), &workbook).await?;
    Ok((StatusCode::CREATED, Json(kept)).into_response())
}

pub(super) async fn change(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
    body: Body,
) -> Result<Response, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    refuse_built_in(&id)?;
    let workbook: Workbook = body.read()?;
    workbook.check()?;
    let _changing = services.directory.changing.lock().await;
    let known = services.directory.resources.get(&workspace.child(WORKBOOK, &id)).await?.ok_or_else(|| missing(&id))?;
    Ok(Json(keep(&services, &workspace, &known.id.name, &workbook).await?).into_response())
}

pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    requester: Requester,
    Path(id): Path<String>,
    Params(of): Params<OfWorkspace>,
) -> Result<StatusCode, AzureError> {
    let workspace = workspace(&services, &of)?;
    requester.may(MANAGE_WORKSPACE, &workspace.to_string())?;
    refuse_built_in(&id)?;
    let _changing = services.directory.changing.lock().await;
    match services.directory.resources.delete(&workspace.child(WORKBOOK, &id)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&id)),
    }
}

fn refuse_built_in(id: &str) -> Result<(), AzureError> {
    match built_in(id) {
        Some(_) => {
            let message = format!("the workbook '{id}' is part of the program; copy it and change the copy");
            Err(AzureError::new(StatusCode::CONFLICT, "BuiltIn", message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_workbook_of_content_is_built_in_and_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/workbooks");
        let files: Vec<_> = std::fs::read_dir(folder).expect("the folder").collect();
        assert_eq!(files.len(), BUILT_IN.len());
        for (id, workbook) in BUILT_IN.iter() {
            workbook.check().unwrap_or_else(|error| panic!("{id}: {}", error.message()));
            for item in &workbook.items {
                if let Item::Query { title, query, .. } = item {
                    let names: String = workbook.parameters.iter().map(|p| format!("let {} = 7d;\n", p.name)).collect();
                    assert!(kql::parse(&format!("{names}{query}")).diagnostics.is_empty(), "{id}: {title}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let parameter = |name: &str| json!({"name": name, "label": "", "kind": "text", "value": ""});
        let refused = |workbook: Value| {
            let read: Workbook = serde_json::from_value(workbook).expect("a workbook");
            read.check().expect_err("a wrong workbook").message().to_owned()
        };
        assert!(refused(json!({"title": " ", "items": []})).starts_with("title"));
        let two = json!({"title": "t", "parameters": [parameter("a"), parameter("a")], "items": []});
        assert!(refused(two).contains("parameters[1].name"));
        assert!(refused(json!({"title": "t", "parameters": [parameter("a-b")], "items": []})).contains("'a-b'"));
        serde_json::from_value::<Workbook>(json!({"title": "t", "items": [{"kind": "video"}]})).expect_err("no kind");
    }
}
