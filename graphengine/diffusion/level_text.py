"""Read noise levels from a text, without torch, so that a workflow's levels can be checked before it runs."""

from __future__ import annotations

import math
from itertools import pairwise

from graphengine.errors import InputError


def parse_levels(text: str) -> list[float]:
    """Read levels that are separated by commas, spaces or lines.

    Raises:
        InputError: quoting what is no level, or where they don't fall or rise steadily.
    """
    levels = [_level(word) for word in text.replace(",", " ").split()]
    rising = [after - before for before, after in pairwise(levels)]
    if not (all(step < 0 for step in rising) or all(step > 0 for step in rising)):
        where = next(i for i, step in enumerate(rising) if step == 0 or (step > 0) != (rising[0] > 0))
        raise InputError(
            "sigmas",
            f"{levels[where + 1]:g} doesn't go on from {levels[where]:g}: levels fall (or rise) from each to the next.",
            "Write them from high to low, usually ending with 0.",
        )
    return levels


def _level(word: str) -> float:
    try:
        level = float(word)
    except ValueError:
        raise InputError("sigmas", f"{word!r} is not a number.", "Write levels such as 14.6, 5, 1.5, 0.") from None
    if not math.isfinite(level) or level < 0:
        raise InputError("sigmas", f"{word} is no noise level.", "Write numbers from 0 up.")
    return level
