"""Our own interface, `/api/v1`: the inventory of devices and what happened to each, alerts as they come, saved queries,
and errors of one shape.
"""

import contextlib
import http.client
import json
import queue
import socket
import threading
import urllib.parse
import uuid
from datetime import datetime, timedelta

import pytest
from security_messages import failed_check, listening_ports, message, new_id, now, process_start, reverse_shell
from turnstone_server import SECURITY_INTERFACE, Answer, Device, Server, wait_until

DETECTION_SECONDS = 30
TOKEN = {"Authorization": "Bearer tst_wrong"}
WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces/default"


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent", "--raw-events")


def accepted(answer: Answer, *statuses: int):
    assert answer.status in statuses, f"{answer.status} {answer.text}"
    return answer.json if answer.body else None


def refusal(answer: Answer, status: int) -> str:
    """The text of a refusal in the shape of this interface."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert answer.headers.get("content-type", "").startswith("application/json"), f"{answer.headers} {answer.text}"
    body = answer.json
    assert list(body) == ["error"] and set(body["error"]) >= {"code", "message"}, body
    assert body["error"]["code"] and body["error"]["message"], body
    return body["error"]["message"]


def group_of(server: Server) -> str:
    found = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]
    return f"/subscriptions/{found['subscriptionId']}/resourceGroups/default"


def hub_of(server: Server, name: str = "hub") -> str:
    return f"{group_of(server)}/providers/Microsoft.Devices/IotHubs/{name}"


def limited_token(server: Server, role: str, scope: str) -> dict[str, str]:
    """A token of the administrator's that may do only a part, as a header."""
    body = {"name": f"token-{new_id()}", "role": role, "scope": scope}
    return {"Authorization": f"Bearer {accepted(server.admin('POST', '/api/v1/tokens', body), 201)['token']}"}


def moment(text: str) -> datetime:
    """A time of an answer; its seventh digit of a second is left out."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction or '0')[:6].ljust(6, '0')}+00:00")


def unique(prefix: str = "device") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


# The inventory


def listed(server: Server, **parameters) -> list[dict]:
    answer = accepted(server.admin("GET", f"/api/v1/devices?{urllib.parse.urlencode(parameters)}"), 200)
    assert "nextLink" not in answer
    return answer["value"]


def ids(devices: list[dict]) -> list[str]:
    return [device["deviceId"] for device in devices]


def make_devices(server: Server, *names: str):
    for name in names:
        accepted(server.admin("PUT", f"/api/v1/devices/{urllib.parse.quote(name, safe='')}"), 201)


def test_devices_are_found_by_a_part_of_their_id_in_any_case(server):
    mark = unique("Mark")
    make_devices(server, f"a-{mark}", f"B-{mark.upper()}-end", f"c{mark.lower()}", unique())
    found = {f"a-{mark}", f"B-{mark.upper()}-end", f"c{mark.lower()}"}
    for search in (mark, mark.lower(), mark.upper()):
        assert set(ids(listed(server, search=search))) == found
    assert ids(listed(server, search=f"{mark.upper()}-e")) == [f"B-{mark.upper()}-end"]
    assert listed(server, search=f"{mark}-nobody") == []


def test_a_search_is_a_text_and_no_pattern(server):
    mark = unique()
    odd = f"{mark}%_*?(x)"
    make_devices(server, odd, f"{mark}-plain")
    assert ids(listed(server, search=f"{mark}%")) == [odd]
    assert ids(listed(server, search="%_*?(")) == [odd]
    assert ids(listed(server, search=f"{mark}.")) == []


def test_devices_are_told_by_whether_they_may_send(server):
    mark = unique()
    make_devices(server, f"{mark}-1", f"{mark}-2", f"{mark}-3")
    accepted(server.admin("PATCH", f"/api/v1/devices/{mark}-2", {"isEnabled": False}), 204)
    assert ids(listed(server, search=mark, isEnabled="true")) == [f"{mark}-1", f"{mark}-3"]
    assert ids(listed(server, search=mark, isEnabled="false")) == [f"{mark}-2"]
    assert {one["deviceId"]: one["isEnabled"] for one in listed(server, search=mark)} == {
        f"{mark}-1": True, f"{mark}-2": False, f"{mark}-3": True,
    }


def pages(server: Server, path: str) -> list[list[str]]:
    """The ids of each page, following the links to the last."""
    found = []
    while path:
        answer = accepted(server.admin("GET", path), 200)
        found.append(ids(answer["value"]))
        path = answer.get("nextLink")
        assert len(found) < 100, "pages without end"
    return found


@pytest.mark.parametrize("top", [1, 2, 6, 7, 8, 1000])
def test_pages_hold_every_device_once(server, top):
    mark = unique("page")
    # Letters of both cases, and signs that mean something in addresses.
    made = [f"{mark}{end}" for end in ("A", "a", "B", "%41", "=:@$'", "(1)?", "-z")]
    make_devices(server, *made)
    accepted(server.admin("PATCH", f"/api/v1/devices/{mark}A", {"isEnabled": False}), 204)
    found = pages(server, f"/api/v1/devices?top={top}&search={mark.upper()}")
    assert [len(page) for page in found[:-1]] == [top] * (len(found) - 1) and 1 <= len(found[-1]) <= top
    assert [one for page in found for one in page] == sorted(made)
    # The links keep what was asked for.
    found = pages(server, f"/api/v1/devices?top={top}&search={mark}&isEnabled=true")
    assert [one for page in found for one in page] == sorted(set(made) - {f"{mark}A"})


def test_pages_are_all_devices_where_nothing_is_said(server):
    make_devices(server, *(unique("all") for _ in range(3)))
    everything = [one for page in pages(server, "/api/v1/devices?top=2") for one in page]
    assert everything == ids(accepted(server.admin("GET", "/api/v1/devices"), 200)["value"])
    assert len(set(everything)) == len(everything) >= 3


def test_keys_are_not_in_the_inventory(server):
    device = server.create_device(unique())
    (shown,) = listed(server, search=device.id)
    assert device.key not in json.dumps(shown) and not [name for name in shown if "key" in name.lower()]
    assert accepted(server.admin("GET", f"/api/v1/devices/{device.id}"), 200)["primaryKey"] == device.key


def test_a_device_that_never_sent_has_no_activity(server):
    device = server.create_device(unique())
    (shown,) = listed(server, search=device.id)
    assert abs(moment(shown["createdTime"]) - now()) < timedelta(minutes=1)
    assert (shown["alerts"], shown["activeRecommendations"]) == (0, 0)
    assert shown["firstSeenTime"] is None and shown["lastActivityTime"] is None


def shown_when(server: Server, device: Device, condition) -> dict:
    def found():
        (shown,) = listed(server, search=device.id)
        return shown if condition(shown) else None

    return wait_until(found, DETECTION_SECONDS, f"what is wanted of {device.id}")


def test_the_inventory_counts_alerts_and_active_recommendations(server):
    device, other = server.create_device(unique()), server.create_device(unique())
    for number in range(3):
        server.accept(device, message(reverse_shell(f"{number}")))
    server.accept(device, message(process_start("history -c")))
    server.accept(device, message(listening_ports("0.0.0.0:22"), failed_check()))
    server.accept(other, message(reverse_shell("other")))
    query = f"SecurityRecommendation | where DeviceId == '{device.id}' and RecommendationState == 'Active'"
    wait_until(lambda: server.kusto(f"{query} | count").value >= 2, DETECTION_SECONDS, "two recommendations")
    active = server.kusto(f"{query} | summarize dcount(RecommendationName)").value
    shown = shown_when(server, device, lambda one: one["alerts"] == 4 and one["activeRecommendations"] == active)
    assert active >= 2 and type(shown["alerts"]) is int
    shown_when(server, other, lambda one: one["alerts"] == 1 and one["activeRecommendations"] == 0)
    # What is mended counts no more.
    server.accept(device, message(listening_ports("127.0.0.1:22")))
    shown_when(server, device, lambda one: one["activeRecommendations"] < active)


def test_the_last_activity_is_that_of_the_last_message(server):
    device = server.create_device(unique())
    begun = now()
    server.accept(device, message(process_start("true")))
    first = shown_when(server, device, lambda one: one["lastActivityTime"])
    assert first["firstSeenTime"] == first["lastActivityTime"]
    assert begun <= moment(first["lastActivityTime"]) <= now()
    server.accept(device, message(process_start("false")))
    later = shown_when(server, device, lambda one: one["lastActivityTime"] != first["lastActivityTime"])
    assert later["firstSeenTime"] == first["firstSeenTime"]
    assert moment(later["lastActivityTime"]) > moment(first["lastActivityTime"])


def test_devices_of_one_name_in_two_hubs_are_not_confused(server):
    valve, hub = plant(server)
    ours = server.create_device(valve.id)
    for number in range(2):
        server.accept(ours, message(reverse_shell(f"ours {number}")))
    send_to_plant(server, valve, hub, reverse_shell("theirs"))
    shown_when(server, ours, lambda one: one["alerts"] == 2)

    def theirs():
        (shown,) = listed(server, hub=hub, search=valve.id)
        return shown["alerts"] == 1

    wait_until(theirs, DETECTION_SECONDS, "one alert of the other hub")
    marks = {"ours": f"/api/v1/devices/{valve.id}/timeline", "theirs": f"/api/v1/devices/{valve.id}/timeline?hub={hub}"}
    for mark, path in marks.items():
        entries = accepted(server.admin("GET", path), 200)["value"]
        lines = [entry["details"].get("CommandLine", "") for entry in entries]
        assert lines and all(f"# {mark}" in line for line in lines), (mark, lines)


def plant(server: Server) -> tuple[Device, str]:
    """A second hub that is watched, with a device."""
    name, group = unique("plant"), group_of(server)
    hub = hub_of(server, name)
    accepted(server.admin("PUT", f"{hub}?api-version=2023-06-30", {"location": "local"}), 200, 201)
    properties = {"displayName": name, "iotHubs": [hub], "workspace": f"{group}{WORKSPACE}"}
    solution = f"{group}/providers/Microsoft.Security/iotSecuritySolutions/{name}?api-version=2019-08-01"
    accepted(server.admin("PUT", solution, {"location": "local", "properties": properties}), 200, 201)
    device = unique("valve")
    made = accepted(server.admin("PUT", f"/api/v1/devices/{device}?hub={name}"), 201)
    return Device(device, made["primaryKey"], ""), name


def send_to_plant(server: Server, device: Device, hub: str, sent: dict):
    headers = {
        "Host": f"{hub}.localhost", "iothub-interface-id": SECURITY_INTERFACE, "Content-Type": "application/json",
        "Authorization": server.sas("", device.key, resource=f"{hub}.localhost/devices/{device.id}"),
    }
    path = f"/devices/{device.id}/messages/events?api-version=2020-03-13"
    accepted(server.request("POST", path, json.dumps(message(sent)), headers), 204)


def test_who_may_not_see_a_hub_does_not_see_its_devices(server):
    valve, hub = plant(server)
    device = server.create_device(unique())
    reader = limited_token(server, "Security Reader", hub_of(server, hub))
    assert ids(accepted(server.admin("GET", f"/api/v1/devices?hub={hub}", headers=reader), 200)["value"]) == [valve.id]
    accepted(server.admin("GET", f"/api/v1/devices/{valve.id}/timeline?hub={hub}", headers=reader), 200)
    for path in ("/api/v1/devices", f"/api/v1/devices/{device.id}", f"/api/v1/devices/{device.id}/timeline"):
        refusal(server.admin("GET", path, headers=reader), 403)
    # Nor does who may see a device see its keys, or change it.
    shown = accepted(server.admin("GET", f"/api/v1/devices/{valve.id}?hub={hub}", headers=reader), 200)
    assert "primaryKey" not in shown and "secondaryKey" not in shown
    refusal(server.admin("DELETE", f"/api/v1/devices/{valve.id}?hub={hub}", headers=reader), 403)


# What happened to a device


def timeline(server: Server, device: Device, **span) -> list[dict]:
    parameters = urllib.parse.urlencode({name.rstrip("_"): value for name, value in span.items()})
    return accepted(server.admin("GET", f"/api/v1/devices/{device.id}/timeline?{parameters}"), 200)["value"]


def written(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_the_timeline_has_events_alerts_and_changes_of_recommendations(server):
    device, other = server.create_device(unique()), server.create_device(unique())
    shell = reverse_shell("one")
    server.accept(device, message(shell))
    server.accept(device, message(failed_check()))
    server.accept(other, message(reverse_shell("another device")))

    def complete():
        entries = timeline(server, device)
        kinds = [entry["kind"] for entry in entries]
        return entries if {"event", "alert", "recommendation"} <= set(kinds) else None

    entries = wait_until(complete, DETECTION_SECONDS, "entries of all kinds")
    alert = next(entry for entry in entries if entry["kind"] == "alert")
    row = server.kusto(f"SecurityAlert | where CompromisedEntity == '{device.id}'").records[0]
    assert (alert["name"], alert["title"], alert["severity"], alert["state"], alert["id"]) == (
        "IoT_ReverseShell", row["DisplayName"], "High", "New", row["SystemAlertId"],
    )
    assert alert["details"]["CommandLine"].endswith("# one")
    events = [entry for entry in entries if entry["kind"] == "event"]
    assert sorted(entry["name"] for entry in events) == ["OSBaseline", "ProcessCreate"]
    started = next(entry for entry in events if entry["name"] == "ProcessCreate")
    assert started["id"] == shell["Id"] and started["details"]["ProcessId"] == 900
    recommendation = next(entry for entry in entries if entry["kind"] == "recommendation")
    assert recommendation["state"] == "Active" and recommendation["title"] and recommendation["severity"]
    assert "another device" not in json.dumps(entries)


def test_the_timeline_is_the_newest_first_and_no_longer_than_asked_for(server):
    device = server.create_device(unique())
    begin = now() - timedelta(minutes=10)
    starts = [process_start(f"step {number}", when=begin + timedelta(minutes=number)) for number in range(6)]
    # They come in another order than they happened.
    for number in (3, 0, 5, 1, 4, 2):
        server.accept(device, message(starts[number]))
    newest_first = [start["Id"] for start in reversed(starts)]
    assert [entry["id"] for entry in timeline(server, device)] == newest_first
    for top in (1, 2, 6, 7):
        assert [entry["id"] for entry in timeline(server, device, top=top)] == newest_first[:top]
    times = [moment(entry["time"]) for entry in timeline(server, device)]
    assert times == sorted(times, reverse=True)


def test_a_timeline_is_of_its_span(server):
    """The times of the span are those that are shown."""
    device = server.create_device(unique())
    begin = now() - timedelta(hours=6)
    starts = [process_start(f"step {number}", when=begin + timedelta(hours=number)) for number in range(6)]
    server.accept(device, message(*starts))
    happened = [start["Id"] for start in reversed(starts)]

    def seen(**span) -> list[str]:
        return [entry["id"] for entry in timeline(server, device, **span)]

    assert seen() == happened
    assert seen(from_=written(begin - timedelta(hours=1))) == happened
    half = written(begin + timedelta(hours=2, minutes=30))
    assert seen(from_=half) == happened[:3]
    assert seen(to=half) == happened[3:]
    assert seen(from_=written(begin + timedelta(minutes=30)), to=half) == happened[3:5]


def test_a_timeline_of_a_span_in_which_nothing_came_is_empty(server):
    device = server.create_device(unique())
    server.accept(device, message(process_start("true")))
    assert len(timeline(server, device)) == 1
    assert timeline(server, device, to=written(now() - timedelta(days=20))) == []
    begin = now() + timedelta(hours=1)
    assert timeline(server, device, from_=written(begin), to=written(begin + timedelta(days=1))) == []


def test_a_timeline_without_raw_events_still_has_the_alerts(new_server):
    server = new_server("--no-agent").start()
    device = server.create_device("pump-07")
    server.accept(device, message(reverse_shell()))
    entries = wait_until(lambda: timeline(server, device), DETECTION_SECONDS, "an alert")
    assert [entry["kind"] for entry in entries] == ["alert"]
    shown = shown_when(server, device, lambda one: one["alerts"] == 1)
    assert shown["lastActivityTime"]


@pytest.mark.parametrize("query", ["from=yesterday", "to=32", "top=many", "top=-1"])
def test_a_span_that_is_none_is_refused(server, query):
    device = server.create_device(unique())
    text = refusal(server.admin("GET", f"/api/v1/devices/{device.id}/timeline?{query}"), 400)
    assert query.split("=")[0] in text


# Alerts as they come


class Live:
    """An open connection on which alerts come as server-sent events."""

    def __init__(self, server: Server, headers: dict[str, str] | None = None):
        self.connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=DETECTION_SECONDS)
        headers = headers or {"Authorization": f"Bearer {server.token}"}
        self.connection.request("GET", "/api/v1/alerts/live", headers={"Accept": "text/event-stream", **headers})
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.kind = self.response.getheader("Content-Type")
        self.events: queue.Queue = queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        found: dict[str, str] = {}
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if not line and found:
                    self.events.put(found)
                    found = {}
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(":")
                    found[name] = value.removeprefix(" ")
        except (OSError, http.client.HTTPException):
            pass
        self.events.put(None)

    def next(self) -> dict[str, str] | None:
        """The next event; nothing at the end."""
        return self.events.get(timeout=DETECTION_SECONDS)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.response.close()
        self.connection.close()


@pytest.fixture
def live():
    made = []

    def make(*arguments) -> Live:
        made.append(Live(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_alert_comes_on_an_open_connection(server, live):
    device, one, other = server.create_device(unique()), live(server), live(server)
    for connection in (one, other):
        assert (connection.status, connection.kind) == (200, "text/event-stream")
    for number in range(3):
        server.accept(device, message(reverse_shell(f"live {number}")))
        for connection in (one, other):
            event = connection.next()
            alert = json.loads(event["data"])
            assert event["event"] == "alert" and event["id"] == alert["SystemAlertId"]
            assert f"# live {number}" in alert["ExtendedProperties"]
            # Who is told finds it.
            row = server.kusto(f"SecurityAlert | where SystemAlertId == '{event['id']}'").records
            assert len(row) == 1 and row[0]["TimeGenerated"] == alert["TimeGenerated"]
            assert row[0]["ResourceId"] == alert["ResourceId"] and row[0]["AlertSeverity"] == alert["AlertSeverity"]


def test_only_alerts_of_hubs_that_the_caller_may_read_come(server, live):
    valve, hub = plant(server)
    device = server.create_device(unique())
    theirs = live(server, limited_token(server, "Security Reader", hub_of(server, hub)))
    everything = live(server)
    server.accept(device, message(reverse_shell("of the first hub")))
    assert "of the first hub" in everything.next()["data"]
    send_to_plant(server, valve, hub, reverse_shell("of the second hub"))
    assert "of the second hub" in everything.next()["data"]
    assert "of the second hub" in theirs.next()["data"]
    assert theirs.events.empty()


def test_who_may_read_no_alerts_gets_no_connection(server):
    path = "/api/v1/alerts/live"
    refusal(server.admin("GET", path, headers=limited_token(server, "IoT Hub Data Contributor", "/")), 403)
    refusal(server.admin("GET", path, headers=TOKEN), 401)
    refusal(server.request("GET", path), 401)


def test_an_open_connection_does_not_hold_up_the_stop(new_server, live):
    server = new_server("--no-agent").start()
    connections = [live(server) for _ in range(3)]
    assert server.stop() == 0
    assert [connection.next() for connection in connections] == [None] * 3


# Saved queries


SAVED = "/api/v1/savedQueries"
SEARCHES = f"{WORKSPACE}/savedSearches"
VERSION = "api-version=2020-08-01"


def save(server: Server, name: str, query: str = "SecurityAlert | count", **more) -> dict:
    return accepted(server.admin("POST", SAVED, {"displayName": name, "query": query, **more}), 201)


def test_a_saved_query_is_kept_changed_and_removed(server):
    name = unique("query")
    made = save(server, name, category="Mine")
    assert made == {"id": made["id"], "displayName": name, "query": "SecurityAlert | count", "category": "Mine"}
    path = f"{SAVED}/{made['id']}"
    assert accepted(server.admin("GET", path), 200) == made
    assert made in accepted(server.admin("GET", SAVED), 200)["value"]
    change = {"displayName": name + "!", "query": "print 'größer'", "category": "Ours"}
    assert accepted(server.admin("PUT", path, change), 200) == {"id": made["id"], **change}
    assert accepted(server.admin("GET", path), 200) == {"id": made["id"], **change}
    accepted(server.admin("DELETE", path), 204)
    for method, body in (("GET", None), ("DELETE", None), ("PUT", change)):
        assert made["id"] in refusal(server.admin(method, path, body), 404)
    assert made["id"] not in [one["id"] for one in accepted(server.admin("GET", SAVED), 200)["value"]]


def test_saved_queries_are_the_saved_searches_of_management(server):
    group = group_of(server)
    made = save(server, unique("query"), "print 1", category="Mine")
    search = accepted(server.admin("GET", f"{group}{SEARCHES}/{made['id']}?{VERSION}"), 200)
    properties = search["properties"]
    assert (properties["displayName"], properties["query"], properties["category"]) == (
        made["displayName"], "print 1", "Mine",
    )
    listed = accepted(server.admin("GET", f"{group}{SEARCHES}?{VERSION}"), 200)["value"]
    assert made["id"] in [one["name"] for one in listed]
    # And the other way round.
    name = unique("search")
    body = {"properties": {"displayName": name, "query": "print 2", "category": "Theirs"}}
    accepted(server.admin("PUT", f"{group}{SEARCHES}/{name}?{VERSION}", body), 200, 201)
    wanted = {"id": name, "displayName": name, "query": "print 2", "category": "Theirs"}
    assert accepted(server.admin("GET", f"{SAVED}/{name}"), 200) == wanted
    assert wanted in accepted(server.admin("GET", SAVED), 200)["value"]
    accepted(server.admin("DELETE", f"{SAVED}/{name}"), 204)
    assert server.admin("GET", f"{group}{SEARCHES}/{name}?{VERSION}").status == 404


def make_function(server: Server) -> str:
    """A saved search that queries call by its name."""
    name = unique("F").replace("-", "")
    properties = {"displayName": name, "query": "print V = 7", "category": "Functions", "functionAlias": name}
    path = f"{group_of(server)}{SEARCHES}/{name}?{VERSION}"
    accepted(server.admin("PUT", path, {"properties": properties}), 200, 201)
    assert server.kusto(f"{name}").value == 7
    return name


def test_a_removed_query_that_is_a_function_can_be_called_no_more(server):
    name = make_function(server)
    accepted(server.admin("DELETE", f"{SAVED}/{name}"), 204)
    answer = server.admin("POST", "/v1/rest/query", {"db": "default", "csl": name})
    assert answer.status == 400, f"{answer.status} {answer.text}"


def test_a_changed_query_that_is_a_function_is_called_as_it_is_now(server):
    name = make_function(server)
    accepted(server.admin("PUT", f"{SAVED}/{name}", {"displayName": name, "query": "print V = 8"}), 200)
    search = accepted(server.admin("GET", f"{group_of(server)}{SEARCHES}/{name}?{VERSION}"), 200)
    assert search["properties"]["functionAlias"] == name
    assert server.kusto(f"{name}").value == 8


def test_each_workspace_has_saved_queries_of_its_own(server):
    name = unique("ws")
    path = f"{group_of(server)}{WORKSPACE.rsplit('/', 1)[0]}/{name}?api-version=2023-09-01"
    guid = accepted(server.admin("PUT", path, {"location": "local"}), 200, 201)["properties"]["customerId"]
    body = {"displayName": "there", "query": "print 1"}
    made = accepted(server.admin("POST", f"{SAVED}?workspace={name}", body), 201)
    for workspace in (name, guid):
        assert accepted(server.admin("GET", f"{SAVED}?workspace={workspace}"), 200)["value"] == [made]
    assert made["id"] not in [one["id"] for one in accepted(server.admin("GET", SAVED), 200)["value"]]
    refusal(server.admin("GET", f"{SAVED}/{made['id']}"), 404)
    refusal(server.admin("GET", f"{SAVED}?workspace=nothing"), 404)


def test_who_reads_sees_saved_queries_and_changes_none(server):
    made = save(server, unique("query"))
    reader = limited_token(server, "Log Analytics Reader", "/")
    assert made in accepted(server.admin("GET", SAVED, headers=reader), 200)["value"]
    body = {"displayName": "x", "query": "print 1"}
    for method, path in (("POST", SAVED), ("PUT", f"{SAVED}/{made['id']}"), ("DELETE", f"{SAVED}/{made['id']}")):
        refusal(server.admin(method, path, None if method == "DELETE" else body, reader), 403)
    assert accepted(server.admin("GET", f"{SAVED}/{made['id']}"), 200) == made


def test_saved_queries_outlive_a_kill(new_server):
    server = new_server("--no-agent").start()
    made = save(server, "kept")
    server.kill()
    server.start()
    assert accepted(server.admin("GET", SAVED), 200)["value"] == [made]


# Errors


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'"text"', {}, {"displayName": "x"}, {"displayName": 1, "query": "print 1"},
        {"displayName": "x", "query": "print 1", "extra": 1}, {"displayName": "", "query": "print 1"},
        {"displayName": "x", "query": " "}, {"displayName": "x" * 261, "query": "print 1"},
        {"displayName": "x", "query": "x" * 70_000}, b"[" * 100_000,
    ],
    ids=lambda body: repr(body)[:40],
)
def test_a_wrong_body_is_refused_in_the_shape_of_all_errors(server, body):
    refusal(server.admin("POST", SAVED, body, {"Content-Type": "application/json"}), 400)


def test_a_body_that_is_too_large_is_refused(server):
    body = {"displayName": "x", "query": "x" * (2 << 20)}
    refusal(server.admin("POST", SAVED, body), 413)


@pytest.mark.parametrize(
    "path, named",
    [
        ("/api/v1/devices?top=many", "top"),
        ("/api/v1/devices?top=-1", "top"),
        ("/api/v1/devices?top=1.5", "top"),
        ("/api/v1/devices?top=99999999999999999999999", "top"),
        ("/api/v1/devices?isEnabled=maybe", "isEnabled"),
        ("/api/v1/devices?search=a&search=b", "search"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(server, path, named):
    assert named in refusal(server.admin("GET", path), 400)


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/api/v1/nothing"),
        ("POST", "/api/v1/nothing/at/all"),
        ("GET", "/api/v1/devices/nobody"),
        ("GET", "/api/v1/devices/nobody/timeline"),
        ("DELETE", "/api/v1/devices/nobody"),
        ("GET", "/api/v1/devices/pump-07/nothing"),
        ("GET", "/api/v1/devices?hub=nothing"),
        ("GET", "/api/v1/savedQueries/nothing"),
        ("GET", "/api/v1/alertDestinations/nothing"),
        ("GET", "/api/v1/"),
        ("GET", "/api/v1"),
    ],
)
def test_what_is_not_there_is_not_found_in_the_shape_of_all_errors(server, method, path):
    refusal(server.admin(method, path), 404)


@pytest.mark.parametrize(
    "method, path",
    [
        ("PATCH", "/api/v1/savedQueries"),
        ("DELETE", "/api/v1/alerts"),
        ("POST", "/api/v1/devices/x"),
        ("PUT", "/api/v1/devices"),
    ],
)
def test_a_method_that_is_not_there_is_refused_in_the_shape_of_all_errors(server, method, path):
    answer = server.admin(method, path)
    refusal(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/api/v1/devices/%FF", "/api/v1/savedQueries/%C3%28", "/api/v1/devices/%FF/timeline"])
def test_a_path_that_is_no_text_is_refused_in_the_shape_of_all_errors(server, path):
    refusal(server.admin("GET", path), 400)


def test_a_stranger_learns_nothing_of_what_is_there(server):
    device = server.create_device(unique())
    texts = set()
    for path in (f"/api/v1/devices/{device.id}", "/api/v1/devices/nobody", "/api/v1/nothing", "/api/v1/savedQueries"):
        for headers in ({}, TOKEN):
            answer = server.request("GET", path, headers=headers)
            texts.add(refusal(answer, 401))
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert len(texts) == 1


def test_bad_ids_and_twice_the_same_are_refused(server):
    refusal(server.admin("PUT", "/api/v1/devices/a%20b"), 400)
    refusal(server.admin("PUT", f"/api/v1/devices/{'x' * 200}"), 400)
    device = server.create_device(unique())
    refusal(server.admin("PUT", f"/api/v1/devices/{device.id}"), 409)
    refusal(server.admin("PATCH", f"/api/v1/devices/{device.id}", {"isEnabled": "no"}), 400)
    refusal(server.admin("PATCH", f"/api/v1/devices/{device.id}", {}), 400)
