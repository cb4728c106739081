"""Packs: files and modules, those that fail, those that get in each other's way."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from graphengine import NodePack, node
from graphengine.authoring.packs import PackSource, installed_packs, load_file, load_packs, source_version
from graphengine.core.registry import PackFailure, Registry
from graphengine.errors import DefinitionError
from tests.packs import arithmetic as arithmetic_pack
from tests.packs import typed

NODES = '''
from __future__ import annotations
from typing import TYPE_CHECKING
from graphengine import node

@node("mine.Double", category="test")
def double(number: int = 1) -> int:
    """Double a number."""
    return number * 2

again = double
'''


def write(folder: Path, name: str, source: str) -> PackSource:
    path = folder / name
    path.write_text(source)
    return PackSource(path.stem, str(path), (path,))


def test_a_file_is_a_pack_named_after_it(tmp_path: Path) -> None:
    pack = write(tmp_path, "mine.py", NODES).load()
    assert pack.name == "mine"
    (double,) = pack.nodes  # under two names, but one node
    assert double(number=4) == 8
    assert (double.definition.pack, len(double.definition.pack_version)) == ("mine", 16)


def test_a_file_may_make_its_own_pack(tmp_path: Path) -> None:
    source = NODES + "\nfrom graphengine import NodePack\npack = NodePack('named', functions=[double], version='7')\n"
    pack = write(tmp_path, "mine.py", source).load()
    assert [(each.definition.pack, each.definition.pack_version) for each in pack.nodes] == [("named", "7")]


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    packs = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        packs.append(write(tmp_path / folder, "mine.py", NODES.replace("mine.Double", f"{folder}.Double")).load())
    assert [each.definition.id for pack in packs for each in pack.nodes] == ["a.Double", "b.Double"]


def test_only_nodes_defined_in_a_module_belong_to_its_pack() -> None:
    ids = {each.definition.id for each in NodePack("typed", modules=["tests.packs.typed"]).nodes}
    assert {"Paint", "Crop", "Renamed"} <= ids
    assert "Add" not in ids


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("x = 1\n", "{path} defines no node. Decorate a function with '@node(\"bad.Name\", …)'."),
        ("\n\nraise ValueError('no way')\n", "ValueError: no way (bad.py, line 3)"),
        ("import nothing_of_the_kind\n", "ModuleNotFoundError: No module named 'nothing_of_the_kind' (bad.py, line 1)"),
        ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (bad.py, line 2)"),
    ],
    ids=["no node", "raises", "import", "syntax", "exit"],
)
def test_a_pack_that_fails_is_reported_and_the_rest_load(tmp_path: Path, source: str, error: str) -> None:
    sources = [write(tmp_path, "bad.py", source), write(tmp_path, "good.py", NODES)]
    packs, failures = load_packs(sources)
    assert [pack.name for pack in packs] == ["good"]
    assert failures == [PackFailure("bad", error.format(path=tmp_path / "bad.py"))]


@pytest.mark.parametrize("name", ["missing.py", "folder", "notes.txt"])
def test_what_is_no_python_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DefinitionError, match=r"is no Python file\. Give the path of a \.py file that defines nodes"):
        PackSource("x", str(tmp_path / name), ()).load()
    with pytest.raises(DefinitionError, match="is no Python file"):
        load_file(tmp_path / name)


@pytest.mark.parametrize("target", ["tests.packs.arithmetic:Box", "tests.packs.arithmetic:nothing", "tests.drawn"])
def test_an_entry_point_to_something_else_is_explained(target: str) -> None:
    with pytest.raises(DefinitionError, match=rf"{target} is no NodePack. Write 'pack = NodePack\(\"x\", …\)' there"):
        PackSource("x", target, ()).load()


def test_a_raised_version_without_its_step_is_refused() -> None:
    @node("X", category="test", version=3)
    def f(width: int = 1) -> int:
        """Do it."""
        return 1

    @f.migrate_from(2)
    def _from_2(inputs: dict[str, object]) -> dict[str, object]:
        return inputs

    with pytest.raises(DefinitionError, match=r"version 3 has no step from version 1. Add '@f.migrate_from\(1\)'"):
        list(NodePack("x", functions=[f]).nodes)


def test_of_two_nodes_with_one_id_the_first_pack_wins_and_it_is_said() -> None:
    @node("Number", category="test", outputs="number")
    def other() -> float:
        """Give another number."""
        return -1.0

    registry = Registry([NodePack("first", functions=[other], version="1"), arithmetic_pack.pack])
    definition = registry.definitions.by_id["Number"]
    assert definition.pack == "first"
    assert registry.function(definition)() == -1.0
    assert registry.definitions.conflicts == (
        "node 'Number' of pack 'arithmetic' is hidden by pack 'first'. Rename one of them.",
    )


def test_former_names_are_found_but_never_hide_a_node() -> None:
    @node("Newer", category="test", aliases=("Add",), outputs="value")
    def newer() -> int:
        """Take an installed node's name as an alias."""
        return 1

    registry = Registry([NodePack("x", functions=[newer], version="1"), arithmetic_pack.pack, typed.pack])
    assert [getattr(registry.definitions.get(name), "id", None) for name in ("OldName", "Add", "Gone")] == [
        "Renamed",
        "Add",
        None,
    ]


def test_the_built_in_pack_is_found_as_any_other() -> None:
    source = next(each for each in installed_packs() if each.name == "graphengine")
    assert source.target == "graphengine_nodes:pack"
    assert any(path.name == "__init__.py" for path in source.files)


def test_an_installed_pack_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "my_pack", tmp_path / "my_pack-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "more.py").write_text("")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-pack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[graphengine.nodes]\nmine = my_pack:pack\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    source = next(each for each in installed_packs() if each.name == "mine")
    assert {path.name for path in source.files} == {"__init__.py", "more.py"}
    _, (failure,) = load_packs([source])
    assert failure.error == "RuntimeError: imported (__init__.py, line 1)"


def test_a_source_version_follows_names_and_contents_only(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("1")
    b.write_text("2")
    before = source_version([a, b])
    os.utime(a, ns=(0, 0))
    assert source_version([b, a]) == before
    a.write_text("3")
    assert source_version([a, b]) != before
