"""Turnstone beside DuckDB and ClickHouse, with ../shared/tools/side_by_side.py, where that is there: loads the same rows,
asks the same questions, and writes the figures as Markdown. Needs duckdb, chdb, numpy and pyarrow for --python."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile

from bench import Server

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared")
PEERS = {"DuckDB": "DuckDB", "chDB": "ClickHouse"}


def measured(program, python, rows, work):
    """The tool's report of one run."""
    with tempfile.TemporaryDirectory() as data:
        server = Server(program, os.path.join(data, "data"))
        report = os.path.join(data, "report.json")
        try:
            command = [python, os.path.join(SHARED, "tools", "side_by_side.py"), "--rows", str(rows), "--work", work]
            command += ["--endpoint", "http://127.0.0.1:%d" % server.port, "--report", report]
            command += ["--token-file", os.path.join(data, "data", "admin-token")]
            code = subprocess.run(command).returncode
        finally:
            server.stop()
        if code != 0:
            sys.exit("the tool ended with %d" % code)
        with open(report) as file:
            return json.load(file)


def section(report):
    """One run as Markdown."""
    total = sum(report["rows"].values())
    lines = ["## %s rows" % f"{total:,}", ""]
    lines += ["| load | JSON MB/s |", "|--|--|"]
    for name, tables in report["load"].items():
        whole = tables["all"]
        lines.append("| %s | %.0f |" % (PEERS.get(name, name), whole["json_bytes"] / whole["seconds"] / 1e6))
    lines += ["", "| query | rows | Turnstone, s | DuckDB, s | ClickHouse, s | Turnstone / best peer |", "|--|--|--|--|--|--|"]
    for name, query in report["queries"].items():
        seconds = query["seconds"]
        ratio = "%.2f" % query["ratio"] if query["ratio"] else "wrong"
        cells = ["%.4f" % seconds[engine] for engine in ("Turnstone", "DuckDB", "chDB")]
        lines.append("| %s | %s | %s | %s |" % (name, f"{query['rows']:,}", " | ".join(cells), ratio))
    worst = max(query["ratio"] or 0 for query in report["queries"].values())
    lines += ["", "Geometric mean of the ratios: %.2f; the worst: %.2f." % (report["geometric_mean_ratio"], worst), ""]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the folder of the release build")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 10_000_000])
    parser.add_argument("--work", required=True, help="a folder for generated rows and the peers' databases, kept")
    parser.add_argument("--reports", nargs="*", help="reports of earlier runs, to be written instead of measuring")
    parser.add_argument("--out", required=True, help="the Markdown file to write")
    options = parser.parse_args()
    if options.reports:
        reports = [json.load(open(path)) for path in options.reports]
    elif not os.path.isdir(SHARED):
        print("there is no ../shared beside this repository, so there are no peers to measure beside")
        return
    else:
        program = os.path.join(options.bin, "turnstone")
        reports = [measured(program, options.python, rows, os.path.join(options.work, str(rows))) for rows in options.rows]
    lines = [
        "# Beside DuckDB and ClickHouse",
        "",
        "Written by `make bench-peers`: the same rows and questions for all three on one machine, in one run. Times are",
        "medians of seven warm runs, taken in turn. Turnstone is asked over HTTP and answers in JSON; DuckDB and ClickHouse",
        "(chDB) run inside the process that asks, over tables of their own formats, with two threads. All answers are",
        "compared. Loading is of JSON lines: Turnstone's are on disk and can be queried before each request is answered, the",
        "peers load in bulk from a file; where the peers held the rows already, their figure is of the run that loaded them.",
        "",
        "Machine: %s, %d cores. %s." % (platform.machine(), os.cpu_count(), datetime.date.today()),
        "",
    ]
    for report in reports:
        lines += section(report)
    with open(options.out, "w") as file:
        file.write("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
