"""Who hears of what, and that nobody hears it twice or not at all."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from graphengine.core.job import Job
from graphengine.jobs import hub as module
from graphengine.jobs.hub import EventHub, Message, SlowReader, ended_event
from graphengine.jobs.store import JobStore, Outcome, UnknownJob
from graphengine.jobs.store_thread import DiskFull, StoreThread
from tests.jobs.failing import let_fail, use_failing_connections
from tests.jobs.made import DIED, claim, submit

STARTED = {"type": "node_started", "node": "a"}
LAST = {"type": "job_ended", "state": "done"}


class World:
    """A hub over a real store."""

    def __init__(self, path: Path) -> None:
        self.store = StoreThread(path)
        self.hub = EventHub(self.store)

    async def submit(self, owner: str = "ada") -> Job:
        return await self.store.write(lambda store: submit(store, owner))

    def publish(self, job: Job, count: int = 1) -> None:
        self.hub.publish(job, [STARTED] * count)

    async def end(self, job: Job) -> None:
        """End a job as the supervisor does."""

        def finish(store: JobStore) -> Job:
            store.add_events(self.hub.take_unkept(job.id))
            over = store.finish(job.id, claim(store).attempts, Outcome("done"))
            assert over is not None
            return over

        self.hub.end(await self.store.write(finish))
        await self.hub.keep()

    async def numbers(self, job: Job, after: int = 0) -> list[int]:
        return [message.number for message in await self.hub.replay(job.id, after)]


def use(path: Path, test: Callable[[World], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        world = World(path)
        try:
            yield world
        finally:
            world.hub.close()
            await world.store.close()

    async def run() -> None:
        async with opened() as world, asyncio.timeout(20):
            await test(world)

    asyncio.run(run())


async def followed(world: World, job: Job, after: int = 0) -> list[int]:
    """Follow a job to its end; what it gives are the numbers of kept events."""
    async with aclosing(world.hub.follow(job, after)) as following:
        return [message.number async for messages in following for message in messages if message.replaces is None]


def progress(done: int, node: str = "a") -> dict[str, object]:
    return {"type": "node_progress", "node": node, "done": done, "total": 9}


def test_events_are_numbered_over_all_attempts(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        world.publish(job, 2)
        first = await world.store.write(claim)
        world.publish(first)
        await world.hub.keep()
        lost = await world.store.write(lambda store: store.worker_lost(job.id, 1, DIED, None))
        assert lost is not None
        world.publish(lost)
        world.publish(await world.store.write(claim))
        assert await world.numbers(job) == [1, 2, 3, 4, 5]
        assert await world.numbers(job, 3) == [4, 5]

    use(path, test)


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    async def first(world: World) -> None:
        world.publish(await world.submit(), 3)
        await world.hub.keep()

    async def second(world: World) -> None:
        (job,) = (await world.store.read(JobStore.page)).jobs
        world.publish(job)
        assert await world.numbers(job) == [1, 2, 3, 4]

    use(path, first)
    use(path, second)


def test_a_message_tells_its_job_number_and_time(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        world.publish(job)
        (message,) = await subscription.next()
        time = message.event.pop("time")
        assert message.event == {"job": job.id, "number": 1, "time": time} | STARTED
        assert await world.hub.replay(job.id, 0) == [message]

    use(path, test)


def test_subscribers_hear_of_their_owners_and_jobs(path: Path) -> None:
    async def test(world: World) -> None:
        of_ada, of_bob = await world.submit("ada"), await world.submit("bob")
        everyone, ada, one = (
            world.hub.subscribe(None),
            world.hub.subscribe("ada"),
            world.hub.subscribe(None, [of_bob.id]),
        )
        nobody = world.hub.subscribe("ada", [of_bob.id])
        gone = world.hub.subscribe(None)
        world.hub.unsubscribe(gone)
        world.publish(of_ada)
        world.publish(of_bob)
        assert [message.job for message in await everyone.next()] == [of_ada.id, of_bob.id]
        assert [message.job for message in await ada.next()] == [of_ada.id]
        assert [message.job for message in await one.next()] == [of_bob.id]
        nobody.close()
        assert await nobody.next() == []
        assert await gone.next() == []

    use(path, test)


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("is_kept", [True, False])
def test_following_in_the_middle_gives_each_event_once(path: Path, before: int, is_kept: bool) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        world.publish(job, before)
        if is_kept:
            await world.hub.keep()
        followers = [asyncio.ensure_future(followed(world, job)) for _ in range(3)]
        for _ in range(20):
            world.publish(job)
            await asyncio.sleep(0.001)
            late = asyncio.ensure_future(followed(world, job, 2))
            followers.append(late)
            if len(followers) % 3 == 0:
                await world.hub.keep()
        await world.end(job)
        numbers = list(range(1, before + 22))
        assert [await follower for follower in followers[:3]] == [numbers] * 3
        assert [await follower for follower in followers[3:]] == [numbers[2:]] * 20
        assert await followed(world, job) == numbers

    use(path, test)


def test_events_that_are_just_being_kept_are_followed_too(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        world.publish(job, 3)
        goes_on = threading.Event()
        held = asyncio.ensure_future(world.store.write(lambda _store: goes_on.wait(10)))
        keeping = asyncio.ensure_future(world.hub.keep())
        await asyncio.sleep(0)
        assert await world.numbers(job) == [1, 2, 3]
        async with aclosing(world.hub.follow(job)) as following:
            assert [message.number for message in await anext(following)] == [1, 2, 3]
            goes_on.set()
            await asyncio.gather(held, keeping)
            world.publish(job)
            assert [message.number for message in await anext(following)] == [4]

    use(path, test)


def test_events_that_come_while_others_are_being_kept_are_kept_later(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        world.publish(job, 2)
        keeping = asyncio.ensure_future(world.hub.keep())
        await asyncio.sleep(0)
        world.publish(job, 2)
        await keeping
        await world.hub.keep()
        stored = await world.store.read(lambda store: store.events_after(job.id, 0))
        assert [event["number"] for event in stored] == [1, 2, 3, 4]
        assert world.hub.take_unkept(job.id) == []

    use(path, test)


def test_following_ends_with_the_job(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        over = await world.store.write(lambda store: store.cancel(job.id))
        assert await followed(world, over) == [1]  # it ended, and nobody said so
        assert await followed(world, over, 1) == []
        other = await world.submit()
        await world.end(other)
        assert await followed(world, other) == [1]
        assert await followed(world, other, 1) == []
        with pytest.raises(UnknownJob):
            await followed(world, other.model_copy(update={"id": "nothing"}))

    use(path, test)


def test_an_end_that_is_told_while_following_begins_is_heard(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        over = await world.store.write(lambda store: store.cancel(job.id))
        goes_on = threading.Event()
        held = asyncio.ensure_future(world.store.read(lambda _store: goes_on.wait(10)))
        following = asyncio.ensure_future(followed(world, job))
        await asyncio.sleep(0.01)
        world.hub.end(over)
        goes_on.set()
        await held
        assert await following == [1]

    use(path, test)


def test_nothing_that_a_node_says_passes_for_the_end(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        world.hub.publish(job, [{"type": "node_failed", "node": "a", "inputs": {"type": "job_ended"}}])
        following = asyncio.ensure_future(followed(world, job))
        await asyncio.sleep(0.05)
        world.publish(job)
        await world.end(job)
        assert await following == [1, 2, 3]

    use(path, test)


def test_who_heard_of_events_that_were_lost_with_the_server_hears_of_those_in_their_place(path: Path) -> None:
    async def first(world: World) -> None:
        world.publish(await world.submit(), 3)
        await world.hub.keep()

    async def second(world: World) -> None:
        (job,) = (await world.store.read(JobStore.page)).jobs
        following = asyncio.ensure_future(followed(world, job, 5))
        await asyncio.sleep(0.05)
        world.publish(job)
        await world.end(job)
        assert await following == [4, 5]

    use(path, first)
    use(path, second)


def test_progress_waits_as_the_newest_of_each_node_and_is_not_kept(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        world.hub.publish(job, [STARTED, progress(1), progress(2), progress(7, "b"), progress(3), STARTED, progress(4)])
        messages = await subscription.next()
        assert [(message.number, message.event.get("done")) for message in messages] == [
            (1, None),
            (1, 7),
            (2, None),
            (2, 4),
        ]
        world.hub.publish(job, [progress(5)])
        assert [message.event["done"] for message in await subscription.next()] == [5]
        assert await world.numbers(job) == [1, 2]
        await world.hub.keep()
        stored = await world.store.read(lambda store: store.events_after(job.id, 0))
        assert [event["type"] for event in stored] == ["node_started"] * 2

    use(path, test)


def test_previews_are_only_for_who_wants_them(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        with_previews, without = world.hub.subscribe(None), world.hub.subscribe(None, previews=False)
        world.hub.publish(job, [{"type": "node_preview", "node": "a", "jpeg": b"picture"}, progress(1)])
        preview, _progress = await with_previews.next()
        assert preview.jpeg == b"picture"
        assert "jpeg" not in preview.event
        assert [message.event["type"] for message in await without.next()] == ["node_progress"]

    use(path, test)


def test_who_reads_too_slowly_is_dropped_and_others_get_everything(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING_BYTES", 10_000)

    async def test(world: World) -> None:
        job = await world.submit()
        slow, quick = world.hub.subscribe(None), world.hub.subscribe(None)
        following = world.hub.follow(job)
        await anext(following)
        heard: list[Message] = []
        for _ in range(100):
            world.publish(job)
            heard += await quick.next()
        assert [message.number for message in heard] == list(range(1, 101))
        with pytest.raises(SlowReader):
            await slow.next()
        with pytest.raises(SlowReader):
            await anext(following)
        world.publish(job)
        with pytest.raises(SlowReader):
            await slow.next()
        assert await world.numbers(job, 99) == [100, 101]  # it may go on from where it was

    use(path, test)


def test_coalesced_progress_makes_nobody_slow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING_BYTES", 10_000)

    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        for number in range(1000):
            world.hub.publish(job, [progress(number)])
        assert len(await subscription.next()) == 1

    use(path, test)


def test_a_subscriber_waits_until_something_comes(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        waiting = asyncio.ensure_future(subscription.next())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        world.publish(job)
        assert len(await waiting) == 1

    use(path, test)


def test_closing_ends_all_subscriptions_and_those_to_come(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        following = asyncio.ensure_future(followed(world, job))
        await asyncio.sleep(0.05)
        world.publish(job)
        world.hub.close()
        assert len(await subscription.next()) == 1
        assert await subscription.next() == []
        assert await following == [1]
        assert await world.hub.subscribe(None).next() == []
        assert await followed(world, job) == [1]

    use(path, test)


@pytest.mark.parametrize("keeps", ["hub", "supervisor"])
def test_a_full_disk_loses_no_events(path: Path, monkeypatch: pytest.MonkeyPatch, keeps: str) -> None:
    use_failing_connections(monkeypatch)

    async def test(world: World) -> None:
        job = await world.submit()
        world.publish(job, 3)

        async def keep() -> None:
            if keeps == "hub":
                await world.hub.keep()
            else:  # as the supervisor does, in the writer's thread and with other changes
                await world.store.write(lambda store: store.add_events(world.hub.take_unkept(job.id)))

        let_fail(monkeypatch, lambda statement: sqlite3.SQLITE_FULL if statement == "COMMIT" else None)
        with pytest.raises(DiskFull):
            await keep()
        assert await world.numbers(job) == [1, 2, 3]  # whoever reads goes on
        world.publish(job)
        let_fail(monkeypatch, lambda _statement: None)
        await keep()
        await world.hub.keep()
        stored = await world.store.read(lambda store: store.events_after(job.id, 0))
        assert [event["number"] for event in stored] == [1, 2, 3, 4]
        assert world.hub.take_unkept(job.id) == []

    use(path, test)


def test_events_are_kept_regularly_also_after_the_disk_was_full(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_failing_connections(monkeypatch)
    monkeypatch.setattr(module, "_FLUSH_EVERY_S", 0.005)

    async def test(world: World) -> None:
        job = await world.submit()
        keeping = asyncio.ensure_future(world.hub.keep_regularly())
        let_fail(monkeypatch, lambda statement: sqlite3.SQLITE_FULL if statement == "COMMIT" else None)
        world.publish(job)
        while "events can't be kept" not in caplog.text:
            await asyncio.sleep(0.005)
        let_fail(monkeypatch, lambda _statement: None)
        while world.hub.take_unkept(job.id):
            await asyncio.sleep(0.005)
        assert (await world.store.read(lambda store: store.get(job.id))).last_event == 1
        keeping.cancel()

    with caplog.at_level(logging.ERROR):
        use(path, test)


def test_events_may_be_taken_in_another_thread_while_more_come(path: Path) -> None:
    async def test(world: World) -> None:
        job = await world.submit()
        is_over = threading.Event()

        def take_again_and_again(store: JobStore) -> None:
            while not is_over.is_set():
                store.add_events(world.hub.take_unkept(job.id))

        taking = asyncio.ensure_future(world.store.write(take_again_and_again))
        for _ in range(100):
            world.publish(job, 5)
            await asyncio.sleep(0)
        is_over.set()
        await taking
        await world.hub.keep()
        stored = await world.store.read(lambda store: store.events_after(job.id, 0))
        assert [event["number"] for event in stored] == list(range(1, 501))

    use(path, test)


def test_numbers_that_json_does_not_have_are_texts(path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    async def test(world: World) -> None:
        job = await world.submit()
        subscription = world.hub.subscribe(None)
        values = {"loss": math.nan, "bounds": [math.inf, -math.inf, 1.5], "name": "Ü"}
        world.hub.publish(job, [{"type": "job_ended", "values": values}])
        (message,) = await subscription.next()
        event = json.loads(message.text, parse_constant=refuse)
        assert event["values"] == {"loss": "NaN", "bounds": ["Infinity", "-Infinity", 1.5], "name": "Ü"}
        assert await world.hub.replay(job.id, 0) == [message]

    use(path, test)


def test_the_end_tells_how_it_was(path: Path) -> None:
    async def test(world: World) -> None:
        await world.submit()

        def lose(store: JobStore) -> Job | None:
            job = claim(store)
            return store.finish(job.id, job.attempts, Outcome("failed", DIED, values={"a": 1}))

        job = await world.store.write(lose)
        assert job is not None
        error = {"code": "worker_died", "message": "it died."}
        assert ended_event(job) == LAST | {"state": "failed", "error": error, "outputs": [], "values": {"a": 1}}

    use(path, test)
