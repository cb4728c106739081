"""Handing jobs to workers, and the ends of attempts."""

from __future__ import annotations

import pytest

from graphengine.core.job import JobLimits
from graphengine.jobs.passing import seconds_until_free
from graphengine.jobs.store import MOST_DEATHS, MOST_RESTARTS, JobStore, Outcome
from tests.jobs.made import DIED, claim, claimed_names, end, submit, written


def test_a_claim_gives_the_job_and_its_document(store: JobStore) -> None:
    job = submit(store, workflow='{"a":1}')
    claimed = store.claim("cuda:0")
    assert claimed is not None
    assert claimed.workflow == '{"a":1}'
    assert (claimed.job.id, claimed.job.state, claimed.job.attempts) == (job.id, "running", 1)
    assert claimed.job.worker == "cuda:0"
    assert claimed.job == store.get(job.id)
    assert store.claim("cuda:0") is None


def test_higher_priorities_go_first_and_then_who_came_first(store: JobStore) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", -5), ("d", 5), ("e", 0)):
        submit(store, name=name, priority=priority)
    assert claimed_names(store) == ["b", "d", "a", "e", "c"]


def test_owners_take_turns(store: JobStore) -> None:
    for number in range(3):
        submit(store, "ada", name=f"a{number}")
    for owner in ("bob", "cyd"):
        submit(store, owner, name=owner)
    assert claimed_names(store) == ["a0", "bob", "cyd", "a1", "a2"]


def test_an_owner_who_comes_later_goes_before_one_who_was_served(store: JobStore) -> None:
    for number in range(3):
        submit(store, "ada", name=f"a{number}")
    assert claim(store).name == "a0"
    submit(store, "zoe", name="z")
    assert claimed_names(store) == ["z", "a1", "a2"]


def test_a_higher_priority_goes_before_turns(store: JobStore) -> None:
    for number in range(2):
        submit(store, "ada", name=f"a{number}", priority=1)
    submit(store, "bob", name="b")
    assert claimed_names(store) == ["a0", "a1", "b"]


def test_a_worker_gets_what_fits_what_it_holds_best(store: JobStore) -> None:
    for name, traits in (("a", ("x",)), ("b", ("y",)), ("c", ("y", "z")), ("d", ("y", "z"))):
        submit(store, name=name, traits=traits)
    assert claim(store, held=["y", "z"]).name == "c"
    assert claim(store, held=["w"]).name == "a"
    assert claim(store).name == "b"


def test_only_the_first_32_are_looked_at(store: JobStore) -> None:
    for number in range(33):
        submit(store, name=f"{number}", traits=("held",) if number == 32 else ())
    assert claim(store, held=["held"]).name == "0"
    assert claim(store, held=["held"]).name == "32"


def test_fitting_jobs_pass_the_first_one_no_more_than_32_times(store: JobStore) -> None:
    submit(store, name="other")
    for number in range(40):
        submit(store, name=f"{number}", traits=("held",))
    names = claimed_names(store, held=["held"])
    assert names.index("other") == 32


def test_a_first_job_that_needs_more_devices_has_them_freed_for_it(store: JobStore) -> None:
    submit(store, name="large", limits=JobLimits(devices=2))
    submit(store, name="small", traits=("held",))
    for _ in range(40):
        assert store.claim("cpu:0", held=["held"], devices=1) is None
    assert claim(store, held=["held"], devices=2).name == "small"  # asking was no passing
    assert claim(store, devices=2).name == "large"


def test_a_fitting_job_that_needs_more_devices_does_not_keep_the_first_one_back(store: JobStore) -> None:
    submit(store, name="small")
    submit(store, name="large", traits=("held",), limits=JobLimits(devices=2))
    assert claim(store, held=["held"], devices=1).name == "small"


def test_jobs_that_end_in_time_pass_one_that_waits_for_devices(store: JobStore) -> None:
    """
    cpu:0  █ running for 100 s, so perhaps for 100 s more     waiting: large (2 devices), three behind it
    """
    submit(store, name="running")
    claim(store)
    for name, estimate in (("large", 1.0), ("lengthy", 150.0), ("brief", 80.0), ("unknown", None)):
        submit(store, "ben", name=name, limits=JobLimits(devices=2 if name == "large" else 1))
        store.database.execute("UPDATE jobs SET estimate_s = ? WHERE name = ?", (estimate, name))
    assert store.claim("cpu:1", devices=1) is None  # what has run for a moment may end in a moment
    store.database.execute("UPDATE jobs SET started = started - 100 WHERE name = 'running'")

    assert claimed_names(store, devices=1) == ["brief", "unknown"]
    assert claimed_names(store, devices=2) == ["large", "lengthy"]


def test_no_more_than_32_jobs_of_unknown_length_pass_one_that_waits_for_devices(store: JobStore) -> None:
    submit(store, name="running")
    claim(store)
    store.database.execute("UPDATE jobs SET started = started - 1000")
    submit(store, name="large", limits=JobLimits(devices=2))
    for _ in range(40):
        submit(store, name="unknown")
    for _ in range(32):
        assert end(store, claim(store, devices=1)).name == "unknown"
    assert store.claim("cpu:1", devices=1) is None


@pytest.mark.parametrize(
    ("running", "missing", "seconds"),
    [
        ([], 1, 0.0),
        ([(90.0, 30.0, 1)], 1, 20.0),
        ([(90.0, None, 1), (95.0, None, 1)], 1, 5.0),
        ([(90.0, None, 1), (95.0, None, 1)], 2, 10.0),
        ([(90.0, 5.0, 2)], 2, 10.0),
        ([(90.0, None, 1)], 2, 0.0),
    ],
    ids=["nothing runs", "measured", "as long again", "both", "overdue", "not enough"],
)
def test_when_devices_are_free_is_told_from_what_runs(
    running: list[tuple[float, float | None, int]], missing: int, seconds: float
) -> None:
    assert seconds_until_free(running, missing, now=100.0) == seconds


def test_an_end_is_kept(store: JobStore) -> None:
    submit(store)
    job = end(store, claim(store), outputs=[written()], values={"loss": 0.5}, log=("w.log", 3, 9))
    assert job == store.get(job.id)
    assert (job.state, job.outputs, job.values) == ("done", (written(),), {"loss": 0.5})
    assert job.finished is not None
    assert store.log_of(job.id) == ("w.log", 3, 9)


def test_what_a_lost_attempt_says_late_is_dropped(store: JobStore) -> None:
    submit(store)
    first = claim(store)
    store.worker_lost(first.id, 1, DIED, None)
    second = claim(store)
    assert (second.id, second.attempts) == (first.id, 2)
    late = Outcome("done", outputs=[written()], node_seconds={"Blur": 1.0})
    assert store.finish(first.id, 1, late) is None
    assert store.worker_lost(first.id, 1, DIED, None) is None
    assert store.requeue(first.id, 1) is None
    assert store.get(first.id) == second
    assert store.assets(None) == []
    assert end(store, second).state == "done"
    assert store.finish(first.id, 2, Outcome("failed")) is None
    assert store.get(first.id).state == "done"


def test_a_job_whose_worker_dies_again_and_again_is_parked(store: JobStore) -> None:
    submit(store)
    states = []
    for attempt in range(1, MOST_DEATHS + 1):
        job = claim(store)
        lost = store.worker_lost(job.id, attempt, DIED, ("w.log", 0, attempt))
        assert lost is not None
        assert (lost.deaths, lost.worker, lost.error) == (attempt, None, DIED)
        assert (lost.finished is not None) == lost.is_over
        states.append(lost.state)
    assert states == ["queued", "queued", "poison"]
    assert store.claim("cpu:0") is None
    assert store.log_of(job.id) == ("w.log", 0, 3)


def test_a_death_is_forgotten_with_success(store: JobStore) -> None:
    submit(store)
    store.worker_lost(claim(store).id, 1, DIED, None)
    job = end(store, claim(store))
    assert (job.state, job.error, job.deaths, job.attempts) == ("done", None, 1, 2)


def test_a_lost_job_is_the_next_again(store: JobStore) -> None:
    submit(store, name="a")
    submit(store, name="b")
    store.worker_lost(claim(store).id, 1, DIED, None)
    assert claimed_names(store) == ["a", "b"]


def test_what_ran_when_the_server_ended_is_queued_again(store: JobStore) -> None:
    for name in "abc":
        submit(store, name=name)
    claim(store)
    claim(store)
    assert [(job.name, job.state, job.restarts, job.deaths) for job in store.recover()] == [
        ("a", "queued", 1, 0),
        ("b", "queued", 1, 0),
    ]
    assert store.recover() == []
    assert claimed_names(store) == ["a", "b", "c"]


def test_a_job_under_which_the_server_ended_20_times_is_failed(store: JobStore) -> None:
    submit(store)
    for restarts in range(1, MOST_RESTARTS):
        claim(store)
        (job,) = store.recover()
        assert (job.state, job.restarts) == ("queued", restarts)
    claim(store)
    (job,) = store.recover()
    assert (job.state, job.restarts) == ("failed", 20)
    assert job.finished is not None
    assert job.error is not None
    assert job.error.code == "server_stopped"
    assert "20 times" in job.error.message
    assert store.claim("cpu:0") is None


def test_a_job_that_is_given_back_counts_as_no_death(store: JobStore) -> None:
    submit(store, name="a")
    submit(store, name="b")
    job = claim(store)
    back = store.requeue(job.id, 1)
    assert back is not None
    assert (back.state, back.deaths, back.restarts, back.worker, back.attempts) == ("queued", 0, 0, None, 1)
    assert claimed_names(store) == ["a", "b"]


def test_heartbeats_are_of_running_attempts_alone(store: JobStore) -> None:
    submit(store)
    job = claim(store)
    beats = "SELECT heartbeat FROM jobs WHERE id = ?"
    (at_first,) = store.database.execute(beats, (job.id,)).fetchone()
    store.heartbeat([(job.id, 2), ("nothing", 1)])
    assert store.database.execute(beats, (job.id,)).fetchone() == (at_first,)
    store.heartbeat([(job.id, 1)])
    assert store.database.execute(beats, (job.id,)).fetchone() > (at_first,)


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_no_attempt_ends_twice(store: JobStore, state: str) -> None:
    submit(store)
    job = end(store, claim(store), state)  # type: ignore[arg-type]  # one of three
    assert store.finish(job.id, 1, Outcome("done")) is None
    assert store.worker_lost(job.id, 1, DIED, None) is None
    assert store.requeue(job.id, 1) is None
    assert store.recover() == []
    assert store.get(job.id) == job
