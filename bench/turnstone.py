"""A server under measurement: its start and stop, what is sent to it and asked of it, and what it takes of the machine."""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time

READY_LINE = re.compile(r"http://127\.0\.0\.1:(\d+)")
STOP_SECONDS_MAX = 60
REQUEST_SECONDS_MAX = 900
# What the server writes of itself while rows come: a few rows, which nobody sent.
OWN_TABLES = frozenset(["AzureActivity", "Operation", "Usage"])
IN_FILES_POLL_SECONDS = 0.1
# A table with few rows waits five minutes for more before they go to a file.
IN_FILES_SECONDS_MAX = 900
RETRY_SECONDS = 0.2
WARM_RUNS = 7
# Short queries are asked more often: until they have taken so long together, or so many times.
WARM_SECONDS = 1
WARM_RUNS_MAX = 101
# Busy is who takes more than this share of a core; at rest is who was not for longer than the server waits before it
# looks for files to merge.
BUSY_CORE_SHARE = 0.05
BUSY_POLL_SECONDS = 2
REST_SECONDS = 70
AT_REST_SECONDS_MAX = 1800


class Refused(Exception):
    """An answer other than the one that was asked for."""


# Table files with so many rows get a side file.
SIDE_FILE_ROWS = 2048


class Server:
    def __init__(self, program, data):
        self.program, self.data = program, data
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "up", "--data", self.data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--no-agent"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        match = READY_LINE.search(line)
        if not match:
            self.stop()
            sys.exit("the server did not start: " + line)
        self.port = int(match.group(1))
        with open(self.token_file()) as file:
            self.token = file.read().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.stop()
        self.start()

    def token_file(self):
        return os.path.join(self.data, "admin-token")

    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS_MAX)

    def post(self, connection, path, body):
        connection.request("POST", path, body, {"Authorization": "Bearer " + self.token})
        response = connection.getresponse()
        return response.status, response.read()

    def ask(self, connection, query):
        """The answer as it comes, in JSON."""
        status, body = self.post(connection, "/v1/rest/query", json.dumps({"db": "default", "csl": query}))
        if status != 200:
            raise Refused(body.decode())
        return body

    def rows(self, query):
        return rows_of(self.ask(self.connection(), query))

    def ingest(self, connection, table, body):
        """Sends JSON lines until they are taken. Returns how often they were to be sent again later."""
        pushed_back = 0
        while True:
            status, answer = self.post(connection, "/v1/rest/ingest/default/%s?streamFormat=json" % table, body)
            if status == 200:
                return pushed_back
            if status not in (429, 503):
                raise Refused("ingestion failed: %d %s" % (status, answer.decode()))
            pushed_back += 1
            time.sleep(RETRY_SECONDS)

    def command(self, database, command):
        """What a command answers: its rows, by the names of its columns."""
        connection = self.connection()
        status, body = self.post(connection, "/v1/rest/mgmt", json.dumps({"db": database, "csl": command}))
        connection.close()
        if status != 200:
            raise Refused(body.decode())
        table = json.loads(body)["Tables"][0]
        names = [column["ColumnName"] for column in table["Columns"]]
        return [dict(zip(names, row)) for row in table["Rows"]]

    def hot_rows(self):
        """How many of the rows that were sent are in no table file yet."""
        databases = [of["DatabaseName"] for of in self.command("default", ".show databases")]
        tables = [of for name in databases for of in self.command(name, ".show tables details")]
        return sum(of["HotRowCount"] for of in tables if of["TableName"] not in OWN_TABLES)

    def disk_bytes(self):
        return folder_bytes(self.data)

    def wait_until_in_files(self):
        """Seconds until all rows that were sent are in table files; none when they are not within the bound."""
        started = time.perf_counter()
        while True:
            is_done = self.hot_rows() == 0
            seconds = time.perf_counter() - started
            if is_done:
                return seconds
            if seconds > IN_FILES_SECONDS_MAX:
                return None
            time.sleep(IN_FILES_POLL_SECONDS)

    def wait_until_side_files(self):
        """Seconds until all table files have their side files; none when they have not within the bound."""
        started = time.perf_counter()
        while True:
            looked = time.perf_counter()
            count = self.without_side_files()
            now = time.perf_counter()
            if count == 0:
                return now - started
            if now - started > IN_FILES_SECONDS_MAX:
                return None
            # Looking takes time of the machine that is measured.
            time.sleep(max(IN_FILES_POLL_SECONDS, 10 * (now - looked)))

    def without_side_files(self):
        """How many of the table files that get a side file have none yet."""
        count = 0
        for at, _, names in os.walk(os.path.join(self.data, "workspace", "tables")):
            if os.path.basename(at) != "_delta_log":
                continue
            table = os.path.dirname(at)
            for path, rows in rows_of_files(at, names).items():
                day, name = os.path.split(os.path.join(table, path))
                side_file = os.path.join(day, "_%s.side" % os.path.splitext(name)[0])
                is_there = os.path.exists(os.path.join(day, name))
                count += rows >= SIDE_FILE_ROWS and is_there and not os.path.exists(side_file)
        return count

    def wait_until_settled(self):
        """Seconds until all rows that were sent are in table files, and until those have their side files."""
        in_files = self.wait_until_in_files()
        side_files = self.wait_until_side_files()
        return in_files, None if None in (in_files, side_files) else in_files + side_files

    def wait_until_at_rest(self):
        """Seconds until the server had nothing to do of its own accord; none when it still had at the bound."""
        started = busy = time.perf_counter()
        while True:
            before = self.cpu_seconds()
            time.sleep(BUSY_POLL_SECONDS)
            now = time.perf_counter()
            if self.cpu_seconds() - before > BUSY_CORE_SHARE * BUSY_POLL_SECONDS:
                busy = now
            if now - busy > REST_SECONDS:
                return busy - started
            if now - started > AT_REST_SECONDS_MAX:
                return None

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as file:
            # The name, in brackets, can hold anything.
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        """What is resident now, and the most that ever was."""
        with open("/proc/%d/status" % self.process.pid) as file:
            fields = dict(line.split(":", 1) for line in file)
        return {name: int(fields[field].split()[0]) * 1024 for name, field in (("now", "VmRSS"), ("peak", "VmHWM"))}


def rows_of_files(log, names):
    """The table files that commits of a Delta log have named, and how many rows each has."""
    rows = {}
    for name in names:
        if not name.endswith(".json"):
            continue
        with open(os.path.join(log, name)) as file:
            adds = [json.loads(line).get("add") for line in file]
        rows.update((add["path"], json.loads(add["stats"])["numRecords"]) for add in adds if add)
    return rows


def rows_of(answer):
    return json.loads(answer)["Tables"][0]["Rows"]


def folder_bytes(folder):
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(at, name))
            except FileNotFoundError:
                # The server removes files while they are counted.
                pass
    return total


def load(server, table, batches, connections):
    """Sends batches of JSON lines and waits until all of their rows can be counted. What the batches cost to make is
    told beside, since it is within the seconds."""
    batches = iter(batches)
    lock = threading.Lock()
    sent = {"json_bytes": 0, "pushed_back": 0, "making_cpu_seconds": 0.0}
    faults = []

    def work():
        connection = server.connection()
        try:
            while not faults:
                with lock:
                    started = time.thread_time()
                    body = next(batches, None)
                    sent["making_cpu_seconds"] += time.thread_time() - started
                    sent["json_bytes"] += len(body or b"")
                if body is None:
                    return
                pushed_back = server.ingest(connection, table, body)
                with lock:
                    sent["pushed_back"] += pushed_back
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    rows = server.rows(table + " | count")[0][0]
    return {"rows": rows, "seconds": time.perf_counter() - started, **sent}


def timed(server, query):
    """Seconds from the question to the last byte of the answer, after one run to warm up; or what went wrong."""
    connection = server.connection()
    try:
        rows = len(rows_of(server.ask(connection, query)))
        times = []
        while len(times) < WARM_RUNS or (sum(times) < WARM_SECONDS and len(times) < WARM_RUNS_MAX):
            started = time.perf_counter()
            server.ask(connection, query)
            times.append(time.perf_counter() - started)
    except (Refused, OSError, http.client.HTTPException) as fault:
        return {"error": "%s: %s" % (type(fault).__name__, fault)}
    return {"rows": rows, "seconds": statistics.median(times), "all_seconds": times}


def timed_once(server, query):
    """Seconds from the question to the last byte of the answer, whatever is in memory; or what went wrong."""
    connection = server.connection()
    try:
        started = time.perf_counter()
        answer = server.ask(connection, query)
        return {"seconds": time.perf_counter() - started, "rows": len(rows_of(answer))}
    except (Refused, OSError, http.client.HTTPException) as fault:
        return {"error": "%s: %s" % (type(fault).__name__, fault)}
