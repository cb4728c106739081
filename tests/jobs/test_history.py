"""Pages, search, events and pruning."""

from __future__ import annotations

import json
import time

import pytest

from graphengine.jobs.store import EventBatch, JobPage, JobStore
from tests.jobs.made import claim, end, ended, submit, written


def batch(sequence: int, first: int, last: int) -> EventBatch:
    body = json.dumps([{"number": number, "type": "t"} for number in range(first, last + 1)])
    return EventBatch(sequence, first, last, body)


def numbers(store: JobStore, job_id: str, after: int = 0) -> list[int]:
    return [event["number"] for event in store.events_after(job_id, after)]


def test_pages_have_no_gaps_or_repeats_while_jobs_are_added(store: JobStore) -> None:
    jobs = [submit(store).id for _ in range(25)]
    seen, page = [], store.page(limit=10)
    while True:
        seen += [job.id for job in page.jobs]
        if page.next is None:
            break
        submit(store)
        page = store.page(before=page.next, limit=10)
    assert seen == jobs[::-1]


def test_a_full_last_page_is_the_last(store: JobStore) -> None:
    for _ in range(4):
        submit(store)
    page = store.page(limit=2)
    assert page.next is not None
    assert store.page(before=page.next, limit=2).next is None
    assert store.page(owner="bob") == JobPage((), None)


def test_pages_are_of_an_owner_and_of_states(store: JobStore) -> None:
    done = ended(store)
    of_bob = ended(store, "bob")
    waits = submit(store)
    cancelled = store.cancel(submit(store).id)

    def found(**query: object) -> list[str]:
        return [job.id for job in store.page(**query).jobs]  # type: ignore[arg-type]  # page's arguments

    assert found(owner="ada") == [cancelled.id, waits.id, done.id]
    assert found(states=["done"]) == [of_bob.id, done.id]
    assert found(owner="ada", states=["done", "queued"]) == [waits.id, done.id]


@pytest.mark.parametrize("text", ["Österreich", "österreich", "ÖSTER", "reich 50%_"])
def test_search_finds_parts_of_names_in_whatever_case(store: JobStore, text: str) -> None:
    submit(store, name="Norwegen 500")
    job = submit(store, name="Bild Österreich 50%_")
    assert store.page(text=text).jobs == (job,)


def test_search_finds_ids_and_quotes_nothing(store: JobStore) -> None:
    job = submit(store, name="a")
    submit(store, name="b")
    assert store.page(text=job.id).jobs == (job,)
    for text in ("%", "_", "'", '" OR 1', "nothing"):
        assert store.page(text=text).jobs == ()


def test_the_queue_is_what_runs_then_what_waits(store: JobStore) -> None:
    ended(store)
    a, b, c = submit(store), submit(store), submit(store, priority=1)
    assert claim(store).id == c.id
    assert [job.id for job in store.queue()] == [c.id, a.id, b.id]
    assert store.queue("bob") == []
    assert len(store.queue(limit=2)) == 2


def test_jobs_are_counted_by_state(store: JobStore) -> None:
    ended(store)
    submit(store, "bob")
    nothing = dict.fromkeys(("queued", "running", "done", "failed", "cancelled", "poison"), 0)
    assert store.counts() == nothing | {"done": 1, "queued": 1}
    assert store.counts("bob") == nothing | {"queued": 1}


def test_a_job_without_a_log_has_none(store: JobStore) -> None:
    assert store.log_of(submit(store).id) is None


def test_events_after_a_number_are_given(store: JobStore) -> None:
    job, other = submit(store), submit(store)
    store.add_events([batch(job.sequence, 1, 3), batch(other.sequence, 1, 1), batch(job.sequence, 4, 5)])
    assert numbers(store, job.id) == [1, 2, 3, 4, 5]
    assert numbers(store, job.id, 2) == [3, 4, 5]
    assert numbers(store, job.id, 5) == []
    assert numbers(store, other.id) == [1]
    assert store.get(job.id).last_event == 5


def test_events_that_are_given_again_are_kept_once(store: JobStore) -> None:
    job = submit(store)
    for first, last in ((1, 3), (1, 3), (1, 5), (4, 5), (2, 2)):
        store.add_events([batch(job.sequence, first, last)])
    assert numbers(store, job.id) == [1, 2, 3, 4, 5]
    assert numbers(store, job.id, 3) == [4, 5]
    assert store.get(job.id).last_event == 5


def test_events_of_a_forgotten_job_are_dropped(store: JobStore) -> None:
    job = ended(store)
    store.prune(keep=0)
    store.add_events([batch(job.sequence, 1, 1)])
    assert store.database.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_prune_keeps_the_newest_and_all_that_has_not_ended(store: JobStore) -> None:
    over = [ended(store, workflow=str(number)).id for number in range(5)]
    submit(store, name="running")
    running = claim(store).id
    waits = submit(store).id
    assert store.prune(keep=2) == 3
    assert store.prune(keep=2) == 0
    assert [job.id for job in store.page().jobs] == [waits, running, over[4], over[3]]


def test_prune_forgets_what_ended_long_ago(store: JobStore) -> None:
    old, young = ended(store), ended(store)
    store.database.execute("UPDATE jobs SET finished = ? WHERE id = ?", (time.time() - 100, old.id))
    assert store.prune(older_than_s=50) == 1
    assert [job.id for job in store.page().jobs] == [young.id]
    assert store.prune() == 0


@pytest.mark.parametrize("owner", ["ada", ""])
def test_prune_is_of_one_owner_or_of_all(store: JobStore, owner: str) -> None:
    ended(store, "bob")
    ended(store, owner)
    assert store.prune(keep=0, owner=owner) == 1
    assert [job.owner for job in store.page().jobs] == ["bob"]
    assert store.prune(keep=0) == 1


def test_prune_forgets_all_that_belongs_to_a_job(store: JobStore) -> None:
    old = submit(store, workflow="old")
    old = end(store, claim(store), outputs=[written("old.png", "0d"), written("both.png", "b0")])
    kept = submit(store, workflow="kept")
    kept = end(store, claim(store), outputs=[written("both.png", "b0")])
    store.add_asset("ada", written("up.png", "0d"), name="up.png", source="upload")
    store.add_events([batch(old.sequence, 1, 2), batch(kept.sequence, 1, 2)])
    assert store.prune(keep=1) == 1
    assert numbers(store, kept.id) == [1, 2]
    assert store.workflow_of(kept.id) == "kept"
    tables = [
        store.database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("events", "documents")
    ]
    assert tables == [1, 1]
    assert [(each.asset, each.source, each.job) for each in store.assets("ada")] == [
        ("0d", "upload", None),
        ("b0", "output", kept.id),
    ]


def test_sequences_are_never_given_again(store: JobStore) -> None:
    job = ended(store)
    store.prune(keep=0)
    assert submit(store).sequence > job.sequence


def test_prune_is_quick_with_many_jobs(store: JobStore) -> None:
    ended(store)
    many = 20_000
    names = "owner, name, state, priority, position, limits, traits, workflow_hash, created, started, finished, outputs"
    store.database.execute(
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        f"INSERT INTO jobs (id, {names}) SELECT 'j' || i, {names} FROM jobs, n",
        (many,),
    )
    store.database.execute("INSERT INTO events SELECT sequence, 1, '[]' FROM jobs")
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store.database.set_progress_handler(count, 10_000)
    assert store.prune(keep=10) == many - 9
    store.database.set_progress_handler(None, 0)
    assert steps * 10_000 < 300 * many  # virtual machine's steps: of the same order as rows, on a busy machine too
    assert store.database.execute("SELECT count(*) FROM events").fetchone() == (10,)
