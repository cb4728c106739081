"""Disks that are full, and disks of which one write or one sync fails: each in turn, in a real server's life."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.faulty_libc import SYNCS, WRITES, FaultyLibc, can_compile, faulty_libc
from tests.faults.measured import Result, Scale
from tests.faults.processes import GONE, faulty_server, is_sound, kill, until_calm
from tests.server.running import Json, Server, one_node

__all__ = ["Lives", "failing_disk", "full_disk", "live_with_failures"]


@dataclass
class Lives:
    """What became of servers whose disk failed.

    Attributes:
        refused: Answers to requests that could not be done, by status.
        false: Jobs that were accepted and are not there afterwards, or have not ended.
        damaged: Queues that are not whole afterwards.
    """

    failures: int = 0
    accepted: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    false: list[str] = field(default_factory=list)
    damaged: int = 0

    def submit(self, server: Server, document: Json, ids: list[str]) -> None:
        """Try to queue a job, and note what is said."""
        with contextlib.suppress(*GONE):
            reply = server.ask("POST", "/jobs", {"workflow": document})
            if reply.status == 201:
                self.accepted += 1
                ids.append(str(reply.json["job"]["id"]))
            else:
                self.refused[reply.status] = self.refused.get(reply.status, 0) + 1


def failing_disk(folder: Path, scale: Scale) -> Result:
    """Row 12: a full disk, then writes and syncs that fail."""
    if not can_compile():
        return Result("not measured: this needs Linux and a C compiler", False)
    full, goes_on = full_disk(folder / "full")
    lives = live_with_failures(folder / "failing", scale.write_failures)
    answers = ", ".join(f"{times} x {status}" for status, times in sorted({**full.refused}.items()))
    told = ", ".join(f"{times} x {status}" for status, times in sorted(lives.refused.items()))
    false = len(full.false) + len(lives.false)
    sound = "integrity ok" if not full.damaged + lives.damaged else f"{full.damaged + lives.damaged} damaged"
    return Result(
        f"full: {answers or 'nothing refused'}, {'goes on' if goes_on else 'does not go on'} after; "
        f"{lives.failures} calls failed in turn: {told or 'nothing refused'}; {false} false 201; {sound}",
        set(full.refused) == {507}
        and goes_on
        and not false
        and not full.damaged + lives.damaged
        and set(lives.refused) <= {503, 507},
    )


def full_disk(folder: Path) -> tuple[Lives, bool]:
    """Fill a server's disk while jobs come, then make room; tell whether it goes on by itself."""
    lives, ids = Lives(failures=1), list[str]()
    with faulty_libc(folder, folder / "data") as libc:
        with faulty_server(folder) as server:
            lives.submit(server, one_node("f.Write", text="before"), ids)
            libc.fail(errno.ENOSPC, kinds=WRITES)
            for number in range(5):
                lives.submit(server, one_node("f.Write", text=f"full {number}"), ids)
            is_up = server.ask("GET", "/queue").status == 200
            libc.work()
            was = len(ids)
            lives.submit(server, one_node("f.Write", text="after"), ids)
            until_calm(server, 30)
            goes_on = is_up and len(ids) == was + 1 and server.job(ids[-1])["state"] == "done"
            kill(server.pid)
        _check(folder / "data", ids, lives)
    return lives, goes_on


def live_with_failures(folder: Path, most: int) -> Lives:
    """Go through the same few jobs again and again, letting another call fail each time.

    Args:
        most: So many failures of each kind at most, evenly spread over all calls of such a life.
    """
    lives = Lives()
    for name, kinds, error in (
        ("full", WRITES, errno.ENOSPC),
        ("write", WRITES, errno.EIO),
        ("sync", SYNCS, errno.EIO),
    ):
        data = folder / name / "data"
        with faulty_libc(folder / name, data / "queue.sqlite") as libc:
            calls = _live(folder / name, libc, lives, kinds, error, failing=10**9)
            for failing in _spread(calls, most):
                lives.failures += 1
                _live(folder / name, libc, lives, kinds, error, failing)
    return lives


def _spread(calls: int, most: int) -> Iterator[int]:
    step = max(calls // most, 1)
    yield from range(1, calls + 1, step)


def _live(folder: Path, libc: FaultyLibc, lives: Lives, kinds: int, error: int, failing: int) -> int:
    """Start a server, let one call fail while a few jobs come and run, kill it, and let another one go on."""
    ids = list[str]()
    with faulty_server(folder) as server:
        libc.fail(error, kinds=kinds, first=failing, times=1)
        for number in range(3):
            lives.submit(server, one_node("f.Write", text=f"{failing}.{number}", kib=1), ids)
        with contextlib.suppress(*GONE):
            server.ask("GET", f"/jobs/{ids[-1]}?wait=2" if ids else "/queue")
        calls = libc.get("calls")
        libc.work()
        kill(server.pid)
    with faulty_server(folder) as server:
        until_calm(server, 60)
    _check(folder / "data", ids, lives)
    return calls


def _check(data: Path, ids: list[str], lives: Lives) -> None:
    lives.damaged += not is_sound(data)
    with closing(sqlite3.connect(data / "queue.sqlite")) as database:
        states = dict(database.execute("SELECT id, state FROM jobs").fetchall())
    lives.false += [job for job in ids if states.get(job) in (None, "queued", "running")]
