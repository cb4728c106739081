"""Results of earlier runs, bounded in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from graphengine.engine.assets import Asset
from graphengine.engine.sizes import Sizes, sizes_of

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
        sizes: What its values hold, if somebody measured it before the cache has to.
    """

    values: Sequence[Any]  # Any: socket values are each node's own
    shown: tuple[Shown, ...] = ()
    seconds: float = 0.0
    storable: bool = True
    sizes: Sizes | None = None


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

    Results that hold networks have a budget of their own: a checkpoint is larger than all pictures of a day, and has to
    stay for the next run nevertheless. A weight that several of them share counts once.

    Args:
        budget_bytes: For results without networks.
        model_bytes: For results with networks; as ``budget_bytes`` if None.
    """

    def __init__(self, budget_bytes: int, model_bytes: int | None = None) -> None:
        self._plain = _Shelf(budget_bytes)
        self._models = _Shelf(budget_bytes if model_bytes is None else model_bytes)

    @property
    def used_bytes(self) -> int:
        """How much is held."""
        return self._plain.used_bytes + self._models.used_bytes

    def __len__(self) -> int:
        return len(self._plain.entries) + len(self._models.entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._plain.entries or key in self._models.entries

    def get(self, key: bytes) -> Result | None:
        """Give the result kept under this key, and mark it as used."""
        return self._plain.get(key) or self._models.get(key)

    def peek(self, key: bytes) -> Result | None:
        """Give the result kept under this key and leave its worth as it is, so that any thread may look."""
        entry = self._plain.entries.get(key) or self._models.entries.get(key)
        return entry.result if entry is not None else None

    def put(self, key: bytes, result: Result) -> None:
        """Keep a result; one larger than the whole budget is not kept."""
        if key in self:
            self.drop(key)
        sizes = result.sizes or sizes_of(result.values)
        if sizes.weights:
            self._models.put(key, result, {key: sizes.own, **sizes.weights})
        else:
            self._plain.put(key, result, {key: sizes.own})

    def drop(self, key: bytes) -> None:
        """Forget a result."""
        self._plain.drop(key)
        self._models.drop(key)

    def clear(self) -> None:
        """Forget all results."""
        self._plain.clear()
        self._models.clear()


class _Entry(NamedTuple):
    """A result on a shelf.

    Attributes:
        pieces: What it holds, which others may hold as well: size by identity.
        added: Bytes that nothing else held when it came.
    """

    result: Result
    pieces: Mapping[Any, int]  # Any: whatever tells pieces apart
    added: int
    worth: float


class _Shelf:
    """Results within one budget.

    What was used since ages slower: the worth of each entry is counted from a clock that rises to the worth of what
    was dropped last (GreedyDual-Size, Cao & Irani 1997).
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self.used_bytes = 0
        self.entries: dict[bytes, _Entry] = {}
        self._holders: dict[object, int] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._clock = 0.0

    def get(self, key: bytes) -> Result | None:
        entry = self.entries.get(key)
        if entry is None:
            return None
        self.entries[key] = entry._replace(worth=self._worth(entry.result, entry.added))
        return entry.result

    def put(self, key: bytes, result: Result, pieces: Mapping[Any, int]) -> None:  # Any: as above
        if sum(pieces.values()) > self._budget_bytes:
            return
        added = 0
        for piece, size in pieces.items():
            holders = self._holders.get(piece, 0)
            self._holders[piece] = holders + 1
            if not holders:
                added += size
        self.used_bytes += added
        worth = self._worth(result, added)
        self.entries[key] = _Entry(result, pieces, added, worth)
        heappush(self._queue, (worth, key))
        if self.used_bytes > self._budget_bytes:
            self._make_room()
        if len(self._queue) > 2 * len(self.entries) + 64:  # entries that were dropped or put again leave a trace
            self._queue = [(entry.worth, key) for key, entry in self.entries.items()]
            heapify(self._queue)

    def drop(self, key: bytes) -> None:
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        for piece, size in entry.pieces.items():
            self._holders[piece] -= 1
            if not self._holders[piece]:
                del self._holders[piece]
                self.used_bytes -= size

    def clear(self) -> None:
        self.entries.clear()
        self._holders.clear()
        self._queue.clear()
        self.used_bytes = 0

    def _worth(self, result: Result, size: int) -> float:
        return self._clock + result.seconds / max(size, 1)

    def _make_room(self) -> None:
        """Drop what is worth least; what frees nothing, as others hold its weights too, only if nothing else does."""
        useless: list[tuple[float, bytes]] = []
        while self.used_bytes > self._budget_bytes:
            if not self._queue:  # only traces of what was dropped were left
                self._queue, useless = useless, []
            worth, key = heappop(self._queue)
            entry = self.entries.get(key)
            if entry is None:
                continue
            if entry.worth > worth:  # used since it was queued
                heappush(self._queue, (entry.worth, key))
            elif self._queue and self._frees_nothing(key, entry):
                useless.append((worth, key))
            else:
                self._clock = worth
                self.drop(key)
                for each in useless:
                    heappush(self._queue, each)
                useless = []
        for each in useless:
            heappush(self._queue, each)

    def _frees_nothing(self, key: bytes, entry: _Entry) -> bool:
        return len(entry.pieces) > 1 and all(self._holders[piece] > 1 for piece in entry.pieces if piece != key)


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
