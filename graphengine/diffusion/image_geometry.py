"""Cut, widen, turn and join pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from graphengine.diffusion.batches import common_batch, widened
from graphengine.diffusion.images import resize
from graphengine.diffusion.options import Flip, Resampling, Rotation, Side, SpacingColor, turns
from graphengine.errors import InputError
from graphengine.types import Image, Mask

PIXELS_IN_A_MEGAPIXEL = 1024 * 1024
MAX_SIDE = 16384

_COLORS: Mapping[SpacingColor, tuple[float, float, float]] = {
    "white": (1, 1, 1),
    "black": (0, 0, 0),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
}


def crop(planes: Tensor, *, x: int, y: int, width: int, height: int) -> Tensor:
    """Cut a rectangle out of pictures [B, H, W, 3] or masks [B, H, W].

    Raises:
        InputError: if it reaches over the border.
    """
    whole_height, whole_width = planes.shape[1:3]
    for place, begin, name, side, whole in (
        ("x", x, "width", width, whole_width),
        ("y", y, "height", height, whole_height),
    ):
        if begin < 0 or begin + side > whole:
            remedy = f"Choose {place} and {name} so that they are at most {whole} together."
            raise InputError(
                name, f"{side} from {place} = {begin} on reaches over the border of {whole} pixels.", remedy
            )
    return planes[:, y : y + height, x : x + width].contiguous()


def pad_for_outpainting(
    image: Image, *, left: int, top: int, right: int, bottom: int, feather: int
) -> tuple[Image, Mask]:
    """Widen pictures by grey, with a mask of what is to be painted there.

    Args:
        feather: Pixels over which the mask fades into the picture, at the sides that were widened: by the square of
            the distance, so that most of the transition lies near the seam.

    Returns:
        The pictures, and a mask [1, H, W]: 1 on what is new, and 0 on the picture beyond the feathered seam.

    Raises:
        InputError: if a side becomes too long.
    """
    count, height, width, channels = image.shape
    for name, side in (("right", width + left + right), ("bottom", height + top + bottom)):
        if side > MAX_SIDE:
            raise InputError(name, f"the picture would be {side} pixels long.", f"Stay below {MAX_SIDE}.")
    padded = torch.full((count, height + top + bottom, width + left + right, channels), 0.5)
    padded[:, top : top + height, left : left + width] = image
    mask = torch.ones(1, *padded.shape[1:3])
    mask[:, top : top + height, left : left + width] = _seam(
        height, width, feather, {"left": left, "top": top, "right": right, "bottom": bottom}
    )
    return Image(padded), Mask(mask)


def flip(image: Image, method: Flip) -> Image:
    """Mirror up and down, or left and right."""
    return Image(image.flip(1 if method.startswith("x") else 2))


def rotate(image: Image, rotation: Rotation) -> Image:
    """Turn clockwise by quarters."""
    return Image(torch.rot90(image, turns(rotation), (2, 1)).contiguous())


def scale_by(image: Image, scale: float, *, method: Resampling) -> Image:
    """Resize by a factor, above 0; sides are rounded, and are 1 at least.

    Raises:
        InputError: if a side becomes too long.
    """
    height, width = (max(1, round(side * scale)) for side in image.shape[1:3])
    if max(height, width) > MAX_SIDE:
        raise InputError("scale_by", f"the picture would be {width}x{height} pixels.", f"Stay below {MAX_SIDE} a side.")
    return resize(image, width, height, method=method)


def scale_to_total_pixels(image: Image, megapixels: float, *, method: Resampling) -> Image:
    """Resize to about this many times 1024×1024 pixels, in the same proportions.

    Raises:
        InputError: if a side becomes too long.
    """
    height, width = image.shape[1:3]
    return scale_by(image, math.sqrt(megapixels * PIXELS_IN_A_MEGAPIXEL / (height * width)), method=method)


def stitch(
    first: Image,
    second: Image,
    side: Side,
    *,
    match_size: bool = True,
    spacing: int = 0,
    color: SpacingColor = "white",
) -> Image:
    """Put pictures side by side.

    Args:
        side: Where the second goes.
        match_size: Resize the second so that the sides that touch are as long as the first's; else the shorter ones
            are centred.
        spacing: Pixels between them.
        color: Of the space between them, and beside the shorter one.

    Raises:
        InputError: if both are batches of different sizes.
    """
    count = common_batch({"image1": first, "image2": second})
    beside = side in ("left", "right")
    if match_size:
        size = (0, first.shape[1]) if beside else (first.shape[2], 0)
        second = resize(second, *size, method="lanczos")
    parts = [first, second] if side in ("right", "down") else [second, first]
    along, across = (2, 1) if beside else (1, 2)
    length = max(part.shape[across] for part in parts)
    begins = [0, parts[0].shape[along] + spacing]
    shape = [count, 0, 0, 3]
    shape[along], shape[across] = begins[1] + parts[1].shape[along], length
    sheet = torch.tensor(_COLORS[color], dtype=torch.float32).expand(*shape).clone()
    for part, begin in zip(parts, begins, strict=True):
        margin = (length - part.shape[across]) // 2
        place = sheet.narrow(along, begin, part.shape[along]).narrow(across, margin, part.shape[across])
        place.copy_(widened(part, count))
    return Image(sheet)


def _seam(height: int, width: int, feather: int, widened_by: Mapping[str, int]) -> Tensor:
    """How much of the old picture is painted over: [H, W], falling from 1 at the seam to 0 ``feather`` pixels on."""
    rows, columns = torch.arange(height, dtype=torch.float32)[:, None], torch.arange(width, dtype=torch.float32)
    distances = {"left": columns, "top": rows, "right": columns.flip(0), "bottom": rows.flip(0)}
    nearest = torch.full((height, width), math.inf)
    for side, distance in distances.items():
        if widened_by[side]:
            nearest = torch.minimum(nearest, distance)
    if not feather:
        return torch.zeros(height, width)
    return (1 - nearest / feather).clamp(min=0) ** 2
