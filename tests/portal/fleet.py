"""A small fleet whose devices tell of what alerts and recommendations are made of."""

import json
from datetime import timedelta

from security_messages import event, failed_check, failed_logins, listening_ports, message, now, process_start, reverse_shell, snapshot
from turnstone_server import Device, Server, wait_until

# Rules judge after a message is taken.
SECONDS = 30

HOSTILE_NAME = "<img src=x onerror=document.title='owned'>"


def process(pid: int, parent: int, command_line: str, **options) -> dict:
    item = {
        "Executable": command_line.split()[0], "ProcessId": pid, "ParentProcessId": parent,
        "UserId": "33", "UserName": "www-data", "CommandLine": command_line,
    }
    return event("ProcessCreate", [item], **options)


def system_information(name: str) -> dict:
    return snapshot("SystemInformation", [{
        "OSName": "Debian GNU/Linux 12 (bookworm)", "OSVersion": "6.1.0-18-arm64", "OSVendor": "debian",
        "OsArchitecture": "aarch64", "HostName": name,
    }])


def users() -> dict:
    return snapshot("LocalUsers", [
        {"UserId": "0", "UserName": "root", "GroupIds": "0", "GroupNames": "root"},
        {"UserId": "1000", "UserName": "pump", "GroupIds": "1000;27", "GroupNames": "pump;sudo"},
    ])


class Fleet:
    """Devices of a server, and what they have told."""

    def __init__(self, server: Server, count: int = 6):
        self.server = server
        self.devices: list[Device] = [server.create_device(f"pump-{n:02}") for n in range(1, count + 1)]
        for device in self.devices:
            server.accept(device, message(system_information(device.id), users()))
            server.accept(device, message(listening_ports("0.0.0.0:22", "0.0.0.0:1883", "127.0.0.1:631")))
        first, second, third = self.devices[:3]
        # How somebody came in: a shell of the web server, and what it started.
        server.accept(first, message(
            process(700, 1, "/usr/sbin/nginx -g daemon on"),
            process(800, 700, "/bin/sh -c id", when=now() + timedelta(milliseconds=5)),
        ))
        server.accept(first, message(reverse_shell()))
        server.accept(first, message(process_start("cpuminer-multi -o pool.example")))
        server.accept(second, message(process_start("cpuminer-multi -o pool.example")))
        server.accept(third, message(*failed_logins("198.51.100.23")))
        server.accept(third, message(failed_check()))
        # One that heals.
        server.accept(self.devices[-1], message(listening_ports("127.0.0.1:631")))
        wait_until(lambda: server.kusto("SecurityAlert | count").value >= 4, SECONDS, "the alerts")
        wait_until(lambda: server.kusto("SecurityRecommendation | count").value >= count + 2, SECONDS, "the recommendations")

    def hub_id(self) -> str:
        return self.server.kusto("SecurityAlert | take 1 | project ResourceId").value

    def add_hostile_alerts(self, count: int):
        """Alerts of a device whose name would be markup, as a sender of rows can make them."""
        now_text = now().strftime("%Y-%m-%dT%H:%M:%SZ")
        row = {
            "TimeGenerated": now_text, "StartTime": now_text, "EndTime": now_text, "AlertType": "IoT_Hostile", "DisplayName": HOSTILE_NAME, "AlertName": "hostile", "AlertSeverity": "Low",
            "Description": HOSTILE_NAME, "VendorName": HOSTILE_NAME, "ResourceId": self.hub_id(),
            "ExtendedProperties": json.dumps({"DeviceId": HOSTILE_NAME, HOSTILE_NAME: HOSTILE_NAME}),
            "RemediationSteps": json.dumps([HOSTILE_NAME]), "Entities": json.dumps([{"Type": "host", "HostName": HOSTILE_NAME}]),
        }
        rows = [json.dumps(row | {"SystemAlertId": f"hostile-{n}"}) for n in range(count)]
        answer = self.server.ingest("SecurityAlert", "\n".join(rows))
        assert answer.status == 200, answer.text
