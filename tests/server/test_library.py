"""Saved workflows: names that stay in the folder, two people who save, and nothing that is lost on the way."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.errors import FileFormatError, GraphEngineError, InvalidWorkflow
from graphengine.server import library as library_module
from graphengine.server.library import BadName, LibraryError, UnknownWorkflow, VersionConflict, WorkflowLibrary
from tests.server.saved_workflows import everything, files, said, save_all, workflow

# Saving and reading


@pytest.mark.parametrize("name", ["a", "portraits/anna 2", "a/b/c/d", "灯台 é", "v1.5", "a..b", "x" * 200, "🙂" * 50])
def test_what_was_saved_is_read_and_listed(library: WorkflowLibrary, folder: Path, name: str) -> None:
    saved = library.save(name, workflow("hello"), expected_version=None)
    document, read = library.read(name)
    assert said(document) == "hello"
    assert saved == read == library.list()[0]
    assert (saved.name, saved.title, saved.description, saved.error) == (name, "A title", "hello", None)
    assert (len(saved.version), saved.size_bytes) == (16, (folder / f"{name}.json").stat().st_size)
    assert files(folder) == [f"{name}.json"]


def test_the_list_names_declared_inputs_and_the_title_of_the_meta(library: WorkflowLibrary) -> None:
    fields = {"meta": {"title": "T", "name": 3}, "inputs": {"seed": {"type": "INT"}, "prompt": {"type": "STRING"}}}
    library.save("a", Workflow.model_validate(fields), expected_version=None)
    (saved,) = library.list()
    assert (saved.title, saved.description, saved.inputs) == ("T", "", ("prompt", "seed"))


def test_the_list_is_sorted_and_empty_before_anything_was_saved(library: WorkflowLibrary) -> None:
    assert library.list() == []
    assert library.trash() == []
    for name in ("b", "a/z", "c"):
        library.save(name, workflow(), expected_version=None)
    assert [saved.name for saved in library.list()] == ["a/z", "b", "c"]


def test_an_unknown_name_gets_a_guess(library: WorkflowLibrary) -> None:
    with pytest.raises(UnknownWorkflow, match="Choose one from the list"):
        library.read("portraits/anna")
    library.save("portraits/anna", workflow(), expected_version=None)
    with pytest.raises(UnknownWorkflow, match=r"no workflow 'Portrait/Ana'\. Did you mean 'portraits/anna'\?"):
        library.read("Portrait/Ana")


def test_of_two_tabs_the_second_to_save_is_told_and_loses_nothing(library: WorkflowLibrary, folder: Path) -> None:
    opened = library.save("a", workflow("start"), expected_version=None).version
    first = library.save("a", workflow("first tab"), expected_version=opened)
    before = everything(folder)
    with pytest.raises(VersionConflict, match="since it was opened") as caught:
        library.save("a", workflow("second tab"), expected_version=opened)
    assert (caught.value.name, caught.value.current) == ("a", first.version)
    assert everything(folder) == before
    library.save("a", workflow("second tab"), expected_version=caught.value.current)
    texts = [said(library.read_revision("a", each.version)) for each in library.history("a")]
    assert [said(library.read("a")[0]), *texts] == ["second tab", "first tab", "start"]


def test_a_new_workflow_never_goes_over_an_existing_one(library: WorkflowLibrary) -> None:
    (version,) = save_all(library, "a", "mine")
    with pytest.raises(VersionConflict, match="there is a workflow 'a' already") as caught:
        library.save("a", workflow("yours"), expected_version=None)
    assert caught.value.current == version
    assert said(library.read("a")[0]) == "mine"


def test_a_save_over_what_was_deleted_meanwhile_is_a_conflict(library: WorkflowLibrary, folder: Path) -> None:
    (version,) = save_all(library, "a", "text")
    library.delete("a", expected_version=version)
    with pytest.raises(VersionConflict, match="was deleted or renamed") as caught:
        library.save("a", workflow("more"), expected_version=version)
    assert caught.value.current is None
    assert not (folder / "a.json").exists()


def test_saving_the_same_changes_nothing(library: WorkflowLibrary, folder: Path) -> None:
    first = library.save("a", workflow("text"), expected_version=None)
    before = (folder / "a.json").stat()
    assert library.save("a", workflow("text"), expected_version=first.version) == first
    after = (folder / "a.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # reading it sets its atime
    assert library.history("a") == []


def test_an_edit_by_another_program_is_a_version_too(library: WorkflowLibrary, folder: Path) -> None:
    (version,) = save_all(library, "a", "mine")
    (folder / "a.json").write_text(workflow("by hand").dump())
    with pytest.raises(VersionConflict) as caught:
        library.save("a", workflow("more"), expected_version=version)
    library.save("a", workflow("more"), expected_version=caught.value.current)
    assert [said(library.read_revision("a", each.version)) for each in library.history("a")] == ["by hand"]


def test_of_threads_that_save_over_one_version_exactly_one_wins(library: WorkflowLibrary) -> None:
    (version,) = save_all(library, "a", "start")
    outcomes: Counter[str] = Counter()
    for round_ in range(5):
        ready, winners = threading.Barrier(8), list[str]()

        def save(number: int, ready: threading.Barrier, winners: list[str], version: str, round_: int) -> None:
            ready.wait()
            try:
                document = workflow(f"round {round_}, thread {number}")
                winners.append(library.save("a", document, expected_version=version).version)
            except VersionConflict:
                outcomes["conflict"] += 1

        threads = [threading.Thread(target=save, args=(n, ready, winners, version, round_)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (version,) = winners
    assert outcomes["conflict"] == 5 * 7
    assert library.read("a")[1].version == version
    assert len(library.history("a")) == 5


def test_of_threads_that_make_one_name_exactly_one_wins(library: WorkflowLibrary) -> None:
    won: list[int] = []
    ready = threading.Barrier(8)

    def save(number: int) -> None:
        ready.wait()
        try:
            library.save("new" if number % 2 else "New", workflow(str(number)), expected_version=None)
            won.append(number)
        except VersionConflict:
            pass

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (saved,) = library.list()
    assert [saved.description] == [str(number) for number in won]


# Disks that fail


def test_a_crash_leaves_the_old_text_and_drafts_are_not_listed(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version,) = save_all(library, "a", "old")
    (folder / ".0123456789abcdef.part").write_text(workflow("half").dump()[:20])
    (folder / ".draft.json").write_text(workflow("hidden").dump())
    (folder / "notes.txt").write_text("not a workflow")
    monkeypatch.setattr(os, "replace", _fails(errno.EIO))
    with pytest.raises(LibraryError, match=r"can't save 'a': Input/output error.*try again"):
        library.save("a", workflow("new"), expected_version=version)
    monkeypatch.undo()
    assert [saved.name for saved in library.list()] == ["a"]
    assert said(library.read("a")[0]) == "old"


def test_a_full_disk_is_named_and_a_later_try_makes_one_revision(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version,) = save_all(library, "a", "old")
    replace = os.replace

    def into_history_only(source: Path, target: Path) -> None:
        if ".history" not in target.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", into_history_only)
    with pytest.raises(LibraryError, match=r"No space left on device.*Free some space"):
        library.save("a", workflow("new"), expected_version=version)
    monkeypatch.undo()
    assert not [name for name in files(folder) if name.endswith(".part")]
    library.save("a", workflow("new"), expected_version=version)
    assert [revision.version for revision in library.history("a")] == [version]


def _fails(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_file_and_folder_are_synchronised_before_a_save_is_done(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    library.save("sub/a", workflow(), expected_version=None)
    assert [synced[0], synced[1], synced[3]] == [str(folder.parent), str(folder), str(folder / "sub")]
    assert synced[2].endswith(".part")
    synced.clear()
    library.rename("sub/a", "b", expected_version=library.list()[0].version)
    assert set(synced) == {str(folder), str(folder / "sub")}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b'{"format": "graphengine", "version": 1, "nodes"', FileFormatError, "a: it is not valid JSON"),
        (b"", FileFormatError, "a: the file is empty"),
        (b"\xff\xfe\x00", FileFormatError, "it is not a text file"),
        (b'{"format": "graphengine", "version": 1, "nodes": {}, "nose": 1}', InvalidWorkflow, "Unknown field 'nose'"),
    ],
)
def test_a_damaged_file_is_listed_with_its_error(
    library: WorkflowLibrary, folder: Path, content: bytes, error: type[GraphEngineError], message: str
) -> None:
    save_all(library, "b", "whole")
    (folder / "a.json").write_bytes(content)
    damaged, whole = library.list()
    assert (damaged.name, damaged.size_bytes, whole.error) == ("a", len(content), None)
    assert damaged.error is not None
    assert message in damaged.error
    with pytest.raises(error, match="a: "):
        library.read("a")
    library.save("a", workflow("mended"), expected_version=damaged.version)
    assert said(library.read("a")[0]) == "mended"
    with pytest.raises(error):
        library.read_revision("a", damaged.version)


def test_what_is_no_file_or_has_an_impossible_name_is_listed_with_its_error(
    library: WorkflowLibrary, folder: Path
) -> None:
    folder.mkdir()
    os.mkfifo(folder / "pipe.json")
    for name in (b"bytes \xff.json", b"a:b.json", b"twice.json.json"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text(workflow().dump())
    listed = {saved.name: saved.error or "" for saved in library.list()}
    assert list(listed) == ["a:b", "bytes ?", "pipe", "twice.json"]
    assert "it is no file" in listed.pop("pipe")
    assert all("can't be a workflow's name" in error for error in listed.values())
    with pytest.raises(UnknownWorkflow):
        library.read("pipe")


def test_a_file_that_can_not_be_opened_is_listed_and_tried_again(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "a.json").write_text(workflow().dump())
    monkeypatch.setattr(Path, "open", _fails(errno.EACCES))
    assert "can't read 'a': Permission denied" in str(library.list()[0].error)
    monkeypatch.undo()
    assert library.list()[0].error is None


def test_only_files_that_changed_are_read_again(
    library: WorkflowLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number}.json").write_text(workflow(str(number)).dump())
    (folder / "damaged.json").write_text("{")
    read: list[str] = []

    def parse(text: bytes, name: str) -> Workflow:
        read.append(name)
        return parse_workflow(text, name)

    monkeypatch.setattr(library_module, "parse_workflow", parse)
    first = library.list()
    assert len(read) == 1001
    assert library.list() == first
    assert len(read) == 1001
    library.save("7", workflow("8"), expected_version=next(each.version for each in first if each.name == "7"))
    (folder / "9.json").write_text(workflow("edited").dump())
    (folder / "10.json").unlink()
    again = {saved.name: saved.description for saved in library.list()}
    assert sorted(read[1001:]) == ["7", "9"]
    assert (again["7"], again["9"], "10" in again) == ("8", "edited", False)


def test_a_save_within_one_tick_of_the_clock_is_listed(library: WorkflowLibrary, folder: Path) -> None:
    (version,) = save_all(library, "a", "one")
    library.list()
    facts = (folder / "a.json").stat()
    saved = library.save("a", workflow("two"), expected_version=version)
    os.utime(folder / "a.json", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert [(each.version, each.description) for each in library.list()] == [(saved.version, "two")]


# Names

HOSTILE = [
    *("", "x" * 201, "/etc/passwd", "//server/share", "/", ".", "..", "../x", "a/../../x", "a/..", "a/./b", "./a"),
    *("a//b", "a/", "a\0b", "a\nb", "a\x7f", "a\x1b[2J", "a\u2028b", "\ud800", "a\\b", "..\\x", "C:\\x", "C:x"),
    *("a:stream", ".hidden", "a/.hidden/b", ".history/a", ".trash/x/a", " a", "a ", "a/ b", "a /b", "a.", "a./b"),
    *("\u00a0a", "CON", "nul", "a/Aux", "com1.txt", "LPT¹", "COM9 .x", "conin$", "a.json", "a.JSON/b", "é" * 121),
    *("a?", "*", 'a"b', "<a>", "a|b"),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_everywhere(library: WorkflowLibrary, tmp_path: Path, name: str) -> None:
    (version,) = save_all(library, "good", "text")
    before = everything(tmp_path)
    for attempt in (
        lambda: library.read(name),
        lambda: library.save(name, workflow(), expected_version=None),
        lambda: library.save(name, workflow(), expected_version=version),
        lambda: library.history(name),
        lambda: library.read_revision(name, version),
        lambda: library.delete(name, expected_version=version),
        lambda: library.rename(name, "x", expected_version=version),
        lambda: library.rename("good", name, expected_version=version),
    ):
        with pytest.raises(BadName, match=r"can't be a workflow's name: .+\. [A-Z].+\.") as caught:
            attempt()
        assert len(str(caught.value)) < 500
    assert everything(tmp_path) == before


def test_hostile_ids_and_versions_find_nothing(library: WorkflowLibrary, tmp_path: Path) -> None:
    (version,) = save_all(library, "a", "text")
    before = everything(tmp_path)
    for text in ("", "..", "../..", ".", "/", "*", "a\0b", version):
        with pytest.raises(UnknownWorkflow):
            library.restore(text)
        with pytest.raises(UnknownWorkflow):
            library.read_revision("a", text)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("link", ["out.json", "sub"])
def test_a_link_out_of_the_folder_is_not_followed(
    library: WorkflowLibrary, folder: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(workflow("secret").dump())
    folder.mkdir()
    (folder / link).symlink_to(outside if link == "sub" else outside / "secret.json")
    name = "sub/secret" if link == "sub" else "out"
    before = everything(outside)
    for attempt in (
        lambda: library.read(name),
        lambda: library.save(name, workflow(), expected_version=None),
        lambda: library.delete(name, expected_version="0" * 16),
    ):
        with pytest.raises(BadName, match="a link leads out of the library"):
            attempt()
    assert everything(outside) == before
    listed = library.list()
    assert "secret" not in repr([saved.description for saved in listed])
    assert [saved.name for saved in listed if "a link leads out" in str(saved.error)] == ["out"] * (link != "sub")


def test_links_within_the_folder_work_save_into_what_is_hidden(library: WorkflowLibrary, folder: Path) -> None:
    save_all(library, "a", "text", "more")
    (folder / "alias.json").symlink_to("a.json")
    (folder / "peek.json").symlink_to(next((folder / ".history").rglob("*.json")))
    (folder / "loop.json").symlink_to("loop.json")
    assert said(library.read("alias")[0]) == "more"
    for name in ("peek", "loop"):
        with pytest.raises(LibraryError):
            library.read(name)
    assert [(saved.name, saved.error is None) for saved in library.list()] == [
        *[("a", True), ("alias", True)],
        *[("loop", False), ("peek", False)],
    ]


@pytest.mark.parametrize(
    ("first", "second", "in_the_way"),
    [
        ("anna", "Anna", "anna"),
        ("straße", "STRASSE", "straße"),
        ("caf\u00e9", "cafe\u0301", "caf\u00e9"),
        ("a/b", "a/B", "a/b"),
        ("a/b", "A/c", "a"),
        ("None", "none", "None"),
    ],
)
def test_names_that_differ_in_case_or_accents_only_are_in_each_others_way(
    library: WorkflowLibrary, folder: Path, first: str, second: str, in_the_way: str
) -> None:
    (version,) = save_all(library, first, "mine")
    before = everything(folder)
    for expected in (None, version):
        with pytest.raises(VersionConflict, match="Write it the same way, or take another name") as caught:
            library.save(second, workflow("yours"), expected_version=expected)
        assert (caught.value.name, caught.value.current) == (in_the_way, version if in_the_way == first else None)
    assert everything(folder) == before


def test_a_folder_that_can_not_be_made_is_an_error_with_words(library: WorkflowLibrary, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    assert library.list() == []
    with pytest.raises(LibraryError, match="can't save 'a': File exists"):
        library.save("a", workflow(), expected_version=None)
