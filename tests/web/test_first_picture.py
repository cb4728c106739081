"""What somebody sees who opens the editor for the first time."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.bench.web import first_load_kb
from tests.web.conftest import violations

pytestmark = pytest.mark.browser


def test_run_is_the_only_click_to_a_picture(page: Page) -> None:
    expect(page.get_by_role("tab")).to_contain_text("Text to image")
    page.get_by_role("button", name="Run", exact=True).click()
    picture = page.locator("img[src*='/api/v1/assets/']").first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth === 128", arg=picture.element_handle())


def test_first_view_is_for_everybody(page: Page) -> None:
    assert violations(page) == []


def test_little_is_loaded_before_it_can_be_seen() -> None:
    """What isn't needed for the first view is made to come on demand by ``lazily`` and ``onDemand``."""
    assert first_load_kb() <= 200
