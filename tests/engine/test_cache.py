"""The memory cache: what it keeps within its budget, and what it drops first."""

from __future__ import annotations

import random

from graphengine.engine.cache import MemoryCache, Result


def result(size: int, seconds: float = 1.0) -> Result:
    """A result of about ``size`` bytes."""
    return Result((b"x" * size,), (), seconds)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_what_was_put_is_found() -> None:
    cache, kept = MemoryCache(10_000), result(100)
    cache.put(key(1), kept)
    assert cache.get(key(1)) is kept
    assert cache.get(key(2)) is None


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


def test_putting_again_replaces() -> None:
    cache = MemoryCache(10_000)
    for size in (1000, 2000, 500):
        cache.put(key(1), result(size))
    assert len(cache) == 1
    assert cache.used_bytes < 1000


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache = MemoryCache(0)
    cache.put(key(1), result(1))
    assert (len(cache), cache.used_bytes) == (0, 0)
