"""Measures ingestion and the five sample queries over generated alerts, and writes docs/performance.md.

Rows are made the same each time and sent as JSON lines over HTTP, in batches, by two connections. The clock of
ingestion runs until every row can be counted. Each query runs once to warm up and then several times; the median is
reported. Only the standard library is used.
"""

import argparse
import datetime
import http.client
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HUB = "/subscriptions/5f0c6c0e-0000-4000-8000-000000000001/resourceGroups/default/providers/Microsoft.Devices/IotHubs/hub"
KINDS = [
    ("Crypto coin miner image", "High", "IoT_CryptoMiner"),
    ("Reverse shell", "High", "IoT_ReverseShell"),
    ("Brute force attack failed", "Low", "IoT_Bruteforce_Fail"),
    ("Successful local login on device", "High", "IoT_SucessfulLocalLogin"),
    ("Failed local login attempt on device", "Medium", "IoT_FailedLocalLogin"),
]
BATCH_BYTES = 4 << 20
DEVICES = 2000
DAYS = 30
END = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)

QUERIES = {
    "alerts: sample records": """SecurityAlert
| project
    TimeGenerated,
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName,
    Description,
    ExtendedProperties
| take 3""",
    "alerts: device summary": """SecurityAlert
| where TimeGenerated > datetime(2026-02-23)
| summarize Cnt=dcount(SystemAlertId) by
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName""",
    "alerts: hub summary": """SecurityAlert
| where TimeGenerated > datetime(2026-02-23)
| extend DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"])
| summarize CntDevices=dcount(DeviceId) by
    IoTHubId=ResourceId,
    AlertSeverity,
    DisplayName""",
    "recommendations: sample records": """SecurityRecommendation
| project
    TimeGenerated,
    IoTHubId=AssessedResourceId,
    DeviceId,
    RecommendationSeverity,
    RecommendationState,
    RecommendationDisplayName,
    Description,
    RecommendationAdditionalData
| take 2""",
    "recommendations: device summary": """SecurityRecommendation
| extend IoTHubId=AssessedResourceId
| summarize CurrentState=arg_max(RecommendationState, DiscoveredTimeUTC) by IoTHubId, DeviceId, RecommendationSeverity, RecommendationDisplayName
| where CurrentState == "Active"
| summarize Cnt=count() by IoTHubId, DeviceId, RecommendationSeverity""",
}


def alert(rng, n):
    name, severity, kind = KINDS[rng.randrange(len(KINDS))]
    moment = END - datetime.timedelta(seconds=rng.random() * DAYS * 86400)
    device = "device-%06d" % rng.randrange(DEVICES)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    details = {
        "CommandLine": "/usr/bin/worker --job %d --target 198.51.100.%d" % (rng.randrange(10**6), rng.randrange(256)),
        "User Name": "svc%d" % rng.randrange(50),
        "UserId": str(1000 + rng.randrange(50)),
        "DeviceId": device,
    }
    return {
        "TimeGenerated": stamp, "StartTime": stamp, "EndTime": stamp, "DisplayName": name, "AlertName": name,
        "AlertType": kind, "AlertSeverity": severity, "Description": name + " on the device.",
        "ProviderName": "IoTSecurity", "VendorName": "Turnstone", "SystemAlertId": "%032x" % (rng.getrandbits(128)),
        "ResourceId": HUB, "ProductName": "Azure Security Center for IoT", "CompromisedEntity": device,
        "IsIncident": False, "ExtendedProperties": json.dumps(details), "Status": "New",
    }


def recommendation(rng, n):
    moment = END - datetime.timedelta(seconds=rng.random() * DAYS * 86400)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    device = rng.randrange(DEVICES)
    # On a third of the devices the cause never goes, so that the summary of what is active has rows.
    is_active = device % 3 == 0 or rng.random() < 0.7
    return {
        "TimeGenerated": stamp, "DiscoveredTimeUTC": stamp, "RecommendationName": "IoT_OpenPorts",
        "RecommendationDisplayName": ["Open Ports On Device", "Operating system (OS) baseline validation failure"][n % 2],
        "RecommendationSeverity": ["Medium", "High"][rng.randrange(2)],
        "RecommendationState": "Active" if is_active else "Inactive", "AssessedResourceId": HUB,
        "DeviceId": "device-%06d" % device,
        "RecommendationAdditionalData": {"OpenPorts": "[\"tcp 0.0.0.0:%d\"]" % rng.randrange(65536)},
    }


class Server:
    def __init__(self, program, data):
        self.process = subprocess.Popen(
            [program, "up", "--data", data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--no-agent"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not match:
            sys.exit("the server did not start: " + line)
        self.port = int(match.group(1))
        with open(os.path.join(data, "admin-token")) as file:
            self.token = file.read().strip()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def post(self, connection, path, body):
        connection.request("POST", path, body, {"Authorization": "Bearer " + self.token})
        response = connection.getresponse()
        return response.status, response.read()

    def query(self, text, path="/v1/rest/query"):
        status, body = self.post(self.connection(), path, json.dumps({"db": "default", "csl": text}))
        if status != 200:
            sys.exit("%s\n%s" % (text, body.decode()))
        return json.loads(body)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def make_batches(folder, table, make, rows):
    """Files of about BATCH_BYTES each, so that making rows is no part of what is measured."""
    rng = random.Random(7)
    paths, lines, size, total = [], [], 0, 0
    for n in range(rows):
        line = json.dumps(make(rng, n), separators=(",", ":")) + "\n"
        lines.append(line)
        size += len(line)
        if size >= BATCH_BYTES or n + 1 == rows:
            path = os.path.join(folder, "%s-%06d.json" % (table, len(paths)))
            with open(path, "w") as file:
                file.writelines(lines)
            paths.append(path)
            total += size
            lines, size = [], 0
    return paths, total


def ingest(server, table, paths, connections=2):
    lock = threading.Lock()
    waiting = list(reversed(paths))

    def work():
        connection = server.connection()
        while True:
            with lock:
                if not waiting:
                    return
                path = waiting.pop()
            with open(path, "rb") as file:
                body = file.read()
            while True:
                status, answer = server.post(connection, "/v1/rest/ingest/default/%s?streamFormat=json" % table, body)
                if status == 200:
                    break
                if status not in (429, 503):
                    sys.exit("ingestion failed: %d %s" % (status, answer.decode()))
                time.sleep(0.2)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = server.query(table + " | count")["Tables"][0]["Rows"][0][0]
    return time.perf_counter() - started, count


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="the folder of the release build")
    parser.add_argument("--alerts", type=int, default=5_000_000)
    parser.add_argument("--recommendations", type=int, default=500_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--work", help="a folder for generated rows; a temporary one by default")
    parser.add_argument("--out", help="the Markdown file to write")
    options = parser.parse_args()
    lines = []

    def say(line=""):
        print(line, flush=True)
        lines.append(line)

    with tempfile.TemporaryDirectory(dir=options.work) as work:
        data = os.path.join(work, "data")
        server = Server(os.path.join(options.bin, "turnstone"), data)
        try:
            say("# Performance")
            say()
            say("Written by `make bench`. Rows are JSON lines over HTTP, two connections, batches of 4 MiB; each batch is")
            say("on disk before it is acknowledged. Query times are medians of %d runs after one warm-up, as a client sees" % options.repeat)
            say("them: HTTP, planning, execution and JSON included.")
            say()
            say("Machine: %s, %d cores, Python %s. %s." % (platform.machine(), os.cpu_count(), platform.python_version(), datetime.date.today()))
            say()
            say("## Ingestion")
            say()
            say("| table | rows | MB | seconds | rows/s | MB/s |")
            say("|--|--|--|--|--|--|")
            for table, make, rows in [
                ("SecurityAlert", alert, options.alerts),
                ("SecurityRecommendation", recommendation, options.recommendations),
            ]:
                paths, size = make_batches(work, table, make, rows)
                seconds, count = ingest(server, table, paths)
                if count != rows:
                    sys.exit("%s has %d rows, %d were sent" % (table, count, rows))
                say("| %s | %s | %.0f | %.1f | %s | %.1f |" % (
                    table, f"{rows:,}", size / 1e6, seconds, f"{rows / seconds:,.0f}", size / 1e6 / seconds))
                for path in paths:
                    os.remove(path)
            say()
            say("On disk afterwards, log included: %.0f MB." % (folder_bytes(data) / 1e6))
            say()
            say("## The five sample queries")
            say()
            say("| query | rows | seconds |")
            say("|--|--|--|")
            for name, text in QUERIES.items():
                rows = len(server.query(text)["Tables"][0]["Rows"])
                times = []
                for _ in range(options.repeat):
                    started = time.perf_counter()
                    server.query(text)
                    times.append(time.perf_counter() - started)
                say("| %s | %s | %.3f |" % (name, f"{rows:,}", statistics.median(times)))
        finally:
            server.stop()
    if options.out:
        with open(options.out, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
