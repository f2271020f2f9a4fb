"""Takes the pictures of docs/portal: each page, light and dark. `make screenshots` runs it."""

import sys
import tempfile
from pathlib import Path

from conftest import CHROMIUM, FLAGS, Portal
from fleet import Fleet
from playwright.sync_api import sync_playwright
from turnstone_server import Server

PAGES = {
    "overview": "/",
    "alerts": "/alerts",
    "alert": None,
    "recommendations": "/recommendations",
    "recommendation": "/recommendations/IoT_OpenPorts",
    "baseline": "/recommendations/IoT_Baseline/devices/pump-03",
    "devices": "/devices",
    "device": "/devices/pump-01",
    "logs": None,
    "workbooks": "/workbooks",
    "workbook": "/workbooks/fleet_posture",
    "settings": "/settings/data",
    "rules": "/settings/rules",
    "users": "/settings/users",
    "onboarding": "/onboarding",
}
# Long enough for plots to be drawn, and for the language service to colour a query.
SETTLE_MILLISECONDS = 1500
LOGS_MILLISECONDS = 5000
QUERY = "SecurityAlert | summarize Alerts=count() by bin(TimeGenerated, 1h), AlertSeverity | render columnchart"


def take(folder: Path, wanted: list[str]):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, Server(Path(data) / "data", "--no-agent", "--raw-events") as server, \
            sync_playwright() as playwright:
        fleet = Fleet(server)
        day = fleet.server.kusto("print format_datetime(now(), 'yyyy-MM-dd')").value
        places = PAGES | {"alert": f"/alerts/IoT_ReverseShell/{day}", "logs": f"/logs#query={QUERY}"}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for theme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme)
            portal = Portal(server, context.new_page())
            portal.sign_in()
            for name, path in places.items():
                if wanted and name not in wanted:
                    continue
                portal.open("/nowhere")
                portal.open(path)
                if name == "onboarding":
                    portal.page.get_by_role("textbox", name="Device id").fill(f"valve-{theme}")
                    portal.page.get_by_role("button", name="Create").click()
                portal.page.wait_for_timeout(LOGS_MILLISECONDS if name == "logs" else SETTLE_MILLISECONDS)
                portal.page.screenshot(path=folder / f"{name}-{theme}.png")
            for complaint in portal.complaints:
                print(theme, complaint)
            context.close()
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2:])
