"""Find lines in pictures, for ControlNets: white lines on black.

Both work on brightness alone, as planes ``[B, 1, H, W]``; beyond the border, the border's values go on.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from graphengine.diffusion.filters import gaussian, luma
from graphengine.types import Image


def canny(image: Image, *, low: float, high: float, sigma: float = 1.0) -> Image:
    """Find thin edges: smooth, take gradients, keep ridges, and of the weak ones those that go on from strong ones.

    Args:
        low: Least strength of an edge that goes on from a strong one.
        high: Least strength of a strong edge, ≥ ``low``. Strengths are Sobel's unnormalised gradients of a brightness
            in 0…1: 4 where black meets white without smoothing, 2.6 with the default.
        sigma: Standard deviation of the smoothing Gaussian, in pixels.

    Returns:
        [B, H, W, 3] of 0 and 1.

    Source: Canny 1986, "A Computational Approach to Edge Detection", IEEE TPAMI 8(6).
    """
    across, down = _gradients(gaussian(luma(image)[:, None].double(), sigma))
    # rounded, so that two pixels between which an edge lies are equally strong, whatever order sums were taken in
    strength = torch.hypot(across, down).round(decimals=6)
    strength = torch.where(_is_ridge(strength, across, down), strength, 0.0)
    found = np.stack([_connected(each, low, high) for each in strength[:, 0].numpy()])
    return _as_image(torch.from_numpy(found).to(torch.float32))


def line_art(image: Image, *, sigma: float = 1.0, detail: float = 0.02) -> Image:
    """Draw lines as an artist would: where a place is darker than its surroundings (extended difference of Gaussians).

    Args:
        sigma: Width of the lines, in pixels.
        detail: How much darker a line has to be, in brightness of 0…1; less draws more.

    Returns:
        [B, H, W, 3] in 0…1; lines end softly.

    Source: Winnemöller, Kyprianidis & Olsen 2012, "XDoG", Computers & Graphics 36(6), eqs. 5-7, with k = 1.6; the
    difference is taken without the picture itself (p large), for flat areas to stay empty however dark they are.
    """
    planes = luma(image)[:, None]
    difference = gaussian(planes, 1.6 * sigma) - gaussian(planes, sigma)  # above 0 where it is darker than around
    steepness = 1 / max(detail, 1e-6)
    return _as_image(torch.tanh(steepness * (difference - detail / 2)).clamp(0, 1)[:, 0])


def _gradients(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Apply Sobel's operator: how brightness rises to the right, and down."""
    across = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=planes.dtype)[None, None]
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, across), F.conv2d(padded, across.transpose(-1, -2))


def _is_ridge(strength: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Tell where the strength is largest along the gradient's direction, to the nearest eighth of a circle."""
    padded = F.pad(strength, (1, 1, 1, 1))
    height, width = strength.shape[-2:]

    def moved(x: int, y: int) -> Tensor:
        return padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    direction = (torch.round(torch.atan2(down, across) / (torch.pi / 4)) % 4).long()
    ridge = torch.zeros_like(strength, dtype=torch.bool)
    for number, (x, y) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        # on a plateau of two pixels only one of them is larger than the one before it and not less than the next
        largest = (strength > moved(-x, -y)) & (strength >= moved(x, y))
        ridge |= (direction == number) & largest
    return ridge


def _connected(strength: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    """Keep weak edges that touch strong ones, directly or through others, corners included."""
    labels, count = ndimage.label(strength >= low, structure=np.ones((3, 3)))
    is_strong = np.zeros(count + 1, dtype=bool)
    is_strong[labels[strength >= high]] = True
    is_strong[0] = False
    kept: NDArray[np.bool_] = is_strong[labels]
    return kept


def _as_image(plane: Tensor) -> Image:
    return Image(plane[..., None].repeat(1, 1, 1, 3))  # [B, H, W, 3]
