"""What a hit in the disk cache costs, checksum included, next to computing the result again."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from graphengine.engine.cache import Result
from graphengine.engine.disk_cache import DiskCache
from graphengine.types import Image, Latent

VALUES: dict[str, object] = {
    "a picture of 512×512": Image(torch.rand(1, 512, 512, 3)),
    "a latent of 64×64": Latent(torch.randn(1, 4, 64, 64)),
}


def hit_milliseconds(value: object, folder: Path, repeats: int = 30) -> float:
    """Take the best time of reading a value that another cache object stored."""
    key = bytes(16)
    written = DiskCache(folder / "cache", 2**30)
    written.put(key, Result([value], seconds=60))
    written.close()
    cache = DiskCache(folder / "cache", 2**30)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        result = cache.get(key)
        best = min(best, time.perf_counter() - started)
        assert result is not None, "the benchmark's own value must be found"
    return best * 1e3


def miss_microseconds(folder: Path, repeats: int = 5_000) -> float:
    """Time looking up what isn't there: each node that runs pays this."""
    cache = DiskCache(folder / "cache", 2**30)
    keys = [number.to_bytes(16, "big") for number in range(1, repeats)]
    started = time.perf_counter()
    for key in keys:
        cache.get(key)
    return (time.perf_counter() - started) / repeats * 1e6
