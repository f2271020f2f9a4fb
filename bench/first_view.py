"""How long the first look at the portal takes in Chromium, and what it transfers. Run by a Python that has playwright:

    first_view.py LINK RUNS     LINK signs in once

Prints JSON: for each run, in a browser that has nothing in its cache, the seconds until a person can go to a page, until
every tile of the overview shows its numbers, and the bytes that came.
"""

import json
import sys
import time

from playwright.sync_api import expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


def look(browser, address, state):
    context = browser.new_context(storage_state=state, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    received = []
    client.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    page.get_by_role("link", name="Alerts", exact=True).wait_for()
    interactive = time.monotonic() - begun
    expect(page.get_by_text("alerts in this time")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("img", name="Alerts of each day")).to_be_visible()
    complete = time.monotonic() - begun
    shown = page.get_by_text("alerts in this time").inner_text()
    page.wait_for_timeout(500)
    context.close()
    return {"interactive_seconds": interactive, "complete_seconds": complete, "bytes": sum(received), "shown": shown}


def main():
    link, runs = sys.argv[1], int(sys.argv[2])
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context()
        page = context.new_page()
        page.goto(link)
        expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        state = context.storage_state()
        context.close()
        address = link.split("/ui/")[0] + "/ui/"
        # One to warm up the server.
        print(json.dumps([look(browser, address, state) for _ in range(runs + 1)][1:]))
        browser.close()


if __name__ == "__main__":
    main()
