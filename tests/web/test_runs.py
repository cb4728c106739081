"""Jobs, from the page's side: cancelled, failed, refused, and taken up again after a reload."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.server.running import Server, one_node, workflow
from tests.web.editing import node, open_workflow, panel, run, tab

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _nothing_runs_on(server: Server) -> Iterator[None]:
    """A test that fails leaves nothing behind that others would wait for."""
    yield
    for job in server.ask("GET", "/jobs").json["jobs"]:
        if job["finished"] is None:
            server.ask("POST", f"/jobs/{job['id']}/cancel")


def test_cancel(page: Page, server: Server) -> None:
    open_workflow(page, one_node("t.Slow"), "To be cancelled")
    run(page)
    page.get_by_role("progressbar", name="Progress of To be cancelled").wait_for()
    expect(node(page, "n").get_by_role("img", name="running")).to_be_visible()

    page.get_by_role("button", name="Cancel", exact=True).click()

    expect(page.get_by_role("status").filter(has_text="To be cancelled was cancelled")).to_be_attached()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    jobs = server.ask("GET", "/jobs").json["jobs"]
    assert [job["state"] for job in jobs if job["name"] == "To be cancelled"] == ["cancelled"]


def test_a_node_that_fails_says_why(page: Page) -> None:
    open_workflow(page, one_node("t.Fail", message="no more paint"), "To fail")

    run(page)

    expect(node(page, "n").get_by_role("alert")).to_contain_text("no more paint")
    notice = page.get_by_role("region", name="Messages").get_by_role("alert")
    expect(notice).to_contain_text("To fail failed")
    notice.get_by_role("button", name="Show").click()
    expect(node(page, "n")).to_contain_class("selected")


def test_a_bad_value_is_told_with_a_remedy(page: Page) -> None:
    far = {"ui": {"nodes": {"n": {"pos": [0, 0]}, "far": {"pos": [5000, 3000]}}}}
    nodes = {"n": ("t.Say", {}), "far": ("t.Ordered", {"low": 5, "high": 2})}
    open_workflow(page, workflow(nodes, **far), "Wrong order")
    expect(node(page, "far")).to_be_hidden()

    page.get_by_role("button", name="1 problem").click()
    problem = page.get_by_role("list", name="Problems of this workflow").get_by_role("listitem")
    expect(problem).to_contain_text("2 is below low, 5.")
    expect(problem).to_contain_text("Exchange them.")
    problem.get_by_role("button", name="far · high").click()

    high = node(page, "far").get_by_role("spinbutton", name="high")
    expect(high).to_be_in_viewport()
    high.click()
    page.keyboard.type("6\n")
    expect(page.get_by_role("button", name="1 problem")).to_be_hidden()


def test_reload_while_a_job_runs(page: Page) -> None:
    open_workflow(page, one_node("t.Slow", seconds=4.0), "Goes on")
    run(page)
    bar = page.get_by_role("progressbar", name="Progress of Goes on")
    bar.wait_for()

    page.reload()

    expect(tab(page)).to_contain_text("Goes on")
    bar.wait_for()
    expect(page.get_by_role("status").filter(has_text="Goes on is done")).to_be_attached()


def test_previews_come_while_a_job_runs(page: Page) -> None:
    open_workflow(page, one_node("t.Sketch", steps=20), "Sketch")
    run(page)
    page.get_by_role("img", name="Preview of n").wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()


def test_previews_are_for_who_looks(page: Page) -> None:
    with page.expect_websocket() as opened:
        page.reload()
    said: list[str] = []
    opened.value.on("framesent", lambda content: said.append(str(content)))
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    open_workflow(page, one_node("t.Sketch", steps=400), "Unwatched")
    page.evaluate(hide, True)
    run(page)
    page.get_by_role("progressbar", name="Progress of Unwatched").wait_for()
    page.evaluate(hide, False)
    page.get_by_role("img", name="Preview of n").wait_for()
    assert [each for each in said if "previews" in each and "job" not in each][-2:] == [
        '{"subscribe":{"previews":false}}',
        '{"subscribe":{"previews":true}}',
    ]
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()


def test_the_queue_shows_what_waits_and_cancels_it(page: Page) -> None:
    open_workflow(page, one_node("t.Slow"), "Long")
    run(page)
    page.get_by_role("progressbar", name="Progress of Long").wait_for()
    open_workflow(page, one_node("t.Slow"), "Behind it")
    run(page)
    queue = panel(page, "Queue")
    waiting = queue.get_by_role("region", name="Waiting").get_by_role("listitem")
    expect(waiting).to_contain_text("Behind it")
    open_workflow(page, one_node("t.Slow"), "Last")
    run(page)
    expect(waiting).to_contain_text(["Behind it", "Last"])

    queue.get_by_role("button", name="Move Last up").press("Enter")
    expect(waiting).to_contain_text(["Last", "Behind it"])
    expect(page.get_by_role("status").filter(has_text="Last is now number 1")).to_be_attached()
    waiting.nth(1).get_by_text("Behind it").drag_to(waiting.nth(0).get_by_text("Last"))
    expect(waiting).to_contain_text(["Behind it", "Last"])

    for name in ("Last", "Behind it", "Long"):
        queue.get_by_role("button", name=f"Cancel {name}", exact=True).click()
    expect(queue).to_contain_text("Nothing runs and nothing waits.")
