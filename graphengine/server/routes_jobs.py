"""Jobs: submit, look, follow, stop, try again, and the queue that they wait in."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from graphengine.core.job import Job, JobState
from graphengine.jobs.store import JobStore
from graphengine.server.calls import ANY_OBJECT, Call, NoParameters, Refused, Route, checked
from graphengine.server.event_stream import stream_events, wants_stream
from graphengine.server.services import Services
from graphengine.server.submission import Submission, prepare, problems_as_json

__all__ = ["ROUTES", "JobAnswer", "WaitQuery", "submit", "when_ended"]

_LONGEST_WAIT_S = 60.0
_MOST_LOG_BYTES = 1024 * 1024


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class JobAnswer(_Answer):
    """A job.

    Attributes:
        is_new: False where the idempotency key was used before: it is the job of then.
        warnings: What stops nothing.
    """

    job: Job
    is_new: bool = True
    warnings: list[dict[str, Any]] = []  # Any: JSON


class JobPageAnswer(_Answer):
    """A page of jobs, newest first; ``next`` as ``before`` gives the page after it."""

    jobs: list[Job]
    next: int | None = None


class QueuedJob(_Answer):
    """A job in the queue, and when it may start and end; seconds since 1970."""

    job: Job
    place: int
    estimated_start: float | None = None
    estimated_finish: float | None = None


class QueueAnswer(_Answer):
    """The jobs that run, then those that wait in order."""

    paused: bool
    counts: dict[str, int]
    jobs: list[QueuedJob]


class EventsAnswer(_Answer):
    """What happened in a job so far."""

    events: list[dict[str, Any]]  # Any: each event type's own fields


class LogAnswer(_Answer):
    """What a job's nodes printed."""

    text: str
    truncated: bool


class ListQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    state: list[JobState] | JobState | None = None
    text: str = Field(default="", max_length=200)
    before: int | None = Field(default=None, ge=0, le=2**62)
    limit: int = Field(default=50, ge=1, le=500)


class WaitQuery(BaseModel):
    """How long to wait for a job's end before answering."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(default=0, ge=0, le=_LONGEST_WAIT_S)


class EventsQuery(BaseModel):
    """Where to go on."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=2**62)


class Move(BaseModel):
    """Where a waiting job goes: before another one, or to the end; or to another priority."""

    model_config = ConfigDict(extra="forbid")

    before: str | None = None
    priority: int | None = Field(default=None, ge=-100, le=100)


class PruneRequest(BaseModel):
    """Which ended jobs to forget: all but the newest, or the old ones. Their files stay on disk."""

    model_config = ConfigDict(extra="forbid")

    keep: int | None = Field(default=None, ge=0, le=2**53)
    older_than_s: float | None = Field(default=None, ge=0)


class Pruned(_Answer):
    """How many jobs were forgotten."""

    removed: int


async def submit_job(call: Call[WaitQuery, Submission]) -> JobAnswer:
    """Queue a workflow.

    The job is on disk when this answers: it survives the end of the server and of the machine. A request that is sent
    again with the same ``idempotency_key`` gives the job of the first one. With ``wait`` it answers as soon as the job
    has ended or that time is over; the job goes on if whoever waits gives up.
    """
    key = call.request.headers.get("Idempotency-Key")
    answer = await submit(call.services, call.as_owner, call.body, key)
    return answer.model_copy(update={"job": await when_ended(call.services, answer.job, call.query.wait)})


async def submit(services: Services, owner: str, given: Submission, key: str | None = None) -> JobAnswer:
    """Check a submission and queue it.

    Args:
        key: The request's header ``Idempotency-Key``, which the field of the body goes before.
    """
    _require_accepting(services)
    if key is not None and given.idempotency_key is None:
        given = checked(Submission, {**given.model_dump(exclude_unset=True), "idempotency_key": key})
    new, warnings = await prepare(services, owner, given)
    job, is_new = await services.store.write(lambda store: store.submit(new))
    if is_new:
        services.hub.publish(job, [{"type": "job_queued", "attempt": 0}])
        services.workers.wake()
    return JobAnswer(job=job, is_new=is_new, warnings=problems_as_json(warnings))


async def list_jobs(call: Call[ListQuery, None]) -> JobPageAnswer:
    """List jobs, the newest first, by state and by what their names contain."""
    query = call.query
    states: Sequence[JobState] = query.state if isinstance(query.state, list) else [query.state] if query.state else []
    page = await call.services.store.read(
        lambda store: store.page(
            owner=call.owner, states=states, text=query.text, before=query.before, limit=query.limit
        )
    )
    return JobPageAnswer(jobs=list(page.jobs), next=page.next)


async def get_job(call: Call[WaitQuery, None]) -> JobAnswer:
    """Give a job; with ``wait``, as soon as it has ended or that time is over."""
    job = await when_ended(call.services, await _job(call), call.query.wait)
    return JobAnswer(job=job, is_new=False)


async def get_job_workflow(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Give the workflow that a job runs, with the settings it was given."""
    text = await call.services.store.read(lambda store: store.workflow_of(call.path["job"], call.owner))
    return web.Response(text=text, content_type="application/json")


async def cancel_job(call: Call[NoParameters, None]) -> JobAnswer:
    """Stop a job: at once while it waits; a running one is asked to stop, and killed after the grace period.

    One that saves its work first, as a training does, has five minutes more, unless it is cancelled again.
    """
    job = await call.services.store.write(lambda store: store.cancel(call.path["job"], call.owner))
    if job.is_over:
        call.services.hub.end(job)
    else:
        call.services.workers.cancel(job.id)
    return JobAnswer(job=job, is_new=False)


async def retry_job(call: Call[NoParameters, None]) -> JobAnswer:
    """Queue a job that ended once more, as a new job."""
    _require_accepting(call.services)
    job = await call.services.store.write(lambda store: store.retry(call.path["job"], call.owner))
    call.services.hub.publish(job, [{"type": "job_queued", "attempt": 0}])
    call.services.workers.wake()
    return JobAnswer(job=job)


async def move_job(call: Call[NoParameters, Move]) -> JobAnswer:
    """Move a waiting job before another one of its owner, or to the end, or give it another priority."""
    move = call.body
    if move.before is not None and move.priority is not None:
        message = "a job that goes before another one gets its priority."
        raise Refused(422, "bad_field", message, "Give either 'before' or 'priority'.")
    job = await call.services.store.write(
        lambda store: store.reorder(call.path["job"], before=move.before, priority=move.priority, owner=call.owner)
    )
    return JobAnswer(job=job, is_new=False)


async def get_job_events(call: Call[EventsQuery, None]) -> EventsAnswer | web.StreamResponse:
    """Give a job's events from a number on; as a stream (SSE) if ``Accept`` is ``text/event-stream``.

    The stream goes on until the job has ended. ``Last-Event-ID`` goes on where a connection was lost; with nothing left
    to tell, it answers 204.
    """
    job = await _job(call)
    if wants_stream(call.request):
        return await stream_events(call.request, call.services, job, call.query.after)
    messages = await call.services.hub.replay(job.id, call.query.after)
    return EventsAnswer(events=[message.event for message in messages])


async def get_job_log(call: Call[NoParameters, None]) -> LogAnswer:
    """Give what a job's last attempt printed, up to its last MiB."""
    place = await call.services.store.read(lambda store: store.log_of(call.path["job"], call.owner))
    if place is None:
        return LogAnswer(text="", truncated=False)
    name, start, end = place

    def read() -> bytes | None:
        try:
            with (call.services.logs / name).open("rb") as file:
                file.seek(max(start, end - _MOST_LOG_BYTES))
                return file.read(min(end - start, _MOST_LOG_BYTES))
        except OSError:
            return None

    found = await asyncio.to_thread(read)
    if found is None:
        return LogAnswer(text="(the log was removed)", truncated=True)
    return LogAnswer(text=found.decode(errors="replace"), truncated=end - start > _MOST_LOG_BYTES)


async def prune_jobs(call: Call[NoParameters, PruneRequest]) -> Pruned:
    """Forget ended jobs, their events, and which files they wrote: these stay on disk, but are no assets any more."""
    given = call.body
    if given.keep is None and given.older_than_s is None:
        raise Refused(422, "bad_field", "nothing says which jobs to forget.", "Give 'keep' or 'older_than_s'.")
    removed = await call.services.store.write(
        lambda store: store.prune(keep=given.keep, older_than_s=given.older_than_s, owner=call.owner)
    )
    return Pruned(removed=removed)


async def get_queue(call: Call[NoParameters, None]) -> QueueAnswer:
    """Give the jobs that run and those that wait, with estimates from how long jobs like them took."""

    def read(store: JobStore) -> tuple[bool, dict[str, int], list[Job]]:
        return store.paused, store.counts(call.owner), store.queue(call.owner)

    paused, counts, jobs = await call.services.store.read(read)
    return QueueAnswer(paused=paused, counts=counts, jobs=_estimated(jobs, len(call.services.workers.devices)))


async def pause_queue(call: Call[NoParameters, None]) -> None:
    """Hand out no more jobs; what runs goes on."""
    await call.services.store.write(lambda store: store.pause(True))


async def resume_queue(call: Call[NoParameters, None]) -> None:
    """Hand out jobs again."""
    await call.services.store.write(lambda store: store.pause(False))
    call.services.workers.wake()


def _require_accepting(services: Services) -> None:
    if not services.is_accepting:
        raise Refused(503, "stopping", "the server is stopping and takes no jobs.", "Try again when it is back.")


async def _job(call: Call[Any, Any]) -> Job:  # Any: any route's models
    return await call.services.store.read(lambda store: store.get(call.path["job"], call.owner))


async def when_ended(services: Services, job: Job, wait_s: float) -> Job:
    """Give a job as it is when it has ended, or when that time is over."""
    if not wait_s or job.is_over:
        return job
    with services.hub.waiting_for_end(job.id) as ended:
        if not services.hub.is_live(job.id):  # it may have ended before somebody waited for it
            job = await services.store.read(lambda store: store.get(job.id))
            if job.is_over:
                return job
        await asyncio.wait([ended], timeout=wait_s)
        return ended.result() if ended.done() else await services.store.read(lambda store: store.get(job.id))


def _estimated(jobs: Sequence[Job], workers: int) -> list[QueuedJob]:
    """Say when each job may start and end: every worker takes the next one when it is free.

    Nothing is said after the first job whose length is unknown.
    """
    now = time.time()
    free: list[float] = [now] * max(workers, 1)
    listed, known = [], True
    for place, job in enumerate(jobs):
        start = job.started if job.state == "running" else None
        finish = None
        known = known and job.estimate_s is not None
        if known and job.estimate_s is not None:
            begins = heapq.heappop(free)
            start = job.started if job.state == "running" and job.started is not None else begins
            finish = max(start + job.estimate_s, now)
            heapq.heappush(free, finish)
        listed.append(QueuedJob(job=job, place=place, estimated_start=start, estimated_finish=finish))
    return listed


ROUTES = (
    Route(
        "POST",
        "/jobs",
        submit_job,
        "jobs",
        query=WaitQuery,
        body=Submission,
        answer=JobAnswer,
        status=201,
        errors=(422, 503, 507),
    ),
    Route("GET", "/jobs", list_jobs, "jobs", query=ListQuery, answer=JobPageAnswer, errors=(422,)),
    Route("POST", "/jobs/prune", prune_jobs, "jobs", body=PruneRequest, answer=Pruned, errors=(422, 507)),
    Route("GET", "/jobs/{job}", get_job, "jobs", query=WaitQuery, answer=JobAnswer, errors=(404, 422)),
    Route("GET", "/jobs/{job}/workflow", get_job_workflow, "jobs", schema=ANY_OBJECT, errors=(404,)),
    Route(
        "GET",
        "/jobs/{job}/events",
        get_job_events,
        "jobs",
        query=EventsQuery,
        answer=EventsAnswer,
        other_media_type="text/event-stream",
        errors=(404, 422),
    ),
    Route("GET", "/jobs/{job}/log", get_job_log, "jobs", answer=LogAnswer, errors=(404,)),
    Route("POST", "/jobs/{job}/cancel", cancel_job, "jobs", answer=JobAnswer, errors=(404, 409, 507)),
    Route("POST", "/jobs/{job}/retry", retry_job, "jobs", answer=JobAnswer, status=201, errors=(404, 409, 507)),
    Route("POST", "/jobs/{job}/move", move_job, "jobs", body=Move, answer=JobAnswer, errors=(404, 409, 422, 507)),
    Route("GET", "/queue", get_queue, "queue", answer=QueueAnswer),
    Route("POST", "/queue/pause", pause_queue, "queue", status=204, errors=(507,)),
    Route("POST", "/queue/resume", resume_queue, "queue", status=204, errors=(507,)),
)
