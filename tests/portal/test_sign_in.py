"""People come in by a link that is good once, or by name and password; nobody else sees anything."""

import re

import pytest
from conftest import Portal, sign_in_link
from playwright.sync_api import expect
from turnstone_server import Server, wait_until

PASSWORD = "correct horse battery staple"


@pytest.fixture
def stranger(browser, server):
    context = browser.new_context()
    yield Portal(server, context.new_page())
    context.close()


def test_the_first_start_prints_a_link_that_signs_in_once(browser, new_server):
    server = new_server("--no-agent")
    server.start()
    # What is for a person comes after the line that says that it is ready.
    link = wait_until(lambda: re.search(r"http://\S+/ui/sign-in#code=\S+\n", server.log_text()), 30, "the link").group().strip()
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    assert "code=" not in page.url, "the code does not stay in the address"
    again = browser.new_context().new_page()
    again.goto(link)
    expect(again.get_by_role("alert")).to_contain_text("used already")
    for one in (page, again):
        one.context.close()


def test_later_starts_and_services_print_no_link(new_server):
    server = new_server("--no-agent")
    server.start()
    server.stop()
    length = len(server.log_text())
    server.start()
    wait_until(lambda: "turnstone admin link" in server.log_text()[length:], 30, "how to come by a link")
    assert "code=" not in server.log_text()[length:]
    service = new_server("--no-agent")
    service.environment = service.environment | {"JOURNAL_STREAM": "8:1"}
    service.start()
    wait_until(lambda: "turnstone admin link" in service.log_text(), 30, "how to come by a link")
    assert "code=" not in service.log_text()


def test_a_stranger_is_asked_to_sign_in_and_comes_to_the_page_that_was_asked_for(server, stranger):
    server.admin("POST", "/api/v1/users", {"name": "ben", "password": PASSWORD})
    user = server.admin("GET", "/api/v1/users/ben").json
    server.admin("POST", "/api/v1/roleAssignments", {"principalId": user["id"], "role": "Security Reader", "scope": "/"})
    page = stranger.open("/devices").page
    page.get_by_label("Name").fill("ben")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(stranger.heading("Devices")).to_be_visible()
    assert page.url.endswith("/ui/devices")
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Turnstone")).to_be_visible()


def test_what_somebody_asked_is_forgotten_when_they_sign_out(stranger):
    page = stranger.sign_in().open("/logs#query=print secret = 1").page
    expect(page.get_by_role("columnheader", name="secret")).to_be_visible()
    kept = "() => JSON.stringify([{...localStorage}, {...sessionStorage}])"
    assert "secret" in page.evaluate(kept)
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Turnstone")).to_be_visible()
    assert "secret" not in page.evaluate(kept) and "secret" not in page.url


def test_what_somebody_asked_is_not_there_for_somebody_else(server, stranger):
    page = stranger.sign_in().open("/logs#query=print secret = 1").page
    expect(page.get_by_role("columnheader", name="secret")).to_be_visible()
    # The session ends without a word, and another comes.
    server.admin("POST", "/api/v1/users", {"name": "zoe", "password": PASSWORD})
    user = server.admin("GET", "/api/v1/users/zoe").json
    server.admin("POST", "/api/v1/roleAssignments", {"principalId": user["id"], "role": "Security Reader", "scope": "/"})
    page.context.clear_cookies()
    page.goto(f"{server.http}/ui/")
    page.get_by_label("Name").fill("zoe")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(stranger.heading("Overview")).to_be_visible()
    assert "secret" not in page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")


def test_who_has_no_role_is_told_so(server, stranger):
    server.admin("POST", "/api/v1/users", {"name": "eve", "password": PASSWORD})
    page = stranger.open().page
    page.get_by_label("Name").fill("eve")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("You have no permission")


def test_links_are_made_with_the_admin_token_alone(server):
    made = server.admin("POST", "/api/v1/tokens", {"name": "limited"}).json
    answer = server.request("POST", "/api/v1/session/links", headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status == 403, answer.text
    assert server.request("POST", "/api/v1/session/links").status == 401


def test_another_site_signs_nobody_in(server):
    code = sign_in_link(server).split("code=")[1]
    body = f'{{"code": "{code}"}}'
    headers = {"Content-Type": "application/json", "Origin": "https://evil.example"}
    assert server.request("POST", "/api/v1/session/link", body, headers).status == 403
    answer = server.request("POST", "/api/v1/session/link", body, {"Content-Type": "application/json"})
    assert answer.status == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
