"""A device's place in the supervisor: its worker, and the attempt at a job that runs there."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from graphengine.core.job import Job
from graphengine.errors import GraphEngineError
from graphengine.jobs.store import Claim, JobStore
from graphengine.workers.limits import JobGuard
from graphengine.workers.messages import Cancel, FreeMemory
from graphengine.workers.worker import Worker, WorkerOptions

__all__ = ["Attempt", "Slot", "SlotState", "WorkerStatus", "claim_next", "reserved"]

SlotState = Literal["starting", "idle", "busy", "lent", "backing off", "stopped"]

_TRAITS_HELD = 64
_SILENT_AFTER_S = 5.0


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker is doing, for people.

    Attributes:
        responding: Whether it answers; one that doesn't may be loading, or stuck.
        failures: Pack name -> why it did not load.
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
class Attempt:
    """A job that a worker runs.

    Attributes:
        guard: Ends it when it must end.
        log_start: Where its part of the worker's log begins.
        lent: Slots whose devices it uses as well.
        previews: Whether the worker was told last that somebody watches.
        goes_on_later: It was asked to save its work, and is queued again when it has.
        began: By the monotonic clock.
    """

    job: Job
    worker: Worker
    guard: JobGuard
    log_start: int
    lent: Sequence[Slot] = ()
    previews: bool = False
    goes_on_later: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> tuple[str, int, int]:
        """The name of the log, and where its part of it begins and, for now, ends."""
        name, size = self.worker.log_place
        return name, min(self.log_start, size), size

    async def save_and_stop(self, timeout_s: float) -> None:
        """Ask for its end, if it saves its work then: the server stops, and it would not end in time by itself."""
        try:
            saves = await self.worker.ask("saves", timeout_s=timeout_s)
        except (GraphEngineError, TimeoutError):
            return
        if saves:
            self.goes_on_later = True
            self.worker.send(Cancel(self.job.id, self.job.attempts))


@dataclass(eq=False)
class Slot:
    """A device's place.

    The worker's state and what the slot is used for are two things: a worker may die and start again while its slot is
    lent, or while the end of its last job is being written.

    Attributes:
        phase: The worker's state.
        attempt: What runs here. Whoever takes it away sees to its end.
        is_reserved: A job is being looked for, or the last one's end is being written.
        lent_to: The slot whose job uses this one's device.
        next: Jobs that are claimed and not sent, to begin as soon as those before them end: where jobs are short, the
            worker would wait for the disk most of its time.
        held: Traits of the jobs that ran here, such as model files; the newest last.
        answered: When the worker was heard last, by the monotonic clock.
        was_used: Whether the worker was given a job.
    """

    options: WorkerOptions
    phase: Literal["starting", "ready", "backing off", "stopped"] = "starting"
    worker: Worker | None = None
    attempt: Attempt | None = None
    is_reserved: bool = False
    lent_to: Slot | None = None
    next: deque[Claim] = field(default_factory=deque)
    held: OrderedDict[str, None] = field(default_factory=OrderedDict)
    answered: float = 0.0
    starts: int = 0
    was_used: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)
    last_exit: str = ""

    @property
    def device(self) -> str:
        """The device."""
        return self.options.device

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def state(self) -> SlotState:
        """What it is doing."""
        if self.phase != "ready":
            return self.phase
        if self.attempt is not None:
            return "busy"
        return "lent" if self.lent_to is not None else "idle"

    @property
    def is_free(self) -> bool:
        """Whether it can be given a job."""
        return self.state == "idle" and not self.is_reserved

    @property
    def is_silent(self) -> bool:
        """Whether its worker has not answered for a while."""
        return self.phase == "ready" and time.monotonic() - self.answered > _SILENT_AFTER_S

    def runs(self, job: str, attempt: int) -> bool:
        """Whether this attempt is the one that runs here."""
        return self.attempt is not None and (self.attempt.job.id, self.attempt.job.attempts) == (job, attempt)

    def begin(self, attempt: Attempt) -> None:
        """Note what runs here now."""
        self.attempt = attempt
        self.was_used = True
        for other in attempt.lent:
            other.lent_to = self
            other.forget()
        for trait in attempt.job.traits:
            self.held.pop(trait, None)
            self.held[trait] = None
        while len(self.held) > _TRAITS_HELD:
            self.held.popitem(last=False)

    def take_attempt(self) -> Attempt | None:
        """Take away what runs here, and give back what was lent to it: only who gets it sees to its end."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.guard.close()
            for other in attempt.lent:
                other.lent_to = None
        return attempt

    def forget(self) -> None:
        """Have the worker forget cached values and unload models, after its job."""
        self.held.clear()
        if self.worker is not None:
            self.worker.send(FreeMemory())

    def status(self) -> WorkerStatus:
        """Say what its worker is doing."""
        return WorkerStatus(
            device=self.device,
            state=self.state,
            pid=self.worker.pid if self.worker is not None else None,
            job=self.attempt.job.id if self.attempt is not None else None,
            responding=not self.is_silent,
            memory_bytes=self.worker.memory_bytes if self.worker is not None else None,
            starts=self.starts,
            failures=self.failures,
            last_exit=self.last_exit,
        )


@contextlib.contextmanager
def reserved(slots: Collection[Slot]) -> Iterator[None]:
    """Keep slots from being given jobs or lent meanwhile."""
    for slot in slots:
        slot.is_reserved = True
    try:
        yield
    finally:
        for slot in slots:
            slot.is_reserved = False


def claim_next(store: JobStore, free: Sequence[tuple[str, tuple[str, ...]]], devices: int) -> tuple[int, Claim] | None:
    """Claim the next job for one of some free workers: the one that holds most of what the job needs.

    Args:
        free: Their devices, and the traits that they hold.
        devices: So many a job may need.

    Returns:
        The worker's place among the free ones, and the job.
    """
    run = store.database.execute
    run("SAVEPOINT claiming")
    try:
        place, claim = 0, store.claim(free[0][0], held=free[0][1], devices=devices)
        if claim is not None:
            fits = [len(set(claim.job.traits).intersection(held)) for _, held in free]
            place = fits.index(max(fits))
        if place != 0:  # another one fits better: undo, and let that one claim
            run("ROLLBACK TO claiming")
            claim = store.claim(free[place][0], held=free[place][1], devices=devices)
    except BaseException:
        run("ROLLBACK TO claiming")
        raise
    finally:
        run("RELEASE claiming")
    return None if claim is None else (place, claim)
