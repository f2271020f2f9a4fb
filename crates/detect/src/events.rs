//! From messages to rows: one row of the raw-event table for each payload item.

use crate::settings::DEFAULT_HUB;
use crate::tables::{RAW_EVENTS, rows};
use crate::{Error, Settings};
use arrow::array::RecordBatch;
use engine::Column;
use messages::Event;
use messages::intake::Delivery;
use messages::schema::Agent;
use serde_json::{Map, Value, json};
use workspace::EventId;

/// The raw-event rows of a message, for a workspace whose table has these columns, and for each row the id of its event.
pub fn raw_rows(
    delivery: &Delivery,
    settings: &Settings,
    workspace_id: &str,
    columns: &[Column],
) -> Result<(RecordBatch, Vec<EventId>), Error> {
    let sender = sender(delivery);
    let mut objects = Vec::new();
    let mut ids = Vec::new();
    for event in &delivery.message.events {
        let empty = [Map::new()];
        let items: &[Map<String, Value>] = if event.payload.is_empty() { &empty } else { &event.payload };
        for item in items {
            objects.push(raw_row(delivery, event, item, settings, workspace_id));
            ids.push(EventId::new(&sender, &event.id));
        }
    }
    Ok((rows(columns, &objects)?, ids))
}

/// Who has sent a message: the device, among those of all hubs. Ids of the default hub's events are older than other hubs.
fn sender(delivery: &Delivery) -> String {
    match delivery.hub.as_str() {
        DEFAULT_HUB => delivery.device_id.clone(),
        hub => format!("{hub}/{}", delivery.device_id),
    }
}

fn raw_row(
    delivery: &Delivery,
    event: &Event,
    item: &Map<String, Value>,
    settings: &Settings,
    workspace_id: &str,
) -> Map<String, Value> {
    let details = details(delivery, event, item, settings).to_string();
    let row = json!({
        "TenantId": workspace_id,
        "TimeGenerated": kql::datetime::format(delivery.received_ticks),
        "TimeStamp": event.timestamp_utc,
        "AgentVersion": delivery.message.agent_version,
        "AssociatedResourceId": settings.hub_resource_id,
        "AzureSubscriptionId": settings.subscription_id,
        "DeviceId": delivery.device_id,
        "IoTRawEventId": event.id,
        "RawEventName": event.name,
        "RawEventCategory": event.category.name(),
        "RawEventType": event.event_type.name(),
        "IsEmpty": event.is_empty,
        "_BilledSize": details.len(),
        "_IsBillable": "False",
        "EventDetails": details,
        "SourceSystem": "Turnstone",
        "Type": RAW_EVENTS,
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// What stands in EventDetails: the item; before it, for an item of the micro agent, the keys that rows of that
/// agent repeat and that its parsers read there.
fn details(delivery: &Delivery, event: &Event, item: &Map<String, Value>, settings: &Settings) -> Value {
    let is_micro = messages::shape(&event.name, item).is_some_and(|shape| shape.agent == Agent::Micro);
    if !is_micro {
        return Value::Object(item.clone());
    }
    let mut details = json!({
        "EventId": event.id,
        "OriginalEventId": event.id,
        "DeviceId": delivery.device_id,
        "MessageSource": "Linux",
        "TimestampUTC": event.timestamp_utc,
        "TimestampLocal": event.timestamp_local,
        "AzureResourceId": settings.hub_resource_id,
    });
    if let Value::Object(details) = &mut details {
        details.extend(item.clone());
    }
    details
}
