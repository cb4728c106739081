"""Jobs that take their worker with them, or would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphengine.workers.watching import ping_all
from tests.workers.documents import chain, one
from tests.workers.world import Shared, World, shared_world, silent


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with shared_world(tmp_path_factory.mktemp("world"), cancel_grace_s=1.0) as shared:
        yield shared


@pytest.mark.parametrize(
    ("how", "code"),
    [("segv", -11), pytest.param("exit", 7, marks=pytest.mark.slow), pytest.param("abort", -6, marks=pytest.mark.slow)],
)
def test_a_job_that_kills_its_worker_is_parked_and_the_next_one_runs(shared: Shared, how: str, code: int) -> None:
    async def main(it: World) -> None:
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

    shared.run(main)


def test_a_job_whose_worker_dies_is_tried_again_with_an_empty_folder(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        job = await it.run(one("Write", count_in=str(tmp_path / "count"), deaths=1))
        assert (job.state, job.attempts, job.deaths) == ("done", 2, 1)
        assert [output.path for output in job.outputs] == ["file2.txt"]
        files = [path.name for path in (it.folder / "out" / job.folder).rglob("*") if path.is_file()]
        assert files == ["file2.txt"]

    shared.run(main)


def test_memory_limit(shared: Shared) -> None:
    async def main(it: World) -> None:
        job = await it.submit(one("Eat", mib=400), memory_bytes=300 * 1024**2)
        lost = await it.running(job, "worker_lost")
        await it.cancel(job)
        assert lost.error is not None
        assert (lost.error.code, lost.error.extra["exit_code"], lost.deaths) == ("memory_limit", -9, 1)
        assert (await it.run(chain(3), memory_bytes=2**33)).state == "done"

    shared.run(main)


def test_wall_limit(shared: Shared) -> None:
    async def main(it: World) -> None:
        job = await it.run(one("Sleep", seconds=60), wall_s=0.2)
        assert job.error is not None
        assert (job.state, job.error.code, job.attempts) == ("failed", "wall_limit", 1)
        assert (await it.run(chain(3), wall_s=60)).state == "done"

    shared.run(main)


def test_cancel(shared: Shared) -> None:
    async def main(it: World) -> None:
        starts = it.status().starts
        for polls, deaths, code in ((True, 0, None), (False, 1, "killed")):
            job = await it.submit(one("Sleep", seconds=60, polls=polls))
            await it.running(job)
            await it.cancel(job)
            await it.cancel(job)  # again, which changes nothing
            ended = await it.end_of(job)
            assert (ended.state, ended.error and ended.error.code) == ("cancelled", code)
            assert (await it.run(chain(3))).state == "done"
            assert it.status().starts == starts + deaths

    shared.run(main)


def test_a_node_that_holds_the_interpreter_is_shown_and_ended_by_cancel(shared: Shared) -> None:
    async def main(it: World) -> None:
        job = await it.submit(one("HoldInterpreter", seconds=60))
        await it.running(job)
        assert it.status().responding
        (slot,) = it.supervisor._slots
        assert slot.worker is not None
        await silent(slot.worker)
        slot.answered -= 5.0  # so much time has passed
        assert not it.status().responding
        with pytest.raises(Exception, match="no worker answers"):
            await it.supervisor.ask("check", {})
        await it.cancel(job)
        assert (await it.end_of(job)).state == "cancelled"
        assert (await it.run(chain(3))).state == "done"

    shared.run(main)


def test_stuck_timeout(shared: Shared) -> None:
    async def main(it: World) -> None:
        job = await it.submit(one("HoldInterpreter", seconds=60))
        await it.running(job)
        (slot,) = it.supervisor._slots
        assert slot.worker is not None
        await silent(slot.worker)
        slot.answered -= 5.0  # so much time has passed
        await ping_all([slot], stuck_timeout_s=60.0)
        await ping_all([slot], stuck_timeout_s=5.0)
        lost = await it.running(job, "worker_lost")
        await it.cancel(job)
        assert lost.error is not None
        assert (lost.error.code, lost.deaths) == ("worker_stuck", 1)

    shared.run(main)


@pytest.mark.parametrize("times", [1, 2])
def test_out_of_memory(shared: Shared, tmp_path: Path, times: int) -> None:
    async def main(it: World) -> None:
        starts = it.status().starts
        job = await it.run(one("OutOfMemory", count_in=str(tmp_path / "count"), times=times))
        warned = [event["message"] for event in await it.events(job) if event["type"] == "job_warning"]
        assert len(warned) == 1
        assert "'it' ran out of memory" in warned[0]
        if times == 1:
            assert job.state == "done"
            assert (it.folder / "out" / job.folder / "how.txt").read_text() == "sparing: True"
        else:
            assert job.error is not None
            assert (job.state, job.error.code) == ("failed", "out_of_memory")
            assert (job.error.extra["node"], job.error.extra["node_type"]) == ("it", "w.OutOfMemory")
            assert job.error.extra["inputs"]["size"] == "64"
        assert (await it.run(chain(3))).state == "done"
        assert it.status().starts == starts

    shared.run(main)
