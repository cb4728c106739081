"""What there is to read of jobs: pages, the queue, logs and events; and forgetting old ones."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphengine.core.job import ENDED, Job, JobState
from graphengine.jobs.assets import Assets
from graphengine.jobs.tables import COLUMNS, job_of

__all__ = ["EventBatch", "History", "JobPage"]


class EventBatch(NamedTuple):
    """Events of a job, one after the other.

    Attributes:
        job: The job's sequence.
        first: The first one's number.
        body: All of them as a JSON array.
    """

    job: int
    first: int
    last: int
    body: str


@dataclass(frozen=True)
class JobPage:
    """A page of the history, newest first; ``next`` goes on where it ends, None at the end."""

    jobs: tuple[Job, ...]
    next: int | None


class History(Assets):
    """Jobs of all states, and what happened in them."""

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
            text: Only jobs whose name contains it, in whatever case, or whose id it is.
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
            where.append("(instr(casefold(name), ?) OR id = ?)")
            values.extend((text.casefold(), text))
        query = f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(where)} ORDER BY sequence DESC LIMIT ?"
        rows = self._run(query, *values, limit + 1).fetchall()
        jobs = tuple(job_of(row) for row in rows[:limit])
        return JobPage(jobs, jobs[-1].sequence if len(rows) > limit else None)

    def queue(self, owner: str | None = None, limit: int = 1000) -> list[Job]:
        """Give the jobs that run, then the ones that wait, each owner's in their order."""
        whose, values = (" AND owner = ?", [owner]) if owner is not None else ("", [])
        query = (
            f"SELECT {COLUMNS} FROM jobs WHERE state IN ('queued', 'running'){whose} "
            "ORDER BY state = 'queued', priority DESC, position LIMIT ?"
        )
        return [job_of(row) for row in self._run(query, *values, limit)]

    def counts(self, owner: str | None = None) -> dict[str, int]:
        """Count jobs by state."""
        whose, values = ("WHERE owner = ?", [owner]) if owner is not None else ("", [])
        found = dict(self._run(f"SELECT state, count(*) FROM jobs {whose} GROUP BY state", *values).fetchall())
        return {state: found.get(state, 0) for state in ("queued", "running", *ENDED)}

    def log_of(self, job_id: str, owner: str | None = None) -> tuple[str, int, int] | None:
        """Say which part of which log file is a job's last attempt: name, first and last byte."""
        self.get(job_id, owner)
        (text,) = self._run("SELECT log FROM jobs WHERE id = ?", job_id).fetchone()
        return None if text is None else tuple(json.loads(text))

    def add_events(self, batches: Iterable[EventBatch]) -> None:
        """Keep events.

        Those that are kept already are left out, so the same may be given again when it is not known whether they are.
        """
        for sequence, first, last, body in batches:
            row = self._run("SELECT last_event FROM jobs WHERE sequence = ?", sequence).fetchone()
            if row is None or row[0] >= last:
                continue
            if row[0] >= first:
                new = [event for event in json.loads(body) if event["number"] > row[0]]
                body = json.dumps(new, separators=(",", ":"), ensure_ascii=False)
            self._run("INSERT INTO events VALUES (?, ?, ?)", sequence, last, body)
            self._run("UPDATE jobs SET last_event = ? WHERE sequence = ?", last, sequence)

    def events_after(self, job_id: str, number: int, owner: str | None = None) -> list[dict[str, Any]]:  # Any: JSON
        """Give a job's stored events with numbers above this one."""
        job = self.get(job_id, owner)
        rows = self._run("SELECT body FROM events WHERE job = ? AND last > ? ORDER BY last", job.sequence, number)
        return [event for (body,) in rows for event in json.loads(body) if event["number"] > number]

    def prune(self, *, keep: int | None = None, older_than_s: float | None = None, owner: str | None = None) -> int:
        """Forget ended jobs: all but the newest ``keep``, or those that ended longer ago than that.

        Their events are forgotten, and which files they wrote: these stay on disk, but are assets no more, except those
        whose bytes a job that is kept wrote later.

        Returns:
            How many were forgotten.
        """
        ended, values = f"state IN {ENDED}", []
        if owner is not None:
            ended, values = f"{ended} AND owner = ?", [owner]
        removed = 0
        if older_than_s is not None:
            before = time.time() - older_than_s
            removed += self._run(f"DELETE FROM jobs WHERE {ended} AND finished < ?", *values, before).rowcount
        if keep is not None:
            query = (
                f"DELETE FROM jobs WHERE {ended} AND sequence <= "
                f"(SELECT sequence FROM jobs WHERE {ended} ORDER BY sequence DESC LIMIT 1 OFFSET ?)"
            )
            removed += self._run(query, *values, *values, keep).rowcount
        if removed:
            self._run("DELETE FROM documents WHERE hash NOT IN (SELECT workflow_hash FROM jobs)")
            self._forget_lost_assets()
        return removed
