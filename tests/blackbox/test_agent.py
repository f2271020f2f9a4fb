"""The promise: one command shows what this very machine looks like from a security point of view, the agent sees what
happens on it, and an old log is judged by its own time.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from turnstone_server import Server, programs, run, wait_until

FIRST_LOOK_SECONDS = 60
ALERT_SECONDS = 20


@pytest.fixture(scope="module")
def open_port():
    """A port of this machine that anyone can reach."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(servers, open_port) -> Server:
    wait_until((programs() / "turnstone-agent").exists, 90, "the agent's program is built")
    return servers("--raw-events")


def events(server: Server, name: str, seconds: float = FIRST_LOOK_SECONDS) -> list[dict]:
    """The items of the newest event of that name; waits for the first."""
    query = f"""let newest = toscalar(SecurityIoTRawEvent | where RawEventName == '{name}' | summarize max(TimeStamp));
        SecurityIoTRawEvent | where RawEventName == '{name}' and TimeStamp == newest | project EventDetails"""
    rows = wait_until(lambda: server.kusto(query).values, seconds, f"{name} of this machine", 0.25)
    return [json.loads(row) for row in rows]


# This machine


def test_the_ports_of_this_machine_are_seen(server, open_port):
    ports = events(server, "ListeningPorts")
    mine = [p for p in ports if p["LocalPort"] == str(open_port)]
    assert [(p["Protocol"], p["LocalAddress"]) for p in mine] == [("tcp", "0.0.0.0")]
    assert mine[0]["ExtraDetails"]["Pid"] == str(os.getpid())
    # The server's own ports are seen too, on loopback.
    own = [p["LocalAddress"] for p in ports if p["LocalPort"] == server.http.rsplit(":", 1)[1]]
    assert own == ["127.0.0.1"]


def test_the_users_of_this_machine_are_seen(server):
    users = {user["UserName"]: user["UserId"] for user in events(server, "LocalUsers")}
    lines = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines() if line.strip()]
    assert users == {line[0]: line[2] for line in lines}


def test_the_system_is_described(server):
    (system,) = events(server, "SystemInformation")
    assert system["HostName"] == platform.node()
    assert system["OSVersion"] == platform.release()
    assert system["TotalPhysicalMemoryInKB"] >= system["FreePhysicalMemoryInKB"] > 0


def test_the_baseline_is_checked(server):
    checks = events(server, "OSBaseline")
    for check in checks:
        assert check["Result"] in ("Fail", "Err") and check["CceId"] and check["Description"]


def test_what_runs_already_is_seen(server):
    mine = Path("/proc/self/cmdline").read_bytes().decode().replace("\0", " ").strip()
    query = "SecurityIoTRawEvent | where RawEventName == 'ProcessCreate' | project EventDetails"

    def found():
        return [
            item for item in map(json.loads, server.kusto(query).values)
            if item["CommandLine"].strip() == mine and item["UserId"] == str(os.getuid())
        ]

    process = wait_until(found, FIRST_LOOK_SECONDS, "the test's own process", 0.25)[0]
    assert process["Executable"] == os.readlink("/proc/self/exe")


def test_the_machine_is_named_and_nothing_is_refused(server):
    assert server.kusto("SecurityIoTRawEvent | distinct DeviceId").values == [platform.node()]
    assert server.kusto("Operation | project Detail").values == []


def test_what_is_wrong_with_the_machine_is_recommended(server, open_port):
    query = "SecurityRecommendation | where RecommendationState == 'Active'"

    def found():
        records = {r["RecommendationName"]: r for r in server.kusto(query).records}
        return records if "IoT_OpenPorts" in records else None

    records = wait_until(found, FIRST_LOOK_SECONDS, "the recommendation about open ports", 0.25)
    details = records["IoT_OpenPorts"]["RecommendationAdditionalData"]
    assert f"tcp 0.0.0.0:{open_port}" in json.loads(details["OpenPorts"])
    failed = [c for c in events(server, "OSBaseline") if c.get("Result") == "Fail"]
    if failed:
        assert records["IoT_Baseline"]["RecommendationAdditionalData"]["TotalFailedRules"] == str(len(failed))


# What happens on it


def test_a_miner_raises_an_alert(server):
    """The published trigger does no more than name a miner in a command line."""
    events(server, "ProcessCreate")
    mark = uuid.uuid4().hex
    command = [sys.executable, "-c", "import time; time.sleep(3)", "cpuminer-multi", mark]
    with subprocess.Popen(command):
        query = f"SecurityAlert | where AlertType == 'IoT_CryptoMiner' and ExtendedProperties contains '{mark}'"
        alerts = wait_until(lambda: server.kusto(query).records, ALERT_SECONDS, "the alert about the miner", 0.1)
    assert len(alerts) == 1
    properties = json.loads(alerts[0]["ExtendedProperties"])
    assert properties["CommandLine"] == " ".join(command)
    assert properties["DeviceId"] == platform.node()
    assert alerts[0]["AlertSeverity"] == "High"


# The agent's life


def test_the_agent_ends_with_the_server_and_starts_with_it(new_server):
    server = new_server("--raw-events").start()
    events(server, "SystemInformation")
    assert len(server.agents()) == 1
    assert server.stop() == 0
    assert server.agents() == []
    server.start()
    wait_until(lambda: len(server.agents()) == 1, 10, "one agent")


def test_after_a_kill_of_the_server_one_agent_watches(new_server):
    """An agent that outlives its server must not be there twice: both would send the same events."""
    server = new_server("--raw-events").start()
    wait_until(lambda: len(server.agents()) == 1, 10, "one agent")
    server.kill()
    server.start()
    wait_until(lambda: len(server.agents()) == 1, 10, "one agent after the restart")


# An old log

AUTH_LOG = """\
Nov 18 18:08:00 gw CRON[901]: pam_unix(cron:session): session opened for user root by (uid=0)
{failures}
Nov 18 18:10:29 gw sshd[988]: Accepted password for root from 203.0.113.77 port 40112 ssh2
Nov 18 18:10:29 gw sshd[988]: pam_unix(sshd:session): session opened for user root by (uid=0)
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    failures = [
        f"Nov 18 18:09:{second:02} gw sshd[955]: Failed password for root from 203.0.113.77 port 40{second:02}1 ssh2"
        for second in range(0, 60, 5)
    ]
    file = tmp_path_factory.mktemp("log") / "auth.log"
    file.write_text(AUTH_LOG.format(failures="\n".join(failures)))
    return file


@pytest.fixture(scope="module")
def hub(servers) -> Server:
    return servers("--no-agent", "--raw-events")


def scan(server: Server, log: Path, *more):
    return run("turnstone-agent", "scan", "--auth-log", log, "--year", "2019", "--ca", server.ca, *more)


def test_an_old_log_raises_an_alert_of_its_own_time(hub, log):
    device = hub.create_device("gw-2019")
    outcome = scan(hub, log, "--connection-string", device.connection_string)
    assert outcome.returncode == 0, outcome.stderr
    assert "13 logins" in outcome.stderr
    query = "SecurityAlert | where AlertType == 'IoT_Bruteforce_Success' and CompromisedEntity has 'gw-2019'"
    alert = wait_until(lambda: hub.kusto(query).records, ALERT_SECONDS, "the alert", 0.1)[0]
    assert alert["StartTime"].startswith("2019-11-18T") and alert["StartTime"][16:19] == ":00"
    assert alert["EndTime"].startswith("2019-11-18T") and alert["EndTime"][16:19] == ":29"
    assert alert["TimeGenerated"] > "2026"
    properties = json.loads(alert["ExtendedProperties"])
    assert json.loads(properties["Full Source Address"]) == ["203.0.113.77:"]
    assert json.loads(properties["User Names"]) == ["root"]
    times = hub.kusto("SecurityIoTRawEvent | where RawEventName == 'Login' | summarize min(TimeStamp), max(TimeStamp)").rows
    assert all(time.startswith("2019-11-18T") for time in times[0])


def test_a_log_that_is_read_again_changes_nothing(hub, log):
    device = hub.create_device("gw-again")
    for _ in range(2):
        assert scan(hub, log, "--connection-string", device.connection_string).returncode == 0
    assert hub.kusto("SecurityIoTRawEvent | where DeviceId == 'gw-again' | count").value == 13
    query = "SecurityAlert | where CompromisedEntity has 'gw-again' | project AlertType"
    wait_until(lambda: "IoT_Bruteforce_Success" in hub.kusto(query).values, ALERT_SECONDS, "the alert", 0.1)
    assert hub.kusto(query).values.count("IoT_Bruteforce_Success") == 1


def test_the_connection_string_may_come_from_a_file(hub, log, tmp_path):
    device = hub.create_device("gw-file")
    file = tmp_path / "connection-string"
    file.write_text(device.connection_string + "\n")
    assert scan(hub, log, "--connection-string-file", file).returncode == 0
    assert hub.kusto("SecurityIoTRawEvent | where DeviceId == 'gw-file' | count").value == 13


def test_a_scan_that_cannot_send_says_why(hub, log, tmp_path):
    device = hub.create_device("gw-bad")
    wrong = device.connection_string.replace(device.key, "YW5vdGhlcg==")
    outcome = scan(hub, log, "--connection-string", wrong)
    assert outcome.returncode != 0 and "401" in outcome.stderr
    outcome = scan(hub, tmp_path / "nothing.log", "--connection-string", device.connection_string)
    assert outcome.returncode != 0 and "nothing.log" in outcome.stderr
    for missing in ("HostName", "DeviceId", "SharedAccessKey"):
        outcome = scan(hub, log, "--connection-string", device.connection_string.replace(missing, "Nothing"))
        assert outcome.returncode != 0 and missing in outcome.stderr
        assert device.key not in outcome.stderr


def test_the_agents_doctor_says_whether_data_can_arrive(hub, tmp_path):
    device = hub.create_device("gw-doctor")
    well = run("turnstone-agent", "doctor", "--connection-string", device.connection_string, "--ca", hub.ca)
    assert well.returncode == 0, well.stdout + well.stderr
    assert "takes its messages" in well.stdout
    for collector in ("processes", "logins", "firewall"):
        assert collector in well.stdout
    wrong = device.connection_string.replace(device.key, "YW5vdGhlcg==")
    sick = run("turnstone-agent", "doctor", "--connection-string", wrong, "--ca", hub.ca)
    assert sick.returncode != 0 and "401" in sick.stdout
    nowhere = run("turnstone-agent", "doctor", "--connection-string", device.connection_string, "--ca", tmp_path / "ca.pem")
    assert nowhere.returncode != 0 and "ca.pem" in nowhere.stdout
    # Asking is no offence of the device.
    refused = hub.kusto("Operation | where Computer == 'gw-doctor' | count").value
    assert refused == 0, "the doctor's question counts as a refused message"
