"""azure-mgmt-security 1.0.0, the last version that knows alerts and recommendations of single devices.

It cannot share an environment with its successor. One is made for it in the folder TURNSTONE_CLIENT_VENVS, where it is
found again, or in a folder that goes with the tests.
"""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import GROUP, SOLUTION, attacked, ids, nobody, subscription_of  # noqa: F401

REQUIREMENTS = [
    "azure-common==1.1.28",
    "azure-core==1.41.0",
    "azure-mgmt-core==1.6.0",
    "azure-mgmt-security==1.0.0",
    "msrest==0.7.1",
    "requests==2.34.2",
    "six==1.17.0",
]
SCRIPT = Path(__file__).with_name("mgmt_security_1.py")
CALL_SECONDS = 60
PLACE = {"resource_group_name": GROUP, "solution_name": SOLUTION}


@pytest.fixture(scope="session")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment with the old version."""
    kept = os.environ.get("TURNSTONE_CLIENT_VENVS")
    parent = Path(kept) if kept else tmp_path_factory.mktemp("venvs")
    folder = parent / "azure-mgmt-security-{}.{}".format(*sys.version_info[:2])
    interpreter, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join(REQUIREMENTS)
    # The mark is written last: an environment whose making was cut off is made anew.
    if not ready.is_file() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        ready.write_text(wanted)
    return interpreter


@pytest.fixture
def call(python, attacked):
    """Calls the client: operations, method and arguments beside the solution's name."""

    def run(operations: str, method: str, token: str | None = None, **arguments) -> dict:
        arguments = {**PLACE, **arguments}
        asked = {
            "url": attacked.https,
            "subscription": subscription_of(attacked),
            "token": token or attacked.token,
            "calls": [{"operations": operations, "method": method, "arguments": arguments}],
        }
        made = subprocess.run(
            [python, SCRIPT], input=json.dumps(asked), capture_output=True, text=True, timeout=CALL_SECONDS
        )
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)[0]

    return run


def flat(told: dict) -> list[dict]:
    assert "pages" in told, told
    return [one for page in told["pages"] for one in page]


def iso(time: datetime.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def ids_of(alerts: list[dict]) -> set[str]:
    return {one["system_alert_id"] for one in alerts}


@pytest.fixture
def shells(attacked) -> list[dict]:
    """The rows about the reverse shell of the second device."""
    query = """SecurityAlert
        | where AlertType == 'IoT_ReverseShell' and ExtendedProperties contains 'fleet-02'
        | project SystemAlertId, CompromisedEntity, StartTime"""
    rows = attacked.kusto(query).records
    assert len(rows) == 1
    return rows


# Alerts


def test_alerts_are_those_of_the_table(attacked, call):
    found = flat(call("iot_alerts", "list"))
    rows = attacked.kusto(
        "SecurityAlert | where AlertType in ('IoT_ReverseShell', 'IoT_Bruteforce_Fail') | distinct SystemAlertId"
    )
    assert set(rows.values) <= ids_of(found)
    assert len(ids_of(found)) == len(found)


def test_an_alert_tells_what_happened_to_its_device(call, shells):
    (row,) = shells
    (found,) = flat(
        call("iot_alerts", "list", alert_type="IoT_ReverseShell", compromised_entity=row["CompromisedEntity"])
    )
    assert found["system_alert_id"] == row["SystemAlertId"]
    assert (found["alert_type"], found["compromised_entity"]) == ("IoT_ReverseShell", row["CompromisedEntity"])
    start, end = (datetime.datetime.fromisoformat(found[key][:19]) for key in ("start_time_utc", "end_time_utc"))
    assert start <= end and start.isoformat() == row["StartTime"][:19]
    assert found["extended_properties"]["DeviceId"] == "fleet-02"
    # The address behind it may be masked.
    assert "/dev/tcp/198.51.100." in found["extended_properties"]["CommandLine"]
    assert isinstance(found["entities"], list) and found["entities"]


def test_an_alert_is_found_by_its_id(call, shells):
    (listed,) = flat(
        call("iot_alerts", "list", alert_type="IoT_ReverseShell", compromised_entity=shells[0]["CompromisedEntity"])
    )
    assert call("iot_alerts", "get", iot_alert_id=shells[0]["SystemAlertId"]) == {"item": listed}


def test_alerts_are_chosen_by_type_device_and_time(call, shells):
    shell, device = shells[0]["SystemAlertId"], shells[0]["CompromisedEntity"]
    began = datetime.datetime.fromisoformat(shells[0]["StartTime"][:19])
    before, after = iso(began - datetime.timedelta(minutes=1)), iso(began + datetime.timedelta(minutes=1))
    for chosen, is_there in [
        ({}, True),
        ({"alert_type": "IoT_ReverseShell"}, True),
        ({"alert_type": "IoT_Bruteforce_Fail"}, False),
        ({"compromised_entity": device}, True),
        ({"compromised_entity": "nobody"}, False),
        ({"min_start_time_utc": before, "max_start_time_utc": after}, True),
        ({"min_start_time_utc": after}, False),
        ({"max_start_time_utc": before}, False),
        ({"min_start_time_utc": "2999-01-01T00:00:00Z"}, False),
    ]:
        assert (shell in ids_of(flat(call("iot_alerts", "list", **chosen)))) is is_there, chosen


def test_alerts_come_in_pages_that_hold_each_of_them_once(call):
    everything = flat(call("iot_alerts", "list"))
    pages = call("iot_alerts", "list", limit=2)
    assert all(len(page) <= 2 for page in pages["pages"])
    assert sorted(one["system_alert_id"] for one in flat(pages)) == sorted(ids_of(everything))
    chosen = call("iot_alerts", "list", alert_type="IoT_ReverseShell", limit=1)
    assert all(len(page) <= 1 for page in chosen["pages"])
    assert [one["alert_type"] for one in flat(chosen)] == ["IoT_ReverseShell"] * 3, (
        "the next page is of the same choice"
    )


def test_the_count_of_all_stands_on_every_page(attacked, ids):
    """The client has no member for it."""
    path = f"{ids.solution}/iotAlerts?api-version=2019-08-01&alertType=IoT_ReverseShell&%24limit=1"
    page = attacked.admin("GET", path).json
    assert page["totalCount"] == 3 and len(page["value"]) == 1
    assert page["nextLink"].startswith("http"), "an address that a client can follow as it is"


def test_types_of_alerts_are_described(call):
    listed = {one["name"]: one for one in call("iot_alert_types", "list")["items"]}
    assert {"IoT_ReverseShell", "IoT_Bruteforce_Fail", "IoT_CryptoMiner"} <= set(listed)
    shell = listed["IoT_ReverseShell"]
    assert (shell["alert_display_name"], shell["severity"]) == ("Reverse shell", "High")
    assert (shell["provider_name"], shell["vendor_name"]) == ("IoTSecurity", "Microsoft")
    assert shell["description"] and shell["product_name"]
    assert shell["remediation_steps"] and all(isinstance(step, str) for step in shell["remediation_steps"])
    assert {"Persistence", "Execution"} <= {intent.strip() for intent in shell["intent"].split(",")}
    assert call("iot_alert_types", "get", iot_alert_type_name="IoT_ReverseShell") == {"item": shell}


# Recommendations


def test_a_recommendation_tells_what_is_wrong_with_its_device(call):
    (found,) = flat(call("iot_recommendations", "list", recommendation_type="IoT_OpenPorts", device_id="fleet-01"))
    assert found["name"] == "IoT_OpenPorts|fleet-01"
    assert (found["device_id"], found["recommendation_type"]) == ("fleet-01", "IoT_OpenPorts")
    assert datetime.datetime.fromisoformat(found["discovered_time_utc"][:19])
    assert json.loads(found["recommendation_additional_data"]["OpenPorts"]) == ["tcp 0.0.0.0:22"]
    assert call("iot_recommendations", "get", iot_recommendation_id=found["name"]) == {"item": found}


def test_recommendations_are_chosen_by_type_and_device_and_come_in_pages(call):
    def kinds(**chosen) -> set[tuple[str, str]]:
        found = flat(call("iot_recommendations", "list", **chosen))
        assert len({one["name"] for one in found}) == len(found)
        return {(one["device_id"], one["recommendation_type"]) for one in found}

    assert kinds(device_id="fleet-01") == {("fleet-01", "IoT_OpenPorts"), ("fleet-01", "IoT_Baseline")}
    assert kinds(recommendation_type="IoT_OpenPorts") == {("fleet-01", "IoT_OpenPorts"), ("fleet-02", "IoT_OpenPorts")}
    assert kinds(recommendation_type="IoT_OpenPorts", device_id="nobody") == set()
    assert kinds(limit=1) == kinds()
    assert all(len(page) <= 1 for page in call("iot_recommendations", "list", limit=1)["pages"])


def test_types_of_recommendations_are_described(call):
    listed = {one["name"]: one for one in call("iot_recommendation_types", "list")["items"]}
    assert {"IoT_OpenPorts", "IoT_Baseline", "IoT_PermissiveFirewallPolicy"} <= set(listed)
    ports = listed["IoT_OpenPorts"]
    assert (ports["recommendation_display_name"], ports["severity"]) == ("Open Ports On Device", "Medium")
    assert ports["description"] and ports["vendor_name"] == "Microsoft"
    assert ports["remediation_steps"] and all(isinstance(step, str) for step in ports["remediation_steps"])
    assert call("iot_recommendation_types", "get", iot_recommendation_type_name="IoT_OpenPorts") == {"item": ports}


# What both versions know


def test_the_old_version_reads_solutions_and_sums_too(call):
    assert call("iot_security_solution", "get")["item"]["name"] == SOLUTION
    assert call("iot_security_solution_analytics", "get")["item"]["name"] == "default"
    alerts = flat(call("iot_security_solutions_analytics_aggregated_alert", "list"))
    name = next(one["name"] for one in alerts if one["alert_type"] == "IoT_ReverseShell")
    found = call("iot_security_solutions_analytics_aggregated_alert", "get", aggregated_alert_name=name)
    assert found["item"]["name"] == name
    recommendations = flat(call("iot_security_solutions_analytics_recommendation", "list"))
    assert "IoT_OpenPorts" in {one["name"] for one in recommendations}


# What is not there, and who may not


@pytest.mark.parametrize(
    "operations, method, arguments",
    [
        ("iot_alerts", "list", {"solution_name": "nothing"}),
        ("iot_alerts", "get", {"iot_alert_id": "00000000-0000-4000-8000-000000000000"}),
        ("iot_alerts", "get", {"iot_alert_id": "nothing"}),
        ("iot_alert_types", "get", {"iot_alert_type_name": "IoT_Nothing"}),
        ("iot_recommendations", "list", {"resource_group_name": "nothing"}),
        ("iot_recommendations", "get", {"iot_recommendation_id": "IoT_OpenPorts|nobody"}),
        ("iot_recommendation_types", "get", {"iot_recommendation_type_name": "IoT_Nothing"}),
    ],
)
def test_what_is_not_there_is_not_found(call, operations, method, arguments):
    assert call(operations, method, **arguments) == {"error": "ResourceNotFoundError", "status": 404}


@pytest.mark.parametrize(
    "operations", ["iot_alerts", "iot_alert_types", "iot_recommendations", "iot_recommendation_types"]
)
def test_a_wrong_token_and_a_missing_role_are_told_apart(call, nobody, operations):
    assert call(operations, "list", token="tst_wrong") == {"error": "ClientAuthenticationError", "status": 401}
    token = nobody.credential().get_token(f"{nobody.server.https}/.default").token
    assert call(operations, "list", token=token) == {"error": "HttpResponseError", "status": 403}
