"""A progress bar that is divided into parts, which are divided into parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from graphengine.errors import GraphEngineError

__all__ = ["TOTAL", "Bar", "Progress"]

T = TypeVar("T")

TOTAL = 1000
"""How many steps a bar with parts has."""


@dataclass
class _Part:
    """A stretch of the bar.

    Attributes:
        start: Where it begins, as a share of the whole bar.
        size: How much of the whole bar it takes.
        filled: The share of it that the parts within it have taken.
    """

    start: float = 0.0
    size: float = 1.0
    filled: float = 0.0


class Bar:
    """How far a node is that counts parts of its work separately; it never goes back."""

    def __init__(self) -> None:
        self._parts = [_Part()]
        self._reached = 0

    @contextmanager
    def part(self, share: float) -> Iterator[None]:
        """Take the next share of the part that is filled now."""
        if not 0 < share <= 1:
            raise GraphEngineError(f"part({share!r}): a part is a share of the bar, above 0 and at most 1.")
        outer = self._parts[-1]
        share = min(share, 1 - outer.filled)
        self._parts.append(_Part(outer.start + outer.size * outer.filled, outer.size * share))
        try:
            yield
        finally:
            self._parts.pop()
            outer.filled += share

    def at(self, done: int, total: int) -> int:
        """Give the step of the whole bar for ``done`` of ``total`` in what is left of the part that is filled now."""
        part = self._parts[-1]
        within = part.filled + (1 - part.filled) * (min(done / total, 1) if total > 0 else 0)
        self._reached = max(self._reached, round(TOTAL * (part.start + part.size * within)))
        return self._reached


class Progress(ABC):
    """What a context does about progress; see ``authoring.Context``."""

    _bar: Bar | None = None

    @abstractmethod
    def check_cancelled(self) -> None:
        """Raise Cancelled if the user stopped the run."""

    @abstractmethod
    def _show_progress(self, done: int, total: int) -> None:
        """Tell whoever watches."""

    def progress(self, items: Iterable[T], *, total: int | None = None) -> Iterator[T]:
        if total is None:
            items = list(items)
            total = len(items)
        self.report_progress(0, total)
        for done, item in enumerate(items, 1):
            yield item
            self.report_progress(done, total)

    def report_progress(self, done: int, total: int) -> None:
        self.check_cancelled()
        if self._bar is not None:
            done, total = self._bar.at(done, total), TOTAL
        self._show_progress(done, total)

    @contextmanager
    def part(self, share: float) -> Iterator[None]:
        if self._bar is None:
            self._bar = Bar()
        with self._bar.part(share):
            self.report_progress(0, 1)
            yield
            self.report_progress(1, 1)
