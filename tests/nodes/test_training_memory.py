"""What a training leaves in memory: its result, for as long as that is cached, and nothing else."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
import torch

from tests.nodes.test_training import MIXING, Nodes, engine, workflow


def held_bytes() -> int:
    """Count the bytes of all tensors that are alive."""
    gc.collect()
    storages = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if issubclass(type(each), torch.Tensor)  # what stands for something else would be asked by isinstance
    }
    return sum(storages.values())


@pytest.mark.slow
def test_ten_trainings_in_a_row_hold_their_results_alone_and_nothing_once_these_are_forgotten(tmp_path: Path) -> None:
    """While it runs, a training holds the weights four times: themselves, gradients and two means of Adam's."""
    it = engine(tmp_path)

    def train(seed: int) -> None:
        kind, inputs = MIXING["train"]
        nodes: Nodes = {name: MIXING[name] for name in ("digits", "new", "recipe")}
        changed = {**nodes, "train": (kind, {**inputs, "seed": seed, "steps": 1, "name": f"seed{seed}"})}
        it.run(workflow(changed, "train.report"))

    before = held_bytes()
    train(0)
    first, threads = held_bytes(), threading.active_count()
    weights = (first - before) / 2  # those of the new network and of the trained one are cached
    for seed in range(1, 10):
        train(seed)
    assert held_bytes() - first < 9 * 1.05 * weights
    assert threading.active_count() == threads
    it.forget()
    assert held_bytes() - before < 0.05 * weights
