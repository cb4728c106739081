"""Hashes of files' contents, kept between runs: a folder of pictures is read whole once, not at each start.

As in version control, a file whose size and time of change are as they were counts as unchanged.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import weakref
from pathlib import Path

__all__ = ["KnownHashes"]

logger = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed_ns INTEGER, hash TEXT)"


class KnownHashes:
    """Hashes of files, remembered in a file of their own; without that file, or if it is damaged, they are made anew.

    Args:
        path: Where they are kept; None remembers nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """Hash a file's content.

        Raises:
            OSError: if it can't be read.
        """
        stat = path.stat()
        known = self._ask(
            "SELECT hash FROM files WHERE path = ? AND size = ? AND changed_ns = ?",
            (str(path), stat.st_size, stat.st_mtime_ns),
        )
        if known is not None:
            return known
        with path.open("rb") as file:
            made = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        self._ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (str(path), stat.st_size, stat.st_mtime_ns, made))
        return made

    def _ask(self, statement: str, values: tuple[str | int, ...]) -> str | None:
        if self._path is None:
            return None
        with self._lock:
            try:
                row = self._opened(self._path).execute(statement, values).fetchone()
            except (sqlite3.Error, OSError) as error:
                logger.warning("%s can't be used; files are hashed anew: %s", self._path, error)
                self._path = None
                return None
        return None if row is None else str(row[0])

    def _opened(self, path: Path) -> sqlite3.Connection:
        if self._database is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._database.close)
            self._database.execute("PRAGMA synchronous = OFF")  # what a power cut loses is made anew
            self._database.execute(_TABLE)
        return self._database
