"""Lay pictures on each other in the modes that painting programs have.

Written ``a`` for the picture below and ``b`` for the one laid on it, each channel on its own.
Source: W3C, Compositing and Blending Level 1, section 10.1; ``add`` and ``subtract`` are their plain sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from graphengine.diffusion.batches import common_batch
from graphengine.diffusion.images import resize
from graphengine.diffusion.options import BlendMode
from graphengine.types import Image


def blend(below: Image, above: Image, mode: BlendMode, share: float) -> Image:
    """Blend a picture into another.

    Args:
        above: Resized to the picture below, the middle of other proportions.
        share: How much of the blended picture there is, 0…1; 0 leaves the picture below.

    Raises:
        InputError: if both are batches of different sizes.
    """
    common_batch({"image1": below, "image2": above})
    above = resize(above, below.shape[2], below.shape[1], method="bicubic", crop="center")
    return Image(torch.lerp(below, _MODES[mode](below, above).clamp(0, 1), share))


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    return a * b


def _screen(a: Tensor, b: Tensor) -> Tensor:
    return a + b - a * b


def _hard_light(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b <= 0.5, _multiply(a, 2 * b), _screen(a, 2 * b - 1))


def _soft_light(a: Tensor, b: Tensor) -> Tensor:
    curve = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
    return torch.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (curve - a))


def _color_dodge(a: Tensor, b: Tensor) -> Tensor:
    light = torch.where(b < 1, a / (1 - b), 1.0).clamp(max=1)
    return torch.where(a > 0, light, 0.0)


def _color_burn(a: Tensor, b: Tensor) -> Tensor:
    return 1 - _color_dodge(1 - a, 1 - b)


_MODES: Mapping[BlendMode, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": lambda a, b: b.expand_as(a) if len(a) > len(b) else b,
    "multiply": _multiply,
    "screen": _screen,
    "overlay": lambda a, b: _hard_light(b, a),
    "darken": torch.minimum,
    "lighten": torch.maximum,
    "color_dodge": _color_dodge,
    "color_burn": _color_burn,
    "hard_light": _hard_light,
    "soft_light": _soft_light,
    "difference": lambda a, b: (a - b).abs(),
    "exclusion": lambda a, b: a + b - 2 * a * b,
    "add": torch.add,
    "subtract": torch.sub,
}
