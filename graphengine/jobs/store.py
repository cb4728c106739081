"""The queue on disk: SQLite in WAL mode, every commit synced.

``JobStore`` is one connection and no thread: each method is a part of the transaction that its caller has begun. What
calls it (``StoreThread``) puts many of them into one commit.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from graphengine.errors import GraphEngineError
from graphengine.jobs.assets import Asset
from graphengine.jobs.history import EventBatch, History, JobPage
from graphengine.jobs.running import MOST_DEATHS, MOST_RESTARTS, Claim, Outcome, Running
from graphengine.jobs.schema import migrate
from graphengine.jobs.tables import QueueError, UnknownJob

__all__ = [
    "Asset",
    "MOST_DEATHS",
    "MOST_RESTARTS",
    "Claim",
    "EventBatch",
    "JobPage",
    "JobStore",
    "Outcome",
    "QueueError",
    "StoreFileError",
    "UnknownJob",
]


class StoreFileError(GraphEngineError):
    """The queue's file is no queue, or can't be opened."""


class JobStore(Running, History):
    """The tables of the queue, over one connection."""

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> JobStore:
        """Open the queue's file; the writer makes and migrates it.

        Raises:
            StoreVersionError: a newer program wrote it.
            StoreFileError: it is no queue, or can't be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
            try:
                _prepare(database, path, read_only=read_only)
            except BaseException:
                database.close()
                raise
        except sqlite3.Error as error:
            remedy = "If it is another program's, move it away; else look at the disk, or use another data folder."
            raise StoreFileError(f"{path}: can't be used as the queue: {error}. {remedy}") from error
        return cls(database)

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self.database.close()


def _prepare(database: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    database.create_function("casefold", 1, str.casefold, deterministic=True)  # SQL's own lower() knows ASCII only
    database.execute("PRAGMA busy_timeout = 5000")
    if read_only:
        database.execute("PRAGMA query_only = 1")
        return
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = 1")
    migrate(database, str(path))
