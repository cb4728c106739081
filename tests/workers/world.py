"""A queue and a supervisor with real workers, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from graphengine.core.job import Job, JobLimits, JobRequest, NewJob
from graphengine.jobs.hub import EventHub
from graphengine.jobs.store_thread import StoreThread
from graphengine.workers.slots import WorkerStatus
from graphengine.workers.supervisor import Supervisor
from graphengine.workers.worker import Worker, WorkerOptions
from tests.workers.documents import PACK

__all__ = ["Shared", "World", "is_running", "shared_world", "silent", "until", "world"]

_PATIENCE_S = 60.0  # the machine may be busy; a test that passes never waits for so long


class World:
    """A supervisor and its queue."""

    def __init__(self, folder: Path, store: StoreThread, hub: EventHub, supervisor: Supervisor) -> None:
        self.folder = folder
        self.store = store
        self.hub = hub
        self.supervisor = supervisor

    async def submit(self, workflow: str, *, traits: Sequence[str] = (), **limits: Any) -> Job:  # Any: of JobLimits
        """Queue a job."""
        new = NewJob(owner="o", workflow=workflow, request=JobRequest(limits=JobLimits(**limits)), traits=tuple(traits))
        job, _ = await self.store.write(lambda store: store.submit(new))
        self.supervisor.wake()
        return job

    async def end_of(self, job: Job) -> Job:
        """Wait for a job's end."""

        async def follow() -> None:
            async for _ in self.hub.follow(job):
                pass

        await asyncio.wait_for(follow(), _PATIENCE_S)
        return await self.get(job)

    async def run(self, workflow: str, **limits: Any) -> Job:  # Any: of JobLimits
        """Queue a job and wait for its end."""
        return await self.end_of(await self.submit(workflow, **limits))

    async def get(self, job: Job) -> Job:
        """Give a job as it is now."""
        return await self.store.read(lambda store: store.get(job.id))

    async def cancel(self, job: Job) -> None:
        """Stop a job, as the server does."""
        marked = await self.store.write(lambda store: store.cancel(job.id))
        if not marked.is_over:
            self.supervisor.cancel(job.id)

    async def events(self, job: Job) -> list[Mapping[str, Any]]:  # Any: JSON
        """Give a job's events so far."""
        return [message.event for message in await self.hub.replay(job.id, 0)]

    async def running(self, job: Job, kind: str = "node_started") -> Job:
        """Wait until a job's node has begun."""

        async def begun() -> bool:
            return any(event["type"] == kind for event in await self.events(job))

        await until(begun)
        return await self.get(job)

    def status(self, place: int = 0) -> WorkerStatus:
        """Say what a worker is doing."""
        return self.supervisor.status()[place]

    async def replace_worker(self, *, wait_until_ready: bool = True) -> None:
        """Kill the first worker as soon as it is there, and wait until that was noticed or there is a new one."""
        slot = self.supervisor._slots[0]

        async def ready() -> bool:
            return slot.worker is not None and slot.phase == "ready"

        await until(ready)  # one that is being started can't be killed yet
        killed = slot.worker
        assert killed is not None
        killed.kill()

        async def done() -> bool:
            return slot.worker is not killed and (slot.phase == "ready" or not wait_until_ready)

        await until(done)

    async def ready(self) -> None:
        """Wait until all workers are there."""

        async def idle() -> bool:
            return all(each.state == "idle" for each in self.supervisor.status())

        await until(idle)


@asynccontextmanager
async def world(
    folder: Path, devices: Sequence[str] = ("cpu",), packs: Sequence[Path] = (PACK,), **options: Any
) -> AsyncIterator[World]:  # Any: of Supervisor
    """Run a supervisor until the block ends."""
    store = StoreThread(folder / "queue.sqlite")
    hub = EventHub(store)
    each = [WorkerOptions(device, folder / "data", folder / "out", folder / "logs", packs) for device in devices]
    supervisor = Supervisor(store, hub, each, **options)
    await supervisor.start()
    try:
        yield World(folder, store, hub, supervisor)
    finally:
        await supervisor.stop(0)
        await hub.keep()
        hub.close()
        await store.close()


class Shared:
    """A world that several tests use one after the other."""

    def __init__(self, runner: asyncio.Runner, world: World) -> None:
        self._runner = runner
        self._world = world

    def run(self, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:  # Any: as coroutines are typed
        """Run a test once all workers are there."""
        self._runner.run(self._run(test))

    async def _run(self, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:  # Any: as above
        for slot in self._world.supervisor._slots:  # between tests nobody listens
            slot.answered = time.monotonic()
        await self._world.ready()
        await test(self._world)


@contextmanager
def shared_world(folder: Path, *arguments: Any, **options: Any) -> Iterator[Shared]:  # Any: as of world
    """Run a supervisor for several tests."""
    with asyncio.Runner() as runner:
        context = world(folder, *arguments, **options)
        it = runner.run(context.__aenter__())
        try:
            yield Shared(runner, it)
        finally:
            runner.run(context.__aexit__(None, None, None))


async def until(holds: Callable[[], Any], seconds: float = _PATIENCE_S) -> None:  # Any: a coroutine of a bool
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


async def silent(worker: Worker) -> None:
    """Wait until a worker answers nothing, as its node holds the interpreter."""
    with contextlib.suppress(TimeoutError):
        while True:
            await worker.ask("ping", timeout_s=0.3)


def is_running(pid: int) -> bool:
    """Whether a process has not ended; whoever adopted it may be slow to notice."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
