"""Parts of different models: shown while a wire is drawn, and in the list that the keyboard opens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.running import Server
from tests.server.tiny_families import two_families, write_families
from tests.web.conftest import violations
from tests.web.editing import canvas, document, open_workflow, socket

pytestmark = pytest.mark.browser

REASON = "Doesn't fit sampler.positive: made with the text encoder of 'first' (node 'one'), Stable Diffusion 1"
REMEDY = "Take both from the same checkpoint."


def _hold(page: Page, target: Locator) -> None:
    """Hold a wire over a socket."""
    box = target.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)


@pytest.fixture
def opened_families(page: Page, server: Server) -> Page:
    write_families(server.data)
    open_workflow(page, two_families(), "Two families")
    return page


def test_a_wire_shows_where_another_models_parts_would_meet(opened_families: Page) -> None:
    page = opened_families
    model, latent = socket(page, "sampler.model", "Input"), socket(page, "sampler.latent_image", "Input")
    _hold(page, socket(page, "two.model", "Output"))
    page.mouse.down()
    _hold(page, latent)
    expect(model).to_have_class(re.compile(r"\bmisfit\b"))
    expect(latent).to_have_class(re.compile(r"\bdim\b"))
    _hold(page, model)
    tip = canvas(page).locator(".wire-tip")
    expect(tip).to_contain_text(REASON)
    expect(tip).to_contain_text(REMEDY)
    page.mouse.up()
    expect(page.get_by_role("button", name=re.compile(r"^\d problems$"))).to_be_visible()
    assert document(page)["nodes"]["sampler"]["inputs"]["model"] == {"$link": "two.model"}


def test_a_wire_that_shows_nothing_leads_to_its_own_model(opened_families: Page) -> None:
    page = opened_families
    clip = socket(page, "prompt.clip", "Input")
    _hold(page, clip)
    page.mouse.down()
    _hold(page, socket(page, "two.vae", "Output"))
    expect(socket(page, "two.clip", "Output")).to_have_class(re.compile(r"\bmisfit\b"))
    expect(socket(page, "one.clip", "Output")).to_have_class(re.compile(r"\bfits\b"))
    page.keyboard.press("Escape")
    page.mouse.up()


def test_the_list_of_sockets_says_it_too(opened_families: Page) -> None:
    page = opened_families
    socket(page, "sampler.model", "Input").focus()
    page.keyboard.press("Enter")
    options = page.get_by_role("dialog").get_by_role("option")
    expect(options.filter(has_text="two.model")).to_contain_text(REASON)
    expect(options.filter(has_text="one.model")).not_to_contain_text("Doesn't fit")
    assert violations(page) == []
