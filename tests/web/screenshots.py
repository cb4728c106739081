"""Take the README's pictures of the editor; look at them before you commit them. ::

python -m tests.web.screenshots
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.server.running import Server, running
from tests.web.conftest import chromium, opened
from tests.web.editing import open_workflow, panel, result, run, training

FOLDER = Path(__file__).parents[2] / "web" / "screenshots"

_SIZE: ViewportSize = {"width": 1400, "height": 880}
_PHONE: ViewportSize = {"width": 390, "height": 844}
_PATIENCE_MS = 120_000
_TRAINING = training(steps=500, channels="16, 16, 32, 32", batch_size=4, learning_rate=0.002)


def take(server: Server, browser: Browser) -> None:
    """Take all pictures."""
    with _opened(server, browser, _SIZE) as page:
        run(page)
        expect(result(page)).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            _keep(page, f"editor-{scheme}")
    with _opened(server, browser, _SIZE) as page:
        open_workflow(page, _TRAINING, "Training")
        plots = panel(page, "Plots")
        run(page)
        expect(plots).to_contain_text("at step 500")
        _keep(page, "training")
    with _opened(server, browser, _PHONE) as page:
        run(page)
        expect(result(page)).to_be_visible()
        _keep(page, "phone")


@contextmanager
def _opened(server: Server, browser: Browser, size: ViewportSize) -> Iterator[Page]:
    is_phone = size == _PHONE
    context = browser.new_context(viewport=size, reduced_motion="reduce", has_touch=is_phone, is_mobile=is_phone)
    context.set_default_timeout(_PATIENCE_MS)
    with opened(context, server) as page:
        yield page
    context.close()


def _keep(page: Page, name: str) -> None:
    page.wait_for_timeout(1500)  # until all that comes with it is drawn
    FOLDER.mkdir(exist_ok=True)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(FOLDER / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    expect.set_options(timeout=_PATIENCE_MS)
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as started, sync_playwright() as playwright:
        take(started, playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]))
