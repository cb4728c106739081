"""Scenes of one to three coloured shapes or digits, drawn from the example's number, and what their captions will tell.

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
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KINDS = (*SHAPES, *DIGITS)
"""What an object can be."""

PATTERNS = ("plain", "striped", "dotted")
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
RELATIONS = ("left of", "right of", "above", "below", "inside")
ROWS = ("row", "column", "scattered")
"""How three objects lie: from left to right, from top to bottom, or anywhere."""

HELD_OUT = (("orange", "circle"), ("pink", "square"), ("cyan", "triangle"), ("purple", "star"), ("green", "heart"))
"""Pairs of colour and shape that training never shows, to see whether the model joins words it learnt apart."""

EXTENT = 1.1
PLACE_STEP = 0.22
PAIR_STEP = 0.25
ROW_STEP = 0.31
OUTER_RADIUS = 0.36
"""Radius of an object that another one lies in."""

DEEPEST_Y = np.array([0.0, 0.0, 0.15, 0.0, -0.075])
"""Where a shape has most room, below its centre, in radii; by SHAPES. There is room for a small object in each."""

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
WINDOW = slice(47, 50)
(_WIDE, _DIGIT, _WHICH_DIGIT, _THIRD, _ROW, _ROW_TOLD) = range(50, 56)
_PATTERN = slice(56, 58)
_ORDER = slice(58, 67)
_NEAR = slice(67, 73)
_THIRD_RADIUS = 73
_MORE_STYLE = slice(74, 98)
COLUMNS = 98


@dataclass(frozen=True)
class Told:
    """Which attributes the captions tell, each bool ``[B]``, or ``[B, 3]`` for what each object has.

    A pattern other than plain is always told, and so is that one object lies inside another.
    """

    shape: Flags
    colour: Flags
    size: Flags
    place: Flags
    background: Flags
    relation: Flags
    row: Flags


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes; columns of objects beyond ``count`` mean nothing.

    Attributes:
        count: ``[B]``, how many objects there are, 1…3.
        shape: ``[B, 3]``, index into KINDS.
        colour: ``[B, 3]``, index into COLOURS.
        pattern: ``[B, 3]``, index into PATTERNS.
        size: ``[B, 3]``, index into SIZES.
        place: ``[B]``, index into PLACES; 4 (the centre) for more than one object.
        relation: ``[B]``, index into RELATIONS: where the first object is, seen from the second.
        row: ``[B]``, index into ROWS: how three objects lie, the first one first.
        background: ``[B]``, index into BACKGROUNDS.
        x, y, radius: float ``[B, 3]``, shares of the picture's side.
        told: What the caption tells of all this.
        style: float ``[B, 48]``, uniform in 0…1: what the caption's wording is drawn from.
    """

    count: Integers
    shape: Integers
    colour: Integers
    pattern: Integers
    size: Integers
    place: Integers
    relation: Integers
    row: Integers
    background: Integers
    x: Floats
    y: Floats
    radius: Floats
    told: Told
    style: Floats

    def __len__(self) -> int:
        return len(self.count)

    @property
    def two(self) -> Flags:
        """Whether there are two objects, bool ``[B]``."""
        two: Flags = self.count == 2
        return two

    @property
    def inside(self) -> Flags:
        """Whether the first object lies inside the second, bool ``[B]``."""
        inside: Flags = self.two & (self.relation == RELATIONS.index("inside"))
        return inside


@dataclass(frozen=True)
class Variety:
    """How varied scenes are, each float ``[B]``.

    Attributes:
        spread: 0 lets words fix radius and place almost completely, 1 uses all the room that words leave.
        two_objects: Share of scenes with two objects, of those with neither three nor one inside another, 0…1.
        three_objects: Share of scenes with three objects, 0…1.
        inside: Share of scenes with one object inside another, 0…1; together with three_objects at most 1.
        patterns: Share of objects that are striped or dotted, of those that are big enough and alone or in a pair.
        digits: Share of digits, of scenes with one object, 0…1.
        loose: Share of captions that tell only some attributes, 0…1.
    """

    spread: Floats
    two_objects: Floats
    three_objects: Floats
    inside: Floats
    patterns: Floats
    digits: Floats
    loose: Floats


def draw_scenes(seed: int, indices: Sequence[int], variety: Variety, *, held_out: bool = False) -> Scenes:
    """Draw the scenes with these numbers.

    Args:
        held_out: Take the first object from the pairs that training never shows, instead of from all others.
    """
    draws = numbered_uniform(seed, indices, COLUMNS)
    is_inside = draws[:, _WIDE] < variety.inside
    three = ~is_inside & (draws[:, _WIDE] < variety.inside + variety.three_objects)
    two = is_inside | (~three & (draws[:, _TWO] < variety.two_objects))
    count = np.where(three, 3, np.where(two, 2, 1))
    is_digit = (count == 1) & (draws[:, _DIGIT] < variety.digits)
    background, shape, colour = _draw_kinds(draws, is_digit=is_digit, held_out=held_out)
    pattern = _draw_patterns(draws, shape, alone=count == 1, share=variety.patterns)
    pattern[three | is_inside] = 0
    size = _draw_sizes(draws, count == 1, shape, pattern)
    size[three | is_inside] = 0
    relation = np.where(is_inside, RELATIONS.index("inside"), np.floor(draws[:, _RELATION] * 4).astype(np.int64))
    told = _draw_told(draws, count, is_inside, pattern.max(axis=1) > 0, variety.loose)
    radius = np.array(tuple(SIZES.values()))[size]
    radius[:, :2] *= 1 + (2 * draws[:, _RADIUS] - 1) * (0.04 + 0.09 * variety.spread[:, None])
    radius[:, 2] *= 1 + (2 * draws[:, _THIRD_RADIUS] - 1) * (0.04 + 0.09 * variety.spread)
    radius[is_inside, 1] = OUTER_RADIUS  # no smaller, so that there is room
    place = np.where(count > 1, 4, np.floor(draws[:, _PLACE] * 9).astype(np.int64))
    row = np.where(told.row, np.floor(draws[:, _ROW] * 2).astype(np.int64), ROWS.index("scattered"))
    x, y = _positions(draws, place, np.where(two, relation, -1), spread=variety.spread, place_told=told.place)
    x, y = np.pad(x, ((0, 0), (0, 1))), np.pad(y, ((0, 0), (0, 1)))
    x[three], y[three] = _row_positions(draws[three], row[three], spread=variety.spread[three])
    x[is_inside], y[is_inside] = (
        (0.01 + 0.08 * variety.spread[is_inside, None]) * (2 * draws[is_inside, columns][:, -1:] - 1)
        for columns in (_X, _Y)
    )
    room = 0.5 - EXTENT * radius - _EDGE
    x, y = 0.5 + np.clip(x, -room, room), 0.5 + np.clip(y, -room, room)
    x[is_inside, 0] = x[is_inside, 1]
    y[is_inside, 0] = (y + radius * DEEPEST_Y[np.minimum(shape, 4)])[is_inside, 1]
    return Scenes(
        count=count,
        shape=shape,
        colour=colour,
        pattern=pattern,
        size=size,
        place=place,
        relation=relation,
        row=row,
        background=background,
        x=x,
        y=y,
        radius=radius,
        told=told,
        style=np.concatenate([draws[:, _STYLE], draws[:, _MORE_STYLE]], axis=1),
    )


def _draw_kinds(draws: Floats, *, is_digit: Flags, held_out: bool) -> tuple[Integers, Integers, Integers]:
    """Draw the background and the three objects' shapes and colours; no colour comes twice in a scene."""
    first = _pick(np.tile(_IS_HELD_OUT if held_out else ~_IS_HELD_OUT, (len(draws), 1)), draws[:, _PAIR])
    colour = _PAIR_COLOUR[first]
    background = _pick(_BACKGROUND_COLOUR[None] != colour[:, None], draws[:, _BACKGROUND])
    other = (_PAIR_COLOUR[None] != colour[:, None]) & (_PAIR_COLOUR[None] != _BACKGROUND_COLOUR[background][:, None])
    other &= ~_IS_HELD_OUT[None]
    second = _pick(other, draws[:, _SECOND])
    third = _pick(other & (_PAIR_COLOUR[None] != _PAIR_COLOUR[second][:, None]), draws[:, _THIRD])
    digit = len(SHAPES) + np.floor(draws[:, _WHICH_DIGIT] * len(DIGITS)).astype(np.int64)
    shape = np.stack([np.where(is_digit, digit, _PAIR_SHAPE[first]), _PAIR_SHAPE[second], _PAIR_SHAPE[third]], axis=1)
    return background, shape, np.stack([colour, _PAIR_COLOUR[second], _PAIR_COLOUR[third]], axis=1)


def _draw_patterns(draws: Floats, shape: Integers, *, alone: Flags, share: Floats) -> Integers:
    """Draw patterns, index into PATTERNS; a pair has no room for a big triangle or star, which they need."""
    drawn = draws[:, _PATTERN]
    pattern = np.where(drawn < share[:, None] / 2, 1, np.where(drawn < share[:, None], 2, 0))
    slender = np.isin(shape[:, :2], (SHAPES.index("triangle"), SHAPES.index("star")))
    pattern[(slender & ~alone[:, None]) | (shape[:, :2] >= len(SHAPES))] = 0
    return np.pad(pattern, ((0, 0), (0, 1)))


def _draw_sizes(draws: Floats, alone: Flags, shape: Integers, pattern: Integers) -> Integers:
    """Draw sizes, index into SIZES; strokes, stripes and dots need more room than small objects have."""
    sizes = np.floor(draws[:, _SIZE] * np.where(alone, 3, 2)[:, None]).astype(np.int64)  # no room for two big ones
    sizes = np.pad(sizes, ((0, 0), (0, 1)))
    slender = np.isin(shape, (SHAPES.index("triangle"), SHAPES.index("star")))
    least = np.where(pattern > 0, np.where(slender, 2, 1), shape >= len(SHAPES))
    return np.maximum(sizes, least)


def _pick(allowed: Flags, uniform: Floats) -> Integers:
    """Choose one of the allowed columns in each row, all equally likely."""
    count = allowed.cumsum(axis=1)
    wanted = np.floor(uniform * count[:, -1]).astype(np.int64) + 1
    chosen: Integers = (count == wanted[:, None]).argmax(axis=1)
    return chosen


def _draw_told(draws: Floats, count: Integers, is_inside: Flags, patterned: Flags, loose_share: Floats) -> Told:
    loose = draws[:, _LOOSE] < loose_share
    shape, colour, size, place, background, size_first, size_second, relation = draws[:, _TOLD].T
    one, two, three = count == 1, count == 2, count == 3
    # Several objects are always named by colour and shape, else nobody could say which is which.
    full = ~loose
    told_shape = full | ~one | (shape < 0.92)
    sizes = np.stack([np.where(two, size_first < 0.3, full | (size < 0.4)), size_second < 0.3], axis=1)
    sizes &= ~(three | is_inside | (two & patterned))[:, None]  # captions must not grow too long
    return Told(
        shape=told_shape,
        colour=full | ~one | (colour < 0.75) | ~told_shape,
        size=np.pad(sizes, ((0, 0), (0, 1))),
        place=one & (full | (place < 0.4)),
        background=full | (background < 0.45),
        relation=two & (is_inside | full | (relation < 0.85)),
        row=three & (full | (draws[:, _ROW_TOLD] < 0.6)),
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


def _row_positions(draws: Floats, row: Integers, *, spread: Floats) -> tuple[Floats, Floats]:
    """Place three centres, from the middle of the picture, ``[B, 3]`` each."""
    loose = spread[:, None]
    near = 2 * draws[:, _NEAR] - 1
    steps = np.array([-1.0, 0.0, 1.0]) * ROW_STEP
    along = np.tile(steps, (len(row), 1))
    across = 0.15 * loose * near[:, :1] + 0.05 * loose * near[:, 3:]
    cells = np.argsort(draws[:, _ORDER], axis=1)[:, :3]  # three of nine, none twice
    wobble = 0.004 * loose * near[:, 3:]
    upright, scattered = (row == 1)[:, None], (row == 2)[:, None]
    x = np.where(scattered, steps[cells % 3] + wobble, np.where(upright, across, along))
    y = np.where(scattered, steps[cells // 3] + wobble[:, ::-1], np.where(upright, along, across))
    return x, y
