"""See what a generated picture shows, by image analysis alone: no model judges a model.

The border's median is the background. What differs from it falls into connected regions; those of one colour that lie
close together are one object, since stripes part what belongs together. An object's colour is the median inside, its
shape the template that overlaps it best once area and centroid are made equal, and from that template follow its centre
and radius. Where no plain template fits, templates with stripes or dots are tried. A region of another colour inside an
object is an object too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from graphengine.diffusion.drawing import DISTANCES, PATTERN_STEP, PATTERNS_DISTANCES
from graphengine.diffusion.scenes import BACKGROUNDS, COLOURS, DIGITS, EXTENT, PLACE_STEP, PLACES, SHAPES, SIZES

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Relation = Literal["left of", "right of", "above", "below", "inside"]

_BORDER = 3  # pixels
_DIFFERENT = 0.15  # from the background, in RGB; the nearest pair, orange on yellow, is 0.33 apart
_SMALLEST = 0.004  # of the picture's area; the smallest star covers 0.009
_COLOUR_LIMIT = 0.25  # farther from every named colour, it is none of them
_IOU_LIMIT = 0.75  # less overlap with every template, it is none of the shapes
_DIGIT_LIMIT = 0.6  # the same for digits, whose thin strokes overlap less
_PLAIN_ENOUGH = 0.8  # more overlap with a plain template: no pattern is looked for; with stripes or dots it is below
_PATTERN_LIMIT = 0.5  # less overlap with every patterned template, it is none of the shapes
_SAME_COLOUR = 0.2  # parts of one object are no farther apart in RGB
_PART = 0.0008  # of the picture's area: the smallest part of an object
_SLIVER = 0.0085  # of the picture's area, less than the smallest object
_TEMPLATE_POINTS = 512


@dataclass(frozen=True)
class SeenObject:
    """One object in a picture.

    Attributes:
        shape: Name of the shape or digit whose template overlaps best, or "none".
        overlap: That template's intersection over union, 0…1.
        colour: The nearest named colour, or "none".
        x, y, radius: In shares of the picture's side.
        area: Share of the picture.
        pattern: What its ink covers of its shape.
    """

    shape: str
    overlap: float
    colour: str
    x: float
    y: float
    radius: float
    area: float
    pattern: str = "plain"

    @property
    def size(self) -> str:
        """The size word whose radius is nearest by ratio."""
        return min(SIZES, key=lambda word: abs(math.log(self.radius / SIZES[word])))

    @property
    def place(self) -> str:
        """The place word for the centre."""
        column, row = (round(np.clip((value - 0.5) / PLACE_STEP, -1, 1)) + 1 for value in (self.x, self.y))
        return PLACES[3 * row + column]

    def relation_to(self, other: SeenObject) -> Relation:
        """Where this object is, seen from the other."""
        apart = math.hypot(self.x - other.x, self.y - other.y)
        if apart + self.radius < other.radius:
            return "inside"
        right, down = self.x - other.x, self.y - other.y
        if abs(right) > abs(down):
            return "right of" if right > 0 else "left of"
        return "below" if down > 0 else "above"


@dataclass(frozen=True)
class SeenPicture:
    """What a picture shows; objects by area, the largest first."""

    background: str
    objects: tuple[SeenObject, ...]


def look_at(picture: Floats) -> SeenPicture:
    """Analyse one picture.

    Args:
        picture: ``[H, W, 3]`` in 0…1, square.
    """
    edge = np.concatenate(
        [
            picture[:_BORDER].reshape(-1, 3),
            picture[-_BORDER:].reshape(-1, 3),
            picture[:, :_BORDER].reshape(-1, 3),
            picture[:, -_BORDER:].reshape(-1, 3),
        ]
    )
    background = np.median(edge, axis=0)
    differs = np.linalg.norm(picture - background, axis=2) > _DIFFERENT
    objects = []
    for ink in _inks(picture, differs, background):
        colour = _median_inside(picture, ink)
        other = differs & ndimage.binary_fill_holes(ink) & (np.linalg.norm(picture - colour, axis=2) > _DIFFERENT)
        held = _regions(ndimage.binary_opening(other, iterations=2), _SMALLEST)
        objects += [_look_at_object(picture, colour, inner) for inner in held]
        objects.append(
            _look_at_object(picture, background, np.logical_or.reduce([ink, *held]), colour, held=bool(held))
        )
    return SeenPicture(
        background=_nearest_colour(background, BACKGROUNDS),
        objects=tuple(sorted(objects, key=lambda seen: -seen.area)),
    )


def _inks(picture: Floats, differs: Flags, background: Floats) -> list[Flags]:
    """Give each object's ink: regions together that have one colour and a gap between them as stripes have."""
    reach = math.ceil(PATTERN_STEP * len(picture) / 4)
    inks: list[tuple[Floats, Flags]] = []
    for part in sorted(_regions(differs, _PART), key=lambda region: -region.sum()):
        colour = _median_inside(picture, part)
        near = ndimage.binary_dilation(part, iterations=2 * reach)
        for number, (other_colour, other) in enumerate(inks):
            # A sliver may be all edge: a blend of the ink and the background.
            towards = other_colour - background
            share = float(np.clip((colour - background) @ towards / (towards @ towards), 0.3, 1))
            expected = background + (share if part.mean() < _SLIVER else 1) * towards
            if np.linalg.norm(colour - expected) < _SAME_COLOUR and (near & other).any():
                inks[number] = (other_colour, other | part)
                break
        else:
            inks.append((colour, part))
    return [ink for _colour, ink in inks if ink.mean() > _SMALLEST]


def _regions(mask: Flags, smallest: float) -> list[Flags]:
    regions, count = ndimage.label(mask)
    return [region for region in (regions == number for number in range(1, count + 1)) if region.mean() > smallest]


def _median_inside(picture: Floats, region: Flags) -> Floats:
    inside = ndimage.binary_erosion(region, iterations=2)
    colour: Floats = np.median(picture[inside if inside.any() else region], axis=0)
    return colour


def _look_at_object(
    picture: Floats, around: Floats, region: Flags, colour: Floats | None = None, *, held: bool = False
) -> SeenObject:
    """See what an object shows.

    Args:
        around: The colour that it lies on.
        region: Where it is, about; the edge is put where the colour is half way.
        colour: Its colour; the median inside.
        held: Another object lies in it, so its edge is taken as it is.
    """
    colour = _median_inside(picture, region) if colour is None else colour
    mask = region if held else _sharpened(picture, region, around, colour)
    pattern = "plain"
    fits = {shape: _fit(mask, shape) for shape in DISTANCES}
    shape = max(fits, key=lambda name: fits[name][0])
    limit = _DIGIT_LIMIT if shape in DIGITS else _IOU_LIMIT
    best = fits[shape]
    if best[0] < _PLAIN_ENOUGH:
        patterned = _fit_patterned(mask)
        if patterned[0][0] > best[0]:
            limit, (best, shape, pattern) = _PATTERN_LIMIT, patterned
    overlap, x, y, radius = best
    return SeenObject(
        shape=shape if overlap >= limit else "none",
        overlap=overlap,
        colour=_nearest_colour(colour, COLOURS),
        x=x,
        y=y,
        radius=radius,
        area=float(mask.mean()),
        pattern=pattern,
    )


def _fit_patterned(mask: Flags) -> tuple[tuple[float, float, float, float], str, str]:
    """Lay shapes with stripes or dots over the mask, near where its filled silhouette lies.

    Returns:
        Overlap, x, y and radius of the best, its shape and its pattern.
    """
    side = len(mask)
    reach = math.ceil(PATTERN_STEP * side / 4) + 1
    disc = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    closed = ndimage.binary_closing(np.pad(mask, 2 * reach), structure=disc)[
        2 * reach : -2 * reach, 2 * reach : -2 * reach
    ]
    silhouette = ndimage.binary_fill_holes(closed)
    fits = {shape: _fit(silhouette, shape) for shape in SHAPES}
    best = ((0.0, 0.5, 0.5, 0.1), "none", "plain")
    for shape in sorted(fits, key=lambda name: -fits[name][0])[:2]:
        _overlap, middle_x, middle_y, about = fits[shape]
        rows, columns = (
            _around(np.asarray(mask.any(axis=axis)), at, 1.3 * about) for axis, at in ((1, middle_y), (0, middle_x))
        )
        ink = torch.from_numpy(mask[rows, columns])
        down, right = ((torch.arange(part.start, part.stop) + 0.5) / side for part in (rows, columns))
        for factor, x_off, y_off in itertools.product((0.9, 0.97, 1.04, 1.11, 1.19), (-1, 0, 1), (-2, -1, 0, 1, 2)):
            x, y, radius = middle_x + 0.015 * x_off, middle_y + 0.014 * y_off, about * factor
            grid_y, grid_x = torch.meshgrid(down - y, right - x, indexing="ij")
            outline = DISTANCES[shape](grid_x / radius, grid_y / radius) < 0
            for pattern, distance in PATTERNS_DISTANCES.items():
                template = outline & (distance(grid_x, grid_y) < 0)
                overlap = float((template & ink).sum() / (template | ink).sum())
                best = max(best, ((overlap, x, y, radius), shape, pattern))
    return best


def _sharpened(picture: Floats, region: Flags, background: Floats, colour: Floats) -> Flags:
    """Put a region's edge where the colour is half way between background and object."""
    towards = colour - background
    strength = (picture - background) @ towards / (towards @ towards)
    mask: Flags = (strength > 0.5) & ndimage.binary_dilation(region)
    return mask if mask.any() else region


def _fit(mask: Flags, shape: str) -> tuple[float, float, float, float]:
    """Lay the shape over the mask by area and centroid; give overlap, x, y and radius."""
    side = len(mask)
    area, offset_x, offset_y = _template_moments(shape)
    radius = math.sqrt(mask.sum() / side**2 / area)
    down, right = (float(value + 0.5) / side for value in ndimage.center_of_mass(mask))
    x, y = right - offset_x * radius, down - offset_y * radius
    box = [_around(np.asarray(mask.any(axis=axis)), centre, radius) for axis, centre in ((1, y), (0, x))]
    rows, columns = ((torch.arange(part.start, part.stop) + 0.5) / side for part in box)
    grid_y, grid_x = torch.meshgrid((rows - y) / radius, (columns - x) / radius, indexing="ij")
    template = DISTANCES[shape](grid_x, grid_y).numpy() < 0
    inside = mask[box[0], box[1]]
    return float((template & inside).sum() / (template | inside).sum()), x, y, radius


def _around(occupied: Flags, centre: float, radius: float) -> slice:
    """Give the pixels along one axis that the mask or a template at ``centre`` may cover."""
    side = len(occupied)
    pixels = np.nonzero(occupied)[0]
    first = min(pixels[0], math.floor((centre - EXTENT * radius) * side))
    last = max(pixels[-1], math.ceil((centre + EXTENT * radius) * side))
    return slice(max(first, 0), min(last + 1, side))


@cache
def _template_moments(shape: str) -> tuple[float, float, float]:
    """Area and centroid of a shape of radius 1 around the origin."""
    axis = (torch.arange(_TEMPLATE_POINTS) + 0.5) / _TEMPLATE_POINTS * 2.4 - 1.2
    grid_y, grid_x = torch.meshgrid(axis, axis, indexing="ij")
    inside = DISTANCES[shape](grid_x, grid_y) < 0
    cell = (2.4 / _TEMPLATE_POINTS) ** 2
    return float(inside.sum()) * cell, float(grid_x[inside].mean()), float(grid_y[inside].mean())


def _nearest_colour(colour: Floats, named: Mapping[str, tuple[float, float, float]]) -> str:
    distances = {name: float(np.linalg.norm(colour - np.array(value))) for name, value in named.items()}
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] <= _COLOUR_LIMIT else "none"
