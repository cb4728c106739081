"""The log files of workers: one for each process, the old ones pruned."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["log_name", "prune_logs", "tail_of"]

MOST_LOGS = 20
"""Log files that are kept for each device, besides those of workers that run."""

_NAME = re.compile(r"worker-(?P<device>.+)-(?P<started_ms>\d+)\.log")
_TAIL_BYTES = 4000


def log_name(device: str) -> str:
    """Make the name of a new worker's log."""
    return f"worker-{re.sub(r'[^A-Za-z0-9_]', '_', device)}-{time.time_ns() // 1_000_000}.log"


def prune_logs(folder: Path, in_use: Collection[str] = (), *, most: int = MOST_LOGS) -> None:
    """Remove logs of earlier workers, of each device all but the newest.

    Args:
        in_use: Names of logs that stay: those of workers that run, which a clock that was set back may make look old.
    """
    by_device: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.glob("worker-*.log"):
        if (match := _NAME.fullmatch(path.name)) is not None:
            by_device.setdefault(match["device"], []).append((int(match["started_ms"]), path))
    for found in by_device.values():
        for _, path in sorted(found, reverse=True)[most:]:
            if path.name not in in_use:
                with contextlib.suppress(OSError):
                    path.unlink()


def tail_of(path: Path) -> str:
    """Give what was written last into a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
