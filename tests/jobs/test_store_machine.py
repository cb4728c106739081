"""Any history of jobs, against a model of plain lists."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from graphengine.core.job import ENDED, Job
from graphengine.jobs.store import MOST_DEATHS, MOST_RESTARTS, JobStore, Outcome, QueueError, UnknownJob
from tests.jobs.made import DIED, new

OWNERS = ("ada", "bob", "cyd")


@dataclass
class Known:
    """What the model knows of a job."""

    id: str
    owner: str
    priority: int
    traits: tuple[str, ...]
    state: str = "queued"
    attempts: int = 0
    deaths: int = 0
    restarts: int = 0
    cancelling: bool = False
    passed: int = 0

    def stop_running(self, state: str) -> None:
        """Leave the worker: for this state, unless somebody cancelled it meanwhile."""
        self.state, self.cancelling = "cancelled" if self.cancelling else state, False


class QueueMachine(RuleBasedStateMachine):
    """The store beside a model: jobs in the order in which they were submitted, and in the order in which they go."""

    jobs: Bundle[str] = Bundle("jobs")
    claims: Bundle[tuple[str, int]] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = JobStore.open(Path(self.folder.name) / "queue.sqlite")
        self.store.database.execute("BEGIN")
        self.known: dict[str, Known] = {}
        self.order: list[str] = []
        self.served: dict[str, int] = {}
        self.ends: dict[str, str] = {}
        self.paused = False

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def add(self, job: Job) -> str:
        self.known[job.id] = Known(job.id, job.owner, job.priority, job.traits)
        self.order.append(job.id)
        return job.id

    def waiting(self, **given: object) -> list[Known]:
        """Give what waits, in order."""
        waiting = [self.known[job] for job in self.order if job in self.known and self.known[job].state == "queued"]
        return [each for each in waiting if all(getattr(each, name) == value for name, value in given.items())]

    @rule(
        target=jobs,
        owner=st.sampled_from(OWNERS),
        priority=st.sampled_from([0, 0, 0, 1]),
        traits=st.sampled_from([(), ("x",), ("x", "y")]),
    )
    def submit(self, owner: str, priority: int, traits: tuple[str, ...]) -> str:
        job, is_new = self.store.submit(new(owner, priority=priority, traits=traits))
        assert is_new
        return self.add(job)

    @rule(target=claims, worker=st.sampled_from(["a", "b"]), held=st.sampled_from([(), ("x",), ("y",)]))
    def claim(self, worker: str, held: tuple[str, ...]) -> tuple[str, int] | MultipleResults[tuple[str, int]]:
        claimed = self.store.claim(worker, held=held)
        expected = None if self.paused else self.next_job(frozenset(held))
        assert (claimed and claimed.job.id) == (expected and expected.id)
        if claimed is None or expected is None:
            return multiple()
        assert claimed.job.worker == worker
        expected.state, expected.attempts = "running", expected.attempts + 1
        self.served[expected.owner] = max(self.served.values(), default=0) + 1
        return claimed.job.id, claimed.job.attempts

    def next_job(self, held: frozenset[str]) -> Known | None:
        waiting = self.waiting()
        if not waiting:
            return None
        priority = max(job.priority for job in waiting)
        owners = {job.owner for job in waiting if job.priority == priority}
        owner = min(owners, key=lambda owner: (self.served.get(owner, 0), owner))
        candidates = self.waiting(owner=owner, priority=priority)[:32]
        first = candidates[0]
        if not held or first.passed >= 32:
            return first
        chosen = max(candidates, key=lambda job: len(held.intersection(job.traits)))
        first.passed += chosen is not first
        return chosen

    def running(self, claim: tuple[str, int]) -> Known | None:
        """Give the job of a claim, if that attempt runs."""
        job = self.known.get(claim[0])
        return job if job is not None and job.state == "running" and job.attempts == claim[1] else None

    @rule(claim=claims, state=st.sampled_from(["done", "failed", "cancelled"]))
    def finish(self, claim: tuple[str, int], state: str) -> None:
        ended = self.store.finish(*claim, Outcome(state))  # type: ignore[arg-type]  # one of three
        job = self.running(claim)
        assert (ended is None) == (job is None)
        if job is not None:
            job.state, job.cancelling = state, False

    @rule(claim=claims)
    def lose(self, claim: tuple[str, int]) -> None:
        lost = self.store.worker_lost(*claim, DIED, None)
        job = self.running(claim)
        assert (lost is None) == (job is None)
        if job is not None:
            job.deaths += 1
            job.stop_running("poison" if job.deaths >= MOST_DEATHS else "queued")

    @rule(claim=consumes(claims))
    def give_back(self, claim: tuple[str, int]) -> None:
        given = self.store.requeue(*claim)
        job = self.running(claim)
        assert (given is None) == (job is None)
        if job is not None:
            job.stop_running("queued")

    @rule()
    def recover(self) -> None:
        ran = {job.id for job in self.known.values() if job.state == "running"}
        assert {job.id for job in self.store.recover()} == ran
        for job in (self.known[job] for job in ran):
            job.restarts += 1
            job.stop_running("failed" if job.restarts >= MOST_RESTARTS else "queued")

    def happens(self, change: Callable[[], Job], refusal: type[QueueError] | None) -> Job | None:
        """Try a change; None if it is refused, as it must be."""
        if refusal is None:
            return change()
        with pytest.raises(refusal) as refused:
            change()
        assert refused.type is refusal
        return None

    def refuses(self, *jobs: str, state: tuple[str, ...]) -> type[QueueError] | None:
        """Say with what a change is refused that needs each job in one of these states."""
        for job in jobs:
            if job not in self.known:
                return UnknownJob
            if self.known[job].state not in state:
                return QueueError
        return None

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        if self.happens(lambda: self.store.cancel(job), self.refuses(job, state=("queued", "running"))):
            known = self.known[job]
            known.state, known.cancelling = ("running", True) if known.state == "running" else ("cancelled", False)

    @rule(target=jobs, job=jobs)
    def retry(self, job: str) -> str | MultipleResults[str]:
        again = self.happens(lambda: self.store.retry(job), self.refuses(job, state=ENDED))
        if again is None:
            return multiple()
        assert again.retry_of == job
        return self.add(again)

    @rule(job=jobs, priority=st.sampled_from([None, 0, 1]))
    def move_to_end(self, job: str, priority: int | None) -> None:
        refusal = self.refuses(job, state=("queued",))
        if self.happens(lambda: self.store.reorder(job, priority=priority), refusal):
            self.known[job].priority = self.known[job].priority if priority is None else priority
            self.order.remove(job)
            self.order.append(job)

    @rule(job=jobs, before=jobs, times=st.sampled_from([1, 1, 60]))
    def move_before(self, job: str, before: str, times: int) -> None:
        refusal = self.refuses(job, before, state=("queued",))
        if refusal is None and (job == before or self.known[job].owner != self.known[before].owner):
            refusal = QueueError
        for _ in range(times):
            self.happens(lambda: self.store.reorder(job, before=before), refusal)
        if refusal is None:
            self.known[job].priority = self.known[before].priority
            self.order.remove(job)
            self.order.insert(self.order.index(before), job)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.store.pause(paused)
        self.paused = paused

    @rule(keep=st.integers(0, 4))
    def prune(self, keep: int) -> None:
        over = [job.id for job in self.known.values() if job.state in ENDED]
        forgotten = over[: max(len(over) - keep, 0)]
        assert self.store.prune(keep=keep) == len(forgotten)
        for job in forgotten:
            del self.known[job]

    @invariant()
    def jobs_are_as_known(self) -> None:
        compared = ("id", "owner", "priority", "state", "attempts", "deaths", "restarts", "cancelling")
        found = self.store.page(limit=1000).jobs[::-1]
        assert [[getattr(job, name) for name in compared] for job in found] == [
            [getattr(job, name) for name in compared] for job in self.known.values()
        ]
        for job in found:
            assert (job.finished is not None) == job.is_over
            if job.is_over:
                assert self.ends.setdefault(job.id, job.state) == job.state
            else:
                assert job.id not in self.ends

    @invariant()
    def the_queue_is_in_order(self) -> None:
        listed = [job.id for job in self.store.queue() if job.state == "queued"]
        assert listed == [job.id for job in sorted(self.waiting(), key=lambda job: -job.priority)]


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
