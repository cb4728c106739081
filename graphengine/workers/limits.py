"""What ends a job before its time: a cancel, its wall limit, its memory limit, a worker that is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from graphengine.core.job import Job, JobError
from graphengine.errors import GraphEngineError
from graphengine.workers.messages import Cancel
from graphengine.workers.worker import Worker

__all__ = ["JobGuard"]

_MEMORY_EVERY_S = 0.25
_LONGEST_SAVE_S = 300.0  # of a model with several billion weights and its optimizer's numbers, on a slow disk
_MIB = 1024**2


class JobGuard:
    """Watches over one attempt at a job, from when its worker was told to run it until it is closed.

    Args:
        cancel_grace_s: How long the job may take to stop before its worker is killed; where its node saves its work
            first, as a training does, up to five minutes more, unless it is cancelled again.

    Attributes:
        reason: Why it was ended, if it was; the first reason counts.
    """

    def __init__(self, worker: Worker, job: Job, cancel_grace_s: float) -> None:
        self.reason: JobError | None = None
        self._worker = worker
        self._job = job
        self._cancel_grace_s = cancel_grace_s
        self._is_stopping = False
        self._saves_until = 0.0  # by the event loop's clock; 0 within the grace period
        self._question: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        if job.limits.wall_s is not None:
            self._later(job.limits.wall_s, self._wall_limit, job.limits.wall_s)
        if job.limits.memory_bytes is not None:
            self._check_memory(job.limits.memory_bytes)

    def close(self) -> None:
        """Watch no more: the attempt is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._question is not None:
            self._question.cancel()

    def cancel(self) -> None:
        """Ask for the job's end, and kill its worker after the grace period."""
        grace_s = self._cancel_grace_s
        message = f"the job did not stop within {grace_s:g} s of being asked to, so its worker was ended."
        self._stop(JobError(code="killed", message=message))

    def kill_stuck(self, silent_s: float) -> None:
        """Kill the worker because it answers nothing."""
        message = f"the worker answered nothing for {silent_s:.0f} s and was ended."
        remedy = "A node holds the interpreter. If it only takes long, start the server with a longer --stuck-timeout."
        self._kill(JobError(code="worker_stuck", message=message, remedy=remedy))

    def _wall_limit(self, wall_s: float) -> None:
        message = f"the job took longer than its limit of {wall_s:g} s."
        self._stop(JobError(code="wall_limit", message=message, remedy="Raise limits.wall_s, or do less."))

    def _check_memory(self, most_bytes: int) -> None:
        used = self._worker.memory_bytes
        if used is not None and used > most_bytes:
            message = f"the worker took {used // _MIB} MiB; the job's limit is {most_bytes // _MIB} MiB."
            remedy = "Raise limits.memory_bytes, or lower sizes."
            self._kill(JobError(code="memory_limit", message=message, remedy=remedy))
            return
        self._timers = [timer for timer in self._timers if timer.when() > asyncio.get_running_loop().time()]
        self._later(_MEMORY_EVERY_S, self._check_memory, most_bytes)

    def _stop(self, reason: JobError) -> None:
        if self._saves_until:  # asked again while it saves: without that, then
            self._worker.kill()
        if self._is_stopping:  # asked again: the first grace period counts
            return
        self._is_stopping = True
        self.reason = self.reason or reason
        self._worker.send(Cancel(self._job.id, self._job.attempts))
        self._later(self._cancel_grace_s, self._grace_is_over)

    def _grace_is_over(self) -> None:
        self._question = asyncio.get_running_loop().create_task(self._kill_unless_it_saves())

    async def _kill_unless_it_saves(self) -> None:
        """End the worker, if it isn't saving work that would be lost, or takes too long over it."""
        now = asyncio.get_running_loop().time()
        self._saves_until = self._saves_until or now + _LONGEST_SAVE_S
        try:
            saves = await self._worker.ask("saves", timeout_s=max(1.0, self._cancel_grace_s))
        except (GraphEngineError, TimeoutError):
            saves = False
        if saves and now < self._saves_until:
            self._later(self._cancel_grace_s, self._grace_is_over)
        else:
            self._worker.kill()

    def _kill(self, reason: JobError) -> None:
        self.reason = self.reason or reason
        self._worker.kill()

    def _later(self, seconds: float, call: Callable[..., None], *arguments: float) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, call, *arguments))
