"""Logs Ingestion: data collection rules, and records that come under them, sent by the client of Azure."""

import gzip
import json
import time

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.monitor.ingestion import LogsIngestionClient

WORKSPACES = "providers/Microsoft.OperationalInsights/workspaces"


class Credential:
    """Gives the token of the server, as a library for signing in would."""

    def __init__(self, token: str):
        self.token = token

    def get_token(self, *scopes, **options) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


class Rules:
    """The management address of data collection rules."""

    def __init__(self, server):
        self.server = server
        subscription = json.loads((server.data / "instance.json").read_text())["subscription_id"]
        self.group = f"/subscriptions/{subscription}/resourceGroups/default"

    def path(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.Insights/dataCollectionRules/{name}?api-version=2023-03-11"

    def body(self, columns: dict[str, str], table: str, transform: str | None = None, workspace: str = "default") -> dict:
        flow = {"streams": ["Custom-Raw"], "destinations": ["here"], "outputStream": f"Custom-{table}"}
        if transform is not None:
            flow["transformKql"] = transform
        declared = [{"name": name, "type": of} for name, of in columns.items()]
        destination = {"name": "here", "workspaceResourceId": f"{self.group}/{WORKSPACES}/{workspace}"}
        return {
            "location": "local",
            "properties": {
                "streamDeclarations": {"Custom-Raw": {"columns": declared}},
                "destinations": {"logAnalytics": [destination]},
                "dataFlows": [flow],
            },
        }

    def put(self, name: str, body: dict):
        return self.server.admin("PUT", self.path(name), body)

    def make(self, name: str, body: dict) -> str:
        answer = self.put(name, body)
        assert answer.status in (200, 201), answer.text
        return answer.json["properties"]["immutableId"]


@pytest.fixture(scope="module")
def server(servers):
    server = servers("--no-agent")
    server.manage(".create table Sensor_CL (TimeGenerated: datetime, Device: string, Celsius: real, Tags: dynamic)")
    return server


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
    with LogsIngestionClient(endpoint=server.https, credential=Credential(server.token)) as client:
        yield client


def test_records_are_transformed_into_rows(server, client):
    transform = """source
        | where isnotempty(name)
        | extend Device = toupper(name), Celsius = (fahrenheit - 32) / 1.8, TimeGenerated = when
        | project TimeGenerated, Device, Celsius, Tags = tags, Unknown = 1"""
    columns = {"when": "datetime", "name": "string", "fahrenheit": "real", "tags": "dynamic"}
    rule = Rules(server).make("sensors", Rules(server).body(columns, "Sensor_CL", transform))
    assert rule.startswith("dcr-")
    logs = [
        {"when": "2026-03-02T10:00:00.1234567Z", "name": "pump-1", "fahrenheit": 50, "tags": {"floor": 2}},
        {"when": "2026-03-02T10:00:01Z", "name": "", "fahrenheit": 50},
        {"name": "pump-2", "fahrenheit": "212", "tags": ["a"], "other": True},
    ]
    client.upload(rule_id=rule, stream_name="Custom-Raw", logs=logs)
    rows = server.kusto("Sensor_CL | sort by Device asc | project Device, Celsius, Tags, TimeGenerated").rows
    assert [row[:2] for row in rows] == [["PUMP-1", 10.0], ["PUMP-2", 100.0]]
    assert [row[2] if not isinstance(row[2], str) else json.loads(row[2]) for row in rows] == [{"floor": 2}, ["a"]]
    assert rows[0][3] == "2026-03-02T10:00:00.1234567Z"
    assert server.kusto("Sensor_CL | where Device == 'PUMP-2' | project TimeGenerated between (ago(5m) .. now())").value


def test_many_records_go_in_chunks_and_none_is_lost(server, client):
    server.manage(".create table Many_CL (TimeGenerated: datetime, Number: long, Text: string)")
    rule = Rules(server).make("many", Rules(server).body({"Number": "long", "Text": "string"}, "Many_CL"))
    client.upload(rule_id=rule, stream_name="Custom-Raw", logs=[{"Number": n, "Text": "x" * 500} for n in range(5000)])
    assert server.kusto("Many_CL | summarize count(), sum(Number), dcount(Text)").rows == [[5000, 12497500, 1]]


def test_a_stream_named_after_a_table_needs_no_declaration(server, client):
    body = Rules(server).body({"x": "long"}, "x")
    body["properties"]["dataFlows"] = [{"streams": ["Microsoft-SecurityAlert"], "destinations": ["here"]}]
    rule = Rules(server).make("alerts", body)
    client.upload(rule_id=rule, stream_name="Microsoft-SecurityAlert", logs=[{"AlertName": "from elsewhere"}])
    assert server.kusto("SecurityAlert | project AlertName").values == ["from elsewhere"]


def test_one_bad_record_costs_itself_alone(server, client):
    server.manage(".create table Bad_CL (TimeGenerated: datetime, Number: long)")
    rule = Rules(server).make("bad", Rules(server).body({"Number": "long"}, "Bad_CL"))
    path = f"/dataCollectionRules/{rule}/streams/Custom-Raw?api-version=2023-01-01"
    answer = server.admin("POST", path, json.dumps([{"Number": 1}, 7, {"Number": 3}]))
    assert (answer.status, answer.text) == (204, "")
    assert server.kusto("Bad_CL | sort by Number asc | project Number").values == [1, 3]
    note = server.kusto("Operation | where Detail has 'Bad_CL' | project Detail").value
    assert "record 2" in note and "not a JSON object" in note
    packed = gzip.compress(b'[{"Number": 4}]')
    assert server.admin("POST", path, packed).status == 204, "gzip is known by its first bytes"
    for body, problem in [("[7]", "no record"), ("{}", "must be a JSON array"), ("", "must be a JSON array"), ("[", "")]:
        answer = server.admin("POST", path, body)
        assert answer.status == 400, (body, answer.text)
        assert problem in answer.json["error"]["message"]
    assert server.kusto("Bad_CL | count").value == 3


def test_errors_are_those_that_the_client_knows(server, client):
    rule = Rules(server).make("errors", Rules(server).body({"Celsius": "real"}, "Sensor_CL"))
    for rule_id, stream, status in [(rule, "Custom-Other", 400), ("dcr-none", "Custom-Raw", 404)]:
        with pytest.raises(HttpResponseError) as raised:
            client.upload(rule_id=rule_id, stream_name=stream, logs=[{"Celsius": 1.0}])
        assert raised.value.status_code == status
    with LogsIngestionClient(endpoint=server.https, credential=Credential("wrong")) as stranger:
        with pytest.raises(HttpResponseError) as raised:
            stranger.upload(rule_id=rule, stream_name="Custom-Raw", logs=[{"Celsius": 1.0}])
        assert raised.value.status_code == 401


@pytest.mark.parametrize(
    "columns, table, transform, problem",
    [
        ({"Celsius": "real"}, "Nothing_CL", None, "'Nothing_CL'"),
        ({"Celsius": "string"}, "Sensor_CL", None, "'Celsius' is of type string, in the table it is of type real"),
        ({"Other": "string"}, "Sensor_CL", None, "none of the columns"),
        ({"Celsius": "real"}, "Sensor_CL", "source | summarize Celsius = avg(Celsius)", "by itself"),
        ({"Celsius": "real"}, "Sensor_CL", "source | where Kelvin > 1", "Kelvin"),
        ({"Celsius": "real"}, "Sensor_CL", "SecurityAlert | project Celsius = 1.0", "SecurityAlert"),
        ({"Celsius": "text"}, "Sensor_CL", None, "'text' is none of"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(server, columns, table, transform, problem):
    answer = Rules(server).put("wrong", Rules(server).body(columns, table, transform))
    assert answer.status == 400, answer.text
    assert problem in answer.json["error"]["message"]
    assert server.admin("GET", Rules(server).path("wrong")).status == 404


def test_rules_outlive_a_restart_and_go_when_they_are_deleted(new_server):
    server = new_server("--no-agent").start()
    server.manage(".create database other")
    server.manage(".create table T_CL (TimeGenerated: datetime, N: long)", "other")
    rules = Rules(server)
    body = rules.body({"N": "long"}, "T_CL", workspace="other")
    rule = rules.make("kept", body)
    assert rules.make("KEPT", {**body, "tags": {"a": "b"}}) == rule, "the id senders know stays"
    server.kill()
    server.start()
    path = f"/dataCollectionRules/{rule}/streams/Custom-Raw?api-version=2023-01-01"
    assert server.admin("POST", path, '[{"N": 1}]').status == 204
    assert server.kusto("T_CL | project N", "other").values == [1]
    shown = server.admin("GET", rules.path("kept").replace("resourceGroups", "RESOURCEGROUPS"))
    assert shown.json["tags"] == {"a": "b"} and shown.json["properties"]["provisioningState"] == "Succeeded"
    listed = server.admin("GET", f"{rules.group}/providers/microsoft.insights/datacollectionrules?api-version=2023-03-11")
    assert [item["name"] for item in listed.json["value"]] == ["kept"]
    assert server.admin("DELETE", rules.path("kept")).status == 200
    assert server.admin("DELETE", rules.path("kept")).status == 204
    assert server.admin("POST", path, '[{"N": 2}]').status == 404
