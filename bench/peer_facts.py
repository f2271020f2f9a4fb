"""Prints, as JSON, the versions of the peers and the bytes of a chDB folder that hold rows. Runs in the Python that has
the peers.

A folder keeps parts for some minutes after they were merged into others; those are left out.
"""

import json
import platform
import sys

import duckdb
from chdb import session

chdb = session.Session(sys.argv[1])


def value(query):
    return chdb.query(query, "TabSeparatedRaw").data().strip()


print(json.dumps({
    "versions": {"Python": platform.python_version(), "DuckDB": duckdb.__version__, "ClickHouse": value("SELECT version()")},
    "clickhouse_bytes": int(value("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'bench'")),
}))
