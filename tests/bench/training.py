"""What TrainLoop costs over the bare training step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from graphengine.diffusion.digits import DrawnDigits
from graphengine.diffusion.networks import new_unet_2d
from graphengine.diffusion.training import train
from graphengine.training_types import Recipe

STEPS, BATCH = 6, 8


def overhead(rounds: int = 3) -> float:
    """Give the loop's time over that of forward, backward and optimizer alone, taken in turn within one run."""
    torch.set_num_threads(1)
    model = new_unet_2d(seed=0)
    digits = DrawnDigits()
    batch = digits.examples(range(BATCH), ["images"]).images
    network: Any = copy.deepcopy(model.network).train()  # Any: diffusers is untyped
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    training = train(model, digits, Recipe(batch_size=BATCH), steps=1_000, seed=0)

    def bare() -> None:
        assert batch is not None, "drawn digits have images"
        loss: Any = functional.mse_loss(network(batch, torch.arange(BATCH)).sample, batch)  # Any: as above
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def ours() -> None:
        next(training)

    bare()
    ours()
    ratios = sorted(_seconds(ours) / _seconds(bare) for _ in range(rounds))
    return ratios[rounds // 2]


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return time.perf_counter() - started
