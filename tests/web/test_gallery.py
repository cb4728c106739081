"""Pictures in the gallery: chosen, compared, deleted, and led back to the workflow that they are from."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.server.running import Server, one_node
from tests.web.editing import document, open_workflow, panel, result, run

pytestmark = pytest.mark.browser

_BOUNDARY = "between-parts"


def bring(server: Server, name: str, level: int) -> str:
    """Upload a picture of one grey, and give its asset."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(file, "PNG")
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    raw = f"--{_BOUNDARY}\r\n{head}".encode() + file.getvalue() + f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return str(server.ask("POST", "/assets", raw=raw, headers=kind).json["asset"])


def test_pictures_are_compared_and_deleted(page: Page, server: Server) -> None:
    assets = {name: bring(server, f"{name}.png", level) for level, name in enumerate(("one", "two", "three"), 41)}
    gallery = panel(page, "Gallery")
    pictures = gallery.get_by_role("list", name="Gallery").get_by_role("button")
    expect(pictures.nth(0)).to_have_accessible_name("Show three.png")

    pictures.nth(0).click(modifiers=["Control"])
    pictures.nth(2).click(modifiers=["Control"])
    expect(gallery.get_by_role("status")).to_have_text("2 chosen")
    gallery.get_by_role("button", name="Compare").click()
    compared = page.get_by_role("dialog")
    expect(compared.get_by_role("slider")).to_be_visible()
    expect(compared).to_contain_text("one.png")
    page.keyboard.press("Escape")
    expect(compared).to_be_hidden()

    page.keyboard.press("Tab")  # from Compare to Delete, and to the pictures
    page.keyboard.press("Tab")
    expect(pictures.nth(2)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    expect(pictures.nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    asked = page.get_by_role("dialog", name="Delete two.png?")
    expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
    asked.get_by_role("button", name="Delete").press("Enter")
    expect(asked).to_be_hidden()

    expect(pictures.nth(1)).to_have_accessible_name("Show one.png")
    expect(pictures.nth(1)).to_be_focused()
    assert server.ask("GET", f"/assets/{assets['two']}").status == 404
    assert server.ask("GET", f"/assets/{assets['one']}").status == 200


def test_a_picture_leads_to_its_workflow(page: Page) -> None:
    open_workflow(page, one_node("t.Paint", level=0.71), "Painted once")
    run(page)
    expect(result(page)).to_be_visible()
    page.get_by_role("button", name="New workflow").click()
    expect(page.get_by_text("An empty graph.")).to_be_visible()

    panel(page, "Gallery").get_by_role("list", name="Gallery").get_by_role("button").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Open its workflow").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(result(page)).to_be_visible()
    assert document(page)["nodes"]["n"]["inputs"] == {"level": 0.71}
