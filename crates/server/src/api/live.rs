//! `GET /api/v1/alerts/live`: alerts as server-sent events, as they are stored.

use crate::Services;
use crate::azure_error::AzureError;
use crate::requester::Requester;
use access::Caller;
use access::role::READ_SECURITY;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// How often it is looked whether a caller may still follow.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Alerts from now on, of the hubs that the caller may see. Each event has the row of `SecurityAlert` as its data and the
/// alert's id as its own; an event `lost` says that the reader was too slow for some.
pub(super) async fn alerts(
    State(services): State<Arc<Services>>,
    requester: Requester,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, AzureError> {
    let caller = requester.may_below(READ_SECURITY, &services.directory.subscription_id())?.clone();
    let Ok(reader) = services.bounds.live_readers.clone().try_acquire_owned() else {
        return Err(AzureError::busy("too many follow the alerts at this moment"));
    };
    let following = Following { received: services.fleet.alerts(), services, caller, _reader: reader };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Somebody who follows the alerts.
struct Following {
    services: Arc<Services>,
    caller: Arc<Caller>,
    received: Receiver<Value>,
    _reader: OwnedSemaphorePermit,
}

impl Following {
    /// The next event; none once the caller may not see any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let received = tokio::time::timeout(CHECK_INTERVAL, self.received.recv()).await;
            let caller = self.services.access.still(&self.caller)?;
            match received {
                // Nothing came; it was looked whether the caller is still one.
                Err(_) => {}
                Ok(Ok(alert)) => {
                    let hub = alert["ResourceId"].as_str().unwrap_or_default();
                    if caller.may(READ_SECURITY, hub) {
                        return Some(event(&alert));
                    }
                }
                Ok(Err(RecvError::Lagged(count))) => {
                    return Some(Event::default().event("lost").data(count.to_string()));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }
}

fn event(alert: &Value) -> Event {
    let id = alert["SystemAlertId"].as_str().unwrap_or_default();
    Event::default().event("alert").id(id).data(alert.to_string())
}
