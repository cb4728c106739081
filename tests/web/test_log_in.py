"""The page while no server answers it, and while one doesn't know who it is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.server.running import running
from tests.web.conftest import violations

pytestmark = pytest.mark.browser


def test_a_token_is_asked_for_and_a_lost_server_is_told_of(context: BrowserContext, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, "--require-token", owners=("ann",)))
        page = context.new_page()
        page.goto(f"http://{server.host}:{server.port}/")
        asked = page.get_by_role("dialog", name="token")
        field = asked.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(asked.get_by_role("alert")).not_to_be_empty()
        assert violations(page) == []

        field.fill(server.tokens["ann"])
        page.keyboard.press("Enter")
        expect(asked).to_be_hidden()
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()

        stack.close()
        lost = page.get_by_role("alert").filter(has_text="The server doesn't answer")
        expect(lost).to_be_visible()
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        assert violations(page) == []
