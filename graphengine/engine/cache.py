"""Results of earlier runs, bounded in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from graphengine.engine.assets import Asset
from graphengine.engine.sizes import size_bytes

__all__ = ["Cache", "MemoryCache", "Result", "Shown", "TieredCache"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A file that a node wrote for the user.

    Attributes:
        asset: What the file holds, so that it can be published again; None for a folder.
    """

    path: Path
    temporary: bool = False
    asset: Asset | None = None


class Result(NamedTuple):
    """What a step gave.

    Attributes:
        values: Its outputs, in the order of the definition.
        shown: Files that it wrote for the user; they belong to the result as much as its outputs.
        seconds: How long it took to compute.
        storable: It is all in here; the node left nothing elsewhere that a later process would lack.
    """

    values: Sequence[Any]  # Any: socket values are each node's own
    shown: tuple[Shown, ...] = ()
    seconds: float = 0.0
    storable: bool = True


class Cache(Protocol):
    """Results by step key. A result that is found is as good as one that was just computed."""

    def get(self, key: bytes) -> Result | None:
        """Give the result kept under this key, and mark it as used."""

    def put(self, key: bytes, result: Result) -> None:
        """Keep a result, if it is worth keeping."""

    def drop(self, key: bytes) -> None:
        """Forget a result."""

    def __contains__(self, key: bytes) -> bool:
        """Say whether ``get`` is likely to find it, without reading it."""


class MemoryCache:
    """Keeps results up to a budget of bytes, and drops those first that are quickest to compute again per byte.

    What was used since ages slower: the worth of each entry is counted from a clock that rises to the worth of what
    was dropped last (GreedyDual-Size, Cao & Irani 1997).
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._entries: dict[bytes, tuple[Result, int, float]] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._clock = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def get(self, key: bytes) -> Result | None:
        """Give the result kept under this key, and mark it as used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        result, size, _ = entry
        self._entries[key] = (result, size, self._worth(result, size))
        return result

    def peek(self, key: bytes) -> Result | None:
        """Give the result kept under this key and leave its worth as it is, so that any thread may look."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def put(self, key: bytes, result: Result) -> None:
        """Keep a result; one larger than the whole budget is not kept."""
        size = size_bytes(result.values)
        self.drop(key)
        if size > self.budget_bytes:
            return
        worth = self._worth(result, size)
        self._entries[key] = (result, size, worth)
        self.used_bytes += size
        heappush(self._queue, (worth, key))
        while self.used_bytes > self.budget_bytes:
            self._evict()
        if len(self._queue) > 2 * len(self._entries) + 64:  # entries that were dropped or put again leave a trace
            self._queue = [(worth, key) for key, (_, _, worth) in self._entries.items()]
            heapify(self._queue)

    def drop(self, key: bytes) -> None:
        """Forget a result."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.used_bytes -= entry[1]

    def clear(self) -> None:
        """Forget all results."""
        self._entries.clear()
        self._queue.clear()
        self.used_bytes = 0

    def _worth(self, result: Result, size: int) -> float:
        return self._clock + result.seconds / max(size, 1)

    def _evict(self) -> None:
        worth, key = heappop(self._queue)
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry[2] > worth:  # used since it was queued
            heappush(self._queue, (entry[2], key))
            return
        self._clock = worth
        self.drop(key)


class TieredCache:
    """Looks into a quick cache before a lasting one, and keeps what it found in the lasting one in the quick one."""

    def __init__(self, quick: Cache, lasting: Cache) -> None:
        self._quick = quick
        self._lasting = lasting

    def __contains__(self, key: bytes) -> bool:
        return key in self._quick or key in self._lasting

    def get(self, key: bytes) -> Result | None:
        """Give the result that either has."""
        result = self._quick.get(key)
        if result is None:
            result = self._lasting.get(key)
            if result is not None:
                self._quick.put(key, result)
        return result

    def put(self, key: bytes, result: Result) -> None:
        """Keep a result in both, as each sees fit."""
        self._quick.put(key, result)
        self._lasting.put(key, result)

    def drop(self, key: bytes) -> None:
        """Forget a result in both."""
        self._quick.drop(key)
        self._lasting.drop(key)
