"""The benchmarks for accelerators, at a size that a CPU can do: that it runs, not how fast."""

from __future__ import annotations

import pytest
import torch

from tests.bench.gpu import picture_ratio
from tests.bench.training import lora_speed


@pytest.mark.slow
def test_pictures_are_made_both_ways_at_any_size() -> None:
    ratio = picture_ratio("cpu", tiny=True, side=16, steps=1, dtype=torch.float32, backend="eager", rounds=1)
    assert 0 < ratio < float("inf")


@pytest.mark.slow
def test_a_lora_trains_in_both_loops_at_any_size() -> None:
    speed = lora_speed("cpu", tiny=True, side=64, batch=1, rounds=1)
    assert 0 < speed.ratio < float("inf")
    assert speed.seconds > 0
