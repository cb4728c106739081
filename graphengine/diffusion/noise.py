"""Seeded noise in which an item of a batch is the same as that item alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Noise:
    """Draws standard normal noise; item i of a batch comes from its own generator, seeded (seed + i) mod 2^64.

    The generators live on the CPU, so that a seed gives the same noise on every device. The first draw is a sampler's
    initial noise; those that follow are the noise of its steps.

    Args:
        seed: Any integer; it counts modulo 2^64.
        shape: ``(B, C, h, w)`` of each draw.
        device: Where draws are delivered.
        dtype: Of the draws.
    """

    def __init__(
        self,
        seed: int,
        shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        batch, *item_shape = shape
        self.generators = [torch.Generator().manual_seed((seed + item) % 2**64) for item in range(batch)]
        self._item_shape = (1, *item_shape)
        self._device = device
        self._dtype = dtype

    def __call__(self) -> Tensor:
        """Draw the next noise, ``[B, C, h, w]``."""
        draws = [torch.randn(self._item_shape, generator=item, dtype=self._dtype) for item in self.generators]
        return torch.cat(draws).to(self._device)
