"""Where there are several solutions, each has addresses of its own."""

import re

from conftest import Portal
from playwright.sync_api import expect
from turnstone_server import Server


def watch_another_hub(server: Server, hub: str, display_name: str):
    """Makes a hub and a solution that watches it."""
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["id"]
    providers = f"{subscription}/resourceGroups/default/providers"
    hub_id = f"{providers}/Microsoft.Devices/IotHubs/{hub}"
    solution = {"properties": {"displayName": display_name, "iotHubs": [hub_id]}}
    for path, body in [(hub_id, {}), (f"{providers}/Microsoft.Security/iotSecuritySolutions/{hub}-watch", solution)]:
        answer = server.admin("PUT", f"{path}?api-version=2019-08-01", {"location": "local", **body})
        assert answer.status in (200, 201), answer.text


def test_an_address_says_which_solution_is_looked_at(browser, new_server):
    server = new_server("--no-agent")
    server.start()
    watch_another_hub(server, "north", "The north")
    context = browser.new_context()
    page = Portal(server, context.new_page()).sign_in().open("/devices?q=pump").page
    expect(page.get_by_role("heading", name="Devices", level=1)).to_be_visible()
    first = page.url
    assert re.search(r"/ui/solutions/default/(?!north)[^/]+/devices\?q=pump$", first), first
    page.get_by_role("button", name="Solution:").click()
    page.get_by_role("menuitemradio", name="The north").click()
    expect(page).to_have_url(re.compile("/ui/solutions/default/north-watch/devices$"))
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Alerts").click()
    expect(page).to_have_url(re.compile("/ui/solutions/default/north-watch/alerts"))
    # Somebody else who is sent the address sees the same.
    page.goto(first)
    expect(page.get_by_role("button", name="Solution:")).not_to_have_text("Solution: The north")
    page.goto(f"{server.http}/ui/solutions/DEFAULT/North-Watch/logs#query=print here = 1")
    expect(page.get_by_role("button", name="Solution: The north")).to_be_visible()
    expect(page.get_by_role("columnheader", name="here")).to_be_visible()
    page.goto(f"{server.http}/ui/solutions/default/none/alerts")
    expect(page.get_by_role("alert")).to_contain_text("There is no solution 'none'")
    page.get_by_role("button", name="Go to the overview").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    context.close()
