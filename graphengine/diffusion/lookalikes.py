"""Find pictures that look alike.

A picture's look is 64 bits: whether its brightness rises from place to place along the rows of an 8 x 8 grid, which
scaling and recompressing hardly change. Pictures look alike that differ in at most six of them. To find those without
comparing all with all, the bits are cut into seven bands: of two looks that differ in six bits at least one band is the
same. Source: Krawetz 2013, "Kind of like that" (dHash).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

__all__ = ["GRID", "Look", "alike", "look_of"]

GRID = 8
_MOST_APART = 6
_BAND_BITS = 9
_FLAT = 8  # brightness steps of 256; below, rises are noise
_ROWS = 1024  # compared at a time

Look = tuple[int, int]
"""The 64 bits; and for a picture without any structure its brightness, which alone tells it from others, else -1."""


def look_of(picture: Picture.Image) -> Look:
    """Tell what a picture looks like."""
    grey = np.asarray(picture.convert("L").resize((GRID + 1, GRID), Picture.Resampling.BOX), dtype=np.int16)
    if np.ptp(grey) < _FLAT:
        return 0, int(grey.mean()) // _FLAT
    return int.from_bytes(np.packbits(np.diff(grey, axis=1) > 0).tobytes(), "big"), -1


def alike(looks: Mapping[int, Look]) -> list[list[int]]:
    """Give groups of the numbers of pictures that look alike; pictures that look like no other are in none."""
    members: dict[Look, list[int]] = defaultdict(list)
    for number, look in looks.items():
        members[look].append(number)
    structured = [look for look in members if look[1] == -1]
    groups = _near(np.array([bits for bits, _flat in structured], dtype=np.uint64))
    found = [sorted(number for place in group for number in members[structured[place]]) for group in groups]
    found += [numbers for (_bits, flat), numbers in members.items() if flat != -1]
    return sorted(group for group in found if len(group) > 1)


def _near(looks: NDArray[np.uint64]) -> list[list[int]]:
    """Group different looks that are near each other, or near others that are."""
    parents = list(range(len(looks)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    for band in range(_MOST_APART + 1):
        keys = (looks >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)
        order = np.argsort(keys, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for start in range(0, len(places), _ROWS):
                rows = places[start : start + _ROWS]
                apart = np.bitwise_count(looks[rows][:, None] ^ looks[places][None])
                for first, second in np.argwhere(apart <= _MOST_APART).tolist():
                    parents[root(int(rows[first]))] = root(int(places[second]))
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(looks)):
        groups[root(place)].append(place)
    return list(groups.values())
