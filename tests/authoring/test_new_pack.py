"""``graphengine new-pack`` writes a project that works as it is."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from graphengine.authoring.new_pack import write_pack
from graphengine.authoring.packs import load_path
from graphengine.errors import GraphEngineError
from tests.command_line import Run


def test_the_new_pack_loads_as_a_file_and_as_a_folder(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("new-pack", "my_nodes", "--dir", tmp_path / "new")
    project = tmp_path / "new" / "my_nodes"
    assert (code, {path.name for path in project.iterdir()}) == (
        0,
        {"pyproject.toml", "my_nodes.py", "test_my_nodes.py"},
    )
    assert all(str(path) in out for path in project.iterdir())
    for path in (project, project / "my_nodes.py"):
        code, out, err = run("nodes", "my_nodes.Brighten", "--pack", path, packs=())
        assert (code, err) == (0, "")
        assert "1 leaves it as it is." in out


def test_its_entry_point_names_its_pack(tmp_path: Path) -> None:
    toml, nodes, _ = write_pack("my_nodes", tmp_path)
    project = tomllib.loads(toml.read_text())
    assert project["project"]["entry-points"]["graphengine.nodes"] == {"my_nodes": "my_nodes:pack"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"only-include": [nodes.name]}
    assert load_path(nodes).name == "my_nodes"


@pytest.mark.slow
def test_its_test_passes(tmp_path: Path) -> None:
    write_pack("my_nodes", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "my_nodes", capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_programs_get_the_files(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("new-pack", "my_nodes", "--dir", tmp_path, "--json")
    assert code == 0
    assert all(Path(path).is_file() for path in json.loads(out)["files"])


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_nodes").mkdir()
    code, _, err = run("new-pack", "my_nodes")
    assert (code, err) == (
        2,
        "graphengine: my_nodes is there already. Choose another name, or another folder with --dir.\n",
    )
    assert not list((tmp_path / "my_nodes").iterdir())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("My Nodes!", "it is the name of a Python module as well. Use a-z, 0-9 and _, e.g. my_nodes."),
        ("my-nodes", "it is the name of a Python module as well. Use a-z, 0-9 and _, e.g. my_nodes."),
        ("3d", "it is the name of a Python module as well. Use a-z, 0-9 and _, e.g. d."),
        ("../up", "it is the name of a Python module as well. Use a-z, 0-9 and _, e.g. up."),
        ("", "it is the name of a Python module as well. Use a-z, 0-9 and _."),
        ("class", "Python has that word for itself. Use class_nodes, say."),
        ("random", "there is a Python module of that name, which it would hide. Use random_nodes, say."),
        ("torch", "there is a Python module of that name, which it would hide. Use torch_nodes, say."),
    ],
)
def test_a_name_must_do_for_a_module(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(GraphEngineError) as caught:
        write_pack(name, tmp_path / "new")
    if name:
        assert str(caught.value) == f"a pack can't be called {name!r}: {complaint}"
    assert not list(tmp_path.rglob("*.py"))
