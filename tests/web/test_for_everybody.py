"""Every view by axe's rules, in the light and in the dark; where the focus goes, and what is told to who can't see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.running import workflow
from tests.web.conftest import violations
from tests.web.editing import canvas, node, open_workflow, panel, result, run, socket, tab

pytestmark = pytest.mark.browser

PANELS = ("Workflows", "Inputs", "Outline", "Node help", "Gallery", "Queue", "History", "Plots")

INNER = {"nodes": {"one": {"type": "t.Number", "inputs": {}}}, "outputs": {"number": {"from": "one.number"}}}

PAINTING = workflow(
    {
        "load": ("LoadImage", {"image": "inputs/blue_square.png"}),
        "copy": ("t.SaveCopy", {"image": {"$link": "load.image"}}),
        "paint": ("t.Paint", {}),
        "inside": ("subgraph:inner", {}),
    },
    inputs={"level": {"type": "FLOAT", "default": 0.4, "to": ["paint.level"], "doc": "How light."}},
    subgraphs={"inner": INNER},
    ui={
        "nodes": {
            "load": {"pos": [0, 0]},
            "copy": {"pos": [340, 0]},
            "paint": {"pos": [340, 160]},
            "inside": {"pos": [0, 420]},
        }
    },
)

Look = Callable[[str], None]


@pytest.fixture
def painted(page: Page) -> Page:
    """The editor with pictures made and a node selected."""
    open_workflow(page, PAINTING, "Painted")
    run(page)
    expect(result(page)).to_be_visible()
    node(page, "paint").locator(".card-title").click()
    expect(node(page, "paint")).to_be_focused()
    return page


@pytest.fixture
def look(painted: Page) -> Iterator[Look]:
    """Look at what is shown now; what is wrong with it fails the test in its end, so that it tells of all."""
    found: list[str] = []
    yield lambda view: found.extend(f"{view}: {each}" for each in violations(painted))
    assert found == []


def _leave(page: Page, shown: Locator) -> None:
    """Leave a dialog or a menu by Escape: the focus is back where it was."""
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()


def test_panels(painted: Page, look: Look) -> None:
    look("canvas")
    for name in PANELS:
        content = panel(painted, name)
        expect(content.get_by_text("Loading…")).to_have_count(0)
        if name == "Outline":
            content.get_by_role("button", name="t.Paint paint").click()
            expect(content.get_by_role("list", name="Inputs and outputs of")).to_be_visible()
        if name == "History":
            content.get_by_role("button", name="Log: Painted").first.click()
            expect(content.get_by_text("It has printed nothing.")).to_be_visible()
            content.get_by_role("button", name="Compare with now: Painted").first.click()
            expect(content.get_by_text("It is the same as what is open now.")).to_be_visible()
        look(name)
    painted.set_viewport_size({"width": 390, "height": 844})
    look("a panel on a phone")
    painted.get_by_role("button", name="Close Plots").click()
    look("a phone")


def test_dialogs(painted: Page, look: Look) -> None:
    for key, name in (
        ("/", "Add a node"),
        ("Control+k", "All commands"),
        ("Control+f", "Find in the graph"),
        ("Shift+?", "Keys"),
        ("Control+Shift+s", "Save as…"),
    ):
        painted.keyboard.press(key)
        dialog = painted.get_by_role("dialog", name=name)
        expect(dialog).to_be_visible()
        look(name)
        _leave(painted, dialog)
        expect(node(painted, "paint")).to_be_focused()

    shown = painted.get_by_role("menu")
    for name, place in (
        ("node", node(painted, "paint").locator(".card-title")),
        ("input", socket(painted, "paint.side", "Input")),
        ("link", canvas(painted).locator(".react-flow__edge-interaction").first),
        ("tab", tab(painted)),
    ):
        place.click(button="right")
        expect(shown.get_by_role("menuitem").first).to_be_focused()
        look(f"menu of a {name}")
        _leave(painted, shown)
    painted.get_by_role("button", name="More ways to run").click()
    expect(shown).to_be_visible()
    look("menu of Run")
    _leave(painted, shown)
    expect(painted.get_by_role("button", name="More ways to run")).to_be_focused()


def test_pictures(painted: Page, look: Look) -> None:
    large = painted.get_by_role("dialog")
    result(painted).click()
    expect(large).to_be_visible()
    look("lightbox")
    painted.keyboard.press("Delete")
    asked = painted.get_by_role("dialog", name="Delete")
    expect(asked.get_by_role("button", name="Cancel")).to_be_focused()
    look("deleting")
    _leave(painted, asked)
    _leave(painted, large)

    gallery = panel(painted, "Gallery")
    pictures = gallery.get_by_role("list", name="Gallery").get_by_role("button")
    for place in (0, 1):
        pictures.nth(place).click(modifiers=["Control"])
    look("choosing")
    gallery.get_by_role("button", name="Compare").click()
    expect(painted.get_by_role("slider")).to_be_visible()
    look("comparing")
    _leave(painted, large)

    node(painted, "load").get_by_role("button", name="Paint a mask").click()
    expect(painted.get_by_role("button", name="Save mask")).to_be_enabled()
    large.get_by_role("button", name="Invert").click()
    painted.keyboard.press("Escape")
    expect(painted.get_by_role("alertdialog").get_by_role("button").first).to_be_focused()
    look("mask painter")
    painted.get_by_role("button", name="Discard").click()
    expect(large).to_be_hidden()
    expect(node(painted, "load").get_by_role("button", name="Paint a mask")).to_be_focused()


def test_sweeps_and_sub_graphs(painted: Page, look: Look) -> None:
    socket(painted, "paint.side", "Input").click(button="right")
    painted.get_by_role("menuitem", name="Sweep…").click()
    asked = painted.get_by_role("dialog")
    asked.get_by_role("textbox", name="Values of side").fill("8\n16")
    look("sweep")
    asked.get_by_role("button", name="Run 2 jobs").click()
    expect(asked.get_by_role("button", name="Show 16")).to_be_visible()
    look("results of a sweep")
    _leave(painted, asked)

    node(painted, "inside").get_by_role("button", name="Enter the sub-graph inner").click()
    expect(painted.get_by_role("navigation", name="Sub-graphs")).to_be_visible()
    look("sub-graph")


def test_what_is_said_twice_is_told_twice(painted: Page) -> None:
    """Screen readers tell what changes: the same text again would be passed over."""
    painted.evaluate(
        """() => {
            window.told = [];
            const note = (changes) => changes.forEach((change) =>
                change.addedNodes.forEach((added) => window.told.push(added.textContent)));
            new MutationObserver(note).observe(document.querySelector(".unseen[role=status]"), { childList: true });
        }"""
    )
    for name in ("paint", "copy"):
        node(painted, name).locator(".card-title").click()
        expect(node(painted, name)).to_be_focused()
        painted.keyboard.press("Shift+ArrowDown")
    for _ in range(2):
        painted.keyboard.press("Control+z")
    painted.wait_for_function("() => window.told.filter((text) => text === 'Undone: Moved: 1').length === 2")
