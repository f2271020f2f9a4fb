"""Logs: the editor knows the server's tables, runs what is under the cursor, and shows what comes."""

import csv
import io

import pyarrow.parquet
import pytest
from playwright.sync_api import Page, expect
from turnstone_server import wait_until


def write(page: Page, text: str):
    """Puts a text in the place of the query. What completes by itself is closed first."""
    editor = page.get_by_test_id("editor")
    expect(editor.locator(".view-lines")).to_be_visible()
    editor.locator(".view-lines").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Escape")


@pytest.fixture
def logs(portal):
    """The page, with an editor that has loaded."""
    page = portal.open("/logs").page
    expect(page.get_by_test_id("editor").locator(".view-lines")).to_be_visible()
    return page


def test_the_query_under_the_cursor_runs(logs):
    write(logs, "print one = 1\n\nprint two = 2")
    logs.keyboard.press("Control+Enter")
    expect(logs.get_by_role("columnheader", name="two")).to_be_visible()
    logs.keyboard.press("Control+Home")
    logs.keyboard.press("Shift+Enter")
    expect(logs.get_by_role("columnheader", name="one")).to_be_visible()
    expect(logs.get_by_role("columnheader", name="two")).to_have_count(0)


def test_tables_and_columns_of_the_server_complete(logs):
    write(logs, "SecurityAlert | where Alert")
    # The language service loads in a worker of its own.
    logs.wait_for_timeout(3000)
    logs.keyboard.press("Control+Space")
    expect(logs.locator(".suggest-widget")).to_contain_text("AlertSeverity")


def test_what_is_wrong_is_told_and_underlined_where_it_is(logs):
    write(logs, "print 1\n\nSecurityAlert | where AlertSeverty == 'High'")
    logs.keyboard.press("Control+Enter")
    expect(logs.get_by_role("alert").filter(has_text="AlertSeverty")).to_be_visible()
    underlined = logs.locator(".squiggly-error").last
    expect(underlined).to_be_visible()
    box, line = underlined.bounding_box(), logs.locator(".view-line", has_text="AlertSeverty").bounding_box()
    assert line["y"] - 2 <= box["y"] <= line["y"] + line["height"], "on the line of the second query"


def test_several_results_have_a_tab_each(logs):
    write(logs, "print a = 1; range x from 1 to 3 step 1")
    logs.keyboard.press("Control+Enter")
    logs.get_by_role("tab", name="Result 2 (3)").click()
    expect(logs.get_by_role("columnheader", name="x")).to_be_visible()


def test_a_hundred_thousand_rows_scroll_and_only_those_in_sight_are_in_the_page(logs):
    write(logs, "range x from 1 to 100000 step 1 | extend y = x * 2, bag = bag_pack('n', x)")
    logs.keyboard.press("Control+Enter")
    grid = logs.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", "100001")
    assert grid.get_by_role("row").count() < 100
    grid.focus()
    logs.keyboard.press("Control+End")
    expect(grid.get_by_role("gridcell", name="100000", exact=True)).to_be_visible()
    logs.get_by_role("columnheader", name="x").get_by_role("button").click()
    logs.get_by_role("columnheader", name="x").get_by_role("button").click()
    grid.focus()
    logs.keyboard.press("Control+Home")
    expect(grid.get_by_role("gridcell", name="100000", exact=True)).to_be_visible()
    logs.get_by_role("button", name="Filter rows").click()
    logs.get_by_role("textbox", name="Filter x").fill("99999")
    expect(logs.get_by_text("1 of 100,000 rows shown")).to_be_visible()


def test_a_cell_is_moved_to_opened_and_copied_by_keys(logs):
    write(logs, "print text = 'one', bag = dynamic({'a': {'b': 1}})")
    logs.keyboard.press("Control+Enter")
    grid = logs.get_by_role("grid")
    expect(grid.get_by_role("gridcell", name="one", exact=True)).to_be_visible()
    grid.focus()
    logs.keyboard.press("ArrowRight")
    logs.keyboard.press("Control+C")
    assert logs.evaluate("navigator.clipboard.readText()") == '{"a":{"b":1}}'
    logs.keyboard.press("Enter")
    expect(logs.get_by_role("region", name="The whole row")).to_contain_text('"b": 1')


def test_results_are_exported(logs):
    write(logs, "range x from 1 to 3 step 1 | extend t = strcat('a,\"', x)")
    logs.keyboard.press("Control+Enter")
    expect(logs.get_by_role("columnheader", name="x")).to_be_visible()
    logs.get_by_role("button", name="Export").click()
    with logs.expect_download() as download:
        logs.get_by_role("menuitem", name="CSV, as shown").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text())))
    assert rows == [["x", "t"], ["1", 'a,"1'], ["2", 'a,"2'], ["3", 'a,"3']]
    logs.get_by_role("button", name="Export").click()
    with logs.expect_download() as download:
        logs.get_by_role("menuitem", name="Parquet, run anew").click()
    assert pyarrow.parquet.read_table(download.value.path()).column("x").to_pylist() == [1, 2, 3]


def test_render_draws_and_the_person_may_choose(logs):
    write(logs, "range x from 1 to 5 step 1 | extend y = x * x | render linechart with (title='Squares')")
    logs.keyboard.press("Control+Enter")
    expect(logs.get_by_role("img", name="Squares: y by x")).to_be_visible()
    logs.get_by_role("combobox", name="Show as").click()
    logs.get_by_role("option", name="Grid").click()
    expect(logs.get_by_role("gridcell", name="25")).to_be_visible()


def test_a_query_is_cancelled_and_ends_on_the_server(logs, server):
    mark = "cancelled-by-test"
    write(logs, f"range x from 1 to 3000000000 step 1 | summarize sum(x % 7) | extend mark = '{mark}'")
    logs.keyboard.press("Control+Enter")
    logs.get_by_role("button", name="Cancel").click()
    expect(logs.get_by_text("The query was cancelled")).to_be_visible()
    ended = f".show queries | where Text has '{mark}' and State == 'Failed' | count"
    wait_until(lambda: server.manage(ended).value >= 1, 30, "the end of the query on the server")


def test_the_time_is_chosen_beside_the_query(logs):
    write(logs, "SecurityAlert | extend Age = now() - TimeGenerated | summarize Old = countif(Age > 2h), All = count()")
    logs.get_by_role("combobox", name="Time").click()
    logs.get_by_role("option", name="Last hour").click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("columnheader", name="Old")).to_be_visible()
    assert logs.get_by_role("gridcell").first.inner_text() == "0"


def test_the_time_is_between_two_moments(logs):
    write(logs, "SecurityAlert | summarize All = count()")
    logs.get_by_role("combobox", name="Time").click()
    logs.get_by_role("option", name="Between two times").click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("columnheader", name="All")).to_be_visible()
    assert logs.get_by_role("gridcell").first.inner_text() != "0", "the last day at first"
    for name, time in [("From, UTC", "2020-01-01T00:00"), ("To, UTC", "2020-01-02T00:00")]:
        logs.get_by_label(name).fill(time)
        logs.get_by_label(name).press("Enter")
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("gridcell", name="0", exact=True)).to_be_visible()


def test_queries_are_saved_for_everybody_and_deleted(logs):
    write(logs, "print saved = 'by a person'")
    logs.get_by_role("button", name="Save", exact=True).click()
    logs.get_by_role("textbox", name="Name").fill("Mine")
    logs.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(logs.get_by_role("dialog")).to_have_count(0)
    logs.reload()
    logs.get_by_role("button", name="Mine", exact=True).click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("gridcell", name="by a person")).to_be_visible()
    logs.get_by_role("button", name="Delete Mine").click()
    expect(logs.get_by_role("button", name="Mine", exact=True)).to_have_count(0)


def test_a_query_becomes_a_function(logs):
    write(logs, "print made = 'by a function'")
    logs.get_by_role("button", name="Save as function").click()
    logs.get_by_role("textbox", name="Name").fill("MadeHere")
    logs.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(logs.get_by_role("dialog")).to_have_count(0)
    logs.get_by_role("tab", name="Tables").click()
    logs.get_by_role("button", name="MadeHere()").click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("gridcell", name="by a function")).to_be_visible()


def test_history_and_samples_put_a_query_in_the_editor(logs):
    write(logs, "print remembered = 1")
    logs.keyboard.press("Control+Enter")
    expect(logs.get_by_role("columnheader", name="remembered")).to_be_visible()
    logs.get_by_role("region", name="Security recommendations").get_by_role("button", name="Sample records").click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("columnheader", name="RecommendationState")).to_be_visible()
    logs.get_by_role("tab", name="History").click()
    logs.get_by_role("button", name="print remembered = 1").click()
    logs.get_by_role("button", name="Run").click()
    expect(logs.get_by_role("columnheader", name="remembered")).to_be_visible()


def test_what_was_written_is_there_for_who_comes_back(portal):
    page = portal.open("/logs#query=print given = 1").page
    expect(page.get_by_role("columnheader", name="given")).to_be_visible()
    write(page, "print changed = 2")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Devices").click()
    expect(portal.heading("Devices")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("columnheader", name="changed")).to_be_visible()


def test_a_link_opens_the_query_and_runs_it(logs):
    write(logs, "print shared = '100% & more'")
    logs.get_by_role("button", name="Copy link").click()
    link = logs.evaluate("navigator.clipboard.readText()")
    logs.goto("about:blank")
    logs.goto(link)
    expect(logs.get_by_role("gridcell", name="100% & more")).to_be_visible()
