"""The portal, in Debian's Chromium, against the real program."""

import json
import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "blackbox"))

from fleet import Fleet  # noqa: E402
from turnstone_server import Server, turnstone  # noqa: E402

# A debug build on a busy machine is slow; what is never there is soon known all the same.
SECONDS = 30
expect.set_options(timeout=SECONDS * 1000)

CHROMIUM = os.environ.get("TURNSTONE_CHROMIUM", "/usr/bin/chromium")
# Without these it asks hosts of its maker's, which the machine may refuse to reach.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("portal") / "data", "--no-agent", "--raw-events") as server:
        yield server


@pytest.fixture(scope="session")
def fleet(server) -> Fleet:
    return Fleet(server)


def sign_in_link(server: Server) -> str:
    """A link that signs in once, as `turnstone admin link` prints it."""
    made = turnstone("admin", "link", "--data", server.data)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


class Portal:
    """A browser that looks at a server's portal."""

    def __init__(self, server: Server, page: Page):
        self.server, self.page = server, page
        # What the page complained of: none of it should be.
        self.complaints: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str = "/"):
        self.page.goto(f"{self.server.http}/ui{path}")
        return self

    def sign_in(self):
        self.page.goto(sign_in_link(self.server))
        expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible()
        return self

    def heading(self, name: str):
        return self.page.get_by_role("heading", name=name, level=1)


@pytest.fixture(scope="session")
def session_state(browser: Browser, server, fleet) -> dict:
    """The cookie of somebody who came in by a link."""
    context = browser.new_context()
    Portal(server, context.new_page()).sign_in()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def portal(browser: Browser, server, fleet, session_state):
    """A page of somebody who is signed in. A test fails when the page complained of something."""
    context = browser.new_context(storage_state=session_state, viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.http)
    portal = Portal(server, context.new_page())
    yield portal
    context.close()
    # Requests that the test wanted refused are told as errors too.
    bad = [text for text in portal.complaints if "Failed to load resource" not in text]
    assert not bad, json.dumps(bad, indent=2)


@pytest.fixture
def new_server(tmp_path):
    """Makes servers that are not started yet; what still runs when the test is over is stopped."""
    made = []

    def make(*arguments) -> Server:
        made.append(Server(tmp_path / f"data-{len(made)}", *arguments))
        return made[-1]

    yield make
    for server in made:
        server.end()
