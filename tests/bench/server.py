"""The server under load: a real process, real HTTP, no-op nodes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from graphengine.core.job import NewJob
from graphengine.jobs.store import JobStore

__all__ = ["measure"]

PACK = '''
"""No-op nodes, and one that takes its time."""

import time

from graphengine import Context, node


@node("bench.Number", category="bench", cacheable=False)
def number(value: int = 1) -> int:
    """Give a number."""
    return value


@node("bench.Add", category="bench", cacheable=False)
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@node("bench.End", category="bench", output_node=True, cacheable=False)
def end(a: int) -> None:
    """Take a number."""


@node("bench.Poll", category="bench", output_node=True, cacheable=False)
def poll(ctx: Context, seconds: float = 30) -> None:
    """Wait, and look whether to stop."""
    for _ in ctx.progress(range(int(seconds * 1000))):
        time.sleep(0.001)


@node("bench.Sleep", category="bench", output_node=True, cacheable=False)
def sleep(seconds: float = 30) -> None:
    """Wait, and never look."""
    time.sleep(seconds)
'''

Json = dict[str, Any]  # Any: JSON


def chain(count: int) -> Json:
    """A chain of so many no-op nodes."""
    nodes: Json = {"n0": {"type": "bench.Number", "inputs": {"value": 1}}}
    for index in range(1, count - 1):
        source = "n0.int" if index == 1 else f"n{index - 1}.int"
        nodes[f"n{index}"] = {"type": "bench.Add", "inputs": {"a": {"$link": source}}}
    nodes["end"] = {"type": "bench.End", "inputs": {"a": {"$link": f"n{count - 2}.int"}}}
    return {"format": "graphengine", "version": 1, "nodes": nodes}


def mesh(count: int) -> Json:
    """So many no-op nodes, of which each reads the one before and one further back."""
    drawn = chain(count)
    for index in range(8, count - 1):
        drawn["nodes"][f"n{index}"]["inputs"]["b"] = {"$link": f"n{index - 7}.int"}
    return drawn


def one(kind: str) -> Json:
    """A workflow of one node."""
    return {"format": "graphengine", "version": 1, "nodes": {"only": {"type": kind}}}


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], url: str, seconds: float) -> None:
        self.process = process
        self.url = url
        self.seconds_to_answer = seconds

    @property
    def memory_mib(self) -> float:
        """What the server process holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1024**2


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a server on a free port until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = folder / "bench_pack.py"
    pack.write_text(PACK)
    command = [sys.executable, "-m", "graphengine", "serve", "--data", str(folder), "--port", "0", "--pack", str(pack)]
    with (folder / "server.log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            match = re.search(r"http://\S+", process.stdout.readline())
            assert match is not None, (folder / "server.log").read_text()
            asyncio.run(_get_once(f"{match[0]}/healthz"))
            yield Server(process, match[0], time.perf_counter() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()


async def _get_once(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """Talk to a server."""
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def submit(session: aiohttp.ClientSession, workflow: Json) -> str:
    """Queue a job and give its id."""
    async with session.post("/api/v1/jobs", json={"workflow": workflow}) as answer:
        body = await answer.json()
        assert answer.status == 201, body
        return str(body["job"]["id"])


async def finish(session: aiohttp.ClientSession, job: str) -> str:
    """Wait for a job's end and give its state."""
    while True:
        async with session.get(f"/api/v1/jobs/{job}", params={"wait": 30}) as answer:
            state = str((await answer.json())["job"]["state"])
            if state not in ("queued", "running"):
                return state


async def run(session: aiohttp.ClientSession, workflow: Json) -> float:
    """Run a workflow and give the seconds until its end is known."""
    started = time.perf_counter()
    async with session.post("/api/v1/jobs", params={"wait": 60}, json={"workflow": workflow}) as answer:
        body = await answer.json()
    assert body["job"]["state"] == "done", body
    return time.perf_counter() - started


async def closed_loop_ms(session: aiohttp.ClientSession, clients: int, each: int) -> float:
    """Milliseconds a job while so many clients run one after the other."""

    async def work() -> None:
        for _ in range(each):
            await run(session, chain(5))

    return await _timed(asyncio.gather(*(work() for _ in range(clients)))) * 1000 / (clients * each)


async def at_once_ms(session: aiohttp.ClientSession, count: int) -> float:
    """Milliseconds a job when so many are sent at once."""
    return await _timed(asyncio.gather(*(run(session, chain(5)) for _ in range(count)))) * 1000 / count


async def _timed(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _times_while(work: Awaitable[object], ask: Callable[[], Awaitable[object]], pause_s: float) -> list[float]:
    """Ask again and again while something runs; give the seconds each answer took."""
    running_work = asyncio.ensure_future(work)
    times = []
    while not running_work.done():
        times.append(await _timed(ask()))
        await asyncio.sleep(pause_s)
    await running_work
    return times


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all don't exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def accept_p99_ms(session: aiohttp.ClientSession) -> float:
    """How long a submission takes while the worker is busy."""
    jobs = [await submit(session, chain(1000)) for _ in range(20)]

    async def all_done() -> None:
        for job in jobs:
            await finish(session, job)

    times = await _times_while(all_done(), lambda: submit(session, chain(5)), 0.005)
    return percentile(times, 0.99) * 1000


async def get_p95_ms(session: aiohttp.ClientSession) -> float:
    """How long a look at the queue takes while graphs of 1,000 nodes run."""

    async def look() -> None:
        async with session.get("/api/v1/queue") as answer:
            await answer.read()

    async def runs() -> None:
        for _ in range(10):
            await run(session, chain(1000))

    return percentile(await _times_while(runs(), look, 0.002), 0.95) * 1000


async def socket_mib(session: aiohttp.ClientSession) -> float:
    """What a websocket hears of one job of 1,000 nodes."""
    async with session.ws_connect("/api/v1/events") as socket:
        await socket.send_json({"subscribe": {}})
        job = await submit(session, chain(1000))
        size = 0
        async for frame in socket:
            size += len(frame.data)
            if frame.type == aiohttp.WSMsgType.TEXT and '"job_ended"' in frame.data and job in frame.data:
                return size / 1024**2
    raise AssertionError("the socket closed")


async def definitions_ms(session: aiohttp.ClientSession) -> float:
    """How long all node definitions take, the best of many."""

    async def look() -> None:
        async with session.get("/api/v1/nodes") as answer:
            await answer.read()

    return min([await _timed(look()) for _ in range(50)]) * 1000


async def interrupt_seconds(session: aiohttp.ClientSession, kind: str) -> float:
    """From a cancel until the next job runs to its end."""
    job = await submit(session, one(kind))
    while True:
        async with session.get(f"/api/v1/jobs/{job}/events") as answer:
            if any(event["type"] == "node_started" for event in (await answer.json())["events"]):
                break
        await asyncio.sleep(0.01)
    started = time.perf_counter()
    async with session.post(f"/api/v1/jobs/{job}/cancel") as answer:
        assert answer.status == 200, await answer.text()
    assert await finish(session, job) == "cancelled"
    seconds = time.perf_counter() - started
    await run(session, chain(3))
    return seconds if kind == "bench.Poll" else time.perf_counter() - started


def ready_seconds_with_queue(folder: Path, count: int) -> float:
    """Start a server on a queue of so many jobs; seconds until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    store = JobStore.open(folder / "queue.sqlite")
    store.database.execute("BEGIN")
    for index in range(count):
        store.submit(NewJob(owner="local", workflow=json.dumps(chain(5)) + " " * (index % 7)))
    store.pause(True)
    store.database.execute("COMMIT")
    store.close()
    with running(folder):
        pass  # definitions are read once
    with running(folder) as server:
        return server.seconds_to_answer


async def _rows(server: Server) -> AsyncIterator[tuple[str, float, str, float]]:
    async with client(server) as session:
        await run(session, chain(5))
        await closed_loop_ms(session, 8, 10)
        yield "server, 8 clients in closed loop", await closed_loop_ms(session, 8, 50), "ms a job", 1000 / 374
        yield "server, 200 jobs at once", await at_once_ms(session, 200), "ms a job", 1000 / 625
        yield "server, chain of 1,000", min([await run(session, chain(1000)) for _ in range(5)]), "s", 0.3
        yield "server, mesh of 1,000", min([await run(session, mesh(1000)) for _ in range(5)]), "s", 0.3
        yield "server, accepting while jobs run, p99", await accept_p99_ms(session), "ms", 50
        yield "server, GET /queue while graphs run, p95", await get_p95_ms(session), "ms", 20
        yield "server, websocket text for 1,000 nodes", await socket_mib(session), "MiB", 1
        yield "server, all node definitions", await definitions_ms(session), "ms", 2
        yield "server, cancel of a node that polls", await interrupt_seconds(session, "bench.Poll") * 1000, "ms", 20
        yield "server, cancel of one that never does", await interrupt_seconds(session, "bench.Sleep"), "s", 5.5
        before = server.memory_mib
        await closed_loop_ms(session, 8, 250)
        yield "server, memory for each finished job", (server.memory_mib - before) * 1024 / 2000, "KiB", 1


def measure(folder: Path) -> Iterator[tuple[str, float, str, float]]:
    """Give rows of (what, figure, unit, goal)."""
    with running(folder / "first"):
        pass  # definitions are read once
    with running(folder / "first") as server:
        yield "server, start to first answer", server.seconds_to_answer, "s", 0.8
        yield "server, idle memory", server.memory_mib, "MiB", 90
        rows = _rows(server)
        with asyncio.Runner() as runner:
            while True:
                try:
                    yield runner.run(anext(rows))  # type: ignore[arg-type]  # an awaitable is enough
                except StopAsyncIteration:
                    break
    yield "server, ready with 10,000 jobs queued", ready_seconds_with_queue(folder / "queued", 10_000), "s", 2
