"""The queue on disk: SQLite in WAL mode, every commit synced.

    submit ──▶ queued ──claim──▶ running ──finish──▶ done | failed | cancelled
                 ▲                  │ worker died
                 └── fewer deaths ──┴── 3 deaths ──▶ poison

``JobStore`` is one connection and no thread: each method is a part of the transaction that its caller has begun. What
calls it (``StoreThread``) puts many of them into one commit. A job is fenced by its attempt: only the attempt that runs
can finish it, so what a lost worker says late is dropped.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

from graphengine.core.job import ENDED, Job, JobError, JobLimits, JobOutput, JobState, NewJob, new_job_id
from graphengine.errors import GraphEngineError
from graphengine.jobs.schema import migrate

__all__ = [
    "Asset",
    "MOST_DEATHS",
    "MOST_RESTARTS",
    "Claim",
    "JobPage",
    "JobStore",
    "Outcome",
    "QueueError",
    "UnknownJob",
]

MOST_DEATHS = 3
"""A job whose worker died so often is parked as poison."""

MOST_RESTARTS = 20
"""A job under which the server ended so often is failed."""

_CANDIDATES = 32  # queued jobs among which a worker's models and cached nodes decide
_MOST_PASSED = 32  # so often a job may be passed by ones that fit a worker better
_SECONDS_KEPT = 0.3  # weight of the newest measurement in a typical time

_COLUMNS = (
    "id, sequence, owner, name, state, priority, targets, limits, traits, workflow_hash, estimate_s, attempts, "
    "deaths, restarts, created, started, finished, worker, error, outputs, outcome, retry_of, cancelling, last_event"
)


class QueueError(GraphEngineError):
    """Something can't be done with a job in its state."""


class UnknownJob(QueueError):
    """There is no such job, or it is another owner's."""

    def __init__(self, job: str) -> None:
        super().__init__(f"there is no job {job!r}. List the jobs to see which there are; old ones may be pruned.")


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


class Asset(NamedTuple):
    """A file that is an owner's: an upload, or what a job wrote.

    Attributes:
        asset: The SHA-256 of its bytes, in hex.
        path: Below the job's output folder, or the folder of uploads.
        source: ``output`` or ``upload``.
    """

    owner: str
    asset: str
    path: str
    name: str
    media_type: str
    size_bytes: int
    source: str
    job: str | None
    created: float


@dataclass(frozen=True)
class JobPage:
    """A page of the history, newest first; ``next`` goes on where it ends, None at the end."""

    jobs: tuple[Job, ...]
    next: int | None


class JobStore:
    """The tables of the queue, over one connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> JobStore:
        """Open the queue's file; the writer makes and migrates it.

        Raises:
            StoreVersionError: a newer program wrote it.
            sqlite3.Error: it is no database, or can't be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        try:
            database.execute("PRAGMA busy_timeout = 5000")
            if read_only:
                database.execute("PRAGMA query_only = 1")
                return cls(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = 1")
            migrate(database, str(path))
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self.database.close()

    # Submitting

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Queue a job; give it and whether it is new, which it is not if its idempotency key was used before."""
        request = new.request
        if request.idempotency_key is not None:
            known = self._one("owner = ? AND idempotency_key = ?", new.owner, request.idempotency_key)
            if known is not None:
                return known, False
        digest = blake2b(new.workflow.encode(), digest_size=16).digest()
        self._run(
            "INSERT OR IGNORE INTO documents VALUES (?, ?)", digest, zlib.compress(new.workflow.encode(), level=1)
        )
        (row,) = self._run(
            "INSERT INTO jobs (id, owner, name, state, priority, position, targets, limits, traits, workflow_hash, "
            "estimate_s, created, retry_of, idempotency_key) VALUES (?, ?, ?, 'queued', ?, 0, ?, ?, ?, ?, ?, ?, ?, ?) "
            f"RETURNING {_COLUMNS}",
            new_job_id(),
            new.owner,
            request.name,
            request.priority,
            None if request.targets is None else json.dumps(request.targets),
            request.limits.model_dump_json(exclude_defaults=True),
            json.dumps(new.traits),
            digest,
            self._estimate(digest, new.node_types),
            time.time(),
            new.retry_of,
            request.idempotency_key,
        ).fetchall()
        job = _job(row)
        self._run("UPDATE jobs SET position = sequence WHERE sequence = ?", job.sequence)
        return job, True

    def retry(self, job_id: str, owner: str | None = None) -> Job:
        """Queue a job that ended once more, as a new job.

        Raises:
            QueueError: it has not ended.
        """
        old = self.get(job_id, owner)
        if not old.is_over:
            raise QueueError(f"job {job_id!r} is {old.state}. Only a job that ended can be tried again.")
        (row,) = self._run(
            "INSERT INTO jobs (id, owner, name, state, priority, position, targets, limits, traits, workflow_hash, "
            "estimate_s, created, retry_of) SELECT ?, owner, name, 'queued', priority, 0, targets, limits, traits, "
            f"workflow_hash, estimate_s, ?, id FROM jobs WHERE sequence = ? RETURNING {_COLUMNS}",
            new_job_id(),
            time.time(),
            old.sequence,
        ).fetchall()
        job = _job(row)
        self._run("UPDATE jobs SET position = sequence WHERE sequence = ?", job.sequence)
        return job

    # Running

    def claim(self, worker: str, *, held: Collection[str] = (), devices: int = 1) -> Claim | None:
        """Take the next job for a worker: the highest priority, owners in turn, what fits the worker best.

        Args:
            held: Traits that the worker holds, such as loaded models.
            devices: A job that needs more is left, and None given, so that devices are freed for it.
        """
        if self.paused:
            return None
        turn = self._run(
            "WITH RECURSIVE waiting (owner) AS ("
            "SELECT min(owner) FROM jobs WHERE state = 'queued' UNION ALL "
            "SELECT (SELECT min(owner) FROM jobs WHERE state = 'queued' AND owner > waiting.owner) FROM waiting "
            "WHERE waiting.owner IS NOT NULL) "
            "SELECT owner, (SELECT priority FROM jobs WHERE state = 'queued' AND jobs.owner = waiting.owner "
            "ORDER BY priority DESC, position LIMIT 1) AS priority, "
            "coalesce((SELECT served FROM owners WHERE owners.owner = waiting.owner), 0) AS served "
            "FROM waiting WHERE owner IS NOT NULL ORDER BY priority DESC, served, owner LIMIT 1"
        ).fetchone()
        if turn is None:
            return None
        owner, priority, _served = turn
        candidates = self._run(
            "SELECT sequence, traits, passed, limits FROM jobs WHERE state = 'queued' AND owner = ? AND priority = ? "
            "ORDER BY position LIMIT ?",
            owner,
            priority,
            _CANDIDATES,
        ).fetchall()
        sequence, needed = self._choose(candidates, frozenset(held))
        if needed > devices:
            return None
        return self._begin(sequence, owner, worker)

    def _choose(self, candidates: Sequence[Any], held: frozenset[str]) -> tuple[int, int]:  # Any: rows
        """Choose one of the jobs whose turn it is, and say how many devices it needs."""
        head, chosen = candidates[0], candidates[0]
        if held and head[2] < _MOST_PASSED:
            chosen = max(candidates, key=lambda row: len(held.intersection(json.loads(row[1]))))
        if chosen is not head:
            self._run("UPDATE jobs SET passed = passed + 1 WHERE sequence = ?", head[0])
        return chosen[0], JobLimits.model_validate_json(chosen[3]).devices

    def _begin(self, sequence: int, owner: str, worker: str) -> Claim:
        now = time.time()
        (row,) = self._run(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = ?, started = ?, heartbeat = ?, "
            f"finished = NULL WHERE sequence = ? AND state = 'queued' RETURNING {_COLUMNS}",
            worker,
            now,
            now,
            sequence,
        ).fetchall()
        self._run(
            "INSERT INTO owners VALUES (?, (SELECT coalesce(max(served), 0) + 1 FROM owners)) "
            "ON CONFLICT (owner) DO UPDATE SET served = (SELECT max(served) + 1 FROM owners)",
            owner,
        )
        job = _job(row)
        return Claim(job, self._document(job))

    def heartbeat(self, running: Iterable[tuple[str, int]]) -> None:
        """Note that these attempts, ``(job, attempt)``, are still going."""
        now = time.time()
        self.database.executemany(
            "UPDATE jobs SET heartbeat = ? WHERE id = ? AND attempts = ? AND state = 'running'",
            [(now, job, attempt) for job, attempt in running],
        )

    def finish(self, job_id: str, attempt: int, outcome: Outcome) -> Job | None:
        """End the attempt that runs; None, and nothing changes, if that is another one by now."""
        rows = self._run(
            "UPDATE jobs SET state = ?, finished = ?, error = ?, outputs = ?, outcome = ?, log = ?, cancelling = 0 "
            f"WHERE id = ? AND attempts = ? AND state = 'running' RETURNING {_COLUMNS}",
            outcome.state,
            time.time(),
            None if outcome.error is None else outcome.error.model_dump_json(),
            json.dumps([output.model_dump(exclude_defaults=True) for output in outcome.outputs]),
            json.dumps(outcome.values or {}),
            None if outcome.log is None else json.dumps(outcome.log),
            job_id,
            attempt,
        ).fetchall()
        if not rows:
            return None
        job = _job(rows[0])
        self._keep_assets(job)
        if outcome.state == "done":
            self._keep_timings(job, outcome.node_seconds or {})
        return job

    def worker_lost(self, job_id: str, attempt: int, error: JobError, log: tuple[str, int, int] | None) -> Job | None:
        """Queue a job again whose worker died, or park it as poison; None if another attempt runs by now."""
        rows = self._run(
            "UPDATE jobs SET deaths = deaths + 1, "
            "state = CASE WHEN cancelling THEN 'cancelled' WHEN deaths + 1 >= ? THEN 'poison' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling OR deaths + 1 >= ? THEN ? ELSE NULL END, "
            "error = ?, log = ?, worker = NULL "
            f"WHERE id = ? AND attempts = ? AND state = 'running' RETURNING {_COLUMNS}",
            MOST_DEATHS,
            MOST_DEATHS,
            time.time(),
            error.model_dump_json(),
            None if log is None else json.dumps(log),
            job_id,
            attempt,
        ).fetchall()
        return _job(rows[0]) if rows else None

    def recover(self) -> list[Job]:
        """Queue again what ran when the server ended; called when it starts, as nothing can be running then."""
        error = JobError(
            code="server_stopped",
            message=f"the server ended {MOST_RESTARTS} times while this job ran.",
            remedy="Look into the logs for what ends the server, then try the job again.",
        )
        rows = self._run(
            "UPDATE jobs SET restarts = restarts + 1, worker = NULL, "
            "state = CASE WHEN cancelling THEN 'cancelled' WHEN restarts + 1 > ? THEN 'failed' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling OR restarts + 1 > ? THEN ? END, "
            f"error = CASE WHEN restarts + 1 > ? THEN ? ELSE error END WHERE state = 'running' RETURNING {_COLUMNS}",
            MOST_RESTARTS,
            MOST_RESTARTS,
            time.time(),
            MOST_RESTARTS,
            error.model_dump_json(),
        ).fetchall()
        return [_job(row) for row in rows]

    # Changing what waits

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Stop a job: at once while it waits; one that runs is marked, and whoever runs it stops it.

        Raises:
            QueueError: it has ended.
        """
        job = self.get(job_id, owner)
        if job.is_over:
            raise QueueError(f"job {job_id!r} is {job.state} already; there is nothing to stop.")
        self._run(
            "UPDATE jobs SET cancelling = (state = 'running'), finished = CASE state WHEN 'queued' THEN ? END, "
            "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END WHERE sequence = ?",
            time.time(),
            job.sequence,
        )
        return self.get(job_id)

    def requeue(self, job_id: str, attempt: int) -> Job | None:
        """Give back a job that was claimed and not run, such as when the server stops; it counts as no death."""
        rows = self._run(
            "UPDATE jobs SET worker = NULL, state = CASE WHEN cancelling THEN 'cancelled' ELSE 'queued' END, "
            "finished = CASE WHEN cancelling THEN ? END WHERE id = ? AND attempts = ? AND state = 'running' "
            f"RETURNING {_COLUMNS}",
            time.time(),
            job_id,
            attempt,
        ).fetchall()
        return _job(rows[0]) if rows else None

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
            (position,) = self._run("SELECT max(position) + 1 FROM jobs").fetchone()
        else:
            other = self._waiting(before, owner)
            if other.owner != job.owner or other.sequence == job.sequence:
                raise QueueError(f"job {job_id!r} can't go before {before!r}. Choose another job of its owner.")
            level = other.priority
            position = self._position_before(other)
        self._run("UPDATE jobs SET position = ?, priority = ? WHERE sequence = ?", position, level, job.sequence)
        return self.get(job_id)

    def _position_before(self, other: Job) -> float:
        """Make room before a job: half way to the one before it, after spreading all out if none is left there."""
        query = (
            "SELECT position, (SELECT max(position) FROM jobs AS earlier WHERE earlier.state = 'queued' AND "
            "earlier.owner = jobs.owner AND earlier.priority = jobs.priority AND earlier.position < jobs.position) "
            "FROM jobs WHERE sequence = ?"
        )
        here, earlier = self._run(query, other.sequence).fetchone()
        middle = here - 1 if earlier is None else (here + earlier) / 2
        if middle in (here, earlier):
            self._run(
                "UPDATE jobs SET position = ranked.place FROM (SELECT sequence AS number, row_number() OVER "
                "(ORDER BY position) AS place FROM jobs WHERE state = 'queued') AS ranked "
                "WHERE sequence = ranked.number"
            )
            return self._position_before(other)
        return float(middle)

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

    def prune(self, *, keep: int | None = None, older_than_s: float | None = None, owner: str | None = None) -> int:
        """Forget ended jobs: all but the newest ``keep``, or those that ended longer ago than that.

        Returns:
            How many were forgotten. Their files stay.
        """
        ended, whose = "state IN ('done', 'failed', 'cancelled', 'poison')", "AND owner = ?" if owner else ""
        owned = [owner] if owner else []
        removed = 0
        if older_than_s is not None:
            query = f"DELETE FROM jobs WHERE {ended} {whose} AND finished < ?"
            removed += self._run(query, *owned, time.time() - older_than_s).rowcount
        if keep is not None:
            query = (
                f"DELETE FROM jobs WHERE {ended} {whose} AND sequence <= (SELECT sequence FROM jobs WHERE {ended} "
                f"{whose} ORDER BY sequence DESC LIMIT 1 OFFSET ?)"
            )
            removed += self._run(query, *owned, *owned, keep).rowcount
        self._run("DELETE FROM documents WHERE hash NOT IN (SELECT workflow_hash FROM jobs)")
        return removed

    # Reading

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

    def page(
        self,
        *,
        owner: str | None = None,
        states: Collection[JobState] = (),
        text: str = "",
        before: int | None = None,
        limit: int = 50,
    ) -> JobPage:
        """Give a page of jobs, newest first.

        Args:
            text: Only jobs whose name or id contains it.
            before: The sequence where the page before ended.
        """
        where: list[str] = ["sequence < ?"]
        values: list[object] = [2**62 if before is None else before]
        if owner is not None:
            where.append("owner = ?")
            values.append(owner)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values.extend(states)
        if text:
            where.append("(instr(lower(name), lower(?)) OR id = ?)")
            values.extend((text, text))
        query = f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(where)} ORDER BY sequence DESC LIMIT ?"
        rows = self._run(query, *values, limit + 1).fetchall()
        jobs = tuple(_job(row) for row in rows[:limit])
        return JobPage(jobs, jobs[-1].sequence if len(rows) > limit else None)

    def queue(self, owner: str | None = None, limit: int = 1000) -> list[Job]:
        """Give the jobs that wait, each owner's in their order, and the ones that run, first."""
        whose = " AND owner = ?" if owner is not None else ""
        query = (
            f"SELECT {_COLUMNS} FROM jobs WHERE state IN ('queued', 'running'){whose} "
            "ORDER BY state = 'queued', priority DESC, position LIMIT ?"
        )
        return [_job(row) for row in self._run(query, *([owner] if owner is not None else []), limit)]

    def counts(self, owner: str | None = None) -> dict[str, int]:
        """Count jobs by state."""
        whose, values = ("WHERE owner = ?", [owner]) if owner is not None else ("", [])
        found = dict(self._run(f"SELECT state, count(*) FROM jobs {whose} GROUP BY state", *values).fetchall())
        return {state: found.get(state, 0) for state in ("queued", "running", *ENDED)}

    def log_of(self, job_id: str, owner: str | None = None) -> tuple[str, int, int] | None:
        """Say which part of which log file is a job's last attempt."""
        self.get(job_id, owner)
        (text,) = self._run("SELECT log FROM jobs WHERE id = ?", job_id).fetchone()
        return None if text is None else tuple(json.loads(text))

    # Events

    def add_events(self, batches: Iterable[tuple[int, int, str]]) -> None:
        """Keep events: the job's sequence, the last event's number, and the events as a JSON array."""
        batches = list(batches)
        self.database.executemany(
            "INSERT OR IGNORE INTO events SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM jobs WHERE sequence = ?1)",
            batches,
        )
        self.database.executemany(
            "UPDATE jobs SET last_event = ? WHERE sequence = ? AND last_event < ?",
            [(last, job, last) for job, last, _body in batches],
        )

    def events_after(self, job_id: str, number: int, owner: str | None = None) -> list[dict[str, Any]]:  # Any: JSON
        """Give a job's stored events with numbers above this one."""
        job = self.get(job_id, owner)
        rows = self._run("SELECT body FROM events WHERE job = ? AND last > ? ORDER BY last", job.sequence, number)
        return [event for (body,) in rows for event in json.loads(body) if event["number"] > number]

    # Assets

    def add_asset(self, owner: str, output: JobOutput, *, name: str, source: str, job: str | None = None) -> None:
        """Remember a file as an owner's, under its bytes' hash; a newer file of the same bytes takes its place."""
        self._run(
            "INSERT INTO assets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, asset) DO UPDATE SET "
            "path = excluded.path, name = excluded.name, source = excluded.source, job = excluded.job",
            owner,
            output.asset,
            output.path,
            name,
            output.media_type,
            output.size_bytes,
            source,
            job,
            time.time(),
        )

    def assets(self, owner: str | None, *, before: float | None = None, limit: int = 50) -> list[Asset]:
        """List assets, the newest first."""
        whose, values = ("owner = ? AND", [owner]) if owner is not None else ("", [])
        rows = self._run(
            f"SELECT * FROM assets WHERE {whose} created < ? ORDER BY created DESC LIMIT ?",
            *values,
            1e18 if before is None else before,
            limit,
        )
        return [Asset(*row) for row in rows]

    def asset(self, asset: str, owner: str | None) -> Asset | None:
        """Give what is known of an asset; None if there is none such, or it is another owner's."""
        whose, values = ("AND owner = ?", [owner]) if owner is not None else ("", [])
        row = self._run(f"SELECT * FROM assets WHERE asset = ? {whose} LIMIT 1", asset, *values).fetchone()
        return None if row is None else Asset(*row)

    def remove_asset(self, asset: str, owner: str | None) -> None:
        """Forget an asset; the caller deletes its file."""
        whose, values = ("AND owner = ?", [owner]) if owner is not None else ("", [])
        self._run(f"DELETE FROM assets WHERE asset = ? {whose}", asset, *values)

    def _keep_assets(self, job: Job) -> None:
        for output in job.outputs:
            self.add_asset(job.owner, output, name=Path(output.path).name, source="output", job=job.id)

    # Timings

    def _keep_timings(self, job: Job, node_seconds: Mapping[str, float]) -> None:
        assert job.started is not None
        assert job.finished is not None
        measured = {f"workflow {job.workflow_hash}": max(job.finished - job.started, 0.0)}
        measured |= {f"node {kind}": seconds for kind, seconds in node_seconds.items()}
        self.database.executemany(
            "INSERT INTO timings VALUES (?1, ?2, 1) ON CONFLICT (subject) DO UPDATE SET "
            f"seconds = seconds + {_SECONDS_KEPT} * (?2 - seconds), count = count + 1",
            list(measured.items()),
        )

    def _estimate(self, digest: bytes, node_types: Sequence[str]) -> float | None:
        """Estimate a job's seconds: what the same workflow took, or else the sum of what its nodes took."""
        workflow = f"workflow {digest.hex()}"
        known = self.timings({workflow, *(f"node {kind}" for kind in node_types)})
        if workflow in known:
            return known[workflow]
        seconds = [known[f"node {kind}"] for kind in node_types if f"node {kind}" in known]
        return sum(seconds) if seconds else None

    def timings(self, subjects: Collection[str]) -> dict[str, float]:
        """Give typical seconds by subject, ``workflow HASH`` or ``node TYPE``, of those that were measured."""
        rows = self._run(
            f"SELECT subject, seconds FROM timings WHERE subject IN ({', '.join('?' * len(subjects))})", *subjects
        )
        return dict(rows.fetchall())

    # Meta

    def meta(self, name: str) -> str | None:
        """Give a setting of the queue itself."""
        row = self._run("SELECT value FROM meta WHERE name = ?", name).fetchone()
        return None if row is None else row[0]

    def set_meta(self, name: str, value: str) -> None:
        """Keep a setting of the queue itself."""
        self._run("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2", name, value)

    def _document(self, job: Job) -> str:
        digest = bytes.fromhex(job.workflow_hash)
        (body,) = self._run("SELECT body FROM documents WHERE hash = ?", digest).fetchone()
        return zlib.decompress(body).decode()

    def _one(self, where: str, *values: object) -> Job | None:
        row = self._run(f"SELECT {_COLUMNS} FROM jobs WHERE {where}", *values).fetchone()
        return None if row is None else _job(row)

    def _run(self, query: str, *values: object) -> sqlite3.Cursor:
        return self.database.execute(query, values)


def _job(row: Sequence[Any]) -> Job:  # Any: columns
    (id_, sequence, owner, name, state, priority, targets, limits, traits, digest, estimate_s, attempts) = row[:12]
    (deaths, restarts, created, started, finished, worker, error, outputs, outcome) = row[12:21]
    retry_of, cancelling, last_event = row[21:]
    return Job.model_construct(  # the columns hold what was checked before: building it again must be quick
        id=id_,
        sequence=sequence,
        owner=owner,
        name=name,
        state=state,
        priority=priority,
        targets=None if targets is None else tuple(json.loads(targets)),
        limits=_NO_LIMITS if limits == "{}" else JobLimits.model_validate_json(limits),
        traits=() if traits == "[]" else tuple(json.loads(traits)),
        workflow_hash=digest.hex(),
        estimate_s=estimate_s,
        attempts=attempts,
        deaths=deaths,
        restarts=restarts,
        created=created,
        started=started,
        finished=finished,
        worker=worker,
        error=None if error is None else JobError.model_validate_json(error),
        outputs=() if outputs == "[]" else tuple(JobOutput.model_validate(each) for each in json.loads(outputs)),
        values={} if outcome == "{}" else json.loads(outcome),
        retry_of=retry_of,
        cancelling=bool(cancelling),
        last_event=last_event,
    )


_NO_LIMITS = JobLimits()
