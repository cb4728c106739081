"""The history of saved workflows, new names for them, and the trash."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from graphengine.server.library import UnknownWorkflow, VersionConflict, WorkflowLibrary
from tests.server.saved_workflows import everything, files, said, save_all, workflow

# History


def test_the_history_has_what_was_said_before_the_newest_first(library: WorkflowLibrary, folder: Path) -> None:
    versions = save_all(library, "sub/a", "one", "two", "one", "three")
    revisions = library.history("sub/a")
    assert [revision.version for revision in revisions] == [versions[0], versions[1], versions[0]]
    assert revisions == sorted(revisions, key=lambda revision: revision.saved, reverse=True)
    assert said(library.read_revision("sub/a", versions[1])) == "two"
    assert [saved.name for saved in library.list()] == ["sub/a"]
    with pytest.raises(UnknownWorkflow, match="the history of 'sub/a' has no version"):
        library.read_revision("sub/a", versions[3])
    with pytest.raises(UnknownWorkflow):
        library.history("sub")


def test_the_history_keeps_the_newest_fifty(library: WorkflowLibrary, folder: Path) -> None:
    versions = save_all(library, "a", *map(str, range(54)))
    assert [revision.version for revision in library.history("a")] == versions[3:53][::-1]
    assert len(files(folder / ".history")) == 50


def test_revisions_stay_in_order_if_files_times_do_not(library: WorkflowLibrary, folder: Path) -> None:
    (version,) = save_all(library, "a", "0")
    for number in range(1, 4):
        os.utime(folder / "a.json", (1e9 - number, 1e9 - number))  # as a copied file, or a clock that was set back
        version = library.save("a", workflow(str(number)), expected_version=version).version
    revisions = library.history("a")
    assert [said(library.read_revision("a", revision.version)) for revision in revisions] == ["2", "1", "0"]
    assert revisions[-1].saved == 1e9 - 1


def test_histories_of_a_workflow_and_of_one_below_its_name_stay_apart(library: WorkflowLibrary) -> None:
    above = save_all(library, "a", "a1", "a2")
    below = save_all(library, "a/b", "b1", "b2")
    library.delete("a", expected_version=above[1])
    assert [revision.version for revision in library.history("a/b")] == below[:1]


# Renaming


def test_a_renamed_workflow_keeps_its_history(library: WorkflowLibrary, folder: Path) -> None:
    versions = save_all(library, "old/a", "one", "two", "three")
    revisions = library.history("old/a")
    saved = library.rename("old/a", "new/sub/b", expected_version=versions[-1])
    assert saved == library.read("new/sub/b")[1] == library.list()[0]
    assert library.history("new/sub/b") == revisions
    assert not (folder / "old").exists()
    assert not (folder / ".history" / "old").exists()
    with pytest.raises(UnknownWorkflow):
        library.read("old/a")


@pytest.mark.parametrize("new_name", ["Anna", "anna", "anna/anna"])
def test_a_workflow_can_take_another_spelling_of_its_own_name(library: WorkflowLibrary, new_name: str) -> None:
    versions = save_all(library, "anna", "one", "two")
    library.rename("anna", new_name, expected_version=versions[1])
    assert [saved.name for saved in library.list()] == [new_name]
    assert [revision.version for revision in library.history(new_name)] == versions[:1]


def test_a_rename_is_refused_if_the_name_is_taken_or_the_version_is_not_the_one_seen(
    library: WorkflowLibrary, folder: Path
) -> None:
    first, second = save_all(library, "a", "one", "two")
    save_all(library, "b", "other")
    before = everything(folder)
    for name, new_name, version in (("a", "b", second), ("a", "B", second), ("a", "c", first)):
        with pytest.raises(VersionConflict):
            library.rename(name, new_name, expected_version=version)
    with pytest.raises(UnknownWorkflow):
        library.rename("x", "y", expected_version=first)
    assert everything(folder) == before


# The trash


def test_a_deleted_workflow_comes_back_with_its_history(library: WorkflowLibrary, folder: Path) -> None:
    versions = save_all(library, "sub/a", "one", "two")
    before, revisions, saved = everything(folder), library.history("sub/a"), library.list()
    trashed = library.delete("sub/a", expected_version=versions[1])
    assert files(folder)[0].startswith(f".trash/{trashed.id}/")
    assert (library.list(), library.trash()) == ([], [trashed])
    assert (trashed.name, trashed.size_bytes) == ("sub/a", saved[0].size_bytes)
    assert [library.restore(trashed.id)] == saved
    assert library.history("sub/a") == revisions
    assert (everything(folder), library.trash()) == (before, [])
    with pytest.raises(UnknownWorkflow, match="may be restored already"):
        library.restore(trashed.id)


def test_a_delete_is_refused_if_the_version_is_not_the_one_seen(library: WorkflowLibrary, folder: Path) -> None:
    first, _ = save_all(library, "a", "one", "two")
    before = everything(folder)
    with pytest.raises(VersionConflict):
        library.delete("a", expected_version=first)
    with pytest.raises(UnknownWorkflow):
        library.delete("b", expected_version=first)
    assert everything(folder) == before


@pytest.mark.parametrize("taken", ["a", "A"])
def test_nothing_is_restored_over_a_newer_workflow(library: WorkflowLibrary, folder: Path, taken: str) -> None:
    trashed = library.delete("a", expected_version=save_all(library, "a", "one", "two")[1])
    newer = library.save(taken, workflow("newer"), expected_version=None)
    assert library.history(taken) == []
    before = everything(folder)
    with pytest.raises(VersionConflict) as caught:
        library.restore(trashed.id)
    assert caught.value.current == newer.version
    assert everything(folder) == before
    library.rename(taken, "b", expected_version=newer.version)
    assert said(library.read(library.restore(trashed.id).name)[0]) == "two"


def test_workflows_of_one_name_lie_in_the_trash_side_by_side(library: WorkflowLibrary) -> None:
    ids = [library.delete("a", expected_version=save_all(library, "a", text)[0]).id for text in ("one", "two")]
    assert [entry.id for entry in library.trash()] == ids[::-1]
    library.restore(ids[0])
    assert said(library.read("a")[0]) == "one"


def test_a_damaged_workflow_can_be_deleted_and_restored(library: WorkflowLibrary, folder: Path) -> None:
    folder.mkdir()
    (folder / "a.json").write_text("{")
    (damaged,) = library.list()
    trashed = library.delete("a", expected_version=damaged.version)
    assert library.restore(trashed.id) == damaged


def test_the_trash_is_emptied_of_what_is_old(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(library, "kept", "text")
    (folder / ".trash" / "not ours").mkdir(parents=True)
    now = time.time()
    for age in (7000, 100, -500):  # seconds; the last as if the clock had been set back since
        versions = save_all(library, f"{age}", "one", "two")
        monkeypatch.setattr(time, "time", lambda age=age: now - age)
        library.delete(f"{age}", expected_version=versions[1])
    monkeypatch.setattr(time, "time", lambda: now)
    assert library.empty_trash(3600) == 1
    assert [entry.name for entry in library.trash()] == ["-500", "100"]
    assert library.empty_trash(0) == 2
    assert files(folder) == ["kept.json"]
    assert [path.name for path in (folder / ".trash").iterdir()] == ["not ours"]
