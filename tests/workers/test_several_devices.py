"""Two workers, and jobs for one of them or for both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphengine.errors import GraphEngineError
from tests.workers.documents import chain, one
from tests.workers.world import Shared, World, shared_world, until

TWO = ("cpu", "cpu:0")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with shared_world(tmp_path_factory.mktemp("world"), TWO) as shared:
        yield shared


def test_a_job_for_two_devices_waits_for_both_and_has_them_alone(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        await it.ready()
        assert it.supervisor.devices == TWO
        go, stop = tmp_path / "go", tmp_path / "stop"
        first = await it.submit(one("Devices", until=str(go)))
        await it.running(first)
        both = await it.submit(one("Devices", "devices", until=str(stop)), devices=2)
        after = await it.submit(chain(3))
        await asyncio.sleep(0.2)
        assert [(await it.get(job)).state for job in (both, after)] == ["queued", "queued"]
        go.touch()
        await it.running(both)
        assert (await it.get(first)).state == "done"
        assert sorted(each.state for each in it.supervisor.status()) == ["busy", "lent"]
        assert (await it.get(after)).state == "queued"
        stop.touch()
        ended = await it.end_of(both)
        assert set(str(ended.values["devices"]).split(",")) == set(TWO)
        assert (await it.end_of(after)).state == "done"

    shared.run(main)


def test_a_lent_worker_that_dies_stays_lent(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        await it.ready()
        stop = tmp_path / "stop"
        both = await it.submit(one("Devices", until=str(stop)), devices=2)
        await it.running(both)
        (lent,) = [slot for slot in it.supervisor._slots if slot.state == "lent"]
        other = await it.submit(chain(3))
        assert lent.worker is not None
        starts = lent.starts
        lent.worker.kill()

        async def back() -> bool:
            return lent.starts == starts + 1 and lent.state == "lent"

        await until(back)
        assert (await it.get(other)).state == "queued"
        stop.touch()
        assert (await it.end_of(both)).attempts == 1
        assert (await it.end_of(other)).state == "done"

    shared.run(main)


def test_lent_workers_are_free_again_when_the_borrower_dies(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        job = await it.run(one("Die", times=1, count_in=str(tmp_path / "count")), devices=2)
        assert (job.state, job.deaths) == ("done", 1)

    shared.run(main)


def test_a_job_for_more_devices_than_there_are_holds_up_nobody(shared: Shared) -> None:
    async def main(it: World) -> None:
        many, one_more = await it.submit(chain(3), devices=3), await it.submit(chain(3))
        refused = await it.end_of(many)
        assert refused.error is not None
        assert (refused.state, refused.error.code) == ("failed", "too_few_devices")
        assert (await it.end_of(one_more)).state == "done"

    shared.run(main)


def test_all_workers_are_asked_for_what_only_one_has(shared: Shared) -> None:
    async def main(it: World) -> None:
        kept = one("Kept", "number")
        await it.run(kept)
        about = {"workflow": kept, "node": "it", "output": "number"}
        answers: list[Any] = [each async for each in it.supervisor.ask_all("probe", about)]  # Any: JSON
        (found,) = [each for each in answers if each is not None]
        assert (len(answers), found["text"]) == (2, "1")
        with pytest.raises(GraphEngineError, match="nobody here can answer"):
            [each async for each in it.supervisor.ask_all("nonsense")]

    shared.run(main)


def test_jobs_go_where_their_models_are(shared: Shared, tmp_path: Path) -> None:
    async def main(it: World) -> None:
        await it.ready()
        go = tmp_path / "go"
        jobs = [  # at once, so that each worker gets one
            await it.submit(one("Devices", until=str(go)), traits=[f"checkpoints/{model}"]) for model in ("a", "b")
        ]
        for job in jobs:
            await it.running(job)
        go.touch()

        async def over() -> bool:
            return all([(await it.get(job)).is_over for job in jobs])

        await until(over)
        await it.ready()
        where = {trait: slot.device for slot in it.supervisor._slots for trait in slot.held}
        assert set(where.values()) == set(TWO)
        for model in ("b", "a", "b", "b", "a"):
            job = await it.end_of(await it.submit(chain(3), traits=[f"checkpoints/{model}"]))
            assert job.worker == where[f"checkpoints/{model}"]
            assert job.attempts == 1

    shared.run(main)
