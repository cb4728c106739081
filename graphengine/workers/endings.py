"""How an attempt at a job ended, as the queue keeps it."""

from __future__ import annotations

from graphengine.core.job import Job, JobError, JobOutput
from graphengine.jobs.store import JobStore, Outcome
from graphengine.workers.messages import Finished
from graphengine.workers.slots import Attempt
from graphengine.workers.worker import Exit

__all__ = ["bad_answer", "give_up", "loss_of", "outcome_of"]


def outcome_of(attempt: Attempt, finished: Finished) -> Outcome:
    """Make of what a worker said how its job ended.

    Raises:
        ValueError: it can't have ended so; the worker is out of its mind.
    """
    state, limit = finished.state, attempt.guard.reason
    error = None if finished.error is None else JobError.model_validate(finished.error)
    if state not in ("done", "failed", "cancelled"):
        raise ValueError(f"a job can't end as {state!r}.")
    if limit is not None and limit.code == "wall_limit" and state != "done":
        state, error = "failed", limit
    outputs = tuple(JobOutput.model_validate(each) for each in finished.outputs)
    return Outcome(state, error, outputs, finished.values, attempt.log, finished.node_seconds)


def bad_answer(attempt: Attempt) -> Outcome:
    """Make an end for a job of which its worker said what can't be."""
    error = JobError(
        code="bad_answer",
        message="the worker said how the job ended in a way that can't be understood.",
        remedy="Look into the worker's log, then try the job again.",
    )
    return Outcome("failed", error, log=attempt.log)


def loss_of(attempt: Attempt, ended: Exit) -> JobError:
    """Say why an attempt ended with its worker."""
    job, reason = attempt.job, attempt.guard.reason
    facts = {"exit_code": ended.code, "log_tail": ended.log_tail, "attempt": job.attempts}
    if reason is not None:
        return reason.model_copy(update={"extra": {**reason.extra, **facts}})
    return JobError(
        code="worker_died",
        message=f"the worker for {attempt.worker.device} ended with {ended} while this job ran.",
        remedy="Its log's end is below; a node or a library that it uses crashed, or memory ran out.",
        extra=facts,
    )


def give_up(store: JobStore, attempt: Attempt, error: JobError) -> Job | None:
    """Note that an attempt ended with its worker: the job is queued again, parked, or over if it took too long."""
    job = attempt.job
    if error.code == "wall_limit":  # it would take as long again
        return store.finish(job.id, job.attempts, Outcome("failed", error, log=attempt.log))
    return store.worker_lost(job.id, job.attempts, error, attempt.log)
