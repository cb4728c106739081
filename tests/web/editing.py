"""What people do in the editor, by the roles and names that it gives to things."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.server.running import workflow

__all__ = [
    "Json",
    "canvas",
    "command",
    "document",
    "drop_file",
    "node",
    "open_workflow",
    "panel",
    "result",
    "run",
    "socket",
    "tab",
    "training",
    "wire",
]

Json = Any  # Any: JSON

_COLUMN = 340
_LINKED = re.compile("linked$")


def training(*, steps: int, channels: str, **recipe: Json) -> Json:
    """Make the workflow of an autoencoder that learns drawn shapes, whose losses are plotted."""
    start = {"model": {"$link": "new.vae"}, "dataset": {"$link": "shapes.dataset"}}
    return workflow(
        {
            "shapes": ("DrawnShapes", {"size": 32}),
            "new": ("NewAutoencoder", {"block_channels": channels, "size": 32}),
            "recipe": ("TrainRecipe", recipe),
            "train": ("TrainLoop", {**start, "recipe": {"$link": "recipe.recipe"}, "steps": steps}),
            "plot": ("LossPlot", {"report": {"$link": "train.report"}}),
            "save": ("SaveImage", {"images": {"$link": "plot.image"}}),
        }
    )


def canvas(page: Page) -> Locator:
    return page.get_by_role("region", name="Graph", exact=True)


def node(page: Page, id_: str) -> Locator:
    """Find a node by its id."""
    return canvas(page).locator(f".react-flow__node[data-id='{id_}']")


def socket(page: Page, reference: str, side: str) -> Locator:
    """Find a socket: ``node.name``, and whether it is an Input or an Output."""
    id_, name = reference.rsplit(".", 1)
    return node(page, id_).get_by_role("button", name=f"{side} {name},")


def wire(page: Page, output: str, input_: str) -> None:
    """Draw a wire with the mouse."""
    socket(page, output, "Output").drag_to(socket(page, input_, "Input"))
    expect(socket(page, input_, "Input")).to_have_accessible_name(_LINKED)


def command(page: Page, label: str) -> None:
    """Run a command by its name in the palette of all."""
    page.keyboard.press("Control+k")
    page.get_by_role("dialog", name="All commands").get_by_role("option", name=label).click()


def panel(page: Page, name: str) -> Locator:
    """Show a panel, if it isn't shown."""
    shown = page.get_by_role("complementary", name=name, exact=True)
    if not shown.is_visible():
        page.get_by_role("navigation", name="Panels").get_by_role("button", name=name, exact=True).click()
    return shown


def tab(page: Page) -> Locator:
    """Find the tab that is shown."""
    return page.get_by_role("tab", selected=True)


def run(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()


def result(page: Page) -> Locator:
    """Find the picture that the last job made."""
    return page.get_by_role("region", name="Result").get_by_role("img", name="Result of")


def document(page: Page) -> Json:
    """Export the workflow that is shown, and read it."""
    with page.expect_download() as download:
        command(page, "Export as a file")
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def drop_file(page: Page, name: str, content: bytes, media_type: str) -> None:
    """Drop a file on the canvas, as from a file manager."""
    transfer = page.evaluate_handle(
        """([name, content, type]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type }));
            return transfer;
        }""",
        [name, base64.b64encode(content).decode(), media_type],
    )
    for event in ("dragover", "drop"):
        canvas(page).dispatch_event(event, {"dataTransfer": transfer, "clientX": 400, "clientY": 400})


def open_workflow(page: Page, workflow: Mapping[str, Json], name: str = "Test") -> None:
    """Open a workflow in a tab of its own, by dropping its file; its nodes lie in a row unless it says where."""
    row = {id_: {"pos": [place * _COLUMN, 0]} for place, id_ in enumerate(workflow["nodes"])}
    named = {"meta": {"name": name}, "ui": {"nodes": row}, **workflow}
    drop_file(page, "workflow.json", json.dumps(named).encode(), "application/json")
    expect(tab(page)).to_contain_text(name)
