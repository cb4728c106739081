"""Packs: files and modules, those that fail, those that get in each other's way."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from pathlib import Path

import pytest

from graphengine import NodePack, node
from graphengine.authoring.pack_files import is_module_of
from graphengine.authoring.packs import (
    PackSource,
    find_packs,
    folder_packs,
    installed_packs,
    load_packs,
    load_path,
    path_pack,
    source_version,
)
from graphengine.config import Settings
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
PLAIN = NODES.replace("from __future__ import annotations\n", "")  # so that something may stand before it


def write(folder: Path, name: str, source: str) -> PackSource:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path_pack(path)


def ids(pack: NodePack) -> list[str]:
    return [each.definition.id for each in pack.nodes]


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


@pytest.mark.parametrize("name", ["missing.py", "notes.txt"])
def test_what_is_no_python_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        DefinitionError, match=r"is no Python file or folder\. Give the path of a \.py file that defines"
    ):
        path_pack(tmp_path / name).load()


def test_a_folder_without_python_files_is_explained(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, "project/src/paint/__init__.py", NODES)
    with pytest.raises(DefinitionError, match=r"empty holds no \.py file\. Put a file with nodes there, or rename"):
        load_path(tmp_path / "empty")
    with pytest.raises(DefinitionError, match=r"'pip install .*project'\. Its nodes seem to be in .*src/paint\."):
        load_path(tmp_path / "project")


def test_each_file_in_a_folder_is_a_module_of_its_pack(tmp_path: Path) -> None:
    """util.py ◀── blur.py, deep/kernels.py ◀── draw.py; the tests and what is switched off are no part of it."""
    write(tmp_path, "paint/util.py", "def twice(number): return number * 2")
    write(tmp_path, "paint/deep/kernels.py", "from ..util import twice")
    write(tmp_path, "paint/blur.py", "from .util import twice\n" + PLAIN.replace("number * 2", "twice(number)"))
    write(tmp_path, "paint/draw.py", "from .deep.kernels import twice\n" + PLAIN.replace("mine.Double", "mine.Draw"))
    for name in ("test_blur.py", "conftest.py", "setup.py", "old.py.disabled", ".hidden.py"):
        write(tmp_path, f"paint/{name}", "raise RuntimeError('imported')")
    pack = load_path(tmp_path / "paint")
    assert (pack.name, ids(pack)) == ("paint", ["mine.Double", "mine.Draw"])
    assert pack.nodes[0](number=4) == 8


def test_two_folders_may_have_modules_of_one_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, f"{name}/util.py", f"NAME = {name!r}")
        source = PLAIN.replace("mine.Double", f"{name}.Double").replace("-> int", "-> str")
        write(tmp_path, f"{name}/nodes.py", "from . import util\n" + source.replace("number * 2", "util.NAME"))
    packs, failures = load_packs([path_pack(tmp_path / name) for name in ("a", "b")])
    assert not failures
    assert [each() for pack in packs for each in pack.nodes] == ["a", "b"]


def test_a_package_may_make_its_own_pack(tmp_path: Path) -> None:
    write(tmp_path, "paint/nodes.py", NODES)
    write(tmp_path, "paint/more.py", NODES.replace("mine.Double", "mine.More"))
    write(tmp_path, "paint/__init__.py", "")
    assert ids(load_path(tmp_path / "paint")) == ["mine.More", "mine.Double"]
    start = "from graphengine import NodePack\nfrom . import nodes\npack = NodePack('named', modules=[nodes])\n"
    write(tmp_path, "paint/__init__.py", start)
    pack = load_path(tmp_path / "paint")
    assert (pack.name, ids(pack)) == ("named", ["mine.Double"])


def test_the_packs_folder_holds_files_and_folders(tmp_path: Path) -> None:
    for name in (
        "b.py",
        "c/nodes.py",
        "a.py",
        "d.py.disabled",
        "e.disabled/x.py",
        ".f.py",
        "__pycache__/g.py",
        "h.txt",
    ):
        write(tmp_path, name, NODES)
    sources = folder_packs(tmp_path)
    assert [source.name for source in sources] == ["a", "b", "c"]
    assert len({source.version for source in sources}) == 3
    assert folder_packs(tmp_path / "nothing") == []


def test_packs_that_are_given_come_first_then_all_by_name(tmp_path: Path, settings: Settings) -> None:
    for name in ("apples.py", "zebras.py", "plums/nodes.py"):
        write(settings.packs_folder, name, NODES)
    given = write(tmp_path, "mine.py", NODES)
    sources = find_packs(settings, [Path(given.target), Path("plums"), settings.packs_folder / "zebras.py"])
    assert [source.name for source in sources] == ["mine", "plums", "zebras", "apples", "graphengine"]


def test_an_id_that_a_pack_has_twice_names_both_functions(tmp_path: Path) -> None:
    write(tmp_path, "paint/first.py", NODES)
    write(tmp_path, "paint/second.py", NODES.replace("def double", "def triple").replace("again = double", ""))
    _, (failure,) = load_packs([path_pack(tmp_path / "paint")])
    assert failure.error == (
        "the pack has two nodes 'mine.Double': paint.first.double (first.py, line 6) and "
        "paint.second.triple (second.py, line 6). Rename one of them."
    )


def test_a_mistake_in_a_file_is_said_with_its_place(tmp_path: Path) -> None:
    _, (failure,) = load_packs([write(tmp_path, "paint/blur.py", NODES.replace("number: int = 1", "number"))])
    assert failure.error.startswith("blur.double (blur.py, line 6): parameter 'number' has no type; ")


def test_an_edit_within_the_same_second_and_of_the_same_size_is_seen(tmp_path: Path) -> None:
    """Python would trust the compiled file of the version before."""
    util = tmp_path / "paint" / "util.py"
    write(tmp_path, "paint/nodes.py", "from .util import NUMBER\n" + PLAIN.replace("number * 2", "NUMBER"))
    for number in (1, 2):
        write(tmp_path, "paint/util.py", f"NUMBER = {number}")
        os.utime(util, (1, 1))
        if number == 1:
            py_compile.compile(str(util))
        assert load_path(tmp_path / "paint").nodes[0]() == number


def test_a_pack_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    write(tmp_path, "paint/a.py", NODES)
    source = write(tmp_path, "paint/b.py", "raise ValueError")
    assert load_packs([path_pack(tmp_path / "paint")])[1]
    assert not [name for name in sys.modules if is_module_of(name, path_pack(tmp_path / "paint").root)]
    assert load_packs([source])[1]
    assert source.root not in sys.modules


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
        "node 'Number' of pack 'arithmetic' is hidden by pack 'first', which comes first. Choose with --pack, which "
        "puts a pack (a file, a folder or the name of an installed one) before the others; or rename nodes.",
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
