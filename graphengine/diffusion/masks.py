"""Draw, change and combine masks.

Shapes are drawn with exact coverage along each row and several sample lines per row, so their edges are smooth
(anti-aliased). ``geometry`` says how their places are written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphengine.diffusion.batches import common_batch
from graphengine.diffusion.filters import gaussian
from graphengine.diffusion.geometry import Shape, parse_geometry
from graphengine.diffusion.options import Channel, MaskOperation
from graphengine.types import Image, Mask

LINES_PER_ROW = 16


def draw(shape: Shape, geometry: str, width: int, height: int, *, feather: float = 0.0) -> Mask:
    """Draw one shape, 1 inside and 0 outside.

    Args:
        geometry: Where, as ``geometry`` describes.
        width: Of the mask, in pixels.
        height: Of the mask, in pixels.
        feather: Pixels over which the edge fades, half of them inside; a Gaussian blur with a quarter of it as its
            standard deviation, which leaves out 5 % of the transition.

    Returns:
        float32 [1, H, W] in 0…1.

    Raises:
        InputError: for a geometry that can't be read.
    """
    numbers = parse_geometry(shape, geometry, width, height)
    drawn = _DRAW[shape](numbers, width, height)
    return blur(Mask(drawn[None]), feather / 4)


def solid(value: float, width: int, height: int) -> Mask:
    """Make a mask that is the same everywhere: float32 [1, H, W]."""
    return Mask(torch.full((1, height, width), value))


def blur(mask: Mask, sigma: float) -> Mask:
    """Blur with a Gaussian of this standard deviation in pixels; beyond the border, the border's values go on."""
    return Mask(gaussian(mask[:, None], sigma)[:, 0].clamp(0, 1)) if sigma > 0 else mask


def invert(mask: Mask) -> Mask:
    """Select what was not selected."""
    return Mask(1.0 - mask)


def grow(mask: Mask, expand: int, *, tapered_corners: bool = True) -> Mask:
    """Widen the selection by so many pixels, or narrow it if negative; the border of the picture doesn't count as edge.

    Args:
        tapered_corners: Grow to the four sides only, pixel by pixel, which cuts corners off; else they stay square.
    """
    if not expand:
        return mask
    sign = 1 if expand > 0 else -1  # narrowing the selection is widening what surrounds it
    planes: Tensor = mask * sign
    steps = min(abs(expand), sum(mask.shape[-2:]))
    for _step in range(steps):
        across = _spread(planes, 2)
        planes = torch.maximum(across, _spread(planes if tapered_corners else across, 1))
    return Mask(planes * sign)


def feather_edges(mask: Mask, *, left: int, top: int, right: int, bottom: int) -> Mask:
    """Fade the selection out towards the borders, linearly over so many pixels on each side."""
    height, width = mask.shape[-2:]
    across = _ramp(width, left) * _ramp(width, right).flip(0)
    down = _ramp(height, top) * _ramp(height, bottom).flip(0)
    return Mask(mask * across * down[:, None])


def threshold(mask: Mask, value: float) -> Mask:
    """Select fully what is above a value, and nothing else."""
    return Mask((mask > value).to(torch.float32))


def composite(destination: Mask, source: Mask, *, x: int, y: int, operation: MaskOperation) -> Mask:
    """Combine a mask with another laid on it; what reaches over the border is cut off, and beyond it nothing changes.

    Args:
        x: Where the source's left edge lies on the destination, in pixels; may be negative.
        y: Where its top edge lies.
        operation: The first three calculate and stay in 0…1; ``and``, ``or``, ``xor`` count 0.5 and above as selected.

    Raises:
        InputError: if both are batches of different sizes.
    """
    count = common_batch({"destination": destination, "source": source})
    result = destination.repeat(count // destination.shape[0], 1, 1)
    there, here = overlap(destination.shape[-2:], source.shape[-2:], x, y)
    below, above = result[(slice(None), *there)], source[(slice(None), *here)]
    result[(slice(None), *there)] = _OPERATIONS[operation](below, above).clamp(0, 1)
    return Mask(result)


def from_image(image: Image, channel: Channel) -> Mask:
    """Take one colour of a picture as a mask."""
    return Mask(image[..., ("red", "green", "blue").index(channel)].contiguous())


def from_color(image: Image, color: int, tolerance: float = 0.0) -> Mask:
    """Select one colour, 0xRRGGBB, as it is once pictures are rounded to bytes.

    Args:
        tolerance: How far each channel may be off, in 0…1.
    """
    wanted = torch.tensor([color >> 16 & 255, color >> 8 & 255, color & 255], dtype=torch.float32)
    off = ((image.clamp(0, 1) * 255).round() - wanted).abs().amax(dim=-1)  # [B, H, W]
    return Mask((off <= tolerance * 255).to(torch.float32))


def to_image(mask: Mask) -> Image:
    """Show a mask as a grey picture."""
    return Image(mask[..., None].repeat(1, 1, 1, 3))  # [B, H, W, 3]


def overlap(
    below: Sequence[int], above: Sequence[int], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Give rows and columns that two rectangles share, counted in each; both empty if they don't touch.

    Args:
        below: Height and width of the lower one.
        above: Height and width of the one laid on it, its corner at (x, y).
    """
    there, here = [], []
    for offset, size, laid in ((y, below[0], above[0]), (x, below[1], above[1])):
        begin, end = min(max(offset, 0), size), max(0, min(offset + laid, size))
        there.append(slice(begin, max(begin, end)))
        here.append(slice(begin - offset, max(begin, end) - offset) if end > begin else slice(0, 0))
    return (there[0], there[1]), (here[0], here[1])


def _rectangle(numbers: Sequence[float], width: int, height: int) -> Tensor:
    x, y, across, down = numbers
    return _covered(y, y + down, height)[:, None] * _covered(x, x + across, width)  # [H, W]


def _covered(begin: float, end: float, count: int) -> Tensor:
    """How much of each pixel from 0 to count lies between two places."""
    pixels = torch.arange(count, dtype=torch.float64)
    return ((end - pixels).clamp(0, 1) - (begin - pixels).clamp(0, 1)).to(torch.float32)


def _ellipse(numbers: Sequence[float], width: int, height: int) -> Tensor:
    x, y, across, down = numbers

    def crossings(lines: Tensor) -> Tensor:
        share = (lines - (y + down / 2)) / (down / 2)  # -1 at the top, 1 at the bottom
        half = across / 2 * torch.sqrt((1 - share**2).clamp(min=0))
        return torch.stack([x + across / 2 - half, x + across / 2 + half], dim=1)

    return _fill(crossings, width, height)


def _polygon(numbers: Sequence[float], width: int, height: int) -> Tensor:
    corners = torch.tensor(numbers, dtype=torch.float64).reshape(-1, 2)
    begin, end = corners, corners.roll(-1, dims=0)

    def crossings(lines: Tensor) -> Tensor:
        level = lines[:, None]
        crosses = (begin[:, 1] <= level) != (end[:, 1] <= level)  # [lines, edges]; an even number on each line
        share = (level - begin[:, 1]) / torch.where(crosses, end[:, 1] - begin[:, 1], 1.0)
        place = begin[:, 0] + share * (end[:, 0] - begin[:, 0])
        return torch.where(crosses, place, math.inf).sort(dim=1).values

    return _fill(crossings, width, height)


def _fill(crossings: Callable[[Tensor], Tensor], width: int, height: int) -> Tensor:
    """Fill between the 1st and 2nd, the 3rd and 4th … place at which each line crosses an outline.

    Up to a place x, pixels are covered wholly, and the one x lies in by x's fraction; a span is that for its end less
    that for its start. Steps of this sum are collected at the pixels where it changes and added up along each row.

    Args:
        crossings: Heights of lines [lines] -> places across, ascending, [lines, places].
    """
    lines = (torch.arange(height * LINES_PER_ROW, dtype=torch.float64) + 0.5) / LINES_PER_ROW
    places = crossings(lines).clamp(0, width)  # [lines, places]
    pairs = places.shape[1] // 2
    places = places[:, : 2 * pairs]  # no line crosses an outline an odd number of times
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(pairs)
    cell = places.long()
    share = places - cell
    row_start = (torch.arange(len(lines)) // LINES_PER_ROW * (width + 2))[:, None]
    steps = torch.zeros(height * (width + 2), dtype=torch.float64)
    steps.index_add_(0, (row_start + cell).flatten(), (sign * (1 - share)).flatten())
    steps.index_add_(0, (row_start + cell + 1).flatten(), (sign * share).flatten())
    summed = steps.reshape(height, width + 2).flip(1).cumsum(1).flip(1)[:, 1:-1] / LINES_PER_ROW  # [H, W]
    # Rounding gives back the exact 0 and 1 that adding up blurred: where a mask is 0, nothing may change.
    return summed.round(decimals=9).to(torch.float32).clamp(0, 1)


def _gradient(numbers: Sequence[float], width: int, height: int) -> Tensor:
    x, y, end_x, end_y = numbers
    across, down = end_x - x, end_y - y
    columns = torch.arange(width, dtype=torch.float64) + 0.5 - x
    rows = torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - y
    share = (columns * across + rows * down) / (across**2 + down**2)  # projection on the line, [H, W]
    return share.clamp(0, 1).to(torch.float32)


def _spread(planes: Tensor, axis: int) -> Tensor:
    """Give each cell the largest of itself and its two neighbours along an axis; much faster than pooling."""
    count = planes.shape[axis] - 1
    result = planes.clone()
    for there, here in ((0, 1), (1, 0)):
        part = result.narrow(axis, there, count)
        torch.maximum(part, planes.narrow(axis, here, count), out=part)
    return result


def _ramp(count: int, length: int) -> Tensor:
    """Rise to 1 at the length's last pixel."""
    length = min(length, count)
    return ((torch.arange(count, dtype=torch.float32) + 1) / max(1, length)).clamp(max=1)


_DRAW: dict[Shape, Callable[[Sequence[float], int, int], Tensor]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "gradient": _gradient,
}

_OPERATIONS: dict[MaskOperation, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "and": lambda a, b: ((a >= 0.5) & (b >= 0.5)).to(torch.float32),
    "or": lambda a, b: ((a >= 0.5) | (b >= 0.5)).to(torch.float32),
    "xor": lambda a, b: ((a >= 0.5) ^ (b >= 0.5)).to(torch.float32),
}
