"""Writes that share commits, and disks that are full, busy or failing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from graphengine.core.job import Job
from graphengine.jobs.store import EventBatch, JobStore, Outcome
from graphengine.jobs.store_thread import DiskFull, StoreBroken, StoreBusy, StoreThread
from tests.jobs.failing import let_fail, use_failing_connections
from tests.jobs.made import new, submit, written


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[StoreThread]:
    thread = StoreThread(path)
    try:
        yield thread
    finally:
        await thread.close()


async def together(thread: StoreThread, *works: Callable[[JobStore], Any]) -> list[Any]:  # Any: the works' results
    """Ask for writes that come into one commit, as the writer is busy until all are asked for."""
    asked = threading.Event()

    def hold(_store: JobStore) -> None:
        asked.wait(10)

    held = asyncio.ensure_future(thread.write(hold))
    await asyncio.sleep(0.01)
    writes = [asyncio.ensure_future(thread.write(work)) for work in works]
    await asyncio.sleep(0)
    asked.set()
    await held
    return await asyncio.gather(*writes, return_exceptions=True)


async def queued(thread: StoreThread) -> int:
    return (await thread.read(JobStore.counts))["queued"]


def kept(path: Path) -> list[str]:
    """Look what is on the disk."""
    with closing(JobStore.open(path, read_only=True)) as store:
        return [job.name for job in store.page().jobs][::-1]


def named(name: str) -> Callable[[JobStore], Job]:
    return lambda store: submit(store, name=name)


def use(path: Path, test: Callable[[StoreThread], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(path) as thread:
            await test(thread)

    asyncio.run(run())


def test_a_write_is_on_disk_when_it_returns(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        job = await thread.write(named("a"))
        assert kept(path) == ["a"]
        assert await thread.read(lambda store: store.get(job.id)) == job

    use(path, test)


def test_many_writes_share_one_commit(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        statements: list[str] = []
        await thread.write(lambda store: store.database.set_trace_callback(statements.append))
        jobs = await together(thread, *(named(f"{number}") for number in range(100)))
        assert [job.name for job in jobs] == [f"{number}" for number in range(100)]
        assert statements.count("COMMIT") == 3  # of setting this up, of what held the writer, and of all
        assert await queued(thread) == 100

    use(path, test)


def fail_with(error: type[Exception]) -> Callable[[JobStore], None]:
    def work(store: JobStore) -> None:
        submit(store, name="undone")
        if error is sqlite3.IntegrityError:
            store.database.execute("INSERT INTO meta VALUES ('a', NULL)")
        if error is sqlite3.OperationalError:
            store.database.execute("SELECT nothing")
        raise error

    return work


@pytest.mark.parametrize("error", [ValueError, MemoryError, sqlite3.IntegrityError, sqlite3.OperationalError])
def test_an_exception_undoes_its_own_write_alone(path: Path, error: type[Exception]) -> None:
    async def test(thread: StoreThread) -> None:
        first, failed, last = await together(thread, named("first"), fail_with(error), named("last"))
        assert (first.name, last.name) == ("first", "last")
        assert isinstance(failed, error)
        assert kept(path) == ["first", "last"]

    use(path, test)


def test_who_waits_no_more_disturbs_nobody(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        impatient = asyncio.ensure_future(thread.write(named("a")))
        await asyncio.sleep(0)
        impatient.cancel()
        await thread.write(named("b"))
        assert kept(path) == ["a", "b"]

    use(path, test)


def test_a_full_disk_changes_nothing_and_is_told_to_all_of_the_commit(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        await thread.write(named("before"))

        def limit(pages: int) -> Callable[[JobStore], object]:
            return lambda store: store.database.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        def submit_large(store: JobStore) -> None:
            submit(store, name="large", targets=tuple(f"{number:0200}" for number in range(1000)))

        await thread.write(limit(1))  # SQLite takes what there is
        results = await together(thread, named("a"), submit_large, named("b"))
        assert [type(result) for result in results] == [DiskFull] * 3
        assert len(set(map(id, results))) == 3
        assert kept(path) == ["before"]
        assert await queued(thread) == 1
        await thread.write(limit(100_000))
        results = await together(thread, named("a"), submit_large, named("b"))
        assert not any(isinstance(result, Exception) for result in results)
        assert kept(path) == ["before", "a", "large", "b"]

    use(path, test)


def test_a_file_that_another_program_holds_can_be_written_later(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        await thread.write(lambda store: store.database.execute("PRAGMA busy_timeout = 0"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                await thread.write(named("a"))
        await thread.write(named("b"))
        assert kept(path) == ["b"]

    use(path, test)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY])
@pytest.mark.parametrize("point", ["COMMIT", "INSERT INTO jobs"])
def test_after_a_failure_of_the_disk_nothing_is_accepted(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, point: str
) -> None:
    async def test(thread: StoreThread) -> None:
        await thread.write(named("before"))
        let_fail(monkeypatch, lambda statement: code if statement.startswith(point) else None)
        results = await asyncio.gather(thread.write(named("a")), thread.write(named("b")), return_exceptions=True)
        assert [type(result) for result in results] == [StoreBroken] * 2
        let_fail(monkeypatch, lambda _statement: None)
        for _ in range(3):
            with pytest.raises(StoreBroken, match="disk failed"):
                await thread.write(named("c"))
        assert await queued(thread) == 1  # what is there can be read

    use_failing_connections(monkeypatch)
    use(path, test)
    assert kept(path) == ["before"]


def test_what_cannot_be_undone_breaks_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(thread: StoreThread) -> None:
        let_fail(monkeypatch, lambda statement: sqlite3.SQLITE_FULL if statement in ("COMMIT", "ROLLBACK") else None)
        with pytest.raises(DiskFull):
            await thread.write(named("a"))
        let_fail(monkeypatch, lambda _statement: None)
        with pytest.raises(StoreBroken):
            await thread.write(named("b"))

    use_failing_connections(monkeypatch)
    use(path, test)
    assert kept(path) == []


def test_close_finishes_what_was_asked(path: Path) -> None:
    async def test() -> None:
        thread = StoreThread(path)
        writes = [asyncio.ensure_future(thread.write(named(f"{number}"))) for number in range(600)]
        reads = [asyncio.ensure_future(thread.read(JobStore.counts)) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(thread.close(), thread.close())
        assert all(task.done() for task in (*writes, *reads))
        assert len([job for job in await asyncio.gather(*writes) if job.state == "queued"]) == 600
        await thread.close()
        for use in (thread.write, thread.read):
            with pytest.raises(StoreBroken, match="closed"):
                await use(JobStore.counts)

    asyncio.run(test())
    assert len(kept(path)) == 50  # a page


def test_a_read_is_of_one_moment_and_waits_for_no_write(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        begun, goes_on = threading.Event(), threading.Event()

        def count_twice(store: JobStore) -> tuple[int, int]:
            first = store.counts()["queued"]
            begun.set()
            goes_on.wait(10)
            return first, store.counts()["queued"]

        counts = asyncio.ensure_future(thread.read(count_twice))
        await asyncio.to_thread(begun.wait, 10)
        await thread.write(named("a"))
        goes_on.set()
        assert await counts == (0, 0)
        assert await queued(thread) == 1

    use(path, test)


def test_an_exception_of_a_read_is_its_callers(path: Path) -> None:
    async def test(thread: StoreThread) -> None:
        with pytest.raises(ZeroDivisionError):
            await thread.read(lambda _store: 1 // 0)
        with pytest.raises(sqlite3.OperationalError):
            await thread.read(lambda store: store.database.execute("SELECT nothing"))
        assert await queued(thread) == 0

    use(path, test)


# A life of some jobs, in commits of several writes. Each write notes that it was done, as the last thing that it does.
LIFE: tuple[tuple[Callable[[JobStore], object], ...], ...] = (
    tuple(named(name) for name in "abcd"),
    (
        lambda store: store.claim("cpu:0"),
        lambda store: store.claim("cpu:1", held=["x"]),
        lambda store: store.reorder(id_of(store, "d"), before=id_of(store, "c")),
    ),
    (
        lambda store: store.add_events([EventBatch(store.get(id_of(store, "a")).sequence, 1, 1, '[{"number":1}]')]),
        lambda store: store.finish(id_of(store, "a"), 1, Outcome("done", outputs=[written()], node_seconds={"n": 1.0})),
        lambda store: store.cancel(id_of(store, "c")),
        lambda store: store.submit(new(name="e", idempotency_key="k")),
    ),
    (lambda store: store.retry(id_of(store, "a")), lambda store: store.prune(keep=0), JobStore.recover),
)


def id_of(store: JobStore, name: str) -> str:
    (found,) = store.database.execute("SELECT id FROM jobs WHERE name = ? ORDER BY sequence", (name,)).fetchone()
    return str(found)


def live(path: Path) -> set[str]:
    """Go through all of it and give the steps that were said to be done."""
    done: set[str] = set()

    def noting(work: Callable[[JobStore], object], name: str) -> Callable[[JobStore], None]:
        def both(store: JobStore) -> None:
            work(store)
            store.set_meta(name, "done")

        return both

    async def test(thread: StoreThread) -> None:
        for commit, works in enumerate(LIFE):
            names = [f"{commit}.{number}" for number in range(len(works))]
            writes = [thread.write(noting(work, name)) for work, name in zip(works, names, strict=True)]
            results = await asyncio.gather(*writes, return_exceptions=True)
            done.update(name for name, result in zip(names, results, strict=True) if result is None)

    use(path, test)
    return done


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE])
def test_whichever_statement_fails_nothing_is_half_done_and_no_success_is_false(
    tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    use_failing_connections(monkeypatch)
    failing, is_hit = 0, True
    while is_hit:
        failing, is_hit, count = failing + 1, False, 0
        path = tmp_path / f"{failing}.sqlite"
        shutil.copy(empty, path)

        def fails(statement: str, failing: int = failing) -> int | None:
            nonlocal count, is_hit
            if threading.current_thread().name != "queue writer" or statement.startswith("PRAGMA"):
                return None
            count += 1
            is_hit = is_hit or count == failing
            return code if count == failing else None

        let_fail(monkeypatch, fails)
        done = live(path)
        let_fail(monkeypatch, lambda _statement: None)
        check_sound(path, done)
        path.unlink()
    assert failing > 60
    assert len(done) == sum(map(len, LIFE))


def check_sound(path: Path, done: set[str]) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert {name for (name,) in database.execute("SELECT name FROM meta")} == done
        names = [name for (name,) in database.execute("SELECT name FROM jobs")]
        if not any(each.startswith("3.") for each in done):
            assert len(names) == sum(each.startswith("0.") for each in done) + ("2.3" in done)
            over = database.execute("SELECT count(*) FROM jobs WHERE state = 'done'").fetchone()
            assert over == (int("2.1" in done),)
            assert database.execute("SELECT count(*) FROM assets").fetchone() == over
            assert database.execute("SELECT count(*) FROM timings WHERE subject = 'node n'").fetchone() == over
        hashes = "SELECT count(*) FROM jobs WHERE workflow_hash NOT IN (SELECT hash FROM documents)"
        assert database.execute(hashes).fetchone() == (0,)
