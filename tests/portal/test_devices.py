"""The inventory, one device, and adding one."""

import csv
import io
import re

from conftest import Portal
from fleet import system_information
from playwright.sync_api import expect
from security_messages import message
from turnstone_server import Device


def test_the_inventory_is_searched_filtered_and_grouped(portal):
    page = portal.open("/devices").page
    table = page.get_by_role("table", name="Devices")
    expect(table.get_by_role("link", name="pump-01")).to_be_visible()
    expect(table.get_by_role("row").filter(has_text="pump-01")).to_contain_text("Debian GNU/Linux 12 (bookworm)")
    page.get_by_role("searchbox", name="Find devices").fill("pump-03")
    expect(table.get_by_role("link")).to_have_count(1)
    page.get_by_role("searchbox", name="Find devices").fill("")
    page.get_by_role("button", name="Add filter").click()
    page.get_by_role("textbox", name="Holds the text").fill("windows")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("No device matches these filters")).to_be_visible()
    page.get_by_role("button", name="Remove the filter OS distribution: windows").click()
    page.get_by_role("combobox", name="Group by").click()
    page.get_by_role("option", name="OS architecture").click()
    expect(table.get_by_role("rowheader", name="aarch64")).to_be_visible()
    page.reload()
    expect(table.get_by_role("rowheader", name="aarch64")).to_be_visible()


def test_columns_are_chosen_and_kept_and_exported_as_they_are_shown(portal):
    page = portal.open("/devices").page
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("menuitemcheckbox", name="Host name").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="Host name")).to_be_visible()
    page.reload()
    expect(page.get_by_role("columnheader", name="Host name")).to_be_visible()
    page.get_by_role("searchbox", name="Find devices").fill("pump-02")
    expect(page.get_by_role("table", name="Devices").get_by_role("link")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["Name"] for row in rows] == ["pump-02"]
    assert rows[0]["Host name"] == "pump-02"


def test_devices_that_never_came_are_found(portal, server):
    server.create_device("silent-01")
    page = portal.open("/devices").page
    page.get_by_role("combobox", name="Activity").click()
    page.get_by_role("option", name="Never heard of").click()
    expect(page.get_by_role("link", name="silent-01")).to_be_visible()
    expect(page.get_by_role("link", name="pump-01")).to_have_count(0)


def test_a_long_list_is_drawn_as_somebody_goes_down_it(browser, new_server):
    server = new_server("--no-agent")
    server.start()
    for n in range(450):
        server.create_device(f"sensor-{n:03}")
    context = browser.new_context()
    page = Portal(server, context.new_page()).sign_in().open("/devices").page
    links = page.get_by_role("table", name="Devices").get_by_role("link")
    expect(page.get_by_role("button", name="200 of 450 rows are shown")).to_be_attached()
    expect(links).to_have_count(200)
    links.nth(199).scroll_into_view_if_needed()
    expect(links).to_have_count(400)
    links.nth(399).scroll_into_view_if_needed()
    expect(page.get_by_role("link", name="sensor-449")).to_be_visible()
    context.close()


def test_a_device_shows_its_users_ports_and_collectors(portal):
    page = portal.open("/devices/pump-02").page
    expect(page.get_by_role("table", name="Collectors")).to_contain_text("ListeningPorts")
    page.get_by_role("tab", name="Users").click()
    expect(page.get_by_role("table", name="Users")).to_contain_text("pump, sudo")
    page.get_by_role("tab", name="Open ports").click()
    expect(page.get_by_role("table", name="Open ports")).to_contain_text("1883")
    assert "tab=ports" in page.url
    page.get_by_role("tab", name="Recommendations").click()
    expect(page.get_by_role("table", name="Recommendations").get_by_role("link", name="Open Ports On Device")).to_be_visible()


def test_a_device_that_is_not_there_is_said_not_to_be(portal):
    page = portal.open("/devices/nobody").page
    expect(page.get_by_role("alert")).to_contain_text("There is no device 'nobody'")


def test_a_device_is_added_and_its_first_event_turns_the_page_green(portal, server):
    page = portal.open("/onboarding").page
    page.get_by_role("textbox", name="Device id").fill("bad id")
    expect(page.get_by_role("button", name="Create")).to_be_disabled()
    page.get_by_role("textbox", name="Device id").fill("valve-01")
    page.get_by_role("button", name="Create").click()
    command = page.locator("pre").inner_text()
    found = re.search(r"HostName=(\S+);DeviceId=valve-01;SharedAccessKey=([^']+)", command)
    assert found.group(1) == f"127.0.0.1:{server.https.rsplit(':', 1)[1]}"
    assert server.ca.read_text().strip() in command
    expect(page.get_by_text("Nothing has come yet.")).to_be_visible()
    device = Device("valve-01", found.group(2), "")
    server.accept(device, message(system_information("valve-01")))
    expect(page.get_by_text("valve-01 reports.")).to_be_visible()
    page.get_by_role("link", name="Look at it").click()
    expect(portal.heading("valve-01")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(portal.heading("Devices")).to_be_visible()
    expect(page.get_by_role("link", name="valve-01")).to_have_count(0)
