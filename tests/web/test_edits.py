"""Sub-graphs, undo, and two pages that edit one workflow."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.server.running import Server, workflow
from tests.web.conftest import opened
from tests.web.editing import Json, canvas, command, document, node, open_workflow, panel, run, socket, tab

pytestmark = pytest.mark.browser

SUM = workflow(
    {
        "one": ("t.Number", {"value": 1.0}),
        "two": ("t.Add", {"a": {"$link": "one.number"}, "b": 2.0}),
        "three": ("t.Add", {"a": {"$link": "two.sum"}, "b": 3.0}),
    },
    outputs={"total": {"from": "three.sum"}},
)


def _head(page: Page, id_: str) -> None:
    """Click on a node's header."""
    node(page, id_).click(position={"x": 12, "y": 10})


def test_subgraph_and_undo_of_everything(page: Page) -> None:
    open_workflow(page, SUM, "Sum")
    start = document(page)
    _head(page, "two")
    page.keyboard.down("Shift")
    _head(page, "three")
    page.keyboard.up("Shift")

    page.keyboard.press("Control+g")
    page.get_by_role("button", name="Enter the sub-graph subgraph").click()
    path = page.get_by_role("navigation", name="Sub-graphs")
    expect(path).to_contain_text("subgraph")
    expect(node(page, "one")).to_be_hidden()
    node(page, "two").get_by_role("spinbutton", name="b").click()
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    path.get_by_role("button", name="Sum").click()
    expect(node(page, "one")).to_be_visible()
    run(page)
    expect(page.get_by_role("region", name="Result")).to_contain_text("24")

    _head(page, "one")
    page.keyboard.press("m")
    page.keyboard.press("c")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Delete")
    assert set(document(page)["nodes"]).isdisjoint(start["nodes"])
    _undo_all(page)
    assert document(page) == start
    expect(tab(page).get_by_role("img", name="not saved yet")).to_be_attached()  # a dropped file is nowhere else


def test_subgraphs_and_nodes_are_called_otherwise_and_give_their_outputs(page: Page) -> None:
    open_workflow(page, SUM, "Sum")
    _head(page, "two")
    page.keyboard.press("Control+g")
    page.get_by_role("button", name="Enter the sub-graph subgraph").click()
    path = page.get_by_role("navigation", name="Sub-graphs")

    path.get_by_role("button", name="subgraph", exact=True).click()
    _answer(page, "Rename the sub-graph…", "plus two")
    expect(page.get_by_role("region", name="Messages").get_by_role("alert")).to_contain_text("can't be a name")
    page.get_by_role("button", name="Dismiss").click()
    path.get_by_role("button", name="subgraph", exact=True).click()
    _answer(page, "Rename the sub-graph…", "plus_two")
    expect(path.get_by_role("button", name="plus_two")).to_be_visible()

    _head(page, "two")
    command(page, "Change the id…")
    _answer(page, "Change the id…", "adder")
    socket(page, "adder.sum", "Output").click(button="right")
    expect(page.get_by_role("menuitem", name="Take “sum” off the outputs")).to_be_visible()
    page.keyboard.press("Escape")
    path.get_by_role("button", name="Sum").click()
    socket(page, "three.sum", "Output").click(button="right")
    page.get_by_role("menuitem", name="Take “total” off the outputs").click()
    socket(page, "one.number", "Output").click(button="right")
    page.get_by_role("menuitem", name="Make it a result of the workflow").click()

    made = document(page)
    assert made["outputs"] == {"number": {"from": "one.number"}}
    assert made["nodes"]["subgraph"]["type"] == "subgraph:plus_two"
    assert made["subgraphs"]["plus_two"]["outputs"] == {"sum": {"from": "adder.sum"}}
    _head(page, "subgraph")
    page.keyboard.press("Delete")
    command(page, "Delete unused sub-graphs")
    assert "subgraphs" not in document(page)


def test_a_node_is_made_wider_and_narrow_again(page: Page) -> None:
    open_workflow(page, SUM, "Sum")
    one = node(page, "one")
    _head(page, "one")
    before = _width(one)
    handle = one.locator(".react-flow__resize-control")
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 15  # beside a row without a socket there
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=5)
    page.mouse.up()
    wide = document(page)["ui"]["nodes"]["one"]["size"][0]
    assert wide >= 330
    assert _width(one) > before
    one.focus()
    page.keyboard.press("]")
    assert document(page)["ui"]["nodes"]["one"]["size"][0] == wide + 20
    one.focus()
    for _ in range(2):  # the drag is one entry, and the key another
        page.keyboard.press("Control+z")
    expect(one).to_have_css("width", "280px")
    assert "size" not in document(page)["ui"]["nodes"]["one"]


def _width(of: Locator) -> float:
    box = of.bounding_box()
    assert box is not None
    return box["width"]


def _answer(page: Page, question: str, name: str) -> None:
    asked = page.get_by_role("dialog", name=question)
    asked.get_by_role("textbox", name="Name").fill(name)
    asked.get_by_role("button", name="Save").click()
    expect(asked).to_be_hidden()


def _undo_all(page: Page) -> None:
    canvas(page).focus()
    for _ in range(20):  # more often than there was something done
        page.keyboard.press("Control+z")
    expect(page.get_by_role("status").filter(has_text="Undone: ")).to_be_attached()
    page.keyboard.press("Control+k")
    undo = page.get_by_role("dialog", name="All commands").get_by_role("option", name="Undo")
    expect(undo).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Escape")


def _save_as(page: Page, name: str) -> None:
    command(page, "Save as…")
    asked = page.get_by_role("dialog", name="Save as…")
    asked.get_by_role("textbox", name="Name").fill(name)
    asked.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Messages")).to_contain_text(f"Saved as {name}")


def _set_value(page: Page, id_: str, value: str) -> None:
    node(page, id_).get_by_role("spinbutton", name="value").click()
    page.keyboard.type(value)
    page.keyboard.press("Enter")


def _shown(page: Page) -> Json:
    """Give the value that node 'one' has in what is shown."""
    return document(page)["nodes"]["one"]["inputs"]["value"]


def _saved(server: Server, name: str) -> Json:
    """Give the value that node 'one' has in the library."""
    workflow = server.ask("GET", f"/workflows/{quote(name)}").json["workflow"]
    return workflow["nodes"]["one"]["inputs"]["value"]


def _edit_in_both(page: Page, other: Page, name: str) -> Locator:
    """Set 'one' to 11 in another page, which is saved, then to 12 in this one; gives what is told there."""
    open_workflow(page, SUM, "Sum")
    _save_as(page, name)
    panel(other, "Workflows").get_by_role("button", name=name, exact=True).click()
    expect(tab(other)).to_contain_text(name)
    with other.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        _set_value(other, "one", "11")
    _set_value(page, "one", "12")
    told = page.get_by_role("alert").filter(has_text=f"“{name}” was changed somewhere else.")
    expect(told).to_be_visible()
    return told


def test_two_pages_edit_one_workflow_and_mine_is_kept(context: BrowserContext, page: Page, server: Server) -> None:
    with opened(context, server) as other:
        told = _edit_in_both(page, other, "mine wins")
        assert _saved(server, "mine wins") == 11
        told.get_by_role("button", name="Keep mine").click()
        expect(told).to_be_hidden()
        assert _saved(server, "mine wins") == 12
    page.get_by_role("button", name="Workflows", exact=True).click()
    page.get_by_role("button", name="Actions for mine wins").click()
    page.get_by_role("menuitem", name="Earlier versions").click()
    expect(page.get_by_role("button", name="Version of")).to_have_count(2)  # theirs is one of them


def test_two_pages_edit_one_workflow_and_theirs_is_taken(context: BrowserContext, page: Page, server: Server) -> None:
    with opened(context, server) as other:
        told = _edit_in_both(page, other, "theirs wins")
        told.get_by_role("button", name="Take theirs").click()
        expect(told).to_be_hidden()
        assert _shown(page) == 11
        assert _saved(server, "theirs wins") == 11
        canvas(page).focus()
        with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
            page.keyboard.press("Control+z")
        assert _shown(page) == 12  # what was given up comes back, and is saved on top of theirs
        assert _saved(server, "theirs wins") == 12


def test_two_pages_edit_one_workflow_and_both_are_kept(context: BrowserContext, page: Page, server: Server) -> None:
    with opened(context, server) as other:
        told = _edit_in_both(page, other, "both stay")
        told.get_by_role("button", name="Open theirs in a new tab").click()
        expect(told).to_be_hidden()
        expect(tab(page)).to_contain_text("both stay")
        assert _shown(page) == 11
        page.get_by_role("tab", name="both stay copy").click()
        assert _shown(page) == 12
        assert (_saved(server, "both stay"), _saved(server, "both stay copy")) == (11, 12)
