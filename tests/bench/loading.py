"""How long opening a full-size checkpoint takes, and how much memory: a random Stable Diffusion 1.5 in one file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import torch

from tests.diffusion.original_layouts import random_parts, write_original

_MEASURE = """
import json, sys, time
from pathlib import Path
import psutil
from graphengine.diffusion import checkpoints

path, precision = Path(sys.argv[1]), sys.argv[2]
process = psutil.Process()
# the file's pages are in memory, and the libraries' parts that they load late
checkpoints.load(path, precision="file")
path.read_bytes()
before = process.memory_full_info()
started = time.perf_counter()
parts = checkpoints.load(path, precision=precision)
seconds = time.perf_counter() - started
after = process.memory_full_info()
shared = after.shared - before.shared
print(json.dumps([seconds, (after.rss - before.rss) / 1e9, (after.rss - before.rss - max(0, shared)) / 1e9]))
"""


class Loading(NamedTuple):
    """What one loading took.

    Attributes:
        seconds: Its time, the file's pages in memory.
        growth_gb: By how much the process grew, with what it maps of the file.
        anonymous_gb: Without that.
    """

    seconds: float
    growth_gb: float
    anonymous_gb: float


def write_checkpoint(folder: Path) -> Path:
    """Write the checkpoint, 2.1 GB."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = random_parts("sd1", tiny=False, dtype=torch.float16)
    return write_original(folder / "sd15.safetensors", parts, "sd1")


def loading(path: Path, precision: str, *, repeats: int = 3) -> Loading:
    """Take the best of several loadings, each in a process of its own."""
    found = []
    for _ in range(repeats):
        arguments = [sys.executable, "-c", _MEASURE, str(path), precision]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        found.append(Loading(*json.loads(done.stdout)))
    return min(found)
