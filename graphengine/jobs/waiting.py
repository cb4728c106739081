"""What waits: submitting, stopping and moving jobs."""

from __future__ import annotations

import json
import time
import zlib
from hashlib import blake2b

from graphengine.core.job import Job, JobRequest, NewJob, new_job_id
from graphengine.jobs.tables import COLUMNS, QueueError, job_of
from graphengine.jobs.timings import Timings

__all__ = ["Waiting"]

# Positions are of one order over all jobs that wait or run, as those that run may come back to theirs.
# SQLite would not choose the index by itself, and look at all of them.
_ORDERED = "FROM jobs INDEXED BY jobs_in_order WHERE state IN ('queued', 'running')"
_END = f"(SELECT coalesce(max(position), 0) + 1 {_ORDERED})"


class Waiting(Timings):
    """The jobs that wait, and their order."""

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Queue a job; give it and whether it is new, which it is not if its idempotency key was used before."""
        key = new.request.idempotency_key
        known = None if key is None else self._one("owner = ? AND idempotency_key = ?", new.owner, key)
        return (self._add(new), True) if known is None else (known, False)

    def retry(self, job_id: str, owner: str | None = None) -> Job:
        """Queue a job that ended once more, as a new job.

        Raises:
            QueueError: it has not ended.
        """
        old = self.get(job_id, owner)
        if not old.is_over:
            raise QueueError(f"job {job_id!r} is {old.state}. Only a job that ended can be tried again.")
        request = JobRequest(name=old.name, targets=old.targets, priority=old.priority, limits=old.limits)
        again = NewJob(
            owner=old.owner, workflow=self._document(old), request=request, traits=old.traits, retry_of=old.id
        )
        return self._add(again, old.estimate_s)

    def _add(self, new: NewJob, estimate_s: float | None = None) -> Job:
        """Queue a job; the estimate is for when nothing was measured."""
        body = new.workflow.encode()
        digest = blake2b(body, digest_size=16).digest()
        measured = self._estimate(digest, new.node_types)
        self._run("INSERT OR IGNORE INTO documents VALUES (?, ?)", digest, zlib.compress(body, level=1))
        request = new.request
        (row,) = self._run(
            "INSERT INTO jobs (id, owner, name, state, priority, position, targets, limits, traits, workflow_hash, "
            f"estimate_s, created, retry_of, idempotency_key) VALUES (?, ?, ?, 'queued', ?, {_END}, ?, ?, ?, ?, ?, ?, "
            f"?, ?) RETURNING {COLUMNS}",
            new_job_id(),
            new.owner,
            request.name,
            request.priority,
            None if request.targets is None else json.dumps(request.targets),
            request.limits.model_dump_json(exclude_defaults=True),
            json.dumps(new.traits),
            digest,
            estimate_s if measured is None else measured,
            time.time(),
            new.retry_of,
            request.idempotency_key,
        ).fetchall()
        return job_of(row)

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Stop a job: at once while it waits; one that runs is marked, and whoever runs it stops it.

        Raises:
            QueueError: it has ended.
        """
        job = self.get(job_id, owner)
        if job.is_over:
            raise QueueError(f"job {job_id!r} is {job.state} already; there is nothing to stop.")
        if job.state == "running":
            (job,) = self._change("cancelling = 1 WHERE sequence = ?", job.sequence)
        else:
            (job,) = self._change("state = 'cancelled', finished = ? WHERE sequence = ?", time.time(), job.sequence)
        return job

    def reorder(
        self, job_id: str, *, before: str | None = None, priority: int | None = None, owner: str | None = None
    ) -> Job:
        """Move a waiting job before another one of its owner, or to the end; or give it another priority.

        Raises:
            QueueError: one of them doesn't wait, or they are of two owners.
        """
        job = self._waiting(job_id, owner)
        level = job.priority if priority is None else priority
        if before is None:
            (position,) = self._run(f"SELECT {_END}").fetchone()
        else:
            other = self._waiting(before, owner)
            if other.owner != job.owner or other.sequence == job.sequence:
                raise QueueError(f"job {job_id!r} can't go before {before!r}. Choose another job of its owner.")
            level, position = other.priority, self._position_before(other)
        (job,) = self._change("position = ?, priority = ? WHERE sequence = ?", position, level, job.sequence)
        return job

    def _position_before(self, other: Job) -> float:
        """Make room before a job: half way to the one before it, after spreading all out if none is left there."""
        (here,) = self._run("SELECT position FROM jobs WHERE sequence = ?", other.sequence).fetchone()
        query = f"SELECT max(position) {_ORDERED} AND position < ?"
        (earlier,) = self._run(query, here).fetchone()
        middle = here - 1 if earlier is None else (here + earlier) / 2
        if middle in (here, earlier):
            self._spread_positions()
            return self._position_before(other)
        return float(middle)

    def _spread_positions(self) -> None:
        self._run(
            "UPDATE jobs SET position = ranked.place FROM (SELECT sequence AS number, row_number() OVER "
            f"(ORDER BY position, sequence) AS place {_ORDERED}) AS ranked "
            "WHERE sequence = ranked.number"
        )

    def _waiting(self, job_id: str, owner: str | None) -> Job:
        job = self.get(job_id, owner)
        if job.state != "queued":
            raise QueueError(f"job {job_id!r} is {job.state}. Only a job that waits can be moved.")
        return job

    @property
    def paused(self) -> bool:
        """Whether no job is handed out."""
        return self.meta("paused") == "1"

    def pause(self, paused: bool) -> None:
        """Hand out no more jobs, or go on; what runs goes on."""
        self.set_meta("paused", "1" if paused else "0")
