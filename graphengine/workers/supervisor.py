"""Keeps a worker for each device and gives them jobs.

    starting ──ready──▶ idle ──claimed──▶ busy ──finished──▶ idle
        ▲                 │                 │
        └── backing off ◀─┴──── died ───────┘      a job whose worker died is queued again, or parked as poison

The attempt is counted before the job is sent, so a job that kills its worker can't do so for ever. What comes from an
attempt that is over is dropped. A worker that does not answer is shown as such; it is killed only by a cancel, by the
job's limits or by ``stuck_timeout_s``, since loading and compiling may take a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphengine.core.job import Job, JobError, JobOutput
from graphengine.errors import GraphEngineError
from graphengine.jobs.hub import EventHub, ended_event
from graphengine.jobs.store import Claim, JobStore, Outcome
from graphengine.jobs.store_thread import StoreThread
from graphengine.workers.local import Exit, LocalWorker, Worker, WorkerGone, WorkerOptions
from graphengine.workers.messages import Cancel, Finished, FreeMemory, Happened, Message, ReloadPacks, Run

__all__ = ["SlotState", "Supervisor", "WorkerStatus"]

logger = logging.getLogger(__name__)

SlotState = Literal["starting", "idle", "busy", "lent", "backing off", "stopped"]
MakeWorker = Callable[[WorkerOptions, Callable[[Message], None]], Worker]

_TRAITS_HELD = 64
_BACK_OFF_S = (0.0, 0.2, 1.0, 5.0, 30.0)
_HEALTHY_AFTER_S = 10.0
_PING_EVERY_S = 2.0
_HEARTBEAT_EVERY_S = 5.0
_MEMORY_EVERY_S = 0.25


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker is doing, for people.

    Attributes:
        responding: Whether it answers; one that doesn't may be loading, or stuck.
    """

    device: str
    state: SlotState
    pid: int | None
    job: str | None
    responding: bool
    memory_bytes: int | None
    starts: int
    failures: Mapping[str, str]
    last_exit: str


@dataclass(eq=False)
class _Slot:
    """A device's place: its worker, and the job there."""

    device: str
    state: SlotState = "starting"
    worker: Worker | None = None
    claim: Claim | None = None
    lent: list[_Slot] = field(default_factory=list)
    log_start: int = 0
    held: OrderedDict[str, None] = field(default_factory=OrderedDict)
    limit: JobError | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    answered: float = 0.0
    starts: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    last_exit: str = ""

    def runs(self, job: str, attempt: int) -> bool:
        """Whether this attempt is the one that runs here."""
        return self.claim is not None and self.claim.job.id == job and self.claim.job.attempts == attempt

    def hold(self, traits: Sequence[str]) -> None:
        """Note what the worker has loaded now."""
        for trait in traits:
            self.held.pop(trait, None)
            self.held[trait] = None
        while len(self.held) > _TRAITS_HELD:
            self.held.popitem(last=False)


class Supervisor:
    """Starts workers, hands out jobs and sees to their ends.

    Args:
        options: One for each device.
        cancel_grace_s: How long a job may take to stop before its worker is killed.
        stuck_timeout_s: Kill a worker that answers nothing for so long; None for never.
    """

    def __init__(
        self,
        store: StoreThread,
        hub: EventHub,
        options: Sequence[WorkerOptions],
        *,
        make_worker: MakeWorker = LocalWorker,
        cancel_grace_s: float = 4.0,
        stuck_timeout_s: float | None = None,
    ) -> None:
        self._store = store
        self._hub = hub
        self._options = {each.device: each for each in options}
        self._make_worker = make_worker
        self._cancel_grace_s = cancel_grace_s
        self._stuck_timeout_s = stuck_timeout_s
        self._slots = [_Slot(device) for device in self._options]
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = False

    # For the server

    async def start(self) -> None:
        """Queue again what ran when the server ended, and start the workers."""
        for job in await self._store.write(JobStore.recover):
            await self._tell_where_it_stands(job)
        loops = [self._hand_out(), self._watch(), self._beat(), *(self._keep_alive(slot) for slot in self._slots)]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    def wake(self) -> None:
        """Look for jobs: something was queued, or may be handed out again."""
        self._work.set()

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs: ask its worker to, and kill it after the grace period."""
        for slot in self._slots:
            if slot.claim is not None and slot.claim.job.id == job_id:
                self._stop_job(slot)

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask any worker that is there.

        Raises:
            WorkerGone: none is.
        """
        for slot in sorted(self._slots, key=lambda each: each.state != "idle"):
            if slot.worker is not None and slot.state in ("idle", "busy", "lent"):
                return await slot.worker.ask(what, about, timeout_s=timeout_s)
        raise WorkerGone("no worker is ready. Wait until one has started, or look at its log.")

    def free_memory(self) -> None:
        """Have all workers forget what they hold, those that are busy after their job."""
        for slot in self._slots:
            slot.held.clear()
            if slot.worker is not None:
                slot.worker.send(FreeMemory())

    def reload_packs(self) -> None:
        """Have all workers load changed packs again, those that are busy after their job."""
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.send(ReloadPacks())

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of this host that have a worker."""
        return tuple(self._options)

    def status(self) -> list[WorkerStatus]:
        """Say what each worker is doing."""
        return [
            WorkerStatus(
                device=slot.device,
                state=slot.state,
                pid=getattr(slot.worker, "pid", None),
                job=slot.claim.job.id if slot.claim is not None else None,
                responding=not self._is_silent(slot),
                memory_bytes=slot.worker.memory_bytes if slot.worker is not None else None,
                starts=slot.starts,
                failures=slot.failures,
                last_exit=slot.last_exit,
            )
            for slot in self._slots
        ]

    async def stop(self, grace_s: float) -> None:
        """Hand out nothing more, let jobs finish for so long, give back those that did not, and end the workers."""
        self._stopping = True
        deadline = time.monotonic() + grace_s
        while any(slot.claim is not None for slot in self._slots) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self._slots:
            if slot.worker is not None and slot.claim is not None:
                slot.worker.kill()
        await asyncio.gather(*(self._end_worker(slot) for slot in self._slots), return_exceptions=True)
        for slot in self._slots:
            if (claim := slot.claim) is not None:
                job = await self._store.write(lambda store, job=claim.job: store.requeue(job.id, job.attempts))  # type: ignore[misc]  # a default binds the loop's value
                if job is not None:
                    await self._tell_where_it_stands(job)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _end_worker(self, slot: _Slot) -> None:
        if slot.worker is not None and slot.state != "starting":
            await slot.worker.stop(2.0)
        elif slot.worker is not None:
            slot.worker.kill()
        slot.state = "stopped"

    # Workers

    async def _keep_alive(self, slot: _Slot) -> None:
        """Have a worker for a device as long as the server runs."""
        deaths = 0
        while True:
            if deaths:
                slot.state = "backing off"
                await asyncio.sleep(_BACK_OFF_S[min(deaths, len(_BACK_OFF_S)) - 1])
            started = time.monotonic()
            slot.state = "starting"
            slot.starts += 1
            worker = slot.worker = self._make_worker(
                self._options[slot.device], lambda message: self._hear(slot, message)
            )
            try:
                ready = await worker.start()
            except (WorkerGone, OSError) as error:
                logger.error("%s", error)
                slot.last_exit, slot.worker, deaths = str(error), None, deaths + 1
                continue
            slot.failures, slot.answered, slot.state = ready.failures, time.monotonic(), "idle"
            self.wake()
            ended = await worker.exited()
            deaths = 1 if time.monotonic() - started > _HEALTHY_AFTER_S else deaths + 1
            if slot.claim is not None:
                deaths = 1  # the job's fault, not the worker's: the next one must not wait
            slot.worker, slot.state, slot.last_exit = None, "backing off", str(ended)
            slot.held.clear()
            logger.warning("the worker for %s ended with %s", slot.device, ended)
            await self._lose_job(slot, ended)

    async def _lose_job(self, slot: _Slot, ended: Exit) -> None:
        claim = slot.claim
        if claim is None:
            return
        log = self._log_of(slot)
        limit = slot.limit
        self._free(slot)
        job = claim.job
        error = limit or JobError(
            code="worker_died",
            message=f"the worker for {slot.device} ended with {ended} while this job ran.",
            remedy="Its log's end is below; a node or a library that it uses crashed, or memory ran out.",
            extra={"exit_code": ended.code, "log_tail": ended.log_tail, "attempt": job.attempts},
        )

        def lose(store: JobStore) -> Job | None:
            store.add_events(self._hub.take_unkept(job.id))
            if limit is not None and limit.code == "wall_limit":
                return store.finish(job.id, job.attempts, Outcome("failed", limit, log=log))
            return store.worker_lost(job.id, job.attempts, error, log)

        lost = await self._write_surely(lose)
        if lost is not None:
            event = {"type": "worker_lost", "attempt": job.attempts, "message": error.message}
            self._hub.publish(lost, [event])
            await self._tell_where_it_stands(lost)
        self.wake()

    # Jobs

    async def _hand_out(self) -> None:
        """Give jobs to idle workers whenever there is both."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                while await self._hand_out_one():
                    pass
            except GraphEngineError as error:  # the disk is full or failing: look again when there is news
                logger.error("no job can be handed out: %s", error)

    async def _hand_out_one(self) -> bool:
        idle = [slot for slot in self._slots if slot.state == "idle"]
        if not idle or self._stopping:
            return False
        slot, held = idle[0], list(idle[0].held)
        slot.state = "busy"
        claim = None
        try:
            claim = await self._store.write(lambda store: store.claim(slot.device, held=held, devices=len(idle)))
        finally:
            if claim is None and slot.state == "busy":
                slot.state = "idle"
        if claim is None:
            return False
        self._begin(slot, claim)
        return True

    def _begin(self, slot: _Slot, claim: Claim) -> None:
        """Send a claimed job to the worker of a slot."""
        job = claim.job
        slot.claim, slot.state, slot.limit = claim, "busy", None
        others = [each for each in self._slots if each.state == "idle"][: job.limits.devices - 1]
        for other in others:
            other.state = "lent"
            if other.worker is not None:
                other.worker.send(FreeMemory())
        slot.lent = others
        worker = slot.worker
        if worker is None:  # it died while the job was claimed
            self._spawn(self._lose_job(slot, Exit(-9, "")))
            return
        slot.log_start = worker.log_place[1]
        slot.hold(job.traits)
        self._hub.publish(job, [{"type": "job_running", "attempt": job.attempts, "worker": slot.device}])
        devices = [slot.device, *(each.device for each in others)]
        folder = str(self._options[slot.device].output / job.folder)
        worker.send(Run(job.id, job.attempts, claim.workflow, job.targets, folder, job.name, devices))
        self._set_limits(slot, job)

    def _set_limits(self, slot: _Slot, job: Job) -> None:
        wall_s = job.limits.wall_s
        if wall_s is not None:
            slot.timers.append(asyncio.get_running_loop().call_later(wall_s, self._wall_limit, slot, job))
        if job.limits.memory_bytes is not None:
            self._spawn(self._guard_memory(slot, job, job.limits.memory_bytes))

    def _wall_limit(self, slot: _Slot, job: Job) -> None:
        if slot.runs(job.id, job.attempts):
            message = f"the job took longer than its limit of {job.limits.wall_s:g} s."
            slot.limit = JobError(code="wall_limit", message=message, remedy="Raise limits.wall_s, or do less.")
            self._stop_job(slot)

    async def _guard_memory(self, slot: _Slot, job: Job, most_bytes: int) -> None:
        while slot.runs(job.id, job.attempts) and slot.worker is not None:
            used = slot.worker.memory_bytes
            if used is not None and used > most_bytes:
                mib = 1024**2
                message = f"the worker took {used // mib} MiB; the job's limit is {most_bytes // mib} MiB."
                remedy = "Raise limits.memory_bytes, or lower sizes."
                slot.limit = JobError(code="memory_limit", message=message, remedy=remedy)
                slot.worker.kill()
                return
            await asyncio.sleep(_MEMORY_EVERY_S)

    def _stop_job(self, slot: _Slot) -> None:
        """Ask for a job's end, and kill its worker after the grace period."""
        claim = slot.claim
        if claim is None or slot.worker is None:
            return
        job = claim.job
        slot.worker.send(Cancel(job.id, job.attempts))
        later = asyncio.get_running_loop().call_later(self._cancel_grace_s, self._kill_if_runs, slot, job)
        slot.timers.append(later)

    def _kill_if_runs(self, slot: _Slot, job: Job) -> None:
        if slot.runs(job.id, job.attempts) and slot.worker is not None:
            slot.worker.kill()

    def _hear(self, slot: _Slot, message: Message) -> None:
        slot.answered = time.monotonic()
        match message:
            case Happened():
                if slot.claim is not None and slot.runs(message.job, message.attempt):
                    self._hub.publish(slot.claim.job, message.events)
            case Finished():
                if slot.claim is not None and slot.runs(message.job, message.attempt):
                    self._hub.publish(slot.claim.job, message.events)
                    self._spawn(self._finish(slot, message))
            case _:
                logger.warning("the worker for %s said %r, which means nothing here", slot.device, message)

    async def _finish(self, slot: _Slot, finished: Finished) -> None:
        """Put a job's end on disk and take the next one for its worker, in one commit."""
        claim = slot.claim
        assert claim is not None
        job, limit, log = claim.job, slot.limit, self._log_of(slot)
        outcome = _outcome(finished, limit, log)
        self._free(slot)
        held = list(slot.held)
        slot.state = "busy"  # until it is known whether there is a next job
        free = 1 + sum(each.state == "idle" for each in self._slots)

        def finish(store: JobStore) -> tuple[Job | None, Claim | None]:
            store.add_events(self._hub.take_unkept(job.id))
            ended = store.finish(job.id, job.attempts, outcome)
            takes_more = not self._stopping and slot.worker is not None
            return ended, store.claim(slot.device, held=held, devices=free) if takes_more else None

        ended, following = await self._write_surely(finish)
        if ended is not None:
            await self._tell_where_it_stands(ended)
        if following is not None:
            self._begin(slot, following)
            self.wake()
        elif slot.worker is not None and slot.state == "busy":
            slot.state = "idle"
            self.wake()

    def _free(self, slot: _Slot) -> None:
        for timer in slot.timers:
            timer.cancel()
        slot.timers.clear()
        for other in slot.lent:
            if other.state == "lent":
                other.state = "idle"
        slot.lent = []
        slot.claim = None

    def _log_of(self, slot: _Slot) -> tuple[str, int, int] | None:
        if slot.worker is None:
            return None
        name, size = slot.worker.log_place
        return name, min(slot.log_start, size), size

    async def _tell_where_it_stands(self, job: Job) -> None:
        """Publish a job's new state, and forget what was held of one that ended."""
        if not job.is_over:
            self._hub.publish(job, [{"type": "job_queued", "attempt": job.attempts}])
            return
        self._hub.publish(job, [ended_event(job)])
        batches = self._hub.take_unkept(job.id)
        await self._write_surely(lambda store: store.add_events(batches))
        self._hub.forget(job.id)

    async def _write_surely(self, work: Callable[[JobStore], Any]) -> Any:  # Any: each caller's own result
        """Write what must not be lost, again and again while the disk is full."""
        while True:
            try:
                return await self._store.write(work)
            except GraphEngineError as error:
                logger.error("%s", error)
                await asyncio.sleep(1.0)

    # Watching

    async def _watch(self) -> None:
        """Ask workers whether they are there."""
        while True:
            await asyncio.sleep(_PING_EVERY_S)
            await asyncio.gather(*(self._ping(slot) for slot in self._slots))

    async def _ping(self, slot: _Slot) -> None:
        worker = slot.worker
        if worker is None or slot.state not in ("idle", "busy", "lent"):
            return
        with contextlib.suppress(GraphEngineError, TimeoutError):
            await worker.ask("ping", timeout_s=_PING_EVERY_S)
            slot.answered = time.monotonic()
        silent_s = time.monotonic() - slot.answered
        if self._stuck_timeout_s is not None and silent_s > self._stuck_timeout_s and slot.worker is worker:
            logger.error("the worker for %s did not answer for %.0f s and is killed", slot.device, silent_s)
            worker.kill()

    def _is_silent(self, slot: _Slot) -> bool:
        return slot.state in ("idle", "busy", "lent") and time.monotonic() - slot.answered > 2.5 * _PING_EVERY_S

    async def _beat(self) -> None:
        """Note which attempts are still going."""
        while True:
            await asyncio.sleep(_HEARTBEAT_EVERY_S)
            running = [(slot.claim.job.id, slot.claim.job.attempts) for slot in self._slots if slot.claim is not None]
            if running:
                with contextlib.suppress(GraphEngineError):
                    await self._store.write(lambda store, running=running: store.heartbeat(running))  # type: ignore[misc]  # a default binds the loop's value

    def _spawn(self, work: Any) -> None:  # Any: a coroutine
        """Run something beside; its errors are logged, and stopping waits for it."""
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the supervisor failed", exc_info=error)


def _outcome(finished: Finished, limit: JobError | None, log: tuple[str, int, int] | None) -> Outcome:
    error = None if finished.error is None else JobError.model_validate(finished.error)
    state = finished.state
    if limit is not None and state != "done":
        state, error = "failed", limit
    return Outcome(
        state,
        error,
        tuple(JobOutput.model_validate(each) for each in finished.outputs),
        finished.values,
        log,
        finished.node_seconds,
    )
