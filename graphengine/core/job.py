"""A job: a workflow that somebody wants run, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ENDED",
    "Job",
    "JobError",
    "JobLimits",
    "JobOutput",
    "JobRequest",
    "JobState",
    "NewJob",
    "new_job_id",
]

JobState = Literal["queued", "running", "done", "failed", "cancelled", "poison"]

ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "poison")
"""States that a job never leaves."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobLimits(_Plain):
    """What a job may use.

    Attributes:
        wall_s: Seconds an attempt may take; None for no limit.
        memory_bytes: Resident memory its worker may reach; None for no limit.
        devices: Workers of this host whose devices it gets.
    """

    wall_s: float | None = Field(default=None, gt=0, le=30 * 86400)
    memory_bytes: int | None = Field(default=None, ge=64 * 1024**2, le=2**53)
    devices: int = Field(default=1, ge=1, le=64)


class JobRequest(_Plain):
    """How a workflow is to be run.

    Attributes:
        name: What people call the job; searched in the history.
        targets: Run only what these nodes need; None for everything.
        priority: Jobs of a higher priority go first.
        idempotency_key: A second request of the same owner with this key gives the first one's job.
    """

    name: str = Field(default="", max_length=200)
    targets: tuple[str, ...] | None = Field(default=None, max_length=1000)
    priority: int = Field(default=0, ge=-100, le=100)
    limits: JobLimits = JobLimits()
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)


class NewJob(_Plain):
    """A request that was found sound, with its workflow.

    Attributes:
        workflow: The document as JSON text.
        traits: What a worker may hold already and this job uses, such as model files.
        node_types: The kinds of its nodes, as often as they occur; what its time is estimated from.
        retry_of: The job that this one repeats.
    """

    owner: str
    workflow: str
    request: JobRequest = JobRequest()
    traits: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    retry_of: str | None = None


class JobError(_Plain):
    """Why a job failed.

    Attributes:
        code: A stable name for programs, such as ``node_failed`` or ``worker_died``.
        extra: More for programs: the node and what it was given, exit codes, the end of the log.
    """

    code: str
    message: str
    remedy: str = ""
    extra: Mapping[str, Any] = Field(default_factory=dict)  # Any: JSON


class JobOutput(_Plain):
    """A file that a job wrote for its user.

    Attributes:
        path: Below the server's output folder.
        asset: The SHA-256 of its bytes, in hex, by which the API names it.
    """

    node: str
    path: str
    asset: str
    size_bytes: int
    media_type: str
    temporary: bool = False


class Job(_Plain):
    """A queued workflow, its state and its timings; times are seconds since 1970.

    Attributes:
        sequence: Grows with each job that is submitted; what pages of the history go by.
        attempts: How often it was handed to a worker.
        deaths: How often its worker died under it.
        restarts: How often the server ended under it.
        estimate_s: How long jobs like it took; None if none is known.
        values: The declared outputs that are plain values.
        cancelling: Somebody asked to stop it, and it has not stopped yet.
    """

    id: str
    sequence: int
    owner: str
    name: str
    state: JobState
    priority: int
    targets: tuple[str, ...] | None
    limits: JobLimits
    traits: tuple[str, ...]
    workflow_hash: str
    estimate_s: float | None
    attempts: int
    deaths: int
    restarts: int
    created: float
    started: float | None
    finished: float | None
    worker: str | None
    error: JobError | None
    outputs: tuple[JobOutput, ...]
    values: Mapping[str, Any]  # Any: JSON
    retry_of: str | None
    cancelling: bool
    last_event: int

    @property
    def folder(self) -> str:
        """The folder of its files: the day and time it was queued and the end of its id; the same for each attempt."""
        day = datetime.fromtimestamp(self.created, tz=UTC)
        return f"{day:%Y-%m-%d}/{day:%H%M%S}-{self.id[-8:]}"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED


def new_job_id() -> str:
    """Make an id that sorts by time: milliseconds since 1970 and 64 random bits, in hex."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"
