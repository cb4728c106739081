"""Clocks that jump, servers that are asked to end, and a second server for the same folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.faults.faulty_libc import can_compile, faulty_libc
from tests.faults.measured import Result, Scale
from tests.faults.processes import faulty_server, until_calm, until_gone, workers_of
from tests.server.running import Json, Server, one_node

__all__ = ["Ending", "Refusal", "end_by_signal", "jobs_lost_by_jumps", "jumps_and_endings", "second_server"]

_DAY_S = 86_400
_REFUSED_WITHIN_S = 2.0
_GRACE_S = 0.5  # what ``running`` gives


class Ending(NamedTuple):
    """How a server ended that was asked to.

    Attributes:
        seconds: How long it took.
        job: The job that ran then, after another server went on.
    """

    seconds: float
    orphans: list[int]
    job: Json


class Refusal(NamedTuple):
    """What became of a second server."""

    seconds: float
    code: int
    said: str


def jumps_and_endings(folder: Path, scale: Scale) -> Result:
    """Row 20: clock, SIGTERM, second server."""
    if not can_compile():
        return Result("not measured: this needs Linux and a C compiler", False)
    lost = jobs_lost_by_jumps(folder / "clock")
    with faulty_server(folder / "ending") as server:
        refusal = second_server(server)
    ending = end_by_signal(folder / "ending")
    is_refused = refusal.code != 0 and refusal.seconds <= _REFUSED_WITHIN_S and "another graphengine" in refusal.said
    kept = ending.job["state"] == "done"
    return Result(
        f"{lost} of 30 lost by jumps; SIGTERM: {len(ending.orphans)} orphans, {ending.seconds:.1f} s, "
        f"job {'kept' if kept else 'lost'}; second {'refused' if is_refused else 'not refused'} "
        f"after {refusal.seconds:.1f} s",
        not lost and not ending.orphans and kept and is_refused,
    )


def jobs_lost_by_jumps(folder: Path) -> int:
    """Let the clock jump while jobs wait and run; give how many did not run to their end, once, in order."""
    with faulty_libc(folder, folder / "data") as libc, faulty_server(folder) as server:
        jobs = []
        for jump in (0, _DAY_S, -_DAY_S):
            libc.set(clock_s=jump)
            jobs += [server.submit(one_node("f.Write", text=f"{jump} {number}", seconds=0.1)) for number in range(10)]
            time.sleep(0.3)  # so that one of them runs when the clock jumps
        until_calm(server, 60)
        ended = [server.job(job) for job in jobs]
    return sum((job["state"], job["attempts"]) != ("done", 1) for job in ended)


def end_by_signal(folder: Path) -> Ending:
    """Ask a server to end while a job runs that takes longer than it may, and let another one go on."""
    with faulty_server(folder) as server:
        job = server.submit(one_node("f.Write", text="long", seconds=_GRACE_S + 1))
        server.until_running(job)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        psutil.Process(server.pid).wait(30)
        seconds = time.monotonic() - began
        orphans = workers_of(server.data) and until_gone(server.data, 1)
    with faulty_server(folder) as server:
        return Ending(seconds, orphans, server.end_of(job))


def second_server(server: Server) -> Refusal:
    """Start another server for the same folder."""
    command = [sys.executable, "-m", "graphengine", "serve", "--data", str(server.data), "--port", "0"]
    began = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return Refusal(time.monotonic() - began, ended.returncode, ended.stderr)
