"""Make and reshape latents."""

from __future__ import annotations

from dataclasses import replace

import torch

from graphengine.diffusion.options import Crop, Resampling
from graphengine.diffusion.resampling import resize, resolve_size
from graphengine.errors import InputError
from graphengine.types import Latent, Mask

FACTOR = 8
"""Pixels for each cell of a latent along one side, where sizes are given in pixels without a model to ask."""


def empty(width: int, height: int, batch_size: int = 1, *, channels: int = 4, factor: int = FACTOR) -> Latent:
    """Make blank latents, the starting point of text-to-image.

    Args:
        width: In pixels, a multiple of the factor.
        height: In pixels, a multiple of the factor.
        factor: Pixels per latent cell, along one side.

    Raises:
        InputError: if a side isn't a multiple of the factor; it names the nearest one that is.
    """
    check_side("width", width, factor)
    check_side("height", height, factor)
    return Latent(torch.zeros(batch_size, channels, height // factor, width // factor))


def upscale(
    latent: Latent, width: int, height: int, *, method: Resampling, crop: Crop = "disabled", factor: int = FACTOR
) -> Latent:
    """Resize latents; a mask is cropped alike and follows in its own pixels.

    Args:
        width: In pixels; 0 follows the height in proportion.
        height: In pixels; 0 follows the width in proportion.
        crop: ``center`` cuts the longer side to the new proportions first; ``disabled`` stretches.
        factor: Pixels per latent cell, along one side.
    """
    old_height, old_width = latent.samples.shape[-2:]
    columns, rows = resolve_size(width // factor, height // factor, old_width=old_width, old_height=old_height)
    samples = resize(latent.samples, columns, rows, method=method, crop=crop)
    if latent.noise_mask is None:
        return replace(latent, samples=samples)
    mask = resize(latent.noise_mask[:, None], columns * factor, rows * factor, method="bilinear", crop=crop)
    return Latent(samples, Mask(mask[:, 0]))


def upscale_by(latent: Latent, scale: float, *, method: Resampling) -> Latent:
    """Resize latents by a factor, above 0; sides are rounded to whole cells, of which one at least remains."""
    rows, columns = (max(1, round(side * scale)) for side in latent.samples.shape[-2:])
    return upscale(latent, columns * FACTOR, rows * FACTOR, method=method)


def set_noise_mask(latent: Latent, mask: Mask) -> Latent:
    """Say which part is repainted: 1 is, 0 keeps its latent bit for bit.

    Args:
        mask: [B or 1, H, W] of any size; sampling resizes it to the latents.

    Raises:
        InputError: if there are several masks, but not one for each latent.
    """
    count = latent.samples.shape[0]
    if mask.ndim != 3 or mask.shape[0] not in (1, count) or not mask.numel():
        raise InputError(
            "mask", f"a mask of shape {list(mask.shape)} for {count} latents.", "Give one mask, or one for each latent."
        )
    return replace(latent, noise_mask=mask)


def check_side(name: str, value: int, factor: int) -> None:
    """Refuse a side that latents can't have.

    Raises:
        InputError: naming the input and the nearest side that fits.
    """
    if value <= 0 or value % factor:
        nearest = max(factor, round(value / factor) * factor)
        raise InputError(name, f"{value} is not a multiple of {factor}.", f"The nearest that fits is {nearest}.")


def check_multiple(name: str, value: int) -> None:
    """Refuse a place or size in pixels that falls between two cells.

    Raises:
        InputError: naming the input and what would fit beside it.
    """
    if value % FACTOR:
        below = value // FACTOR * FACTOR
        raise InputError(name, f"{value} is not a multiple of {FACTOR}.", f"Choose {below} or {below + FACTOR}.")
