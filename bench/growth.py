"""What a longer history costs: the same rows per day over ever more days, asked about the last week and about all of it.

Rows are made while they are sent, oldest first, and kept nowhere but in the server.
"""

import datetime

import results
import rows
from turnstone import load, timed, timed_once

ROWS_PER_DAY = 50_000
RECENT_DAYS = 7
# Making rows holds up one connection at a time; the others keep the server busy.
CONNECTIONS = 4
RATIO_MAX = 1.2
# Servers that were started one after the other differ by as much with the same rows.
NOISE_SECONDS = 0.001

# Each is asked of all rows and of the last days' alone.
QUERIES = {
    "by severity": "%s | summarize count() by AlertSeverity",
    "latest of each device":
        "%s | summarize arg_max(TimeGenerated, *) by DeviceId=tostring(parse_json(ExtendedProperties).DeviceId)",
    "term": '%s | where ExtendedProperties has "device-000042" | count',
    "by hour": "%s | summarize count() by bin(TimeGenerated, 1h)",
    "newest": "%s | top 50 by TimeGenerated desc",
    "one by its id": '%s | where SystemAlertId == "ID"',
    "a rare term": '%s | search "ID"',
}
# In the place of which comes the id of the newest alert.
ID = "ID"
# Asked right after a restart, of all rows, one after the other.
FIRST = {
    "one by its id": QUERIES["one by its id"],
    "by device": "%s | summarize count() by DeviceId=tostring(parse_json(ExtendedProperties).DeviceId)",
}


def measured(server, total, rows_per_day):
    loaded = load(server, "SecurityAlert", rows.history_batches(total, rows_per_day), CONNECTIONS)
    in_files, side_files = server.wait_until_settled()
    result = {
        "days": rows.history_days(total, rows_per_day), "rows_per_day": rows_per_day, **loaded,
        **results.since_start(loaded["seconds"], in_files, side_files),
        "disk_bytes": {"in_files": server.disk_bytes()}, "memory_bytes": {"loaded": server.memory_bytes()},
    }
    if loaded["rows"] != total:
        raise SystemExit("the server has %d rows, %d were sent" % (loaded["rows"], total))
    print("%d rows: %.0f rows/s" % (total, total / loaded["seconds"]), flush=True)
    result["at_rest_seconds"] = server.wait_until_at_rest()
    result["disk_bytes"]["at_rest"] = server.disk_bytes()
    recent = rows.END - datetime.timedelta(days=RECENT_DAYS)
    sources = {
        "recent": "SecurityAlert | where TimeGenerated >= datetime(%s)" % recent.strftime("%Y-%m-%d"),
        "all": "SecurityAlert",
    }
    newest = server.rows("SecurityAlert | top 1 by TimeGenerated desc | project SystemAlertId")[0][0]
    for span, source in sources.items():
        result[span] = {}
        for name, query in QUERIES.items():
            answer = result[span][name] = timed(server, (query % source).replace(ID, newest))
            print("%s, %s: %s" % (name, span, answer.get("error") or "%.4f s" % answer["seconds"]), flush=True)
    result["memory_bytes"]["asked"] = server.memory_bytes()
    server.restart()
    result["first"] = {}
    for name, query in FIRST.items():
        answer = result["first"][name] = timed_once(server, (query % "SecurityAlert").replace(ID, newest))
        print("%s, first: %s" % (name, answer.get("error") or "%.4f s" % answer["seconds"]), flush=True)
    return result
