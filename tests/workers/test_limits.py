"""What ends a job before its time, without workers."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from graphengine.core.job import Job, JobLimits
from graphengine.workers.limits import JobGuard
from graphengine.workers.messages import Cancel, Message
from graphengine.workers.worker import Worker


class Stubborn:
    """A worker that does nothing that it is told."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.killed = asyncio.Event()
        self.memory_bytes = 100 * 1024**2
        self.saves = False
        self.asked = asyncio.Event()

    def send(self, message: Message) -> None:
        """Note it."""
        self.told.append(message)

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Say whether it saves what it did."""
        assert what == "saves"
        self.asked.set()
        return self.saves

    def kill(self) -> None:
        """Note it."""
        self.killed.set()


def test_cancelled_comes_before_a_wall_limit_that_is_reached_meanwhile() -> None:
    assert _how_ended(cancel=True, wall_s=0.01) == ("killed", 1)


def test_the_wall_limit_asks_first() -> None:
    assert _how_ended(wall_s=0.01) == ("wall_limit", 1)


def test_the_memory_limit_asks_nobody() -> None:
    assert _how_ended(memory_bytes=99 * 1024**2) == ("memory_limit", 0)


def test_an_attempt_that_is_over_is_left_alone() -> None:
    async def main() -> None:
        worker = Stubborn()
        guard = _guard(worker, wall_s=0.01, memory_bytes=2**30)
        guard.cancel()
        guard.close()
        worker.memory_bytes = 2**31
        await asyncio.sleep(0.5)
        assert not worker.killed.is_set()

    asyncio.run(main())


def test_a_job_that_saves_its_work_has_longer_until_it_is_cancelled_again() -> None:
    async def main() -> None:
        worker = Stubborn()
        worker.saves = True
        guard = _guard(worker)
        guard.cancel()
        for _ in range(2):  # it is asked again and again, and told once
            worker.asked.clear()
            await asyncio.wait_for(worker.asked.wait(), 60)
        assert not worker.killed.is_set()
        guard.cancel()
        assert worker.killed.is_set()
        guard.close()
        assert len(worker.told) == 1

    asyncio.run(main())


def test_a_job_that_has_saved_its_work_and_still_runs_is_ended() -> None:
    async def main() -> None:
        worker = Stubborn()
        worker.saves = True
        guard = _guard(worker)
        guard.cancel()
        await asyncio.wait_for(worker.asked.wait(), 60)
        worker.saves = False
        await asyncio.wait_for(worker.killed.wait(), 60)
        guard.close()

    asyncio.run(main())


def _how_ended(*, cancel: bool = False, **limits: Any) -> tuple[str, int]:  # Any: of JobLimits
    async def main() -> tuple[str, int]:
        worker = Stubborn()
        guard = _guard(worker, **limits)
        if cancel:
            guard.cancel()
        await asyncio.wait_for(worker.killed.wait(), 60)
        guard.close()
        assert guard.reason is not None
        assert all(isinstance(each, Cancel) for each in worker.told)
        return guard.reason.code, len(worker.told)

    return asyncio.run(main())


def _guard(worker: Stubborn, **limits: Any) -> JobGuard:  # Any: of JobLimits
    job = Job.model_construct(id="j", attempts=1, limits=JobLimits(**limits))
    return JobGuard(cast("Worker", worker), job, cancel_grace_s=0.1)
