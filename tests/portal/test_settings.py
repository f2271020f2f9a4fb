"""Settings: what is collected and looked for, and who may do what. Each test leaves the server as it was."""

from playwright.sync_api import expect
from security_messages import message, process_start
from turnstone_server import wait_until


def solution(server) -> dict:
    subscription = server.admin("GET", "/api/v1/settings").json["subscriptionId"]
    path = f"/subscriptions/{subscription}/providers/Microsoft.Security/iotSecuritySolutions?api-version=2019-08-01"
    return server.admin("GET", path).json["value"][0]["properties"]


def test_what_is_collected_is_changed_and_in_force(portal, server):
    page = portal.open("/settings/data").page
    raw = page.get_by_role("checkbox", name="Access to raw security data")
    expect(raw).to_be_checked()
    raw.uncheck()
    page.get_by_role("checkbox", name="IP data collection").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    changed = solution(server)
    assert changed["export"] == [] and changed["unmaskedIpLoggingStatus"] == "Disabled"
    raw.check()
    page.get_by_role("checkbox", name="IP data collection").check()
    page.get_by_role("button", name="Save").click()
    wait_until(lambda: solution(server)["export"] == ["RawEvents"], 30, "the settings as they were")
    assert solution(server)["unmaskedIpLoggingStatus"] == "Enabled"


def test_a_workspace_is_created_and_chosen(portal, server):
    page = portal.open("/settings/data").page
    page.get_by_role("button", name="Create new").click()
    page.get_by_role("textbox", name="Name of the new workspace").fill("archive")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("combobox", name="Workspace")).to_contain_text("archive")
    assert "archive" in server.manage(".show databases").values
    page.reload()
    expect(page.get_by_role("combobox", name="Workspace")).to_contain_text("default")


def test_a_recommendation_that_is_not_wanted_is_switched_off(portal, server):
    name = "Permissive firewall rule in the input chain was found"
    page = portal.open("/settings/recommendations").page
    page.get_by_role("switch", name=name).uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    off = lambda: [one["name"] for one in solution(server)["recommendationsConfiguration"] if one["status"] == "Disabled"]
    wait_until(lambda: off() == [name], 30, "the recommendation to be off")
    page.get_by_role("switch", name=name).check()
    page.get_by_role("button", name="Save").click()
    wait_until(lambda: off() == [], 30, "the recommendation to be on")


def test_monitored_resources_are_shown(portal):
    table = portal.open("/settings/resources").page.get_by_role("table", name="Monitored resources")
    for kind in ("Hub", "Workspace", "Subscription"):
        expect(table.get_by_role("cell", name=kind, exact=True)).to_be_visible()


def test_a_rule_is_read_and_its_tests_run(portal):
    page = portal.open("/settings/rules").page
    page.get_by_role("link", name="Bash history cleared").click()
    expect(page.get_by_role("region", name="The rule")).to_contain_text("SecurityIoTRawEvent")
    page.get_by_role("button", name="Run its tests").click()
    expect(page.get_by_text("the ways to erase it – passed")).to_be_visible()


def test_a_rule_that_is_switched_off_raises_nothing(portal, server, fleet):
    device = fleet.devices[1]
    count = "SecurityAlert | where AlertType == 'IoT_ClearHistoryFile' and ExtendedProperties has 'pump-02' | count"
    page = portal.open("/settings/rules").page
    switch = page.get_by_role("switch", name="Bash history cleared")
    switch.uncheck()
    expect(switch).not_to_be_checked()
    # It is off on the server once the list that was read anew says so.
    wait_until(lambda: not all(rule["isEnabled"] for rule in rules(server)), 30, "the rule to be off")
    server.accept(device, message(process_start("rm -f /root/.bash_history")))
    server.accept(device, message(process_start("xmrig --switched-off-test")))
    miner = "SecurityAlert | where ExtendedProperties has 'switched-off-test' | count"
    wait_until(lambda: server.kusto(miner).value == 1, 30, "the alert of the rule that is on, which came later")
    assert server.kusto(count).value == 0
    switch.check()
    wait_until(lambda: all(rule["isEnabled"] for rule in rules(server)), 30, "the rule to be on")
    server.accept(device, message(process_start("rm -f /root/.bash_history # again")))
    wait_until(lambda: server.kusto(count).value == 1, 30, "the alert of the rule that is on again")


def rules(server) -> list[dict]:
    subscription = server.admin("GET", "/api/v1/settings").json["subscriptionId"]
    scope = f"/subscriptions/{subscription}/resourceGroups/default/providers/Microsoft.Security/iotSecuritySolutions/default"
    return server.admin("GET", f"/api/v1/rules?solution={scope}").json["value"]


def test_people_and_programs_come_get_roles_and_go(portal):
    page = portal.open("/settings/users").page
    people = page.get_by_role("region", name="People").first
    people.get_by_role("textbox", name="Name").fill("dora")
    people.get_by_label("First password").fill("correct horse battery")
    people.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("switch", name="dora may sign in")).to_be_checked()
    page.get_by_role("combobox", name="Who").click()
    page.get_by_role("option", name="dora").click()
    page.get_by_role("combobox", name="Role").click()
    page.get_by_role("option", name="Security Reader").click()
    page.get_by_role("button", name="Give the role").click()
    expect(page.get_by_role("button", name="Take the role Security Reader back from dora")).to_be_visible()
    page.get_by_role("button", name="Delete dora").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete dora")).to_have_count(0)
    programs = page.get_by_role("region", name="Programs (service principals)")
    programs.get_by_role("textbox", name="Name").fill("exporter")
    programs.get_by_role("button", name="Create", exact=True).click()
    expect(programs.get_by_role("textbox", name="It is shown this once")).not_to_be_empty()
    programs.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Delete exporter").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete exporter")).to_have_count(0)


def test_a_token_is_shown_once_works_and_is_kept_nowhere(portal, server):
    page = portal.open("/settings/tokens").page
    page.get_by_role("textbox", name="Name").fill("notebook")
    page.get_by_role("button", name="Create").click()
    token = page.get_by_role("textbox", name="It is shown this once").input_value()
    answer = server.request("GET", "/api/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert token not in kept and "tst_" not in kept
    page.reload()
    expect(page.get_by_role("table", name="Tokens")).to_contain_text("notebook")
    assert token not in page.content()
    page.get_by_role("button", name="Delete the token notebook").click()
    expect(page.get_by_role("table", name="Tokens").get_by_text("notebook")).to_have_count(0)


def test_the_audit_tells_what_was_changed(portal, server):
    made = server.admin("POST", "/api/v1/tokens", {"name": "audited"}).json
    server.admin("DELETE", f"/api/v1/tokens/{made['id']}")
    page = portal.open("/settings/audit").page
    expect(page.get_by_role("table", name="Audit")).to_contain_text("Turnstone/signIn/action")
