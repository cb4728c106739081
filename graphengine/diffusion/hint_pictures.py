"""Hints that a user gives: one picture for each picture of a dataset, which a ControlNet learns to steer by.

A hint may be of another size than its picture, as programs that make them round sides to multiples of 8 or 64; it is
brought to the picture's. Of clearly other proportions it belongs to another picture, or was cut: that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphengine.diffusion.picture_looks import UnreadablePicture, look_at
from graphengine.diffusion.picture_sources import named_some
from graphengine.errors import InputError
from graphengine.types import Image

__all__ = ["check_hint_files", "check_proportions", "fitting_hints"]

_STRETCH = 1.05  # 683 rounded to a multiple of 64 is 704, 3 % more


def check_hint_files(
    hints: Mapping[str, Path | None], sizes: NDArray[np.int32], *, input: str, remedy: str
) -> list[str]:
    """Look at the hint of each picture.

    Args:
        hints: Its file by the picture's name, in the dataset's order; None where there is none.
        sizes: int32 ``[N, 2]``, the pictures' widths and heights.
        input: What the user chose them by.
        remedy: Where hints have to be.

    Returns:
        Their paths.

    Raises:
        InputError: naming all that are missing, can't be read or are of other proportions.
    """
    missing: list[str] = []
    damaged: list[str] = []
    other: list[str] = []
    for (name, path), size in zip(hints.items(), sizes.tolist(), strict=True):
        if path is None or not path.is_file():
            missing.append(name)
            continue
        try:
            look = look_at(path)
        except UnreadablePicture as error:
            damaged.append(f"{name} ({error})")
            continue
        try:
            check_proportions(size, (look.width, look.height))
        except UnreadablePicture as error:
            other.append(f"{name} ({error})")
    faults = {
        "there are no hints for": missing,
        "hints can't be read for": damaged,
        "hints have other proportions than": other,
    }
    told = [f"{fault} {named_some(names)}" for fault, names in faults.items() if names]
    if told:
        raise InputError(input, "; ".join(told) + ".", remedy)
    return [str(path) for path in hints.values()]


def fitting_hints(hints: Sequence[Image], pictures: Sequence[Image]) -> list[Image]:
    """Bring grey hints ``[1, H, W, 1]`` to three channels; others stay.

    Raises:
        InputError: naming all pictures whose hint has other proportions or channels.
    """
    other: list[str] = []
    for number, (hint, picture) in enumerate(zip(hints, pictures, strict=True)):
        (height, width), (hint_height, hint_width) = picture.shape[1:3], hint.shape[1:3]
        try:
            check_proportions((width, height), (hint_width, hint_height))
        except UnreadablePicture as error:
            other.append(f"picture {number}: {error}")
        if hint.shape[3] not in (1, 3):
            other.append(f"picture {number}: its hint has {hint.shape[3]} channels instead of 3")
    if other:
        raise InputError("hints", f"{named_some(other)}.", "Give each picture a hint of its own proportions.")
    return [Image(hint.expand(-1, -1, -1, 3)) for hint in hints]


def check_proportions(size: Sequence[int], hint: Sequence[int]) -> None:
    """Compare widths and heights of a picture and its hint.

    Raises:
        UnreadablePicture: if they differ in more than scale and rounding.
    """
    stretch = (size[0] * hint[1]) / (size[1] * hint[0])
    if not 1 / _STRETCH <= stretch <= _STRETCH:
        raise UnreadablePicture(f"it is {size[0]} x {size[1]}, its hint {hint[0]} x {hint[1]}")
