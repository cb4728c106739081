"""Jobs that run, and the workers they run in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphengine.jobs.store import Outcome, QueueError
from graphengine.workers.local import LocalWorker
from graphengine.workers.messages import Cancel, Finished, Happened, Ready
from graphengine.workers.worker import WorkerGone
from tests.workers.documents import PACK, chain, one, text
from tests.workers.world import Shared, World, shared_world, until, world

NUMBER = '''
from graphengine import node

@node("l.N", category="t", outputs="n", cacheable=False)
def n() -> int:
    """Give a number."""
    return 1
'''


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("world")
    (folder / "number_pack.py").write_text(NUMBER)
    with shared_world(folder, packs=[PACK, folder / "number_pack.py"]) as shared:
        yield shared


def test_jobs_run_and_tell_of_it(shared: Shared) -> None:
    async def main(it: World) -> None:
        jobs = [await it.submit(chain(4)) for _ in range(12)]
        ended = [await it.end_of(job) for job in jobs]
        assert [(job.state, job.attempts, job.values) for job in ended] == [("done", 1, {"sum": 4})] * 12
        events = await it.events(jobs[0])
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        types = [event["type"] for event in events]
        assert types == ["job_running", "job_started", *["node_started", "node_finished"] * 4, "job_ended"]
        assert it.status().starts == 1

    shared.run(main)


def test_late_words_of_an_attempt_that_is_over_are_dropped(shared: Shared) -> None:
    async def main(it: World) -> None:
        job = await it.run(chain(3))
        second = await it.submit(one("Sleep", seconds=30))
        await it.running(second)
        (slot,) = it.supervisor._slots
        for attempt in (1, 2):
            late = [("node_started", "late", '{"node": "late"}', None)]
            it.supervisor._hear(slot, Happened(job.id, attempt, late))
            it.supervisor._hear(slot, Finished(job.id, attempt, "failed", {}, [], {}, {}, late))
        it.supervisor._hear(slot, Finished(second.id, 2, "done", None, [], {}, {}, late))
        await asyncio.sleep(0.1)
        assert (await it.get(job)).state == "done"
        assert not any(event.get("node") == "late" for event in await it.events(job) + await it.events(second))
        assert (await it.get(second)).state == "running"
        await it.cancel(second)
        assert (await it.end_of(second)).state == "cancelled"

    shared.run(main)


def test_an_end_that_makes_no_sense_ends_the_job(shared: Shared) -> None:
    async def main(it: World) -> None:
        ends: list[Any] = [("gone", None, []), ("failed", {"what": 1}, []), ("done", None, [{"node": 5}])]
        for state, error, outputs in ends:  # Any: they make no sense
            job = await it.submit(one("Sleep", seconds=30))
            await it.running(job)
            said = Finished(job.id, 1, state, error, outputs, {}, {}, [])
            (slot,) = it.supervisor._slots
            assert slot.worker is not None
            it.supervisor._hear(slot, said)
            ended = await it.end_of(job)
            assert ended.error is not None
            assert (ended.state, ended.error.code) == ("failed", "bad_answer")
            slot.worker.send(Cancel(job.id, 1))  # it still runs that job

    shared.run(main)


def test_stopping_lets_jobs_finish_and_gives_back_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            short, waiting = await it.submit(one("Sleep", seconds=0.5)), await it.submit(chain(3))
            await it.running(short)
            await it.supervisor.stop(10)
            assert [(await it.get(job)).state for job in (short, waiting)] == ["done", "queued"]
        async with world(tmp_path) as it:
            assert (await it.end_of(waiting)).state == "done"
            long = await it.submit(one("Sleep", seconds=60, polls=False))
            await it.running(long)
            began = time.monotonic()
            await it.supervisor.stop(0.2)
            assert time.monotonic() - began < 20
            given_back = await it.get(long)
            assert (given_back.state, given_back.deaths, given_back.restarts) == ("queued", 0, 0)

    asyncio.run(main())


@pytest.mark.slow
def test_a_job_that_saves_its_work_is_stopped_at_once_and_queued_again(tmp_path: Path) -> None:
    """With the server it goes on later; cancelled, it has longer than the grace period to save."""
    saved = tmp_path / "saved"

    async def main() -> None:
        async with world(tmp_path, cancel_grace_s=0.1) as it:
            cancelled = await it.submit(one("Save", file=str(saved)))
            await it.running(cancelled)
            await it.cancel(cancelled)
            assert (await it.end_of(cancelled)).state == "cancelled"
            assert saved.read_text() == "saved"
            saved.unlink()
            job = await it.submit(one("Save", file=str(saved)))
            await it.running(job)
            await it.supervisor.stop(60)
            assert saved.read_text() == "saved"
            given_back = await it.get(job)
            assert (given_back.state, given_back.deaths, given_back.restarts) == ("queued", 0, 0)

    asyncio.run(main())


def test_stopping_while_a_worker_starts(tmp_path: Path) -> None:
    slow = tmp_path / "slow_pack.py"
    slow.write_text("import time\ntime.sleep(60)\n")

    async def main() -> float:
        async with world(tmp_path, packs=[slow]) as it:
            await asyncio.sleep(0.3)
            assert it.status().state == "starting"
            began = time.monotonic()
            await it.supervisor.stop(5)
            return time.monotonic() - began

    assert asyncio.run(main()) < 20


class _CantStart(LocalWorker):
    """A worker whose process ends at once."""

    async def start(self) -> Ready:
        raise WorkerGone("it ended with exit code 4.")


def test_a_worker_that_cant_start_is_tried_more_and_more_seldom(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, make_worker=_CantStart) as it:
            job = await it.submit(chain(3))

            async def tried() -> bool:
                return it.status().starts >= 3 and it.status().state == "backing off"

            await until(tried)
            assert "exit code 4" in it.status().last_exit
            await asyncio.sleep(0.3)
            assert it.status().starts <= 4
            waiting = await it.get(job)
            assert (waiting.state, waiting.attempts) == ("queued", 0)

    asyncio.run(main())


def test_packs_are_loaded_again(shared: Shared) -> None:
    workflow = text({"n": {"type": "l.N"}}, {"n": "n.n"})

    async def main(it: World) -> None:
        pack, starts = it.folder / "number_pack.py", it.status().starts
        assert (await it.run(workflow)).values == {"n": 1}
        pack.write_text(NUMBER.replace("return 1", "return 22"))
        it.supervisor.reload_packs()
        assert (await it.run(workflow)).values == {"n": 22}
        pack.write_text("this is no Python")
        it.supervisor.reload_packs()
        assert (await it.run(workflow)).values == {"n": 22}
        assert it.status().starts == starts

    shared.run(main)


def test_memory_is_freed_and_asked_for(shared: Shared) -> None:
    async def main(it: World) -> None:
        assert (await it.run(one("Kept", "number"))).state == "done"
        held = await it.supervisor.ask("memory")
        assert isinstance(held, dict)
        assert held["cached_results"] == 1
        it.supervisor.free_memory()

        async def freed() -> bool:
            return (await it.supervisor.ask("memory")) == {"cached_results": 0, "cached_bytes": 0, "models": []}

        await until(freed)

    shared.run(main)


@pytest.mark.parametrize("times", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_worker_dies_while_its_job_is_claimed_or_its_end_is_written(tmp_path: Path, times: int) -> None:
    """The queue is slow, so that workers die in the middle; no job is lost or run twice at once.

    The next job may have begun while the end of the one before it was written: it ran as its worker died.
    """

    async def main() -> None:
        async with world(tmp_path) as it:
            await it.ready()
            write, deaths = it.store.write, 0

            async def kill_in_the_middle(work: object) -> object:
                nonlocal deaths
                result = await write(work)  # type: ignore[arg-type, var-annotated]  # as the store's own
                about = getattr(work, "__qualname__", "")
                if deaths < times and ("_end." if deaths else "_claiming") in about:  # an end claims the next job
                    deaths += 1
                    await it.replace_worker(wait_until_ready=deaths % 2 == 0)
                return result

            it.store.write = kill_in_the_middle  # type: ignore[method-assign, assignment]
            jobs = [await it.submit(chain(3)) for _ in range(6)]
            ended = [await it.end_of(job) for job in jobs]
            it.store.write = write  # type: ignore[method-assign]
            assert deaths == times
            assert [job.state for job in ended] == ["done"] * len(jobs)
            for job in ended:
                types = [event["type"] for event in await it.events(job)]
                assert types.count("job_ended") == 1
                assert types.count("worker_lost") == job.deaths
                assert 1 <= types.count("job_started") <= 1 + job.deaths

    asyncio.run(main())


def test_cancels_that_race_with_ends(shared: Shared) -> None:
    async def main(it: World) -> None:
        await it.ready()
        jobs = [await it.submit(chain(3)) for _ in range(40)]

        async def cancel(place: int) -> None:
            await asyncio.sleep(place * 0.004)
            job = await it.get(jobs[place])
            if not job.is_over:
                with contextlib.suppress(QueueError):  # it ended meanwhile
                    await it.cancel(job)

        await asyncio.gather(*(cancel(place) for place in range(0, 40, 2)))
        states = [(await it.end_of(job)).state for job in jobs]
        assert set(states) <= {"done", "cancelled"}
        assert set(states[1::2]) == {"done"}
        for job in jobs:
            assert [event["type"] for event in await it.events(job)].count("job_ended") <= 1
        assert it.status().starts == 1

    shared.run(main)


def test_outcomes_are_kept_as_they_were(shared: Shared) -> None:
    """The fence of the queue itself: only the attempt that runs may end."""

    async def main(it: World) -> None:
        job = await it.submit(one("Sleep", seconds=30))
        await it.running(job)
        assert await it.store.write(lambda store: store.finish(job.id, 2, Outcome("done"))) is None
        await it.cancel(job)
        assert (await it.end_of(job)).state == "cancelled"
        assert await it.store.write(lambda store: store.finish(job.id, 1, Outcome("done"))) is None

    shared.run(main)
