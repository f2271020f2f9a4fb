//! The description of all interfaces, `GET /api/v1/openapi.json`, in the form of OpenAPI 3.1.
//!
//! An [`Operation`] is a route and what is said of it. Routes of our own interface are made of operations, so that none
//! is without a description; those of Azure's interfaces are described beside their routes.

mod azure;
mod schemas;

use crate::Services;
use axum::Router;
use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(crate) type Handler = MethodRouter<Arc<Services>>;

/// A method of a path, and what is said of it.
pub(crate) struct Operation {
    method: &'static str,
    path: &'static str,
    name: &'static str,
    tag: &'static str,
    summary: &'static str,
    query: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, &'static str, Option<Value>)>,
    is_open: bool,
    handler: Option<Handler>,
}

/// What can be wrong with any request that needs a caller.
const REFUSALS: &[(u16, &str)] = &[
    (400, "What is asked for is wrong; the message says what."),
    (401, "The request does not say who makes it."),
    (403, "The caller has no role that allows it."),
    (404, "There is nothing of this name."),
    (409, "It does not go together with what is there."),
    (429, "Too many requests; try again after the seconds that Retry-After says."),
];

impl Operation {
    pub fn new(method: &'static str, path: &'static str, name: &'static str, summary: &'static str) -> Operation {
        Operation {
            method,
            path,
            name,
            tag: "Turnstone",
            summary,
            query: Vec::new(),
            body: None,
            answers: Vec::new(),
            is_open: false,
            handler: None,
        }
    }

    /// The family that it belongs to.
    pub fn of(mut self, tag: &'static str) -> Operation {
        self.tag = tag;
        self
    }

    /// Who answers it.
    pub fn by(mut self, handler: Handler) -> Operation {
        self.handler = Some(handler);
        self
    }

    /// A parameter behind the question mark, of a type of JSON Schema.
    pub fn query(mut self, name: &str, of: &str, said: &str) -> Operation {
        self.query.push(json!({ "name": name, "in": "query", "description": said, "schema": { "type": of } }));
        self
    }

    /// A body of JSON with these members: name, type, whether it is needed.
    pub fn body(mut self, members: &[(&str, &str, bool)]) -> Operation {
        let property = |(name, of, _): &(&str, &str, bool)| ((*name).to_owned(), json!({ "type": of }));
        let properties: Map<String, Value> = members.iter().map(property).collect();
        let needed: Vec<&str> =
            members.iter().filter(|(_, _, is_needed)| *is_needed).map(|(name, _, _)| *name).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": needed });
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        self
    }

    /// A body of JSON of a form that is described elsewhere.
    pub fn body_of(mut self, schema: &str) -> Operation {
        self.body =
            Some(json!({ "required": true, "content": { "application/json": { "schema": reference(schema) } } }));
        self
    }

    /// A body of another kind.
    pub fn body_as(mut self, content_type: &str) -> Operation {
        self.body = Some(json!({ "required": true, "content": { content_type: { "schema": { "type": "string" } } } }));
        self
    }

    /// An answer with a body of a form that is described by that name.
    pub fn answers(mut self, status: u16, said: &'static str, schema: &str) -> Operation {
        self.answers.push((status, said, Some(json!({ "application/json": { "schema": reference(schema) } }))));
        self
    }

    /// An answer with a list of such.
    pub fn lists(mut self, said: &'static str, schema: &str) -> Operation {
        let list = json!({
            "type": "object",
            "required": ["value"],
            "properties": { "value": { "type": "array", "items": reference(schema) }, "nextLink": { "type": "string" } },
        });
        self.answers.push((200, said, Some(json!({ "application/json": { "schema": list } }))));
        self
    }

    /// An answer with a body of another kind.
    pub fn answers_as(mut self, status: u16, said: &'static str, content_type: &str) -> Operation {
        self.answers.push((status, said, Some(json!({ content_type: { "schema": {} } }))));
        self
    }

    /// An answer without a body.
    pub fn answers_nothing(mut self, status: u16, said: &'static str) -> Operation {
        self.answers.push((status, said, None));
        self
    }

    /// Anybody may ask.
    pub fn open(mut self) -> Operation {
        self.is_open = true;
        self
    }

    fn described(&self) -> Value {
        let names = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let in_path =
            names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        let parameters: Vec<Value> = in_path.chain(self.query.iter().cloned()).collect();
        let mut responses = Map::new();
        for (status, said, content) in &self.answers {
            let mut response = json!({ "description": said });
            if let Some(content) = content {
                response["content"] = content.clone();
            }
            responses.insert(status.to_string(), response);
        }
        for (status, said) in REFUSALS {
            let response = json!({
                "description": said,
                "content": { "application/json": { "schema": reference("Error") } },
            });
            responses.entry(status.to_string()).or_insert(response);
        }
        let mut described = json!({
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(body) = &self.body {
            described["requestBody"] = body.clone();
        }
        if self.is_open {
            described["security"] = json!([]);
        }
        described
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The routes of operations that name who answers them.
pub(crate) fn routes(operations: Vec<Operation>) -> Router<Arc<Services>> {
    operations.into_iter().fold(Router::new(), |router, operation| match operation.handler {
        Some(handler) => router.route(operation.path, handler),
        None => router,
    })
}

/// The description of everything.
pub(crate) fn description() -> Value {
    let mut paths = Map::new();
    let all = crate::api::operations().into_iter().chain(crate::sign_in::operations()).chain(azure::operations());
    for operation in all {
        let item = paths.entry(operation.path.to_owned()).or_insert_with(|| json!({}));
        item[operation.method] = operation.described();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Turnstone",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Security monitoring for fleets of Linux IoT devices. Paths below /subscriptions compare without \
                regard to case and take any api-version.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The admin token, a personal access token, or an access token of the token endpoint.",
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_form_is_described() {
        let description = description();
        let text = description.to_string();
        let schemas = description["components"]["schemas"].as_object().expect("schemas");
        for used in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(schemas.contains_key(used), "{used} is not described");
        }
        let mut names = BTreeSet::new();
        for (path, item) in description["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{method} {path}: {name} is used twice");
            }
        }
        assert!(names.len() > 80, "{}", names.len());
    }
}
