"""Large graphs: only what is in view is drawn, and from far away all of it is one picture that can be worked in."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.bench.web import COLUMNS, HEIGHT, WIDTH, grid_of
from tests.web.editing import canvas, command, document, node, open_workflow

pytestmark = pytest.mark.browser

_VIEW = "() => document.querySelector('.react-flow__viewport').style.transform"


def _overview(page: Page) -> None:
    command(page, "Show everything")
    expect(canvas(page).locator("canvas.overview")).to_be_attached()
    expect(canvas(page).locator(".react-flow__node")).to_have_count(0)


def _at(page: Page, number: int) -> tuple[float, float]:
    """Find where the middle of a node is on the screen."""
    x, y, zoom = (float(each) for each in re.findall(r"-?\d[\d.]*", page.evaluate(_VIEW)))
    box = canvas(page).bounding_box()
    assert box is not None
    left, top = WIDTH * (number % COLUMNS) + WIDTH / 2, HEIGHT * (number // COLUMNS) + 60
    return box["x"] + x + left * zoom, box["y"] + y + top * zoom


def _drag(page: Page, from_: tuple[float, float], to: tuple[float, float]) -> None:
    page.mouse.move(*from_)
    page.mouse.down()
    page.mouse.move(*to, steps=3)
    page.mouse.up()


def test_thousand_nodes_are_worked_with_as_one_picture(page: Page) -> None:
    open_workflow(page, grid_of(1000, 1500, 1.0))
    expect(node(page, "n0")).to_be_visible()
    assert canvas(page).locator(".react-flow__node").count() < 50
    start = document(page)
    _overview(page)

    view = page.evaluate(_VIEW)
    page.mouse.click(*_at(page, 130))
    page.keyboard.press("m")
    _drag(page, _at(page, 130), _at(page, 157))  # two columns to the right, one row down
    page.keyboard.down("Shift")
    _drag(page, _at(page, 0), _at(page, 2))
    page.mouse.click(*_at(page, 1))
    page.keyboard.up("Shift")
    page.keyboard.press("b")
    assert page.evaluate(_VIEW) == view
    edited = document(page)
    modes = {id_: each["mode"] for id_, each in edited["nodes"].items() if "mode" in each}
    assert modes == {"n130": "muted", "n0": "bypassed", "n2": "bypassed"}
    x, y = edited["ui"]["nodes"]["n130"]["pos"]
    assert abs(x - 7 * WIDTH) <= 30  # a pixel of the screen is 20 units here
    assert abs(y - 6 * HEIGHT) <= 30

    _drag(page, (300, 200), (320, 230))  # left of all nodes: the view is moved
    assert page.evaluate(_VIEW) != view
    page.mouse.dblclick(*_at(page, 208))
    expect(node(page, "n208")).to_be_visible()
    canvas(page).focus()
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert document(page) == start


def test_five_thousand_nodes_open_and_can_be_edited(page: Page) -> None:
    open_workflow(page, grid_of(5000, 7500, 1.0))
    node(page, "n1").click(position={"x": 12, "y": 10})
    page.keyboard.press("m")
    expect(node(page, "n1")).to_contain_text("muted")
    page.keyboard.press("Control+z")
    expect(node(page, "n1")).not_to_contain_text("muted")
    _overview(page)
    page.mouse.click(*_at(page, 4999))
    page.keyboard.press("Delete")
    expect(page.get_by_role("status").filter(has_text="Deleted: 1")).to_be_attached()
