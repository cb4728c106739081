"""How long workflows and kinds of nodes took, and so what a job may take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from graphengine.core.job import Job
from graphengine.jobs.tables import Tables

__all__ = ["Timings"]

_NEWEST_COUNTS = 0.3  # the weight of the newest measurement in a typical time


class Timings(Tables):
    """Typical times, from those that were measured."""

    def timings(self, subjects: Collection[str]) -> dict[str, float]:
        """Give typical seconds by subject, ``workflow HASH`` or ``node TYPE``, of those that were measured."""
        rows = self._run(
            f"SELECT subject, seconds FROM timings WHERE subject IN ({', '.join('?' * len(subjects))})", *subjects
        )
        return dict(rows.fetchall())

    def _keep_timings(self, job: Job, node_seconds: Mapping[str, float]) -> None:
        assert job.started is not None
        assert job.finished is not None
        measured = {f"workflow {job.workflow_hash}": max(job.finished - job.started, 0.0)}
        measured |= {f"node {kind}": seconds for kind, seconds in node_seconds.items()}
        self.database.executemany(
            "INSERT INTO timings VALUES (?1, ?2, 1) ON CONFLICT (subject) DO UPDATE SET "
            f"seconds = seconds + {_NEWEST_COUNTS} * (?2 - seconds), count = count + 1",
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
