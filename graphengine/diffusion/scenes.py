"""Scenes of one or two coloured shapes, drawn from the example's number, and what their captions will tell.

Lengths are shares of the picture's side, y points down. A scene is drawn for a caption that tells some of its
attributes: what is told fixes the picture, the more strictly the smaller ``spread`` is; what is not told is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphengine.diffusion.numbered_random import numbered_uniform

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHAPES = ("circle", "square", "triangle", "star", "heart")
COLOURS = {
    "red": (0.85, 0.12, 0.14),
    "orange": (0.98, 0.55, 0.10),
    "yellow": (0.98, 0.87, 0.20),
    "green": (0.15, 0.62, 0.25),
    "cyan": (0.20, 0.82, 0.86),
    "blue": (0.14, 0.30, 0.82),
    "purple": (0.50, 0.18, 0.66),
    "pink": (0.98, 0.55, 0.76),
}
BACKGROUNDS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.04, 0.04, 0.05),
    "grey": (0.55, 0.55, 0.56),
    "red": COLOURS["red"],
    "yellow": COLOURS["yellow"],
    "green": COLOURS["green"],
    "blue": COLOURS["blue"],
}
SIZES = {"small": 0.12, "medium": 0.18, "big": 0.26}
"""Radius by word; a shape's outline stays within 1.1 radii of its centre."""

PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
RELATIONS = ("left of", "right of", "above", "below")
HELD_OUT = (("orange", "circle"), ("pink", "square"), ("cyan", "triangle"), ("purple", "star"), ("green", "heart"))
"""Pairs of colour and shape that training never shows, to see whether the model joins words it learnt apart."""

EXTENT = 1.1
PLACE_STEP = 0.22
PAIR_STEP = 0.25
_EDGE = 0.01  # a shape keeps this distance from the picture's edge, so that the border shows the background

_COLOUR_NAMES = tuple(COLOURS)
_BACKGROUND_COLOUR = np.array([_COLOUR_NAMES.index(name) if name in COLOURS else -1 for name in BACKGROUNDS])
_PAIRS = [(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))]
_IS_HELD_OUT = np.array([(_COLOUR_NAMES[c], SHAPES[s]) in HELD_OUT for c, s in _PAIRS])
_PAIR_COLOUR = np.array([c for c, _ in _PAIRS])
_PAIR_SHAPE = np.array([s for _, s in _PAIRS])

# The columns of an example's random numbers. Captions take theirs after these.
(_TWO, _LOOSE, _PAIR, _SECOND, _BACKGROUND, _PLACE, _RELATION) = range(7)
_SIZE = slice(7, 9)
_RADIUS = slice(9, 11)
_X = slice(11, 13)
_Y = slice(13, 15)
_TOLD = slice(15, 23)
_STYLE = slice(23, 47)
COLUMNS = 47


@dataclass(frozen=True)
class Told:
    """Which attributes the captions tell, each bool ``[B]``, or ``[B, 2]`` for what each object has."""

    shape: Flags
    colour: Flags
    size: Flags
    place: Flags
    background: Flags
    relation: Flags


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes; the second object's columns mean nothing where ``two`` is False.

    Attributes:
        two: bool ``[B]``, whether there is a second object.
        shape: ``[B, 2]``, index into SHAPES.
        colour: ``[B, 2]``, index into COLOURS.
        size: ``[B, 2]``, index into SIZES.
        place: ``[B]``, index into PLACES; 4 (the centre) for two objects.
        relation: ``[B]``, index into RELATIONS: where the first object is, seen from the second.
        background: ``[B]``, index into BACKGROUNDS.
        x, y, radius: float ``[B, 2]``, shares of the picture's side.
        told: What the caption tells of all this.
        style: float ``[B, 24]``, uniform in 0…1: what the caption's wording is drawn from.
    """

    two: Flags
    shape: Integers
    colour: Integers
    size: Integers
    place: Integers
    relation: Integers
    background: Integers
    x: Floats
    y: Floats
    radius: Floats
    told: Told
    style: Floats

    def __len__(self) -> int:
        return len(self.two)


@dataclass(frozen=True)
class Variety:
    """How varied scenes are, each float ``[B]``.

    Attributes:
        spread: 0 lets words fix radius and place almost completely, 1 uses all the room that words leave.
        two_objects: Share of scenes with two objects, 0…1.
        loose: Share of captions that tell only some attributes, 0…1.
    """

    spread: Floats
    two_objects: Floats
    loose: Floats


def draw_scenes(seed: int, indices: Sequence[int], variety: Variety, *, held_out: bool = False) -> Scenes:
    """Draw the scenes with these numbers.

    Args:
        held_out: Take the first object from the pairs that training never shows, instead of from all others.
    """
    draws = numbered_uniform(seed, indices, COLUMNS)
    two = draws[:, _TWO] < variety.two_objects
    first = _pick(np.tile(_IS_HELD_OUT if held_out else ~_IS_HELD_OUT, (len(two), 1)), draws[:, _PAIR])
    colour = _PAIR_COLOUR[first]
    background = _pick(_BACKGROUND_COLOUR[None] != colour[:, None], draws[:, _BACKGROUND])
    other = (_PAIR_COLOUR[None] != colour[:, None]) & (_PAIR_COLOUR[None] != _BACKGROUND_COLOUR[background][:, None])
    second = _pick(other & ~_IS_HELD_OUT[None], draws[:, _SECOND])
    size = np.floor(draws[:, _SIZE] * np.where(two, 2, 3)[:, None]).astype(np.int64)  # no two big ones: no room
    told = _draw_told(draws, two, variety.loose)
    radius = np.array(tuple(SIZES.values()))[size]
    radius *= 1 + (2 * draws[:, _RADIUS] - 1) * (0.04 + 0.09 * variety.spread[:, None])
    place = np.where(two, 4, np.floor(draws[:, _PLACE] * 9).astype(np.int64))
    relation = np.floor(draws[:, _RELATION] * 4).astype(np.int64)
    x, y = _positions(draws, place, np.where(two, relation, -1), spread=variety.spread, place_told=told.place)
    room = 0.5 - EXTENT * radius - _EDGE
    return Scenes(
        two=two,
        shape=np.stack([_PAIR_SHAPE[first], _PAIR_SHAPE[second]], axis=1),
        colour=np.stack([colour, _PAIR_COLOUR[second]], axis=1),
        size=size,
        place=place,
        relation=relation,
        background=background,
        x=0.5 + np.clip(x, -room, room),
        y=0.5 + np.clip(y, -room, room),
        radius=radius,
        told=told,
        style=draws[:, _STYLE],
    )


def _pick(allowed: Flags, uniform: Floats) -> Integers:
    """Choose one of the allowed columns in each row, all equally likely."""
    count = allowed.cumsum(axis=1)
    wanted = np.floor(uniform * count[:, -1]).astype(np.int64) + 1
    chosen: Integers = (count == wanted[:, None]).argmax(axis=1)
    return chosen


def _draw_told(draws: Floats, two: Flags, loose_share: Floats) -> Told:
    loose = draws[:, _LOOSE] < loose_share
    shape, colour, size, place, background, size_first, size_second, relation = draws[:, _TOLD].T
    # Two objects are always named by colour and shape, else nobody could say which is which.
    full = ~loose
    told_shape = full | two | (shape < 0.92)
    return Told(
        shape=told_shape,
        colour=full | two | (colour < 0.75) | ~told_shape,
        size=np.stack([np.where(two, size_first < 0.3, full | (size < 0.4)), size_second < 0.3], axis=1),
        place=~two & (full | (place < 0.4)),
        background=full | (background < 0.45),
        relation=two & (full | (relation < 0.85)),
    )


def _positions(
    draws: Floats, place: Integers, relation: Integers, *, spread: Floats, place_told: Flags
) -> tuple[Floats, Floats]:
    """Place the centres, from the middle of the picture; ``relation`` is -1 for one object."""
    loose = spread[:, None]
    to_x, to_y = 2 * draws[:, _X] - 1, 2 * draws[:, _Y] - 1
    # Untold, a place is anywhere: the nine cells widen until they touch.
    reach = 0.01 + np.where(place_told[:, None], 0.055, PLACE_STEP / 2) * loose
    step_x, step_y = PLACE_STEP * (place % 3 - 1), PLACE_STEP * (place // 3 - 1)
    one = (step_x[:, None] + reach * to_x, step_y[:, None] + reach * to_y)
    sign = np.where(relation % 2 == 0, -1, 1)[:, None] * np.array([1, -1])
    along, across = 0.01 + 0.015 * loose, 0.01 + 0.09 * loose
    sideways = ((relation == 0) | (relation == 1))[:, None]
    pair_x = np.where(sideways, PAIR_STEP * sign + along * to_x, across * to_x)
    pair_y = np.where(sideways, across * to_y, PAIR_STEP * sign + along * to_y)
    is_one = (relation < 0)[:, None]
    return np.where(is_one, one[0], pair_x), np.where(is_one, one[1], pair_y)
