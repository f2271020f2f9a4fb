"""Workbooks: pages of text and queries with parameters."""

import re

from playwright.sync_api import expect


def test_the_fleet_posture_is_built_in(portal, fleet):
    page = portal.open("/workbooks").page
    page.get_by_role("link", name="Open Fleet posture").click()
    expect(page.get_by_role("region", name="Devices with active recommendations")).to_contain_text(str(len(fleet.devices) - 1))
    expect(page.get_by_role("region", name="What most devices need").first).to_contain_text("Open Ports On Device")
    expect(page.get_by_role("img", name=re.compile("by TimeGenerated"))).to_be_visible()
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)


def test_one_device_is_chosen_and_the_address_says_which(portal):
    page = portal.open("/workbooks/one_device").page
    page.get_by_role("combobox", name="Device").click()
    page.get_by_role("option", name="pump-03").click()
    expect(page.get_by_role("region", name="Alerts").first).to_contain_text("Brute force attack failed")
    assert "p.device=pump-03" in page.url
    page.reload()
    expect(page.get_by_role("region", name="Recommendations").first).to_contain_text("baseline")
    page.get_by_role("link", name="Open as a query: Alerts").click()
    expect(page.get_by_role("grid").get_by_role("columnheader", name="Severity")).to_be_visible()


def test_a_workbook_is_made_changed_copied_and_deleted(portal):
    page = portal.open("/workbooks").page
    page.get_by_role("button", name="New workbook").click()
    page.get_by_role("textbox", name="Title").first.fill("Night shift")
    page.get_by_role("button", name="Add text").click()
    page.get_by_role("textbox", name="Text", exact=True).fill("# Before you go\n- look at <b>this</b>")
    expect(page.get_by_role("heading", name="Before you go")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="look at <b>this</b>")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    page.reload()
    expect(portal.heading("Night shift")).to_be_visible()
    page.get_by_role("button", name="Copy").click()
    expect(portal.heading("Night shift (copy)")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(portal.heading("Workbooks")).to_be_visible()
    expect(page.get_by_role("link", name="Open Night shift (copy)")).to_have_count(0)
    page.get_by_role("link", name="Open Night shift").click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="Open Night shift")).to_have_count(0)
