//! The event types and the fields of their payload items, as data. Source of the names, kinds and enums: the
//! published JSON schemas of the retired agent (defender.md, 3.1).

use crate::message::EventType;

/// What the value of a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Bool,
    /// A guid of 36 characters.
    Guid,
    /// An IPv4 or IPv6 address.
    Address,
    /// A port, a range `a-b`, a list `a,b` or `*`.
    Port,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A port, as a number.
    PortNumber,
    /// A JSON object whose values are strings.
    Properties,
    /// A JSON array of objects with these fields.
    List(&'static [Field]),
}

/// Which agent's names and types an item has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// The one that sent JSON messages, whose shape own senders use too.
    Legacy,
    /// The one for small devices that came after it.
    Micro,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub is_required: bool,
}

/// An event type: its name, its kind of event and its fields.
#[derive(Debug)]
pub struct EventSchema {
    pub name: &'static str,
    pub agent: Agent,
    pub event_type: EventType,
    pub fields: &'static [Field],
    /// Of these fields at least one must be there.
    pub one_of: &'static [&'static str],
}

pub(crate) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: true }
}

pub(crate) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_required: false }
}

const fn schema(name: &'static str, event_type: EventType, fields: &'static [Field]) -> EventSchema {
    EventSchema { name, agent: Agent::Legacy, event_type, fields, one_of: &[] }
}

use EventType::{Diagnostic, Operational, Security};
use Kind::{Address, Bool, Guid, Integer, OneOf, Port, Text};

const DIRECTION: Kind = OneOf(&["In", "Out"]);

/// Every event type of the legacy agent.
pub static EVENTS: &[EventSchema] = &[
    schema(
        "ProcessCreate",
        Security,
        &[
            must("Executable", Text),
            must("ProcessId", Integer),
            must("ParentProcessId", Integer),
            must("UserId", Text),
            may("UserName", Text),
            must("CommandLine", Text),
        ],
    ),
    schema(
        "ProcessTerminate",
        Security,
        &[must("Executable", Text), must("ProcessId", Integer), must("ExitStatus", Integer)],
    ),
    schema(
        "ConnectionCreate",
        Security,
        &[
            must("RemoteAddress", Address),
            must("RemotePort", Port),
            may("LocalAddress", Address),
            may("LocalPort", Port),
            must("Direction", DIRECTION),
            must("Protocol", Text),
            must("ProcessId", Integer),
            may("UserId", Text),
            must("Executable", Text),
            may("CommandLine", Text),
        ],
    ),
    EventSchema {
        name: "Login",
        agent: Agent::Legacy,
        event_type: Security,
        fields: &[
            must("ProcessId", Integer),
            may("UserId", Text),
            may("UserName", Text),
            must("Operation", Text),
            must("Executable", Text),
            may("RemoteAddress", Text),
            may("RemotePort", Port),
            may("LocalPort", Port),
            must("Result", OneOf(&["Success", "Fail"])),
        ],
        one_of: &["UserId", "UserName"],
    },
    schema(
        "ListeningPorts",
        Security,
        &[
            must("LocalPort", Port),
            must("Protocol", Text),
            may("LocalAddress", Text),
            may("RemoteAddress", Text),
            may("RemotePort", Port),
        ],
    ),
    schema(
        "FirewallConfiguration",
        Security,
        &[
            must("Enabled", Bool),
            must("Action", OneOf(&["Allow", "Deny", "Other"])),
            may("Priority", Integer),
            may("Direction", DIRECTION),
            may("ChainName", Text),
            may("Application", Text),
            may("SourceAddress", Text),
            may("SourcePort", Port),
            may("DestinationAddress", Text),
            may("DestinationPort", Port),
            may("Protocol", Text),
        ],
    ),
    schema(
        "LocalUsers",
        Security,
        &[must("UserId", Text), must("UserName", Text), must("GroupIds", Text), must("GroupNames", Text)],
    ),
    schema(
        "ConnectedHardware",
        Security,
        &[must("HardwareCategory", Text), must("HardwareSubCategory", Text), must("HardwareName", Text)],
    ),
    schema(
        "OSBaseline",
        Security,
        &[
            must("Description", Text),
            must("CceId", Text),
            must("Result", OneOf(&["Pass", "Fail", "Err"])),
            must("Error", Text),
            must("Severity", OneOf(&["Critical", "Important", "Warning", "Informational"])),
        ],
    ),
    schema(
        "SystemInformation",
        Security,
        &[
            may("OSName", Text),
            may("OSVersion", Text),
            may("OSVendor", Text),
            may("OsArchitecture", Text),
            may("HostName", Text),
            may("BIOSVersion", Text),
            may("BootDevice", Text),
            may("TotalPhysicalMemoryInKB", Integer),
            may("FreePhysicalMemoryInKB", Integer),
            may("TotalVirtualMemoryInKB", Integer),
            may("FreeVirtualMemoryInKB", Integer),
        ],
    ),
    schema(
        "Diagnostic",
        Diagnostic,
        &[
            must("Severity", OneOf(&["Fatal", "Error", "Warning", "Information", "Debug"])),
            must("Message", Text),
            must("ProcessId", Integer),
            must("ThreadId", Integer),
            may("CorrelationId", Guid),
        ],
    ),
    schema(
        "ConfigurationError",
        Operational,
        &[
            must("ConfigurationName", Text),
            must("ErrorType", OneOf(&["TypeMismatch", "NotOptimal", "Conflict"])),
            must("UsedConfiguration", Text),
            must("Message", Text),
        ],
    ),
    schema(
        "DroppedEventsStatistics",
        Operational,
        &[must("Queue", OneOf(&["High", "Low"])), must("CollectedEvents", Integer), must("DroppedEvents", Integer)],
    ),
    schema(
        "MessageStatistics",
        Operational,
        &[must("MessagesSent", Integer), must("MessagesUnder4KB", Integer), must("TotalFailed", Integer)],
    ),
];

/// The shapes that an item of the event type `name` may have: the legacy agent's, the micro agent's, both or none.
pub fn shapes(name: &str) -> impl Iterator<Item = &'static EventSchema> {
    EVENTS.iter().chain(crate::micro::EVENTS).filter(move |shape| shape.name == name)
}

/// The kind of event that `name` is; the same in both shapes. None for an unknown name.
pub fn event_type(name: &str) -> Option<EventType> {
    shapes(name).next().map(|shape| shape.event_type)
}
