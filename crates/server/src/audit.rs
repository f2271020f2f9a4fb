//! The audit: a row of `AzureActivity` for every change and every sign-in, whether it was allowed or not.
//!
//! The table has the columns that Azure's has. Nobody can change its rows, its columns or how long they are kept: the
//! workspace refuses it.

use crate::Services;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use workspace::{Append, BatchBuilder};

/// The table of the audit.
pub const TABLE: &str = "AzureActivity";

/// Something that somebody did, or was not let.
#[derive(Debug)]
pub(crate) struct Activity {
    /// `Microsoft.Security/iotSecuritySolutions/write`.
    pub operation: String,
    pub resource: String,
    pub caller: String,
    pub principal_id: String,
    /// How the caller has shown who it is, and with which secret.
    pub means: &'static str,
    pub secret_id: String,
    pub address: Option<IpAddr>,
    pub is_success: bool,
    pub status: StatusCode,
    /// Method and path.
    pub request: String,
    /// What else there is to say of it, by name.
    pub details: Vec<(String, Value)>,
    pub correlation_id: String,
}

/// Of longer texts the beginning is kept.
const TEXT_CHARACTERS_MAX: usize = 2000;

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARACTERS_MAX).collect()
}

impl Activity {
    fn row(&self, workspace_id: &str, now: i64) -> Map<String, Value> {
        let resource = cut(&self.resource);
        let parts: Vec<&str> = resource.split('/').filter(|part| !part.is_empty()).collect();
        let after = |word: &str| {
            let at = parts.iter().position(|part| part.eq_ignore_ascii_case(word));
            at.and_then(|at| parts.get(at + 1)).copied().unwrap_or_default()
        };
        let status = if self.is_success { "Success" } else { "Failure" };
        let time = kql::datetime::format(now);
        let action = self.operation.rsplit('/').next().unwrap_or_default();
        let mut properties = json!({ "statusCode": self.status.as_u16(), "operation": action });
        for (name, value) in &self.details {
            properties[name] = match value {
                Value::String(text) => json!(cut(text)),
                other => other.clone(),
            };
        }
        let claims = json!({
            "oid": self.principal_id, "name": cut(&self.caller), "means": self.means, "secretId": self.secret_id,
        });
        let row = json!({
            "TenantId": workspace_id,
            "TimeGenerated": time,
            "EventSubmissionTimestamp": time,
            "OperationName": self.operation,
            "OperationNameValue": self.operation.to_uppercase(),
            "Level": if self.is_success { "Informational" } else { "Warning" },
            "ActivityStatus": if self.is_success { "Succeeded" } else { "Failed" },
            "ActivityStatusValue": status,
            "ActivitySubstatus": self.status.canonical_reason().unwrap_or_default(),
            "ActivitySubstatusValue": self.status.as_u16().to_string(),
            "ResourceGroup": after("resourceGroups"),
            "SubscriptionId": after("subscriptions"),
            "ResourceProvider": after("providers"),
            "ResourceProviderValue": after("providers").to_uppercase(),
            "Resource": parts.last().copied().unwrap_or_default(),
            "ResourceId": resource,
            "_ResourceId": resource.to_lowercase(),
            "CorrelationId": self.correlation_id,
            "OperationId": self.correlation_id,
            "EventDataId": uuid::Uuid::new_v4().to_string(),
            "Caller": cut(&self.caller),
            "CallerIpAddress": self.address.map(|address| address.to_string()).unwrap_or_default(),
            "Category": "Administrative",
            "CategoryValue": "Administrative",
            "Authorization": json!({ "action": self.operation, "scope": resource }).to_string(),
            "Authorization_d": { "action": self.operation, "scope": resource },
            "Claims": claims.to_string(),
            "Claims_d": claims,
            "HTTPRequest": cut(&self.request),
            "Properties": properties.to_string(),
            "Properties_d": properties,
            "SourceSystem": "Turnstone",
            "Type": TABLE,
        });
        match row {
            Value::Object(row) => row,
            _ => Map::new(),
        }
    }
}

impl Services {
    /// Notes what was done. It is on disk when this returns; when it cannot be, the log says so.
    pub(crate) async fn audit(&self, activity: &Activity) {
        if let Err(error) = self.append_activity(activity).await {
            tracing::error!(%error, ?activity, "the audit could not be written");
        }
    }

    async fn append_activity(&self, activity: &Activity) -> workspace::Result<()> {
        let database = &self.default_database;
        let columns = self.workspaces.columns(database, TABLE)?;
        let mut builder = BatchBuilder::new(&columns);
        builder.push_object(&activity.row(&self.workspace_id, kql::datetime::now()));
        let tables = vec![(TABLE.to_owned(), builder.finish()?)];
        self.workspaces.append(Append { database: database.clone(), tables, ids: Vec::new() }).await?;
        Ok(())
    }
}
