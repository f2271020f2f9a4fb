"""What the portal asks of our own interface: hubs, dismissed alerts, rules, workbooks, the authority for devices; and of
queries a span of time, and where a text is wrong.
"""

import io
import json
import uuid

import pyarrow.parquet
import pytest
from security_messages import event, message, snapshot
from turnstone_server import Server, wait_until

DETECTION_SECONDS = 30


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


def ok(answer, status: int = 200):
    assert answer.status == status, f"{answer.status} {answer.text}"
    return answer.json if answer.body else None


def solution_of(server: Server) -> str:
    subscription = ok(server.admin("GET", "/api/v1/settings"))["subscriptionId"]
    return f"/subscriptions/{subscription}/resourceGroups/default/providers/Microsoft.Security/iotSecuritySolutions/default"


def limited(server: Server, role: str) -> dict[str, str]:
    made = ok(server.admin("POST", "/api/v1/tokens", {"name": str(uuid.uuid4()), "role": role, "scope": "/"}), 201)
    return {"Authorization": f"Bearer {made['token']}"}


# Hubs and devices


def test_hubs_tell_how_many_devices_they_have(server):
    before = ok(server.admin("GET", "/api/v1/hubs"))["value"]
    ok(server.admin("PUT", f"/api/v1/devices/{uuid.uuid4()}"), 201)
    after = ok(server.admin("GET", "/api/v1/hubs"))["value"]
    assert [hub["name"] for hub in after] == ["hub"]
    assert after[0]["deviceCount"] == before[0]["deviceCount"] + 1


def test_a_device_is_known_by_its_newest_system_information_though_raw_events_are_not_kept(server):
    device = server.create_device("informed-01")
    for version in ("11", "12"):
        server.accept(device, message(snapshot("SystemInformation", [{"OSName": "Debian", "OSVersion": version}])))
    server.accept(device, message(event("Login", [{
        "ProcessId": 1, "UserName": "a", "Operation": "login", "Executable": "/bin/login", "Result": "Success",
    }])))
    listed = lambda: ok(server.admin("GET", "/api/v1/devices?search=informed-01"))["value"][0]
    wait_until(lambda: listed()["systemInformation"], DETECTION_SECONDS, "the system information")
    found = listed()
    assert found["systemInformation"]["OSVersion"] == "12"
    assert found["agentVersion"] == "0.1.0"
    assert found["systemInformationTime"] <= found["lastActivityTime"]


def test_what_a_device_says_of_itself_is_for_who_may_see_events(server):
    server.accept(server.create_device("informed-02"), message(snapshot("SystemInformation", [{"OSName": "Debian"}])))
    seen = lambda headers: ok(server.request("GET", "/api/v1/devices?search=informed-02", headers=headers))["value"][0]
    reader = limited(server, "Security Reader")
    wait_until(lambda: seen(reader)["systemInformation"], DETECTION_SECONDS, "the system information")
    assert "systemInformation" not in seen(limited(server, "IoT Hub Data Contributor"))


# Alerts that are dismissed


def test_dismissed_alerts_are_listed_by_type_and_day(server):
    solution = solution_of(server)
    hub = solution.replace("Microsoft.Security/iotSecuritySolutions/default", "Microsoft.Devices/IotHubs/hub")
    row = {
        "TimeGenerated": "2026-03-02T10:00:00Z", "AlertType": "IoT_Listed", "DisplayName": "x", "AlertSeverity": "Low",
        "SystemAlertId": "listed-1", "ResourceId": hub, "ExtendedProperties": json.dumps({"DeviceId": "d"}),
    }
    ok(server.ingest("SecurityAlert", json.dumps(row)))
    path = f"{solution}/analyticsModels/default/aggregatedAlerts/"
    version = "?api-version=2019-08-01"
    shown = ok(server.admin("GET", f"{path}IoT_Listed%2F2026-03-02{version}"))
    assert shown["properties"]["count"] == 1
    assert server.admin("GET", f"{path}IoT_Listed%2F2026-03-03{version}").status == 404
    assert server.admin("GET", f"{path}IoT_Listed{version}").status == 404
    assert server.admin("POST", f"{path}IoT_Listed%2F2026-03-03/dismiss{version}").status == 404
    ok(server.admin("POST", f"{path}iot_listed%2F2026-03-02/dismiss{version}"))
    listed = ok(server.admin("GET", f"/api/v1/dismissedAlerts?solution={solution}"))["value"]
    assert {"name": "IoT_Listed/2026-03-02"} in listed


@pytest.mark.parametrize("query", ["", "?solution=default", "?solution=/subscriptions/x"])
def test_dismissed_alerts_of_no_solution_are_refused(server, query):
    assert server.admin("GET", f"/api/v1/dismissedAlerts{query}").status == 400


# Rules


def test_every_rule_is_listed_with_what_it_looks_for(server):
    rules = ok(server.admin("GET", "/api/v1/rules"))["value"]
    kinds = {rule["id"]: rule["kind"] for rule in rules}
    assert kinds["IoT_OpenPorts"] == "Recommendation"
    assert sum(kind == "Alert" for kind in kinds.values()) >= 8
    assert all(rule["isEnabled"] and rule["tests"] and rule["remediationSteps"] for rule in rules)
    one = ok(server.admin("GET", "/api/v1/rules/IoT_OpenPorts"))
    assert "SecurityIoTRawEvent" in one["query"] and one["text"].startswith("name: IoT_OpenPorts")


def test_a_rule_runs_its_own_sample_events(server):
    rules = ok(server.admin("GET", "/api/v1/rules"))["value"]
    for rule in rules:
        outcomes = ok(server.admin("POST", f"/api/v1/rules/{rule['id']}/test"))["value"]
        assert [outcome["name"] for outcome in outcomes] == rule["tests"]
        assert all(outcome["passed"] and outcome["problem"] is None for outcome in outcomes), outcomes


def test_rules_are_switched_for_a_solution_and_stay_so(new_server):
    server = new_server("--no-agent")
    server.start()
    solution = solution_of(server)
    rules = ok(server.admin("GET", "/api/v1/rules"))["value"]
    shell = next(rule["id"] for rule in rules if rule.get("alertType") == "IoT_ReverseShell")
    for rule in (shell, "IoT_OpenPorts"):
        ok(server.admin("PATCH", f"/api/v1/rules/{rule}?solution={solution}", {"isEnabled": False}), 204)
    off = lambda: {rule["id"] for rule in ok(server.admin("GET", f"/api/v1/rules?solution={solution}"))["value"] if not rule["isEnabled"]}
    assert off() == {shell, "IoT_OpenPorts"}
    configured = ok(server.admin("GET", f"{solution}?api-version=2019-08-01"))["properties"]["recommendationsConfiguration"]
    assert [one["recommendationType"] for one in configured if one["status"] == "Disabled"] == ["IoT_OpenPorts"]
    server.kill()
    server.start()
    assert off() == {shell, "IoT_OpenPorts"}
    for rule in (shell, "IoT_OpenPorts"):
        ok(server.admin("PATCH", f"/api/v1/rules/{rule}?solution={solution}", {"isEnabled": True}), 204)
    assert off() == set()


def test_who_only_reads_switches_no_rule(server):
    solution, reader = solution_of(server), limited(server, "Security Reader")
    assert server.request("GET", f"/api/v1/rules?solution={solution}", headers=reader).status == 200
    body = json.dumps({"isEnabled": False})
    answer = server.request("PATCH", f"/api/v1/rules/IoT_OpenPorts?solution={solution}", body, reader)
    assert answer.status == 403, answer.text
    stranger = limited(server, "Monitoring Metrics Publisher")
    assert server.request("GET", "/api/v1/rules", headers=stranger).status == 403


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/api/v1/rules/none", 404),
    ("POST", "/api/v1/rules/none/test", 404),
    ("PATCH", "/api/v1/rules/IoT_OpenPorts", 400),
    ("GET", "/api/v1/rules?solution=x", 400),
])
def test_what_is_no_rule_is_refused(server, method, path, status):
    assert server.admin(method, path, {"isEnabled": False} if method == "PATCH" else None).status == status


# Workbooks


WORKBOOK = {
    "title": "Mine",
    "description": "d",
    "parameters": [{"name": "span", "label": "Time", "kind": "span", "value": "7d"}],
    "items": [{"kind": "text", "text": "# T"}, {"kind": "query", "title": "q", "query": "print span", "view": "grid"}],
}


def test_a_workbook_is_kept_changed_and_removed(server):
    made = ok(server.admin("POST", "/api/v1/workbooks", WORKBOOK), 201)
    path = f"/api/v1/workbooks/{made['id']}"
    assert ok(server.admin("GET", path)) == WORKBOOK | {"id": made["id"], "isBuiltIn": False}
    ok(server.admin("PUT", path, WORKBOOK | {"title": "Ours"}))
    listed = ok(server.admin("GET", "/api/v1/workbooks"))["value"]
    assert [one["title"] for one in listed] == ["Fleet posture", "One device", "Ours"]
    ok(server.admin("DELETE", path), 204)
    assert server.admin("GET", path).status == 404
    assert server.admin("DELETE", path).status == 404


def test_the_queries_of_the_workbooks_of_the_program_run(server):
    for workbook in ok(server.admin("GET", "/api/v1/workbooks"))["value"]:
        if not workbook["isBuiltIn"]:
            continue
        lets = "".join(
            f"let {one['name']} = {one['value'] if one['kind'] == 'span' else json.dumps(one['value'])};\n"
            for one in workbook["parameters"]
        )
        queries = [item["query"] for item in workbook["items"] if item["kind"] == "query"]
        queries += [one["query"] for one in workbook["parameters"] if "query" in one]
        for query in queries:
            server.kusto(lets + query)


def test_workbooks_of_the_program_are_changed_by_nobody(server):
    for method, body in (("PUT", WORKBOOK), ("DELETE", None)):
        assert server.admin(method, "/api/v1/workbooks/fleet_posture", body).status == 409


@pytest.mark.parametrize("wrong", [
    {"title": ""},
    {"title": "x" * 261},
    {"items": [{"kind": "video"}]},
    {"parameters": [{"name": "1a", "label": "", "kind": "text", "value": ""}]},
    {"items": [{"kind": "text", "text": "x" * (1 << 16 | 1)}]},
    {"more": 1},
])
def test_a_workbook_that_cannot_be_kept_is_refused(server, wrong):
    answer = server.admin("POST", "/api/v1/workbooks", WORKBOOK | wrong)
    assert answer.status == 400 and answer.json["error"]["message"], answer.text


def test_who_reads_sees_workbooks_and_makes_none(server):
    reader = limited(server, "Log Analytics Reader")
    assert server.request("GET", "/api/v1/workbooks", headers=reader).status == 200
    assert server.request("POST", "/api/v1/workbooks", json.dumps(WORKBOOK), reader).status == 403


# The authority for devices


def test_the_authority_is_that_of_the_data_folder(server):
    answer = server.admin("GET", "/api/v1/ca.pem")
    assert answer.status == 200 and answer.text == server.ca.read_text()
    assert server.request("GET", "/api/v1/ca.pem").status == 401


# Queries


def ask(server: Server, query: str, **options):
    body = {"db": "default", "csl": query, "properties": {"Options": options}}
    return server.admin("POST", "/v2/rest/query", body)


def rows_of(answer) -> list[list]:
    return next(frame for frame in answer.json if frame.get("TableKind") == "PrimaryResult")["Rows"]


def test_a_span_of_time_is_a_property_of_the_request(server):
    server.manage(".create table Spanned (TimeGenerated: datetime, Other: datetime, N: long)")
    lines = [{"TimeGenerated": f"2026-03-0{n}T00:00:00Z", "Other": f"2026-04-0{n}T00:00:00Z", "N": n} for n in range(1, 6)]
    ok(server.ingest("Spanned", "\n".join(map(json.dumps, lines))))
    query = "Spanned | summarize make_list(N)"
    bounds = {"query_datetimescope_from": "2026-03-02T00:00:00Z", "query_datetimescope_to": "2026-03-04T00:00:00Z"}
    span = bounds | {"query_datetimescope_column": "TimeGenerated"}
    assert rows_of(ask(server, query, **span)) == [[[2, 3, 4]]]
    assert rows_of(ask(server, query, **bounds)) == [[[1, 2, 3, 4, 5]]], "there is no column to go by"
    assert rows_of(ask(server, "Spanned | where N > 0 | take 9 | summarize make_list(N)", **span)) == [[[2, 3, 4]]]
    other = {"query_datetimescope_from": "datetime(2026-04-05)", "query_datetimescope_column": "Other"}
    assert rows_of(ask(server, query, **other)) == [[[5]]]
    set_it = "set query_datetimescope_column = 'TimeGenerated'; set query_datetimescope_to = datetime(2026-03-01);"
    assert rows_of(ask(server, f"{set_it} {query}")) == [[[1]]]
    assert rows_of(ask(server, "print 1", **span)) == [[1]]
    refused = ask(server, query, query_datetimescope_from="soon")
    assert refused.status == 400 and "query_datetimescope_from" in refused.text
    command = {"db": "default", "csl": ".set Copied <| Spanned", "properties": {"Options": span}}
    assert server.admin("POST", "/v1/rest/mgmt", command).status == 400, "not all rows would be meant"
    assert "Copied" not in server.manage(".show tables").values
    exported = server.admin("POST", "/api/v1/workspaces/default/export", {"csl": "Spanned", "properties": {"Options": span}})
    assert pyarrow.parquet.read_table(io.BytesIO(exported.body)).column("N").to_pylist() == [2, 3, 4]


def test_what_is_wrong_with_a_query_is_told_place_by_place(server):
    query = "print s = '\U0001f426' | where a == 1 and b == 2"
    for path in ("/v1/rest/query", "/v2/rest/query"):
        answer = server.admin("POST", path, {"db": "default", "csl": query})
        assert answer.status == 400
        findings = answer.json["error"]["@findings"]
        # As browsers count: the bird is two units.
        units = query.encode("utf-16-le")
        assert [units[2 * f["start"]:2 * f["end"]].decode("utf-16-le") for f in findings] == ["a", "b"]
        assert all("no column named" in finding["message"] for finding in findings)
