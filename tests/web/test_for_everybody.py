"""Every panel and dialog by axe's rules, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.server.running import Server, one_node
from tests.web.conftest import opened, violations
from tests.web.editing import command, node, open_workflow, panel, result, run

pytestmark = pytest.mark.browser

PANELS = ("Workflows", "Inputs", "Outline", "Node help", "Gallery", "Queue", "History", "Plots")


@pytest.fixture(params=["light", "dark"])
def shown(context: BrowserContext, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The editor in each scheme, with a picture made and a node selected."""
    with opened(context, server) as page:
        page.emulate_media(color_scheme=request.param)
        open_workflow(page, one_node("t.Paint"), "Painted")
        run(page)
        expect(result(page)).to_be_visible()
        node(page, "n").click(position={"x": 12, "y": 10})
        yield page


def test_panels(shown: Page) -> None:
    found = violations(shown)
    for name in PANELS:
        content = panel(shown, name)
        expect(content.get_by_text("Loading…")).to_have_count(0)
        found += [f"{name}: {each}" for each in violations(shown)]
    assert found == []


def test_dialogs(shown: Page) -> None:
    found: list[str] = []
    for key, name in (
        ("/", "Add a node"),
        ("Control+k", "All commands"),
        ("Control+f", "Find in the graph"),
        ("Shift+?", "Keys"),
    ):
        shown.keyboard.press(key)
        dialog = shown.get_by_role("dialog", name=name)
        expect(dialog).to_be_visible()
        found += [f"{name}: {each}" for each in violations(shown)]
        shown.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    command(shown, "Save as…")
    expect(shown.get_by_role("dialog", name="Save as…")).to_be_visible()
    found += [f"Save as: {each}" for each in violations(shown)]
    shown.keyboard.press("Escape")
    shown.get_by_role("button", name="More ways to run").click()
    expect(shown.get_by_role("menu", name="More ways to run")).to_be_visible()
    found += [f"Menu: {each}" for each in violations(shown)]
    shown.keyboard.press("Escape")
    result(shown).click()
    expect(shown.get_by_role("dialog")).to_be_visible()
    found += [f"Large: {each}" for each in violations(shown)]
    assert found == []
