"""The editor on a phone: what fingers do, and that everything is within their reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect

from tests.server.running import Server, workflow
from tests.web.conftest import opened
from tests.web.editing import canvas, document, node, open_workflow, panel, socket

pytestmark = pytest.mark.browser

PAIR = {
    **workflow(
        {"one": ("t.Number", {"value": 1.0}), "two": ("t.Add", {"b": 2.0})}, outputs={"total": {"from": "two.sum"}}
    ),
    "ui": {"nodes": {"one": {"pos": [0, 0]}, "two": {"pos": [0, 200]}}, "view": {"x": 50, "y": 60, "zoom": 1}},
}
_VIEW = "() => document.querySelector('.react-flow__viewport').style.transform"

Point = tuple[float, float]


@pytest.fixture
def phone(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    context.set_default_timeout(30_000)
    with opened(context, server) as page:
        yield page
    context.close()


def _touch(session: CDPSession, kind: str, *fingers: Point) -> None:
    points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def _move(session: CDPSession, *paths: tuple[Point, Point]) -> None:
    """Move fingers, each from one point to another, at once."""
    _touch(session, "touchStart", *(from_ for from_, _ in paths))
    for step in range(1, 7):
        share = step / 6
        _touch(session, "touchMove", *((a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in paths))
    _touch(session, "touchEnd")


def _middle(thing: Locator) -> Point:
    box = thing.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _head(page: Page, id_: str) -> Point:
    box = node(page, id_).bounding_box()
    assert box is not None
    return box["x"] + 40, box["y"] + 12


def test_fingers_pan_pinch_select_wire_and_open_menus(phone: Page) -> None:
    session = phone.context.new_cdp_session(phone)
    open_workflow(phone, PAIR)
    expect(node(phone, "two")).to_be_visible()
    phone.get_by_role("button", name="Select several by touch").tap()
    for id_ in ("one", "two"):
        phone.touchscreen.tap(*_head(phone, id_))
    expect(canvas(phone).locator(".react-flow__node.selected")).to_have_count(2)
    phone.get_by_role("button", name="Select several by touch").tap()
    x, y = _head(phone, "two")
    _move(session, ((x, y), (x, y + 60)))
    moved = document(phone)["ui"]["nodes"]
    assert moved["one"]["pos"][1] >= 40
    assert moved["two"]["pos"][1] == moved["one"]["pos"][1] + 200

    _move(session, (_middle(socket(phone, "one.number", "Output")), _middle(socket(phone, "two.a", "Input"))))
    expect(socket(phone, "two.a", "Input")).to_have_accessible_name("Input a, FLOAT, linked")

    view = phone.evaluate(_VIEW)
    _move(session, ((200, 600), (230, 640)))
    panned = phone.evaluate(_VIEW)
    assert panned != view
    assert "scale(1)" in panned
    _move(session, ((150, 600), (170, 600)), ((250, 600), (230, 600)))
    assert "scale(1)" not in phone.evaluate(_VIEW)

    _touch(session, "touchStart", _head(phone, "one"))
    menu = phone.get_by_role("menu", name="Node")
    expect(menu).to_be_visible()
    _touch(session, "touchEnd")
    menu.get_by_role("menuitem", name="Mute").tap()
    expect(menu).to_be_hidden()
    assert {each["mode"] for each in document(phone)["nodes"].values()} == {"muted"}  # both are still selected


def test_run_and_panels_are_within_reach(phone: Page) -> None:
    open_workflow(phone, {**PAIR, "nodes": {**PAIR["nodes"], "two": {"type": "t.Add", "inputs": {"a": 1.0}}}})
    for name in ("Workflows", "Queue"):
        sheet = panel(phone, name)
        expect(sheet).to_be_visible()
        box = sheet.bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, 390)
    panel(phone, "Queue").get_by_role("button", name="Close").tap()
    phone.get_by_role("button", name="Run", exact=True).tap()
    expect(phone.get_by_role("region", name="Result")).to_contain_text("1")
    assert phone.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
