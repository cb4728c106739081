"""Results of earlier runs, bounded in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

from graphengine.engine.sizes import size_bytes

__all__ = ["MemoryCache", "Result", "Shown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A file that a node wrote for the user."""

    path: Path
    temporary: bool = False


class Result(NamedTuple):
    """What a step gave.

    Attributes:
        values: Its outputs, in the order of the definition.
        shown: Files that it wrote for the user; they belong to the result as much as its outputs.
        seconds: How long it took to compute.
    """

    values: Sequence[Any]  # Any: socket values are each node's own
    shown: tuple[Shown, ...] = ()
    seconds: float = 0.0


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

    def get(self, key: bytes) -> Result | None:
        """Give the result kept under this key, and mark it as used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        result, size, _ = entry
        self._entries[key] = (result, size, self._worth(result, size))
        return result

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
