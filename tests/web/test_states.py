"""What the page says when the server doesn't do what it should."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.server.running import Server
from tests.web.editing import panel, tab

pytestmark = pytest.mark.browser

_MISTAKE = {"title": "The server made a mistake", "status": 500, "code": "internal_error", "remedy": "Read its log."}
_LISTS = ("**/api/v1/workflows", "**/api/v1/queue", "**/api/v1/jobs?*", "**/api/v1/assets?*")


def _fail(route: Route) -> None:
    route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(_MISTAKE))


def test_a_panel_whose_list_cannot_be_read_says_why_and_tries_again(context: BrowserContext, server: Server) -> None:
    for list_ in _LISTS:
        context.route(list_, _fail)
    page = _open(context, server)
    expect(tab(page)).to_be_attached()
    for name in ("Queue", "History", "Gallery", "Workflows"):
        told = panel(page, name).get_by_role("alert")
        expect(told).to_contain_text("The server made a mistake")
        expect(told).to_contain_text("Read its log.")
    for list_ in _LISTS:
        context.unroute(list_)
    library = panel(page, "Workflows")
    library.get_by_role("button", name="Try again").click()
    expect(library.get_by_role("region", name="Examples")).to_be_visible()
    expect(panel(page, "History").get_by_role("alert")).to_be_hidden()  # opened again, it is read again
    expect(page.get_by_role("region", name="Messages").get_by_role("alert")).to_have_count(0)


def test_a_server_that_cannot_say_what_nodes_there_are_is_asked_again(context: BrowserContext, server: Server) -> None:
    context.route("**/api/v1/nodes", _fail)
    page = _open(context, server)
    expect(page.get_by_role("alert")).to_contain_text("The server made a mistake Read its log.")
    context.unroute("**/api/v1/nodes")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_empty_workflow_has_no_problems(context: BrowserContext, server: Server) -> None:
    page = _open(context, server)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    page.keyboard.press("Alt+n")
    expect(page.get_by_text("An empty graph.")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("LoadImage")
    page.get_by_role("dialog", name="Add a node").get_by_role("option", name="LoadImage Open").click()
    expect(page.get_by_role("button", name="problem")).to_be_visible()  # it was looked at: its picture is missing
    page.keyboard.press("Control+z")
    expect(page.get_by_text("An empty graph.")).to_be_visible()
    expect(page.get_by_role("button", name="problem")).to_be_hidden()


def _open(context: BrowserContext, server: Server) -> Page:
    """Open the editor; what it complains of in its console is part of the test."""
    page = context.new_page()
    page.goto(f"http://{server.host}:{server.port}/")
    return page
