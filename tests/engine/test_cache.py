"""What every cache does; then what the memory cache keeps within its budget, and what it drops first."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphengine.engine.cache import Cache, MemoryCache, Result, TieredCache
from graphengine.engine.disk_cache import DiskCache
from graphengine.types import Latent


def result(size: int, seconds: float = 1.0) -> Result:
    """A result of about ``size`` bytes."""
    return Result((b"x" * size,), (), seconds)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


class FlushedDiskCache(DiskCache):
    """A disk cache that has stored what was put when ``put`` returns."""

    def put(self, key: bytes, result: Result) -> None:
        super().put(key, result)
        self.flush()


# Every cache

CACHES: dict[str, Callable[[Path], Cache]] = {
    "memory": lambda folder: MemoryCache(10_000_000),
    "disk": lambda folder: FlushedDiskCache(folder, 10_000_000),
    "tiered": lambda folder: TieredCache(MemoryCache(10_000_000), FlushedDiskCache(folder, 10_000_000)),
    "tiered, without memory": lambda folder: TieredCache(MemoryCache(0), FlushedDiskCache(folder, 10_000_000)),
    "tiered, without disk": lambda folder: TieredCache(MemoryCache(10_000_000), FlushedDiskCache(folder, 0)),
}


@pytest.fixture(params=list(CACHES))
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return CACHES[request.param](tmp_path / "cache")


def found(cache: Cache, number: int) -> object:
    """The first value under a key; None if there is none."""
    kept = cache.get(key(number))
    return kept.values[0] if kept is not None else None


def test_what_was_put_is_found_whole(cache: Cache) -> None:
    samples = torch.randn(1, 4, 8, 8)
    cache.put(key(1), Result([Latent(samples), "text", 7], seconds=1.5))
    kept = cache.get(key(1))
    assert kept is not None
    latent, text, number = kept.values
    assert torch.equal(latent.samples, samples)
    assert (type(latent), latent.noise_mask, text, number) == (Latent, None, "text", 7)
    assert (kept.seconds, kept.shown, kept.storable) == (1.5, (), True)


def test_what_was_never_put_is_not_found(cache: Cache) -> None:
    cache.put(key(1), Result(["a"], seconds=1))
    assert cache.get(key(2)) is None
    assert key(2) not in cache
    assert key(1) in cache


def test_putting_again_replaces(cache: Cache) -> None:
    for value in ("a", "b", "c"):
        cache.put(key(1), Result([value], seconds=1))
    assert found(cache, 1) == "c"


def test_what_was_dropped_is_gone_and_can_be_put_again(cache: Cache) -> None:
    for number in (1, 2):
        cache.put(key(number), Result(["same"], seconds=1))
    cache.drop(key(1))
    cache.drop(key(3))
    assert (found(cache, 1), found(cache, 2)) == (None, "same")
    assert key(1) not in cache
    cache.put(key(1), Result(["other"], seconds=1))
    assert (found(cache, 1), found(cache, 2)) == ("other", "same")


def test_results_without_values_are_results(cache: Cache) -> None:
    cache.put(key(1), Result([], seconds=1))
    kept = cache.get(key(1))
    assert kept is not None
    assert list(kept.values) == []


def test_none_is_a_value(cache: Cache) -> None:
    cache.put(key(1), Result([None], seconds=1))
    kept = cache.get(key(1))
    assert kept is not None
    assert list(kept.values) == [None]


# A quick cache before a lasting one


def test_what_is_found_on_disk_is_kept_in_memory(tmp_path: Path) -> None:
    disk, memory = FlushedDiskCache(tmp_path, 10_000), MemoryCache(10_000)
    disk.put(key(1), Result(["a"], seconds=1))
    assert found(TieredCache(memory, disk), 1) == "a"
    assert memory.get(key(1)) is not None


def test_what_disks_cannot_hold_stays_in_memory(tmp_path: Path) -> None:
    cache = TieredCache(MemoryCache(10_000), FlushedDiskCache(tmp_path / "cache", 10_000))
    box = object()
    cache.put(key(1), Result([box], seconds=1))
    assert found(cache, 1) is box
    assert not (tmp_path / "cache").exists()


# Memory


def test_the_memory_cache_gives_the_very_object() -> None:
    cache, kept = MemoryCache(10_000), result(100)
    cache.put(key(1), kept)
    assert cache.get(key(1)) is kept


def test_the_budget_is_never_exceeded() -> None:
    chance = random.Random(1)
    cache = MemoryCache(50_000)
    for _ in range(2000):
        cache.put(key(chance.randrange(300)), result(chance.randrange(1, 5000), chance.random()))
        cache.get(key(chance.randrange(300)))
        if chance.random() < 0.1:
            cache.drop(key(chance.randrange(300)))
        assert 0 <= cache.used_bytes <= 50_000
    kept = [entry for number in range(300) if (entry := cache.get(key(number))) is not None]
    assert len(kept) == len(cache)
    assert len(kept) > 10


def test_the_quickest_to_compute_again_per_byte_goes_first() -> None:
    cache = MemoryCache(3500)
    cache.put(key(1), result(1000, seconds=10))
    cache.put(key(2), result(1000, seconds=1))
    cache.put(key(3), result(1000, seconds=5))
    cache.put(key(4), result(1000, seconds=7))
    assert [cache.get(key(number)) is not None for number in (1, 2, 3, 4)] == [True, False, True, True]


def test_size_counts_as_much_as_time() -> None:
    cache = MemoryCache(11_000)
    cache.put(key(1), result(9000, seconds=5))
    cache.put(key(2), result(500, seconds=2))
    cache.put(key(3), result(3000, seconds=3))
    assert cache.get(key(1)) is None
    assert cache.get(key(2)) is not None


def test_what_was_never_used_again_ages() -> None:
    """An expensive result that nobody asks for gives way in the end to cheap ones that are in use."""
    cache = MemoryCache(3500)
    cache.put(key(0), result(1000, seconds=3))
    for number in range(1, 40):
        cache.put(key(number), result(1000, seconds=1))
    assert cache.get(key(0)) is None


def test_what_is_in_use_stays() -> None:
    cache = MemoryCache(3500)
    cache.put(key(0), result(1000, seconds=3))
    for number in range(1, 40):
        cache.get(key(0))
        cache.put(key(number), result(1000, seconds=1))
    assert cache.get(key(0)) is not None


def test_a_result_larger_than_the_budget_is_not_kept_and_drops_nothing() -> None:
    cache = MemoryCache(2000)
    cache.put(key(1), result(500))
    cache.put(key(2), result(5000, seconds=100))
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) is not None


def test_putting_again_frees_what_was_replaced() -> None:
    cache = MemoryCache(10_000)
    for size in (1000, 2000, 500):
        cache.put(key(1), result(size))
    assert len(cache) == 1
    assert cache.used_bytes < 1000


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache = MemoryCache(0)
    cache.put(key(1), result(1))
    assert (len(cache), cache.used_bytes) == (0, 0)


def test_a_peek_finds_a_result_and_doesnt_keep_it_longer() -> None:
    cache = MemoryCache(2500)
    for number in (1, 2):
        cache.put(key(number), result(1000))
    assert cache.peek(key(1)) is not None
    assert cache.peek(key(9)) is None
    cache.put(key(3), result(1000))
    assert len(cache) == 2
    assert cache.peek(key(1)) is None


# Memory, for networks


def network(kilobytes: int) -> torch.nn.Module:
    return torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(256)) for _ in range(kilobytes)])


def test_networks_do_not_crowd_out_other_results() -> None:
    cache = MemoryCache(10_000, 100_000)
    cache.put(key(1), result(5000))
    cache.put(key(2), Result([network(80)], seconds=1))
    assert key(1) in cache
    assert key(2) in cache
    cache.put(key(3), Result([network(200)], seconds=1))
    assert key(3) not in cache
    assert cache.used_bytes > 85_000


def test_weights_that_results_share_count_once() -> None:
    cache = MemoryCache(10_000, 100_000)
    base = network(80)
    for number in range(10):
        cache.put(key(number), Result([torch.nn.ModuleList([base, network(1)])], seconds=1))
    assert len(cache) == 10
    assert cache.used_bytes < 100_000
    for number in range(9):
        cache.drop(key(number))
    assert 80_000 < cache.used_bytes < 90_000
    cache.drop(key(9))
    assert cache.used_bytes == 0


def test_a_network_that_others_are_made_of_goes_last() -> None:
    """A checkpoint is quick to open per byte, but dropping it frees nothing while models with a LoRA share it."""
    cache = MemoryCache(10_000, 100_000)
    base = network(80)
    cache.put(key(0), Result([base], seconds=0.001))
    cache.put(key(1), Result([torch.nn.ModuleList([base, network(10)])], seconds=1))
    cache.put(key(2), Result([torch.nn.ModuleList([base, network(10)])], seconds=2))
    assert [number for number in range(3) if key(number) in cache] == [0, 2]
    cache.put(key(3), Result([network(90)], seconds=100))
    assert [number for number in range(4) if key(number) in cache] == [3]
    assert cache.used_bytes < 100_000
