"""The first look at the portal, over a history of alerts that ends today, in Chromium."""

import datetime
import json
import os
import statistics
import subprocess

import growth
import rows
from turnstone import load

RUNS = 7
INTERACTIVE_SECONDS_MAX = 1.5
BYTES_MAX = 350_000


def are_here(python):
    """Whether that Python can drive a browser, and there is one."""
    has_driver = subprocess.run([python, "-c", "import playwright"], capture_output=True).returncode == 0
    return has_driver and os.path.exists("/usr/bin/chromium")


def link(server):
    status, body = server.post(server.connection(), "/api/v1/session/links", "")
    assert status == 201, body
    return "%s/ui/sign-in#code=%s" % (server.endpoint(), json.loads(body)["code"])


def hub_id(server):
    connection = server.connection()
    connection.request("GET", "/api/v1/hubs", headers={"Authorization": "Bearer " + server.token})
    return json.loads(connection.getresponse().read())["value"][0]["id"]


def measured(server, python, alerts):
    hub, made_up = hub_id(server).encode(), rows.HUB.encode()
    end = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    batches = rows.history_batches(alerts, growth.ROWS_PER_DAY, end)
    loaded = load(server, "SecurityAlert", (batch.replace(made_up, hub) for batch in batches), growth.CONNECTIONS)
    if loaded["rows"] != alerts:
        raise SystemExit("the server has %d rows, %d were sent" % (loaded["rows"], alerts))
    server.wait_until_in_files()
    server.wait_until_at_rest()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "first_view.py")
    looks = json.loads(subprocess.run([python, "-B", script, link(server), str(RUNS)], check=True, capture_output=True).stdout)
    middle = lambda name: statistics.median(look[name] for look in looks)
    result = {
        "rows": alerts, "days": rows.history_days(alerts, growth.ROWS_PER_DAY), "runs": RUNS, "shown": looks[-1]["shown"],
        "interactive_seconds": middle("interactive_seconds"), "interactive_seconds_max": max(look["interactive_seconds"] for look in looks),
        "complete_seconds": middle("complete_seconds"), "bytes": max(look["bytes"] for look in looks),
    }
    print(json.dumps(result), flush=True)
    return result
