"""The requests of Grafana's data source for Azure Data Explorer, replayed, and what it reads of the answers.

It signs in as an application, in a cloud of its own whose authority is the server.
"""

import datetime
import json
import re

import pytest
import requests
from fleet import TENANT, accepted, ids, nobody, register, unique  # noqa: F401

# What the data source knows to turn into a frame; any other type of column is an error to it.
COLUMN_TYPES = {"bool", "datetime", "decimal", "dynamic", "guid", "int", "long", "real", "string", "timespan"}
OPTIONS = {"options": {"servertimeout": "00:00:30"}}


def sign_in(server, principal) -> str:
    """A token as the data source gets one: for the address of the cluster, which is the server's."""
    said = requests.get(f"{server.https}/{TENANT}/.well-known/openid-configuration", timeout=30)
    assert said.status_code == 200, said.text
    form = {
        "client_id": principal.app_id,
        "client_secret": principal.secret,
        "grant_type": "client_credentials",
        "scope": f"{server.https}/.default",
    }
    answer = requests.post(said.json()["token_endpoint"], data=form, timeout=30)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["token_type"] == "Bearer" and int(body["expires_in"]) > 0
    return body["access_token"]


@pytest.fixture
def source(server, ids):
    """Posts as the data source does, signed in as a reader."""
    return Source(server, sign_in(server, register(server, ("Log Analytics Reader", ids.group))))


class Source:
    def __init__(self, server, token: str | None):
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def post(self, path: str, body: dict) -> requests.Response:
        headers = {
            "Accept": "application/json",
            "x-ms-app": "Grafana-ADX",
            "x-ms-client-request-id": f"KGC.{unique('')};{unique('')}",
            **self.headers,
        }
        return requests.post(self.server.https + path, json=body, headers=headers, timeout=60)

    def send(self, csl: str, database: str = "default", path: str = "/v1/rest/query") -> requests.Response:
        return self.post(path, {"db": database, "csl": csl, "querySource": "", "properties": OPTIONS})

    def frame(self, csl: str, database: str = "default", path: str = "/v1/rest/query") -> "Frame":
        answer = self.send(csl, database, path)
        assert answer.status_code == 200, answer.text
        return Frame(answer.json()["Tables"][0])

    def manage(self, csl: str, database: str = "default") -> "Frame":
        return self.frame(csl, database, "/v1/rest/mgmt")


class Frame:
    """The first table of an answer, which is all that is read."""

    def __init__(self, table: dict):
        self.types = {column["ColumnName"]: column["ColumnType"] for column in table["Columns"]}
        assert set(self.types.values()) <= COLUMN_TYPES
        self.rows = table["Rows"]
        assert all(len(row) == len(self.types) for row in self.rows)

    @property
    def records(self) -> list[dict]:
        return [dict(zip(self.types, row)) for row in self.rows]


def rfc3339(text: str) -> datetime.datetime:
    """A time as the data source reads it: with a date, a time and a zone, and any number of digits of a second."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    assert found, text
    return datetime.datetime.fromisoformat(found.group(1) + found.group(3).replace("Z", "+00:00"))


# Save and test


def test_saving_and_testing_passes(source):
    assert source.frame(".show databases schema").rows
    assert source.frame(".show databases schema", database="").rows, "before a database has been chosen"


def test_the_list_of_clusters_is_answered_or_refused_in_the_shape_of_its_family(server, source):
    query = {"query": 'resources | where type == "microsoft.kusto/clusters"'}
    answer = source.post("/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01", query)
    if answer.ok:
        for one in answer.json()["data"]:
            assert one["name"] and one["properties"]["uri"].startswith("https://") and one["properties"]["state"]
    else:
        assert answer.status_code in (403, 404) and answer.json()["error"]["message"]


# The schema


@pytest.mark.parametrize("command", [".show databases schema as json", ".show databases (['default']) schema as json"])
def test_the_schema_is_one_cell_that_completion_can_walk(source, command):
    ((cell,),) = source.manage(command, database="").rows
    database = json.loads(cell)["Databases"]["default"]
    assert database["Name"] == "default"
    for collection in ("Tables", "ExternalTables", "MaterializedViews", "Functions"):
        assert isinstance(database[collection], dict), collection
    assert {"Sample", "SecurityAlert"} <= set(database["Tables"])
    table = database["Tables"]["Sample"]
    assert table["Name"] == "Sample"
    columns = {column["Name"]: (column["Type"], column["CslType"]) for column in table["OrderedColumns"]}
    assert columns["TimeGenerated"] == ("System.DateTime", "datetime")
    assert columns["D"] == ("System.Object", "dynamic") and columns["B"] == ("System.SByte", "bool")
    assert columns["M"] == ("System.Data.SqlTypes.SqlDecimal", "decimal")


def test_databases_are_listed_by_name(source):
    found = source.manage(".show databases", database="")
    assert found.types["DatabaseName"] == "string"
    assert "default" in {one["DatabaseName"] for one in found.records}


def test_functions_of_the_schema_tell_their_parameters(server, source):
    name = unique("F")
    server.manage(f".create-or-alter function {name}(from: datetime, top: long = 5) {{ Sample | take top }}")
    ((cell,),) = source.manage(".show databases schema as json").rows
    function = json.loads(cell)["Databases"]["default"]["Functions"][name]
    assert function["Name"] == name and "take top" in function["Body"]
    assert [(one["Name"], one["CslType"]) for one in function["InputParameters"]] == [
        ("from", "datetime"),
        ("top", "long"),
    ]


# Panels


def test_a_panel_over_time_is_answered_with_times_in_order(source):
    """The macros for the range and the step are written out before the query is sent."""
    found = source.frame(
        "Sample\n| where TimeGenerated >= datetime(2026-03-02T00:00:00Z)"
        " and TimeGenerated <= datetime(2026-03-03T23:59:59.999Z)\n"
        "| summarize Count = count() by bin(TimeGenerated, 60000ms)\n| order by TimeGenerated asc"
    )
    assert found.types == {"TimeGenerated": "datetime", "Count": "long"}
    hour = datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.timezone.utc)
    assert [(rfc3339(time), count) for time, count in found.rows] == [(hour, 1), (hour + datetime.timedelta(days=1), 1)]


@pytest.mark.parametrize(
    "step, width", [("1ms", "00:00:00.0010000"), ("86400000ms", "1.00:00:00"), ("2678400000ms", "31.00:00:00")]
)
def test_steps_of_any_width_are_read(source, step, width):
    assert source.frame(f"print {step}").rows == [[width]]


def test_values_have_forms_that_a_frame_takes(source):
    one, two, three = source.frame("Sample | order by TimeGenerated asc").records
    assert rfc3339(one["TimeGenerated"]) and rfc3339(three["TimeGenerated"])
    assert (one["L"], one["I"], one["S"]) == (9007199254740993, 7, "it's")
    assert one["B"] in (True, 1) and two["B"] in (False, 0)
    assert one["R"] == 0.5 and two["R"] == "NaN"
    assert one["T"] == "1.02:03:04" and one["M"] == "0.1"
    assert one["G"] == "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert one["D"] == {"k": [1, None]}
    assert all(three[name] is None for name in ("B", "R", "T", "G", "D", "M", "I")) and three["S"] == ""


def test_a_panel_without_rows_still_has_its_columns(source):
    found = source.frame("Sample | where L == 0 | project TimeGenerated, L")
    assert found.types == {"TimeGenerated": "datetime", "L": "long"} and found.rows == []


def test_the_visual_editor_learns_the_shape_of_dynamic_columns(source):
    found = source.frame("Sample | take 50000 | where isnotnull(D) | summarize buildschema(D)")
    ((shape,),) = found.rows
    assert list(found.types.values()) == ["dynamic"] and "k" in json.dumps(shape)


def test_a_variable_lists_the_values_of_a_column(source):
    found = source.frame("Sample | distinct S | order by S asc")
    assert found.rows == [[""], ["it's"]]


# What goes wrong


def test_a_wrong_query_says_where(source):
    answer = source.send("Sample | where Nope == 1")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] and error["@type"] and "Nope" in error["@message"]


def test_without_a_token_nothing_is_answered(server):
    for token in (None, "wrong"):
        answer = Source(server, token).send("print 1")
        assert answer.status_code == 401 and answer.json()["error"]["message"]


def test_without_a_role_the_reason_is_told(server, nobody):
    denied = Source(server, sign_in(server, nobody))
    for path in ("/v1/rest/query", "/v1/rest/mgmt"):
        answer = denied.send("Sample | take 1" if path.endswith("query") else ".show tables", path=path)
        assert answer.status_code == 403, path
        error = answer.json()["error"]
        assert error["message"] and error["@type"] and error["@message"], path


def test_a_wrong_secret_gets_no_token(server, nobody):
    form = {
        "client_id": nobody.app_id,
        "client_secret": "wrong",
        "grant_type": "client_credentials",
        "scope": f"{server.https}/.default",
    }
    said = requests.get(f"{server.https}/{TENANT}/.well-known/openid-configuration", timeout=30).json()
    answer = requests.post(said["token_endpoint"], data=form, timeout=30)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == "invalid_client" and answer.json()["error_description"]
