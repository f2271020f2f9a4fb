//! `GET /metrics`: what the server does, in the text form that Prometheus reads.

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// Who may look.
const READ_METRICS: &str = "Turnstone/metrics/read";

/// The interface that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Interface {
    Kusto,
    LogAnalytics,
    Ingestion,
    Management,
    Own,
    SignIn,
    Other,
}

impl Interface {
    fn of(path: &str) -> Interface {
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| path.starts_with(beginning));
        if begins(&["/v1/rest/ingest/", "/dataCollectionRules/", "/api/logs"]) {
            Interface::Ingestion
        } else if begins(&["/v1/rest/", "/v2/rest/"]) {
            Interface::Kusto
        } else if begins(&["/v1/", "/workspaces/", "/$batch"]) {
            Interface::LogAnalytics
        } else if begins(&["/subscriptions", "/providers/"]) {
            Interface::Management
        } else if begins(&["/api/v1/session"]) || path.contains("/oauth2/") {
            Interface::SignIn
        } else if begins(&["/api/v1/"]) {
            Interface::Own
        } else {
            Interface::Other
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    interface: Interface,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InterfaceLabels {
    interface: Interface,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DatabaseLabels {
    database: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// What is counted while the server runs.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<InterfaceLabels, Histogram>,
    alerts_sent: Family<OutcomeLabels, Counter>,
    hot_rows: Family<DatabaseLabels, Gauge>,
    file_rows: Family<DatabaseLabels, Gauge>,
    file_bytes: Family<DatabaseLabels, Gauge>,
    tables: Family<DatabaseLabels, Gauge>,
    day_bytes: Family<DatabaseLabels, Gauge>,
    running_queries: Gauge,
    resident_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("turnstone");
        let requests = Family::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 9));
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register("http_request_duration_seconds", "Time until an answer begins", seconds.clone());
        let alerts_sent = Family::default();
        registry.register("alerts_sent", "Attempts to send alerts to other systems", alerts_sent.clone());
        let mut of_database = |name: &str, help: &str| {
            let family: Family<DatabaseLabels, Gauge> = Family::default();
            registry.register(name, help, family.clone());
            family
        };
        let hot_rows = of_database("workspace_hot_rows", "Rows in the log that are in no table file yet");
        let file_rows = of_database("workspace_file_rows", "Rows in table files");
        let file_bytes = of_database("workspace_file_bytes", "Bytes of table files");
        let tables = of_database("workspace_tables", "Tables");
        let day_bytes = of_database("workspace_day_bytes", "Bytes that came on this day");
        let running_queries = Gauge::default();
        registry.register("queries_running", "Queries that are running", running_queries.clone());
        let resident_bytes = Gauge::default();
        registry.register("process_resident_memory_bytes", "Memory of the process", resident_bytes.clone());
        Metrics {
            registry,
            requests,
            seconds,
            alerts_sent,
            hot_rows,
            file_rows,
            file_bytes,
            tables,
            day_bytes,
            running_queries,
            resident_bytes,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, path: &str, status: StatusCode, took: Duration) {
        let interface = Interface::of(path);
        self.requests.get_or_create(&RequestLabels { interface: interface.clone(), status: status.as_u16() }).inc();
        self.seconds.get_or_create(&InterfaceLabels { interface }).observe(took.as_secs_f64());
    }

    pub(crate) fn alert_sent(&self, has_arrived: bool) {
        let outcome = if has_arrived { "arrived" } else { "failed" };
        self.alerts_sent.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

pub(crate) async fn show(State(services): State<Arc<Services>>, requester: Requester) -> Result<Response, AzureError> {
    requester.may(READ_METRICS, "/")?;
    let metrics = &services.metrics;
    // Those of workspaces that are no more go.
    for family in [&metrics.hot_rows, &metrics.file_rows, &metrics.file_bytes, &metrics.tables, &metrics.day_bytes] {
        family.clear();
    }
    for database in services.databases() {
        let (mut hot, mut rows, mut bytes, mut count) = (0usize, 0u64, 0u64, 0i64);
        for table in services.workspaces.tables(&database).await? {
            hot += table.hot_rows;
            rows += table.file_rows;
            bytes += table.file_bytes;
            count += 1;
        }
        let (_, day_bytes) = services.workspaces.daily_quota(&database);
        let labels = DatabaseLabels { database };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.hot_rows.get_or_create(&labels).set(number(hot as u64));
        metrics.file_rows.get_or_create(&labels).set(number(rows));
        metrics.file_bytes.get_or_create(&labels).set(number(bytes));
        metrics.tables.get_or_create(&labels).set(count);
        metrics.day_bytes.get_or_create(&labels).set(number(day_bytes));
    }
    metrics.running_queries.set(i64::try_from(services.queries.log.running().len()).unwrap_or(i64::MAX));
    metrics.resident_bytes.set(resident_bytes());
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(|error| AzureError::internal(&error))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The memory of this process, from /proc.
fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.answered("/v1/rest/query", StatusCode::OK, Duration::from_millis(3));
        metrics.answered("/v1/rest/ingest/default/T", StatusCode::BAD_REQUEST, Duration::from_millis(1));
        let mut text = String::new();
        encode(&mut text, &metrics.registry).expect("text");
        assert!(text.contains("turnstone_http_requests_total{interface=\"Kusto\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("turnstone_http_requests_total{interface=\"Ingestion\",status=\"400\"} 1"), "{text}");
        assert!(text.contains("turnstone_http_request_duration_seconds_count{interface=\"Kusto\"} 1"), "{text}");
    }
}
