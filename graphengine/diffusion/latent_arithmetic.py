"""Calculate with latents, cell by cell.

Of two latents the first decides the size and keeps its mask; the second is resized to it (bilinear, the middle of other
proportions), and batches meet by the rule of ``batches``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphengine.diffusion.batches import common_batch
from graphengine.diffusion.resampling import resize
from graphengine.errors import InputError
from graphengine.types import Latent


def add(first: Latent, second: Latent) -> Latent:
    """Add two latents."""
    return _combined(first, second, torch.add)


def subtract(first: Latent, second: Latent) -> Latent:
    """Take a latent away from another."""
    return _combined(first, second, torch.sub)


def multiply(latent: Latent, multiplier: float) -> Latent:
    """Multiply all values by a number."""
    return replace(latent, samples=latent.samples * multiplier)


def blend(first: Latent, second: Latent, share: float) -> Latent:
    """Mix two latents linearly.

    Args:
        share: Of the first, 0…1.
    """
    return _combined(first, second, lambda a, b: a * share + b * (1 - share))


def interpolate(first: Latent, second: Latent, ratio: float) -> Latent:
    """Mix two latents without the loss of contrast that comes with averaging.

    Directions (over the channels of a cell) and lengths are mixed apart, so that a cell between two equally strong
    ones is as strong as they are.

    Args:
        ratio: Share of the first, 0…1.
    """

    def mixed(a: Tensor, b: Tensor) -> Tensor:
        length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)  # [B, 1, h, w]
        direction = _unit(a, length_a) * ratio + _unit(b, length_b) * (1 - ratio)
        length = length_a * ratio + length_b * (1 - ratio)
        result: Tensor = _unit(direction, direction.norm(dim=1, keepdim=True)) * length
        return result

    return _combined(first, second, mixed)


def _unit(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Bring vectors to length 1; those of length 0 stay."""
    return torch.where(lengths > 0, vectors / lengths, vectors)


def _combined(first: Latent, second: Latent, combine: Callable[[Tensor, Tensor], Tensor]) -> Latent:
    a, b = first.samples, second.samples
    if a.shape[1] != b.shape[1]:
        raise InputError(
            "samples2",
            f"latents of {b.shape[1]} channels beside latents of {a.shape[1]}.",
            "Take both from the same model.",
        )
    common_batch({"samples1": a, "samples2": b})
    b = resize(b, a.shape[-1], a.shape[-2], method="bilinear", crop="center")
    return replace(first, samples=combine(a, b))
