"""The flows that people know: from a list to a device to a query."""

import json
import re

import pytest
from fleet import process
from playwright.sync_api import expect
from security_messages import message, process_start


def test_the_overview_shows_how_the_fleet_is_and_every_tile_opens_its_list(portal, fleet):
    page = portal.open().page
    health = page.get_by_role("region", name="Resource health")
    expect(health).to_contain_text(f"{len(fleet.devices) - 1}devices need attention")
    expect(page.get_by_role("region", name="Most prevalent device recommendations")).to_contain_text("Open Ports On Device")
    expect(page.get_by_role("img", name=re.compile("Alerts of each day by severity; [0-9]+ in all"))).to_be_visible()
    page.get_by_role("region", name="Devices with the most alerts").get_by_role("link", name="pump-01").click()
    expect(portal.heading("Alerts")).to_be_visible()
    expect(page.get_by_role("button", name="Remove the filter Device: pump-01")).to_be_visible()
    page.go_back()
    page.get_by_role("region", name="Recommendations by severity").get_by_role("link", name="Medium").click()
    expect(portal.heading("Recommendations")).to_be_visible()
    assert "severity=Medium" in page.url


def test_alerts_from_the_list_to_a_device_to_the_query(portal):
    page = portal.open("/alerts").page
    page.get_by_role("link", name="Reverse shell").click()
    pane = page.get_by_role("article", name="Alert: Reverse shell")
    expect(pane.get_by_role("region", name="General information")).to_contain_text("IoT device")
    expect(pane.get_by_role("region", name="Manual remediation steps").get_by_role("listitem").first).to_be_visible()
    expect(pane.get_by_role("region", name="Entities")).to_be_visible()
    devices = pane.get_by_role("table", name="Last 10 affected devices")
    expect(devices.get_by_role("link", name="pump-01")).to_be_visible()
    pane.get_by_role("button", name="Investigate alerts in the workspace").click()
    expect(portal.heading("Logs")).to_be_visible()
    grid = page.get_by_role("grid")
    expect(grid.get_by_role("columnheader", name="DeviceId")).to_be_visible()
    expect(grid.get_by_role("gridcell", name="pump-01", exact=True)).to_be_visible()
    page.go_back()
    devices.get_by_role("link", name="pump-01").click()
    expect(portal.heading("pump-01")).to_be_visible()
    assert page.url.endswith("/devices/pump-01?hub=hub"), "a device is one of a hub"
    expect(page.get_by_role("table", name="Timeline").get_by_role("link", name="Reverse shell")).to_be_visible()


def test_an_alert_shows_the_processes_that_led_to_it_and_what_happened_around(portal, fleet):
    device = fleet.devices[4]
    fleet.server.accept(device, message(process(910, 1, "/usr/sbin/lighttpd -D"), process(920, 910, "/bin/sh -c start")))
    fleet.server.accept(device, message(process(930, 920, "xmrig --donate-level 1")))
    page = portal.page
    portal.open("/alerts?device=pump-05")
    page.get_by_role("link", name="Crypto coin miner image").click()
    tree = page.get_by_role("region", name="Process tree")
    expect(tree).to_contain_text("lighttpd -D")
    expect(tree).to_contain_text("xmrig --donate-level 1 ← this alert")
    expect(page.get_by_role("region", name="Events within 10 minutes")).to_contain_text("/bin/sh -c start")


def test_recommendations_from_the_list_to_a_device_to_the_query(portal):
    page = portal.open("/recommendations").page
    page.get_by_role("link", name="Open Ports On Device").click()
    expect(page.get_by_role("region", name="Description")).to_contain_text("reachable from other machines")
    expect(page.get_by_role("region", name="Manual remediation steps").get_by_role("listitem").first).to_be_visible()
    page.get_by_role("table", name="Devices").get_by_role("link", name="pump-06").click()
    history = page.get_by_role("region", name="History")
    expect(history.get_by_role("listitem")).to_have_count(2)
    expect(history.get_by_role("listitem").first).to_contain_text("Inactive")
    page.get_by_role("button", name="Investigate recommendations in the workspace").click()
    expect(portal.heading("Logs")).to_be_visible()
    expect(page.get_by_role("grid").get_by_role("gridcell", name="pump-02", exact=True)).to_be_visible()
    expect(page.get_by_role("grid").get_by_role("gridcell", name="pump-06", exact=True)).to_have_count(0)


def test_the_baseline_is_shown_check_by_check(portal):
    page = portal.open("/recommendations/IoT_Baseline/devices/pump-03").page
    checks = page.get_by_role("table", name="Baseline rules")
    expect(checks).to_contain_text("CCE-4325-7")
    expect(checks).to_contain_text("only protocol 2")
    expect(checks).to_contain_text("Fail")


def test_alerts_are_filtered_and_grouped_and_the_address_says_how(portal):
    page = portal.open("/alerts").page
    page.get_by_role("searchbox", name="Find alerts").fill("coin")
    expect(page.get_by_role("link", name="Reverse shell")).to_have_count(0)
    expect(page.get_by_role("link", name="Crypto coin miner image")).to_be_visible()
    page.get_by_role("combobox", name="Group by").click()
    page.get_by_role("option", name="Device", exact=True).click()
    expect(page.get_by_role("table", name="Alerts").get_by_role("link", name="pump-02")).to_be_visible()
    expect(page).to_have_url(re.compile("text=coin.*group=device"))
    page.reload()
    expect(page.get_by_role("table", name="Alerts").get_by_role("link", name="pump-02")).to_be_visible()


def test_alerts_of_one_device_are_asked_for_by_its_id(portal):
    page = portal.open("/alerts").page
    expect(page.get_by_role("link", name="Reverse shell")).to_be_visible()
    page.get_by_role("searchbox", name="One device's id").fill("pump-03")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Brute force attack failed")).to_be_visible()
    expect(page.get_by_role("link", name="Reverse shell")).to_have_count(0)
    page.get_by_role("button", name="Remove the filter Device: pump-03").click()
    expect(page.get_by_role("link", name="Reverse shell")).to_be_visible()


def test_one_alert_is_opened_from_a_list_of_alerts_and_the_list_stays(portal):
    page = portal.open("/alerts?group=none&text=coin").page
    links = page.get_by_role("table", name="Alerts").get_by_role("link", name="Crypto coin miner image")
    expect(links.first).to_be_visible()
    count = links.count()
    row = page.get_by_role("table", name="Alerts").get_by_role("row").filter(has=page.get_by_role("link", name="pump-02"))
    row.get_by_role("link", name="Crypto coin miner image").click()
    expect(page.get_by_role("region", name="This one on pump-02")).to_be_visible()
    expect(links).to_have_count(count)


@pytest.mark.parametrize("path", ["/alerts/IoT_ReverseShell/2026-03-0", "/devices/a%25b", "/recommendations/%25/devices/%25zz"])
def test_an_address_that_is_none_is_told_so_and_the_portal_goes_on(portal, path):
    page = portal.open(path).page
    told = page.get_by_text(re.compile("is no day|There is no device 'a%b'|There is no such recommendation"))
    expect(told).to_be_visible()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Workbooks").click()
    expect(portal.heading("Workbooks")).to_be_visible()


def test_alerts_are_dismissed_together_and_stay_to_be_found(portal, fleet):
    rows = []
    for kind in ("IoT_DismissA", "IoT_DismissB"):
        rows.append(json.dumps({
            "TimeGenerated": fleet.server.kusto("print tostring(now())").value, "AlertType": kind, "DisplayName": kind,
            "AlertSeverity": "Low", "SystemAlertId": kind, "ResourceId": fleet.hub_id(),
            "ExtendedProperties": json.dumps({"DeviceId": "pump-01"}),
        }))
    assert fleet.server.ingest("SecurityAlert", "\n".join(rows)).status == 200
    page = portal.open("/alerts?text=IoT_Dismiss").page
    page.get_by_role("checkbox", name="Pick all rows").check()
    page.get_by_role("button", name="Dismiss 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("No alert matches these filters")).to_be_visible()
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="Dismissed", exact=True).click()
    table = page.get_by_role("table", name="Alerts")
    expect(table.get_by_role("link", name="IoT_DismissA")).to_be_visible()
    expect(table.get_by_role("cell", name="Dismissed")).to_have_count(2)


def test_a_new_alert_appears_without_reload(portal, fleet):
    page = portal.open("/alerts?device=pump-04").page
    expect(page.get_by_text("No alert matches these filters")).to_be_visible()
    expect(page.get_by_text("● Live")).to_be_visible()
    fleet.server.accept(fleet.devices[3], message(process_start("rm -f /root/.bash_history")))
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Bash history cleared"))
    expect(row).to_contain_text("NEW")


def test_a_name_that_is_markup_is_shown_as_text_everywhere(portal, fleet):
    # Enough of them to be among the devices with most.
    fleet.add_hostile_alerts(20)
    page = portal.open("/alerts").page
    page.get_by_role("link", name="<img").click()
    expect(page.get_by_role("article")).to_contain_text("<img src=x onerror")
    portal.open("/")
    expect(page.get_by_role("region", name="Devices with the most alerts")).to_contain_text("<img src=x onerror")
    portal.open("/logs#query=SecurityAlert | where SystemAlertId == 'hostile-1'")
    expect(page.get_by_role("grid")).to_contain_text("<img src=x onerror")
    assert page.title() != "owned"
    assert page.locator("img[src='x']").count() == 0
