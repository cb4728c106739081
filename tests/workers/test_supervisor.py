"""Jobs that run, and the workers they run in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from graphengine.jobs.store import Outcome, QueueError
from graphengine.workers.messages import Finished, Happened
from tests.workers.documents import PACK, chain, one, text
from tests.workers.world import until, world


def test_jobs_run_and_tell_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            jobs = [await it.submit(chain(4)) for _ in range(12)]
            ended = [await it.end_of(job) for job in jobs]
            assert [(job.state, job.attempts, job.values) for job in ended] == [("done", 1, {"sum": 4})] * 12
            events = await it.events(jobs[0])
            assert [event["number"] for event in events] == list(range(1, len(events) + 1))
            types = [event["type"] for event in events]
            assert types == ["job_running", "job_started", *["node_started", "node_finished"] * 4, "job_ended"]
            assert it.status().starts == 1

    asyncio.run(main())


def test_late_words_of_an_attempt_that_is_over_are_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
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

    asyncio.run(main())


def test_an_end_that_makes_no_sense_ends_the_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            ends: list[Any] = [("gone", None, []), ("failed", {"what": 1}, []), ("done", None, [{"node": 5}])]
            for state, error, outputs in ends:  # Any: they make no sense
                job = await it.submit(one("Sleep", seconds=30))
                await it.running(job)
                said = Finished(job.id, 1, state, error, outputs, {}, {}, [])
                it.supervisor._hear(it.supervisor._slots[0], said)
                ended = await it.end_of(job)
                assert ended.error is not None
                assert (ended.state, ended.error.code) == ("failed", "bad_answer")
                it.supervisor._slots[0].worker.kill()  # type: ignore[union-attr]  # it is there; it still runs that job
                await it.ready()

    asyncio.run(main())


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
            assert time.monotonic() - began < 2
            given_back = await it.get(long)
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

    assert asyncio.run(main()) < 2


def test_a_worker_that_cant_start_is_tried_more_and_more_seldom(tmp_path: Path) -> None:
    bad = tmp_path / "bad_pack.py"
    bad.write_text("import os\nos._exit(4)\n")

    async def main() -> None:
        async with world(tmp_path, packs=[bad]) as it:
            job = await it.submit(chain(3))

            async def tried() -> bool:
                return it.status().starts >= 3 and it.status().state == "backing off"

            await until(tried)
            assert "exit code 4" in it.status().last_exit
            await asyncio.sleep(0.5)
            assert it.status().starts <= 4
            waiting = await it.get(job)
            assert (waiting.state, waiting.attempts) == ("queued", 0)

    asyncio.run(main())


def test_packs_are_loaded_again(tmp_path: Path) -> None:
    pack = tmp_path / "number_pack.py"
    source = (
        'from graphengine import node\n\n@node("l.N", category="t", outputs="n", cacheable=False)\ndef n() -> int:\n'
    )
    pack.write_text(f'{source}    """Give a number."""\n    return 1\n')
    workflow = text({"n": {"type": "l.N"}}, {"n": "n.n"})

    async def main() -> None:
        async with world(tmp_path, packs=[pack]) as it:
            assert (await it.run(workflow)).values == {"n": 1}
            pack.write_text(f'{source}    """Give a number."""\n    return 22\n')
            it.supervisor.reload_packs()
            assert (await it.run(workflow)).values == {"n": 22}
            pack.write_text("this is no Python")
            it.supervisor.reload_packs()
            assert (await it.run(workflow)).values == {"n": 22}
            assert it.status().starts == 1

    asyncio.run(main())


def test_memory_is_freed_and_asked_for(tmp_path: Path) -> None:
    pack = tmp_path / "kept_pack.py"
    pack.write_text(
        'from graphengine import node\n\n@node("k.N", category="t", outputs="n", output_node=True)\n'
        'def n() -> int:\n    """Give a number that is kept."""\n    return 1\n'
    )

    async def main() -> None:
        async with world(tmp_path, packs=[pack]) as it:
            assert (await it.run(text({"n": {"type": "k.N"}}))).state == "done"
            held = await it.supervisor.ask("memory")
            assert isinstance(held, dict)
            assert held["cached_results"] == 1
            it.supervisor.free_memory()

            async def freed() -> bool:
                return (await it.supervisor.ask("memory")) == {"cached_results": 0, "cached_bytes": 0, "models": []}

            await until(freed)

    asyncio.run(main())


def test_a_worker_dies_while_its_job_is_claimed_or_its_end_is_written(tmp_path: Path) -> None:
    """The queue is slow, so that workers die in the middle; no job is lost, run twice at once, or blamed."""

    async def main() -> None:
        async with world(tmp_path) as it:
            await it.ready()
            write, deaths = it.store.write, 0

            async def kill_in_the_middle(work: object) -> object:
                nonlocal deaths
                result = await write(work)  # type: ignore[arg-type, var-annotated]  # as the store's own
                about = getattr(work, "__qualname__", "")
                if deaths < 6 and ("_claiming" in about or "_end." in about):
                    deaths += 1
                    worker = it.supervisor._slots[0].worker
                    if worker is not None:
                        worker.kill()
                        await asyncio.sleep(0.3 if deaths % 2 else 1.5)  # it is starting again, or ready again
                return result

            it.store.write = kill_in_the_middle  # type: ignore[method-assign, assignment]
            jobs = [await it.submit(chain(3)) for _ in range(8)]
            ended = [await it.end_of(job) for job in jobs]
            it.store.write = write  # type: ignore[method-assign]
            assert deaths == 6
            assert {(job.state, job.deaths) for job in ended} == {("done", 0)}
            for job in jobs:
                types = [event["type"] for event in await it.events(job)]
                assert types.count("job_ended") == types.count("job_started") == 1

    asyncio.run(main())


def test_the_next_job_is_cancelled_while_the_last_ones_end_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            await it.ready()
            write = it.store.write

            async def slow_to_tell(work: object) -> object:
                result = await write(work)  # type: ignore[arg-type, var-annotated]  # as the store's own
                if "_tell_where_it_stands" in getattr(work, "__qualname__", ""):
                    await asyncio.sleep(0.5)
                return result

            it.store.write = slow_to_tell  # type: ignore[method-assign, assignment]
            first, second = await it.submit(chain(3)), await it.submit(one("Sleep", seconds=30))

            async def second_runs() -> bool:
                return (await it.get(second)).state == "running"

            await until(second_runs)
            await it.cancel(second)
            assert (await it.end_of(second)).state == "cancelled"
            assert (await it.end_of(first)).state == "done"

    asyncio.run(main())


def test_cancels_that_race_with_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
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

    asyncio.run(main())


def test_outcomes_are_kept_as_they_were(tmp_path: Path) -> None:
    """The fence of the queue itself: only the attempt that runs may end."""

    async def main() -> None:
        async with world(tmp_path, packs=[PACK]) as it:
            job = await it.submit(one("Sleep", seconds=30))
            await it.running(job)
            assert await it.store.write(lambda store: store.finish(job.id, 2, Outcome("done"))) is None
            await it.cancel(job)
            assert (await it.end_of(job)).state == "cancelled"
            assert await it.store.write(lambda store: store.finish(job.id, 1, Outcome("done"))) is None

    asyncio.run(main())
