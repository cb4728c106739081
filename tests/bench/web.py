"""What the editor costs in a real browser, with large graphs."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from graphengine.server.editor_pages import editor_folder
from tests.server.running import running

NODES, LINKS = 1000, 1500
COLUMNS = 25
WIDTH, HEIGHT = 320, 360
CLOSE_UP, ALL = 1.0, 0.1
_MARGIN = 80
SLOW_FRAME_MS = 34

_DROP = """async text => {
    const files = new DataTransfer();
    files.items.add(new File([text], "large.json", { type: "application/json" }));
    const begun = performance.now();
    window.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    const frame = () => new Promise(requestAnimationFrame);
    const tabs = document.querySelectorAll("[role=tab]").length;
    while (document.querySelectorAll("[role=tab]").length === tabs) await frame();
    while (!document.querySelector(".canvas .overview, .canvas [data-id=n0]")) await frame();
    await frame(); await frame();
    return (performance.now() - begun) / 1000;
}"""
_FRAMES = """() => {
    window.benchFrames = [];
    let last = performance.now();
    const note = now => {
        window.benchFrames.push(now - last);
        last = now;
        window.benchRun = requestAnimationFrame(note);
    };
    window.benchRun = requestAnimationFrame(note);
}"""
_STOP = "() => { cancelAnimationFrame(window.benchRun); return window.benchFrames.slice(1); }"
_VIEW = "() => document.querySelector('.react-flow__viewport').style.transform"
_EDIT = """async () => {
    performance.clearResourceTimings();
    const begun = performance.now();
    window.dispatchEvent(new KeyboardEvent("keydown", { key: "m", code: "KeyM", bubbles: true }));
    for (let tries = 0; tries < 2000; tries++) {
        await new Promise(later => setTimeout(later, 1));
        const checks = performance.getEntriesByType("resource").filter(each => each.name.endsWith("/check"));
        if (checks.length > 0) return checks[0].responseEnd - begun;
    }
    return NaN;
}"""


def grid_of(nodes: int, links: int, zoom: float) -> dict[str, Any]:  # Any: JSON
    """Draw a grid of nodes, each linked to the one before, and some to the row before as well."""
    made: dict[str, Any] = {}
    places: dict[str, Any] = {}
    left = links
    for number in range(nodes):
        inputs: dict[str, Any] = {"a": number, "b": 2}
        for name, behind in (("a", 1), ("b", COLUMNS)):
            wanted = left >= nodes - number or name == "a"
            if number >= behind and left > 0 and wanted:
                inputs[name] = {"$link": f"n{number - behind}.number"}
                left -= 1
        made[f"n{number}"] = {"type": "Calculate", "inputs": inputs}
        places[f"n{number}"] = {"pos": [WIDTH * (number % COLUMNS), HEIGHT * (number // COLUMNS)]}
    return {
        "format": "graphengine",
        "version": 1,
        "nodes": made,
        "ui": {"nodes": places, "view": {"x": _MARGIN, "y": _MARGIN, "zoom": zoom}},
    }


def measure(folder: Path) -> Iterator[tuple[str, float, str, float]]:
    """Measure loading, opening, moving about and editing; each row has its goal."""
    yield "editor, JavaScript at first load, gzipped", first_load_kb(), "kB", 200
    folder.mkdir()
    with running(folder) as server, _browser() as page:
        page.goto(f"http://{server.host}:{server.port}/")
        page.get_by_role("button", name="Run", exact=True).wait_for()
        yield from _close_up(page)
        yield from _all(page)
        yield from _editing(page)


def first_load_kb() -> float:
    """Add up the scripts that the page names."""
    folder = editor_folder()
    scripts = set(re.findall(r'(?:src|href)="/?(_editor/[^"]+\.js)"', (folder / "index.html").read_text("utf-8")))
    return sum(len(gzip.compress((folder / script).read_bytes(), 9)) for script in scripts) / 1000


@contextmanager
def _browser() -> Iterator[Page]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise FileNotFoundError("no chromium was found; install it to measure the editor")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--js-flags=--expose-gc"])
        page = started.new_page(viewport={"width": 1400, "height": 900})
        yield page
        started.close()


def _close_up(page: Page) -> Iterator[tuple[str, float, str, float]]:
    session = page.context.new_cdp_session(page)
    text = json.dumps(grid_of(NODES, LINKS, CLOSE_UP))
    page.evaluate(_DROP, text)  # parts of the editor are loaded when they are first needed
    yield f"editor, {NODES:,} nodes: open close up", page.evaluate(_DROP, text), "s", 0.5
    frames = _frames_of(page, lambda: _drag(page, page.locator("[data-id=n26] .card-head")))
    yield "editor, 1:1: frames over 34 ms while dragging", _slow_share(frames), "%", 1
    frames = _frames_of(page, lambda: _pan(page))
    yield "editor, 1:1: frames over 34 ms while panning", _slow_share(frames), "%", 1
    yield "editor, heap after collecting, close up", _heap_mb(session), "MB", 50


def _all(page: Page) -> Iterator[tuple[str, float, str, float]]:
    text = json.dumps(grid_of(NODES, LINKS, ALL))
    yield f"editor, {NODES:,} nodes: first paint of all", page.evaluate(_DROP, text), "s", 1.0
    try:
        dragging = _at_95(_frames_of(page, lambda: _drag(page, None)))
    except RuntimeError:  # it can't be dragged: the other figures are wanted all the same
        dragging = float("inf")
    yield "editor, all visible: dragging, 95 % of frames", dragging, "ms", 50
    yield "editor, all visible: panning, 95 % of frames", _at_95(_frames_of(page, lambda: _pan(page))), "ms", 50


def _editing(page: Page) -> Iterator[tuple[str, float, str, float]]:
    page.evaluate(_DROP, json.dumps(grid_of(200, 300, CLOSE_UP)))
    page.locator(".card-head").nth(8).click()
    page.wait_for_timeout(1000)
    times = []
    for _ in range(7):
        times.append(page.evaluate(_EDIT))
        page.wait_for_timeout(500)  # the plan that follows a check is none of it
    yield "editor, 200 nodes: from an edit to its check", sorted(times)[len(times) // 2], "ms", 50


def _pan(page: Page) -> None:
    before = page.evaluate(_VIEW)
    _pull(page, 700, 75)  # above the first row of nodes
    if page.evaluate(_VIEW) == before:
        raise RuntimeError("the canvas wasn't panned: its upper edge is covered")


def _drag(page: Page, head: Any) -> None:  # Any: a locator, or None for a node in the middle of the view
    if head is None:
        x, y = _place_of_a_node(page)
    else:
        box = head.bounding_box()
        x, y = box["x"] + 40, box["y"] + box["height"] / 2
    before = page.evaluate(_VIEW)
    _pull(page, x, y)
    if page.evaluate(_VIEW) != before:
        raise RuntimeError("the canvas was panned instead of a node dragged")


def _place_of_a_node(page: Page) -> tuple[float, float]:
    """Feel for a node in the picture of all of them: over one, it can be grabbed."""
    for x in range(400, 460, 6):
        for y in range(300, 360, 6):
            page.mouse.move(x, y)
            page.wait_for_timeout(30)
            if page.locator(".canvas [data-over]").count() > 0:
                return x, y
    raise RuntimeError("no node was found in the picture of all of them")


def _pull(page: Page, x: float, y: float) -> None:
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(100)  # from far away a node is only found once the pointer is over it
    page.mouse.down()
    for step in range(60):
        page.mouse.move(x + step * 4, y + step * 2)
    page.mouse.up()


def _frames_of(page: Page, act: Any) -> list[float]:  # Any: a function of nothing
    page.wait_for_timeout(500)
    page.evaluate(_FRAMES)
    act()
    frames: list[float] = page.evaluate(_STOP)
    return sorted(frames)


def _slow_share(frames: list[float]) -> float:
    return 100 * sum(frame > SLOW_FRAME_MS for frame in frames) / len(frames)


def _at_95(frames: list[float]) -> float:
    return frames[int(len(frames) * 0.95)]


def _heap_mb(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6
