"""The canvas by mouse and keys: arranging, frames, notes, wires and their points, the view."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.running import workflow
from tests.web.editing import Json, canvas, command, document, node, open_workflow, socket

pytestmark = pytest.mark.browser

CHAIN = {
    **workflow(
        {
            "one": ("t.Number", {"value": 1.0}),
            "two": ("t.Add", {"a": {"$link": "one.number"}, "b": 2.0}),
            "three": ("t.Add", {"a": {"$link": "two.sum"}, "b": 3.0}),
            "loose": ("t.Add", {"b": 5.0}),
        }
    ),
    "ui": {
        "nodes": {
            "one": {"pos": [0, 0]},
            "two": {"pos": [400, 60]},
            "three": {"pos": [800, 130]},
            "loose": {"pos": [400, 400]},
        },
        "view": {"x": 60, "y": 80, "zoom": 1},
    },
}
_VIEW = "() => document.querySelector('.react-flow__viewport').style.transform"

Point = tuple[float, float]


def _middle(thing: Locator) -> Point:
    box = thing.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _drag(page: Page, from_: Point, by: Point) -> None:
    page.mouse.move(*from_)
    page.mouse.down()
    page.mouse.move(from_[0] + 1, from_[1] + 2)  # dragging begins here
    page.mouse.move(from_[0] + by[0], from_[1] + by[1], steps=6)
    page.mouse.up()


def _header(page: Page, id_: str) -> Point:
    box = node(page, id_).bounding_box()
    assert box is not None
    return box["x"] + 60, box["y"] + 12


def _between(page: Page, output: str, input_: str) -> Point:
    (x, y), (right, bottom) = _middle(socket(page, output, "Output")), _middle(socket(page, input_, "Input"))
    return (x + right) / 2, (y + bottom) / 2


def _places(workflow_: Json, *ids: str) -> list[list[float]]:
    return [workflow_["ui"]["nodes"][id_]["pos"] for id_ in ids]


def _select(page: Page, *ids: str) -> None:
    page.mouse.click(*_header(page, ids[0]))
    page.keyboard.down("Shift")
    for id_ in ids[1:]:
        page.mouse.click(*_header(page, id_))
    page.keyboard.up("Shift")


def test_align_distribute_and_lay_out_are_one_edit_each(page: Page) -> None:
    open_workflow(page, CHAIN)
    _select(page, "one", "two", "three")
    command(page, "Align top edges")
    page.mouse.click(*_header(page, "two"), button="right")
    page.get_by_role("menuitem", name="Align left edges").click()
    assert _places(document(page), "one", "two", "three") == [[0, 0], [0, 0], [0, 0]]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Shift+l")
    expect(page.get_by_role("status").filter(has_text="Lay out along the links")).to_be_attached()
    laid = _places(document(page), "one", "two", "three")
    assert laid[0][0] < laid[1][0] < laid[2][0]
    page.keyboard.press("Control+z")
    assert document(page) == {**document(page), "ui": CHAIN["ui"]}


def test_a_frame_takes_along_what_lies_in_it_and_notes_are_resized(page: Page) -> None:
    open_workflow(page, CHAIN)
    _select(page, "one", "two")
    page.keyboard.press("f")
    page.keyboard.type("Begin")
    page.keyboard.press("Enter")
    frame = canvas(page).locator(".react-flow__node-frame")
    expect(frame).to_contain_text("Begin")
    box = frame.bounding_box()
    assert box is not None
    _drag(page, (box["x"] + 150, box["y"] + 12), (50, 50))
    moved = document(page)
    assert _places(moved, "one", "two", "three") == [[50, 50], [450, 110], [800, 130]]
    size = moved["ui"]["groups"][0]["size"]

    _drag(page, _middle(frame.locator(".handle.bottom.right")), (60, 40))
    canvas(page).focus()
    page.keyboard.press("n")
    page.keyboard.type("Why")
    page.keyboard.press("Escape")
    note = canvas(page).locator(".react-flow__node-note")
    _drag(page, _middle(note.locator(".handle.bottom.right")), (60, 40))
    resized = document(page)["ui"]
    assert resized["groups"][0]["size"] == [size[0] + 60, size[1] + 40]
    assert [(each["text"], each["size"]) for each in resized["notes"]] == [("Why", [300, 160])]


def test_wires_are_dropped_on_nodes_spliced_bent_and_cut(page: Page) -> None:
    open_workflow(page, CHAIN)
    start = document(page)
    x, y = _between(page, "two.sum", "three.a")
    page.mouse.dblclick(x, y)
    point = canvas(page).get_by_role("button", name="Reroute 1 of")
    _drag(page, _middle(point), (10, 100))
    assert document(page)["ui"]["reroutes"]["three.a"][0][1] > 200
    point.press("Delete")
    expect(point).to_have_count(0)

    from_ = _middle(node(page, "loose"))
    _drag(page, _header(page, "loose"), (x - from_[0], y - from_[1]))
    spliced = document(page)["nodes"]
    assert spliced["loose"]["inputs"]["a"] == {"$link": "two.sum"}
    assert spliced["three"]["inputs"]["a"] == {"$link": "loose.sum"}
    page.keyboard.press("Control+z")

    output = _middle(socket(page, "three.sum", "Output"))
    to = _header(page, "loose")
    _drag(page, output, (to[0] - output[0], to[1] - output[1]))
    assert document(page)["nodes"]["loose"]["inputs"]["a"] == {"$link": "three.sum"}
    page.mouse.click(x, y)
    expect(canvas(page).locator(".react-flow__edge.selected")).to_have_count(1)
    page.keyboard.press("Delete")
    assert "a" not in document(page)["nodes"]["three"]["inputs"]
    for _ in range(5):
        page.keyboard.press("Control+z")
    assert document(page) == start


def test_the_saved_view_is_opened_again_and_the_map_moves_it(page: Page) -> None:
    view = {"x": 210, "y": 130, "zoom": 0.3}
    open_workflow(page, {**CHAIN, "ui": {**CHAIN["ui"], "view": view}})
    assert page.evaluate(_VIEW) == "translate(210px, 130px) scale(0.3)"
    expect(canvas(page).locator(".react-flow__edge-path")).to_have_count(2)  # those of nodes never seen close up
    tool = canvas(page).get_by_role("button", name="Minimap")
    tool.click()
    _drag(page, _middle(canvas(page).locator(".react-flow__minimap")), (30, 10))
    assert page.evaluate(_VIEW) != "translate(210px, 130px) scale(0.3)"
    tool.click()
    page.keyboard.press("Shift+!")  # no motion is wanted in these tests: it is there at once
    match = re.search(r"scale\((.*)\)", page.evaluate(_VIEW))
    assert match is not None
    assert float(match[1]) == 1


def test_copies_keep_their_wires_in_another_tab_and_things_snap_if_wanted(page: Page) -> None:
    open_workflow(page, CHAIN)
    _drag(page, _header(page, "loose"), (33, 44))
    assert _places(document(page), "loose") == [[430, 440]]
    command(page, "Snap to the grid, or not")
    _drag(page, _header(page, "loose"), (33, 44))
    assert _places(document(page), "loose") == [[462, 482]]
    _select(page, "one", "two")
    page.keyboard.press("Control+c")
    open_workflow(page, workflow({"two": ("t.Number", {})}), "Other")
    expect(node(page, "two")).to_be_visible()
    canvas(page).focus()
    page.keyboard.press("Control+v")
    expect(canvas(page).locator(".react-flow__node")).to_have_count(3)
    nodes = document(page)["nodes"]
    assert nodes["two_2"]["inputs"] == {"a": {"$link": "one.number"}, "b": 2}


def test_keys_that_were_chosen_take_the_place_of_the_usual_ones(page: Page) -> None:
    open_workflow(page, CHAIN)
    page.keyboard.press("Shift+?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.get_by_role("button", name="Change the keys of “Mute”, now M").click()
    page.keyboard.press("b")
    keys.get_by_role("button", name="Change the keys of “Mute”, now B").wait_for()
    expect(keys.get_by_role("button", name="Change the keys of “Bypass”, now –")).to_be_visible()
    page.keyboard.press("Escape")
    _select(page, "one")
    page.keyboard.press("m")
    page.keyboard.press("b")
    assert document(page)["nodes"]["one"]["mode"] == "muted"  # both would leave it normal
