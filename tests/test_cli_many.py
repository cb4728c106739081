"""``graphengine run --batch`` and ``--sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphengine.core.workflow import parse_workflow
from graphengine.engine.picture_files import read_embedded_workflow
from graphengine.errors import InvalidWorkflow
from graphengine.sweep import combine, parse_axis
from tests.command_line import Run, written
from tests.drawn import document

SUM = document(
    {
        "slow": ("Slow", {"value": 1}),
        "sum": ("Add", {"a": "@slow.value", "b": 2}),
        "out": ("Show", {"value": "@sum.sum"}),
    },
    inputs={"more": {"type": "FLOAT", "default": 1, "to": ["sum.b"]}},
    outputs={"total": {"from": "sum.sum"}},
)
PAINT = document(
    {
        "mask": ("Mask", {"geometry": "50%,50%,10%,10%", "width": 64, "height": 64}),
        "white": ("MaskToImage", {"mask": "@mask.mask"}),
        "scaled": ("ImageScale", {"image": "@white.image", "width": 64, "height": 64}),
    },
    inputs={
        "width": {"type": "INT", "default": 64, "to": ["scaled.width"]},
        "height": {"type": "INT", "default": 64, "to": ["scaled.height"]},
    },
    outputs={"image": {"from": "scaled.image"}},
)


def lines(folder: Path, *settings: object) -> Path:
    path = folder / "settings.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in settings))
    return path


def events(out: str) -> list[dict[str, Any]]:  # Any: JSON
    return [json.loads(line) for line in out.splitlines()]


# --batch


def test_a_batch_runs_each_line_and_shares_the_cache(run: Run, tmp_path: Path) -> None:
    batch = lines(tmp_path, {"more": 2}, "", {"more": 3, "slow.value": 1.0}, {"sum.b": 4})
    code, out, _ = run("run", SUM, "--batch", batch)
    assert (code, out) == (0, "line 1: total: 3.0\nline 3: total: 4.0\nline 4: total: 5.0\n")
    code, out, _ = run("run", SUM, "--batch", batch, "--json", "--no-cache")
    found = events(out)
    assert {each["line"] for each in found} == {1, 3, 4}
    assert [each["line"] for each in found if each["type"] == "node_started" and each["node"] == "slow"] == [1]
    assert [each["state"] for each in found if each["type"] == "job_finished"] == ["done"] * 3


def test_settings_of_the_command_hold_for_each_line(run: Run, tmp_path: Path) -> None:
    batch = lines(tmp_path, {"slow.value": 5}, {"more": 7})
    out = run("run", SUM, "--set", "more=10", "--batch", batch)[1]
    assert out == "line 1: total: 15.0\nline 2: total: 8.0\n"


def test_nothing_runs_before_all_lines_are_right(run: Run, tmp_path: Path) -> None:
    batch = lines(tmp_path, {"more": 2}, {"moer": 3}, {"more": "x", "sum.c": 1})
    code, out, err = run("run", SUM, "--batch", batch)
    assert (code, out) == (2, "")
    assert err.splitlines()[0].endswith("4 problems")
    assert "input 'moer': line 2: there is no declared input 'moer'.\n    Did you mean 'more'?" in err
    assert "input 'more': line 3: 'x' is not a number." in err
    assert "node 'sum' (Add), input 'c': line 3: it has no such input." in err
    problems = json.loads(run("run", SUM, "--batch", batch, "--json")[1])["problems"]
    assert sorted(each["number"] for each in problems) == [2, 3, 3, 3]


def test_what_is_wrong_in_every_line_is_said_once(run: Run, tmp_path: Path) -> None:
    doc = document({"sum": ("Add", {"b": 1}), "out": ("Show", {"value": "@sum.sum"})})
    _, _, err = run("run", doc, "--batch", lines(tmp_path, {"sum.b": 2}, {"sum.b": 3}))
    assert err.splitlines()[0].endswith("1 problem")
    assert "line" not in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The file has no line to run."),
        ("{", "Line 1: it is not valid JSON"),
        ('{"more": 1}\n[1]', "Line 2: it is no object."),
        ("[" * 100_000, "Line 1: it is not valid JSON"),
    ],
    ids=["empty", "no JSON", "no object", "deep"],
)
def test_a_file_that_is_no_batch_is_refused(run: Run, tmp_path: Path, content: str, message: str) -> None:
    code, out, err = run("run", SUM, "--batch", lines(tmp_path, content))
    assert (code, out) == (2, "")
    assert message in err
    assert run("run", SUM, "--batch", tmp_path / "gone.jsonl")[0] == 2


def test_a_line_that_fails_is_reported_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    doc = document(
        {"pick": ("Pick", {"condition": True, "if_true": 1, "if_false": "@f.value"}), "f": "Fail"},
        inputs={"well": {"type": "BOOLEAN", "default": True, "to": ["pick.condition"]}},
        outputs={"value": {"from": "pick.value"}},
    )
    doc["nodes"]["one"] = {"type": "Number", "inputs": {"value": 1}}
    doc["nodes"]["pick"]["inputs"]["if_true"] = {"$link": "one.number"}
    batch = lines(tmp_path, {"well": True}, {"well": False}, {"well": True})
    code, out, err = run("run", doc, "--batch", batch)
    assert (code, out) == (1, "line 1: value: 1.0\nline 3: value: 1.0\n")
    assert err.startswith("line 2: node 'f' (Fail) failed: RuntimeError: it broke")
    code, out, err = run("run", doc, "--batch", batch, "--json")
    assert (code, err) == (1, "")
    failed = [each for each in events(out) if each["type"] == "node_failed"]
    assert [(each["line"], each["node"]) for each in failed] == [(2, "f")]


def test_a_batch_is_no_sweep() -> None:
    from graphengine.cli import main

    with pytest.raises(SystemExit):
        main(["run", "x.json", "--batch", "b.jsonl", "--sweep", "a=1,2"])


# --sweep


def test_a_sweep_runs_all_combinations_and_what_they_share_once(run: Run) -> None:
    code, out, _ = run("run", SUM, "--sweep", "more=1..3", "--json", "--no-cache")
    found = events(out)
    assert code == 0
    started = [(each["run"], each["node"]) for each in found if each["type"] == "node_started"]
    assert started == [(1, "slow"), (1, "sum"), (1, "out"), (2, "sum"), (2, "out"), (3, "sum"), (3, "out")]
    assert run("run", SUM, "--sweep", "more=1,2")[1] == "more=1: total: 2.0\nmore=2: total: 3.0\n"


def test_a_sweep_lays_its_pictures_out_on_one_sheet(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    sweep = ["--sweep", "height=32,64", "--sweep", "width=64..128:32"]
    code, out, err = run("run", PAINT, *sweep, "--out", tmp_path / "out")
    path = tmp_path / "out" / "sweep_00001.png"
    assert (code, out.splitlines()[-1]) == (0, str(path)), err
    with Image.open(path) as picture:
        line, left = 16, picture.width - (3 * 128 + 2 * 8)  # heads of columns above, and of rows at the left
        assert left > 8
        assert picture.height == line + 2 * 64 + 8
        grey = picture.convert("L")
        assert (grey.getpixel((left + 3, line + 3)), grey.getpixel((left + 100, line + 3))) == (0, 255)
        heads = [(left, 0, left + 128, line), (0, line, left, line + 64), (0, line + 72, left, line + 136)]
        assert all(min(grey.crop(head).tobytes()) < 128 for head in heads)
    embedded = parse_workflow(read_embedded_workflow(path))
    assert (embedded.model_extra or {})["x-sweep"] == {"height": [32, 64], "width": [64, 96, 128]}
    assert run("run", path, "--out", tmp_path / "again")[0] == 0
    code, out, _ = run("run", PAINT, *sweep, "--json", "--out", tmp_path / "out")
    assert events(out)[-1] == {"type": "sheet", "output": "image", "path": str(tmp_path / "out" / "sweep_00002.png")}


def test_where_a_run_failed_the_sheet_is_white(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    grid = {"type": "ImageGrid", "inputs": {"images": {"$link": "scaled.image"}}}
    doc = PAINT | {"nodes": PAINT["nodes"] | {"grid": grid}, "outputs": {"image": {"from": "grid.image"}}}
    sweep = ["--sweep", 'grid.labels="","two\\nlabels"']
    code, out, err = run("run", doc, *sweep, "--out", tmp_path / "out")
    assert code == 1
    assert "node 'grid' (ImageGrid) failed: input 'labels': 2 labels for 1 pictures." in err
    with Image.open(tmp_path / "out" / "sweep_00001.png") as picture:
        grey = picture.convert("L")
        top = picture.height - 64
        assert (grey.getpixel((3, top + 3)), grey.getpixel((64 + 8 + 3, top + 3))) == (0, 255), out


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps=10,20,30", (10, 20, 30)),
        ("steps=10..30:10", (10, 20, 30)),
        ("steps=3..1", (3, 2, 1)),
        ("cfg=1..1.3:0.1", (1.0, 1.1, 1.2, 1.3)),
        ("steps=-2..2:2", (-2, 0, 2)),
        ("shape=[1,2],[3,4]", ([1, 2], [3, 4])),
        ('shape={"a":1,"b":2},null,true', ({"a": 1, "b": 2}, None, True)),
        ("text=a cat,a dog", ("a cat", "a dog")),
        ('text="a, b",c', ("a, b", "c")),
        ('text="half,b', ('"half', "b")),
        ("text=7,true,[1]", ("7", "true", "[1]")),
        ("text=1..3", ("1..3",)),
        ('text="",a', ("", "a")),
        ("a.b=x=1,y=2", ("x=1", "y=2")),
    ],
)
def test_values_of_a_sweep(text: str, values: tuple[object, ...]) -> None:
    from graphengine.commands.given import json_or_text

    axis = parse_axis(text, lambda name: name == "text", json_or_text)
    assert (axis.name, axis.values) == (text.partition("=")[0], values)
    assert [type(each) for each in axis.values] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["steps"], "has no '='"),
        (["=1,2"], "has no '='"),
        (["steps=1,,2"], "has an empty value"),
        (["steps=1..9:-1"], "counts away from its end"),
        (["steps=1..9:0"], "counts away from its end"),
        (["steps=1..1000000000000"], "has 1,000,000,000,000 values"),
        (["a=1..101", "b=1..100"], "The sweep has 10,100 combinations"),
        (["a=1,2", "a=3,4"], "names 'a' twice"),
    ],
)
def test_a_wrong_sweep_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message):
        combine([parse_axis(text, lambda name: False, json.loads) for text in texts])


def test_a_sweep_over_nothing_known_is_refused_before_it_runs(run: Run) -> None:
    code, out, err = run("run", SUM, "--sweep", "mroe=1,2")
    assert (code, out) == (2, "")
    assert "Did you mean 'more'?" in err


def test_written_settings_are_those_of_the_combination(tmp_path: Path, run: Run) -> None:
    """What a node embeds in its picture makes that picture again."""
    doc = document({"p": "Paint"}, inputs={"level": {"type": "FLOAT", "default": 0.1, "to": ["p.level"]}})
    _, out, _ = run("run", written(tmp_path, doc), "--sweep", "level=0.25,0.5", packs=("interruptible",))
    paths = [Path(line.rpartition(": ")[2]) for line in out.splitlines() if line.endswith(".png")]
    levels = [parse_workflow(read_embedded_workflow(path)).inputs["level"].default for path in paths]
    assert levels == [0.25, 0.5]
