"""What runs: handing jobs to workers, and the ends of attempts.

    queued ──claim──▶ running ──finish──▶ done | failed | cancelled
       ▲                 │ worker died
       └── fewer deaths ─┴── 3 deaths ──▶ poison

A job is fenced by its attempt: only the attempt that runs can end, so what a lost worker says late is dropped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphengine.core.job import Job, JobError, JobOutput
from graphengine.jobs.assets import Assets
from graphengine.jobs.passing import UNKNOWN_S, seconds_until_free
from graphengine.jobs.waiting import Waiting

__all__ = ["MOST_DEATHS", "MOST_RESTARTS", "Claim", "Outcome", "Running"]

MOST_DEATHS = 3
"""A job whose worker died so often is parked as poison."""

MOST_RESTARTS = 20
"""A job under which the server ended so often is failed."""

_CANDIDATES = 32  # queued jobs among which a worker's models and cached nodes decide
_MOST_PASSED = 32  # so often a job may be passed by ones that fit a worker better, or whose length nobody knows
_MOST_LOOKED_AT = 256  # queued jobs that may pass one that waits for devices
_DEVICES = "coalesce(json_extract(limits, '$.devices'), 1)"

# The owner whose turn it is, and the priority of its first job. SQLite would not choose the index by itself, and look
# at all that waits.
_WHOSE_TURN = """
    WITH RECURSIVE waiting (owner) AS (
        SELECT min(owner) FROM jobs INDEXED BY jobs_queued WHERE state = 'queued'
        UNION ALL
        SELECT (SELECT min(owner) FROM jobs INDEXED BY jobs_queued WHERE state = 'queued' AND owner > waiting.owner)
        FROM waiting WHERE waiting.owner IS NOT NULL
    )
    SELECT
        owner,
        (SELECT priority FROM jobs INDEXED BY jobs_queued WHERE state = 'queued' AND jobs.owner = waiting.owner
         ORDER BY priority DESC, position LIMIT 1) AS priority
    FROM waiting LEFT JOIN owners USING (owner) WHERE owner IS NOT NULL
    ORDER BY priority DESC, coalesce(served, 0), owner LIMIT 1
"""


@dataclass(frozen=True)
class Claim:
    """A job to run now, and the document to run."""

    job: Job
    workflow: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        values: Declared outputs that are plain JSON values.
        log: Which part of which log file is the attempt's: name, first and last byte.
        node_seconds: By node type, for estimates.
    """

    state: Literal["done", "failed", "cancelled"]
    error: JobError | None = None
    outputs: Sequence[JobOutput] = ()
    values: Mapping[str, Any] | None = None  # Any: JSON
    log: tuple[str, int, int] | None = None
    node_seconds: Mapping[str, float] | None = None


class Running(Waiting, Assets):
    """The jobs that workers run."""

    def claim(self, worker: str, *, held: Collection[str] = (), devices: int = 1) -> Claim | None:
        """Take the next job for a worker: the highest priority, owners in turn, what fits the worker best.

        Args:
            held: Traits that the worker holds, such as loaded models.
            devices: So many are free. If the job whose turn it is needs more, they are held for it; only jobs that
                should be over before it can begin are given, see ``passing``.
        """
        turn = None if self.paused else self._run(_WHOSE_TURN).fetchone()
        if turn is None:
            return None
        owner, priority = turn
        sequence = self._choose(owner, priority, frozenset(held), devices)
        if sequence is None:
            return None
        now = time.time()
        (job,) = self._change(
            "state = 'running', attempts = attempts + 1, worker = ?, started = ?, heartbeat = ? WHERE sequence = ?",
            worker,
            now,
            now,
            sequence,
        )
        self._run(
            "INSERT OR REPLACE INTO owners VALUES (?, (SELECT coalesce(max(served), 0) + 1 FROM owners))", job.owner
        )
        return Claim(job, self._document(job))

    def _choose(self, owner: str, priority: int, held: frozenset[str], devices: int) -> int | None:
        """Choose one of an owner's first jobs: the one with most of what is held, unless the first waited enough."""
        rows = self._run(
            f"SELECT sequence, traits, passed, {_DEVICES} FROM jobs "
            "WHERE state = 'queued' AND owner = ? AND priority = ? ORDER BY position LIMIT ?",
            owner,
            priority,
            _CANDIDATES,
        ).fetchall()
        first, passed, needed = rows[0][0], rows[0][2], rows[0][3]
        if needed > devices:
            return self._choose_to_pass(first, passed, needed, devices)
        if not held or passed >= _MOST_PASSED:
            return int(first)
        fitting = [row for row in rows if row[3] <= devices]
        chosen = max(fitting, key=lambda row: len(held.intersection(json.loads(row[1]))))[0]  # the earliest of equals
        if chosen != first:
            self._run("UPDATE jobs SET passed = passed + 1 WHERE sequence = ?", first)
        return int(chosen)

    def _choose_to_pass(self, first: int, passed: int, needed: int, devices: int) -> int | None:
        """Choose a job that should be over before the first one has its devices."""
        running = self._run(f"SELECT started, estimate_s, {_DEVICES} FROM jobs WHERE state = 'running'").fetchall()
        room_s = seconds_until_free(running, needed - devices, time.time())
        chosen = self._run(
            f"SELECT sequence, estimate_s IS NULL FROM (SELECT *, {_DEVICES} AS wanted FROM jobs INDEXED BY "
            "jobs_in_order WHERE state IN ('queued', 'running') AND state = 'queued' ORDER BY position LIMIT ?1) "
            "WHERE wanted <= ?2 AND coalesce(estimate_s, ?3) <= ?4 AND (estimate_s IS NOT NULL OR ?5) "
            "ORDER BY priority DESC, position LIMIT 1",
            _MOST_LOOKED_AT,
            devices,
            UNKNOWN_S,
            room_s,
            passed < _MOST_PASSED,
        ).fetchone()
        if chosen is None:
            return None
        sequence, is_unknown = chosen
        if is_unknown:
            self._run("UPDATE jobs SET passed = passed + 1 WHERE sequence = ?", first)
        return int(sequence)

    def heartbeat(self, running: Iterable[tuple[str, int]]) -> None:
        """Note that these attempts, ``(job, attempt)``, are still going."""
        now = time.time()
        self.database.executemany(
            "UPDATE jobs SET heartbeat = ? WHERE id = ? AND attempts = ? AND state = 'running'",
            [(now, job, attempt) for job, attempt in running],
        )

    def finish(self, job_id: str, attempt: int, outcome: Outcome) -> Job | None:
        """End the attempt that runs; None, and nothing changes, if that is another one by now."""
        ended = self._change(
            "state = ?, finished = ?, error = ?, outputs = ?, outcome = ?, log = ?, cancelling = 0 "
            "WHERE id = ? AND attempts = ? AND state = 'running'",
            outcome.state,
            time.time(),
            None if outcome.error is None else outcome.error.model_dump_json(),
            json.dumps([output.model_dump(exclude_defaults=True) for output in outcome.outputs]),
            json.dumps(outcome.values or {}),
            _log_text(outcome.log),
            job_id,
            attempt,
        )
        if not ended:
            return None
        self._keep_assets(ended[0])
        if outcome.state == "done":
            self._keep_timings(ended[0], outcome.node_seconds or {})
        return ended[0]

    def worker_lost(self, job_id: str, attempt: int, error: JobError, log: tuple[str, int, int] | None) -> Job | None:
        """Queue a job again whose worker died, or park it as poison; None if another attempt runs by now."""
        lost = self._change(
            "deaths = deaths + 1, "
            "state = CASE WHEN cancelling THEN 'cancelled' WHEN deaths + 1 >= ?1 THEN 'poison' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling OR deaths + 1 >= ?1 THEN ?2 END, "
            "error = ?3, log = ?4, worker = NULL, cancelling = 0 "
            "WHERE id = ?5 AND attempts = ?6 AND state = 'running'",
            MOST_DEATHS,
            time.time(),
            error.model_dump_json(),
            _log_text(log),
            job_id,
            attempt,
        )
        return lost[0] if lost else None

    def requeue(self, job_id: str, attempt: int, *, was_sent: bool = True) -> Job | None:
        """Give back a job that was claimed and not run, such as when the server stops; it counts as no death.

        Args:
            was_sent: A worker may know of this attempt; if none does, it counts as no attempt either.
        """
        given_back = self._change(
            "worker = NULL, cancelling = 0, attempts = attempts - ?, "
            "state = CASE WHEN cancelling THEN 'cancelled' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling THEN ? END WHERE id = ? AND attempts = ? AND state = 'running'",
            0 if was_sent else 1,
            time.time(),
            job_id,
            attempt,
        )
        return given_back[0] if given_back else None

    def recover(self) -> list[Job]:
        """Queue again what ran when the server ended; called when it starts, as nothing can be running then."""
        error = JobError(
            code="server_stopped",
            message=f"the server ended {MOST_RESTARTS} times while this job ran.",
            remedy="Look into the logs for what ends the server, then try the job again.",
        )
        return self._change(
            "restarts = restarts + 1, worker = NULL, cancelling = 0, "
            "state = CASE WHEN cancelling THEN 'cancelled' WHEN restarts + 1 >= ?1 THEN 'failed' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling OR restarts + 1 >= ?1 THEN ?2 END, "
            "error = CASE WHEN restarts + 1 >= ?1 AND NOT cancelling THEN ?3 ELSE error END WHERE state = 'running'",
            MOST_RESTARTS,
            time.time(),
            error.model_dump_json(),
        )


def _log_text(log: tuple[str, int, int] | None) -> str | None:
    return None if log is None else json.dumps(log)
