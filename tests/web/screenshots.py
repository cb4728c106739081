"""Take the README's pictures of the editor; look at them before you commit them. ::

python -m tests.web.screenshots
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from tests.server.running import Server, running
from tests.web.conftest import chromium

FOLDER = Path(__file__).parents[2] / "web" / "screenshots"

_SIZE: ViewportSize = {"width": 1400, "height": 880}


def take(server: Server) -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport=_SIZE, reduced_motion="reduce")
        page.goto(f"http://{server.host}:{server.port}/")
        _run(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            page.screenshot(path=FOLDER / f"editor-{scheme}.png")
        browser.close()


def _run(page: Page) -> None:
    """Run the first workflow, and wait until its picture is there."""
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("img[src*='/api/v1/assets/']").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1000)  # until all that comes with it is drawn


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as started:
        take(started)
