"""Alerts reach the systems that the owner has named: webhooks and syslog servers, which the tests play. What could not
be told is told later; what is refused for good is passed over and noted; nobody is told what is not theirs.
"""

import base64
import hashlib
import hmac
import http.server
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from calendar import timegm
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from security_messages import login, message, new_id, now, process_start, reverse_shell
from turnstone_server import SECURITY_INTERFACE, Answer, Device, Server, wait_until

DETECTION_SECONDS = 30
# Waits between attempts double from half a second on.
DELIVERY_SECONDS = 60
CLOCK_SECONDS = 300
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
ADMIN_PATH = "/api/v1/alertDestinations"


# Receivers


def free_port(kind=socket.SOCK_STREAM) -> int:
    """A port that nobody listens at."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self):
        return json.loads(self.body)


class Webhook:
    """A receiver of webhooks. `judge` says with which status a request is answered."""

    def __init__(self, port: int = 0, judge=lambda body: 204, tls: ssl.SSLContext | None = None):
        self.requests: list[Request] = []
        self.judge = judge
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.judge(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append(Request(self.path, headers, body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.port}/hook" if tls else f"http://127.0.0.1:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def taken(self) -> list[Request]:
        """What was answered with a success."""
        return [request for request in list(self.requests) if request.status < 300]

    def refused(self, mark: str) -> list[Request]:
        return [r for r in list(self.requests) if r.status >= 300 and mark in r.body.decode()]

    def wait_for(self, mark: str, seconds: float = DELIVERY_SECONDS) -> Request:
        """The first request that was taken and has this text in it."""
        def found():
            return next((request for request in self.taken if mark in request.body.decode()), None)

        return wait_until(found, seconds, f"a webhook with {mark}")


class Syslog:
    """A syslog server over a stream: all that came over each connection, in the order of connections."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None):
        self.received: list[bytes] = []
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                try:
                    stream = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
                    whole = b""
                    while part := stream.recv(65536):
                        whole += part
                except OSError:
                    # Whoever does not trust the certificate hangs up.
                    continue
                if whole:
                    self.received.append(whole)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def wait_for(self, mark: str, seconds: float = DELIVERY_SECONDS) -> bytes:
        def found():
            return next((whole for whole in list(self.received) if mark.encode() in whole), None)

        return wait_until(found, seconds, f"a syslog message with {mark}")


@pytest.fixture
def receivers():
    """Makes receivers; they are closed when the test is over."""
    made = []

    def make(kind=Webhook, *arguments, **options):
        made.append(kind(*arguments, **options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


# The server


@pytest.fixture(scope="module")
def shared(servers) -> Server:
    """The server of the tests in which nothing is delivered."""
    return servers("--no-agent")


@pytest.fixture
def server(new_server) -> Server:
    """A server without alerts."""
    return new_server("--no-agent").start()


@pytest.fixture
def device(server) -> Device:
    return server.create_device("pump-07")


def accepted(answer: Answer, *statuses: int):
    assert answer.status in statuses, f"{answer.status} {answer.text}"
    return answer.json if answer.body else None


def create(server: Server, url: str, **more) -> dict:
    return accepted(server.admin("POST", ADMIN_PATH, {"url": url, **more}), 201)


def show(server: Server, destination: dict) -> dict:
    return accepted(server.admin("GET", f"{ADMIN_PATH}/{destination['id']}"), 200)


def delete(server: Server, destination: dict):
    accepted(server.admin("DELETE", f"{ADMIN_PATH}/{destination['id']}"), 204)


@pytest.fixture
def destinations(server):
    """Makes destinations."""
    return lambda url, **more: create(server, url, **more)


def mark() -> str:
    """A text that no other alert has."""
    return f"mark-{new_id()}"


def stored(server: Server, text: str) -> dict:
    """The row of the alert that has this text, once it is stored."""
    query = f"SecurityAlert | where ExtendedProperties has '{text}'"
    return wait_until(lambda: server.kusto(query).records, DETECTION_SECONDS, f"an alert with {text}")[0]


def attack(server: Server, device: Device, text: str | None = None) -> dict:
    """Raises an alert of the severity High; its row. The last word of `text` is one that no other alert has."""
    text = text or mark()
    server.accept(device, message(reverse_shell(text)))
    return stored(server, text.split()[-1])


def attack_low(server: Server, device: Device) -> dict:
    text = mark()
    server.accept(device, message(process_start(f"history -c # {text}")))
    return stored(server, text)


def attack_medium(server: Server, device: Device) -> dict:
    user = mark()
    server.accept(device, message(login("127.0.0.1", False, user)))
    return stored(server, user)


def same_row(sent: dict, row: dict) -> bool:
    """What is sent is the row that queries show, but for what queries add."""
    return {name: value for name, value in row.items() if not name.startswith("_")}.items() <= sent.items()


# Webhooks


def is_signed(secret: str, request: Request) -> bool:
    """As receivers check it that follow Standard Webhooks: the key is what the Base64 behind `whsec_` holds."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    headers = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    signature = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return signature in headers["webhook-signature"].split(" ")


def test_a_webhook_gets_an_alert_that_a_device_has_raised(server, device, receivers, destinations):
    webhook = receivers()
    destination = destinations(webhook.url)
    assert (destination["kind"], destination["form"], destination["isEnabled"]) == ("webhook", "row", True)
    alert = attack(server, device)
    request = webhook.wait_for(alert["SystemAlertId"])
    assert same_row(request.json, alert), (request.json, alert)
    assert request.path == "/hook"
    assert request.headers["content-type"].startswith("application/json")
    assert request.headers["webhook-id"] == alert["SystemAlertId"]
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < CLOCK_SECONDS
    assert show(server, destination)["lastFailure"] is None


def test_a_webhook_is_signed_as_standard_webhooks_says(server, device, receivers, destinations):
    webhook = receivers()
    secret = destinations(webhook.url)["secret"]
    request = webhook.wait_for(attack(server, device)["SystemAlertId"])
    assert secret.startswith("whsec_"), "the standard's mark of a secret"
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    assert is_signed(secret, request)
    # Who holds another secret does not take it for signed.
    other = destinations(webhook.url, isEnabled=False)["secret"]
    assert other != secret and not is_signed(other, request)


def test_a_finding_of_the_open_schema_says_what_the_alert_says(server, device, receivers, destinations):
    webhook = receivers()
    destinations(webhook.url, form="ocsf")
    alert = attack(server, device)
    check_finding(webhook.wait_for(alert["SystemAlertId"]).json, alert, device)


def milliseconds(text: str) -> int:
    seconds, fraction = text.rstrip("Z").split(".")
    whole = time.strptime(f"{seconds} UTC", "%Y-%m-%dT%H:%M:%S %Z")
    return timegm(whole) * 1000 + int(fraction[:3])


def check_finding(finding: dict, alert: dict, device: Device):
    assert (finding["category_uid"], finding["class_uid"], finding["activity_id"]) == (2, 2004, 1)
    assert finding["type_uid"] == finding["class_uid"] * 100 + finding["activity_id"]
    assert (finding["severity_id"], finding["severity"]) == (4, "High")
    assert finding["time"] == milliseconds(alert["TimeGenerated"])
    assert finding["metadata"]["version"].startswith("1.") and finding["metadata"]["product"]["vendor_name"]
    info = finding["finding_info"]
    assert (info["uid"], info["title"], info["desc"]) == (
        alert["SystemAlertId"], alert["DisplayName"], alert["Description"],
    )
    assert info["types"] == [alert["AlertType"]]
    techniques = {attack["technique"]["uid"] for attack in info["attacks"]}
    assert techniques == set(json.loads(alert["Techniques"])) and techniques
    assert finding["device"]["uid"] == device.id
    assert finding["resources"][0]["uid"] == alert["ResourceId"]
    assert finding["unmapped"]["ExtendedProperties"] == json.loads(alert["ExtendedProperties"])


def test_a_cef_event_says_what_the_alert_says(server, device, receivers, destinations):
    webhook = receivers()
    destinations(webhook.url, form="cef")
    alert = attack(server, device, f"a=b | c\\d {mark()}")
    request = webhook.wait_for(alert["SystemAlertId"])
    assert request.headers["content-type"].startswith("text/plain")
    check_cef(request.body.decode(), alert, device)


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """The seven fields of the header, and the extension, without their escapes."""
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", text, maxsplit=7)
    assert header[0] == "CEF:0", text
    parts = re.split(r"(?:^| )([A-Za-z0-9_.]+)(?<!\\)=", extension)
    pairs = dict(zip(parts[1::2], parts[2::2]))

    def plain(value: str) -> str:
        return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), value)

    return header[1:], {name: plain(value) for name, value in pairs.items()}


def check_cef(text: str, alert: dict, device: Device):
    assert "\n" not in text
    (vendor, product, version, kind, name, severity), extension = read_cef(text)
    assert (vendor, product) == ("Turnstone", "Turnstone") and version
    assert (kind, name, severity) == (alert["AlertType"], alert["DisplayName"], "9")
    assert extension["externalId"] == alert["SystemAlertId"]
    assert extension["deviceExternalId"] == extension["dvchost"] == device.id
    assert extension["msg"] == alert["Description"]
    assert extension["rt"] == str(milliseconds(alert["TimeGenerated"]))
    assert extension["cs1"] == alert["ResourceId"]
    assert extension["cs2"] == alert["ExtendedProperties"]


def test_only_alerts_of_the_wanted_severities_are_sent(server, device, receivers, destinations):
    webhook = receivers()
    destinations(webhook.url, severities=["Medium", "Low"])
    attack(server, device)
    low = attack_low(server, device)
    attack(server, device)
    medium = attack_medium(server, device)
    assert (low["AlertSeverity"], medium["AlertSeverity"]) == ("Low", "Medium")
    webhook.wait_for(medium["SystemAlertId"])
    sent = [request.json["SystemAlertId"] for request in webhook.requests]
    assert sent == [low["SystemAlertId"], medium["SystemAlertId"]]


def test_alerts_of_before_are_none_of_a_new_destinations_business(server, device, receivers, destinations):
    before = [attack(server, device)["SystemAlertId"] for _ in range(3)]
    webhook = receivers()
    destinations(webhook.url)
    first = attack(server, device)["SystemAlertId"]
    webhook.wait_for(first)
    sent = [request.json["SystemAlertId"] for request in webhook.requests]
    assert not set(sent) & set(before) and sent == [first]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_receiver_that_is_unwell_gets_the_alert_once_it_is_well(server, device, receivers, destinations, status):
    webhook = receivers(judge=lambda body: status)
    destination = destinations(webhook.url)
    alert = attack(server, device)["SystemAlertId"]
    # More often than it would be passed over if the receiver did not want it.
    wait_until(lambda: len(webhook.refused(alert)) >= 2, DELIVERY_SECONDS, "two attempts")
    failure = wait_until(lambda: show(server, destination)["lastFailure"], DELIVERY_SECONDS, "a failure that is shown")
    assert str(status) in failure
    webhook.judge = lambda body: 204
    webhook.wait_for(alert)
    wait_until(lambda: show(server, destination)["lastFailure"] is None, DELIVERY_SECONDS, "no failure any more")
    later = attack(server, device)["SystemAlertId"]
    webhook.wait_for(later)
    assert [request.json["SystemAlertId"] for request in webhook.taken] == [alert, later]


def test_a_receiver_that_is_unwell_for_longer_than_one_that_refuses_gets_the_alert_too(
    server, device, receivers, destinations
):
    webhook = receivers(judge=lambda body: 500)
    destinations(webhook.url)
    alert = attack(server, device)["SystemAlertId"]
    wait_until(lambda: len(webhook.refused(alert)) >= 6, DELIVERY_SECONDS, "six attempts")
    webhook.judge = lambda body: 204
    webhook.wait_for(alert)


def test_a_receiver_that_is_down_gets_the_alerts_in_their_order_once_it_is_up(server, device, receivers, destinations):
    port = free_port()
    destination = destinations(f"http://127.0.0.1:{port}/hook")
    alerts = [attack(server, device)["SystemAlertId"] for _ in range(3)]
    wait_until(lambda: show(server, destination)["lastFailure"], DELIVERY_SECONDS, "a failure that is shown")
    webhook = receivers(Webhook, port)
    webhook.wait_for(alerts[-1])
    assert [request.json["SystemAlertId"] for request in webhook.requests] == alerts


def test_an_alert_that_is_refused_for_good_is_passed_over_and_noted(server, device, receivers, destinations):
    bad = mark()
    webhook = receivers(judge=lambda body: 400 if bad in body.decode() else 204)
    destination = destinations(webhook.url)
    refused = attack(server, device, bad)["SystemAlertId"]
    later = attack(server, device)["SystemAlertId"]
    webhook.wait_for(later)
    attempts = webhook.refused(refused)
    assert 2 <= len(attempts) <= 10
    assert {attempt.headers["webhook-id"] for attempt in attempts} == {refused}
    query = f"Operation | where Detail has '{refused}'"
    rows = wait_until(lambda: server.kusto(query).records, DETECTION_SECONDS, "a row of Operation")
    assert len(rows) == 1 and rows[0]["OperationStatus"] == "Failed"
    assert destination["id"] in rows[0]["Detail"] and "400" in rows[0]["Detail"]
    # That is the end of it.
    last = attack(server, device)["SystemAlertId"]
    webhook.wait_for(last)
    assert len(webhook.refused(refused)) == len(attempts)


def test_a_redirection_is_not_followed(server, device, receivers, destinations):
    """Whoever moves gets what was sent to them by their owner, not by the receiver."""
    webhook = receivers(judge=lambda body: 307)
    destination = destinations(webhook.url)
    alert = attack(server, device)["SystemAlertId"]
    wait_until(lambda: len(webhook.refused(alert)) >= 2, DELIVERY_SECONDS, "two attempts")
    assert {request.path for request in webhook.requests} == {"/hook"}
    assert "307" in wait_until(lambda: show(server, destination)["lastFailure"], DELIVERY_SECONDS, "the failure")


def test_many_destinations_do_not_wait_for_one_that_is_down(server, device, receivers, destinations):
    destinations(f"http://127.0.0.1:{free_port()}/hook")
    webhooks = [receivers(), receivers()]
    for webhook in webhooks:
        destinations(webhook.url)
    alerts = [attack(server, device)["SystemAlertId"] for _ in range(2)]
    for webhook in webhooks:
        webhook.wait_for(alerts[-1])
        assert [request.json["SystemAlertId"] for request in webhook.requests] == alerts


def test_many_alerts_at_once_all_arrive_in_their_order(server, device, receivers, destinations):
    port = free_port()
    destinations(f"http://127.0.0.1:{port}/hook")
    for batch in range(3):
        server.accept(device, message(*(reverse_shell(f"{batch}-{number}") for number in range(150))))
    count = "SecurityAlert | count"
    wait_until(lambda: server.kusto(count).value == 450, DETECTION_SECONDS, "all alerts")
    webhook = receivers(Webhook, port)
    wait_until(lambda: len(webhook.requests) >= 450, DELIVERY_SECONDS, "all webhooks")
    last = attack(server, device)["SystemAlertId"]
    webhook.wait_for(last)
    sent = [request.json for request in webhook.requests]
    assert len({alert["SystemAlertId"] for alert in sent}) == len(sent) == 451
    times = [alert["TimeGenerated"] for alert in sent]
    assert times == sorted(times)


# Restarts


def test_alerts_that_could_not_be_told_are_told_after_a_restart(server, device, receivers):
    port = free_port()
    destination = create(server, f"http://127.0.0.1:{port}/hook")
    alerts = [attack(server, device)["SystemAlertId"] for _ in range(2)]
    wait_until(lambda: show(server, destination)["lastFailure"], DELIVERY_SECONDS, "a failure that is shown")
    assert server.stop() == 0
    webhook = receivers(Webhook, port)
    server.start()
    webhook.wait_for(alerts[-1])
    assert [request.json["SystemAlertId"] for request in webhook.requests] == alerts


def test_an_alert_of_a_message_that_came_just_before_a_kill_is_told_after_it(server, device, receivers):
    webhook = receivers()
    create(server, webhook.url)
    marks = [mark() for _ in range(5)]
    server.accept(device, message(*(reverse_shell(text) for text in marks)))
    server.kill()
    server.start()
    for text in marks:
        webhook.wait_for(text)
    # Whoever got one twice knows it by its id.
    ids = {request.headers["webhook-id"] for request in webhook.requests}
    assert len(ids) == len(marks)


def test_a_receiver_that_never_answers_does_not_hold_up_the_stop(server, device, receivers, destinations):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DELIVERY_SECONDS)
        port = silent.getsockname()[1]
        destinations(f"http://127.0.0.1:{port}/hook")
        alert = attack(server, device)["SystemAlertId"]
        connection, _ = silent.accept()
        with connection:
            assert server.stop() == 0
    webhook = receivers(Webhook, port)
    server.start()
    webhook.wait_for(alert)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed; make installs it")
def test_alerts_arrive_when_the_clock_was_ahead_and_is_set_right(server, device, tmp_path, receivers, destinations):
    """As on a machine that starts before it knows the time."""
    clock = tmp_path / "clock"
    ahead = {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    clock.write_text("+3h")
    own = dict(server.environment)
    server.stop()
    server.environment |= ahead
    server.start()
    webhook = receivers()
    destinations(webhook.url)
    # What devices send is dated by themselves, and goes by the time of its arrival here.
    token = server.sas(device.id, device.key, seconds=24 * 3600)
    text = mark()
    server.accept(device, message(reverse_shell(text)), token=token, secure=False)
    webhook.wait_for(text)
    server.stop()
    server.environment = own
    server.start()
    later = attack(server, device)
    assert abs(milliseconds(later["TimeGenerated"]) / 1000 - time.time()) < CLOCK_SECONDS
    webhook.wait_for(later["SystemAlertId"])


def test_the_secret_and_the_settings_outlive_a_restart(server, device, receivers):
    webhook = receivers()
    made = create(server, webhook.url, form="row", severities=["High"])
    signed = [webhook.wait_for(attack(server, device)["SystemAlertId"])]
    shown = show(server, made)
    server.stop()
    server.start()
    after = show(server, made)
    assert {**after, "deliveredUntil": None} == {**shown, "deliveredUntil": None}
    signed.append(webhook.wait_for(attack(server, device)["SystemAlertId"]))

    def key_of(request: Request) -> str:
        """Which of the readings of the secret it is signed with."""
        content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        secret = made["secret"]
        readings = {"text": secret.encode()}
        if secret.startswith("whsec_"):
            readings["base64"] = base64.b64decode(secret.removeprefix("whsec_"))
        for name, key in readings.items():
            signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
            if request.headers["webhook-signature"] == f"v1,{signature}":
                return name
        return "another"

    before, later = map(key_of, signed)
    assert before == later != "another"


# Destinations come, change and go


def test_a_destination_that_is_switched_off_gets_nothing_and_goes_on_when_it_is_on_again(
    server, device, receivers, destinations
):
    control, webhook = receivers(), receivers()
    destinations(control.url)
    destination = destinations(webhook.url)
    path = f"{ADMIN_PATH}/{destination['id']}"
    first = attack(server, device)["SystemAlertId"]
    webhook.wait_for(first)
    off = accepted(server.admin("PUT", path, {"url": webhook.url, "isEnabled": False}), 200)
    assert off["isEnabled"] is False and "secret" not in off
    missed = [attack(server, device)["SystemAlertId"] for _ in range(2)]
    control.wait_for(missed[-1])
    assert [request.json["SystemAlertId"] for request in webhook.requests] == [first]
    accepted(server.admin("PUT", path, {"url": webhook.url, "isEnabled": True}), 200)
    later = attack(server, device)["SystemAlertId"]
    webhook.wait_for(later)
    # It goes on where it was; some may come twice.
    sent = list(dict.fromkeys(request.json["SystemAlertId"] for request in webhook.requests))
    assert sent == [first, *missed, later]


def test_one_that_is_made_switched_off_gets_nothing(server, device, receivers, destinations):
    control, webhook = receivers(), receivers()
    destinations(control.url)
    destinations(webhook.url, isEnabled=False)
    for _ in range(2):
        control.wait_for(attack(server, device)["SystemAlertId"])
    assert webhook.requests == []


def test_a_destination_that_is_deleted_gets_nothing_more(server, device, receivers, destinations):
    control, webhook = receivers(), receivers()
    destinations(control.url)
    destination = destinations(webhook.url)
    webhook.wait_for(attack(server, device)["SystemAlertId"])
    delete(server, destination)
    for _ in range(2):
        control.wait_for(attack(server, device)["SystemAlertId"])
    assert len(webhook.requests) == 1
    path = f"{ADMIN_PATH}/{destination['id']}"
    for answer in (server.admin("GET", path), server.admin("DELETE", path),
                   server.admin("PUT", path, {"url": webhook.url})):
        assert answer.status == 404 and answer.json["error"]["code"], f"{answer.status} {answer.text}"
    listed = accepted(server.admin("GET", ADMIN_PATH), 200)["value"]
    assert destination["id"] not in [one["id"] for one in listed]


def test_a_deleted_destination_stops_what_it_was_at(server, device, receivers, destinations):
    """Its alert still waits for a receiver that is unwell."""
    webhook = receivers(judge=lambda body: 500)
    destination = destinations(webhook.url)
    alert = attack(server, device)["SystemAlertId"]
    wait_until(lambda: webhook.refused(alert), DELIVERY_SECONDS, "an attempt")
    delete(server, destination)
    control = receivers(judge=lambda body: 500)
    destinations(control.url)
    other = attack(server, device)["SystemAlertId"]
    attempts = len(webhook.requests)
    wait_until(lambda: len(control.refused(other)) >= 5, DELIVERY_SECONDS, "five attempts of another")
    # One may have been on its way.
    assert len(webhook.requests) <= attempts + 1


def test_a_changed_destination_is_told_at_its_new_address_in_its_new_form(server, device, receivers, destinations):
    old, new = receivers(), receivers()
    destination = destinations(old.url)
    old.wait_for(attack(server, device)["SystemAlertId"])
    changed = accepted(server.admin("PUT", f"{ADMIN_PATH}/{destination['id']}", {"url": new.url, "form": "ocsf"}), 200)
    assert (changed["id"], changed["url"], changed["form"]) == (destination["id"], new.url, "ocsf")
    alert = attack(server, device)
    check_finding(new.wait_for(alert["SystemAlertId"]).json, alert, device)
    assert len(old.requests) == 1


def test_the_secret_is_shown_once_only(server, device, receivers, destinations):
    webhook = receivers()
    made = destinations(webhook.url)
    secret, path = made["secret"], f"{ADMIN_PATH}/{made['id']}"
    assert len(secret) >= 32
    webhook.wait_for(attack(server, device)["SystemAlertId"])
    group = f"{subscription(server)}/resourceGroups/default"
    places = (
        ("GET", path, None),
        ("GET", ADMIN_PATH, None),
        ("PUT", path, {"url": webhook.url}),
        ("GET", f"{subscription(server)}/resources?api-version=2021-04-01", None),
        ("GET", f"{group}/resources?api-version=2021-04-01", None),
        ("GET", f"{group}/providers/Turnstone/alertDestinations/{made['id']}?api-version=2021-04-01", None),
        ("GET", f"{group}/providers/Turnstone/alertDestinations?api-version=2021-04-01", None),
        ("POST", "/v1/rest/query", {"db": "default", "csl": "AzureActivity"}),
        ("POST", "/v1/rest/query", {"db": "default", "csl": "Operation"}),
    )
    answers = {what: server.admin(*what[:2], what[2]).text for what in [(m, p, b) for m, p, b in places if b is None]}
    answers |= {f"{m} {p} {b}": server.admin(m, p, b).text for m, p, b in places if b is not None}
    assert [place for place, text in answers.items() if secret in text] == []
    assert secret not in server.log_text()
    sent = [f"{request.headers} {request.body.decode()}" for request in webhook.requests]
    assert sent and all(secret not in text for text in sent)


WRONG_URLS = [
    "http://siem.example/hook",
    "http://192.0.2.1/hook",
    "http://127.0.0.1.siem.example/hook",
    "http://localhost.siem.example/hook",
    "http://127.0.0.1@siem.example/hook",
    "http://127.0.0.1:80@siem.example/hook",
    "http://localhost:x@192.0.2.1/hook",
    "HTTP://SIEM.EXAMPLE/hook",
    "https://",
    "http://",
    "ftp://siem.example/hook",
    "file:///etc/passwd",
    "tcp://siem.example",
    "udp://:514",
    "tls://siem.example:99999",
    "siem.example",
    "",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_an_address_that_is_none_or_not_safe_is_refused(shared, url):
    """Alerts leave the machine over TLS, or to syslog servers that the owner has named as plain ones."""
    answer = shared.admin("POST", ADMIN_PATH, {"url": url})
    if answer.status == 201:
        delete(shared, answer.json)
    assert answer.status == 400, f"{answer.status} {answer.text}"
    assert "url" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/a?b=c", "http://localhost:9", "http://[::1]:9/", "HTTP://127.0.0.1:9/"]
)
def test_plain_http_is_allowed_to_loopback(shared, url):
    made = create(shared, url, isEnabled=False)
    delete(shared, made)
    assert made["url"] == url


@pytest.mark.parametrize(
    "body, named",
    [
        ({}, "url"),
        ({"url": 7}, "string"),
        ({"url": "https://siem.example", "form": "xml"}, "form"),
        ({"url": "https://siem.example", "severities": ["Severe"]}, "severities"),
        ({"url": "https://siem.example", "secret": "mine"}, "secret"),
        ({"url": "https://siem.example", "isEnabled": "yes"}, "bool"),
        (b"{", "body"),
    ],
)
def test_a_wrong_destination_is_refused_by_what_is_wrong(shared, body, named):
    answer = shared.admin("POST", ADMIN_PATH, body, {"Content-Type": "application/json"})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    assert named in answer.json["error"]["message"]


def test_only_who_administers_the_server_sees_and_makes_destinations(server, destinations):
    made = destinations(f"http://127.0.0.1:{free_port()}/hook", isEnabled=False)
    path = f"{ADMIN_PATH}/{made['id']}"
    url = f"http://127.0.0.1:{free_port()}/hook"
    calls = (("GET", ADMIN_PATH, None), ("POST", ADMIN_PATH, {"url": url}), ("GET", path, None),
             ("PUT", path, {"url": url}), ("DELETE", path, None))
    admin = limited_token(server, "Security Admin", subscription(server))
    for token, status in (("tst_wrong", 401), (admin, 403)):
        for method, where, body in calls:
            answer = server.admin(method, where, body, {"Authorization": f"Bearer {token}"})
            assert answer.status == status, f"{method} {where}: {answer.status} {answer.text}"
    assert show(server, made)["url"] == made["url"]


def test_changes_of_destinations_are_noted_in_the_audit(server, destinations):
    made = destinations(f"http://127.0.0.1:{free_port()}/hook", isEnabled=False)
    delete(server, made)
    query = f"AzureActivity | where HTTPRequest endswith '{made['id']}' or HTTPRequest == 'POST {ADMIN_PATH}'"
    rows = server.kusto(f"{query} | project HTTPRequest, ActivityStatus").rows
    assert [f"DELETE {ADMIN_PATH}/{made['id']}", "Succeeded"] in rows
    assert [f"POST {ADMIN_PATH}", "Succeeded"] in rows


# Syslog


def read_syslog(text: str) -> re.Match:
    """A message of RFC 5424 without structured data."""
    time_form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
    form = rf"<(?P<priority>\d+)>1 (?P<time>{time_form}) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<kind>\S+) - "
    found = re.match(form, text)
    assert found, text
    return found


def frames(whole: bytes) -> list[str]:
    """The messages of a stream that is counted in octets."""
    found = []
    while whole:
        count, _, rest = whole.partition(b" ")
        assert count.isdigit() and not count.startswith(b"0"), whole[:80]
        assert len(rest) >= int(count), "the stream broke off"
        found.append(rest[: int(count)].decode())
        whole = rest[int(count) :]
    return found


def check_message(text: str, alert: dict, device: Device):
    head = read_syslog(text)
    # The facility of security messages, and what is critical.
    assert divmod(int(head["priority"]), 8) == (10, 2)
    assert (head["host"], head["app"], head["kind"]) == (device.id, "turnstone", alert["AlertType"])
    assert head["time"].rstrip("Z") == alert["TimeGenerated"].rstrip("Z")[:26]
    assert same_row(json.loads(text[head.end() :]), alert)


def test_syslog_over_tcp_is_counted_in_octets(server, device, receivers, destinations):
    syslog = receivers(Syslog)
    made = destinations(f"tcp://127.0.0.1:{syslog.port}")
    assert made["kind"] == "syslog"
    # Octets are not characters.
    for text in (mark(), f"größer € {mark()}"):
        alert = attack(server, device, text)
        (one,) = frames(syslog.wait_for(alert["SystemAlertId"]))
        check_message(one, alert, device)


def test_syslog_over_udp_is_a_datagram_each(server, device, destinations):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DELIVERY_SECONDS)
        destinations(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        for _ in range(2):
            alert = attack(server, device)
            check_message(receiver.recv(65536).decode(), alert, device)


def test_an_alert_that_no_datagram_holds_is_noted_and_passed_over(server, device, destinations):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DELIVERY_SECONDS)
        destinations(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        large = attack(server, device, "x" * 9000 + f" {mark()}")
        small = attack(server, device)
        check_message(receiver.recv(65536).decode(), small, device)
    query = f"Operation | where Detail has '{large['SystemAlertId']}'"
    (row,) = wait_until(lambda: server.kusto(query).records, DETECTION_SECONDS, "a row of Operation")
    assert "datagram" in row["Detail"]


def test_a_syslog_server_that_is_down_gets_the_alerts_once_it_is_up(server, device, receivers, destinations):
    port = free_port()
    destination = destinations(f"tcp://127.0.0.1:{port}", form="cef")
    alerts = [attack(server, device) for _ in range(2)]
    wait_until(lambda: show(server, destination)["lastFailure"], DELIVERY_SECONDS, "a failure that is shown")
    syslog = receivers(Syslog, port)
    syslog.wait_for(alerts[-1]["SystemAlertId"])
    texts = [one for whole in syslog.received for one in frames(whole)]
    assert len(texts) == len(alerts)
    for text, alert in zip(texts, alerts):
        check_cef(text[read_syslog(text).end() :], alert, device)


# TLS


def test_alerts_go_over_tls_to_who_is_trusted_and_to_nobody_else(new_server, receivers):
    """The receivers show the server's own certificate; one server trusts its authority, as machines trust others."""
    trusting, other = new_server("--no-agent"), new_server("--no-agent")
    trusting.environment["SSL_CERT_FILE"] = str(trusting.ca)
    trusting.start()
    other.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusting.data / "server.pem", trusting.data / "server.key")
    webhook, syslog = receivers(tls=context), receivers(Syslog, tls=context)
    urls = (webhook.url, f"tls://localhost:{syslog.port}")
    strange = [create(other, url) for url in urls]
    unheard = attack(other, other.create_device("pump-08"))["SystemAlertId"]
    for destination in strange:
        wait_until(lambda: show(other, destination)["lastFailure"], DELIVERY_SECONDS, "a failure that is shown")
    for url in urls:
        create(trusting, url)
    device = trusting.create_device("pump-07")
    alert = attack(trusting, device)
    assert same_row(webhook.wait_for(alert["SystemAlertId"]).json, alert)
    (one,) = frames(syslog.wait_for(alert["SystemAlertId"]))
    check_message(one, alert, device)
    assert all(unheard not in request.body.decode() for request in webhook.requests)
    assert all(unheard.encode() not in whole for whole in syslog.received)


# A list of alerts


def alerts_of(server: Server, token: str | None = None, **parameters: str) -> list[str]:
    query = urllib.parse.urlencode(parameters)
    headers = {"Authorization": f"Bearer {token}"} if token else None
    answer = server.admin("GET", f"/api/v1/alerts?{query}", headers=headers)
    assert answer.status == 200, f"{answer.status} {answer.text}"
    assert answer.text == "" or answer.text.endswith("\n")
    return answer.text.splitlines()


def test_alerts_are_listed_a_line_for_each_in_three_forms(server, device):
    alerts = [attack(server, device), attack(server, device)]
    begin = alerts[0]["TimeGenerated"]
    rows = [json.loads(line) for line in alerts_of(server, **{"from": begin})]
    assert len(rows) == 2 and all(same_row(row, alert) for row, alert in zip(rows, alerts))
    assert alerts_of(server, **{"from": begin, "form": "row"}) == alerts_of(server, **{"from": begin})
    findings = [json.loads(line) for line in alerts_of(server, **{"from": begin, "form": "ocsf"})]
    events = alerts_of(server, **{"from": begin, "form": "cef"})
    assert len(findings) == len(events) == 2
    for finding, event, alert in zip(findings, events, alerts):
        check_finding(finding, alert, device)
        check_cef(event, alert, device)
    assert server.admin("GET", "/api/v1/alerts").headers["content-type"] == "application/x-ndjson"
    assert server.admin("GET", "/api/v1/alerts?form=cef").headers["content-type"].startswith("text/plain")


def test_a_list_of_alerts_has_those_of_its_span(server, device):
    alerts = [attack(server, device) for _ in range(3)]
    times = [alert["TimeGenerated"] for alert in alerts]
    ids = [alert["SystemAlertId"] for alert in alerts]

    def listed(**span: str) -> list[str]:
        return [json.loads(line)["SystemAlertId"] for line in alerts_of(server, **span)]

    assert listed(**{"from": times[0], "to": times[2]}) == ids
    assert listed(**{"from": times[1], "to": times[1]}) == ids[1:2]
    assert listed(**{"from": times[1]}) == ids[1:]
    assert listed(to=times[1])[-2:] == ids[:2]
    assert listed(**{"from": times[2], "to": times[0]}) == []
    earlier = (now() - timedelta(days=30)).strftime("%Y-%m-%d")
    assert listed(to=earlier) == []
    assert listed(**{"from": earlier})[-3:] == ids


@pytest.mark.parametrize("query", ["from=yesterday", "to=x", "form=xml"])
def test_a_span_or_form_that_is_none_is_refused(shared, query):
    answer = shared.admin("GET", f"/api/v1/alerts?{query}")
    assert answer.status == 400, f"{answer.status} {answer.text}"
    assert query.split("=")[0] in answer.json["error"]["message"]


# Who sees what


def subscription(server: Server) -> str:
    found = accepted(server.admin("GET", "/subscriptions?api-version=2022-12-01"), 200)["value"][0]
    return f"/subscriptions/{found['subscriptionId']}"


def limited_token(server: Server, role: str, scope: str) -> str:
    body = {"name": mark(), "role": role, "scope": scope}
    return accepted(server.admin("POST", "/api/v1/tokens", body), 201)["token"]


@pytest.fixture
def plant(server) -> tuple[str, Device]:
    """A second hub that is watched, and a device of it."""
    group = f"{subscription(server)}/resourceGroups/default"
    hub = f"{group}/providers/Microsoft.Devices/IotHubs/plant-b"
    accepted(server.admin("PUT", f"{hub}?api-version=2023-06-30", {"location": "local"}), 200, 201)
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/default"
    properties = {"displayName": "Plant B", "iotHubs": [hub], "workspace": workspace}
    solution = f"{group}/providers/Microsoft.Security/iotSecuritySolutions/plant-b?api-version=2019-08-01"
    accepted(server.admin("PUT", solution, {"location": "local", "properties": properties}), 200, 201)
    made = accepted(server.admin("PUT", "/api/v1/devices/valve-01?hub=plant-b"), 201)
    return hub, Device("valve-01", made["primaryKey"], "")


def attack_plant(server: Server, device: Device) -> dict:
    text = mark()
    token = server.sas("", device.key, resource=f"plant-b.localhost/devices/{device.id}")
    headers = {
        "Host": "plant-b.localhost", "Authorization": token, "iothub-interface-id": SECURITY_INTERFACE,
        "Content-Type": "application/json",
    }
    path = f"/devices/{device.id}/messages/events?api-version=2020-03-13"
    accepted(server.request("POST", path, json.dumps(message(reverse_shell(text))), headers), 204)
    return stored(server, text)


def test_who_may_not_read_a_hub_does_not_see_its_alerts(server, device, plant):
    hub, valve = plant
    ours, theirs = attack(server, device), attack_plant(server, valve)
    assert theirs["ResourceId"].lower() == hub.lower() != ours["ResourceId"].lower()
    reader = limited_token(server, "Security Reader", hub)
    for form in ("row", "ocsf", "cef"):
        everything = "\n".join(alerts_of(server, form=form))
        assert ours["SystemAlertId"] in everything and theirs["SystemAlertId"] in everything
        seen = alerts_of(server, reader, form=form)
        assert any(theirs["SystemAlertId"] in line for line in seen)
        assert all(ours["ResourceId"].lower() + '"' not in line.lower() for line in seen)
        assert all(ours["SystemAlertId"] not in line for line in seen)


def test_who_may_read_no_alerts_at_all_is_refused(server, device):
    attack(server, device)
    sender = limited_token(server, "IoT Hub Data Contributor", subscription(server))
    for token, status in ((sender, 403), ("tst_wrong", 401)):
        answer = server.admin("GET", "/api/v1/alerts", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == status, f"{answer.status} {answer.text}"
        assert answer.json["error"]["message"]
    assert server.request("GET", "/api/v1/alerts").status == 401


def test_destinations_are_told_of_the_alerts_of_all_hubs(server, device, plant, receivers, destinations):
    webhook = receivers()
    destinations(webhook.url)
    ours, theirs = attack(server, device), attack_plant(server, plant[1])
    webhook.wait_for(theirs["SystemAlertId"])
    sent = [request.json["SystemAlertId"] for request in webhook.requests]
    assert sent == [ours["SystemAlertId"], theirs["SystemAlertId"]]
