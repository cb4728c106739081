"""Servers with the packs of the fault tests, and the processes that belong to them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from tests.server.running import Server, running
from tests.workers.documents import PACK as WORKERS_PACK

__all__ = [
    "faulty_server",
    "is_sound",
    "kill",
    "only_worker",
    "time_to_look",
    "until_calm",
    "until_gone",
    "workers_of",
]

PACK = Path(__file__).parent / "fault_pack.py"
PACKS = ("--pack", str(PACK), "--pack", str(WORKERS_PACK))


@contextmanager
def faulty_server(folder: Path, *options: str) -> Iterator[Server]:
    """Start a server whose nodes misbehave; on a folder that had one before, it goes on where that one ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with running(folder, *PACKS, *options) as server:
        yield server


def workers_of(data: Path) -> list[int]:
    """Find the worker processes that serve a data folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ValueError, LookupError):
            words = process.cmdline()
            is_ours = "graphengine.workers.process" in words and json.loads(words[-1])["data"] == str(data)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def only_worker(server: Server) -> dict[str, Any]:  # Any: JSON
    """Give what the server says of its one worker."""
    (worker,) = server.ask("GET", "/system").json["workers"]
    return dict(worker)


def kill(*pids: int) -> None:
    """End processes at once."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until_gone(data: Path, seconds: float = 5.0) -> list[int]:
    """Wait until no worker serves a data folder; give those that still do after that time."""
    end = time.monotonic() + seconds
    while (left := workers_of(data)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def until_calm(server: Server, seconds: float = 300.0) -> None:
    """Wait until no job waits or runs."""
    end = time.monotonic() + seconds
    while any((counts := server.ask("GET", "/queue").json["counts"]).get(state) for state in ("queued", "running")):
        assert time.monotonic() < end, counts
        time.sleep(0.1)


def time_to_look(server: Server) -> float:
    """Give the seconds that a look at the queue takes."""
    began = time.perf_counter()
    assert server.ask("GET", "/queue").status == 200
    return time.perf_counter() - began


def is_sound(data: Path) -> bool:
    """Tell whether the queue's file is whole."""
    with closing(sqlite3.connect(data / "queue.sqlite")) as database:
        checks = [database.execute(f"PRAGMA {check}").fetchall() for check in ("integrity_check", "foreign_key_check")]
    return checks == [[("ok",)], []]


GONE = (OSError, HTTPException)
"""What a request to a server raises that ends meanwhile."""
