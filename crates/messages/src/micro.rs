//! The events of the retired micro agent, as data.
//!
//! Their items stand in rows as [`crate::schema`]'s do, with other names and with numbers where those have text. Two
//! names, `Login` and `SystemInformation`, exist in both shapes. Source: the public parsers of such rows and the
//! agent's own collectors (defender.md, 3.3 and 3.4); the shapes of `SystemInformation`, `SBoM`, `Peripheral`,
//! `FileSystem`, `Statistics`, `Heartbeat` and `Log` are ours, since no row of theirs is public.

use crate::message::EventType::{Diagnostic, Operational, Security};
use crate::schema::Kind::{Address, Integer, List, OneOf, PortNumber, Properties, Text};
use crate::schema::{Agent, EventSchema, Field, may, must};

const fn schema(name: &'static str, fields: &'static [Field]) -> EventSchema {
    EventSchema { name, agent: Agent::Micro, event_type: Security, fields, one_of: &[] }
}

const HIT_COUNT: Field = may("HitCount", Integer);

/// Every event of the micro agent.
pub static EVENTS: &[EventSchema] = &[
    schema(
        "Process",
        &[
            must("EventType", OneOf(&["FORK", "EXEC", "EXIT"])),
            must("ProcessId", Integer),
            may("ParentProcessId", Integer),
            may("UserId", Integer),
            may("UserName", Text),
            must("Executable", Text),
            must("Commandline", Text),
            HIT_COUNT,
        ],
    ),
    schema(
        "NetworkActivity",
        &[
            must("LocalAddress", Address),
            must("RemoteAddress", Address),
            must("LocalPort", PortNumber),
            must("RemotePort", PortNumber),
            must("Protocol", OneOf(&["TCP", "UDP", "ICMP"])),
            may("BytesIn", Integer),
            may("BytesOut", Integer),
            may("ProcessId", Integer),
            may("UserId", Integer),
            may("Executable", Text),
            may("Commandline", Text),
            may("ApplicationProtocol", Text),
            may("ExtendedProperties", Properties),
            may("DnsHitCount", Integer),
            HIT_COUNT,
        ],
    ),
    schema(
        "Login",
        &[
            must("Operation", OneOf(&["Login", "Logout", "LoginFailed"])),
            must("ProcessId", Integer),
            must("UserName", Text),
            must("Executable", Text),
            must("RemoteAddress", Text),
        ],
    ),
    schema(
        "Baseline",
        &[
            must("BaselineCheckId", Text),
            must("BaselineCheckResult", OneOf(&["PASS", "FAIL", "ERROR", "SKIP"])),
            may("BaselineCheckDescription", Text),
            may("BaselineCheckError", Text),
            may("BaselineCheckRemediation", Text),
            may("BaselineCheckSeverity", OneOf(&["CRITICAL", "IMPORTANT", "WARNING", "INFORMATIONAL"])),
        ],
    ),
    schema(
        "SystemInformation",
        &[
            may("HardwareVendor", Text),
            may("HardwareModel", Text),
            may("HardwareSerial", Text),
            may("FirmwareVendor", Text),
            may("FirmwareVersion", Text),
            must("OsDist", Text),
            must("OsVersion", Text),
            must("OsPlatform", Text),
            must("OsArch", Text),
            may("AgentType", OneOf(&["Edge", "Standalone"])),
            may("AgentVersion", Text),
            may("Nics", List(NIC)),
        ],
    ),
    schema("SBoM", &[must("Name", Text), must("Version", Text), may("Vendor", Text)]),
    schema(
        "Peripheral",
        &[
            must("ActionType", OneOf(&["connect", "disconnect"])),
            must("BusNumber", Integer),
            may("KernelDeviceNumber", Integer),
            may("DeviceClass", Integer),
            may("DeviceSubclass", Integer),
            may("DeviceProtocol", Integer),
            may("InterfaceClass", Integer),
            may("InterfaceSubclass", Integer),
            may("InterfaceProtocol", Integer),
            may("InterfaceName", Text),
        ],
    ),
    schema("FileSystem", &[must("Path", Text), must("Mask", Text), HIT_COUNT]),
    EventSchema {
        name: "Statistics",
        agent: Agent::Micro,
        event_type: Operational,
        fields: &[must("Name", Text), must("Events", List(&[must("Description", Text), must("HitCount", Integer)]))],
        one_of: &[],
    },
    EventSchema { name: "Heartbeat", agent: Agent::Micro, event_type: Operational, fields: &[], one_of: &[] },
    EventSchema {
        name: "Log",
        agent: Agent::Micro,
        event_type: Diagnostic,
        fields: &[
            must("Level", OneOf(&["NOTSET", "FATAL", "ERROR", "WARN", "INFO", "DEBUG"])),
            must("Message", Text),
            may("Filename", Text),
            may("Line", Integer),
            may("Timestamp", Integer),
        ],
        one_of: &[],
    },
];

const NIC: &[Field] = &[
    must("Type", OneOf(&["UNKNOWN", "ETH", "WIFI", "MOBILE", "SATELLITE"])),
    may("Vlans", Text),
    may("Vendor", Text),
    must("Info", List(&[may("Ipv4Address", Address), may("Ipv6Address", Address), may("Mac", Text)])),
];
