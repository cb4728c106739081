"""What all parts of the store stand on: the connection, its rows as jobs, and what can't be done with them."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

from graphengine.core.job import Job, JobError, JobLimits, JobOutput
from graphengine.errors import GraphEngineError

__all__ = ["COLUMNS", "QueueError", "Tables", "UnknownJob", "job_of"]

_NAMES = (
    "id",
    "sequence",
    "owner",
    "name",
    "state",
    "priority",
    "targets",
    "limits",
    "traits",
    "workflow_hash",
    "estimate_s",
    "attempts",
    "deaths",
    "restarts",
    "created",
    "started",
    "finished",
    "worker",
    "error",
    "outputs",
    "outcome",
    "retry_of",
    "cancelling",
    "last_event",
)
COLUMNS = ", ".join(_NAMES)
"""The columns of ``jobs`` that ``job_of`` takes, in its order."""

_NO_LIMITS = JobLimits()


class QueueError(GraphEngineError):
    """Something can't be done with a job in its state."""


class UnknownJob(QueueError):
    """There is no such job, or it is another owner's."""

    def __init__(self, job: str) -> None:
        super().__init__(f"there is no job {job!r}. List the jobs to see which there are; old ones may be pruned.")


class Tables:
    """A connection to the queue's file; the parts of ``JobStore`` add what can be done with its tables."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """Give a job.

        Args:
            owner: Give it only if it is this owner's.

        Raises:
            UnknownJob: there is no such job.
        """
        job = self._one("id = ?", job_id)
        if job is None or (owner is not None and job.owner != owner):
            raise UnknownJob(job_id)
        return job

    def workflow_of(self, job_id: str, owner: str | None = None) -> str:
        """Give the document that a job runs."""
        return self._document(self.get(job_id, owner))

    def meta(self, name: str) -> str | None:
        """Give a setting of the queue itself."""
        row = self._run("SELECT value FROM meta WHERE name = ?", name).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Keep a setting of the queue itself."""
        self._run("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2", name, value)

    def _document(self, job: Job) -> str:
        digest = bytes.fromhex(job.workflow_hash)
        (body,) = self._run("SELECT body FROM documents WHERE hash = ?", digest).fetchone()
        return zlib.decompress(body).decode()

    def _one(self, where: str, *values: object) -> Job | None:
        row = self._run(f"SELECT {COLUMNS} FROM jobs WHERE {where}", *values).fetchone()
        return None if row is None else job_of(row)

    def _change(self, change: str, *values: object) -> list[Job]:
        """Change rows of ``jobs`` (``SET …``) and give them as they are now."""
        return [job_of(row) for row in self._run(f"UPDATE jobs SET {change} RETURNING {COLUMNS}", *values).fetchall()]

    def _run(self, query: str, *values: object) -> sqlite3.Cursor:
        return self.database.execute(query, values)


def job_of(row: Sequence[Any]) -> Job:  # Any: columns
    """Make a job of a row of ``COLUMNS``."""
    column: dict[str, Any] = dict(zip(_NAMES, row, strict=True))  # Any: columns
    targets, limits, error, outputs = (column[name] for name in ("targets", "limits", "error", "outputs"))
    column["targets"] = None if targets is None else tuple(json.loads(targets))
    column["limits"] = _NO_LIMITS if limits == "{}" else JobLimits.model_validate_json(limits)
    column["traits"] = tuple(json.loads(column["traits"]))
    column["workflow_hash"] = column["workflow_hash"].hex()
    column["error"] = None if error is None else JobError.model_validate_json(error)
    column["outputs"] = tuple(JobOutput.model_validate(each) for each in json.loads(outputs))
    column["values"] = json.loads(column.pop("outcome"))
    column["cancelling"] = bool(column["cancelling"])
    return Job.model_construct(**column)  # the rest was checked when it was written, and long lists must be quick
