"""The promise: whatever the grammar makes, a query is accepted or refused, and has the columns, as Microsoft's language
service says."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "blackbox"))

from queries import TABLES, queries  # noqa: E402
from turnstone_server import Server  # noqa: E402

QUERIES = 500
#: Findings that stand in the way of agreement by decision; the recorded answers of the engine go before the service.
SERVICE_IS_LENIENT = re.compile(
    r"cannot be grouped by a dynamic value|have no order|needs rows in a known order|cannot compare|does not apply"
    r"|the values have different types"
)
#: What only the service refuses: a dynamic literal that is no array, and a dynamic value as a condition or a text, which
#: is taken for what it holds.
SERVICE_IS_STRICTER = ("KS234", "KS141", "KS107")


@pytest.fixture(scope="module")
def verdicts() -> list[tuple[str, dict]]:
    made = queries(QUERIES)
    modules = os.environ.get("ORACLE_MODULES", str(HERE / "node_modules"))
    lines = [json.dumps(TABLES), *map(json.dumps, made)]
    ran = subprocess.run(
        ["node", str(HERE / "oracle.js")],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "NODE_PATH": modules},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == len(made)
    return list(zip(made, answers))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("oracle") / "data", "--no-agent").start()
    for name, schema in TABLES.items():
        server.manage(f".create table {name} {schema}")
    yield server
    server.end()


def disagreement(query: str, wanted: dict, server: Server) -> str | None:
    answer = server.admin("POST", "/v1/rest/query", {"db": "default", "csl": query})
    if answer.status != 200:
        assert answer.status == 400, f"{query}\n{answer.status} {answer.text}"
        message = answer.json["error"]["@message"]
        if wanted["accepted"] and not SERVICE_IS_LENIENT.search(message):
            return f"refused here: {message}"
        return None
    if not wanted["accepted"]:
        if wanted["error"].startswith(SERVICE_IS_STRICTER):
            return None
        return f"accepted here; the service: {wanted['error']}"
    found = [[c["ColumnName"], c["ColumnType"]] for c in answer.json["Tables"][0]["Columns"]]
    if found != wanted["columns"]:
        return f"columns here {found}, the service {wanted['columns']}"
    return None


def test_made_queries_are_understood_as_the_service_does(verdicts, server):
    # A grammar whose queries are all refused, or all accepted, would test little.
    accepted = sum(wanted["accepted"] for _, wanted in verdicts)
    assert QUERIES / 2 < accepted < QUERIES
    problems = []
    for query, wanted in verdicts:
        problem = disagreement(query, wanted, server)
        if problem:
            problems.append(f"{query}\n    {problem}")
    assert not problems, f"{len(problems)} of {len(verdicts)}:\n" + "\n".join(problems[:40])
