//! The HTTP interfaces of Turnstone: Kusto's and Log Analytics' queries, ingestion, management, signing in, our own
//! `/api/v1`, and health.
//!
//! Every request is identified first ([`requester`]) and noted where it changes something ([`audit`]). Each family of
//! paths answers errors in its own shape. Nothing here knows what the data means; requests become calls of the engine,
//! the workspace and the fleet.

mod api;
mod ask;
pub mod audit;
mod azure_error;
mod backup;
mod collection;
mod export;
pub mod external;
mod ingestion;
pub mod kusto;
pub mod listen;
mod log_analytics;
mod management;
mod metrics;
mod one_table;
mod openapi;
mod outward;
mod permitted;
mod portal;
pub mod queries;
pub mod query_log;
mod requester;
pub mod sign_in;
pub mod tls;

pub use collection::CollectionRules;
pub use management::{Directory, NotApplied, Start};
pub use metrics::Metrics;

use access::Access;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use azure_error::AzureError;
use detect::Fleet;
use hub::Hubs;
use sign_in::oidc::Provider;
use std::sync::Arc;
use tokio::sync::Semaphore;
use workspace::Workspaces;

/// What the handlers share.
pub struct Services {
    pub workspaces: Workspaces,
    pub queries: queries::Queries,
    pub access: Access,
    pub directory: Directory,
    pub hubs: Hubs,
    pub fleet: Arc<Fleet>,
    pub collection_rules: CollectionRules,
    /// The outside provider that people sign in with, where one is set up.
    pub provider: Option<Arc<Provider>>,
    pub addresses: Addresses,
    /// Everything that is kept is below it.
    pub data_folder: std::path::PathBuf,
    /// The GUID of the first workspace.
    pub workspace_id: String,
    /// The database that a request without one means.
    pub default_database: String,
    pub bounds: Bounds,
    pub metrics: Metrics,
}

/// Where this server is reached.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub http_port: u16,
    pub https_port: u16,
    /// As browsers and clients see it, when that is another than they ask for.
    pub public_url: Option<String>,
    /// The authority of this server's certificate, as PEM, where it is one of its own.
    pub authority: Option<String>,
}

const LIVE_READERS_MAX: usize = 500;
const EXPORTS_MAX: usize = 8;

/// How much is done at once, and how often.
pub struct Bounds {
    limits: requester::Limits,
    password_checks: Semaphore,
    /// So many follow the alerts at once.
    live_readers: Arc<Semaphore>,
    /// So many exports at once.
    exports: Arc<Semaphore>,
    /// The tests of one rule at a time.
    rule_tests: Semaphore,
    /// One back-up at a time.
    backup: tokio::sync::Mutex<()>,
    senders: outward::Senders,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            limits: requester::Limits::default(),
            password_checks: Semaphore::new(sign_in::PASSWORD_CHECKS_MAX),
            live_readers: Arc::new(Semaphore::new(LIVE_READERS_MAX)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            rule_tests: Semaphore::new(1),
            backup: tokio::sync::Mutex::default(),
            senders: outward::Senders::default(),
        }
    }
}

impl Services {
    /// The address of this server over TLS, as the client of a request knows it.
    pub(crate) fn https_address(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.addresses.public_url {
            return url.clone();
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let plain = format!(":{}", self.addresses.http_port);
        match host.strip_suffix(&plain) {
            Some(name) => format!("https://{name}:{}", self.addresses.https_port),
            None => format!("https://{host}"),
        }
    }
}

/// All routes of this crate, and those of the front doors that devices use.
pub fn router(services: Arc<Services>, doors: Router) -> Router {
    Router::new()
        .route("/healthz", get(|| async { (StatusCode::OK, "ok\n") }))
        .merge(kusto::router(services.clone()))
        .merge(collection::router(services.clone()))
        .merge(log_analytics::router(services.clone()))
        .merge(management::router(services.clone()))
        .merge(sign_in::router(services.clone()))
        .merge(api::router(services.clone()))
        .merge(Router::new().route("/metrics", get(metrics::show)).with_state(services.clone()))
        .merge(portal::router())
        .merge(doors)
        .fallback(|| async { AzureError::not_found("NotFound", "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            AzureError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "this method is not one of this address",
            )
        })
        .layer(axum::middleware::from_fn_with_state(services, requester::identify))
}
