"""A store of its own for each test, in a real file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphengine.jobs.store import JobStore


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A queue's file without jobs, to be copied: making one waits for the disk several times."""
    path = tmp_path_factory.mktemp("queue") / "empty.sqlite"
    JobStore.open(path).close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.sqlite"


@pytest.fixture
def store(path: Path, empty: Path) -> Iterator[JobStore]:
    """A store in one transaction, as its callers begin one; nothing waits for the disk."""
    path.parent.mkdir()
    shutil.copy(empty, path)
    store = JobStore.open(path)
    store.database.execute("BEGIN")
    yield store
    store.close()
