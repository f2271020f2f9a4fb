"""azure-monitor-query: workspaces of Log Analytics."""

import datetime
import json

import pytest
from azure.core.exceptions import HttpResponseError
from azure.monitor.query import LogsBatchQuery, LogsQueryClient, LogsQueryError, LogsQueryPartialResult, LogsQueryStatus

EVERYTHING = datetime.timedelta(days=365 * 100)


@pytest.fixture(scope="module")
def workspace(server) -> str:
    return json.loads((server.data / "instance.json").read_text())["workspace_id"]


@pytest.fixture
def client(server, credential):
    with LogsQueryClient(credential, endpoint=server.https) as client:
        yield client


def rows(answer) -> list[list]:
    assert answer.status == LogsQueryStatus.SUCCESS
    return [list(row) for row in answer.tables[0].rows]


def test_values_of_all_types_arrive(client, workspace):
    answer = client.query_workspace(workspace, "Sample | sort by L desc | take 1", timespan=None)
    row = dict(zip(answer.tables[0].columns, answer.tables[0].rows[0]))
    assert (row["L"], row["S"], row["B"], row["R"], row["I"]) == (9007199254740993, "it's", True, 0.5, 7)
    assert json.loads(row["D"]) == {"k": [1, None]}
    assert row["T"] == "1.02:03:04" and row["M"] == "0.1"
    assert dict(zip(answer.tables[0].columns, answer.tables[0].columns_types))["D"] == "dynamic"
    assert row["TimeGenerated"].replace(microsecond=0) == datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    "timespan, numbers",
    [
        (None, [9007199254740993, 2, 3]),
        ((datetime.datetime(2026, 3, 3, tzinfo=datetime.timezone.utc), datetime.timedelta(days=1)), [2]),
        ((datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc), datetime.datetime(2026, 3, 3, 10, tzinfo=datetime.timezone.utc)),
         [9007199254740993, 2]),
        (datetime.timedelta(hours=1), []),
    ],
)
def test_a_timespan_applies_besides_the_querys_own_filter(client, workspace, timespan, numbers):
    assert [row[0] for row in rows(client.query_workspace(workspace, "Sample | project L", timespan=timespan))] == numbers
    filtered = client.query_workspace(workspace, "Sample | where TimeGenerated > datetime(2026-03-03) | count", timespan=timespan)
    assert rows(filtered) == [[len([n for n in numbers if n < 4])]]
    joined = client.query_workspace(workspace, "Sample | join kind=inner Sample on L | count", timespan=timespan)
    assert rows(joined) == [[len(numbers)]], "the span is of every table of the query"


def test_statistics_and_render(client, workspace):
    query = "Sample | summarize count() by bin(TimeGenerated, 1d) | render timechart with (title='Days')"
    answer = client.query_workspace(workspace, query, timespan=None, include_statistics=True, include_visualization=True)
    assert answer.statistics["query"]["executionTime"] > 0
    assert answer.visualization["visualization"] == "timechart" and answer.visualization["title"] == "Days"


def test_a_result_over_the_limits_is_partial(client, workspace):
    answer = client.query_workspace(workspace, "range x from 1 to 600000 step 1", timespan=None)
    assert isinstance(answer, LogsQueryPartialResult)
    assert len(answer.partial_data[0].rows) == 500_000
    assert answer.partial_error.code == "PartialError"


def test_errors_are_those_that_the_client_defines(client, workspace, server, stranger):
    for query, problem in [("Sample | where Nope == 1", "Nope"), ("Sample | where", "expected")]:
        with pytest.raises(HttpResponseError) as raised:
            client.query_workspace(workspace, query, timespan=None)
        assert raised.value.status_code == 400 and problem in str(raised.value)
    with pytest.raises(HttpResponseError) as raised:
        client.query_workspace("00000000-0000-0000-0000-000000000000", "print 1", timespan=None)
    assert raised.value.status_code == 404
    with LogsQueryClient(stranger, endpoint=server.https) as wrong:
        with pytest.raises(HttpResponseError) as raised:
            wrong.query_workspace(workspace, "print 1", timespan=None)
        assert raised.value.status_code == 401
    with pytest.raises(HttpResponseError) as raised:
        client.query_workspace(workspace, "range x from 1 to 100000000 step 1 | extend y = hash_sha256(tostring(x)) | summarize dcount(y)",
                               timespan=None, server_timeout=1, retry_total=0)
    assert raised.value.status_code == 504


def test_a_batch_keeps_its_order_and_one_failure_is_its_own(client, workspace):
    query = lambda text: LogsBatchQuery(workspace, text, timespan=None)
    answers = client.query_batch([query("print 1"), query("Sample | where Nope"), query("print 3")])
    assert [rows(answers[0]), rows(answers[2])] == [[[1]], [[3]]]
    assert isinstance(answers[1], LogsQueryError)


def test_a_workspace_by_its_resource_id(client, server):
    subscription = json.loads((server.data / "instance.json").read_text())["subscription_id"]
    resource = f"/subscriptions/{subscription}/resourceGroups/default/providers/Microsoft.OperationalInsights/workspaces/default"
    assert rows(client.query_resource(resource, "Sample | count", timespan=None)) == [[3]]


def test_get_and_metadata_and_an_api_key(server, workspace):
    answer = server.admin("GET", f"/v1/workspaces/{workspace}/query?query=Sample%20%7C%20count&timespan=P1D")
    assert answer.json["tables"][0]["rows"] == [[0]]
    tables = server.admin("GET", f"/v1/workspaces/{workspace}/metadata").json["tables"]
    assert {"Sample", "SecurityAlert"} <= {table["name"] for table in tables}
    # Kqlmagic sends a key, and reads the tables of Kusto.
    headers = {"x-api-key": server.token, "Content-Type": "application/json", "Prefer": "ai.response-thinning=false"}
    body = json.dumps({"query": "range c from 1 to 10 step 1 | count"})
    answer = server.request("POST", f"/v1/workspaces/{workspace}/query", body, headers)
    assert answer.json["Tables"][0]["Rows"] == [[10]] and len(answer.json["Tables"]) == 4
    assert server.request("POST", f"/v1/workspaces/{workspace}/query", body, {**headers, "x-api-key": "no"}).status == 401


def test_several_workspaces_are_asked_together(server, credential):
    """Rows of both, columns of both; a workspace that nobody knows is an error, and so is one column of two types."""
    server.manage(".create database other")
    server.manage(".create table Shared (TimeGenerated: datetime, A: long, OnlyHere: string)", "default")
    server.manage(".create table Shared (TimeGenerated: datetime, A: long, OnlyThere: string)", "other")
    server.ingest("Shared", '{"TimeGenerated":"2026-03-02T10:00:00Z","A":1,"OnlyHere":"h"}')
    server.ingest("Shared", '{"TimeGenerated":"2026-03-02T11:00:00Z","A":2,"OnlyThere":"t"}', database="other")
    with LogsQueryClient(credential, endpoint=server.https) as client:

        def rows(query: str, timespan=None) -> list[list]:
            answer = client.query_workspace("default", query, timespan=timespan, additional_workspaces=["other"])
            assert answer.status == LogsQueryStatus.SUCCESS
            return [list(row) for row in answer.tables[0].rows]

        assert rows("Shared | sort by A asc | project A, OnlyHere, OnlyThere") == [[1, "h", ""], [2, "", "t"]]
        assert rows("Shared | where OnlyThere == 't' | project A") == [[2]]
        assert rows("Shared | summarize sum(A), count()") == [[3, 2]]
        start = datetime.datetime(2026, 3, 2, 10, 30, tzinfo=datetime.timezone.utc)
        assert rows("Shared | project A", (start, datetime.timedelta(hours=1))) == [[2]]
        with pytest.raises(HttpResponseError):
            client.query_workspace("default", "Shared", timespan=None, additional_workspaces=["nowhere"])
        server.manage(".create table Torn (A: long)", "default")
        server.manage(".create table Torn (A: string)", "other")
        with pytest.raises(HttpResponseError) as raised:
            rows("Torn")
        assert "different types" in raised.value.message
