"""The promise: the five queries of the retired product's documentation run as they are, comments included, and answer
about alerts and recommendations that this program raised from what devices sent; an alert shows within two seconds.
"""

import json
import re
import time
import uuid
from datetime import datetime, timedelta

import pytest
from security_messages import (
    failed_check,
    failed_logins,
    listening_ports,
    message,
    now,
    process_start,
    reverse_shell,
    snapshot,
)
from turnstone_server import wait_until

ALERT_SAMPLE = """// Select a few random records
//
SecurityAlert
| project
    TimeGenerated,
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName,
    Description,
    ExtendedProperties
| take 3
"""

ALERTS_BY_DEVICE = """// Get the number of distinct security alerts detected in the last week, grouped by
//   IoT hub, device, alert severity, alert type
//
SecurityAlert
| where TimeGenerated > ago(7d)
| summarize Cnt=dcount(SystemAlertId) by
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName
"""

ALERTS_BY_HUB = """// Select number of distinct devices which had alerts in the last week, by
//   IoT hub, alert severity, alert type
//
SecurityAlert
| where TimeGenerated > ago(7d)
| extend DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"])
| summarize CntDevices=dcount(DeviceId) by
    IoTHubId=ResourceId,
    AlertSeverity,
    DisplayName
"""

RECOMMENDATION_SAMPLE = """// Select a few random records
//
SecurityRecommendation
| project
    TimeGenerated,
    IoTHubId=AssessedResourceId,
    DeviceId,
    RecommendationSeverity,
    RecommendationState,
    RecommendationDisplayName,
    Description,
    RecommendationAdditionalData
| take 2
"""

RECOMMENDATIONS_BY_DEVICE = """// Get the number of distinct active security recommendations, grouped by
//   IoT hub, device, recommendation severity and type
//
SecurityRecommendation
| extend IoTHubId=AssessedResourceId
| summarize CurrentState=arg_max(RecommendationState, DiscoveredTimeUTC) by IoTHubId, DeviceId, RecommendationSeverity, RecommendationDisplayName
| where CurrentState == "Active"
| summarize Cnt=count() by IoTHubId, DeviceId, RecommendationSeverity
"""

HUB_ID = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/default/providers/Microsoft\.Devices/IotHubs/hub"
)
DETECTION_SECONDS = 30


@pytest.fixture(scope="module")
def fleet(servers):
    """A server whose three devices have told of these things:

    pump-01: two reverse shells, twelve failed logins in one message; port 22 open and a failed baseline check.
    pump-02: one reverse shell, twelve failed logins in twelve messages; port 22 opened and closed, a permissive rule.
    pump-03: port 8080 opened and closed.
    """
    server = servers("--no-agent")
    one, two, three = (server.create_device(name) for name in ("pump-01", "pump-02", "pump-03"))
    server.accept(one, message(reverse_shell("first"), process_start("ls -l /tmp")))
    server.accept(one, message(reverse_shell("second")))
    server.accept(one, message(*failed_logins("198.51.100.23")))
    server.accept(two, message(reverse_shell("third")))
    for failure in failed_logins("203.0.113.9"):
        server.accept(two, message(failure))
    server.accept(one, message(listening_ports("0.0.0.0:22", "127.0.0.1:631"), failed_check()))
    server.accept(two, message(listening_ports("0.0.0.0:22")))
    server.accept(three, message(listening_ports("0.0.0.0:8080")))
    rule = {"Enabled": True, "Action": "Allow", "Direction": "In", "ChainName": "INPUT", "Priority": 3,
            "Protocol": "tcp", "DestinationPort": "1337"}
    server.accept(two, message(snapshot("FirewallConfiguration", [rule])))
    wait_for_recommendations(server, "Active", 5)
    server.accept(two, message(listening_ports("127.0.0.1:22")))
    server.accept(three, message(listening_ports()))
    wait_for_recommendations(server, "Inactive", 2)
    wait_until(lambda: server.kusto("SecurityAlert | count").value >= 5, DETECTION_SECONDS, "five alerts")
    return server


def wait_for_recommendations(server, state: str, count: int):
    query = f"SecurityRecommendation | where RecommendationState == '{state}' | project DeviceId, RecommendationName"
    wait_until(lambda: len(server.kusto(query).rows) >= count, DETECTION_SECONDS, f"{count} recommendations {state}")


def test_the_alert_sample_has_its_columns_and_three_records(fleet):
    result = fleet.kusto(ALERT_SAMPLE)
    assert result.columns == [
        "TimeGenerated", "IoTHubId", "DeviceId", "AlertSeverity", "DisplayName", "Description", "ExtendedProperties",
    ]
    assert result.types == ["datetime", *["string"] * 6]
    assert len(result.rows) == 3
    for record in result.records:
        assert HUB_ID.fullmatch(record["IoTHubId"]), record
        assert record["DeviceId"] in ("pump-01", "pump-02")
        assert record["AlertSeverity"] in ("High", "Medium", "Low", "Informational")
        assert record["DisplayName"] and record["Description"]
        assert json.loads(record["ExtendedProperties"])["DeviceId"] == record["DeviceId"]


def test_alerts_are_counted_by_device(fleet):
    result = fleet.kusto(ALERTS_BY_DEVICE)
    assert result.columns == ["IoTHubId", "DeviceId", "AlertSeverity", "DisplayName", "Cnt"]
    assert all(HUB_ID.fullmatch(row[0]) for row in result.rows)
    assert sorted(row[1:] for row in result.rows) == [
        ["pump-01", "High", "Reverse shell", 2],
        ["pump-01", "Low", "Brute force attack failed", 1],
        ["pump-02", "High", "Reverse shell", 1],
        ["pump-02", "Low", "Brute force attack failed", 1],
    ]


def test_devices_with_alerts_are_counted_by_hub(fleet):
    result = fleet.kusto(ALERTS_BY_HUB)
    assert result.columns == ["IoTHubId", "AlertSeverity", "DisplayName", "CntDevices"]
    assert sorted(row[1:] for row in result.rows) == [
        ["High", "Reverse shell", 2],
        ["Low", "Brute force attack failed", 2],
    ]


def test_the_recommendation_sample_has_its_columns_and_two_records(fleet):
    result = fleet.kusto(RECOMMENDATION_SAMPLE)
    assert result.columns == [
        "TimeGenerated", "IoTHubId", "DeviceId", "RecommendationSeverity", "RecommendationState",
        "RecommendationDisplayName", "Description", "RecommendationAdditionalData",
    ]
    assert result.types == ["datetime", *["string"] * 6, "dynamic"]
    assert len(result.rows) == 2
    for record in result.records:
        assert HUB_ID.fullmatch(record["IoTHubId"]), record
        assert record["RecommendationState"] in ("Active", "Inactive")
        assert isinstance(record["RecommendationAdditionalData"], dict), record


def test_active_recommendations_are_counted_by_device(fleet):
    result = fleet.kusto(RECOMMENDATIONS_BY_DEVICE)
    assert result.columns == ["IoTHubId", "DeviceId", "RecommendationSeverity", "Cnt"]
    assert all(HUB_ID.fullmatch(row[0]) for row in result.rows)
    # The port of pump-02 and all of pump-03 are resolved.
    assert sorted(row[1:] for row in result.rows) == [["pump-01", "Medium", 2], ["pump-02", "Medium", 1]]


def test_no_alert_is_raised_twice(fleet):
    raised = fleet.kusto("SecurityAlert | summarize Rows = count(), Ids = dcount(SystemAlertId)")
    assert raised.rows == [[5, 5]]


def test_the_solution_name_before_a_table_changes_nothing(fleet):
    for table in ("SecurityAlert", "SecurityRecommendation"):
        plain, named = fleet.kusto(table), fleet.kusto(f"AzureSecurityOfThings.{table}")
        assert named.columns == plain.columns
        assert sorted(map(str, named.rows)) == sorted(map(str, plain.rows))
        assert plain.rows


def test_an_alert_says_what_happened_where_and_what_to_do(fleet):
    record = fleet.kusto("SecurityAlert | where AlertType == 'IoT_Bruteforce_Fail' | where CompromisedEntity has 'pump-01'").records[0]
    properties = json.loads(record["ExtendedProperties"])
    assert properties["DeviceId"] == "pump-01"
    assert json.loads(properties["Full Source Address"]) == ["198.51.100.23:"]
    assert json.loads(properties["User Names"]) == ["root"]
    assert str(uuid.UUID(record["SystemAlertId"])) == record["SystemAlertId"]
    assert record["ProviderName"] == "IoTSecurity"
    assert record["AlertSeverity"] == "Low"
    assert json.loads(record["RemediationSteps"])
    assert record["IsIncident"] is False
    start, end, generated = (datetime.fromisoformat(record[c][:26]) for c in ("StartTime", "EndTime", "TimeGenerated"))
    assert (end - start).total_seconds() == pytest.approx(11, abs=0.001)
    assert end <= generated


def test_a_recommendation_says_when_it_was_found_and_when_resolved(fleet):
    rows = fleet.kusto(
        "SecurityRecommendation | where DeviceId == 'pump-03' | order by TimeGenerated asc"
    ).records
    assert [row["RecommendationState"] for row in rows] == ["Active", "Inactive"]
    active, inactive = rows
    assert active["RecommendationName"] == inactive["RecommendationName"] == "IoT_OpenPorts"
    assert active["RecommendationId"] == inactive["RecommendationId"]
    assert active["DiscoveredTimeUTC"] == inactive["DiscoveredTimeUTC"]
    assert active["ResolvedTimeUTC"] is None
    assert inactive["ResolvedTimeUTC"] >= active["DiscoveredTimeUTC"]
    assert "tcp 0.0.0.0:8080" in active["RecommendationAdditionalData"]["OpenPorts"]


def test_snapshots_that_come_in_one_message_are_judged_one_after_the_other(servers):
    """A device that was out of reach sends its history at once; what was open for a while is told all the same."""
    server = servers("--no-agent")
    device = server.create_device("buoy-01")
    opened, closed = now() - timedelta(hours=3), now() - timedelta(hours=1)
    server.accept(device, message(listening_ports("0.0.0.0:23", when=opened), listening_ports(when=closed)))
    server.accept(device, message(failed_check()))
    wait_until(
        lambda: server.kusto("SecurityRecommendation | where RecommendationName == 'IoT_Baseline' | count").value,
        DETECTION_SECONDS,
        "the recommendation of the later message",
    )
    states = server.kusto(
        "SecurityRecommendation | where RecommendationName == 'IoT_OpenPorts' | project RecommendationState"
    ).values
    assert sorted(states) == ["Active", "Inactive"]


def test_without_the_flag_no_raw_event_is_stored(fleet):
    assert fleet.kusto("SecurityIoTRawEvent | count").value == 0


@pytest.mark.parametrize("flags", [[], ["--raw-events"]], ids=["without raw events", "with raw events"])
def test_an_alert_shows_within_two_seconds_of_the_answer(servers, flags):
    server = servers("--no-agent", *flags)
    device = server.create_device("gate-01")

    def seconds_until_seen() -> float:
        mark = uuid.uuid4().hex
        server.accept(device, message(reverse_shell(mark)))
        accepted = time.monotonic()
        query = f"SecurityAlert | where ExtendedProperties contains '{mark}' | project AlertType, AlertSeverity"
        seen = wait_until(lambda: server.kusto(query).rows, 20, "the alert", pause=0.02)
        assert seen == [["IoT_ReverseShell", "High"]]
        return time.monotonic() - accepted

    seconds_until_seen()  # Warms the server.
    assert min(seconds_until_seen() for _ in range(3)) < 2
    stored = server.kusto("SecurityIoTRawEvent | count").value
    assert stored == (4 if flags else 0)


def test_a_raw_event_is_stored_as_it_was_sent(servers):
    server = servers("--no-agent", "--raw-events")
    device = server.create_device("gate-02")
    when = now()
    ports = listening_ports("0.0.0.0:22", "127.0.0.1:631", when=when)
    server.accept(device, message(ports))
    rows = server.kusto("SecurityIoTRawEvent").records
    assert len(rows) == 2, "one row for each item"
    assert sorted(json.loads(r["EventDetails"])["LocalPort"] for r in rows) == ["22", "631"]
    for row in rows:
        assert json.loads(row["EventDetails"]) in ports["Payload"]
        assert row["IoTRawEventId"] == ports["Id"]
        assert (row["DeviceId"], row["RawEventName"], row["IsEmpty"]) == ("gate-02", "ListeningPorts", False)
        assert (row["RawEventCategory"].lower(), row["RawEventType"].lower()) == ("periodic", "security")
        assert row["TimeStamp"] == when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
        assert HUB_ID.fullmatch(row["AssociatedResourceId"])
