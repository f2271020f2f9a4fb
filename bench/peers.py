"""Turnstone beside DuckDB and ClickHouse, with ../shared/tools/side_by_side.py, where that is there.

The tool is called twice: to load the same rows into all three, and, once Turnstone's are all in table files, to ask the
same questions.
"""

import concurrent.futures
import json
import os
import shutil
import subprocess
import tempfile

import results
from turnstone import WARM_RUNS

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "..", "..", "shared", "tools", "side_by_side.py")
NO_QUERY = "^$"
ANSWERS_DIFFER = 1


def are_here():
    return os.path.exists(TOOL)


def call_tool(python, server, rows, work, report, further, on_line=lambda line: None):
    command = [python, TOOL, "--rows", str(rows), "--work", work, "--endpoint", server.endpoint()]
    command += ["--token-file", server.token_file(), "--report", report, *further]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tool:
        for line in tool.stdout:
            print(line, end="", flush=True)
            on_line(line)
    if tool.returncode not in (0, ANSWERS_DIFFER):
        raise SystemExit("the tool ended with %d" % tool.returncode)
    with open(report) as file:
        return json.load(file)


def loaded(python, server, rows, work, report):
    """What loading took, and what the rows then take on the disk."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waits = []

        def on_line(line):
            # All rows can be counted.
            if line.split()[:2] == ["Turnstone", "all"]:
                waits.append(pool.submit(server.wait_until_settled))

        load = call_tool(python, server, rows, work, report, ["--only", NO_QUERY], on_line)["load"]
        in_files, side_files = waits[0].result()
    in_files_bytes = server.disk_bytes()
    at_rest_seconds = server.wait_until_at_rest()
    facts = json.loads(subprocess.run(
        [python, os.path.join(HERE, "peer_facts.py"), os.path.join(work, "peer.chdb")],
        check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    return {
        "load": {"ClickHouse" if name == "chDB" else name: tables["all"] for name, tables in load.items()},
        **results.since_start(load["Turnstone"]["all"]["seconds"], in_files, side_files),
        "at_rest_seconds": at_rest_seconds,
        "disk_bytes": {
            "Turnstone": in_files_bytes, "Turnstone at rest": server.disk_bytes(),
            "DuckDB": os.path.getsize(os.path.join(work, "peer.duckdb")), "ClickHouse": facts["clickhouse_bytes"],
        },
        "versions": facts["versions"],
    }


def remove_databases(work):
    """So that all three load in the same run."""
    shutil.rmtree(os.path.join(work, "peer.chdb"), ignore_errors=True)
    for name in ("peer.duckdb", "peer.duckdb.wal"):
        if os.path.exists(os.path.join(work, name)):
            os.remove(os.path.join(work, name))


def measured(server, python, rows, work):
    remove_databases(work)
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            result = loaded(python, server, rows, work, report)
            asked = call_tool(python, server, rows, work, report, ["--skip-load", "--repeat", str(WARM_RUNS)])
    finally:
        remove_databases(work)
    queries = {}
    for name, query in asked["queries"].items():
        seconds = {"ClickHouse" if engine == "chDB" else engine: taken for engine, taken in query["seconds"].items()}
        queries[name] = {"rows": query["rows"], "seconds": seconds, "ratio": query["ratio"], "wrong": query["wrong"]}
    return {
        "rows": sum(asked["rows"].values()), "threads": asked["threads"], **result, "queries": queries,
        "geometric_mean_ratio": asked["geometric_mean_ratio"],
    }
