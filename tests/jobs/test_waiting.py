"""Submitting, stopping, moving and pausing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from graphengine.core.job import Job, JobLimits, NewJob
from graphengine.jobs.store import JobStore, QueueError, UnknownJob
from tests.jobs.made import DIED, claim, claimed_names, end, ended, new, submit


def test_a_submitted_job_is_as_it_was_given(store: JobStore) -> None:
    limits = JobLimits(wall_s=3, devices=2)
    job = submit(store, workflow='{"ü": 1}', traits=("model a",), name="Ü", priority=7, targets=("x",), limits=limits)
    assert store.get(job.id) == job
    assert Job.model_validate(job.model_dump()) == job
    assert (job.owner, job.name, job.priority, job.targets, job.limits, job.traits) == (
        ("ada", "Ü", 7, ("x",), limits, ("model a",))
    )
    assert (job.state, job.attempts, job.error, job.outputs, job.values) == ("queued", 0, None, (), {})
    assert store.workflow_of(job.id) == '{"ü": 1}'


def test_an_idempotency_key_gives_the_first_job_to_its_owner_alone(store: JobStore) -> None:
    first, is_new = store.submit(new(idempotency_key="k", name="first"))
    assert is_new
    assert store.submit(new(idempotency_key="k", name="again")) == (first, False)
    other, is_new = store.submit(new("bob", idempotency_key="k"))
    assert is_new
    assert other.id != first.id
    assert submit(store).id != submit(store).id


def test_an_idempotency_key_gives_a_job_that_ended(store: JobStore) -> None:
    job = ended(store, idempotency_key="k")
    assert store.submit(new(idempotency_key="k")) == (job, False)


def test_equal_documents_are_kept_once(store: JobStore) -> None:
    submit(store)
    submit(store, "bob")
    assert store.database.execute("SELECT count(*) FROM documents").fetchone() == (1,)


def test_a_job_of_another_owner_is_unknown(store: JobStore) -> None:
    job = submit(store)
    uses: list[Callable[[], object]] = [
        lambda: store.get(job.id, "bob"),
        lambda: store.get("nothing"),
        lambda: store.workflow_of(job.id, "bob"),
        lambda: store.cancel(job.id, "bob"),
        lambda: store.retry(job.id, "bob"),
        lambda: store.reorder(job.id, owner="bob"),
        lambda: store.log_of(job.id, "bob"),
        lambda: store.events_after(job.id, 0, "bob"),
    ]
    for use in uses:
        with pytest.raises(UnknownJob):
            use()
    assert store.get(job.id, "ada") == job


def test_a_retry_repeats_what_was_asked(store: JobStore) -> None:
    old = ended(store, workflow='{"a":1}', traits=("m",), name="n", priority=3, targets=("t",), idempotency_key="k")
    again = store.retry(old.id)
    same = ("owner", "name", "priority", "targets", "limits", "traits", "workflow_hash")
    assert [getattr(again, name) for name in same] == [getattr(old, name) for name in same]
    assert (again.state, again.attempts, again.retry_of, again.outputs) == ("queued", 0, old.id, ())
    assert again.id != old.id
    with pytest.raises(QueueError, match="queued"):
        store.retry(again.id)


def test_a_retry_goes_to_the_end(store: JobStore) -> None:
    old = ended(store, name="old")
    submit(store, name="waits")
    store.retry(old.id)
    assert claimed_names(store) == ["waits", "old"]


def test_a_waiting_job_is_cancelled_at_once(store: JobStore) -> None:
    job = store.cancel(submit(store).id)
    assert (job.state, job.cancelling) == ("cancelled", False)
    assert job.finished is not None
    assert store.claim("cpu:0") is None


def test_a_running_job_is_marked_and_ends_as_its_worker_says(store: JobStore) -> None:
    job = claim(store, devices=submit(store).limits.devices)
    marked = store.cancel(job.id)
    assert (marked.state, marked.cancelling, marked.finished) == ("running", True, None)
    assert store.cancel(job.id) == marked
    over = end(store, job, "cancelled")
    assert (over.state, over.cancelling) == ("cancelled", False)


@pytest.mark.parametrize("loses", ["worker", "server", "stop"])
def test_a_job_that_is_being_cancelled_is_never_queued_again(store: JobStore, loses: str) -> None:
    submit(store)
    job = claim(store)
    store.cancel(job.id)
    if loses == "worker":
        store.worker_lost(job.id, 1, DIED, None)
    elif loses == "stop":
        store.requeue(job.id, 1)
    else:
        store.recover()
    over = store.get(job.id)
    assert (over.state, over.cancelling) == ("cancelled", False)
    assert over.finished is not None


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_a_job_that_ended_is_not_cancelled(store: JobStore, state: str) -> None:
    submit(store)
    job = end(store, claim(store), state)  # type: ignore[arg-type]  # one of three
    with pytest.raises(QueueError, match=state):
        store.cancel(job.id)
    assert store.get(job.id) == job


def test_a_job_moves_before_another_and_to_the_end(store: JobStore) -> None:
    jobs = {name: submit(store, name=name).id for name in "abcd"}
    store.reorder(jobs["d"], before=jobs["b"])
    store.reorder(jobs["a"])
    assert claimed_names(store) == ["d", "b", "c", "a"]


def test_a_new_job_goes_after_those_that_were_moved_to_the_end(store: JobStore) -> None:
    jobs = [submit(store, name=name).id for name in "abc"]
    for _ in range(3):
        store.reorder(jobs[0])
        store.reorder(jobs[1])
    submit(store, name="new")
    assert claimed_names(store) == ["c", "a", "b", "new"]


def test_many_moves_before_the_same_job_keep_their_order(store: JobStore) -> None:
    first, last = submit(store, name="first").id, submit(store, name="last").id
    others = [submit(store, name=f"{number}").id for number in range(4)]
    for number in range(200):
        store.reorder(others[number % 4], before=last)
    assert claimed_names(store) == ["first", "0", "1", "2", "3", "last"]
    assert store.get(first).state == "running"


def test_many_moves_to_the_front_keep_their_order(store: JobStore) -> None:
    jobs = [submit(store, name=f"{number}").id for number in range(3)]
    for number in range(300):
        store.reorder(jobs[(number + 1) % 3], before=jobs[number % 3])
    assert claimed_names(store) == ["0", "2", "1"]


def test_a_job_that_ran_comes_back_to_its_place_when_positions_were_spread(store: JobStore) -> None:
    for name in "abcdef":
        end(store, claim(store)) if name < "d" and submit(store, name=name) else submit(store, name=name)
    running = claim(store)
    waiting = [job.id for job in store.queue() if job.state == "queued"]
    last = submit(store, name="last").id
    for number in range(120):
        store.reorder(waiting[number % 2], before=last)
    store.requeue(running.id, 1)
    assert claimed_names(store) == ["d", "e", "f", "last"]


def test_a_move_goes_directly_before_a_job_whatever_others_do(store: JobStore) -> None:
    first, second, third = (submit(store, name=name) for name in "abc")
    running = claim(store)
    assert running.id == first.id
    store.reorder(third.id, before=second.id)
    store.requeue(first.id, 1)
    moved = submit(store, name="moved")
    store.reorder(moved.id, before=third.id)
    assert claimed_names(store) == ["a", "moved", "c", "b"]


def test_a_job_takes_another_priority(store: JobStore) -> None:
    low, high = submit(store, name="low"), submit(store, name="high", priority=5)
    assert store.reorder(low.id, priority=9).priority == 9
    assert claimed_names(store) == ["low", "high"]
    assert store.get(high.id).priority == 5


def test_moving_before_a_job_takes_its_priority(store: JobStore) -> None:
    submit(store, name="first", priority=5)
    high, low = submit(store, name="high", priority=5), submit(store, name="low")
    assert store.reorder(low.id, before=high.id).priority == 5
    assert claimed_names(store) == ["first", "low", "high"]


def test_what_cannot_be_moved_says_so(store: JobStore) -> None:
    waits, of_bob = submit(store), submit(store, "bob")
    over = store.cancel(submit(store).id)
    before = store.get(waits.id)
    for job, other in ((waits, waits), (waits, of_bob), (waits, over), (over, waits)):
        with pytest.raises(QueueError):
            store.reorder(job.id, before=other.id)
    with pytest.raises(UnknownJob):
        store.reorder(waits.id, before=of_bob.id, owner="ada")
    assert store.get(waits.id) == before


def test_a_paused_queue_hands_out_nothing(store: JobStore) -> None:
    submit(store)
    assert not store.paused
    store.pause(True)
    assert store.paused
    assert store.claim("cpu:0") is None
    store.pause(False)
    claim(store)


def test_a_long_queue_makes_nothing_slow(store: JobStore) -> None:
    jobs = [submit(store, name=str(number)).id for number in range(1000)]
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 100
        return 0

    store.database.set_progress_handler(count, 100)
    submit(store)
    store.reorder(jobs[-1], before=jobs[0])
    store.reorder(jobs[1])
    assert claim(store).name == "999"
    store.database.set_progress_handler(None, 0)
    assert steps < 2000  # steps of SQLite's virtual machine, of which each look at a job takes several


def test_an_estimate_is_what_the_workflow_took_or_else_its_nodes(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submit(store, workflow="1").estimate_s is None
    job = claim(store)
    assert job.started is not None
    began = job.started
    monkeypatch.setattr(time, "time", lambda: began + 10)
    end(store, job, node_seconds={"Blur": 2.0, "Save": 1.0})

    def estimate(workflow: str, *node_types: str) -> float | None:
        return store.submit(NewJob(owner="ada", workflow=workflow, node_types=node_types))[0].estimate_s

    assert estimate("1", "Blur") == pytest.approx(10)
    assert estimate("2", "Blur", "Blur", "Save", "Unknown") == pytest.approx(5)
    assert estimate("3", "Unknown") is None
    assert store.retry(job.id).estimate_s == pytest.approx(10)  # though nothing was known when it was submitted


def test_an_estimate_follows_the_newest_times(store: JobStore) -> None:
    for seconds in (10.0, 20.0):
        submit(store)
        end(store, claim(store), node_seconds={"Blur": seconds})
    assert store.timings(["node Blur", "node Other"]) == {"node Blur": pytest.approx(13)}
    assert store.timings([]) == {}


def test_failures_measure_nothing(store: JobStore) -> None:
    submit(store)
    end(store, claim(store), "failed", node_seconds={"Blur": 1.0})
    assert store.timings(["node Blur"]) == {}


def test_settings_are_kept(store: JobStore) -> None:
    assert store.meta("a") is None
    store.set_meta("a", "1")
    store.set_meta("a", "2")
    assert store.meta("a") == "2"
