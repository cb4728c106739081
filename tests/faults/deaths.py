"""Workers that die, hang, hold the interpreter or run out of memory, under a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.measured import Result, Scale, percentile
from tests.faults.processes import faulty_server, kill, only_worker, time_to_look
from tests.server.running import Json, Server, one_node, until
from tests.workers import documents

__all__ = ["held_interpreter", "killed_workers", "out_of_memory", "poison"]

_PATIENCE_S = 60.0


class Death(NamedTuple):
    """A worker's death during a job.

    Attributes:
        noticed_s: Until the server said so.
        next_start_s: Until a job ran again.
        slowest_look_s: The longest that a look at the queue took meanwhile.
    """

    job: str
    noticed_s: float
    next_start_s: float
    slowest_look_s: float


def killed_workers(folder: Path, scale: Scale) -> tuple[Result, Result]:
    """Rows 3 and 4: workers that are killed during jobs."""
    with faulty_server(folder) as server:
        deaths = list(_kill_workers(server, scale.worker_kills))
        ended = [server.job(death.job) for death in deaths]
    lost = [job for job in ended if (job["state"], job["deaths"]) != ("done", 1)]
    noticed = percentile([death.noticed_s for death in deaths], 0.99)
    start = percentile([death.next_start_s for death in deaths], 0.99)
    look = max(death.slowest_look_s for death in deaths)
    return (
        Result(f"{len(lost)} ({len(deaths):,} kills)", not lost),
        Result(
            f"{noticed * 1000:.0f} ms; {start:.2f} s; {look * 1000:.0f} ms ({len(deaths):,} kills)",
            noticed <= 0.2 and start <= 5 and look <= 0.25,
        ),
    )


def _kill_workers(server: Server, times: int) -> Iterator[Death]:
    for number in range(times):
        job = server.submit(one_node("f.Write", text=f"{number}", seconds=0.15, kib=1))
        until(lambda: only_worker(server)["job"] is not None)
        pid = only_worker(server)["pid"]
        began, slowest = time.time(), 0.0
        kill(pid)
        while server.job(job)["finished"] is None:
            assert time.time() - began < _PATIENCE_S, server.job(job)
            slowest = max(slowest, time_to_look(server))
            time.sleep(0.005)
        events = server.ask("GET", f"/jobs/{job}/events").json["events"]
        noticed = next(event["time"] for event in events if event["type"] == "worker_lost")
        again = next(event["time"] for event in events if event["type"] == "job_running" and event["attempt"] == 2)
        yield Death(job, max(noticed - began, 0.0), again - began, slowest)


def poison(folder: Path, scale: Scale) -> Result:
    """Row 5: jobs that take their worker with them every time, each with another one behind it."""
    bad: list[tuple[str, Json]] = [(how, _document("Die", how=how)) for how in ("exit", "segv", "abort", "kill")]
    wrong = []
    with faulty_server(folder) as server:
        memory = {"memory_bytes": 300 * 1024**2}
        submitted = [(how, server.submit(document)) for how, document in bad]
        submitted.append(("memory limit", server.submit(_document("Eat", mib=400), limits=memory)))
        others = [server.submit(one_node("f.Write", text=how)) for how, _ in submitted]
        for how, job in submitted:
            ended = _end(server, job)
            if (ended["state"], ended["deaths"]) != ("poison", 3):
                wrong.append(how)
        ran = sum(_end(server, job)["state"] == "done" for job in others)
    return Result(
        f"{len(submitted) - len(wrong)} of {len(submitted)} kinds parked after 3, {ran} of {len(others)} others ran",
        not wrong and ran == len(others),
    )


def out_of_memory(folder: Path, scale: Scale) -> Result:
    """Row 11: nodes that find the device full, every second one once only."""
    clear = recovered = others = 0
    with faulty_server(folder) as server:
        for number in range(scale.out_of_memory):
            times = 1 + number % 2
            count_in = str(folder / f"count{number}")
            ended = _end(server, server.submit(_document("OutOfMemory", count_in=count_in, times=times, size=number)))
            recovered += times == 1 and ended["state"] == "done"
            clear += times == 2 and _is_clear(ended, str(number))
            others += _end(server, server.submit(one_node("f.Write", kib=1)))["state"] == "done"
        starts = only_worker(server)["starts"]
    every = scale.out_of_memory
    return Result(
        f"{recovered} of {(every + 1) // 2} recovered, {clear} of {every // 2} clear errors, "
        f"{others} of {every} next jobs ok",
        recovered == (every + 1) // 2 and clear == every // 2 and others == every and starts == 1,
    )


def _is_clear(job: Json, size: str) -> bool:
    error = job["error"] or {}
    extra = error.get("extra", {})
    return (error.get("code"), extra.get("node"), extra.get("inputs", {}).get("size")) == ("out_of_memory", "it", size)


def held_interpreter(folder: Path, scale: Scale) -> Result:
    """Row 19: a node that lets no other thread of its process run."""
    looks = []
    with faulty_server(folder, "--cancel-grace", "1") as server:
        job = server.submit(_document("HoldInterpreter", seconds=scale.hold_s + 60))
        server.until_running(job)
        end = time.monotonic() + scale.hold_s
        was_shown = False
        while time.monotonic() < end:
            looks.append(time_to_look(server))
            was_shown = was_shown or not only_worker(server)["responding"]
            time.sleep(0.01)
        server.ask("POST", f"/jobs/{job}/cancel")
        state = server.end_of(job)["state"]
    p99 = percentile(looks, 0.99) * 1000
    shown = "shown as not responding" if was_shown else "not shown"
    return Result(
        f"{p99:.1f} ms ({scale.hold_s} s, {len(looks):,} looks); {shown}, {state} on cancel",
        p99 <= 50 and was_shown and state == "cancelled",
    )


def _document(kind: str, **inputs: object) -> Json:
    return json.loads(documents.one(kind, **inputs))  # type: ignore[arg-type]  # its output's name isn't given


def _end(server: Server, job: str) -> Json:
    """Wait for a job's end, however long others hold the worker."""
    until(lambda: server.ask("GET", f"/jobs/{job}?wait=20").json["job"]["finished"] is not None, _PATIENCE_S)
    return server.job(job)
