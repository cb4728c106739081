"""Servers that are killed again and again while clients submit jobs; afterwards everything is counted."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.faults.fault_pack import END
from tests.faults.measured import Result, Scale
from tests.faults.processes import (
    GONE,
    PACKS,
    faulty_server,
    is_sound,
    kill,
    until_calm,
    until_gone,
    workers_of,
)
from tests.server.running import Server, one_node

__all__ = ["Found", "kill_servers", "killed_servers"]

_CLIENTS = 6
_PAUSE_S = 0.02  # of a client, so that the queue grows, but can be worked off in the end


@dataclass
class Found:
    """What is wrong after all the kills, if anything is.

    Attributes:
        kills: How many there were.
        accepted: Jobs that clients were told of.
        lost: Of those, the ones that are not there or did not run to their end.
        doubled: Jobs that ended twice, or that one key made twice.
        orphans: Worker processes that outlived their server by 5 s.
        partial: Files that could be seen and were not whole, or missing.
        sound: Whether the queue's file is.
    """

    kills: int = 0
    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    sound: bool = False


class Clients:
    """Programs that submit jobs, and send each again with the same key until they have an answer."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.accepted: dict[str, str] = {}
        self.contradicted: list[str] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._submit_all, args=(name,)) for name in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each have its last answer; a server must be running, unless they are to give up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _submit_all(self, name: int) -> None:
        for number in count():
            if self._stopping.wait(_PAUSE_S):
                return
            key = f"{name}-{number}"
            job = self._until_accepted(key)
            if number % 10 == 9 and job is not None:
                again = self._until_accepted(key)
                if again not in (job, None):
                    self.contradicted.append(key)

    def _until_accepted(self, key: str) -> str | None:
        document = one_node("f.Write", text=key)
        while (server := self.server) is not None or not self._stopping.is_set():
            with contextlib.suppress(*GONE):
                if server is not None:
                    reply = server.ask("POST", "/jobs", {"workflow": document, "idempotency_key": key})
                    if reply.status == 201:
                        job = str(reply.json["job"]["id"])
                        self.accepted[key] = job
                        return job
            time.sleep(0.02)
        return None


def kill_servers(folder: Path, kills: int, *, worker_kills_each: int = 0, seed: int = 1) -> Found:
    """Kill servers under load, at any time: while they start, while jobs run, alone or with their workers.

    Args:
        worker_kills_each: So many workers are killed before each server is.
    """
    chance = random.Random(seed)
    found, data, clients = Found(kills), folder / "data", Clients()
    try:
        for number in range(kills):
            if number % 3 == 1:
                _kill_while_it_starts(folder, chance)
            else:
                _kill_while_it_runs(folder, chance, clients, worker_kills_each)
            found.orphans += until_gone(data)
            found.partial += _partial_files(data)
        with faulty_server(folder) as server:
            clients.server = server
            clients.stop()
            until_calm(server)
            _count_jobs(server, clients, found)
    finally:
        clients.server = None
        clients.stop()
    found.partial += [str(path) for path in (data / "output").rglob("*.part")]
    found.sound = is_sound(data)
    return found


def _kill_while_it_runs(folder: Path, chance: random.Random, clients: Clients, worker_kills: int) -> None:
    with faulty_server(folder) as server:
        clients.server = server
        for _ in range(worker_kills):
            time.sleep(chance.uniform(0.2, 0.6))
            kill(*workers_of(server.data))
        time.sleep(chance.uniform(0, 0.8))
        workers = workers_of(server.data) if chance.random() < 0.5 else []
        clients.server = None
        kill(server.pid, *workers)


def _kill_while_it_starts(folder: Path, chance: random.Random) -> None:
    command = [sys.executable, "-m", "graphengine", "serve", "--data", str(folder / "data"), "--port", "0", *PACKS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(chance.uniform(0, 1.5))
        process.kill()


def _partial_files(data: Path) -> list[str]:
    """Find files in the output folder that can be seen and are not whole."""
    seen = [path for path in (data / "output").rglob("*.txt") if not path.name.startswith(".")]
    return [str(path) for path in seen if not path.read_text().endswith(END)]


def _count_jobs(server: Server, clients: Clients, found: Found) -> None:
    with closing(sqlite3.connect(server.data / "queue.sqlite")) as database:
        rows: Sequence[tuple[str, str, str]] = database.execute(
            "SELECT id, idempotency_key, state FROM jobs"
        ).fetchall()
    states = {id_: state for id_, _, state in rows}
    keys = Counter(key for _, key, _ in rows)
    found.accepted = len(clients.accepted)
    found.doubled += [*clients.contradicted, *(key for key, times in keys.items() if times > 1)]
    for job in clients.accepted.values():
        if states.get(job) != "done":
            found.lost.append(f"{job}: {states.get(job)}")
            continue
        events = server.ask("GET", f"/jobs/{job}/events").json["events"]
        ends = [event["number"] for event in events if event["type"] == "job_ended"]
        if ends != [events[-1]["number"]]:
            found.doubled.append(job)
        if not any(output["path"] == "text.txt" for output in server.job(job)["outputs"]):
            found.partial.append(job)
    whole = len(list((server.data / "output").rglob("text.txt")))
    if whole < len(rows):
        found.partial.append(f"{len(rows) - whole} jobs have no file")


def killed_servers(folder: Path, scale: Scale) -> tuple[Result, Result]:
    """Rows 1 and 2: what kills of the server cost."""
    found = kill_servers(folder, scale.server_kills)
    lost, doubled, orphans, partial = (len(each) for each in (found.lost, found.doubled, found.orphans, found.partial))
    sound = "integrity ok" if found.sound else "the file is damaged"
    first = f"{lost} of {found.accepted:,} ({found.kills} kills); {sound}"
    second = f"{doubled}; {orphans}; {partial} ({found.kills} kills)"
    return (
        Result(first, not lost and found.sound and found.accepted > found.kills),
        Result(second, not (doubled or orphans or partial)),
    )
