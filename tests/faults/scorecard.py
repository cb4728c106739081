"""Measure what happens to a server and its jobs when things go wrong, and print a table with goals.

    python -m tests.faults.scorecard [--full] [--rows 3,7] [--write FILE]

Each row starts servers of its own, as real processes, on a scratch folder. Without ``--full`` everything is done less
often, which each result says. Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults import clock, deaths, disk, files, floods, hostility, kills, load, prompts
from tests.faults.measured import FULL, SHORT, Result, Scale

Measure = Callable[[Path, Scale], Result | Sequence[Result]]

__all__ = ["MEASUREMENTS", "ROWS", "Row", "main"]


class Row(NamedTuple):
    """A line of the table, but for its result."""

    test: str
    comfyui: str
    goal: str


class Measurement(NamedTuple):
    """How some rows are measured, in one go."""

    rows: tuple[int, ...]
    measure: Measure


ROWS = {
    1: Row("kill -9 of the server at random times, under load: accepted jobs lost", "403 of 403", "0"),
    2: Row("same: jobs that ended twice; orphan processes after 5 s; partial files", "–", "0; 0; 0"),
    3: Row("kill -9 of the worker during a job: jobs lost", "server dies", "0"),
    4: Row("same: noticed, p99; next job starts; slowest `GET /queue`", "–", "0.2 s; 5 s; 250 ms"),
    5: Row("job that ends its worker each time", "server dies", "parked after 3, others run"),
    6: Row("hostile requests", "36 x 5xx, 1 death", "0 x 5xx, 0 deaths, 4xx structured"),
    7: Row("generated workflows and requests", "–", "0 x 5xx"),
    8: Row("corrupt safetensors", "–", "0 crashes, <= 2 s each, a clear error"),
    9: Row("200 mute sockets while 50 jobs run: `GET /queue` p99", "21 ms (100 sockets)", "50 ms"),
    10: Row("stalled tab with 12 MB pending: what another client hears; memory", "0 %", "100 %; +50 MB"),
    11: Row("GPU out of memory, simulated", "–", "clear error, next job ok"),
    12: Row("disk full; each write or sync in turn fails", "–", "507; no false 201; integrity ok"),
    13: Row("soak: memory per 5-node job; file descriptors", "3.6 KiB", "1 KiB; flat"),
    14: Row("100,000 jobs in the history: page p99; claim p99", "177 ms at 1,000", "50 ms; 2 ms"),
    15: Row("restart to ready with 10,000 jobs queued", "8-11 s with none", "2 s"),
    16: Row("accepting a job under load, p99", "706 ms", "50 ms"),
    17: Row("cancel: node that polls; one that never does, slot free", "4.5 ms; 1.85 s", "1 s; 6 s"),
    18: Row("requests of foreign pages, hosts and websockets", "accepted", "100 % refused"),
    19: Row("node that holds the interpreter: `GET /queue` p99", "server frozen", "50 ms"),
    20: Row("clock jumps of a day; SIGTERM; second server", "–", "nothing lost; 0 orphans; refused in 2 s"),
}

MEASUREMENTS = (
    Measurement((1, 2), kills.killed_servers),
    Measurement((3, 4), deaths.killed_workers),
    Measurement((5,), deaths.poison),
    Measurement((6,), hostility.hostile_requests_row),
    Measurement((7,), prompts.generated_prompts),
    Measurement((8,), files.corrupt_files),
    Measurement((9,), floods.mute_sockets),
    Measurement((10,), floods.stalled_socket),
    Measurement((11,), deaths.out_of_memory),
    Measurement((12,), disk.failing_disk),
    Measurement((13,), load.soak),
    Measurement((14,), load.long_history),
    Measurement((15,), load.long_queue),
    Measurement((16,), load.accepting),
    Measurement((17,), load.cancelling),
    Measurement((18,), hostility.foreign_pages),
    Measurement((19,), deaths.held_interpreter),
    Measurement((20,), clock.jumps_and_endings),
)


def main(arguments: Sequence[str] | None = None, measurements: Sequence[Measurement] = MEASUREMENTS) -> int:
    """Measure the rows that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.scorecard", description=__doc__)
    parser.add_argument("--full", action="store_true", help="do everything as often as the goals mean; takes an hour")
    parser.add_argument("--rows", type=_numbers, default=sorted(ROWS), metavar="N,…", help="measure these only")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args(arguments)
    print(f"{'#':>3} {'test':76} {'ComfyUI':20} {'goal':40} {'ok':3} result")
    results = {}
    for number, result in _measured(measurements, options.rows, FULL if options.full else SHORT):
        results[number] = result
        row = ROWS[number]
        print(f"{number:3} {row.test:76} {row.comfyui:20} {row.goal:40} {_mark(result):3} {result.text}", flush=True)
    if options.write:
        command = "python -m tests.faults.scorecard" + (" --full" if options.full else "")
        options.write.write_text(_as_markdown(results, command), encoding="utf-8")
    return 0 if all(result.passed for result in results.values()) else 1


def _numbers(text: str) -> list[int]:
    numbers = [int(each) for each in text.split(",")]
    if not set(numbers) <= ROWS.keys():
        raise argparse.ArgumentTypeError(f"the rows are 1 to {max(ROWS)}")
    return numbers


def _measured(
    measurements: Sequence[Measurement], wanted: Collection[int], scale: Scale
) -> Iterator[tuple[int, Result]]:
    for rows, measure in measurements:
        if not set(rows).isdisjoint(wanted):
            for number, result in zip(rows, _results(measure, scale, len(rows)), strict=True):
                if number in wanted:
                    yield number, result


def _results(measure: Measure, scale: Scale, count: int) -> Sequence[Result]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            found = measure(Path(folder), scale)
        except Exception as error:  # a border: the other rows are measured all the same
            traceback.print_exc()
            said = " ".join(str(error).replace(folder, "…").split())[:200]
            return [Result(f"not measured: {type(error).__name__}: {said}", False)] * count
    return [found] if isinstance(found, Result) else found


def _mark(result: Result) -> str:
    return "ok" if result.passed else "NO"


def _as_markdown(results: dict[int, Result], command: str) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# Scorecard",
        "",
        f"What `{command}` measured on a machine with {machine}. Clients and servers share its cores.",
        "ComfyUI's figures are those of version 0.8.0 on such a machine.",
        "",
        "| # | test | ComfyUI | goal | result | ok |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, result in sorted(results.items()):
        row = ROWS[number]
        cells = (str(number), row.test, row.comfyui, row.goal, result.text.replace("|", "/"), _mark(result))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
