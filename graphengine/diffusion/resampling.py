"""Resize planes of numbers: pictures, masks and latents alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Picture
from torch import Tensor

from graphengine.diffusion.options import Crop, Resampling


def resize(planes: Tensor, width: int, height: int, *, method: Resampling, crop: Crop = "disabled") -> Tensor:
    """Resize planes to a size.

    Shrinking, all but ``nearest-exact`` average over what they skip (antialiasing). ``bicubic`` and ``lanczos``
    overshoot beside sharp edges, so their result may leave the input's range.

    Args:
        planes: float32 [B, C, H, W].
        width: In cells, ≥ 1.
        height: In cells, ≥ 1.
        crop: ``center`` cuts the longer side to the new proportions first; ``disabled`` stretches.

    Returns:
        float32 [B, C, height, width]; the input itself if nothing changes.
    """
    if crop == "center":
        planes = crop_to_proportions(planes, width, height)
    if planes.shape[-2:] == (height, width):
        return planes
    return _METHODS[method](planes, (height, width)).contiguous()


def crop_to_proportions(planes: Tensor, width: int, height: int) -> Tensor:
    """Cut the middle out of [B, C, H, W], as large as the proportions ``width:height`` allow."""
    old_height, old_width = planes.shape[-2:]
    kept_width = min(old_width, max(1, round(old_height * width / height)))
    kept_height = min(old_height, max(1, round(old_width * height / width)))
    left, top = (old_width - kept_width) // 2, (old_height - kept_height) // 2
    return planes[..., top : top + kept_height, left : left + kept_width]


def resolve_size(width: int, height: int, *, old_width: int, old_height: int) -> tuple[int, int]:
    """Fill in a side given as 0 so that the proportions stay; both 0 keeps the old size."""
    if not width and not height:
        return old_width, old_height
    if not width:
        return max(1, round(old_width * height / old_height)), height
    if not height:
        return width, max(1, round(old_height * width / old_width))
    return width, height


def _nearest(planes: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(planes, size=size, mode="nearest-exact")


def _bilinear(planes: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(planes, size=size, mode="bilinear", antialias=True)


def _bicubic(planes: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(planes, size=size, mode="bicubic", antialias=True)


def _area(planes: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(planes, size=size, mode="area")


def _lanczos(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize through Pillow, whose float planes keep full precision; torch has no Lanczos filter."""
    height, width = size
    flat = planes.reshape(-1, *planes.shape[-2:]).numpy()
    resized = [
        np.asarray(Picture.fromarray(plane).resize((width, height), Picture.Resampling.LANCZOS))
        for plane in np.ascontiguousarray(flat)
    ]
    return torch.from_numpy(np.stack(resized)).reshape(*planes.shape[:2], height, width)


_METHODS: dict[Resampling, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "nearest-exact": _nearest,
    "bilinear": _bilinear,
    "area": _area,
    "bicubic": _bicubic,
    "lanczos": _lanczos,
}
