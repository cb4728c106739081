"""Packs that are edited while the program goes on."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphengine.authoring.live_packs import LivePacks, PackChange
from graphengine.authoring.packs import PackSource, find_packs, folder_packs, installed_packs, path_pack
from graphengine.config import Settings
from graphengine.engine import Engine
from tests.drawn import drawn

NODE = """
from graphengine import node

@node("{name}", category="test", outputs="number")
def give(number: int = {default}) -> int:
    '''Give a number.'''
    return {result}
"""


def write(path: Path, text: str) -> None:
    """Write a file that was, as far as the clock says, never changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1, 1))


def source(name: str, result: str = "number", default: int = 1, start: str = "") -> str:
    return start + NODE.format(name=name, result=result, default=default)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


@pytest.fixture
def live(packs: Path) -> Callable[[], LivePacks]:
    return lambda: LivePacks(lambda: folder_packs(packs))


def value(packs: LivePacks, name: str) -> object:
    return packs.registry.function(packs.registry.definitions.by_id[name])()


def test_nothing_changes_while_no_file_does(packs: Path, live: Callable[[], LivePacks]) -> None:
    write(packs / "a.py", source("a.One"))
    loaded = live()
    registry = loaded.registry
    os.utime(packs / "a.py")
    assert loaded.refresh() == []
    assert loaded.registry is registry


def test_an_edited_file_is_loaded_again_and_others_are_not(packs: Path, live: Callable[[], LivePacks]) -> None:
    write(packs / "a.py", source("a.One", result="1"))
    write(packs / "b.py", source("b.One"))
    loaded = live()
    other = loaded.registry.function(loaded.registry.definitions.by_id["b.One"])
    before = loaded.registry
    write(packs / "a.py", source("a.One", result="2"))  # of the same size, in the same second
    assert loaded.refresh() == [PackChange("a", "changed")]
    assert value(loaded, "a.One") == 2
    assert before.function(before.definitions.by_id["a.One"])() == 1  # a run that has begun goes on with it
    assert loaded.registry.function(loaded.registry.definitions.by_id["b.One"]) is other


def test_an_edit_below_a_folder_loads_all_of_its_pack(packs: Path, live: Callable[[], LivePacks]) -> None:
    """deep/kernels.py ◀── util.py ◀── nodes.py, which reads a second one only when it is called"""
    write(packs / "paint" / "deep" / "kernels.py", "FACTOR = 2")
    write(packs / "paint" / "late.py", "MORE = 10")
    write(packs / "paint" / "util.py", "from .deep.kernels import FACTOR")
    write(packs / "paint" / "nodes.py", source("paint.One", "late()", start=LATE))
    loaded = live()
    assert value(loaded, "paint.One") == 12
    write(packs / "paint" / "deep" / "kernels.py", "FACTOR = 3")
    write(packs / "paint" / "late.py", "MORE = 20")
    assert loaded.refresh() == [PackChange("paint", "changed")]
    assert value(loaded, "paint.One") == 23


LATE = """
from .util import FACTOR

def late():
    from .late import MORE
    return FACTOR + MORE
"""


def test_packs_come_and_go(packs: Path, live: Callable[[], LivePacks]) -> None:
    write(packs / "a.py", source("a.One"))
    loaded = live()
    write(packs / "b" / "nodes.py", source("b.One"))
    assert loaded.refresh() == [PackChange("b", "added")]
    root = path_pack(packs / "a.py").root
    assert root in sys.modules
    (packs / "a.py").rename(packs / "a.py.disabled")
    assert loaded.refresh() == [PackChange("a", "removed")]
    assert list(loaded.registry.definitions.by_id) == ["b.One"]
    assert root not in sys.modules


def test_a_node_that_was_taken_out_is_gone(packs: Path, live: Callable[[], LivePacks]) -> None:
    write(packs / "a.py", source("a.One") + source("a.Two").replace("def give", "def other"))
    loaded = live()
    assert set(loaded.registry.definitions.by_id) == {"a.One", "a.Two"}
    write(packs / "a.py", source("a.One"))
    loaded.refresh()
    assert set(loaded.registry.definitions.by_id) == {"a.One"}


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("def f(:", "SyntaxError: invalid syntax (nodes.py, line 1)"),
        ("from . import missing", "ImportError: cannot import name 'missing'"),
        (source("a.One") + source("a.One").replace("def give", "def other"), "the pack has two nodes 'a.One': "),
    ],
    ids=["syntax", "import", "twice"],
)
def test_a_pack_that_breaks_stays_as_it_was(
    packs: Path, live: Callable[[], LivePacks], broken: str, error: str
) -> None:
    write(packs / "a" / "late.py", "MORE = 5")
    write(packs / "a" / "util.py", "FACTOR = 2")
    write(packs / "a" / "nodes.py", source("a.One", "late()", start=LATE))
    loaded = live()
    write(packs / "a" / "nodes.py", broken)
    (change,) = loaded.refresh()
    assert (change.pack, change.kind) == ("a", "failed")
    assert change.message.startswith(error)
    assert change.message.endswith("The version that loaded last stays in use.")
    (failure,) = loaded.registry.definitions.failures
    assert failure.error.startswith(error)
    assert value(loaded, "a.One") == 7  # even what it imports only now is there
    assert loaded.refresh() == []
    write(packs / "a" / "nodes.py", source("a.One", "3"))
    assert loaded.refresh() == [PackChange("a", "changed")]
    assert not loaded.registry.definitions.failures


def test_a_pack_that_fails_is_tried_again_for_what_it_lacked(
    packs: Path, live: Callable[[], LivePacks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(packs / "a.py", source("a.One", start="import lacked_by_a_pack\n"))
    loaded = live()
    assert len(loaded.registry.definitions.failures) == 1
    assert loaded.refresh() == []
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    write(tmp_path / "site" / "lacked_by_a_pack.py", "")
    assert loaded.refresh() == [PackChange("a", "added")]
    assert not loaded.registry.definitions.failures


def test_an_installed_pack_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "edited_pack"
    start = "from graphengine import NodePack\npack = NodePack('edited', modules=['edited_pack.nodes'])\n"
    write(package / "__init__.py", start)
    write(package / "util.py", "NUMBER = 1")
    write(package / "nodes.py", source("edited.One", "NUMBER", start="from edited_pack.util import NUMBER\n"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    importlib.invalidate_caches()

    def find() -> list[PackSource]:
        return [PackSource("edited", "edited_pack:pack", tuple(package.rglob("*.py")))]

    loaded = LivePacks(find)
    assert value(loaded, "edited.One") == 1
    write(package / "util.py", "NUMBER = 2")
    assert loaded.refresh() == [PackChange("edited", "changed")]
    assert value(loaded, "edited.One") == 2


def test_a_change_that_breaks_saved_workflows_is_said(packs: Path, live: Callable[[], LivePacks]) -> None:
    write(packs / "a.py", source("a.One"))
    loaded = live()
    write(packs / "a.py", source("a.One", "amount").replace("number: int", "amount: int"))
    (change,) = loaded.refresh()
    assert change.message == (
        "a.One changed its inputs (number removed) but its version is still 1: saved workflows would break. "
        "Raise version and add migrate_from(1)."
    )


def test_an_engine_goes_on_with_the_new_nodes(settings: Settings) -> None:
    """The node that was edited runs again; what another pack gave is still known."""
    write(settings.packs_folder / "a.py", source("a.One", "number + 1"))
    loaded = LivePacks(lambda: [each for each in find_packs(settings) if each.name == "a"])
    engine = Engine(loaded.registry, settings)
    workflow = drawn({"one": ("a.One", {"number": 5})}, outputs={"out": {"from": "one.number"}})
    assert engine.run(workflow).outputs == {"out": 6}
    write(settings.packs_folder / "a.py", source("a.One", "number + 2"))
    loaded.refresh()
    engine.use(loaded.registry)
    assert engine.run(workflow).outputs == {"out": 7}


def test_the_built_in_pack_is_read_once() -> None:
    loaded = LivePacks(lambda: [each for each in installed_packs() if each.name == "graphengine"])
    assert loaded.refresh() == []
    assert "KSampler" in loaded.registry.definitions.by_id
