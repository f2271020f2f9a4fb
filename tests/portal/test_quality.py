"""What holds for every page: it can be used by keyboard and by screen readers, in light and dark, from a telephone to a
desk; it runs no script but the server's; and what a first look transfers is small."""

import re
from pathlib import Path

import pytest
from conftest import Portal
from playwright.sync_api import expect

AXE = Path(__file__).parents[2] / "portal/node_modules/axe-core/axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FIRST_VIEW_BYTES_MAX = 350_000

# Each page, and what is there once it has loaded.
PAGES = {
    "/": ("link", "alerts in this time"),
    "/alerts": ("link", "Reverse shell"),
    "/recommendations": ("link", "Open Ports On Device"),
    "/recommendations/IoT_OpenPorts": ("link", "pump-02"),
    "/recommendations/IoT_OpenPorts/devices/pump-02": ("region", "History"),
    "/devices": ("link", "pump-01"),
    "/devices/pump-01": ("table", "Timeline"),
    "/logs#query=SecurityAlert": ("grid", ""),
    "/workbooks": ("link", "Open Fleet posture"),
    "/workbooks/fleet_posture": ("region", "What most devices need"),
    "/settings/data": ("button", "Create new"),
    "/settings/recommendations": ("table", "Recommendations"),
    "/settings/resources": ("table", "Monitored resources"),
    "/settings/rules": ("table", "Rules"),
    "/settings/users": ("button", "Give the role"),
    "/settings/tokens": ("button", "Create"),
    "/settings/audit": ("table", "Audit"),
    "/onboarding": ("textbox", "Device id"),
    "/nowhere": ("alert", ""),
}


def opened(portal: Portal, path: str):
    role, name = PAGES[path]
    page = portal.open(path).page
    expect(page.get_by_role(role, name=name).first if name else page.get_by_role(role).first).to_be_visible()
    return page


def violations(page) -> list[str]:
    """What axe finds against WCAG 2.2 AA, a line each. The script is put in by the browser, which no policy binds."""
    page.evaluate(AXE.read_text())
    # Elements of Fluent UI's that hand the focus on as soon as they have it: nobody rests on one.
    found = page.evaluate("tags => axe.run({ exclude: ['[data-tabster-dummy]'] }, { runOnly: tags })", WCAG)
    return [f"{rule['id']}: {node['html'][:200]}\n    {node['failureSummary'][:300]}" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible(portal, path, scheme):
    portal.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = violations(opened(portal, path))
    assert not found, "\n".join(found)


def test_the_page_for_signing_in_is_accessible(browser, server):
    context = browser.new_context()
    page = Portal(server, context.new_page()).open().page
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert violations(page) == []
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_telephone(portal, path):
    portal.page.set_viewport_size({"width": 360, "height": 740})
    page = opened(portal, path)
    width = page.evaluate("document.querySelector('main').scrollWidth")
    assert width <= 360, f"the page is {width} pixels wide"
    page.get_by_role("button", name="Pages").click()
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Settings")).to_be_visible()


def test_the_keyboard_alone_goes_from_the_overview_to_an_alert(portal):
    page = opened(portal, "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    focus_on(page, "Alerts")
    page.keyboard.press("Enter")
    expect(portal.heading("Alerts")).to_be_visible()
    expect(page.get_by_role("link", name="Reverse shell")).to_be_visible()
    focus_on(page, "Reverse shell")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="Alert: Reverse shell")).to_be_visible()
    focus_on(page, "Investigate alerts in the workspace")
    page.keyboard.press("Enter")
    expect(portal.heading("Logs")).to_be_visible()


def focus_on(page, text: str, steps: int = 80):
    """Presses Tab until what has that text has the focus."""
    for _ in range(steps):
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{steps} times Tab do not lead to '{text}'")


def test_times_are_shown_in_utc_or_local_time_and_it_is_remembered(browser, server, fleet, session_state):
    context = browser.new_context(storage_state=session_state, timezone_id="Asia/Kolkata")
    portal = Portal(server, context.new_page())
    page = portal.open("/devices").page
    last = page.get_by_role("row").filter(has_text="pump-01").get_by_role("cell").last
    utc = last.inner_text()
    page.get_by_role("button", name="View: times in UTC").click()
    page.get_by_role("menuitemradio", name="Local time").click()
    expect(last).not_to_have_text(utc)
    page.reload()
    expect(page.get_by_role("button", name="View: times in local time")).to_be_visible()
    context.close()


def test_the_theme_is_chosen_and_remembered(portal):
    page = opened(portal, "/devices")
    ground = "getComputedStyle(document.querySelector('header')).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="View:").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    page.keyboard.press("Escape")
    assert page.evaluate(ground) != light
    page.reload()
    expect(page.get_by_role("link", name="pump-01")).to_be_visible()
    assert page.evaluate(ground) != light


def test_pages_are_served_under_a_policy_without_inline_scripts(server):
    for path in ("/ui/", "/ui/alerts", "/ui/sign-in"):
        answer = server.request("GET", path)
        assert answer.status == 200
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["script-src"] == "'self'" and policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:", answer.text)
    assert server.request("GET", "/").headers["location"] == "/ui/"
    assert server.request("GET", "/ui/assets/gone.js").status == 404


def test_files_come_in_the_form_that_a_client_takes(server):
    script = re.search(r"/ui/assets/index-[^\"]+\.js", server.request("GET", "/ui/").text).group()
    plain = server.request("GET", script)
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-type"].startswith("text/javascript")
    assert "immutable" in plain.headers["cache-control"]
    for coding in ("gzip", "br"):
        packed = server.request("GET", script, headers={"Accept-Encoding": f"{coding}, identity;q=0.5"})
        assert packed.headers["content-encoding"] == coding
        assert len(packed.body) < len(plain.body) / 2


def test_a_first_look_transfers_little(browser, server, fleet, session_state):
    context = browser.new_context(storage_state=session_state)
    portal = Portal(server, context.new_page())
    client = context.new_cdp_session(portal.page)
    client.send("Network.enable")
    received = []
    client.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    opened(portal, "/")
    expect(portal.page.get_by_role("img", name=re.compile("Alerts of each day"))).to_be_visible()
    portal.page.wait_for_timeout(500)
    assert 100_000 < sum(received) <= FIRST_VIEW_BYTES_MAX, f"{sum(received)} bytes"
    context.close()


def test_who_only_reads_sees_no_error_but_what_they_may_not(browser, server, fleet):
    server.admin("POST", "/api/v1/users", {"name": "reader", "password": "correct horse battery"})
    user = server.admin("GET", "/api/v1/users/reader").json
    server.admin("POST", "/api/v1/roleAssignments", {"principalId": user["id"], "role": "Security Reader", "scope": "/"})
    context = browser.new_context()
    portal = Portal(server, context.new_page())
    page = portal.open().page
    page.get_by_label("Name").fill("reader")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    for path in ("/", "/alerts", "/recommendations", "/devices", "/devices/pump-01", "/workbooks/fleet_posture"):
        opened(portal, path)
        expect(page.get_by_role("alert")).to_have_count(0)
    portal.open("/settings/users")
    expect(page.get_by_role("alert")).to_contain_text("You have no permission to see this")
    portal.open("/settings/rules")
    page.get_by_role("switch", name="Reverse shell").click()
    expect(page.get_by_role("alert")).to_contain_text("may not perform the action")
    context.close()
