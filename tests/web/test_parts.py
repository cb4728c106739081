"""Parts of the page that are loaded when they are needed: slowly, or not at all."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.server.running import Server
from tests.web.conftest import opened
from tests.web.editing import panel, tab

pytestmark = pytest.mark.browser


def test_what_is_typed_before_a_dialog_is_there_is_kept(context: BrowserContext, server: Server) -> None:
    held: list[Route] = []
    context.route("**/_editor/SearchDialog*.js", lambda route: held.append(route))
    with opened(context, server) as page:
        with page.expect_request("**/_editor/SearchDialog*.js"):
            page.keyboard.press("Control+f")
        page.keyboard.type("save_x")
        page.keyboard.press("Backspace")
        page.keyboard.type("i")
        expect(page.get_by_role("dialog")).to_have_count(0)
        for route in held:
            route.continue_()
        dialog = page.get_by_role("dialog", name="Find in the graph")
        expect(dialog.get_by_role("combobox")).to_have_value("save_i")
        page.keyboard.type("mage")
        expect(dialog.get_by_role("combobox")).to_have_value("save_image")


def test_a_panel_that_cannot_be_loaded_is_there_after_a_reload(context: BrowserContext, server: Server) -> None:
    context.route("**/_editor/QueuePanel*.js", lambda route: route.fulfill(status=404))
    page = _open(context, server)
    queue = panel(page, "Queue")
    expect(queue.get_by_role("alert")).to_contain_text("Look whether the server is running")
    context.unroute("**/_editor/QueuePanel*.js")
    with page.expect_navigation():
        queue.get_by_role("button", name="Reload the page").click()
    expect(panel(page, "Queue")).to_contain_text("Nothing runs and nothing waits.")


def test_a_dialog_that_cannot_be_loaded_says_so_and_leaves_the_rest(context: BrowserContext, server: Server) -> None:
    context.route("**/_editor/SearchDialog*.js", lambda route: route.fulfill(status=404))
    page = _open(context, server)
    page.keyboard.press("Control+f")
    told = page.get_by_role("region", name="Messages").get_by_role("alert")
    expect(told).to_contain_text("Look whether the server is running")
    context.unroute("**/_editor/SearchDialog*.js")
    page.keyboard.press("/")
    page.get_by_role("dialog", name="Add a node").press("Escape")
    with page.expect_navigation():
        told.get_by_role("button", name="Reload the page").click()
    expect(tab(page)).to_be_attached()
    page.keyboard.press("Control+f")
    expect(page.get_by_role("dialog", name="Find in the graph")).to_be_visible()


def _open(context: BrowserContext, server: Server) -> Page:
    """Open the editor; what it complains of in its console is part of the test."""
    page = context.new_page()
    page.goto(f"http://{server.host}:{server.port}/")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    return page
