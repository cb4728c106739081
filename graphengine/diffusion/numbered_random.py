"""Random numbers that are a pure function of (seed, number of the example, column).

Datasets that draw their examples need the same example for the same number, whatever was drawn before it, so that
training resumes exactly. A hash gives that without a stream: whole batches are drawn at once, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words; source: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def numbered_uniform(seed: int, indices: Sequence[int], columns: int) -> NDArray[np.float64]:
    """Draw ``columns`` independent numbers for each example.

    Args:
        seed: 0 … 2^64 - 1.
        indices: The examples' numbers, 0 … 2^64 - 1.
        columns: How many numbers an example needs.

    Returns:
        Float64 ``[len(indices), columns]``, uniform in 0 ≤ x < 1.
    """
    rows = np.asarray(indices, dtype=np.uint64)
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64 on purpose
        start = _mix(np.full(1, seed, dtype=np.uint64) + _GOLDEN)
        per_row = _mix(start ^ _mix(rows * _GOLDEN + np.uint64(1)))
        words = _mix(per_row[:, None] + np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN)
    uniform: NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform
