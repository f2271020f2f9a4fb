//! The forms of what is sent and answered.

use serde_json::{Map, Value, json};

fn object(needed: &[&str], members: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": needed, "properties": properties })
}

/// All of them, by name.
pub(super) fn all() -> Value {
    let text = || json!({ "type": "string" });
    let nullable = |of: &str| json!({ "type": [of, "null"] });
    let flag = || json!({ "type": "boolean" });
    let number = || json!({ "type": "integer" });
    let list = |of: Value| json!({ "type": "array", "items": of });
    let any = || json!({});
    let resource = object(
        &["id", "name", "type"],
        &[
            ("id", text()),
            ("name", text()),
            ("type", text()),
            ("location", any()),
            ("tags", any()),
            ("properties", any()),
        ],
    );
    let column =
        object(&["ColumnName", "ColumnType"], &[("ColumnName", text()), ("DataType", text()), ("ColumnType", text())]);
    let table = object(
        &["TableName", "Columns", "Rows"],
        &[("TableName", text()), ("Columns", list(column)), ("Rows", list(any()))],
    );
    let logs_column = object(&["name", "type"], &[("name", text()), ("type", text())]);
    let logs_table = object(
        &["name", "columns", "rows"],
        &[("name", text()), ("columns", list(logs_column)), ("rows", list(any()))],
    );
    json!({
        "Error": object(&["error"], &[("error", object(&["code", "message"], &[("code", text()), ("message", text())]))]),
        "Any": {},
        "Device": object(
            &["deviceId", "isEnabled", "createdTime"],
            &[
                ("deviceId", text()), ("isEnabled", flag()), ("createdTime", text()), ("primaryKey", text()),
                ("secondaryKey", text()), ("alerts", number()), ("activeRecommendations", number()),
                ("firstSeenTime", nullable("string")), ("lastActivityTime", nullable("string")),
                ("systemInformation", any()), ("systemInformationTime", nullable("string")),
                ("agentVersion", nullable("string")),
            ],
        ),
        "SignInLink": object(&["code", "expiresTime"], &[("code", text()), ("expiresTime", text())]),
        "Hub": object(&["id", "name", "deviceCount"], &[("id", text()), ("name", text()), ("deviceCount", number())]),
        "DismissedAlert": object(&["name"], &[("name", text())]),
        "Rule": object(
            &["id", "kind", "displayName", "severity", "isEnabled", "remediationSteps", "tests"],
            &[
                ("id", text()), ("kind", json!({ "enum": ["Alert", "Recommendation"] })), ("displayName", text()),
                ("description", text()), ("severity", text()), ("alertType", text()), ("tactics", list(text())),
                ("techniques", list(text())), ("remediationSteps", list(text())), ("isEnabled", flag()),
                ("version", text()), ("tests", list(text())), ("query", text()), ("text", text()),
            ],
        ),
        "RuleTestOutcome": object(
            &["name", "passed", "problem"],
            &[("name", text()), ("passed", flag()), ("problem", nullable("string"))],
        ),
        "Workbook": object(
            &["id", "title", "isBuiltIn", "parameters", "items"],
            &[
                ("id", text()), ("title", text()), ("description", text()), ("isBuiltIn", flag()),
                ("parameters", list(any())), ("items", list(any())),
            ],
        ),
        "Module": object(
            &["deviceId", "moduleId", "primaryKey", "secondaryKey"],
            &[("deviceId", text()), ("moduleId", text()), ("primaryKey", text()), ("secondaryKey", text())],
        ),
        "TimelineEntry": object(
            &["time", "kind", "name"],
            &[
                ("time", nullable("string")), ("recorded", nullable("string")), ("kind", json!({ "enum": ["alert", "recommendation", "event"] })), ("name", text()),
                ("title", text()), ("severity", text()), ("state", text()), ("details", any()), ("id", text()),
            ],
        ),
        "Role": object(
            &["name", "description", "actions", "notActions"],
            &[("name", text()), ("description", text()), ("actions", list(text())), ("notActions", list(text()))],
        ),
        "RoleAssignment": object(
            &["id", "principalId", "role", "scope"],
            &[
                ("id", text()), ("principalId", text()), ("principalName", nullable("string")), ("role", text()), ("scope", text()),
                ("createdTime", text()),
            ],
        ),
        "Principal": object(
            &["id", "kind", "displayName"],
            &[
                ("id", text()), ("kind", text()), ("displayName", text()), ("isEnabled", flag()), ("createdTime", text()),
                ("name", text()), ("appId", text()), ("issuer", text()), ("hasTotp", flag()), ("secret", any()), ("secrets", list(any())),
            ],
        ),
        "Secret": object(
            &["keyId", "startDateTime", "endDateTime"],
            &[("keyId", text()), ("startDateTime", text()), ("endDateTime", text()), ("secretText", text())],
        ),
        "Token": object(
            &["id", "name", "createdTime", "expiresTime"],
            &[
                ("id", text()), ("name", text()), ("createdTime", text()), ("expiresTime", text()), ("role", text()),
                ("scope", text()), ("token", text()),
            ],
        ),
        "Totp": object(&["secret", "uri"], &[("secret", text()), ("uri", text())]),
        "Session": object(&["principal", "roles"], &[("principal", any()), ("roles", list(any()))]),
        "SavedQuery": object(
            &["id", "displayName", "query"],
            &[("id", text()), ("displayName", text()), ("category", nullable("string")), ("query", text())],
        ),
        "AlertDestination": object(
            &["id", "url", "form", "isEnabled"],
            &[
                ("id", text()), ("kind", text()), ("url", text()), ("form", text()), ("isEnabled", flag()),
                ("severities", list(text())), ("secret", text()), ("lastFailure", nullable("string")), ("deliveredUntil", json!({ "type": "object" })),
            ],
        ),
        "AuditEntry": object(
            &["time", "caller", "operation", "status"],
            &[
                ("time", text()), ("caller", text()), ("address", text()), ("operation", text()), ("resource", text()),
                ("status", text()), ("statusCode", nullable("integer")), ("request", text()), ("correlationId", text()),
            ],
        ),
        "Backup": object(&[], &[]),
        "Resource": resource,
        "ResourceBody": object(
            &[],
            &[("location", text()), ("tags", json!({ "type": "object" })), ("properties", json!({ "type": "object" }))],
        ),
        "SharedKeys": object(
            &["primarySharedKey", "secondarySharedKey"],
            &[("primarySharedKey", text()), ("secondarySharedKey", text())],
        ),
        "KustoQuery": object(&["csl"], &[("db", text()), ("csl", text()), ("properties", any())]),
        "KustoTables": object(&["Tables"], &[("Tables", list(table))]),
        "KustoFrames": list(object(&["FrameType"], &[("FrameType", text())])),
        "LogsQuery": object(&["query"], &[("query", text()), ("timespan", nullable("string")), ("workspaces", json!({ "type": ["array", "null"], "items": text() }))]),
        "LogsAnswer": object(&["tables"], &[("tables", list(logs_table))]),
        "LogsBatch": object(&["requests"], &[("requests", list(object(
            &["id", "workspace", "body"],
            &[("id", text()), ("workspace", text()), ("headers", json!({ "type": "object" })), ("body", json!({ "type": "object" }))],
        )))]),
        "LogsBatchAnswer": object(&["responses"], &[("responses", list(any()))]),
        "LogsMetadata": object(&["tables"], &[("tables", list(any())), ("functions", list(any())), ("workspaces", list(any()))]),
        "Records": list(json!({ "type": "object" })),
        "AccessToken": object(
            &["token_type", "expires_in", "access_token"],
            &[("token_type", text()), ("expires_in", number()), ("ext_expires_in", number()), ("access_token", text())],
        ),
        "OAuthError": object(&["error"], &[("error", text()), ("error_description", text())]),
    })
}
