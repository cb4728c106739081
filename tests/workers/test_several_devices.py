"""Two workers, and jobs for one of them or for both."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.workers.documents import chain, one
from tests.workers.world import until, world

TWO = ("cpu", "cpu:0")


def test_a_job_for_two_devices_waits_for_both_and_has_them_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, TWO) as it:
            await it.ready()
            assert it.supervisor.devices == TWO
            first = await it.submit(one("Sleep", seconds=1.0))
            await it.running(first)
            both = await it.submit(one("Devices", "devices", seconds=0.8), devices=2)
            after = await it.submit(chain(3))
            await asyncio.sleep(0.2)
            assert [(await it.get(job)).state for job in (both, after)] == ["queued", "queued"]
            await it.running(both)
            assert (await it.get(first)).state == "done"
            assert sorted(each.state for each in it.supervisor.status()) == ["busy", "lent"]
            assert (await it.get(after)).state == "queued"
            ended = await it.end_of(both)
            assert set(str(ended.values["devices"]).split(",")) == set(TWO)
            assert (await it.end_of(after)).state == "done"

    asyncio.run(main())


def test_a_lent_worker_that_dies_stays_lent(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, TWO) as it:
            await it.ready()
            both = await it.submit(one("Devices", seconds=4.0), devices=2)
            await it.running(both)
            (lent,) = [slot for slot in it.supervisor._slots if slot.state == "lent"]
            other = await it.submit(chain(3))
            assert lent.worker is not None
            lent.worker.kill()

            async def back() -> bool:
                return lent.starts == 2 and lent.state == "lent"

            await until(back)
            assert (await it.get(other)).state == "queued"
            assert (await it.end_of(both)).attempts == 1
            assert (await it.end_of(other)).state == "done"

    asyncio.run(main())


def test_lent_workers_are_free_again_when_the_borrower_dies(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, TWO) as it:
            job = await it.run(one("Die"), devices=2)
            assert job.state == "poison"
            await it.ready()
            assert (await it.run(one("Devices", "devices"), devices=2)).state == "done"

    asyncio.run(main())


def test_a_job_for_more_devices_than_there_are_holds_up_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as it:
            many, one_more = await it.submit(chain(3), devices=3), await it.submit(chain(3))
            refused = await it.end_of(many)
            assert refused.error is not None
            assert (refused.state, refused.error.code) == ("failed", "too_few_devices")
            assert (await it.end_of(one_more)).state == "done"

    asyncio.run(main())


def test_jobs_go_where_their_models_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, TWO) as it:
            await it.ready()
            for model in ("a", "b"):  # at once, so that each worker gets one
                await it.submit(one("Sleep", seconds=0.5), traits=[f"checkpoints/{model}"])

            async def over() -> bool:
                return (await it.store.read(lambda store: store.counts()))["done"] == 2

            await until(over)
            await it.ready()
            where = {trait: slot.device for slot in it.supervisor._slots for trait in slot.held}
            assert set(where.values()) == set(TWO)
            for model in ("b", "a", "b", "b", "a"):
                job = await it.end_of(await it.submit(chain(3), traits=[f"checkpoints/{model}"]))
                assert job.worker == where[f"checkpoints/{model}"]
                assert job.attempts == 1

    asyncio.run(main())
