"""What a row of the scorecard gives, and how much is done for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FULL", "SHORT", "Result", "Scale", "percentile"]


@dataclass(frozen=True)
class Result:
    """What was measured, in words, and whether that meets the goal."""

    text: str
    passed: bool


@dataclass(frozen=True)
class Scale:
    """How often things are done."""

    server_kills: int
    worker_kills: int
    jobs: int
    prompts: int
    corrupt_files: int
    out_of_memory: int
    hold_s: int
    write_failures: int


SHORT = Scale(
    server_kills=10,
    worker_kills=25,
    jobs=2_000,
    prompts=400,
    corrupt_files=60,
    out_of_memory=10,
    hold_s=10,
    write_failures=8,
)
FULL = Scale(
    server_kills=100,
    worker_kills=1_000,
    jobs=50_000,
    prompts=10_000,
    corrupt_files=1_000,
    out_of_memory=50,
    hold_s=60,
    write_failures=1_000,
)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all don't exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
