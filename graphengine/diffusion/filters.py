"""Blur, sharpen and recolour."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from graphengine.types import Image

# The weights of red, green and blue in what the eye sees as brightness: ITU-R BT.709.
LUMA = (0.2126, 0.7152, 0.0722)


def gaussian(planes: Tensor, sigma: float, *, radius: int | None = None) -> Tensor:
    """Blur [B, C, H, W] with a Gaussian; beyond the border, the border's values go on.

    Args:
        sigma: Standard deviation in pixels; 0 changes nothing.
        radius: Where the Gaussian is cut off; by default at three standard deviations.
    """
    radius = max(1, math.ceil(3 * sigma)) if radius is None else radius
    if sigma <= 0 or radius <= 0:
        return planes
    offsets = torch.arange(-radius, radius + 1, dtype=planes.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    flat = planes.reshape(-1, 1, *planes.shape[-2:])  # [B * C, 1, H, W]
    padded = F.pad(flat, (radius, radius, 0, 0), mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None])
    padded = F.pad(across, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(padded, kernel[..., None]).reshape(planes.shape)


def blur(image: Image, sigma: float, *, radius: int) -> Image:
    """Blur pictures with a Gaussian of this standard deviation in pixels, cut off at a radius."""
    return _from_planes(gaussian(_planes(image), sigma, radius=radius))


def sharpen(image: Image, sigma: float, *, radius: int, amount: float) -> Image:
    """Strengthen what a blur would take away (unsharp masking).

    Args:
        amount: How often the lost detail is added; 0 changes nothing.
    """
    planes = _planes(image)
    return _from_planes(planes + amount * (planes - gaussian(planes, sigma, radius=radius)))


def adjust(
    image: Image,
    *,
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
    gamma: float = 1.0,
) -> Image:
    """Change colours, in this order; values that change nothing leave pictures bit for bit.

    Args:
        brightness: Factor on every value.
        contrast: Factor on the distance from middle grey.
        saturation: Factor on the distance from the grey of equal brightness; 0 gives grey pictures.
        hue: Degrees around the colour circle, brightness kept: the rotation of CSS's and SVG's ``hue-rotate``.
        gamma: Middle tones get lighter above 1, darker below it.
    """
    result: Tensor = image
    if brightness != 1:
        result = result * brightness
    if contrast != 1:
        result = (result - 0.5) * contrast + 0.5
    if saturation != 1:
        grey = luma(result)[..., None]
        result = grey + (result - grey) * saturation
    if hue % 360:
        result = result @ _hue_rotation(hue).T
    result = result.clamp(0, 1)
    return Image(result if gamma == 1 else result ** (1 / gamma))


def luma(image: Tensor) -> Tensor:
    """Give the brightness [B, H, W] of pictures [B, H, W, 3]."""
    return image @ torch.tensor(LUMA)


def _hue_rotation(degrees: float) -> Tensor:
    """Turn colours about the grey axis; source: W3C Filter Effects Level 1, feColorMatrix type hueRotate."""
    angle = math.radians(degrees)
    red, green, blue = 0.213, 0.715, 0.072  # the specification's own rounding of LUMA
    grey = torch.tensor([[red, green, blue]] * 3)
    along = torch.tensor([[1 - red, -green, -blue], [-red, 1 - green, -blue], [-red, -green, 1 - blue]])
    sideways = torch.tensor([[-red, -green, 1 - blue], [0.143, 0.140, -0.283], [red - 1, green, blue]])
    return grey + math.cos(angle) * along + math.sin(angle) * sideways


def _planes(image: Image) -> Tensor:
    return image.permute(0, 3, 1, 2).contiguous()  # [B, 3, H, W]


def _from_planes(planes: Tensor) -> Image:
    return Image(planes.permute(0, 2, 3, 1).clamp(0, 1).contiguous())
