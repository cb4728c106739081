"""The editor in a real browser, on a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.server.running import Server, running

__all__ = ["chromium", "opened", "violations"]

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

_PATIENCE_MS = 90_000


def chromium() -> str:
    """Find the machine's Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "install chromium"
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    expect.set_options(timeout=_PATIENCE_MS)  # the first run loads a model, and machines are slow
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all these tests: each has a browser of its own, and what it saves a name of its own."""
    with running(tmp_path_factory.mktemp("web")) as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that nobody used before."""
    made = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    made.set_default_timeout(_PATIENCE_MS)
    yield made
    made.close()


@contextmanager
def opened(context: BrowserContext, server: Server) -> Iterator[Page]:
    """Open the editor; what the page complains of in its console fails the test."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "status of 4" not in message.text:  # refusals are part of tests
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://{server.host}:{server.port}/")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    yield page
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """The editor as it opens for the first time."""
    with opened(context, server) as made:
        yield made


def violations(page: Page) -> list[str]:
    """Say what a page does wrong for who can't see or use a mouse, by axe's rules, in the light and in the dark."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # no script tag: the page's policy forbids foreign ones
    page.emulate_media(color_scheme="light")
    found = _broken_rules(page, {})
    page.emulate_media(color_scheme="dark")
    found += [f"in the dark, {each}" for each in _broken_rules(page, {"runOnly": ["color-contrast"]})]
    page.emulate_media(color_scheme="light")
    return found


def _broken_rules(page: Page, options: dict[str, list[str]]) -> list[str]:
    found: dict[str, Any] = page.evaluate(  # Any: JSON
        "options => axe.run({ resultTypes: ['violations'], ...options })", options
    )
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]
