"""Short jobs are claimed before it is their turn, so that their worker needn't wait for the disk; nobody notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from graphengine.core.job import Job
from tests.workers.documents import PACK, chain, one
from tests.workers.world import World, until, world


async def claimed_ahead(it: World) -> list[str]:
    """Run short jobs until some are claimed ahead of a long one, and give their ids."""
    slot = it.supervisor._slots[0]
    short = [await it.submit(chain(2)) for _ in range(3)]
    long = await it.submit(one("Sleep", seconds=30))
    behind = [await it.submit(chain(2)) for _ in range(4)]
    await it.running(long)
    assert [(await it.end_of(job)).state for job in short] == ["done"] * 3
    ahead = [claim.job.id for claim in slot.next]
    assert set(ahead) <= {job.id for job in behind}
    return [long.id, *ahead]


def test_many_short_jobs_run_in_order_and_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            await it.ready()
            jobs = [await it.submit(chain(2)) for _ in range(60)]
            ended = [await it.end_of(job) for job in jobs]
            assert [(job.state, job.attempts, job.restarts) for job in ended] == [("done", 1, 0)] * 60
            assert [job.started for job in ended] == sorted(job.started or 0.0 for job in ended)
            for job in jobs:
                types = [event["type"] for event in await it.events(job)]
                assert types.count("job_running") == types.count("job_started") == types.count("job_ended") == 1

    asyncio.run(main())


def test_jobs_behind_a_long_one_wait_in_the_queue_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, packs=[PACK]) as it:
            await it.ready()
            long, *ahead = await claimed_ahead(it)

            async def all_wait() -> bool:
                jobs = await it.store.read(lambda store: [store.get(each) for each in ahead])
                return all((job.state, job.attempts) == ("queued", 0) for job in jobs)

            await until(all_wait)
            await it.cancel(await it.store.read(lambda store: store.get(long)))

            async def all_done() -> bool:
                page = await it.store.read(lambda store: store.page())
                return [job.state for job in page.jobs].count("done") == 7

            await until(all_done)

    asyncio.run(main())


def test_a_job_that_was_claimed_ahead_is_cancelled_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphengine.workers.supervisor._SHORT_S", 60.0)  # no job is short on a busy machine

    async def main() -> None:
        async with world(tmp_path, packs=[PACK]) as it:
            await it.ready()
            for _ in range(20):  # until one is caught in the moment in which it is claimed
                jobs = [await it.submit(chain(2)) for _ in range(8)]
                ends = asyncio.gather(*(it.end_of(job) for job in jobs))
                while not (caught := it.supervisor._slots[0].next) and not ends.done():
                    await asyncio.sleep(0)
                if caught:
                    break
            job: Job = caught[-1].job
            await it.cancel(job)
            states = {each.id: each.state for each in await ends}
            assert states.pop(job.id) in ("cancelled", "done")
            assert set(states.values()) == {"done"}

    asyncio.run(main())


def test_a_dying_worker_costs_what_was_claimed_ahead_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            await it.ready()
            jobs = [await it.submit(chain(2)) for _ in range(30)]
            await it.running(jobs[5], "job_running")
            await it.replace_worker()
            ended = [await it.end_of(job) for job in jobs]
            assert {job.state for job in ended} == {"done"}
            assert sum(job.deaths for job in ended) <= 1

    asyncio.run(main())
