"""Jobs that take their worker with them, or would."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.workers.documents import chain, one
from tests.workers.world import until, world


@pytest.mark.parametrize(("how", "code"), [("exit", 7), ("segv", -11), ("abort", -6)])
def test_a_job_that_kills_its_worker_is_parked_and_the_next_one_runs(tmp_path: Path, how: str, code: int) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            bad, good = await it.submit(one("Die", how=how)), await it.submit(chain(3))
            parked = await it.end_of(bad)
            assert (parked.state, parked.attempts, parked.deaths) == ("poison", 3, 3)
            assert parked.error is not None
            assert (parked.error.code, parked.error.extra["exit_code"]) == ("worker_died", code)
            assert "about to die" in parked.error.extra["log_tail"]
            ended = await it.end_of(good)
            assert (ended.state, ended.attempts) == ("done", 1)
            types = [event["type"] for event in await it.events(bad)]
            assert (types.count("worker_lost"), types.count("job_queued"), types[-1]) == (3, 2, "job_ended")

    asyncio.run(main())


def test_a_job_whose_worker_dies_is_tried_again_with_an_empty_folder(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            job = await it.run(one("Write", count_in=str(tmp_path / "count"), deaths=2))
            assert (job.state, job.attempts, job.deaths) == ("done", 3, 2)
            assert [output.path for output in job.outputs] == ["file3.txt"]
            files = [path.name for path in (tmp_path / "out" / job.folder).rglob("*") if path.is_file()]
            assert files == ["file3.txt"]

    asyncio.run(main())


def test_memory_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            job = await it.run(one("Eat", mib=400), memory_bytes=300 * 1024**2)
            assert (job.state, job.deaths) == ("poison", 3)
            assert job.error is not None
            assert (job.error.code, job.error.extra["exit_code"]) == ("memory_limit", -9)
            assert (await it.run(chain(3), memory_bytes=2**33)).state == "done"

    asyncio.run(main())


def test_wall_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, cancel_grace_s=0.3) as it:
            for polls in (True, False):
                job = await it.run(one("Sleep", seconds=60, polls=polls), wall_s=0.5)
                assert job.error is not None
                assert (job.state, job.error.code, job.attempts) == ("failed", "wall_limit", 1)
            assert (await it.run(chain(3), wall_s=60)).state == "done"

    asyncio.run(main())


def test_cancel(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, cancel_grace_s=0.5) as it:
            kind, polling, stubborn = await it.submit(chain(3)), one("Sleep"), one("Sleep", polls=False)
            assert (await it.end_of(kind)).state == "done"
            for workflow, seconds, starts in ((polling, 0.45, 1), (stubborn, 3.0, 2)):
                job = await it.submit(workflow)
                await it.running(job)
                began = time.monotonic()
                await it.cancel(job)
                await it.cancel(job)  # again, which changes nothing
                ended = await it.end_of(job)
                assert ended.state == "cancelled"
                assert time.monotonic() - began < seconds
                assert (await it.run(chain(3))).state == "done"
                assert it.status().starts == starts
            assert ended.error is not None
            assert ended.error.code == "killed"

    asyncio.run(main())


def test_cancelled_comes_before_a_wall_limit_that_is_reached_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, cancel_grace_s=0.8) as it:
            job = await it.submit(one("Sleep", polls=False), wall_s=0.6)
            await it.running(job)
            await it.cancel(job)
            assert (await it.end_of(job)).state == "cancelled"

    asyncio.run(main())


def test_a_node_that_holds_the_interpreter_is_shown_and_ended_by_cancel(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, cancel_grace_s=0.3) as it:
            job = await it.submit(one("HoldInterpreter", seconds=60))
            await it.running(job)
            assert it.status().responding
            worst = 0.0

            async def shown() -> bool:
                nonlocal worst
                began = time.monotonic()
                await asyncio.sleep(0)
                await it.store.read(lambda store: store.queue())
                worst = max(worst, time.monotonic() - began)
                return not it.status().responding

            await until(shown)
            assert worst < 0.5
            with pytest.raises(Exception, match="no worker answers"):
                await it.supervisor.ask("check", {})
            await it.cancel(job)
            assert (await it.end_of(job)).state == "cancelled"
            assert (await it.run(chain(3))).state == "done"

    asyncio.run(main())


def test_stuck_timeout(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, stuck_timeout_s=1.0) as it:
            await it.ready()
            job = await it.submit(one("HoldInterpreter", seconds=60))

            async def tried_again() -> bool:
                return (await it.get(job)).deaths == 1

            await until(tried_again)
            again = await it.get(job)
            assert again.error is not None
            assert again.error.code == "worker_stuck"
            await it.cancel(job)

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 2])
def test_out_of_memory(tmp_path: Path, times: int) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            job = await it.run(one("OutOfMemory", count_in=str(tmp_path / "count"), times=times))
            warned = [event["message"] for event in await it.events(job) if event["type"] == "job_warning"]
            assert len(warned) == 1
            assert "'it' ran out of memory" in warned[0]
            if times == 1:
                assert job.state == "done"
                assert (tmp_path / "out" / job.folder / "how.txt").read_text() == "sparing: True"
            else:
                assert job.error is not None
                assert (job.state, job.error.code) == ("failed", "out_of_memory")
                assert (job.error.extra["node"], job.error.extra["node_type"]) == ("it", "w.OutOfMemory")
                assert job.error.extra["inputs"]["size"] == "64"
            assert (await it.run(chain(3))).state == "done"
            assert it.status().starts == 1

    asyncio.run(main())
