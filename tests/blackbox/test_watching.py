"""The server can be watched: it counts what it does for Prometheus, writes its log for machines, sends traces to a
collector of OpenTelemetry, and every answer has an id by which it is found again.
"""

import gzip
import http.server
import json
import socket
import threading
import time
import uuid

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from security_messages import message, process_start, reverse_shell
from turnstone_server import Answer, Device, Server, wait_until

TRACE_SECONDS = 30
WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces"


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent", "--raw-events")


@pytest.fixture(scope="module")
def device(server) -> Device:
    return server.create_device("pump-07")


def group_of(server: Server) -> str:
    found = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]
    return f"/subscriptions/{found['subscriptionId']}/resourceGroups/default"


def limited_token(server: Server, role: str, scope: str = "/") -> str:
    made = server.admin("POST", "/api/v1/tokens", {"name": f"token-{uuid.uuid4()}", "role": role, "scope": scope})
    assert made.status == 201, made.text
    return made.json["token"]


# Metrics


class Metrics:
    """What the server counts, as Prometheus reads it."""

    def __init__(self, server: Server):
        answer = server.admin("GET", "/metrics")
        assert answer.status == 200, f"{answer.status} {answer.text}"
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        self.text = answer.body.decode()
        # The parser refuses what is no OpenMetrics.
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}

    def value(self, sample: str, **labels: str) -> float | None:
        """The value of the sample with exactly these labels."""
        all_samples = (found for family in self.families.values() for found in family.samples)
        found = [one.value for one in all_samples if one.name == sample and one.labels == labels]
        assert len(found) <= 1, f"{sample} {labels} is there {len(found)} times"
        return found[0] if found else None

    def labels(self, family: str, name: str) -> set[str]:
        return {sample.labels[name] for sample in self.families[family].samples}


def test_what_is_counted_is_in_the_form_of_open_metrics(server):
    server.kusto("print 1")
    metrics = Metrics(server)
    assert metrics.text.endswith("# EOF\n")
    kinds = {name: family.type for name, family in metrics.families.items()}
    assert kinds["turnstone_http_requests"] == "counter"
    assert kinds["turnstone_http_request_duration_seconds"] == "histogram"
    assert kinds["turnstone_workspace_hot_rows"] == "gauge"
    assert all(family.documentation for family in metrics.families.values())
    assert all(name.startswith("turnstone_") for name in metrics.families)
    megabytes = metrics.value("turnstone_process_resident_memory_bytes") / 2**20
    assert 10 < megabytes < 10_000


def test_requests_are_counted_by_interface_and_status(server):
    group = group_of(server)
    query = {"db": "default", "csl": "print 1"}
    calls = [
        ("Kusto", 200, lambda: server.admin("POST", "/v1/rest/query", query)),
        ("Kusto", 400, lambda: server.admin("POST", "/v2/rest/query", {"db": "default", "csl": "nothing |"})),
        ("Kusto", 401, lambda: server.request("POST", "/v1/rest/query", json.dumps(query))),
        ("LogAnalytics", 200, lambda: server.admin("POST", "/v1/workspaces/default/query", {"query": "print 1"})),
        ("Ingestion", 200, lambda: server.ingest("Counted", '{"N": 1}')),
        ("Ingestion", 403, lambda: server.request("POST", "/api/logs?api-version=2016-04-01", "[]")),
        ("Management", 200, lambda: server.admin("GET", f"{group}{WORKSPACE}/default?api-version=2023-09-01")),
        ("Own", 200, lambda: server.admin("GET", "/api/v1/devices")),
        ("Own", 404, lambda: server.admin("GET", "/api/v1/devices/nobody")),
        ("Own", 401, lambda: server.request("GET", "/api/v1/devices")),
        ("SignIn", 401, lambda: server.request("GET", "/api/v1/session")),
        ("Other", 200, lambda: server.request("GET", "/healthz")),
    ]
    server.manage(".create table Counted (N: long)")

    def count(metrics: Metrics, interface: str, status: int) -> float:
        return metrics.value("turnstone_http_requests_total", interface=interface, status=str(status)) or 0

    def timed(metrics: Metrics, interface: str) -> float:
        return metrics.value("turnstone_http_request_duration_seconds_count", interface=interface) or 0

    before = Metrics(server)
    for interface, status, call in calls:
        for _ in range(3):
            answer = call()
            assert answer.status == status, f"{interface}: {answer.status} {answer.text}"
    after = Metrics(server)
    expected = {(interface, status): 3 for interface, status, _ in calls}
    # Those who look are counted too.
    expected["Other", 200] += 1
    grown = {key: count(after, *key) - count(before, *key) for key in expected}
    assert grown == expected
    for interface in {interface for interface, _, _ in calls}:
        wanted = sum(number for (of, _), number in expected.items() if of == interface)
        assert timed(after, interface) - timed(before, interface) == wanted, interface


def test_messages_of_devices_are_counted(server, device):
    def total(status: int) -> float:
        samples = Metrics(server).families["turnstone_http_requests"].samples
        return sum(s.value for s in samples if s.labels["status"] == str(status))

    before = total(204), total(400)
    for _ in range(5):
        server.accept(device, message(process_start("true")))
        assert server.send(device, b"{").status == 400
    assert (total(204) - before[0], total(400) - before[1]) == (5, 5)


def test_the_times_of_requests_are_in_buckets(server):
    server.kusto("range x from 1 to 100000 step 1 | summarize sum(x)")
    metrics = Metrics(server)
    name = "turnstone_http_request_duration_seconds"
    samples = [s for s in metrics.families[name].samples if s.labels["interface"] == "Kusto"]
    buckets = [s.value for s in samples if s.name == f"{name}_bucket"]
    assert len(buckets) >= 5 and buckets == sorted(buckets)
    count = metrics.value(f"{name}_count", interface="Kusto")
    seconds = metrics.value(f"{name}_sum", interface="Kusto")
    assert buckets[-1] == count and 0 < seconds < 60 * count


def test_the_rows_of_workspaces_are_shown(server):
    server.manage(".create table Measured (N: long)")

    def rows(metrics: Metrics, database: str = "default") -> float:
        names = ("turnstone_workspace_hot_rows", "turnstone_workspace_file_rows")
        return sum(metrics.value(name, database=database) for name in names)

    before = Metrics(server)
    server.ingest("Measured", "\n".join('{"N": %d}' % n for n in range(1000)))
    after = Metrics(server)
    # Those of the audit and of queries come beside them.
    assert 1000 <= rows(after) - rows(before) < 1100
    bytes_of = "turnstone_workspace_day_bytes"
    assert after.value(bytes_of, database="default") > before.value(bytes_of, database="default")
    tables = "turnstone_workspace_tables"
    server.manage(".create table Measured2 (N: long)")
    assert Metrics(server).value(tables, database="default") == after.value(tables, database="default") + 1


def test_workspaces_come_and_go(server):
    path = f"{group_of(server)}{WORKSPACE}/short-lived?api-version=2023-09-01"
    assert server.admin("PUT", path, {"location": "local"}).status in (200, 201)
    assert "short-lived" in Metrics(server).labels("turnstone_workspace_tables", "database")
    assert server.admin("DELETE", path).status in (200, 204)
    assert server.admin("GET", path).status == 404
    assert "short-lived" not in Metrics(server).labels("turnstone_workspace_tables", "database")


def test_alerts_that_are_sent_are_counted(server, device):
    """There is a receiver for the one destination, and nobody for the other."""
    received = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            received.set()

        def log_message(self, *_):
            pass

    receiver = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
    thread.start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    made = []
    try:
        for port in (receiver.server_port, closed):
            answer = server.admin("POST", "/api/v1/alertDestinations", {"url": f"http://127.0.0.1:{port}/"})
            assert answer.status == 201, answer.text
            made.append(answer.json["id"])
        server.accept(device, message(reverse_shell("counted")))
        assert received.wait(30)

        def sent(outcome: str):
            return Metrics(server).value("turnstone_alerts_sent_total", outcome=outcome)

        wait_until(lambda: sent("arrived") == 1, 30, "one that arrived")
        wait_until(lambda: (sent("failed") or 0) >= 2, 30, "two attempts that failed")
        assert sent("arrived") == 1
    finally:
        for one in made:
            server.admin("DELETE", f"/api/v1/alertDestinations/{one}")
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def test_who_looks_must_be_somebody_with_a_role_that_reads(server):
    assert server.request("GET", "/metrics").status == 401
    for token, status in (
        ("tst_wrong", 401),
        (limited_token(server, "Monitoring Metrics Publisher"), 403),
        (limited_token(server, "Log Analytics Reader"), 200),
    ):
        answer = server.admin("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == status, f"{answer.status} {answer.text}"
        assert ("turnstone_http_requests" in answer.text) == (status == 200)


# Ids of requests


def is_id(text: str | None) -> bool:
    try:
        return bool(uuid.UUID(text or ""))
    except ValueError:
        return False


def every_answer(server: Server, device: Device) -> dict[str, object]:
    """Calls of every kind, with whatever headers are to be sent."""
    def admin(method: str, path: str, body=None):
        return lambda headers: server.admin(method, path, body, headers)

    return {
        "health": lambda headers: server.request("GET", "/healthz", headers=headers),
        "a query": admin("POST", "/v1/rest/query", {"db": "default", "csl": "print 1"}),
        "a wrong query": admin("POST", "/v2/rest/query", {"db": "default", "csl": "nothing |"}),
        "logs": admin("POST", "/v1/workspaces/default/query", {"query": "print 1"}),
        "management": admin("GET", "/subscriptions?api-version=2022-12-01"),
        "nothing that is managed": admin("GET", "/subscriptions/x/resourceGroups/y?api-version=2022-12-01"),
        "our own": admin("GET", "/api/v1/devices"),
        "nothing of our own": admin("GET", "/api/v1/nothing"),
        "a stranger": lambda headers: server.request("GET", "/api/v1/devices", headers=headers),
        "a method that is not there": admin("PATCH", "/api/v1/savedQueries"),
        "the description": lambda headers: server.request("GET", "/api/v1/openapi.json", headers=headers),
        "metrics": admin("GET", "/metrics"),
        "the collector": lambda headers: server.request("POST", "/api/logs", "[]", headers),
        "a device": lambda headers: server.send(device, message(process_start("true")), **headers),
        "a wrong message": lambda headers: server.send(device, b"{", **headers),
        "a page that is not there": admin("GET", "/nothing"),
    }


KINDS = list(every_answer(None, None))


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_has_an_id_of_its_own_and_that_of_its_client(server, device, kind):
    call = every_answer(server, device)[kind]
    mine = f"mine;{uuid.uuid4()}"
    answers: list[Answer] = [call({"x-ms-client-request-id": mine}) for _ in range(2)]
    ids = [answer.headers.get("x-ms-request-id") for answer in answers]
    assert all(is_id(one) for one in ids) and ids[0] != ids[1], f"{answers[0].status} {answers[0].headers}"
    assert [answer.headers.get("x-ms-client-request-id") for answer in answers] == [mine, mine]


def test_the_id_of_a_change_is_in_the_audit(server):
    answer = server.admin("PUT", "/api/v1/devices/pump-08")
    assert answer.status == 201
    query = f"AzureActivity | where CorrelationId == '{answer.headers['x-ms-request-id']}' | project HTTPRequest"
    assert server.kusto(query).values == ["PUT /api/v1/devices/pump-08"]


# The log


def test_the_log_for_machines_is_a_json_object_on_each_line(new_server):
    """Whatever reads it reads all of standard error."""
    server = new_server("--no-agent", log_level="debug")
    server.environment["TURNSTONE_LOG_FORMAT"] = "json"
    server.start()
    device = server.create_device("pump-07")
    server.send(device, b"{")
    assert server.admin("GET", "/api/v1/nothing").status == 404
    # A text over two lines stays on one.
    server.admin("POST", "/v1/rest/query", {"db": "default", "csl": 'print "a\nb" |'})
    admin = server.token
    assert server.stop() == 0
    lines = server.log_text().splitlines()
    wrong = []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
            assert isinstance(record, dict)
            records.append(record)
        except (ValueError, AssertionError):
            wrong.append(line)
    assert wrong == []
    assert all(isinstance(one.get("timestamp"), str) and one.get("level") and one.get("target") for one in records)
    refused = [one for one in records if one.get("device") == "pump-07"]
    assert refused and refused[0]["level"] == "INFO" and "refused" in refused[0]["message"]
    assert "\x1b" not in server.log_text() and admin not in server.log_text() and device.key not in server.log_text()


def test_the_form_of_the_log_is_that_for_people_where_nothing_is_said(new_server):
    server = new_server("--no-agent").start()
    device = server.create_device("pump-07")
    server.send(device, b"{")
    line = wait_until(lambda: [one for one in server.log_text().splitlines() if "pump-07" in one], 10, "a line")[0]
    assert not line.startswith("{") and "INFO" in line


def test_a_form_of_the_log_that_is_none_is_refused(new_server):
    server = new_server("--no-agent")
    server.environment["TURNSTONE_LOG_FORMAT"] = "xml"
    with pytest.raises(AssertionError, match="ended with code 2"):
        server.start()
    assert "xml" in server.log_text() and "json" in server.log_text()


# Traces


class Collector:
    """A collector of OpenTelemetry: OTLP over HTTP, as protobuf."""

    def __init__(self, port: int = 0, status: int = 200):
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = status
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.requests.append((self.path, headers, body))
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    @property
    def bytes(self) -> bytes:
        return b"\n".join(body for _, _, body in list(self.requests))

    @property
    def exports(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for _, _, body in list(self.requests)]

    @property
    def spans(self) -> list:
        resources = [one for export in self.exports for one in export.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def requests_traced(self) -> list[dict]:
        """The attributes of the spans of requests."""
        return [plain(span.attributes) for span in self.spans if span.name == "request"]


def plain(attributes) -> dict:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def traced(new_server, url: str, **more: str) -> Server:
    """A server that sends its traces often."""
    server = new_server("--no-agent", "--raw-events")
    server.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200", **more}
    return server.start()


def test_traces_of_requests_reach_a_collector(new_server, collector):
    server = traced(new_server, collector.url)
    device_id = f"pump-{uuid.uuid4().hex}"
    begun = time.time_ns()
    answer = server.admin("PUT", f"/api/v1/devices/{device_id}")
    assert answer.status == 201
    path = f"/api/v1/devices/{device_id}"

    def found():
        return next((one for one in collector.requests_traced() if one.get("path") == path), None)

    attributes = wait_until(found, TRACE_SECONDS, "the trace of the request")
    assert attributes["method"] == "PUT"
    assert attributes["request_id"] == answer.headers["x-ms-request-id"]
    where, headers, _ = collector.requests[0]
    assert (where, headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    resource = collector.exports[0].resource_spans[0].resource
    assert plain(resource.attributes)["service.name"] == "turnstone"
    span = next(s for s in collector.spans if plain(s.attributes).get("path") == path)
    assert len(span.trace_id) == 16 and len(span.span_id) == 8
    assert begun <= span.start_time_unix_nano <= span.end_time_unix_nano <= time.time_ns()


def test_the_endpoint_for_traces_alone_is_taken_as_it_is(new_server, collector):
    server = new_server("--no-agent")
    server.environment |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/own/place", "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    server.start()
    server.kusto("print 1")
    wait_until(lambda: b"/v1/rest/query" in collector.bytes, TRACE_SECONDS, "the trace of the request")
    assert {path for path, _, _ in collector.requests} == {"/own/place"}


def test_the_last_traces_are_sent_when_the_server_stops(new_server, collector):
    server = traced(new_server, collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000")
    server.kusto("print 1")
    assert server.stop() == 0
    assert [one["path"] for one in collector.requests_traced()].count("/v1/rest/query") == 1


def test_messages_of_devices_are_traced(new_server, collector):
    server = traced(new_server, collector.url)
    device = server.create_device("pump-07")
    server.accept(device, message(process_start("true")))
    assert server.stop() == 0
    assert f"/devices/{device.id}/messages/events".encode() in collector.bytes


def test_no_secret_is_in_the_traces(new_server, collector):
    server = traced(new_server, collector.url)
    made = server.admin("POST", "/api/v1/tokens", {"name": "mine"}).json["token"]
    device = server.create_device("pump-07")
    sas = server.sas(device.id, device.key)
    server.accept(device, message(reverse_shell()), token=sas)
    server.send(device, b"{")
    asked = "print password = 'correct-horse'"
    for token in (server.token, made, f"{server.token}x"):
        server.admin("POST", "/v1/rest/query", {"db": "default", "csl": asked}, {"Authorization": f"Bearer {token}"})
        server.request("GET", "/api/v1/devices", headers={"x-api-key": token})
        server.request("GET", f"/api/v1/devices?token={token}", headers={"Cookie": f"turnstone-session={token}"})
    destination = server.admin("POST", "/api/v1/alertDestinations", {"url": "http://127.0.0.1:9/", "isEnabled": False})
    keys = server.admin("POST", f"{group_of(server)}{WORKSPACE}/default/sharedKeys?api-version=2020-08-01").json
    secondary = server.admin("GET", f"/api/v1/devices/{device.id}").json["secondaryKey"]
    secrets = {
        "the admin token": server.token, "a token": made, "a device's key": device.key, "its other key": secondary,
        "a signature": sas.split("sig=")[1].split("&")[0], "a destination's secret": destination.json["secret"],
        "a shared key": keys["primarySharedKey"], "a query": "correct-horse",
    }
    assert server.stop() == 0
    sent = collector.bytes
    # The requests themselves are there.
    assert b"/v1/rest/query" in sent and b"/api/v1/devices" in sent
    assert [name for name, secret in secrets.items() if secret.encode() in sent] == []
    assert [name for name, secret in secrets.items() if secret in server.log_text()] == []


@pytest.mark.parametrize("state", ["down", "unwell"])
def test_a_collector_that_takes_nothing_holds_nothing_up(new_server, state):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    collector = Collector(status=500) if state == "unwell" else None
    try:
        server = traced(new_server, collector.url if collector else url)
        for number in range(20):
            assert server.kusto(f"print {number}").value == number
        if collector:
            wait_until(lambda: collector.requests, TRACE_SECONDS, "an attempt")
        assert server.stop() == 0
    finally:
        if collector:
            collector.close()


def test_a_collector_that_never_answers_does_not_hold_up_the_stop(new_server):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = traced(new_server, f"http://127.0.0.1:{silent.getsockname()[1]}")
        server.kusto("print 1")
        assert server.stop() == 0


def test_nothing_is_sent_where_no_endpoint_is_named(new_server, collector):
    server = new_server("--no-agent")
    server.environment["OTEL_BSP_SCHEDULE_DELAY"] = "1"
    server.start()
    server.kusto("print 1")
    assert server.stop() == 0
    assert collector.requests == []
