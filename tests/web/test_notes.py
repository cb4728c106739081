"""Notes on the canvas: Markdown to read, plain text to write."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.server.running import workflow
from tests.web.conftest import violations
from tests.web.editing import canvas, document, open_workflow

pytestmark = pytest.mark.browser

TEXT = (
    "# Start here\n\nRead the [paper](https://arxiv.org/abs/2206.00364), then:\n\n- **draw**\n- `run`\n\n<b>no HTML</b>"
)


def test_a_note_is_read_as_markdown_and_written_as_text(page: Page) -> None:
    note = {"id": "first", "text": TEXT, "pos": [0, 200], "size": [300, 220]}
    open_workflow(page, workflow({"paint": ("t.Paint", {"level": 0.5})}, ui={"notes": [note]}), "Noted")
    shown = canvas(page).locator(".react-flow__node[data-id='first']")
    expect(shown.get_by_role("heading", name="Start here")).to_be_visible()
    expect(shown.get_by_role("link", name="paper")).to_have_attribute("target", "_blank")
    expect(shown.get_by_role("listitem")).to_have_text(["draw", "run"])
    expect(shown.get_by_text("<b>no HTML</b>")).to_be_visible()
    assert violations(page) == []

    shown.get_by_role("heading").dblclick()
    field = page.get_by_role("textbox", name="Text of the note")
    expect(field).to_have_value(TEXT)
    field.fill("## Later")
    field.press("Escape")
    expect(shown.get_by_role("heading", name="Later")).to_be_visible()
    assert document(page)["ui"]["notes"][0]["text"] == "## Later"
