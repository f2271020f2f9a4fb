"""Kqlmagic: a workspace of Log Analytics with a personal access token for its key."""

import json
from pathlib import Path

import pytest
import venvs

SCRIPT = Path(__file__).parent / "kqlmagic_queries.py"
NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    return venvs.environment(tmp_path_factory, "kqlmagic")


@pytest.fixture(scope="module")
def workspace(server) -> str:
    return json.loads((server.data / "instance.json").read_text())["workspace_id"]


@pytest.fixture(scope="module")
def key(server) -> str:
    """A personal access token that may read the workspace and nothing else."""
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["subscriptionId"]
    scope = (
        f"/subscriptions/{subscription}/resourceGroups/default"
        "/providers/Microsoft.OperationalInsights/workspaces/default"
    )
    asked = {"name": "notebook", "days": 1, "role": "Log Analytics Reader", "scope": scope}
    made = server.admin("POST", "/api/v1/tokens", asked)
    assert made.status == 201, made.text
    return made.json["token"]


@pytest.fixture(scope="module")
def ask(server, programs, workspace, key, tmp_path_factory):
    """Runs lines of the magic in one new shell."""
    home = tmp_path_factory.mktemp("kqlmagic")
    environ = {
        "HOME": str(home),
        "IPYTHONDIR": str(home),
        # It would ask PyPI for a newer release.
        "KQLMAGIC_CONFIGURATION": "check_magic_version=False",
        # The fixture for single tests that sets this comes after this one.
        "REQUESTS_CA_BUNDLE": str(server.ca),
    }

    def ask(*lines: str) -> list[dict]:
        # It writes files where it is started.
        return venvs.answer(programs / "python", SCRIPT, given=lines, cwd=home, **environ)

    return ask


def connection(server, workspace: str, authentication: str) -> str:
    return f"loganalytics://workspace='{workspace}';{authentication};datasourceurl='{server.https}'"


@pytest.fixture(scope="module")
def given(ask, server, workspace, key) -> dict[str, dict]:
    """What came of a session that is let in."""
    lines = {
        "connect": connection(server, workspace, f"appkey='{key}'"),
        "rows": "Sample | sort by L desc",
        "drawn": "Sample | summarize rows=count() by S | render barchart with (title='Rows')",
        "within": "-query_properties={'timespan':'2026-03-03T00:00:00Z/2026-03-04T00:00:00Z'} Sample | project L",
        "unknown": "Sample | where Nope == 1",
        "unfinished": "Sample | where",
        "schema": "--schema",
    }
    return dict(zip(lines, ask(*lines.values())))


def test_the_connection_is_made_and_tried(given):
    """The client asks a question with a known answer, and shows an error when another comes."""
    assert "error" not in given["connect"]["shown"].lower()


def test_values_of_all_types_arrive(given):
    answer = given["rows"]
    assert answer["columns"] == {
        "TimeGenerated": "datetime", "L": "long", "S": "string", "D": "dynamic", "T": "timespan", "G": "guid",
        "R": "real", "M": "decimal", "B": "bool", "I": "int",
    }
    first = dict(zip(answer["columns"], answer["rows"][0]))
    assert first["TimeGenerated"].startswith("2026-03-02 10:00:00.123")
    assert (first["L"], first["S"], first["B"], first["I"]) == (9007199254740993, "it's", True, 7)
    assert first["D"] == "{'k': [1, None]}" and first["T"] == "1 day, 2:03:04" and first["M"] == "0.1"
    assert first["G"] == "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert [row[1] for row in answer["rows"]] == [9007199254740993, 3, 2]
    assert not answer["is_partial"]


def test_the_answer_says_how_it_went_and_how_to_draw_it(given):
    drawn = given["drawn"]
    assert sorted(drawn["rows"]) == [["", 2], ["it's", 1]]
    assert (drawn["visualization"], drawn["title"]) == ("barchart", "Rows")
    assert drawn["status"]["StatusCode"] == 0
    assert given["rows"]["visualization"] is None


def test_a_time_span_is_kept_to(given):
    assert given["within"]["rows"] == [[2]]


def test_errors_are_shown_with_what_is_wrong(given):
    for name, problem in [("unknown", "Nope"), ("unfinished", "expected")]:
        assert "rows" not in given[name] and problem in given[name]["shown"]


def test_the_schema_is_that_of_the_workspace(given):
    schema = given["schema"]["value"]
    assert {"Sample", "SecurityAlert"} <= set(schema)
    assert schema["Sample"]["L"] == "long" and schema["Sample"]["TimeGenerated"] == "datetime"


def test_there_is_no_way_in_without_a_good_key(ask, server, workspace, key):
    for authentication in ("appkey='tst_wrong'", "anonymous"):
        refused, after = ask(connection(server, workspace, authentication), "print secret=41+1")
        assert "AuthorizationRequiredError" in refused["shown"]
        assert "rows" not in after


def test_an_unknown_workspace_is_named_so(ask, server, key):
    refused, after = ask(connection(server, NOWHERE, f"appkey='{key}'"), "print secret=41+1")
    # A key for one workspace need not tell whether there is another.
    assert "PathNotFoundError" in refused["shown"] or "InsufficientAccessError" in refused["shown"]
    assert "rows" not in after
