"""Previews are made while somebody watches, and cost nothing while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphengine.core.job import Job
from graphengine.jobs.hub import Subscription
from tests.workers.documents import one
from tests.workers.world import Shared, World, shared_world, until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with shared_world(tmp_path_factory.mktemp("world")) as shared:
        yield shared


class Sketching:
    """A job that offers previews until it is told to end."""

    def __init__(self, it: World, folder: Path) -> None:
        self.it = it
        self._go, self._count = folder / "go", folder / "count"
        self.job: Job | None = None

    async def begin(self) -> Job:
        document = one("Sketch", "drawn", until=str(self._go), count_in=str(self._count))
        self.job = await self.it.submit(document)
        return await self.it.running(self.job)

    @property
    def drawn(self) -> int:
        """So many previews were made so far."""
        return len(self._count.read_bytes()) if self._count.exists() else 0

    async def until_more(self) -> None:
        before = self.drawn

        async def more() -> bool:
            return self.drawn > before

        await until(more)

    async def end(self) -> int:
        """End the job; give how many previews it made in all."""
        assert self.job is not None
        self._go.touch()
        job = await self.it.end_of(self.job)
        assert job.state == "done"
        return int(job.values["drawn"])


async def _asked_of(it: World) -> None:
    """Wait until the worker has read all that it was told before."""
    assert await it.supervisor.ask("ping") == "pong"


async def _preview(subscription: Subscription) -> bytes:
    while True:
        for message in await asyncio.wait_for(subscription.next(), 60):
            if message.jpeg is not None:
                return message.jpeg


def test_none_are_made_for_nobody_and_for_who_wants_none(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        sketching = Sketching(it, tmp_path)
        deaf = it.hub.subscribe(None, previews=False)
        other = it.hub.subscribe("somebody else")
        await sketching.begin()
        await asyncio.sleep(0.3)  # longer than previews are apart
        assert await sketching.end() == 0
        it.hub.unsubscribe(deaf)
        it.hub.unsubscribe(other)

    shared.run(main)


def test_they_begin_with_the_first_watcher_and_end_with_the_last(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        sketching = Sketching(it, tmp_path)
        job = await sketching.begin()
        assert sketching.drawn == 0
        first = it.hub.subscribe(None, [job.id])
        assert (await _preview(first)).startswith(b"\xff\xd8")
        second = it.hub.subscribe("o")
        it.hub.unsubscribe(first)
        await sketching.until_more()
        it.hub.unsubscribe(second)
        await _asked_of(it)
        now = sketching.drawn
        await asyncio.sleep(0.3)
        assert sketching.drawn <= now + 1  # one that was being made
        back = it.hub.subscribe("o")  # as after a connection that broke
        await sketching.until_more()
        assert await sketching.end() > now
        it.hub.unsubscribe(back)

    shared.run(main)


def test_who_watches_before_the_job_begins_sees_it_from_its_beginning(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        watcher = it.hub.subscribe("o")
        sketching = Sketching(it, tmp_path)
        await sketching.begin()
        await _preview(watcher)
        it.hub.unsubscribe(watcher)
        assert await sketching.end() > 0

    shared.run(main)


def test_watchers_of_one_job_have_none_made_of_the_next(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        for name, watched in (("first", True), ("second", False)):
            (tmp_path / name).mkdir()
            sketching = Sketching(it, tmp_path / name)
            job = await sketching.begin()
            if watched:
                watcher = it.hub.subscribe("o", [job.id])
                await sketching.until_more()
                await sketching.end()
        await asyncio.sleep(0.3)
        assert await sketching.end() == 0
        it.hub.unsubscribe(watcher)

    shared.run(main)
