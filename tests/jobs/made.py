"""Jobs and outcomes as tests need them."""

from __future__ import annotations

from typing import Any, Literal

from graphengine.core.job import Job, JobError, JobOutput, JobRequest, NewJob
from graphengine.jobs.store import JobStore, Outcome

DIED = JobError(code="worker_died", message="it died.")


def new(
    owner: str = "ada", *, workflow: str = "{}", traits: tuple[str, ...] = (), **request: Any
) -> NewJob:  # Any: fields
    return NewJob(owner=owner, workflow=workflow, traits=traits, request=JobRequest.model_validate(request))


def submit(store: JobStore, owner: str = "ada", **given: Any) -> Job:  # Any: as above
    job, is_new = store.submit(new(owner, **given))
    assert is_new
    return job


def claim(store: JobStore, **given: Any) -> Job:  # Any: claim's arguments
    claimed = store.claim("cpu:0", **given)
    assert claimed is not None
    return claimed.job


def claimed_names(store: JobStore, **given: Any) -> list[str]:  # Any: as above
    """Claim all that waits."""
    names = []
    while (claimed := store.claim("cpu:0", **given)) is not None:
        names.append(claimed.job.name)
    return names


def end(
    store: JobStore, job: Job, state: Literal["done", "failed", "cancelled"] = "done", **outcome: Any
) -> Job:  # Any: as above
    ended = store.finish(job.id, job.attempts, Outcome(state, **outcome))
    assert ended is not None
    return ended


def ended(store: JobStore, owner: str = "ada", **given: Any) -> Job:  # Any: as above
    """Submit a job and run it; nothing else may wait."""
    job = submit(store, owner, **given)
    taken = claim(store)
    assert taken.id == job.id
    return end(store, taken)


def written(name: str = "a.png", asset: str = "aa") -> JobOutput:
    return JobOutput(node="save", path=name, asset=asset, size_bytes=7, media_type="image/png")
