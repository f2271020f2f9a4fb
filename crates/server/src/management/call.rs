//! What a management call is about, read from its path.

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::{Denied, Requester};
use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use resources::{Resource, ResourceId, group_id};
use serde_json::{Value, json};
use std::fmt;

/// Items of a page where nothing is said.
const PAGE: usize = 100;
const NAME_CHARACTERS_MAX: usize = 260;

/// A management call.
pub(super) struct Call {
    pub method: Method,
    pub target: Target,
    /// The subscription's id, `/subscriptions/{guid}`.
    pub subscription_id: String,
    pub requester: Requester,
    query: Vec<(String, String)>,
    /// The address of this server as the caller knows it.
    pub base: String,
    path: String,
    body: Bytes,
}

/// What it is about.
pub(super) enum Target {
    Subscriptions,
    Subscription,
    Groups,
    Group(String),
    Resource(ResourceId),
    /// The resources of a type, in a scope: a subscription, a group or another resource.
    List {
        scope: String,
        /// The group, where it is the scope.
        group: Option<String>,
        of: String,
        parent: Option<ResourceId>,
    },
    /// Something that a resource does: the last part of its path.
    Action {
        id: ResourceId,
        name: String,
    },
}

impl Target {
    /// `Microsoft.Security/iotSecuritySolutions`.
    pub fn type_name(&self) -> String {
        match self {
            Target::Subscriptions | Target::Subscription => "Microsoft.Resources/subscriptions".to_owned(),
            Target::Groups | Target::Group(_) => "Microsoft.Resources/subscriptions/resourceGroups".to_owned(),
            Target::Resource(id) | Target::Action { id, .. } => id.type_name(),
            Target::List { of, .. } => of.clone(),
        }
    }
}

impl Target {
    /// That the names of what is made can stand in ids.
    fn check_names(&self) -> Result<(), AzureError> {
        let mut names: Vec<&str> = Vec::new();
        match self {
            Target::Group(name) => names.push(name),
            Target::Resource(id) => {
                names.extend([&id.group, &id.namespace, &id.kind, &id.name].map(String::as_str));
                names.extend(id.parents.iter().flat_map(|(kind, name)| [kind.as_str(), name.as_str()]));
            }
            _ => {}
        }
        let is_name = |name: &&str| {
            (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count())
                && !name.contains(['/', '\\', '?', '#'])
                && !name.chars().any(char::is_control)
                && !matches!(*name, "." | "..")
                && name.trim() == *name
        };
        match names.iter().find(|name| !is_name(name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!(
                    "'{name}' is no name: 1 to {NAME_CHARACTERS_MAX} characters, none of / \\ ? # or control characters, and no \
                     blanks around it"
                );
                Err(AzureError::bad_request("InvalidResourceName", message))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Subscriptions => f.write_str("/subscriptions"),
            Target::Subscription => f.write_str("the subscription"),
            Target::Groups => f.write_str("the resource groups"),
            Target::Group(name) => write!(f, "the resource group '{name}'"),
            Target::Resource(id) => id.fmt(f),
            Target::List { scope, of, .. } => write!(f, "{scope}/providers/{of}"),
            Target::Action { id, name } => write!(f, "{id}/{name}"),
        }
    }
}

impl Call {
    pub fn read(
        services: &Services,
        requester: Requester,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Call, AzureError> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        // A name can hold a slash, so segments are decoded one by one.
        let segments: Vec<String> = uri.path().split('/').filter(|s| !s.is_empty()).map(decode).collect();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(&value.replace('+', " ")))
        });
        let nothing = || AzureError::not_found("NotFound", format!("there is nothing at {}", uri.path()));
        let subscription_id = services.directory.subscription_id();
        let target = match segments.first() {
            Some(first) if first.eq_ignore_ascii_case("subscriptions") => match segments.get(1) {
                Some(asked) if !services.directory.is_subscription(asked) => {
                    let message = format!("there is no subscription '{asked}'");
                    return Err(AzureError::not_found("SubscriptionNotFound", message));
                }
                _ => target(&segments[1..], &method).ok_or_else(nothing)?,
            },
            _ => return Err(nothing()),
        };
        if method == Method::PUT {
            target.check_names()?;
        }
        Ok(Call {
            method,
            target,
            subscription_id,
            requester,
            query: query.collect(),
            base: services.https_address(headers),
            path: uri.path().to_owned(),
            body,
        })
    }

    /// Whether the caller may do it.
    pub fn check(&self) -> Result<(), Denied> {
        let of = self.target.type_name();
        let verb = match self.method {
            Method::GET | Method::HEAD => "read",
            Method::DELETE => "delete",
            _ => "write",
        };
        let action = format!("{of}/{verb}");
        match &self.target {
            Target::Subscriptions | Target::Subscription | Target::Groups => {
                self.requester.may_below(&action, &self.subscription_id)
            }
            Target::Group(name) if verb == "read" => self.requester.may_below(&action, &self.group_id(name)),
            Target::Group(name) => self.requester.may(&action, &self.group_id(name)),
            Target::Resource(id) => self.requester.may(&action, &id.to_string()),
            Target::List { scope, parent: None, .. } => self.requester.may_below(&action, scope),
            Target::List { scope, .. } => self.requester.may(&action, scope),
            Target::Action { id, name } => self.requester.may(&format!("{of}/{name}/action"), &id.to_string()),
        }
        .map(|_| ())
    }

    /// Whether the caller may see a resource of a list.
    pub fn sees(&self, id: &str) -> bool {
        let action = format!("{}/read", self.target.type_name());
        self.requester.caller().is_ok_and(|caller| caller.may_somewhere_below(&action, id))
    }

    pub fn group_id(&self, name: &str) -> String {
        format!("{}/resourceGroups/{name}", self.subscription_id)
    }

    /// A parameter behind the question mark, in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<usize>, AzureError> {
        let wrong = |text: &str| AzureError::bad_request("InvalidParameter", format!("{name}: '{text}' is no number"));
        self.parameter(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// The body, a JSON object without the members that follow from the id.
    pub fn object(&self) -> Result<Value, AzureError> {
        let wrong = |problem: String| AzureError::bad_request("InvalidRequestContent", problem);
        let mut value: Value =
            serde_json::from_slice(&self.body).map_err(|error| wrong(format!("the body is no JSON: {error}")))?;
        let object = value.as_object_mut().ok_or_else(|| wrong("the body is no JSON object".to_owned()))?;
        // What follows from the id, and what is kept beside a resource and shown by calls of its own.
        for member in ["id", "name", "type", "systemData", "etag", "keys", "secret"] {
            object.remove(member);
        }
        for member in ["properties", "tags"] {
            match object.get(member) {
                None | Some(Value::Object(_)) => {}
                Some(Value::Null) => drop(object.remove(member)),
                Some(_) => return Err(wrong(format!("'{member}' must be an object"))),
            }
        }
        if object.get("location").is_some_and(|location| !location.is_string()) {
            return Err(wrong("'location' must be a text".to_owned()));
        }
        Ok(value)
    }

    /// One page of a list: the first `$top` (or `$limit`) items in all, in pages of at most a hundred.
    pub fn page(&self, items: Vec<Value>, with_total: bool) -> Result<Response, AzureError> {
        let limit = self.number("$limit")?.map(|limit| limit.clamp(1, PAGE * 10));
        let top = self.number("$top")?.unwrap_or(usize::MAX);
        let skip = self.number("$skipToken")?.unwrap_or(0);
        let total = items.len();
        let items: Vec<Value> = items.into_iter().take(top).collect();
        let size = limit.unwrap_or(PAGE);
        let page: Vec<&Value> = items.iter().skip(skip).take(size).collect();
        let mut answer = json!({ "value": page });
        if with_total {
            answer["totalCount"] = json!(total);
        }
        let next = skip.saturating_add(size);
        if next < items.len() {
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            let others = self.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skipToken"));
            let mut parameters: Vec<String> =
                others.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            parameters.push(format!("%24skipToken={next}"));
            answer["nextLink"] = json!(format!("{}{}?{}", self.base, self.path, parameters.join("&")));
        }
        Ok(Json(answer).into_response())
    }
}

/// The target of the segments behind `subscriptions`.
fn target(segments: &[String], method: &Method) -> Option<Target> {
    let is = |at: usize, word: &str| segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
    match segments {
        [] => return Some(Target::Subscriptions),
        [_] => return Some(Target::Subscription),
        [_, _] if is(1, "resourceGroups") => return Some(Target::Groups),
        [_, _, name] if is(1, "resourceGroups") => return Some(Target::Group(name.clone())),
        _ => {}
    }
    let (scope, group, rest) = match segments {
        [subscription, _, rest @ ..] if is(1, "providers") => (format!("/subscriptions/{subscription}"), None, rest),
        [subscription, _, group, _, rest @ ..] if is(1, "resourceGroups") && is(3, "providers") => {
            (group_id(subscription, group), Some(group), rest)
        }
        _ => return None,
    };
    let (namespace, steps) = rest.split_first()?;
    // What hangs on a resource of another provider.
    if let Some(at) = steps.iter().position(|step| step.eq_ignore_ascii_case("providers")) {
        let of: Vec<&str> = steps[at + 1..].iter().step_by(2).map(String::as_str).collect();
        let kind = steps.get(at + 2).cloned().unwrap_or_default();
        let namespace = of.first().copied().unwrap_or_default();
        return Some(Target::List { scope, group: None, of: format!("{namespace}/{kind}"), parent: None });
    }
    let kinds: Vec<&str> = steps.iter().step_by(2).map(String::as_str).collect();
    let of = format!("{namespace}/{}", kinds.join("/"));
    let group = match group {
        Some(group) => group,
        // Of a whole subscription there are lists alone.
        None if steps.len() == 1 => return Some(Target::List { scope, group: None, of, parent: None }),
        None => return None,
    };
    let id = |steps: &[String]| {
        let mut steps = steps.chunks_exact(2).map(|step| (step[0].clone(), step[1].clone()));
        let (kind, name) = steps.next()?;
        let first = ResourceId::new(&segments[0], group, &format!("{namespace}/{kind}"), &name);
        Some(steps.fold(first, |id, (kind, name)| id.child(&kind, &name)))
    };
    match steps.len() {
        0 => None,
        1 => Some(Target::List { scope, group: Some(group.clone()), of, parent: None }),
        length if length % 2 == 0 => id(steps).map(Target::Resource),
        length => {
            let parent = id(&steps[..length - 1])?;
            match *method {
                Method::POST => Some(Target::Action { id: parent, name: steps[length - 1].clone() }),
                _ => Some(Target::List { scope: parent.to_string(), group: None, of, parent: Some(parent) }),
            }
        }
    }
}

/// A resource as it is shown.
pub(super) fn describe(id: &ResourceId, body: &Value) -> Value {
    let mut shown = json!({ "id": id.to_string(), "name": id.name, "type": id.type_name() });
    if let (Some(shown), Some(body)) = (shown.as_object_mut(), body.as_object()) {
        shown.extend(body.clone());
    }
    shown
}

/// The answer to a PUT.
pub(super) fn put_answer(id: &ResourceId, body: &Value, is_new: bool) -> Response {
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(describe(id, body))).into_response()
}

impl Services {
    /// The resources of a type that a list is about and that the caller may see.
    pub(super) async fn listed(&self, call: &Call) -> Result<Vec<Resource>, AzureError> {
        let Target::List { scope, of, .. } = &call.target else { return Ok(Vec::new()) };
        let mut all = self.directory.resources.below(scope, of).await?;
        all.retain(|resource| call.sees(&resource.id.to_string()));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, method: &Method) -> Option<(String, String)> {
        let segments: Vec<String> = path.split('/').map(|s| s.replace("%2F", "/")).collect();
        target(&segments, method).map(|target| (target.to_string(), target.type_name()))
    }

    #[test]
    fn targets_are_read_from_paths() {
        let (get, post) = (Method::GET, Method::POST);
        let of = "Microsoft.Security/iotSecuritySolutions";
        for (path, method, wanted, type_name) in [
            ("S/resourcegroups", &get, "the resource groups", "Microsoft.Resources/subscriptions/resourceGroups"),
            (
                "S/providers/Microsoft.Security/iotSecuritySolutions",
                &get,
                "/subscriptions/S/providers/Microsoft.Security/iotSecuritySolutions",
                of,
            ),
            (
                "S/resourceGroups/g/providers/Microsoft.Security/iotSecuritySolutions/s",
                &get,
                "/subscriptions/S/resourceGroups/g/providers/Microsoft.Security/iotSecuritySolutions/s",
                of,
            ),
            (
                "S/RESOURCEGROUPS/g/PROVIDERS/Microsoft.Security/iotSecuritySolutions/s/analyticsModels/default/aggregatedAlerts/A%2F2026-01-02/dismiss",
                &post,
                "/subscriptions/S/resourceGroups/g/providers/Microsoft.Security/iotSecuritySolutions/s/analyticsModels/default/aggregatedAlerts/A/2026-01-02/dismiss",
                "Microsoft.Security/iotSecuritySolutions/analyticsModels/aggregatedAlerts",
            ),
            (
                "S/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h/providers/Microsoft.Security/deviceSecurityGroups/d",
                &get,
                "/subscriptions/S/resourceGroups/g/providers/Microsoft.Security/deviceSecurityGroups",
                "Microsoft.Security/deviceSecurityGroups",
            ),
        ] {
            assert_eq!(read(path, method), Some((wanted.to_owned(), type_name.to_owned())), "{path}");
        }
        for nothing in ["S/other", "S/providers/Microsoft.Security", "S/providers/Microsoft.Security/a/b"] {
            assert_eq!(read(nothing, &get), None, "{nothing}");
        }
    }
}
