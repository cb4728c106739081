"""Writing prompts: the words that the model in the graph knows are offered, and never in the way."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.running import workflow
from tests.web.conftest import violations
from tests.web.editing import document, node, open_workflow

pytestmark = pytest.mark.browser


@pytest.fixture
def prompt(page: Page) -> Locator:
    """An empty prompt for the embedded model, whose words the page has been told."""
    nodes = {
        "checkpoint": ("LoadCheckpoint", {"ckpt_name": "embedded"}),
        "prompt": ("CLIPEncode", {"clip": {"$link": "checkpoint.clip"}}),
    }
    open_workflow(page, workflow(nodes), "Prompted")
    field = node(page, "prompt").get_by_role("textbox", name="text")
    with page.expect_response(lambda answer: "/words?of=checkpoints%2Fembedded" in answer.url):
        field.click()
    return field


def test_a_word_of_the_model_is_completed_by_the_keyboard(page: Page, prompt: Locator) -> None:
    offered = page.get_by_role("listbox", name="Words to go on with")
    prompt.press_sequentially("a red tri")
    expect(offered.get_by_role("option")).to_have_text(["triangle"])
    expect(page.get_by_role("status").filter(has_text="Words offered: 1.")).to_be_attached()
    assert violations(page) == []
    prompt.press("ArrowDown")
    expect(prompt).to_have_attribute("aria-activedescendant", "prompt.text-word0")
    prompt.press("Tab")
    expect(prompt).to_have_value("a red triangle")
    expect(prompt).to_be_focused()
    expect(offered).to_be_hidden()
    prompt.press("Tab")
    expect(prompt).not_to_be_focused()
    assert document(page)["nodes"]["prompt"]["inputs"]["text"] == "a red triangle"


def test_keys_do_what_they_always_do_while_nothing_is_chosen(page: Page, prompt: Locator) -> None:
    offered = page.get_by_role("listbox", name="Words to go on with")
    prompt.press_sequentially("ci")
    expect(offered).to_be_visible()
    prompt.press("Enter")
    expect(prompt).to_have_value("ci\n")
    prompt.press_sequentially("squ")
    expect(offered.get_by_role("option")).to_have_text(["square"])
    prompt.press("Escape")
    expect(offered).to_be_hidden()
    expect(prompt).to_have_value("ci\nsqu")
    prompt.press_sequentially("a")
    expect(offered).to_be_visible()
    prompt.press("Home")
    expect(offered).to_be_hidden()
    prompt.press("End")
    prompt.press_sequentially("r")
    offered.get_by_role("option", name="square").click()
    expect(prompt).to_have_value("ci\nsquare")
    expect(prompt).to_be_focused()
