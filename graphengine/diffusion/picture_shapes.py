"""How pictures of all proportions come to the sizes that are trained on.

Either all become one size, or each goes to the bucket that is nearest in its proportions. Buckets are sizes of about
the same area, whose sides are multiples of a step, so that little is cut off. Source: NovelAI, "Improvements on Stable
Diffusion", 2022, "aspect ratio bucketing".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from graphengine.diffusion.picture_sources import counted, named_some
from graphengine.errors import InputError

__all__ = ["Buckets", "Fit", "Placed", "Small", "Sorted", "placed", "scaled_size"]

Fit = Literal["cover", "contain", "pad", "stretch"]
"""How other proportions come to a size.

``cover`` fills it and cuts off what sticks out, ``contain`` shows all of the picture on white, ``pad`` does so too but
the border doesn't count in the loss, and ``stretch`` distorts.
"""

Small = Literal["enlarge", "keep", "skip"]
"""What becomes of pictures smaller than their bucket.

``enlarge`` makes them larger, ``keep`` makes a bucket of their own size, and ``skip`` leaves them out.
"""

Sizes = NDArray[np.int32]


@dataclass(frozen=True)
class Sorted:
    """Pictures sorted into buckets.

    Attributes:
        shapes: int32 ``[N, 2]``, width and height of each picture's bucket; 0 for those left out.
        skipped: Why pictures were left out: reason -> their numbers.
    """

    shapes: Sizes
    skipped: dict[str, list[int]]


@dataclass(frozen=True)
class Buckets:
    """The sizes that pictures are sorted into.

    Attributes:
        area: Pixels of a bucket, at most.
        min_side: Of a bucket, in pixels.
        max_side: Of a bucket, in pixels.
        step: Sides are multiples of it.
        small: What becomes of pictures smaller than their bucket.
        max_crop: Pictures that would lose a larger share of their area are left out.
    """

    area: int
    min_side: int
    max_side: int
    step: int = 64
    small: Small = "enlarge"
    max_crop: float = 1.0

    def sizes(self) -> list[tuple[int, int]]:
        """Give the buckets' widths and heights, the widest last.

        Raises:
            InputError: if there are none.
        """
        low, high = -(-self.min_side // self.step) * self.step, self.max_side // self.step * self.step
        found: set[tuple[int, int]] = set()
        for width in range(low, high + 1, self.step):
            height = min(high, self.area // width // self.step * self.step)
            if height >= low:
                found |= {(width, height), (height, width)}
        square = math.isqrt(self.area) // self.step * self.step
        if low <= square <= high:
            found.add((square, square))
        if not found:
            raise InputError(
                "min_side",
                f"no size of at most {self.area:,} pixels has sides from {self.min_side} to {self.max_side} that are "
                f"multiples of {self.step}.",
                "Lower min_side or step, or raise the resolution.",
            )
        return sorted(found, key=lambda size: (size[0] / size[1], size[0]))

    def sort(self, sizes: Sizes, names: Sequence[str]) -> Sorted:
        """Give each picture its bucket.

        Raises:
            InputError: if ``small`` is ``keep`` and pictures are smaller than a bucket may be, or if none is left.
        """
        buckets = np.array(self.sizes(), dtype=np.int32)
        proportions = np.log(buckets[:, 0] / buckets[:, 1])
        ours = np.log(sizes[:, 0] / sizes[:, 1])
        nearest = [int(np.abs(proportions - each).argmin()) for each in ours]  # one by one: N x buckets would be large
        shapes = buckets[nearest]
        is_small: NDArray[np.bool_] = np.any(sizes < shapes, axis=1)
        skipped: dict[str, list[int]] = {}
        if self.small == "keep":
            shapes = np.where(is_small[:, None], self._own(sizes, shapes, names, is_small), shapes)
        elif self.small == "skip":
            skipped["smaller than their bucket"] = np.flatnonzero(is_small).tolist()
        lost = 1 - kept_share(sizes, shapes)
        too_long = (lost > self.max_crop) & ~(is_small & (self.small == "skip"))
        skipped[f"losing more than {self.max_crop:.0%} of their area"] = np.flatnonzero(too_long).tolist()
        shapes = shapes.copy()
        for numbers in skipped.values():
            shapes[numbers] = 0
        if not shapes.any():
            raise InputError("dataset", "no picture fits a bucket.", "Choose small 'enlarge', or raise max_crop.")
        return Sorted(shapes, {reason: numbers for reason, numbers in skipped.items() if numbers})

    def _own(self, sizes: Sizes, shapes: Sizes, names: Sequence[str], is_small: NDArray[np.bool_]) -> Sizes:
        own = np.minimum(sizes, shapes) // self.step * self.step
        too_small = np.flatnonzero(is_small & (own < max(self.min_side, self.step)).any(axis=1)).tolist()
        if too_small:
            raise InputError(
                "dataset",
                "these pictures are smaller than a bucket may be: "
                f"{named_some([f'{names[each]} ({sizes[each][0]} x {sizes[each][1]})' for each in too_small])}.",
                "Lower min_side, remove them, or choose small 'enlarge' or 'skip'.",
            )
        return own.astype(np.int32)

    def report(self, sizes: Sizes, names: Sequence[str], found: Sorted) -> str:
        """Tell what is in each bucket, what is cut off and what is left out."""
        used = found.shapes[:, 0] > 0
        counts = Counter((int(width), int(height)) for width, height in found.shapes[used])
        lines = [f"{counted(int(used.sum()), 'picture')} in {len(counts)} of {len(self.sizes())} buckets:"]
        kept = kept_share(sizes[used], found.shapes[used])
        scale = (found.shapes[used] / sizes[used]).max(axis=1)
        for (width, height), count in sorted(counts.items(), key=lambda each: each[0][0] / each[0][1]):
            here = (found.shapes[used] == (width, height)).all(axis=1)
            lines.append(
                f"  {width} x {height}: {counted(count, 'picture')}, at most {1 - kept[here].min():.1%} cut off, "
                f"scaled by {scale[here].min():.2f} to {scale[here].max():.2f}"
            )
        enlarged = counted(int((scale > 1).sum()), "picture")
        lines.append(f"On average {1 - kept.mean():.1%} of a picture is cut off; {enlarged} enlarged.")
        for reason, numbers in found.skipped.items():
            lines.append(f"Left out, {reason}: {named_some([names[each] for each in numbers])}.")
        return "\n".join(lines)


def kept_share(sizes: Sizes, shapes: Sizes) -> NDArray[np.float64]:
    """Give the share of each picture's area that covering its shape keeps, ``[N]``."""
    ratio = (sizes[:, 0] / sizes[:, 1]) / (shapes[:, 0] / np.maximum(shapes[:, 1], 1)).clip(1e-9)
    share: NDArray[np.float64] = np.minimum(ratio, 1 / ratio)
    return share


def scaled_size(size: tuple[int, int], shape: tuple[int, int], fit: Fit, zoom: float = 1.0) -> tuple[int, int]:
    """Give the width and height that a picture is scaled to before it is cut or padded to a shape."""
    if fit == "stretch":
        return round(shape[0] * zoom), round(shape[1] * zoom)
    ratios = (shape[0] / size[0], shape[1] / size[1])
    if fit == "cover":
        scale = max(ratios) * zoom
        return max(shape[0], round(size[0] * scale)), max(shape[1], round(size[1] * scale))
    scale = min(ratios) * zoom
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Placed:
    """A picture brought to its shape.

    Attributes:
        colours: RGB.
        mask: L, as large.
        crop: Top and left of what is seen, in pixels of the scaled picture; negative where it is padded.
        hint: RGB, as large; None if there is none or it wasn't asked for.
    """

    colours: Picture.Image
    mask: Picture.Image
    crop: tuple[int, int]
    hint: Picture.Image | None = None


def placed(
    colours: Picture.Image,
    mask: Picture.Image | None,
    shape: tuple[int, int],
    fit: Fit,
    at: tuple[float, float] = (0.5, 0.5),
    *,
    hint: Picture.Image | None = None,
) -> Placed:
    """Cut a scaled picture to its shape, or lay it on white, and its hint on black.

    Args:
        mask: L, as large as the colours; None counts everything.
        hint: RGB, as large as the colours.
        at: Where what is seen lies within what is there, as shares: 0.5 is the middle.
    """
    left, top = (round((have - want) * share) for have, want, share in zip(colours.size, shape, at, strict=True))
    shown = Picture.new("L", colours.size, 255) if mask is None else mask
    if colours.size == shape:
        return Placed(colours, shown, (0, 0), hint)
    sheet = Picture.new("RGB", shape, "white")
    sheet.paste(colours, (-left, -top))
    sheet_mask = Picture.new("L", shape, 0 if fit == "pad" else 255)
    sheet_mask.paste(shown, (-left, -top))
    if hint is None:
        return Placed(sheet, sheet_mask, (top, left))
    sheet_hint = Picture.new("RGB", shape, "black")
    sheet_hint.paste(hint, (-left, -top))
    return Placed(sheet, sheet_mask, (top, left), sheet_hint)
