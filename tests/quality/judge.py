"""See what a generated picture shows, by image analysis alone: no model judges a model.

The border's median is the background. What differs from it falls into connected regions; each region of some size is an
object. Its colour is the median inside, its shape the template that overlaps it best once area and centroid are made
equal, and from that template follow its centre and radius.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from graphengine.diffusion.drawing import DISTANCES
from graphengine.diffusion.scenes import BACKGROUNDS, COLOURS, EXTENT, PLACE_STEP, PLACES, SIZES

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Relation = Literal["left of", "right of", "above", "below"]

_BORDER = 3  # pixels
_DIFFERENT = 0.15  # from the background, in RGB; the nearest pair, orange on yellow, is 0.33 apart
_SMALLEST = 0.004  # of the picture's area; the smallest star covers 0.009
_COLOUR_LIMIT = 0.25  # farther from every named colour, it is none of them
_IOU_LIMIT = 0.75  # less overlap with every template, it is none of the shapes
_TEMPLATE_POINTS = 512


@dataclass(frozen=True)
class SeenObject:
    """One object in a picture.

    Attributes:
        shape: Name of the shape whose template overlaps best, or "none".
        overlap: That template's intersection over union, 0…1.
        colour: The nearest named colour, or "none".
        x, y, radius: In shares of the picture's side.
        area: Share of the picture.
    """

    shape: str
    overlap: float
    colour: str
    x: float
    y: float
    radius: float
    area: float

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
    regions, count = ndimage.label(np.linalg.norm(picture - background, axis=2) > _DIFFERENT)
    masks = [regions == number for number in range(1, count + 1)]
    objects = [_look_at_region(picture, background, mask) for mask in masks if mask.mean() > _SMALLEST]
    return SeenPicture(
        background=_nearest_colour(background, BACKGROUNDS),
        objects=tuple(sorted(objects, key=lambda seen: -seen.area)),
    )


def _look_at_region(picture: Floats, background: Floats, region: Flags) -> SeenObject:
    inside = ndimage.binary_erosion(region, iterations=2)
    colour = np.median(picture[inside if inside.any() else region], axis=0)
    mask = _sharpened(picture, region, background, colour)
    fits = {shape: _fit(mask, shape) for shape in DISTANCES}
    shape = max(fits, key=lambda name: fits[name][0])
    overlap, x, y, radius = fits[shape]
    return SeenObject(
        shape=shape if overlap >= _IOU_LIMIT else "none",
        overlap=overlap,
        colour=_nearest_colour(colour, COLOURS),
        x=x,
        y=y,
        radius=radius,
        area=float(mask.mean()),
    )


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
