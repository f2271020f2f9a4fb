//! `GET /api/v1/alerts/live`: alerts as server-sent events, as they are stored.

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::role::READ_SECURITY;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Alerts from now on, of the hubs that the caller may see. Each event has the row of `SecurityAlert` as its data and the
/// alert's id as its own; an event `lost` says that the reader was too slow for some.
pub(super) async fn alerts(
    State(services): State<Arc<Services>>,
    requester: Requester,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, AzureError> {
    let caller = requester.may_below(READ_SECURITY, &services.directory.subscription_id())?.clone();
    let received = services.fleet.alerts();
    let events = stream::unfold((received, caller), |(mut received, caller)| async move {
        loop {
            match received.recv().await {
                Ok(alert) => {
                    let hub = alert["ResourceId"].as_str().unwrap_or_default();
                    if caller.may(READ_SECURITY, hub) {
                        return Some((Ok(event(&alert)), (received, caller)));
                    }
                }
                Err(RecvError::Lagged(count)) => {
                    let lost = Event::default().event("lost").data(count.to_string());
                    return Some((Ok(lost), (received, caller)));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(alert: &Value) -> Event {
    let id = alert["SystemAlertId"].as_str().unwrap_or_default();
    Event::default().event("alert").id(id).data(alert.to_string())
}
