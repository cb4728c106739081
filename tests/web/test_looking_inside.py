"""Looking at what travels along wires, stopping on the way, and pictures that are no uploads."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.server.running import Json, Server, workflow
from tests.web.conftest import violations
from tests.web.editing import canvas, document, node, open_workflow, panel, run, socket

pytestmark = pytest.mark.browser


def painting(level: float) -> Json:
    """paint ──▶ copy"""
    nodes = {"paint": ("t.Paint", {"level": level}), "copy": ("t.SaveCopy", {"image": {"$link": "paint.image"}})}
    return workflow(nodes, ui={"nodes": {"paint": {"pos": [0, 0]}, "copy": {"pos": [400, 0]}}})


def test_a_wire_shows_its_last_value(page: Page, server: Server) -> None:
    open_workflow(page, painting(0.31), "To be probed")
    wire = canvas(page).locator(".react-flow__edge-interaction")
    wire.hover()
    unknown = page.get_by_role("tooltip", name="Last value of paint.image")
    expect(unknown).to_contain_text("not in memory")
    run(page)
    expect(page.get_by_role("status").filter(has_text="To be probed is done")).to_be_attached()

    page.mouse.move(5, 5)
    expect(unknown).to_be_hidden()
    wire.hover()
    expect(unknown.get_by_role("img", name="Picture of paint.image")).to_be_visible()
    expect(unknown).to_contain_text("1 × 64 × 64 × 3")
    page.mouse.move(5, 5)

    wire.click(button="right")
    page.get_by_role("menuitem", name="Show value").click()
    card = page.get_by_role("dialog", name="Last value of paint.image")
    expect(card).to_be_focused()
    expect(card).to_contain_text("float32")
    expect(card).to_contain_text("0.31")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_a_value_is_shown_by_keyboard(page: Page) -> None:
    open_workflow(page, painting(0.32), "To be probed by keyboard")
    run(page)
    expect(page.get_by_role("status").filter(has_text="To be probed by keyboard is done")).to_be_attached()
    output = socket(page, "paint.image", "Output")
    output.focus()
    page.keyboard.press("v")
    card = page.get_by_role("dialog", name="Last value of paint.image")
    expect(card).to_contain_text("0.32")
    page.keyboard.press("Escape")
    expect(output).to_be_focused()


def test_a_run_stops_at_a_breakpoint_and_goes_on(page: Page, server: Server) -> None:
    open_workflow(page, painting(0.33), "To be stopped")
    node(page, "copy").locator(".card-title").click()
    page.keyboard.press("F9")
    expect(node(page, "copy").get_by_role("button", name="Breakpoint")).to_be_visible()
    assert document(page)["ui"]["nodes"]["copy"]["breakpoint"] is True

    run(page)
    go_on = page.get_by_role("button", name="Continue", exact=True)
    expect(go_on).to_be_visible()
    expect(node(page, "paint").get_by_role("img", name="done")).to_be_visible()
    expect(page.get_by_role("button", name="Stopped before copy")).to_be_visible()
    assert violations(page) == []

    go_on.click()
    expect(node(page, "copy").get_by_role("img", name="done")).to_be_visible()
    expect(node(page, "paint").get_by_role("img", name="cached")).to_be_visible()
    expect(go_on).to_be_hidden()

    node(page, "copy").get_by_role("button", name="Breakpoint").click()
    expect(node(page, "copy").get_by_role("button", name="Breakpoint")).to_be_hidden()
    run(page)
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    expect(go_on).to_be_hidden()


def test_a_shipped_picture_is_shown_and_painted_on(page: Page) -> None:
    nodes = {"load": ("LoadImage", {"image": "inputs/blue_square.png"})}
    open_workflow(page, workflow(nodes), "To be painted on")
    load = node(page, "load")
    picture = load.get_by_role("img", name="blue_square")
    expect(picture).to_be_visible()
    brush = load.get_by_role("button", name="Paint a mask")
    expect(brush).to_be_enabled()
    brush.click()
    expect(page.get_by_role("button", name="Save mask")).to_be_enabled()
    assert violations(page) == []


def test_a_renamed_workflow_keeps_its_versions(page: Page, server: Server) -> None:
    version = None
    for level in (0.1, 0.2):
        sent = {"workflow": painting(level), "version": version}
        version = server.ask("PUT", "/workflows/before", sent).json["version"]
    library = panel(page, "Workflows")
    library.get_by_role("button", name="before", exact=True).click()
    library.get_by_role("button", name="Actions for before").click()
    page.get_by_role("menuitem", name="Rename").click()
    field = library.get_by_role("textbox", name="Name")
    field.fill("after")
    field.press("Enter")
    library.get_by_role("button", name="Actions for after").click()
    page.get_by_role("menuitem", name="Versions").click()
    expect(library.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("tab", selected=True)).to_contain_text("after")
    assert server.ask("GET", "/workflows/before").status == 404
    assert all(each["name"] != "before" for each in server.ask("GET", "/trash").json["workflows"])


def test_what_a_declared_input_says_is_found(page: Page) -> None:
    declared = {"words": {"type": "STRING", "default": "a lighthouse in fog", "to": ["far.text"]}}
    looks = {"nodes": {"near": {"pos": [0, 0]}, "far": {"pos": [6000, 2000]}}}
    nodes: dict[str, tuple[str, Json]] = {"near": ("t.Say", {}), "far": ("t.Say", {})}
    open_workflow(page, workflow(nodes, inputs=declared, ui=looks), "To be searched")
    canvas(page).focus()
    page.keyboard.press("Control+f")
    page.get_by_role("combobox", name="Find in the graph").fill("lighthouse")
    page.get_by_role("option", name="far").click()
    expect(node(page, "far")).to_be_focused()


def test_a_problem_inside_of_a_sub_graph_is_gone_to(page: Page) -> None:
    inner = {
        "nodes": {"bad": {"type": "t.Ordered", "inputs": {"low": 5, "high": 2}}},
        "outputs": {"value": {"from": "bad.value"}},
        "ui": {"nodes": {"bad": {"pos": [4000, 3000]}}},
    }
    open_workflow(page, workflow({"s": ("subgraph:inner", {})}, subgraphs={"inner": inner}), "Wrong inside")
    page.get_by_role("button", name="1 problem").click()
    page.get_by_role("list", name="Problems of this workflow").get_by_role("button").first.click()
    expect(node(page, "bad")).to_be_focused()
    expect(node(page, "bad")).to_be_in_viewport()
