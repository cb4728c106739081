"""Go through large planes in overlapping tiles, so that the memory needed is that of one tile.

    starts      0        s        end - tile
    tile        [--------]
                     [--------]                  each fades in and out, linearly over the overlap,
                            [--------]           but not at the border of the whole
    Where tiles overlap, they are averaged by how far each has faded in.

All tiles are of one size: the last is moved back to end at the border. A function that makes each cell from itself
alone gives the same in tiles; one that sees some cells around it does further from a tile's edge than it sees. What
looks at the whole, such as a group norm, differs a little from tile to tile; fading hides the seams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """How large tiles are.

    Attributes:
        size: Along a side, in pixels of the picture.
        overlap: Of neighbouring tiles, in pixels; below the size.
    """

    size: int = 512
    overlap: int = 64


def in_tiles(planes: Tensor, change: Callable[[Tensor], Tensor], *, tile: int, overlap: int) -> Tensor:
    """Apply a function tile by tile.

    Args:
        planes: [1, C, H, W].
        change: Maps [1, C, h, w] to [1, C', h * k, w * k] with k a whole number or a fraction such as 1/8, the same for
            all; H, W, tile and overlap have to be multiples of the fraction's denominator.
        tile: A tile's side in cells of the planes, ≥ 1; a smaller plane is one tile.
        overlap: Cells that neighbours share at least, below ``tile``.

    Returns:
        [1, C', H * k, W * k], on the CPU; the function's own answer if there is a single tile.
    """
    height, width = planes.shape[-2:]
    rows, columns = _starts(height, tile, overlap), _starts(width, tile, overlap)
    if len(rows) == len(columns) == 1:
        return change(planes).to("cpu")
    sheet: _Sheet | None = None
    for top in rows:
        for left in columns:
            part = planes[..., top : top + tile, left : left + tile]
            changed = change(part).to("cpu")
            if sheet is None:
                sheet = _Sheet((height, width), Fraction(changed.shape[-1], part.shape[-1]), overlap, changed.shape[1])
            sheet.lay(changed, top, left)
    assert sheet is not None, "there is at least one tile"
    return sheet.total / sheet.weights


class _Sheet:
    """What tiles are laid on.

    Args:
        size: Height and width, in cells of what went in; so are all places.
        scale: Cells that came out for each that went in, along a side.
    """

    def __init__(self, size: tuple[int, int], scale: Fraction, overlap: int, channels: int) -> None:
        self._scale = scale
        self._overlap = self._out(overlap)
        height, width = (self._out(side) for side in size)
        self.total = torch.zeros(1, channels, height, width)
        self.weights = torch.zeros(height, width)

    def lay(self, changed: Tensor, top: int, left: int) -> None:
        """Add a tile whose corner is there."""
        spans = [
            (begin, begin + side, whole)
            for begin, side, whole in zip(
                (self._out(top), self._out(left)), changed.shape[-2:], self.weights.shape, strict=True
            )
        ]
        down, across = (
            _fading(end - begin, self._overlap, fades_in=begin > 0, fades_out=end < whole)
            for begin, end, whole in spans
        )
        rows, columns = (slice(begin, end) for begin, end, _whole in spans)
        weight = down[:, None] * across
        self.total[..., rows, columns] += changed * weight
        self.weights[rows, columns] += weight

    def _out(self, cells: int) -> int:
        return int(cells * self._scale)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    last = length - tile
    return [*range(0, last, tile - overlap), last]


def _fading(length: int, overlap: int, *, fades_in: bool, fades_out: bool) -> Tensor:
    """Rise to 1 over the overlap, and fall again; never quite 0, since somewhere a tile may be alone."""
    ramp = ((torch.arange(length) + 0.5) / max(overlap, 1)).clamp(max=1)
    weight = torch.ones(length)
    if fades_in:
        weight = weight * ramp
    if fades_out:
        weight = weight * ramp.flip(0)
    return weight
