"""Many jobs: run one after the other, kept, waiting, and sent while others run."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import psutil

from graphengine.core.job import NewJob
from graphengine.jobs.store import JobStore
from tests.bench import server as bench
from tests.faults.measured import Result, Scale, percentile

__all__ = ["accepting", "cancelling", "long_history", "long_queue", "soak"]

T = TypeVar("T")

_CLIENTS = 8
_WARM_UP_JOBS = 1_000  # after which caches are filled
_HISTORY = 100_000
_LOOKS = 200
_CLAIMS = 1_000


def soak(folder: Path, scale: Scale) -> Result:
    """Row 13: memory and file descriptors, after many jobs."""
    with bench.running(folder) as server:
        process = psutil.Process(server.process.pid)

        async def look(session: aiohttp.ClientSession) -> tuple[float, int, float, int]:
            await bench.closed_loop_ms(session, _CLIENTS, _WARM_UP_JOBS // _CLIENTS)
            memory, files = server.memory_mib, process.num_fds()
            await bench.closed_loop_ms(session, _CLIENTS, scale.jobs // _CLIENTS)
            return memory, files, server.memory_mib, process.num_fds()

        memory, files, memory_after, files_after = _talk(server, look)
    each = (memory_after - memory) * 1024 / scale.jobs
    return Result(
        f"{each:.2f} KiB; {files} then {files_after} files ({scale.jobs:,} jobs)",
        each <= 1 and files_after <= files + 2,
    )


def long_history(folder: Path, scale: Scale) -> Result:
    """Row 14: pages of a long history, and claims beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    store = JobStore.open(folder / "queue.sqlite")
    _fill(store, _HISTORY)
    store.database.execute("UPDATE jobs SET state = 'done', attempts = 1, started = created, finished = created + 1")
    claims = _claim_times(store)
    store.close()
    with bench.running(folder) as server:
        pages = _talk(server, _page_times)
    page_ms, claim_ms = percentile(pages, 0.99) * 1000, percentile(claims, 0.99) * 1000
    return Result(f"{page_ms:.1f} ms; {claim_ms:.2f} ms", page_ms <= 50 and claim_ms <= 2)


def _fill(store: JobStore, count: int) -> None:
    store.database.execute("BEGIN")
    document = json.dumps(bench.chain(5))
    for number in range(count):
        store.submit(NewJob(owner="local", workflow=document + " " * (number % 7)))
    store.database.execute("COMMIT")


def _claim_times(store: JobStore) -> list[float]:
    _fill(store, _CLAIMS + 100)
    times = []
    for _ in range(_CLAIMS):
        began = time.perf_counter()
        store.database.execute("BEGIN IMMEDIATE")
        assert store.claim("cpu", held=("x",)) is not None
        store.database.execute("COMMIT")
        times.append(time.perf_counter() - began)
    return times


async def _page_times(session: aiohttp.ClientSession) -> list[float]:
    chance, times = random.Random(14), []
    for _ in range(_LOOKS):
        query = f"/api/v1/jobs?before={chance.randrange(100, _HISTORY)}&limit=50"
        began = time.perf_counter()
        async with session.get(query) as answer:
            assert len((await answer.json())["jobs"]) == 50
        times.append(time.perf_counter() - began)
    return times


def long_queue(folder: Path, scale: Scale) -> Result:
    """Row 15: a start with many jobs waiting."""
    seconds = bench.ready_seconds_with_queue(folder, 10_000)
    return Result(f"{seconds:.2f} s", seconds <= 2)


def accepting(folder: Path, scale: Scale) -> Result:
    """Row 16: jobs that are accepted while graphs of 1,000 nodes run."""
    with bench.running(folder) as server:
        p99_ms = _talk(server, bench.accept_p99_ms)
    return Result(f"{p99_ms:.1f} ms", p99_ms <= 50)


def cancelling(folder: Path, scale: Scale) -> Result:
    """Row 17: how long a cancel takes."""
    with bench.running(folder) as server:
        polls = _talk(server, lambda session: bench.interrupt_seconds(session, "bench.Poll"))
        never = _talk(server, lambda session: bench.interrupt_seconds(session, "bench.Sleep"))
    return Result(f"{polls * 1000:.0f} ms; {never:.2f} s", polls <= 1 and never <= 6)


def _talk(server: bench.Server, talk: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
    async def go() -> T:
        async with bench.client(server) as session:
            await bench.run(session, bench.chain(5))
            return await talk(session)

    return asyncio.run(go())
