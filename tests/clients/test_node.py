"""azure-kusto-data and @azure/monitor-query-logs for Node."""

import json
from pathlib import Path

import pytest
import venvs

WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces/default"


def access_token(server, principal: dict) -> str:
    form = (
        f"grant_type=client_credentials&client_id={principal['appId']}&client_secret={principal['secret']}"
        "&scope=https%3A%2F%2Fapi.loganalytics.io%2F.default"
    )
    metadata = server.request("GET", "/adfs/.well-known/openid-configuration", secure=True).json
    path = metadata["token_endpoint"].removeprefix(server.https)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", path, form, headers, secure=True)
    assert answer.status == 200, answer.text
    return answer.json["access_token"]


def principal(server, name: str) -> dict:
    made = server.admin("POST", "/api/v1/servicePrincipals", {"displayName": name})
    assert made.status == 201, made.text
    return {"id": made.json["id"], "appId": made.json["appId"], "secret": made.json["secret"]["secretText"]}


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> Path:
    return venvs.node_modules(tmp_path_factory)


@pytest.fixture(scope="module")
def given(server, modules) -> dict:
    """What came of all that the script did."""
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["subscriptionId"]
    resource = f"/subscriptions/{subscription}/resourceGroups/default{WORKSPACE}"
    reader = principal(server, "a program in Node")
    assignment = {"principalId": reader["id"], "role": "Log Analytics Reader", "scope": resource}
    assigned = server.admin("POST", "/api/v1/roleAssignments", assignment)
    assert assigned.status == 201, assigned.text
    asked = {
        "url": server.https,
        "token": server.token,
        "workspace": json.loads((server.data / "instance.json").read_text())["workspace_id"],
        "resource": resource,
        "principal": reader,
        "stranger": access_token(server, principal(server, "a program in Node without a role")),
    }
    environ = {"NODE_EXTRA_CA_CERTS": str(server.ca), "AZURE_AUTHORITY_HOST": server.https}
    return venvs.answer("node", modules / "queries.mjs", given=asked, **environ)


@pytest.fixture(scope="module")
def kusto(given) -> dict:
    return given["kusto"]


@pytest.fixture(scope="module")
def logs(given) -> dict:
    return given["logs"]


# Kusto


def test_kusto_gives_values_of_all_types(kusto):
    first, nulls, last = kusto["all"]
    # JavaScript has no larger whole numbers than 2 to the 53rd; the client leaves it at that.
    assert first["L"] == 9007199254740992 and [nulls["L"], last["L"]] == [3, 2]
    assert first["TimeGenerated"] == {"date": "2026-03-02T10:00:00.123Z"}
    assert (first["S"], first["D"], first["B"], first["I"], first["R"]) == ("it's", {"k": [1, None]}, True, 7, 0.5)
    assert first["T"] == ((24 + 2) * 3600 + 3 * 60 + 4) * 1000
    assert first["G"] == "6f9619ff-8b86-d011-b42d-00c04fc964ff" and first["M"] == "0.1"
    assert (nulls["S"], nulls["D"], nulls["T"], nulls["M"]) == ("", None, None, None)
    assert (last["D"], last["R"]) == ("text", "NaN")


def test_kusto_names_the_types_of_columns(kusto):
    assert kusto["columns"] == [
        ["TimeGenerated", "datetime"], ["L", "long"], ["S", "string"], ["D", "dynamic"], ["T", "timespan"],
        ["G", "guid"], ["R", "real"], ["M", "decimal"], ["B", "bool"], ["I", "int"],
    ]


def test_kusto_answers_in_its_first_version_too(kusto):
    assert [row["S"] for row in kusto["version1"]] == ["it's", "", ""]


def test_kusto_takes_parameters_and_a_time_to_answer_in(kusto):
    assert kusto["parameters"] == [{"L": 2}]


def test_kusto_gives_a_result_for_each_statement(kusto):
    assert kusto["several"] == [[{"a": 1}], [{"b": "x"}]]


def test_kusto_carries_out_management_commands(kusto):
    assert kusto["management"] == [{"TableName": "Sample"}]


def test_kusto_takes_a_stream_of_rows(kusto):
    assert kusto["ingest"] == [{"a": 1, "b": "x, y"}, {"a": 2, "b": ""}]


@pytest.mark.parametrize(
    "name, problem", [("unknown_column", "Nope"), ("unfinished", "Syntax error"), ("unknown_database", "nowhere")]
)
def test_kusto_refuses_with_an_error_that_says_what_is_wrong(kusto, name, problem):
    error = kusto[name]
    assert (error["error"], error["status"]) == ("AxiosError", 400), error
    assert problem in error["kusto"]["message"] and error["kusto"]["permanent"] is True


def test_kusto_does_not_pass_off_a_part_for_the_whole(kusto):
    error = kusto["too_much"]
    assert error["error"] == "Error" and error["message"].startswith("Kusto request had errors"), error
    assert "80DA0003" in error["message"] or "limits" in error["message"]


def test_kusto_lets_in_by_token_and_role_alone(kusto):
    assert (kusto["wrong_token"]["error"], kusto["wrong_token"]["status"]) == ("AxiosError", 401)
    assert (kusto["stranger"]["error"], kusto["stranger"]["status"]) == ("AxiosError", 403)
    assert kusto["stranger"]["kusto"]["message"], "a refusal has Kusto's form of errors"


def test_a_service_principal_signs_in_to_kusto(kusto):
    assert kusto["signed_in"] == [{"Count": 3}]
    error = kusto["wrong_secret"]
    assert error["name"] == "KustoAuthenticationError", error


# Log Analytics


def test_logs_give_values_of_all_types(logs):
    assert logs["all"]["status"] == "Success"
    names = [column["name"] for column in logs["all"]["columns"]]
    types = {column["name"]: column["type"] for column in logs["all"]["columns"]}
    assert types == {
        "TimeGenerated": "datetime", "L": "long", "S": "string", "D": "dynamic", "T": "timespan", "G": "guid",
        "R": "real", "M": "decimal", "B": "bool", "I": "int",
    }
    first, nulls, last = (dict(zip(names, row)) for row in logs["all"]["rows"])
    assert first["L"] == 9007199254740992
    assert first["TimeGenerated"] == {"date": "2026-03-02T10:00:00.123Z"}
    assert (first["S"], first["B"], first["I"], first["R"]) == ("it's", True, 7, 0.5)
    assert first["D"] == {"k": [1, None]}, "dynamic values are JSON that the client takes apart"
    assert (first["T"], first["M"], first["G"]) == ("1.02:03:04", "0.1", "6f9619ff-8b86-d011-b42d-00c04fc964ff")
    assert (nulls["S"], nulls["D"], nulls["B"]) == ("", None, None)
    assert last["D"] == "text"


def test_logs_keep_to_each_form_of_a_time_span(logs):
    assert logs["within"] == [[2]] and logs["from"] == [[2]]
    assert logs["until"] == [], "the twelve hours before the end begin after the row"


def test_logs_give_statistics_and_how_to_draw(logs):
    assert logs["drawn"]["statistics"]["query"]["executionTime"] > 0
    assert logs["drawn"]["visualization"]["visualization"] == "barchart"
    assert logs["drawn"]["visualization"]["title"] == "Rows"


def test_logs_call_a_part_a_part(logs):
    partial = logs["partial"]
    assert (partial["status"], partial["rows"]) == ("PartialFailure", 500_000), partial
    assert partial["error"]["code"] == "PartialError" and partial["error"]["message"]


def test_logs_of_a_resource(logs):
    assert logs["by_resource"] == [[3]]


def test_logs_in_a_batch_keep_their_order_and_fail_one_by_one(logs):
    first, second, third = logs["batch"]
    assert (first["rows"], third["rows"]) == ([[1]], [[3]])
    assert first["status"] == third["status"] == "Success"
    # The client calls every member with an error a partial one.
    assert second["status"] == "PartialFailure" and not second["rows"]
    assert second["error"]["code"] == "BadArgumentError"


@pytest.mark.parametrize(
    "name, status, code",
    [
        ("unknown_column", 400, "BadArgumentError"),
        ("unfinished", 400, "BadArgumentError"),
        ("unknown_workspace", 404, "PathNotFoundError"),
        ("wrong_token", 401, "AuthorizationRequiredError"),
        ("stranger", 403, None),
    ],
)
def test_logs_refuse_with_the_clients_own_error(logs, name, status, code):
    error = logs[name]
    assert error["error"] == "RestError" and error["status"] == status, error
    assert error["details"]["message"]
    # What Azure calls the lack of a right depends on who checks it.
    assert code is None or error["details"]["code"] == code


def test_logs_say_what_is_wrong_with_a_query(logs):
    for name, problem in [("unknown_column", "Nope"), ("unfinished", "expected")]:
        innermost = logs[name]["details"]
        while innermost.get("innererror"):
            innermost = innermost["innererror"]
        assert problem in innermost["message"]


def test_a_service_principal_signs_in_to_logs(logs):
    assert logs["signed_in"] == [[3]]
