"""Measure and print a table with goals; ``--json FILE`` writes the figures too.

The times of whole commands take the best of several; a busy machine makes every figure worse, never better.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import engine
from tests.bench.medians import Median


def command_seconds(*arguments: str, repeats: int = 5) -> float:
    """Take the best time of a whole ``graphengine`` process."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "graphengine", *arguments], check=True, capture_output=True)
        best = min(best, time.perf_counter() - started)
    return best


Rows = Iterator[tuple[str, float | None, str, float | None]]
"""What, figure (None where this machine can't tell it), unit, goal (None where there is none)."""


_BARE = 1 / 0.97  # at least 0.97 times the bare loop's steps a second


def engine_rows(folder: Path) -> Rows:
    """Measure what graphs of nodes that do nothing cost."""
    settings = engine.settings_in(folder)
    for shape in engine.SHAPES:
        costs = {count: engine.microseconds_per_node(shape, count, settings) for count in (100, 1_000, 10_000)}
        for count, cost in costs.items():
            yield f"engine, {shape} of {count:,}", cost, "µs a node", engine.GOALS.get(shape, 40)
        yield f"engine, {shape}: 10,000 against 100", costs[10_000] / costs[100], "×", 1.5
    yield "1,000 nodes again, all cached", engine.again_milliseconds(1_000, settings), "ms", 10
    yield "1,000 nodes again, the last changed", engine.again_milliseconds(1_000, settings, "n999.b"), "ms", 15
    middle = engine.again_milliseconds(1_000, settings, "n500.b")
    yield "1,000 nodes again, the middle changed", middle, "ms", 15 + 500 * 0.04
    yield "chain of 200 pictures: alive at once", engine.most_pictures_alive(200, settings), "", 2
    yield "3 async nodes of 0.5 s beside 0.4 s of work", engine.side_by_side_seconds(settings), "s", 0.55
    yield "a run of 1,000 nodes noted in the record", engine.record_milliseconds(1_000, settings), "ms", 10
    yield "check, 5,000 nodes", engine.check_milliseconds(5_000, settings), "ms", 100


def command_rows(_folder: Path) -> Rows:
    """Measure whole commands."""
    yield "graphengine --help", command_seconds("--help"), "s", 0.25
    small = "text_to_image.json"
    command_seconds("check", small, repeats=1)  # definitions are read once
    yield "graphengine check, small file", command_seconds("check", small), "s", 0.5


def cache_rows(folder: Path) -> Rows:
    """Measure the disk cache."""
    from tests.bench import caches

    for name, value in caches.VALUES.items():
        goal = 5 if "picture" in name else 2
        yield f"disk cache, hit of {name}", caches.hit_milliseconds(value, folder / name), "ms", goal
    yield "disk cache, miss", caches.miss_microseconds(folder), "µs", 3


def model_rows(folder: Path) -> Rows:
    """Measure what nodes cost beside the models that they call."""
    from tests.bench import adapters, sampling, training

    for name, ratio in sampling.overheads():
        yield f"KSampler over bare model calls, {name}", ratio, "×", 1.02
    yield "TrainLoop over the bare loop, a small network", training.small_overhead(), "×", _BARE
    yield "the same, a LoRA of SD 1's layout, a quarter wide", training.quarter_overhead(), "×", _BARE
    yield "a training's time, off what TryTraining says", training.foretold() * 100, "%", 20
    yield "picture of 128×128, 20 steps, one core", sampling.picture_seconds(), "s", 5
    yield "swap of a LoRA over a reload, SD 1 size", adapters.swap_share(folder / "adapters") * 100, "%", 5


def gpu_rows(_folder: Path) -> Rows:
    """Measure what takes an accelerator; the goal for pictures is 1.5 times the speed."""
    from tests.bench import gpu, training

    place = gpu.device()
    ratio = None if place is None else gpu.picture_ratio(place)
    yield "SD1.5 fp16 512 px, 50 steps, compiled, over diffusers", ratio, "×", 1 / 1.5
    speed = None if place is None else training.lora_speed(place)
    yield "SD1.5 LoRA bf16 512 px, batch 4, over the bare loop", speed.ratio if speed else None, "×", _BARE
    yield "the same, a step", speed.seconds if speed else None, "s", None
    memory = speed.memory_share if speed else None
    yield "the same, its memory over what TryTraining says", memory, "×", 1.1


def data_rows(folder: Path) -> Rows:
    """Measure what data costs a training."""
    from tests.bench import datasets

    photographs = datasets.photographs(folder / "photographs")
    yield "training waits for pictures, 2 workers", datasets.waiting_share(photographs) * 100, "%", 5
    share = datasets.share_with_caches(photographs, folder / "store")
    yield "LoRA of SD 1 from caches, its time over that uncached", share, "×", 1 / 1.5


def loading_rows(folder: Path) -> Rows:
    """Measure opening checkpoints; the goals' references are diffusers' 0.33 s and 0.06 GB, 4.1 s and 2.4 GB."""
    from tests.bench import loading

    path = loading.write_checkpoint(folder / "loading")
    mapped, copied = loading.loading(path, "file"), loading.loading(path, "bfloat16")
    yield "LoadCheckpoint SD1.5 single file, as in the file", mapped.seconds, "s", 0.35
    yield "the same, growth of the process", mapped.growth_gb, "GB", 0.1
    yield "LoadCheckpoint SD1.5 single file, to bfloat16", copied.seconds, "s", 4.5
    yield "the same, anonymous memory", copied.anonymous_gb, "GB", 2.6


def server_rows(folder: Path) -> Rows:
    """Measure the server."""
    from tests.bench import server

    yield from server.measure(folder / "server")


def web_rows(folder: Path) -> Rows:
    """Measure the editor in Chromium; apart from the rest, for it needs that and a built editor."""
    from tests.bench import web

    yield from web.measure(folder / "web")


PARTS: dict[str, Callable[[Path], Rows]] = {
    "engine": engine_rows,
    "commands": command_rows,
    "caches": cache_rows,
    "models": model_rows,
    "data": data_rows,
    "loading": loading_rows,
    "gpu": gpu_rows,
    "server": server_rows,
    "web": web_rows,
}
UNASKED = [part for part in PARTS if part != "web"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"only {', '.join(PARTS)}; all but web"
    )
    options = parser.parse_args()
    figures = []
    print(f"{'what':54} {'measured':>12} {'goal':>8}")
    with tempfile.TemporaryDirectory() as folder:
        rows = itertools.chain.from_iterable(PARTS[part](Path(folder)) for part in options.parts or UNASKED)
        for what, figure, unit, goal in rows:
            is_missed = figure is not None and goal is not None and figure > goal
            shown = "not measured" if figure is None else f"{figure:.3g}"
            wanted = "" if goal is None else f"{goal:.3g}"
            spread = {"low": figure.low, "high": figure.high} if isinstance(figure, Median) else {}
            between = f", half of them in {figure.low:.3g} … {figure.high:.3g}" if isinstance(figure, Median) else ""
            verdict = "  misses its goal" if is_missed else ""
            print(f"{what:54} {shown:>12} {wanted:>8} {unit}{between}{verdict}", flush=True)
            figures.append({"what": what, "measured": figure, "unit": unit, "goal": goal, **spread})
    if options.json:
        machine = {"processor": platform.machine(), "python": platform.python_version()}
        options.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
