"""Definitions without importing packs: made once in a child process, kept as JSON, made again when anything changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from graphengine.authoring.definition_cache import read_definitions
from graphengine.authoring.packs import PackSource, path_pack

PACK = """
import pathlib
from graphengine import node

log = pathlib.Path(__file__).with_suffix(".log")
log.write_text(log.read_text() + "x" if log.exists() else "x")

@node("mine.Double", category="test")
def double(number: int = 1) -> int:
    '''Double a number.'''
    return number * 2
"""


@pytest.fixture
def source(tmp_path: Path) -> PackSource:
    return written(tmp_path / "logged.py", PACK)


def written(path: Path, text: str) -> PackSource:
    path.write_text(text)
    return path_pack(path)


def imports(source: PackSource) -> int:
    log = Path(source.target).with_suffix(".log")
    return len(log.read_text()) if log.exists() else 0


def test_a_pack_is_imported_once_in_a_child_and_again_only_when_it_changes(tmp_path: Path, source: PackSource) -> None:
    folder = tmp_path / "definitions"
    first = read_definitions([source], folder)
    again = read_definitions([source], folder)
    assert list(first.by_id) == ["mine.Double"]
    assert repr(again.by_id) == repr(first.by_id)
    assert imports(source) == 1
    assert "graphengine_pack_logged" not in sys.modules
    written(Path(source.target), PACK.replace("mine.Double", "mine.Triple"))
    assert list(read_definitions([source], folder).by_id) == ["mine.Triple"]
    assert imports(source) == 2


def test_a_damaged_cache_file_is_written_again(tmp_path: Path, source: PackSource) -> None:
    folder = tmp_path / "definitions"
    read_definitions([source], folder)
    (file,) = folder.iterdir()
    whole = file.read_text()
    for content in ("", "not json", '[{"id": 3}]'):
        file.write_text(content)
        assert list(read_definitions([source], folder).by_id) == ["mine.Double"], content
        assert file.read_text() == whole
        assert list(folder.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, source: PackSource) -> None:
    (tmp_path / "definitions").write_text("a file where the folder belongs")
    for count in (1, 2):
        assert list(read_definitions([source], tmp_path / "definitions").by_id) == ["mine.Double"]
        assert imports(source) == count


ENDINGS = {
    "raise ValueError('no way')": "ValueError: no way (logged.py, line 12)",
    "import sys; sys.exit('enough')": "SystemExit: enough (logged.py, line 12)",
    "import os; print('5', flush=True); os._exit(3)": "its import ended with exit code 3.",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "its import ended with exit code -9.",
}


def test_a_pack_that_ends_its_process_is_reported_and_the_rest_are_read(tmp_path: Path, source: PackSource) -> None:
    """The nodes that it brought before are still known, so that messages can name the pack."""
    folder = tmp_path / "definitions"
    read_definitions([source], folder)
    other = written(tmp_path / "logged-other.py", PACK.replace("mine.", "other."))
    for ending, error in ENDINGS.items():
        ends = written(Path(source.target), PACK + ending + "\n")
        definitions = read_definitions([ends, other], folder)
        assert list(definitions.by_id) == ["other.Double"]
        (failure,) = definitions.failures
        assert (failure.pack, failure.node_ids) == ("logged", ("mine.Double",))
        assert failure.error.strip() == error


def test_files_in_the_current_folder_hide_no_module(
    tmp_path: Path, source: PackSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "token", "json", "torch"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('hidden')")
    monkeypatch.chdir(tmp_path)
    assert read_definitions([source], tmp_path / "definitions").failures == ()


def test_a_change_that_breaks_saved_workflows_is_said_until_the_source_changes_again(
    tmp_path: Path, source: PackSource
) -> None:
    folder = tmp_path / "definitions"
    path = Path(source.target)
    assert read_definitions([source], folder).breaking_changes == ()
    changed = written(path, PACK.replace("number: int = 1", "amount: int = 1"))
    for _ in range(2):
        assert read_definitions([changed], folder).breaking_changes == (
            "mine.Double changed its inputs (number removed) but its version is still 1: saved workflows would break. "
            "Raise version and add migrate_from(1).",
        )
    migrated = PACK.replace("number: int = 1", "amount: int = 1").replace(
        'category="test"', 'category="test", version=2'
    )
    written(path, migrated + "\ndouble.migrate_from(1)(lambda inputs: inputs)\n")
    assert read_definitions([path_pack(path)], folder).breaking_changes == ()


def test_only_the_newest_definitions_of_a_pack_are_kept(tmp_path: Path, source: PackSource) -> None:
    folder = tmp_path / "definitions"
    (tmp_path / "b").mkdir()
    namesake = written(tmp_path / "b" / "logged.py", PACK.replace("mine.", "b."))
    for number in range(2):
        written(Path(source.target), PACK.replace("number: int = 1", f"number: int = {number}"))
        definitions = read_definitions([source, namesake], folder)
        assert set(definitions.by_id) == {"mine.Double", "b.Double"}
        assert len(list(folder.iterdir())) == 2
