"""Which files are whose: uploads, and what jobs wrote."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from graphengine.core.job import Job, JobOutput
from graphengine.jobs.tables import Tables

__all__ = ["Asset", "Assets"]

_TICK_S = 1e-6  # the least between two files' times, so that pages by time leave out none; a float tells it apart


class Asset(NamedTuple):
    """A file that is an owner's: an upload, or what a job wrote.

    Attributes:
        asset: The SHA-256 of its bytes, in hex.
        path: Below the job's output folder, or the folder of uploads.
        source: ``output`` or ``upload``.
        created: When it was noted last, in seconds since 1970; no two have the same.
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


class Assets(Tables):
    """The files that are known by their bytes' hashes."""

    def add_asset(self, owner: str, output: JobOutput, *, name: str, source: str, job: str | None = None) -> None:
        """Remember a file as an owner's; it replaces one of the same bytes and source."""
        (newest,) = self._run("SELECT max(created) FROM assets").fetchone()
        now = time.time() if newest is None else max(time.time(), newest + _TICK_S)
        self._run(
            "INSERT OR REPLACE INTO assets (owner, asset, path, name, media_type, size_bytes, source, job, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            owner,
            output.asset,
            output.path,
            name,
            output.media_type,
            output.size_bytes,
            source,
            job,
            now,
        )

    def assets(self, owner: str | None, *, before: float | None = None, limit: int = 50) -> list[Asset]:
        """List assets, the newest first; the last one's ``created`` as ``before`` gives those after it."""
        whose, values = ("owner = ? AND", [owner]) if owner is not None else ("", [])
        rows = self._run(
            f"SELECT * FROM assets WHERE {whose} created < ? ORDER BY created DESC LIMIT ?",
            *values,
            1e18 if before is None else before,
            limit,
        )
        return [Asset(*row) for row in rows]

    def asset(self, asset: str, owner: str | None, source: str | None = None) -> Asset | None:
        """Give what is known of an asset: of several files of the same bytes an output, and the newest.

        Args:
            owner: Give it only if it is this owner's.
            source: Give an ``output`` or an ``upload`` only.
        """
        row = self._run(
            "SELECT * FROM assets WHERE asset = ?1 AND (?2 IS NULL OR owner = ?2) AND (?3 IS NULL OR source = ?3) "
            "ORDER BY source = 'output' DESC, created DESC LIMIT 1",
            asset,
            owner,
            source,
        ).fetchone()
        return None if row is None else Asset(*row)

    def remove_asset(self, asset: str, owner: str | None, source: str | None = None) -> None:
        """Forget the file that ``asset`` gives, if any, and no other of its bytes; the caller deletes it."""
        found = self.asset(asset, owner, source)
        if found is not None:
            self._run(
                "DELETE FROM assets WHERE owner = ? AND asset = ? AND source = ?", found.owner, asset, found.source
            )

    def _keep_assets(self, job: Job) -> None:
        for output in job.outputs:
            self.add_asset(job.owner, output, name=Path(output.path).name, source="output", job=job.id)

    def _forget_lost_assets(self) -> None:
        """Forget outputs of jobs that are pruned, as nothing tells any more in which folder they are."""
        self._run("DELETE FROM assets WHERE source = 'output' AND job NOT IN (SELECT id FROM jobs)")
