"""``graphengine plan``, ``why`` and ``migrate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Run, written
from tests.drawn import document


def summed(value: float = 1) -> dict[str, Any]:  # Any: JSON
    """one ──▶ sum ──▶ out"""
    return document(
        {
            "one": ("Number", {"value": value}),
            "sum": ("Add", {"a": "@one.number", "b": 2}),
            "out": ("Show", {"value": "@sum.sum"}),
        },
        inputs={"first": {"type": "FLOAT", "default": value, "to": ["one.value"]}},
        outputs={"total": {"from": "sum.sum"}},
    )


def test_plan_tells_what_would_run_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("plan", summed())
    assert code == 0
    assert out.splitlines()[0].endswith("workflow.json: 3 to run")
    assert [line.split()[:2] for line in out.splitlines()[2:5]] == [["run", "one"], ["run", "sum"], ["run", "out"]]
    assert out.splitlines()[-1] == "time unknown"
    assert not (tmp_path / "output").exists()


def test_plan_estimates_after_a_run_and_names_what_changed(run: Run) -> None:
    run("run", summed())
    code, out, _ = run("plan", summed(), "--set", "first=4")
    assert code == 0
    assert "changed since the last run: node 'one' (Number), input 'value': 1.0 → 4.0" in out
    assert out.splitlines()[-1].startswith("about ")
    report = json.loads(run("plan", summed(), "--json", "--targets", "one")[1])
    assert [step["node"] for step in report["steps"]] == ["one"]


def test_plan_finds_in_the_disk_cache_what_took_long(run: Run) -> None:
    slow = document({"s": ("Slow", {"parts": 30}), "out": ("Show", {"value": "@s.value"})})
    run("run", slow)
    assert "cached    s (Slow)" in run("plan", slow)[1]
    assert run("plan", slow, "--no-cache")[1].splitlines()[0].endswith("2 to run")


def test_plan_lists_what_is_missing(run: Run) -> None:
    doc = document({"a": "Addd", "l": ("LoadImage", {"image": "gone.png"}), "o": ("Show", {"value": "@a.sum"})})
    code, out, _ = run("plan", doc, "--targets", "o,l")
    assert code == 2
    assert out.splitlines()[0].endswith("workflow.json: it can't run yet")
    assert "missing nodes:\n  node 'a' (Addd): there is no node 'Addd'." in out
    assert "missing files:\n  node 'l' (LoadImage), input 'image': there is no file 'gone.png'." in out
    assert json.loads(run("plan", doc, "--json", "--targets", "o,l")[1])["missing_files"][0]["node"] == "l"


def test_why_follows_the_links_to_what_changed(run: Run) -> None:
    assert run("why", "sum", summed())[1] == "'sum' (Add) will run: this workflow has not run yet.\n"
    run("run", summed())
    assert run("why", "sum", summed())[1].startswith("'sum' (Add) will run although nothing changed")
    code, out, _ = run("why", "out", summed(), "--set", "first=4")
    assert code == 0
    assert out == (
        "'out' (Show) will run again because 'value' changed: node 'one' (Number), input 'value': 1.0 → 4.0\n"
        "  by way of out.value ← sum.a\n"
    )
    assert json.loads(run("why", "out", summed(), "--json")[1])["state"] == "not_stored"
    code, _, err = run("why", "outt", summed())
    assert code == 2
    assert "Did you mean 'out'?" in err


def test_why_of_a_cached_node_says_so(run: Run) -> None:
    slow = document({"s": ("Slow", {"parts": 30}), "out": ("Show", {"value": "@s.value"})})
    run("run", slow)
    assert run("why", "s", slow)[1] == "'s' (Slow) will not run: its result is cached.\n"


# migrate

MOVED = '''
from graphengine import node

@node("moved.Blur", version=2, category="test", outputs="radius", output_node=True, aliases=("moved.Smear",))
def blur(radius: float = 1.0) -> float:
    """Blur."""
    return radius

@blur.migrate_from(1)
def _(inputs):
    if inputs.get("size") == "broken":
        raise ValueError("no such size")
    inputs["radius"] = inputs.pop("size")
    return inputs
'''


@pytest.fixture
def moved(tmp_path: Path) -> list[str]:
    file = tmp_path / "moved.py"
    file.write_text(MOVED, encoding="utf-8")
    return ["--pack", str(file)]


def old(size: object = 3.0) -> dict[str, Any]:  # Any: JSON
    doc = document(
        {"b": ("moved.Smear", {"size": size})}, inputs={"size": {"type": "FLOAT", "default": 4, "to": ["b.size"]}}
    )
    doc["nodes"]["b"]["type_version"] = 1
    return doc


def test_migrate_brings_files_to_the_installed_versions(run: Run, tmp_path: Path, moved: list[str]) -> None:
    path = Path(written(tmp_path, old(), "old.json"))
    before = path.read_bytes()
    code, out, _ = run("migrate", path, "--check", *moved)
    assert (code, path.read_bytes()) == (1, before)
    assert out.splitlines()[0] == f"{path}: would change"
    code, out, _ = run("migrate", path, *moved)
    assert code == 0
    assert out == (
        f"{path}: changed\n  node 'b': moved.Smear is called moved.Blur now.\n  node 'b': from version 1 to 2.\n"
    )
    doc = json.loads(path.read_text())
    assert doc["nodes"]["b"] == {"type": "moved.Blur", "type_version": 2, "inputs": {"radius": 3.0}}
    assert doc["inputs"]["size"]["to"] == ["b.radius"]
    migrated = path.read_bytes()
    assert run("migrate", path, "--check", *moved)[:2] == (0, f"{path}: up to date\n")
    assert path.read_bytes() == migrated
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix == ".part") == []


def test_migrate_writes_elsewhere_if_asked(run: Run, tmp_path: Path, moved: list[str]) -> None:
    path = Path(written(tmp_path, old(), "old.json"))
    before = path.read_bytes()
    code, out, _ = run("migrate", path, "--out", tmp_path / "new", "--json", *moved)
    assert (code, path.read_bytes()) == (0, before)
    assert json.loads(out)["to"] == str(tmp_path / "new" / "old.json")
    assert "moved.Blur" in (tmp_path / "new" / "old.json").read_text()


def test_migrate_writes_nothing_if_one_file_is_wrong(run: Run, tmp_path: Path, moved: list[str]) -> None:
    good = Path(written(tmp_path, old(), "good.json"))
    broken = written(tmp_path, old("broken"), "broken.json")
    newer = old()
    newer["nodes"]["b"]["type_version"] = 9
    future = written(tmp_path, newer, "future.json")
    before = good.read_bytes()
    code, _, err = run("migrate", good, broken, future, tmp_path / "gone.json", *moved)
    assert code == 2
    assert good.read_bytes() == before
    assert err.startswith("migrate: 3 problems\n")
    assert f"{broken}: bringing it from version 1 to 2 failed: ValueError: no such size" in err
    assert f"{future}: it was saved with version 9" in err
    assert "gone.json" in err
