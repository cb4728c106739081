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
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from graphengine.core.job import Job, JobError
from graphengine.errors import GraphEngineError
from graphengine.jobs.hub import EventHub
from graphengine.jobs.store import Claim, JobStore, Outcome
from graphengine.jobs.store_thread import DiskFull, StoreBroken, StoreThread
from graphengine.workers.endings import bad_answer, give_up, loss_of, outcome_of
from graphengine.workers.limits import JobGuard
from graphengine.workers.local import LocalWorker
from graphengine.workers.logs import prune_logs
from graphengine.workers.messages import Finished, Happened, Message, ReloadPacks, Run, Watch
from graphengine.workers.slots import Attempt, Slot, SlotState, WorkerStatus, claim_next, reserved
from graphengine.workers.watching import PING_EVERY_S, ping_all
from graphengine.workers.worker import Exit, MakeWorker, WorkerGone, WorkerOptions

__all__ = ["SlotState", "Supervisor", "WorkerStatus"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BACK_OFF_S = (0.0, 0.2, 1.0, 5.0, 30.0)
_HEALTHY_AFTER_S = 10.0
_HEARTBEAT_EVERY_S = 5.0
_AGAIN_AFTER_S = 1.0  # after the queue could not be written
_SHORT_S = 0.05  # after a job that took no longer, some are claimed ahead
_MOST_AHEAD = 4
_AHEAD_S = 0.2  # a claimed job waits so long for those before it, then it is given back
_WORKER_STOP_S = 2.0
_ANY_NUMBER = 1000
_NONE_ANSWERS = "no worker answers. Wait until one has started or is less busy, or look at its log."


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
        self._make_worker = make_worker
        self._cancel_grace_s = cancel_grace_s
        self._stuck_timeout_s = stuck_timeout_s
        self._slots = [Slot(each) for each in options]
        self._work = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._beside: set[asyncio.Task[Any]] = set()  # Any: each has its own result
        self._stopping = False

    # For the server

    async def start(self) -> None:
        """Queue again what ran when the server ended, and start the workers."""
        self._hub.when_watchers_change(self._tell_who_watches)
        for job in await self._store.write(JobStore.recover):
            self._tell_where_it_stands(job)
        loops = [
            self._hand_out(),
            _regularly(PING_EVERY_S, lambda: ping_all(self._slots, self._stuck_timeout_s)),
            _regularly(_HEARTBEAT_EVERY_S, self._beat),
            *(self._keep_alive(slot) for slot in self._slots),
        ]
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def stop(self, grace_s: float) -> None:
        """Hand out nothing more, let jobs finish for so long, give back those that did not, and end the workers.

        A job that saves its work when it is stopped, as a training does, is stopped at once, and goes on from there.
        """
        self._stopping = True
        deadline = time.monotonic() + grace_s
        await asyncio.gather(*(slot.attempt.save_and_stop(grace_s) for slot in self._slots if slot.attempt))
        while (self._beside or any(slot.attempt for slot in self._slots)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.gather(*(self._end_worker(slot) for slot in self._slots))
        for slot in self._slots:
            if (attempt := slot.take_attempt()) is not None:
                self._spawn(self._give_back(attempt.job))
            self._give_back_all(slot)
        if self._beside:
            _, unfinished = await asyncio.wait(self._beside, timeout=_WORKER_STOP_S)
            for each in unfinished:  # the disk is full; the next start finds these jobs as running
                each.cancel()

    def wake(self) -> None:
        """Look for jobs: something was queued, or may be handed out again."""
        self._work.set()

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs and is marked so: ask its worker to, and kill it after the grace period."""
        for slot in self._slots:
            if slot.attempt is not None and slot.attempt.job.id == job_id:
                slot.attempt.guard.cancel()
            for claim in list(slot.next):
                if claim.job.id == job_id:
                    self._give_back_next(slot, claim)

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask any worker that answers, an idle one if there is one.

        Raises:
            WorkerGone: none does.
        """
        for slot in sorted(self._slots, key=lambda each: each.state != "idle"):
            if slot.worker is not None and slot.phase == "ready" and not slot.is_silent:
                return await slot.worker.ask(what, about, timeout_s=timeout_s)
        raise WorkerGone(_NONE_ANSWERS)

    async def ask_all(self, what: str, about: object = None, *, timeout_s: float = 10) -> AsyncGenerator[object]:
        """Ask all workers that answer, and give the answers as they come.

        Raises:
            WorkerGone: none does.
            GraphEngineError, TimeoutError: of several, none had an answer.
        """
        workers = [slot.worker for slot in self._slots if slot.phase == "ready" and not slot.is_silent]
        asked = [asyncio.ensure_future(each.ask(what, about, timeout_s=timeout_s)) for each in workers if each]
        failures: list[Exception] = [WorkerGone(_NONE_ANSWERS)]
        is_heard = False
        try:
            for each in asyncio.as_completed(asked):
                try:
                    answer = await each
                except (GraphEngineError, TimeoutError) as error:
                    failures.append(error)
                    continue
                is_heard = True
                yield answer
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not is_heard:
            raise failures[-1]

    def free_memory(self) -> None:
        """Have all workers forget what they hold, those that are busy after their job."""
        for slot in self._slots:
            slot.forget()

    def reload_packs(self) -> None:
        """Have all workers load changed packs again, those that are busy after their job."""
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.send(ReloadPacks())

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of this host that have a worker."""
        return tuple(slot.device for slot in self._slots)

    def status(self) -> list[WorkerStatus]:
        """Say what each worker is doing."""
        return [slot.status() for slot in self._slots]

    # Workers

    async def _keep_alive(self, slot: Slot) -> None:
        """Have a worker for a device as long as the server runs."""
        failures = 0
        while True:
            if failures:
                slot.phase = "backing off"
                await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1])
            was_of_use = await self._have_worker(slot)
            failures = 1 if was_of_use else failures + 1

    async def _have_worker(self, slot: Slot) -> bool:
        """Start a worker and wait for its end; tell whether it was of any use."""
        slot.phase = "starting"
        slot.starts += 1
        slot.was_used = False
        began = time.monotonic()
        try:
            worker = slot.worker = self._make_worker(slot.options, partial(self._hear, slot))
            ready = await worker.start()
        except Exception as error:  # a border: whatever keeps it from starting is shown, and tried again
            logger.error("%s", error)
            slot.last_exit, slot.worker = str(error), None
            return False
        finally:
            in_use = {each.worker.log_place[0] for each in self._slots if each.worker is not None}
            self._spawn(asyncio.to_thread(prune_logs, slot.options.logs, in_use))
        slot.failures, slot.answered, slot.phase = ready.failures, time.monotonic(), "ready"
        self.wake()
        ended = await worker.exited()
        logger.warning("the worker for %s ended with %s", slot.device, ended)
        slot.worker, slot.phase, slot.last_exit = None, "backing off", str(ended)
        slot.held.clear()
        self._give_back_all(slot)
        attempt = slot.take_attempt()
        if attempt is not None:
            self._spawn(self._lose(attempt, ended))
        # after a job that killed it, the next one must not wait
        return slot.was_used or time.monotonic() - began > _HEALTHY_AFTER_S

    async def _end_worker(self, slot: Slot) -> None:
        worker, was_ready, slot.phase = slot.worker, slot.phase == "ready", "stopped"
        if worker is None or not was_ready:  # one that was starting ended when its start was cancelled
            return
        if slot.attempt is not None:
            worker.kill()
        await worker.stop(_WORKER_STOP_S)

    def _hear(self, slot: Slot, message: Message) -> None:
        """Take in what a worker says, unless it speaks of an attempt that is over."""
        slot.answered = time.monotonic()
        match message:
            case Happened() | Finished():
                attempt = slot.attempt
                if attempt is None or not slot.runs(message.job, message.attempt):
                    return
                self._hub.pass_on(attempt.job, message.events)
                if isinstance(message, Finished):
                    slot.take_attempt()
                    if slot.next:
                        self._begin([slot], (0, slot.next.popleft()))
                    self._spawn(self._finish(slot, attempt, message))
            case _:
                logger.warning("the worker for %s said %r, which means nothing here", slot.device, message)

    # The beginning of jobs

    async def _hand_out(self) -> None:
        """Give jobs to free workers whenever there is both."""
        while True:
            await self._work.wait()
            self._work.clear()
            while await asyncio.shield(self._spawn(self._hand_out_one())):  # a claim is never left half way
                pass

    async def _hand_out_one(self) -> bool:
        free = self._free_slots()
        if not free:
            return False
        claim = self._claiming(free)
        with reserved(free):
            try:
                claimed = await self._store.write(claim)
            except (GraphEngineError, sqlite3.Error) as error:
                logger.error("no job can be handed out: %s", error)
                if not isinstance(error, StoreBroken):
                    asyncio.get_running_loop().call_later(_AGAIN_AFTER_S, self.wake)
                return False
            if claimed is not None:
                self._begin(free, claimed)
        return claimed is not None

    def _free_slots(self) -> list[Slot]:
        return [] if self._stopping else [slot for slot in self._slots if slot.is_free]

    def _claiming(
        self, free: Sequence[Slot], devices: int | None = None
    ) -> Callable[[JobStore], tuple[int, Claim] | None]:
        """Make the work for the queue's thread that claims a job for one of these slots.

        Args:
            devices: So many the job may want, instead of as many as there are.
        """
        holding = [(slot.device, tuple(slot.held)) for slot in free]
        if devices is None:
            # a job that wants more than there are must not hold up all others for ever
            devices = _ANY_NUMBER if len(free) == len(self._slots) else len(free)
        return lambda store: claim_next(store, holding, devices) if holding else None

    def _begin(self, free: Sequence[Slot], claimed: tuple[int, Claim]) -> None:
        """Send a claimed job to the worker of its slot; if that died meanwhile, give it back."""
        place, claim = claimed
        slot, job = free[place], claim.job
        if slot.attempt is not None:  # it was claimed ahead, and the job before it began just now
            self._keep_next(slot, claim)
            return
        if job.limits.devices > len(self._slots):
            self._spawn(self._refuse(job))
            return
        others = [each for each in free if each is not slot and each.phase == "ready"]
        others.sort(key=lambda each: each.kind != slot.kind)  # what works on several devices may want them alike
        others = others[: job.limits.devices - 1]
        worker = slot.worker
        if worker is None or slot.phase != "ready" or self._stopping or len(others) < job.limits.devices - 1:
            self._spawn(self._give_back(job, was_sent=False))
            return
        self._hub.publish(job, [{"type": "job_running", "attempt": job.attempts, "worker": slot.device}])
        guard = JobGuard(worker, job, self._cancel_grace_s)
        previews = self._hub.is_watched(job)
        slot.begin(Attempt(job, worker, guard, worker.log_place[1], others, previews))
        devices = [slot.device, *(each.device for each in others)]
        folder = str(slot.options.output / job.folder)
        worker.send(Run(job.id, job.attempts, claim.workflow, job.targets, folder, job.name, devices, previews))

    def _tell_who_watches(self) -> None:
        """Have previews made of the jobs that somebody watches, and of no others."""
        for slot in self._slots:
            attempt = slot.attempt
            if attempt is None:
                continue
            previews = self._hub.is_watched(attempt.job)
            if previews != attempt.previews:
                attempt.previews = previews
                attempt.worker.send(Watch(attempt.job.id, attempt.job.attempts, previews))

    # The end of jobs

    async def _finish(self, slot: Slot, attempt: Attempt, finished: Finished) -> None:
        """Put a job's end on disk and take the next one, in one commit."""
        if attempt.goes_on_later and finished.state == "cancelled" and attempt.guard.reason is None:
            await self._give_back(attempt.job)
            return
        try:
            await self._end(slot, attempt, outcome_of(attempt, finished))
        except GraphEngineError:
            raise
        except Exception:  # a border: what a worker says may be anything
            logger.exception("the end of job %s makes no sense", attempt.job.id)
            await self._end(slot, attempt, bad_answer(attempt))

    async def _end(self, slot: Slot, attempt: Attempt, outcome: Outcome) -> None:
        job = attempt.job
        events = self._hub.take_unkept(job.id)
        free = self._free_slots()
        claim = self._claiming(free)
        is_short = time.monotonic() - attempt.began < _SHORT_S
        room = min(2, _MOST_AHEAD - len(slot.next)) if is_short and not self._stopping else 0
        claim_ahead = self._claiming([slot], devices=1)

        def end(store: JobStore) -> tuple[Job | None, list[tuple[Sequence[Slot], tuple[int, Claim]]]]:
            store.add_events(events)
            ended = store.finish(job.id, job.attempts, outcome)
            ways = [(free, claim), *[([slot], claim_ahead)] * room]
            return ended, [(slots, claimed) for slots, way in ways if (claimed := _or_none(way, store)) is not None]

        with reserved(free):
            ended, claims = await self._write_surely(end)
            self._hub.are_kept(job.id, events)
            for slots, claimed in claims:
                self._begin(slots, claimed)
        self.wake()
        if ended is not None:
            self._tell_where_it_stands(ended)

    def _keep_next(self, slot: Slot, claim: Claim) -> None:
        """Have a claimed job begin on a slot when those before it have ended, if that is soon."""
        if claim.job.limits.devices > 1:
            self._spawn(self._give_back(claim.job, was_sent=False))
            return
        slot.next.append(claim)
        asyncio.get_running_loop().call_later(_AHEAD_S, self._give_back_next, slot, claim)

    def _give_back_next(self, slot: Slot, claim: Claim) -> None:
        """Queue a job again that was to begin on a slot, unless it began."""
        if claim in slot.next:
            slot.next.remove(claim)
            self._spawn(self._give_back(claim.job, was_sent=False))

    def _give_back_all(self, slot: Slot) -> None:
        for claim in list(slot.next):
            self._give_back_next(slot, claim)

    async def _lose(self, attempt: Attempt, ended: Exit) -> None:
        """Queue a job again whose worker died, or park it."""
        error = loss_of(attempt, ended)
        events = self._hub.take_unkept(attempt.job.id)

        def lose(store: JobStore) -> Job | None:
            store.add_events(events)
            return give_up(store, attempt, error)

        lost = await self._write_surely(lose)
        if lost is not None:
            event = {"type": "worker_lost", "attempt": attempt.job.attempts, "message": error.message}
            self._hub.publish(lost, [event])
            self._tell_where_it_stands(lost)
        self.wake()

    async def _give_back(self, job: Job, *, was_sent: bool = True) -> None:
        """Queue a job again that was claimed and did not run to its end by no fault of its own."""
        queued = await self._write_surely(lambda store: store.requeue(job.id, job.attempts, was_sent=was_sent))
        if queued is not None:
            self._tell_where_it_stands(queued)
        self.wake()

    async def _refuse(self, job: Job) -> None:
        """End a job that can never run here."""
        message = f"the job wants {job.limits.devices} devices, and this server has {len(self._slots)}."
        error = JobError(code="too_few_devices", message=message, remedy="Lower limits.devices.")
        ended = await self._write_surely(lambda store: store.finish(job.id, job.attempts, Outcome("failed", error)))
        if ended is not None:
            self._tell_where_it_stands(ended)
        self.wake()

    def _tell_where_it_stands(self, job: Job) -> None:
        """Tell everybody a job's new state."""
        if not job.is_over:
            self._hub.publish(job, [{"type": "job_queued", "attempt": job.attempts}])
            return
        self._hub.end(job)

    async def _write_surely(self, work: Callable[[JobStore], T]) -> T:
        """Write what must not be lost, again and again while the disk is full.

        Raises:
            StoreBroken: the disk failed; the next start finds the job as running.
        """
        while True:
            try:
                return await self._store.write(work)
            except (DiskFull, sqlite3.OperationalError) as error:
                logger.error("%s", error)
                await asyncio.sleep(_AGAIN_AFTER_S)

    # Beside

    async def _beat(self) -> None:
        """Note which attempts are still going."""
        jobs = [slot.attempt.job for slot in self._slots if slot.attempt is not None]
        if jobs:
            await self._store.write(lambda store: store.heartbeat((job.id, job.attempts) for job in jobs))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:  # Any: as coroutines are typed
        """Do something beside; its errors are logged, and stopping waits for it."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:  # Any: as in _beside
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the supervisor failed", exc_info=error)


async def _regularly(every_s: float, step: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, whatever becomes of it."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await step()
        except (GraphEngineError, sqlite3.Error) as error:
            logger.error("%s", error)
        except Exception:  # a border: it must go on
            logger.exception("a task of the supervisor failed")


def _or_none(claim: Callable[[JobStore], T | None], store: JobStore) -> T | None:
    """Claim a job; what is wrong with that one must not undo what is done with it."""
    try:
        return claim(store)
    except sqlite3.OperationalError:
        raise
    except Exception:  # a border: a document that was damaged on the disk
        logger.exception("a job can't be claimed")
        return None
