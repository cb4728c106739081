"""Text to image, built from nothing: with the mouse, and without one."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.web.editing import Json, canvas, document, node, panel, result, run, wire

pytestmark = pytest.mark.browser

_LINKS = {
    "ksampler.model": "load_checkpoint.model",
    "ksampler.positive": "clip_encode.conditioning",
    "ksampler.negative": "clip_encode_2.conditioning",
    "ksampler.latent_image": "empty_latent.latent",
    "vae_decode.samples": "ksampler.latent",
    "vae_decode.vae": "load_checkpoint.vae",
    "save_image.images": "vae_decode.image",
    "clip_encode.clip": "load_checkpoint.clip",
    "clip_encode_2.clip": "load_checkpoint.clip",
}


def _links_of(workflow: Json) -> dict[str, str]:
    return {
        f"{id_}.{name}": value["$link"]
        for id_, each in workflow["nodes"].items()
        for name, value in each.get("inputs", {}).items()
        if isinstance(value, dict)
    }


def _add_at(page: Page, kind: str, x: int, y: int) -> None:
    canvas(page).dblclick(position={"x": x, "y": y})
    palette = page.get_by_role("dialog", name="Add a node")
    palette.get_by_role("combobox").fill(kind)
    palette.get_by_role("option", name=kind).first.click()
    expect(palette).to_be_hidden()


def _zoom_out(page: Page) -> None:
    canvas(page).hover(position={"x": 300, "y": 200})
    page.mouse.wheel(0, 280)
    expect(page.get_by_role("button", name=re.compile("^Zoom: [3-6].? %"))).to_be_visible()


def test_with_the_mouse(page: Page) -> None:
    page.get_by_role("button", name="New workflow").click()
    expect(page.get_by_text("An empty graph.")).to_be_visible()
    _zoom_out(page)
    _add_at(page, "LoadCheckpoint", 60, 100)
    _add_at(page, "CLIPEncode", 300, 60)
    _add_at(page, "CLIPEncode", 300, 360)
    _add_at(page, "EmptyLatent", 60, 400)
    _add_at(page, "KSampler", 540, 100)
    _add_at(page, "VAEDecode", 780, 100)
    _add_at(page, "SaveImage", 1000, 100)
    for input_, output in _LINKS.items():
        wire(page, output, input_)
    node(page, "clip_encode").get_by_role("textbox", name="text").click()
    page.keyboard.type("a small green ring")
    steps = node(page, "ksampler").get_by_role("spinbutton", name="steps")
    steps.click()
    page.keyboard.type("4")

    run(page)

    expect(result(page)).to_be_visible()
    made = document(page)
    assert _links_of(made) == _LINKS
    assert made["nodes"]["clip_encode"]["inputs"]["text"] == "a small green ring"
    assert made["nodes"]["ksampler"]["inputs"]["steps"] == 4


def _choose(page: Page, dialog: str, text: str) -> None:
    """Type into a palette until what is wanted is chosen, and take it."""
    found = page.get_by_role("dialog", name=dialog)
    expect(found.get_by_role("combobox")).to_be_focused()
    page.keyboard.type(text)
    expect(found.get_by_role("option", selected=True)).to_contain_text(text)
    page.keyboard.press("Enter")
    expect(found).to_be_hidden()


def _connect(page: Page, id_: str, socket: str, to: str) -> None:
    """From a node that has the focus, go to a socket of it, and connect it: to another, or to a new node."""
    expect(node(page, id_)).to_be_focused()
    page.keyboard.press("Enter")
    names = node(page, id_).locator("[data-socket]")
    for _ in range(names.evaluate_all(f"all => all.findIndex(each => each.dataset.socket === '{socket}')")):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    _choose(page, "Connect to…", to)


def test_with_the_keyboard(page: Page) -> None:
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="New workflow")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("An empty graph.")).to_be_visible()
    page.keyboard.press("/")
    _choose(page, "Add a node", "LoadCheckpoint")
    _connect(page, "load_checkpoint", "output:model", "KSampler")
    _connect(page, "ksampler", "output:latent", "VAEDecode")
    _connect(page, "vae_decode", "output:image", "SaveImage")
    for kind in ("CLIPEncode", "CLIPEncode", "EmptyLatent"):
        page.keyboard.press("/")
        _choose(page, "Add a node", kind)

    page.keyboard.press("o")  # the rest in the list of nodes: each control is a stop of Tab, which focus() stands for
    outline = panel(page, "Outline")
    for id_ in ("ksampler", "vae_decode", "clip_encode", "clip_encode_2"):
        outline.get_by_role("button", name=re.compile(rf" {id_}( |$)")).press("Enter")
    for input_, output in _LINKS.items():
        if input_ in ("ksampler.model", "vae_decode.samples", "save_image.images"):
            continue
        outline.get_by_role("button", name=f"connect {input_}", exact=True).press("Enter")
        _choose(page, "Connect to…", output)
    outline.get_by_role("spinbutton", name="steps").focus()
    page.keyboard.type("4")
    page.keyboard.press("Control+Enter")

    expect(result(page)).to_be_visible()
    made = document(page)
    assert _links_of(made) == _LINKS
    assert made["nodes"]["ksampler"]["inputs"]["steps"] == 4
