"""The queue's store for an asyncio program: one thread writes, one reads, and many writes share one commit.

A write's future is resolved when its commit is on disk, never before. Each write is a savepoint of its own, so one that
raises undoes itself alone.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from graphengine.errors import GraphEngineError
from graphengine.jobs.store import JobStore

__all__ = ["DiskFull", "StoreBroken", "StoreBusy", "StoreThread"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_IN_A_COMMIT = 256

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FAILED = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class DiskFull(GraphEngineError):
    """The disk is full: nothing was changed, and the same may be tried again when there is room."""

    def __init__(self) -> None:
        super().__init__("the disk is full, so nothing was changed. Free some space, then try again.")


class StoreBroken(GraphEngineError):
    """The disk failed to keep what was written: nothing is accepted until the server is started again."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message or "the queue's disk failed, so nothing more is accepted. Check the disk and start again."
        )


class StoreBusy(GraphEngineError):
    """Another program holds the queue's file: nothing was changed, and the same may be tried again."""

    def __init__(self) -> None:
        super().__init__("another program holds the queue's file, so nothing was changed. End it, then try again.")


class _Call(NamedTuple):
    """Work for the thread, and who waits for it."""

    work: Callable[[JobStore], Any]  # Any: each caller's own result
    future: asyncio.Future[Any]  # Any: as above


_Result = tuple[asyncio.Future[Any], Any, BaseException | None]  # Any: as in _Call


class _Results:
    """Resolves futures of one event loop, many at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def give(self, results: Sequence[_Result]) -> None:
        """Resolve futures from another thread."""
        try:
            self._loop.call_soon_threadsafe(self._resolve, results)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    @staticmethod
    def _resolve(results: Sequence[_Result]) -> None:
        for future, result, error in results:
            if future.done():  # whoever waited was cancelled
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)


class StoreThread:
    """Runs reads and writes of the queue beside the event loop that made it.

    Args:
        path: The queue's file.
    """

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._results = _Results(self._loop)
        self._writer_store = JobStore.open(path)
        try:
            self._reader_store = JobStore.open(path, read_only=True)
        except BaseException:
            self._writer_store.close()
            raise
        self._writes: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._broken = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._write_all, name="queue writer", daemon=True),
            threading.Thread(target=self._read_all, name="queue reader", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def write(self, work: Callable[[JobStore], T]) -> T:
        """Do something with the store as one atomic change; it is on disk when this returns.

        Raises:
            DiskFull: nothing was changed.
            StoreBusy: nothing was changed.
            StoreBroken: the disk failed, now or before, or this is closed.
        """
        return await self._call(self._writes, work)

    async def read(self, work: Callable[[JobStore], T]) -> T:
        """Look something up in what was committed: all that the work reads is of one moment."""
        return await self._call(self._reads, work)

    async def close(self) -> None:
        """Finish what was asked for, and close the file."""
        if not self._closed:
            self._closed = True
            self._writes.put(None)
            self._reads.put(None)
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in self._threads))

    async def _call(self, calls: queue.SimpleQueue[_Call | None], work: Callable[[JobStore], T]) -> T:
        if self._closed:
            raise StoreBroken("the queue is closed, as the server is stopping. Try again when it is back.")
        future: asyncio.Future[T] = self._loop.create_future()
        calls.put(_Call(work, future))
        return await future

    def _read_all(self) -> None:
        while (call := self._reads.get()) is not None:
            result, error = self._read(call)
            self._results.give([(call.future, result, error)])
        self._reader_store.close()

    def _read(self, call: _Call) -> tuple[Any, Exception | None]:  # Any: as in _Call
        database = self._reader_store.database
        try:
            database.execute("BEGIN")
            try:
                return call.work(self._reader_store), None
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
        except Exception as error:  # a border: it is the caller's, on the loop's thread
            return None, _explained(error)

    def _write_all(self) -> None:
        is_open = True
        while is_open:
            calls = [self._writes.get()]
            while len(calls) < _MOST_IN_A_COMMIT:
                try:
                    calls.append(self._writes.get_nowait())
                except queue.Empty:
                    break
            is_open = None not in calls
            self._commit([call for call in calls if call is not None])
        self._writer_store.close()

    def _commit(self, calls: Sequence[_Call]) -> None:
        """Do all the work in one transaction; what one raises is its own, what the commit raises is everyone's."""
        if not calls:
            return
        results: list[_Result] = []
        try:
            if self._broken:
                raise StoreBroken
            self._run("BEGIN IMMEDIATE")
            for call in calls:
                results.append((call.future, *self._in_savepoint(call)))
            self._run("COMMIT")
        except Exception as error:  # a border: every caller is told
            self._undo()
            results = [(call.future, None, self._failure(error)) for call in calls]
        self._results.give(results)

    def _in_savepoint(self, call: _Call) -> tuple[Any, Exception | None]:  # Any: as in _Call
        self._run("SAVEPOINT one")
        try:
            result = call.work(self._writer_store)
        except Exception as error:  # a border: it is the caller's
            if _explained(error) is not error:
                raise  # the disk's, so everyone's
            self._run("ROLLBACK TO one")
            self._run("RELEASE one")
            return None, error
        self._run("RELEASE one")
        return result, None

    def _undo(self) -> None:
        try:
            if self._writer_store.database.in_transaction:
                self._run("ROLLBACK")
        except sqlite3.Error:
            logger.exception("a change of the queue could not be undone")
            self._broken = True

    def _failure(self, error: Exception) -> Exception:
        """Say what a caller is told of a commit that failed; after a failing disk, nothing is certain any more."""
        failure = _explained(error)
        if isinstance(failure, StoreBroken) and not self._broken:
            logger.error("the queue could not be written: %s", error)
            self._broken = True
        return failure

    def _run(self, statement: str) -> None:
        self._writer_store.database.execute(statement)


def _explained(error: Exception) -> Exception:
    """Tell what is the disk's, a full one from a failing one, and give everything else as it is."""
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        failure: GraphEngineError = DiskFull()
    elif primary in _BUSY:
        failure = StoreBusy()
    elif primary in _FAILED:
        failure = StoreBroken()
    else:
        return error
    failure.__cause__ = error
    return failure
