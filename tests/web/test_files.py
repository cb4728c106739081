"""Files that are dropped on the page and exported from it: nothing in them is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.server.running import PACK, one_node, workflow
from tests.web.editing import Json, command, document, drop_file, node, open_workflow, panel, result, run, tab

pytestmark = pytest.mark.browser

BEYOND_FLOATS = 18446744073709551615
SPOKEN = 'it\'s $HOME, "quoted" \\ `ls`; 星 = é'


def test_a_picture_brings_its_workflow_back(page: Page) -> None:
    made = workflow({"n": ("t.Paint", {"level": 0.25})}, meta={"name": "Grey"})
    open_workflow(page, made, "Grey")
    run(page)
    expect(result(page)).to_be_visible()
    with page.expect_download() as download:
        command(page, "Export as a picture with the workflow")
    picture = Path(download.value.path()).read_bytes()
    before = document(page)

    node(page, "n").click(position={"x": 8, "y": 8})
    page.keyboard.press("Delete")
    expect(node(page, "n")).to_be_hidden()
    drop_file(page, "Grey.png", picture, "image/png")

    expect(node(page, "n")).to_be_visible()
    assert document(page) == before
    assert before["nodes"]["n"]["inputs"] == {"level": 0.25}


def test_a_workflow_without_places_is_laid_out(page: Page) -> None:
    made = workflow({"a": ("t.Say", {}), "b": ("t.Say", {}), "c": ("t.Say", {})}, meta={"name": "Script"})
    drop_file(page, "script.json", json.dumps(made).encode(), "application/json")
    expect(tab(page)).to_contain_text("Script")
    expect(node(page, "c")).to_be_visible()
    page.wait_for_function(
        """() => {
            const cards = [...document.querySelectorAll(".react-flow__node")];
            return new Set(cards.map((card) => card.getBoundingClientRect().top)).size === 3;
        }"""
    )


def test_a_picture_without_a_workflow_becomes_a_node(page: Page) -> None:
    path = next((Path(__file__).parents[2] / "workflows" / "inputs").glob("*.png"))
    drop_file(page, "mine.png", path.read_bytes(), "image/png")
    added = page.get_by_role("group", name="LoadImage, node")
    expect(added.get_by_role("img", name="mine.png")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("notes.txt", b"dear diary", "notes.txt: It is neither a workflow nor a picture."),
        ("broken.json", b'{"format": ', "broken.json: The file is not valid JSON"),
        ("other.json", b'{"nodes": [], "last_node_id": 1, "links": [], "version": 0.4}', "This is a ComfyUI workflow"),
        ("new.json", b'{"format": "graphengine", "version": 99, "nodes": {}}', "format version 99"),
        ("bytes.json", b"\xff\xfe\x00\x80", "bytes.json"),
    ],
)
def test_what_is_no_workflow_says_so(page: Page, name: str, content: bytes, told: str) -> None:
    before = document(page)
    drop_file(page, name, content, "application/json")
    notice = page.get_by_role("region", name="Messages").get_by_role("alert")
    expect(notice).to_contain_text(told)
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_be_hidden()
    assert document(page) == before


def test_an_unknown_node_keeps_everything(page: Page) -> None:
    made = workflow(
        {
            "a": ("t.Number", {"value": 2.5}),
            "odd": ("lost.Pack", {"in": {"$link": "a.number"}, "list": [1, {"deep": BEYOND_FLOATS}], "text": "ü"}),
            "b": ("t.Add", {"a": {"$link": "odd.out"}}),
        },
        **{"x-other": {"kept": True}},
    )
    open_workflow(page, made, "Lost")
    expect(node(page, "odd")).to_contain_text("No pack here has the kind “lost.Pack”.")
    page.get_by_role("button", name=re.compile(r"^\d+ problems?$")).click()
    problems = page.get_by_role("list", name="Problems of this workflow")
    expect(problems).to_contain_text("lost.Pack")
    page.keyboard.press("Escape")

    node(page, "a").get_by_role("spinbutton", name="value").click()
    page.keyboard.type("3")
    page.keyboard.press("Enter")

    made["nodes"]["a"]["inputs"]["value"] = 3
    after = document(page)
    for id_, each in made["nodes"].items():
        assert after["nodes"][id_].items() >= each.items()
    assert after["x-other"] == {"kept": True}


def test_a_workflow_that_the_server_cannot_read_says_why(page: Page) -> None:
    open_workflow(page, workflow({"n": ("t.Number", {})}, extra=1), "Odd field")
    page.get_by_role("button", name="1 problem").click()
    problems = page.get_by_role("list", name="Problems of this workflow")
    expect(problems).to_contain_text("unknown field 'extra'")
    assert document(page)["extra"] == 1


def test_seeds_of_64_bits_stay_exact(page: Page) -> None:
    open_workflow(page, one_node("t.Whole", value=BEYOND_FLOATS), "Whole")
    field = node(page, "n").get_by_role("spinbutton", name="value")
    expect(field).to_have_value(str(BEYOND_FLOATS))
    field.click()
    page.keyboard.type(str(BEYOND_FLOATS - 2))
    page.keyboard.press("Enter")
    page.reload()
    expect(field).to_have_value(str(BEYOND_FLOATS - 2))
    assert document(page)["nodes"]["n"]["inputs"] == {"value": BEYOND_FLOATS - 2}


def test_titles_of_any_script(page: Page) -> None:
    title = "Größe 大きさ 🙂 \u202eabc"
    open_workflow(page, one_node("t.Number"), "Πρώτο 図")
    node(page, "n").click(position={"x": 8, "y": 8})
    page.keyboard.press("F2")
    page.get_by_role("textbox", name="Title of the node").fill(title)
    page.keyboard.press("Enter")
    expect(node(page, "n")).to_contain_text(title)
    expect(tab(page)).to_contain_text("Πρώτο 図")
    after = document(page)
    assert (after["nodes"]["n"]["title"], after["meta"]["name"]) == (title, "Πρώτο 図")


def test_a_copied_command_runs(page: Page, context: BrowserContext, tmp_path: Path) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    declared = {
        "words": {"type": "STRING", "default": "", "to": ["say.text"]},
        "seed": {"type": "INT", "default": 0, "to": ["whole.value"]},
    }
    nodes: dict[str, tuple[str, Json]] = {"say": ("t.Say", {}), "whole": ("t.Whole", {})}
    given = {"said": {"from": "say.text"}, "number": {"from": "whole.number"}}
    open_workflow(page, workflow(nodes, inputs=declared, outputs=given), "-Told 'twice'")
    with page.expect_download() as download:
        command(page, "Export as a file")
    download.value.save_as(tmp_path / download.value.suggested_filename)
    form = panel(page, "Inputs")
    form.get_by_role("textbox", name="Words").fill(SPOKEN)
    form.get_by_role("spinbutton", name="Seed").click()
    page.keyboard.type(f"{BEYOND_FLOATS}\n")

    command(page, "Copy as a command")
    expect(page.get_by_role("region", name="Messages")).to_contain_text("Copied: graphengine run")
    copied = page.evaluate("navigator.clipboard.readText()")

    program = f'graphengine() {{ {sys.executable} -m graphengine "$@" --pack {PACK} --out .; }}'
    done = subprocess.run(
        ["bash", "-c", f"{program}\n{copied}"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
    )
    assert {f"said: {SPOKEN}", f"number: {BEYOND_FLOATS}"} <= set(done.stdout.splitlines())
