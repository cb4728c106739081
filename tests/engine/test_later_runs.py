"""What a later process finds of an earlier one's work: results on disk, and what was shown."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image as pillow

from graphengine.config import Settings
from graphengine.core.events import NodeShowed
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from tests.drawn import Seen, document, drawn
from tests.packs import lasting


def ran(workflow: Workflow, settings: Settings) -> tuple[list[str], list[Path]]:
    """Run a workflow as a new process would; give the nodes that ran, and what was shown."""
    engine, seen = Engine(Registry([lasting.pack]), settings), Seen()
    result = engine.run(workflow, emit=seen.append)
    told = [Path(event.path) for event in seen if isinstance(event, NodeShowed)]
    assert told == [each.path for each in result.shown], "the events tell the same as the result"
    engine.close()
    return seen.of("node_started"), [each.path for each in result.shown]


def sketch(**inputs: object) -> Workflow:
    """
    work ──▶ sketch
    """
    return drawn({"work": "Work", "sketch": ("Sketch", {"level": "@work.number", **inputs})})


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_second_process_runs_nothing_and_lists_what_was_saved(settings: Settings) -> None:
    first, shown = ran(sketch(), settings)
    assert first == ["work", "sketch"]
    assert ran(sketch(), settings) == ([], shown)
    assert files(settings.output) == ["sketch.txt", "sketch_00001.png"]


def test_previews_are_shown_again_too(settings: Settings) -> None:
    _, (preview,) = ran(sketch(preview=True), settings)
    preview.unlink()
    assert ran(sketch(preview=True), settings) == ([], [preview])
    assert preview.exists()


def test_what_the_user_deleted_is_there_again(settings: Settings) -> None:
    _, shown = ran(sketch(), settings)
    for path in shown:
        path.unlink()
    assert ran(sketch(), settings) == ([], shown)
    assert all(path.exists() for path in shown)


def test_a_picture_that_was_edited_stays_and_is_computed_beside_it(settings: Settings) -> None:
    """The picture's other copy is a link to it; no later run may show the edited one as its own."""
    _, (picture, _) = ran(sketch(), settings)
    before = picture.read_bytes()
    picture.write_bytes(before + b" edited")
    again, (other, _) = ran(sketch(), settings)
    assert again == ["sketch"]
    assert picture.read_bytes() == before + b" edited"
    assert other.read_bytes() == before
    assert ran(sketch(), settings)[0] == []


def test_another_output_folder_gets_what_was_shown_once(settings: Settings, tmp_path: Path) -> None:
    ran(sketch(), settings)
    elsewhere = dataclasses.replace(settings, output=tmp_path / "elsewhere")
    for _ in range(3):
        assert ran(sketch(), elsewhere)[0] == []
    assert files(tmp_path / "elsewhere") == ["sketch.txt", "sketch_00001.png"]
    with pillow.open(tmp_path / "elsewhere" / "sketch_00001.png") as picture:
        assert picture.size == (8, 8)


def test_runs_of_one_engine_follow_their_own_output_folders(settings: Settings, tmp_path: Path) -> None:
    engine = Engine(Registry([lasting.pack]), settings)
    for name in ("a", "b", "b"):
        services = RunServices(dataclasses.replace(settings, output=tmp_path / name))
        engine.run(sketch(), services=services)
    assert files(tmp_path / "a") == files(tmp_path / "b") == ["sketch.txt", "sketch_00001.png"]


def test_a_node_runs_again_where_what_it_showed_is_gone_for_good(settings: Settings) -> None:
    _, shown = ran(sketch(), settings)
    for path in (*shown, *settings.assets_folder.iterdir()):
        path.unlink()
    assert ran(sketch(), settings)[0] == ["sketch"]


def test_a_node_that_wrote_a_folder_runs_in_each_process_and_once_in_one(settings: Settings) -> None:
    workflow = drawn({"carve": ("Carve", {"number": 3})})
    assert ran(workflow, settings)[0] == ["carve"]
    engine, seen = Engine(Registry([lasting.pack]), settings), Seen()
    for _ in range(2):
        engine.run(workflow, emit=seen.append)
    assert (seen.of("node_started"), seen.of("node_cached")) == (["carve"], ["carve"])


def test_without_a_disk_cache_each_process_computes(settings: Settings) -> None:
    without = dataclasses.replace(settings, disk_cache_bytes=0)
    for _ in range(2):
        assert ran(sketch(), without)[0] == ["work", "sketch"]
    assert not settings.cache_folder.exists()


def test_a_cache_folder_that_cannot_be_used_stops_no_run(settings: Settings) -> None:
    settings.data.mkdir()
    settings.cache_folder.write_text("not a folder")
    settings.assets_folder.write_text("not a folder")
    assert ran(sketch(), settings)[0] == ["work", "sketch"]


_CHILD = """
import json, sys
from pathlib import Path
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from tests.packs import lasting
settings = Settings(data=Path(sys.argv[1]), output=Path(sys.argv[2]))
def tell(event):
    if event.type == "node_finished":
        print(event.node, flush=True)
Engine(Registry([lasting.pack]), settings).run(parse_workflow(sys.argv[3]), emit=tell)
"""


def test_a_run_after_a_crash_skips_what_was_finished(settings: Settings) -> None:
    """
    w0 ──▶ w1 ──▶ … ──▶ w59     killed when w9 is finished
    """
    nodes: dict[str, tuple[str, dict[str, object]]] = {"w0": ("Work", {"number": 0})}
    nodes |= {f"w{index}": ("Work", {"number": f"@w{index - 1}.number"}) for index in range(1, 60)}
    outputs = {"out": {"from": "w59.number"}}
    text = json.dumps(document(nodes, outputs=outputs))
    command = [sys.executable, "-c", _CHILD, str(settings.data), str(settings.output), text]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    finished = [child.stdout.readline().strip() for _ in range(10)]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert finished == [f"w{index}" for index in range(10)]

    engine, seen = Engine(Registry([lasting.pack]), settings), Seen()
    result = engine.run(drawn(nodes, outputs=outputs), emit=seen.append)
    assert result.outputs == {"out": 60}
    again = {int(id_[1:]) for id_ in seen.of("node_started")}
    assert again <= set(range(8, 60))  # what finished last may not have been stored yet
    assert 59 in again
