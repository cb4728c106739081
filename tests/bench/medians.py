"""The middle of several measurements, which remembers how far apart they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

__all__ = ["Median"]


class Median(float):
    """A figure that is the middle one of several.

    Attributes:
        low: A quarter of them lies below.
        high: A quarter of them lies above.
    """

    low: float
    high: float

    def __new__(cls, figures: Iterable[float]) -> Self:
        """Take the middle of at least one figure."""
        ordered = sorted(figures)
        count = len(ordered)
        median = super().__new__(cls, ordered[count // 2])
        median.low, median.high = ordered[count // 4], ordered[min(count - 1, count * 3 // 4)]
        return median
