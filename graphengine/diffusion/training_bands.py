"""Losses by how noisy the examples were: whether a model fails at large forms or at details, which one number hides."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["Banded", "LossBands"]

_NAMES = ("loss_noise_0_25", "loss_noise_25_50", "loss_noise_50_75", "loss_noise_75_100")


class LossBands:
    """Mean distances from the target in four bands of a schedule, the first with least noise.

    They are before any weighting by the noise, so that recipes compare. Nothing is computed or moved from the device
    until they are taken.

    Args:
        levels: How many noise levels there are.
    """

    def __init__(self, levels: float) -> None:
        self._levels = levels
        self._seen: list[tuple[Tensor, Tensor]] = []

    def add(self, timesteps: Tensor, errors: Tensor) -> None:
        """Remember a batch's distances ``[B]`` at their timesteps ``[B]``, unless they are only measured."""
        if torch.is_grad_enabled():
            self._seen.append((timesteps, errors.detach()))

    def take(self) -> dict[str, float]:
        """Give the means since this was last asked for, by name; bands that no example fell into are left out."""
        if not self._seen:
            return {}
        timesteps, errors = (torch.cat(each) for each in zip(*self._seen, strict=True))
        self._seen.clear()
        count = len(_NAMES)
        bands = (timesteps * (count / self._levels)).long().clamp(max=count - 1)
        sums = torch.zeros(2, count, device=errors.device)
        sums.index_add_(1, bands, torch.stack([errors.float(), torch.ones_like(errors, dtype=torch.float32)]))
        totals, counts = sums.tolist()
        rows = zip(_NAMES, totals, counts, strict=True)
        return {name: total / seen for name, total, seen in rows if seen}


@runtime_checkable
class Banded(Protocol):
    """A task whose examples are more or less noisy."""

    bands: LossBands
