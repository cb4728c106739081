"""The queue's tables, as numbered migrations: a file of any past version is brought up to date when it is opened."""

from __future__ import annotations

import sqlite3

from graphengine.errors import GraphEngineError

__all__ = ["MIGRATIONS", "StoreVersionError", "migrate"]

MIGRATIONS: tuple[str, ...] = (  # the statements of a step end with ";", which is nowhere else in them
    """
    CREATE TABLE documents (hash BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'poison')),
        priority INTEGER NOT NULL,
        position REAL NOT NULL,
        passed INTEGER NOT NULL DEFAULT 0,
        targets TEXT,
        limits TEXT NOT NULL,
        traits TEXT NOT NULL,
        workflow_hash BLOB NOT NULL,
        estimate_s REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        restarts INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        heartbeat REAL,
        worker TEXT,
        error TEXT,
        outputs TEXT NOT NULL DEFAULT '[]',
        outcome TEXT NOT NULL DEFAULT '{}',
        log TEXT,
        retry_of TEXT,
        cancelling INTEGER NOT NULL DEFAULT 0,
        last_event INTEGER NOT NULL DEFAULT 0,
        idempotency_key TEXT
    );
    CREATE INDEX jobs_queued ON jobs (owner, priority DESC, position) WHERE state = 'queued';
    CREATE INDEX jobs_running ON jobs (sequence) WHERE state = 'running';
    CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
    CREATE INDEX jobs_by_state ON jobs (state, sequence);
    CREATE INDEX jobs_by_document ON jobs (workflow_hash);
    CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE TABLE owners (owner TEXT PRIMARY KEY, served INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE events (
        job INTEGER NOT NULL REFERENCES jobs (sequence) ON DELETE CASCADE,
        last INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (job, last)
    ) WITHOUT ROWID;
    CREATE TABLE assets (
        owner TEXT NOT NULL,
        asset TEXT NOT NULL,
        path TEXT NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        source TEXT NOT NULL,
        job TEXT,
        created REAL NOT NULL,
        PRIMARY KEY (owner, asset)
    ) WITHOUT ROWID;
    CREATE INDEX assets_by_time ON assets (owner, created);
    CREATE TABLE timings (subject TEXT PRIMARY KEY, seconds REAL NOT NULL, count INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # An upload stands beside an output of the same bytes; jobs that wait or run have positions of their own.
    """
    ALTER TABLE assets RENAME TO assets_of_1;
    CREATE TABLE assets (
        owner TEXT NOT NULL,
        asset TEXT NOT NULL,
        path TEXT NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('output', 'upload')),
        job TEXT,
        created REAL NOT NULL,
        PRIMARY KEY (owner, asset, source)
    ) WITHOUT ROWID;
    INSERT INTO assets SELECT * FROM assets_of_1;
    DROP TABLE assets_of_1;
    CREATE INDEX assets_by_time ON assets (created);
    CREATE INDEX assets_by_owner ON assets (owner, created);
    CREATE INDEX assets_by_hash ON assets (asset);
    CREATE INDEX jobs_in_order ON jobs (position) WHERE state IN ('queued', 'running');
    """,
)


class StoreVersionError(GraphEngineError):
    """The queue was written by a newer version."""


def migrate(database: sqlite3.Connection, source: str) -> None:
    """Bring a database to the newest version, each step whole or not at all.

    Raises:
        StoreVersionError: it is newer than this program.
    """
    while (version := _version(database)) != len(MIGRATIONS):
        if version > len(MIGRATIONS):
            raise StoreVersionError(
                f"{source}: the queue has version {version}, and this program knows {len(MIGRATIONS)}. "
                "Start the newer graphengine that wrote it, or use another data folder."
            )
        _take_step(database)


def _take_step(database: sqlite3.Connection) -> None:
    """Bring it to the next version, unless another program just did."""
    database.execute("BEGIN IMMEDIATE")
    try:
        version = _version(database)  # once more, as only now nobody else can change it
        for script in MIGRATIONS[version : version + 1]:
            for statement in filter(str.strip, script.split(";")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)
