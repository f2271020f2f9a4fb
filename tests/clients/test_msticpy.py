"""msticpy: the providers of Microsoft Sentinel and of Kusto, signed in as a service principal that may read."""

import json
import uuid
from pathlib import Path

import pytest
import venvs

SCRIPT = Path(__file__).parent / "msticpy_queries.py"
ALERT = {
    "TimeGenerated": "2026-03-02T10:00:00Z",
    "StartTime": "2026-03-02T09:58:00Z",
    "EndTime": "2026-03-02T09:59:00Z",
    "AlertName": "Reverse shell",
    "DisplayName": "Reverse shell",
    "AlertType": "IoT_ReverseShell",
    "AlertSeverity": "High",
    "SystemAlertId": "4f0c1f6e-7d1b-4a52-8b8e-3f5a1c9d2e10",
    "CompromisedEntity": "pump-07",
    "ExtendedProperties": json.dumps({"Compromised Host": "pump-07", "Source IPs": "198.51.100.7"}),
    "Entities": json.dumps([{"Type": "host", "HostName": "pump-07"}, {"Type": "ip", "Address": "198.51.100.7"}]),
}


def principal(server, name: str) -> dict:
    made = server.admin("POST", "/api/v1/servicePrincipals", {"displayName": name})
    assert made.status == 201, made.text
    return {"id": made.json["id"], "appId": made.json["appId"], "secret": made.json["secret"]["secretText"]}


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    return venvs.environment(tmp_path_factory, "msticpy")


@pytest.fixture(scope="module")
def workspace(server) -> dict:
    """The workspace as the Azure portal would show it."""
    instance = json.loads((server.data / "instance.json").read_text())
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["subscriptionId"]
    return {"subscription": subscription, "id": instance["workspace_id"]}


@pytest.fixture(scope="module")
def settings(server, workspace, tmp_path_factory) -> Path:
    """The settings file that a user of msticpy writes; JSON is YAML too."""
    home = tmp_path_factory.mktemp("msticpy")
    configuration = {
        "AzureSentinel": {
            "Workspaces": {
                "Default": {
                    "WorkspaceId": workspace["id"],
                    # Asked for, and not used: the tenant that counts is the one in the environment.
                    "TenantId": str(uuid.uuid4()),
                    "SubscriptionId": workspace["subscription"],
                    "ResourceGroup": "default",
                    "WorkspaceName": "default",
                }
            }
        },
        "Azure": {"resource_manager_url": server.https, "auth_methods": ["env"]},
    }
    path = home / "msticpyconfig.yaml"
    path.write_text(json.dumps(configuration))
    return path


@pytest.fixture(scope="module")
def reader(server, workspace) -> dict:
    """A service principal with the role Log Analytics Reader on the workspace, and no other right."""
    made = principal(server, "notebooks")
    scope = (
        f"/subscriptions/{workspace['subscription']}/resourceGroups/default"
        "/providers/Microsoft.OperationalInsights/workspaces/default"
    )
    assignment = {"principalId": made["id"], "role": "Log Analytics Reader", "scope": scope}
    answer = server.admin("POST", "/api/v1/roleAssignments", assignment)
    assert answer.status == 201, answer.text
    return made


@pytest.fixture(scope="module")
def given(server, programs, settings, reader) -> dict:
    """What came of all that the script did; the package takes seconds to start."""
    taken = server.ingest("SecurityAlert", json.dumps(ALERT))
    assert taken.status == 200, taken.text
    kusto = {
        "cluster": server.https,
        "query": "Sample | sort by L desc",
        "bad": ["Sample | where Nope == 1", "Sample | where"],
        "change": ".create table OfAReader (a: long)",
    }
    asked = {
        "reader": reader,
        "stranger": principal(server, "nobody"),
        "kusto": kusto,
        "sentinel": {
            **kusto,
            "start": "2026-03-02T00:00:00Z",
            "end": "2026-03-02T23:00:00Z",
            "too_much": "range x from 1 to 600000 step 1",
            "host": "pump-07",
            "address": "198.51.100.7",
        },
    }
    environ = {
        "MSTICPYCONFIG": str(settings),
        "AZURE_TENANT_ID": "adfs",
        "HOME": str(settings.parent),
        # The fixture for single tests that sets these comes after this one.
        "REQUESTS_CA_BUNDLE": str(server.ca),
        "SSL_CERT_FILE": str(server.ca),
    }
    given = venvs.answer(programs / "python", SCRIPT, given=asked, **environ)
    assert given["version"] == "3.0.2"
    return given


def refused(outcome, kind: str) -> str:
    """The text of an error that has the named class."""
    assert isinstance(outcome, dict) and kind in outcome["error"], outcome
    return outcome["text"]


@pytest.fixture(scope="module")
def sentinel(given) -> dict:
    assert "error" not in given["sentinel"], given["sentinel"]
    return given["sentinel"]


@pytest.fixture(scope="module")
def kusto(given) -> dict:
    assert "error" not in given["kusto"], given["kusto"]
    return given["kusto"]


def test_the_schema_is_that_of_the_workspace(sentinel):
    assert {"Sample", "SecurityAlert"} <= set(sentinel["schema"])
    columns = sentinel["schema"]["Sample"]
    assert set(columns) == {"TimeGenerated", "L", "S", "D", "T", "G", "R", "M", "B", "I"}
    assert (columns["L"], columns["S"], columns["R"], columns["D"]) == ("long", "string", "real", "dynamic")


def test_a_frame_of_sentinel_holds_the_values(sentinel):
    first, last = sentinel["all"][0], sentinel["all"][-1]
    assert [row["L"] for row in sentinel["all"]] == [9007199254740993, 3, 2]
    assert first["TimeGenerated"].startswith("2026-03-02T10:00:00.123")
    assert (first["S"], first["R"], first["B"], first["I"]) == ("it's", 0.5, True, 7)
    assert json.loads(first["D"]) == {"k": [1, None]}
    assert last["S"] == "" and last["I"] is None
    assert sentinel["types"]["TimeGenerated"].startswith("datetime64") and sentinel["types"]["L"] == "int64"


def test_a_time_span_is_kept_to(sentinel):
    assert [row["L"] for row in sentinel["within"]] == [9007199254740993]


def test_a_result_over_the_limits_is_given_in_part(sentinel):
    assert sentinel["partial"] == 500_000


def test_queries_that_the_package_brings_find_the_alert(sentinel):
    for name in ("list_alerts", "list_related_alerts", "list_alerts_for_ip"):
        found = sentinel[name]
        assert isinstance(found, list), f"{name}: {found}"
        assert [row["SystemAlertId"] for row in found] == [ALERT["SystemAlertId"]], name
    assert sentinel["list_alerts"][0]["Severity"] == "High"
    assert sentinel["list_alerts"][0]["CompromisedEntity"] == "pump-07"
    assert [(row["AlertName"], row["alertCount"]) for row in sentinel["list_alerts_counts"]] == [("Reverse shell", 1)]


def test_errors_of_sentinel_say_what_is_wrong_with_the_query(sentinel):
    unknown, unfinished = sentinel["refused"]
    assert "Nope" in refused(unknown, "MsticpyDataQueryError")
    assert "expected" in refused(unfinished, "MsticpyDataQueryError")


def test_a_cluster_tells_its_databases_and_tables(kusto):
    assert "default" in kusto["databases"]
    assert {"Sample", "SecurityAlert"} <= set(kusto["schema"])
    assert kusto["schema"]["Sample"]["L"] == "Int64" and kusto["schema"]["Sample"]["TimeGenerated"] == "DateTime"


def test_a_frame_of_kusto_holds_the_values(kusto):
    first = kusto["all"][0]
    assert [row["L"] for row in kusto["all"]] == [9007199254740993, 3, 2]
    assert (first["S"], first["D"], first["B"], first["I"]) == ("it's", {"k": [1, None]}, True, 7)


def test_errors_of_kusto_say_what_is_wrong_with_the_query(kusto):
    unknown, unfinished = kusto["refused"]
    assert "Nope" in refused(unknown, "MsticpyDataQueryError")
    assert "Syntax error" in refused(unfinished, "MsticpyDataQueryError")


def test_a_reader_changes_nothing(server, kusto):
    refused(kusto["change"], "MsticpyDataQueryError")
    assert "OfAReader" not in server.manage(".show tables").values


def test_who_has_no_role_sees_nothing(given):
    outcome = given["stranger"]["sentinel"]
    # The package takes a schema that it may not read for an empty one.
    assert outcome["schema"] == {}
    refused(outcome["query"], "MsticpyDataQueryError")
    refused(given["stranger"]["kusto"], "MsticpyDataQueryError")


def test_a_wrong_secret_gets_no_token(given):
    refused(given["impostor"], "ClientAuthenticationError")
