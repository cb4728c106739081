"""Files of past and future versions, of other programs, and of none."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from graphengine.jobs import schema
from graphengine.jobs.schema import MIGRATIONS, StoreVersionError
from graphengine.jobs.store import JobStore, StoreFileError
from tests.jobs.made import submit


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def of_version(path: Path, version: int) -> None:
    """Write a file as a past version of the program left it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        for script in MIGRATIONS[:version]:
            database.executescript(script)
        database.execute(f"PRAGMA user_version = {version}")


def opens(path: Path) -> None:
    with closing(JobStore.open(path)) as store:
        submit(store)


def test_a_file_is_made_with_its_folder(path: Path) -> None:
    opens(path)
    opens(path)
    assert version_of(path) == len(MIGRATIONS)
    with closing(JobStore.open(path)) as store:
        assert store.counts()["queued"] == 2


def test_an_empty_file_is_filled(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    opens(path)


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_file_of_a_past_version_is_brought_up_to_date(path: Path, version: int) -> None:
    of_version(path, version)
    opens(path)
    assert version_of(path) == len(MIGRATIONS)


def test_assets_of_version_1_are_kept(path: Path) -> None:
    of_version(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("INSERT INTO assets VALUES ('ada', 'aa', 'p', 'n', 'image/png', 7, 'upload', NULL, 5.0)")
    with closing(JobStore.open(path)) as store:
        assert store.assets(None) == [("ada", "aa", "p", "n", "image/png", 7, "upload", None, 5.0)]


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    opens(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreVersionError, match=r"queue\.sqlite: the queue has version 99.*newer graphengine"):
        JobStore.open(path)
    assert version_of(path) == 99


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\1" * 4000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreFileError, match=r"queue\.sqlite: can't be used as the queue: .*move it away"):
        JobStore.open(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE jobs (mine)")
    with pytest.raises(StoreFileError, match="already exists"):
        JobStore.open(path)
    assert version_of(path) == 0


def test_a_step_that_fails_leaves_the_version_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "DROP TABLE meta; CREATE nonsense;"))
    with pytest.raises(StoreFileError):
        JobStore.open(path)
    assert version_of(path) == len(MIGRATIONS)
    monkeypatch.undo()
    opens(path)


def test_two_programs_may_open_a_new_file_at_once(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("BEGIN IMMEDIATE")
        second = threading.Thread(target=opens, args=(path,))
        second.start()
        second.join(0.1)
        for statement in MIGRATIONS[0].split(";"):
            first.execute(statement)
        first.execute("PRAGMA user_version = 1")
        first.execute("COMMIT")
        second.join()
    assert version_of(path) == len(MIGRATIONS)
    with closing(JobStore.open(path)) as store:
        assert store.counts()["queued"] == 1


def test_reading_goes_on_while_a_change_is_made(path: Path) -> None:
    with closing(JobStore.open(path)) as writer, closing(JobStore.open(path, read_only=True)) as reader:
        submit(writer)
        writer.database.execute("BEGIN IMMEDIATE")
        submit(writer)
        assert reader.counts()["queued"] == 1
        writer.database.execute("COMMIT")
        assert reader.counts()["queued"] == 2
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            submit(reader)
