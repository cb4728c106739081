"""Pictures of captioned shapes: the data that the embedded model is trained on, drawn from the example's number.

A shape is a signed distance function: negative inside, positive outside, zero on the outline. Coverage follows from
the distance in pixels, so edges are anti-aliased, and a latent space can be given in closed form: three channels are
the picture averaged over each cell, the fourth is the distance to the nearest outline.
Source of the distance functions: Quilez, "2D distance functions", iquilezles.org/articles/distfunctions2d.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.digits import digit_strokes, distance_to_polyline
from graphengine.diffusion.numbered_random import numbered_uniform
from graphengine.diffusion.scenes import (
    BACKGROUNDS,
    COLOURS,
    COLUMNS,
    DIGITS,
    KINDS,
    PATTERNS,
    WINDOW,
    Scenes,
    Variety,
    draw_scenes,
)
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples

CELL = 8
"""Picture pixels along one side of a latent cell."""

PICTURE_MEAN, PICTURE_SCALE = 0.5, 0.33
DISTANCE_REACH = 2.0
"""Where the fourth channel's distance is cut off, in latent cells."""

DISTANCE_MEAN, DISTANCE_SCALE = 0.75, 0.45
"""Mean and deviation of the cut-off distance over drawn scenes, outside positive."""

PATTERN_STEP = 0.14
"""From one stripe or dot to the next, as a share of the picture's side: what latent cells can still tell apart."""

_STRIPE = 0.56  # of a step is ink
_DOT_RADIUS = 0.042  # of the picture's side
_DIGIT_SCALE, _PEN = 0.7, 0.22  # in radii
_SUBSAMPLES = 4  # a cell averages 4 x 4 points rather than 8 x 8 pixels: 4 times quicker, 0.1 % of full scale off (rms)


def circle_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to a circle of radius 0.95."""
    return torch.sqrt(x * x + y * y) - 0.95


def square_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to an upright square of half side 0.78, whose corners are 1.1 from the centre."""
    across, down = x.abs() - 0.78, y.abs() - 0.78
    outside = torch.sqrt(across.clamp(min=0) ** 2 + down.clamp(min=0) ** 2)
    return outside + torch.maximum(across, down).clamp(max=0)


def triangle_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to an equilateral triangle that points up, its corners 1.1 from (0, 0.15)."""
    half_side, root = 1.1 * math.sqrt(3) / 2, math.sqrt(3)
    across, up = x.abs() - half_side, 0.15 - y + half_side / root
    folds = across + root * up > 0
    across, up = (
        torch.where(folds, (across - root * up) / 2, across),
        torch.where(folds, (-root * across - up) / 2, up),
    )
    across = across - across.clamp(-2 * half_side, 0)
    return -torch.sqrt(across * across + up * up) * torch.sign(up)


def star_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to a five-pointed star that points up, its tips 1.1 from the centre."""
    radius, inner = 1.1, 0.45
    cos_a, sin_a = math.cos(math.pi / 5), math.sin(math.pi / 5)
    across, up = x.abs(), -y
    for side in (1.0, -1.0):  # fold the plane twice, onto one half of one tip
        normal_x, normal_y = side * cos_a, -sin_a
        beyond = 2 * (normal_x * across + normal_y * up).clamp(min=0)
        across, up = across - beyond * normal_x, up - beyond * normal_y
    across, up = across.abs(), up - radius
    edge_x, edge_y = inner * sin_a, inner * cos_a - 1  # from the tip along the edge to the notch
    along = ((across * edge_x + up * edge_y) / (edge_x**2 + edge_y**2)).clamp(0, radius)
    away = torch.sqrt((across - edge_x * along) ** 2 + (up - edge_y * along) ** 2)
    return away * torch.sign(up * edge_x - across * edge_y)


def heart_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to a heart 1.9 high, its tip at (0, 0.95)."""
    size = 1.75
    across, up = x.abs() / size, (0.95 - y) / size
    lobe = torch.sqrt((across - 0.25) ** 2 + (up - 0.75) ** 2) - math.sqrt(2) / 4
    middle = (across + up).clamp(min=0) / 2
    notch = across**2 + (up - 1) ** 2
    flank = (across - middle) ** 2 + (up - middle) ** 2
    below = torch.sqrt(torch.minimum(notch, flank)) * torch.sign(across - up)
    return torch.where(across + up > 1, lobe, below) * size


def digit_distance(value: int, x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to a digit drawn with a round pen, its ends at most 1.1 above and below the centre."""
    points = torch.from_numpy(digit_strokes()[value] * _DIGIT_SCALE).to(x.dtype)
    return distance_to_polyline(x.reshape(1, -1), y.reshape(1, -1), points[None]).reshape(x.shape) - _PEN


def stripes_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to level stripes, one of them at ``y`` = 0; in shares of the picture's side."""
    del x
    return _from_step(y).abs() - _STRIPE * PATTERN_STEP / 2


def dots_distance(x: Tensor, y: Tensor) -> Tensor:
    """Give the signed distance to what is left around holes, one of them at the origin; in the same shares."""
    return _DOT_RADIUS - torch.sqrt(_from_step(x) ** 2 + _from_step(y) ** 2)


def _from_step(axis: Tensor) -> Tensor:
    return axis - PATTERN_STEP * torch.round(axis / PATTERN_STEP)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": circle_distance,
    "square": square_distance,
    "triangle": triangle_distance,
    "star": star_distance,
    "heart": heart_distance,
    **{name: partial(digit_distance, value) for value, name in enumerate(DIGITS)},
}
"""Each shape's signed distance in radii from points in radii, ``x`` right and ``y`` down, of any one shape."""


PATTERNS_DISTANCES = {"striped": stripes_distance, "dotted": dots_distance}
"""Each pattern's signed distance, negative in the ink, in shares of the picture's side; by PATTERNS."""


def scene_distances(scenes: Scenes, points: int) -> Tensor:
    """Give each object's signed distance at the centres of a square grid.

    Args:
        points: Grid points along one side of the picture.

    Returns:
        Float32 ``[B, 3, points, points]``, in shares of the picture's side; inf where there is no such object.
    """
    axis = (torch.arange(points, dtype=torch.float32) + 0.5) / points
    distances = torch.full((len(scenes), 3, points, points), torch.inf)
    present = np.arange(3) < scenes.count[:, None]
    for index, name in enumerate(KINDS):
        rows, which = np.nonzero((scenes.shape == index) & present)
        if len(rows) == 0:
            continue
        x, y, radius = (
            torch.from_numpy(values[rows, which]).float()[:, None, None]
            for values in (scenes.x, scenes.y, scenes.radius)
        )
        whole = (len(rows), points, points)
        grid_x, grid_y = ((axis - x) / radius).expand(whole), ((axis[:, None] - y) / radius).expand(whole)
        distances[rows, which] = DISTANCES[name](grid_x, grid_y) * radius
    for name, pattern in PATTERNS_DISTANCES.items():
        for row, object_ in zip(*np.nonzero((scenes.pattern == PATTERNS.index(name)) & present), strict=True):
            grid_y, grid_x = torch.meshgrid(
                axis - float(scenes.y[row, object_]), axis - float(scenes.x[row, object_]), indexing="ij"
            )
            distances[row, object_] = torch.maximum(distances[row, object_], pattern(grid_x, grid_y))
    return distances


def draw_pictures(scenes: Scenes, size: int) -> Tensor:
    """Draw anti-aliased pictures.

    Returns:
        Float32 ``[B, 3, size, size]`` in 0…1.
    """
    coverage = (0.5 - scene_distances(scenes, size) * size).clamp(0, 1)[:, :, None]  # [B, 3, 1, H, W]
    background = torch.tensor(list(BACKGROUNDS.values()))[torch.from_numpy(scenes.background)][:, :, None, None]
    colours = torch.tensor(list(COLOURS.values()))[torch.from_numpy(scenes.colour)][..., None, None]  # [B, 3, 3, 1, 1]
    inside = torch.from_numpy(scenes.inside)[:, None, None, None]
    first = coverage[:, 0] * (colours[:, 0] - background) * ~inside
    pictures = background + first + coverage[:, 1] * (colours[:, 1] - background)  # objects side by side never overlap
    pictures = pictures + coverage[:, 2] * (colours[:, 2] - background)
    return torch.where(inside, pictures + coverage[:, 0] * (colours[:, 0] - pictures), pictures)


def draw_latents(scenes: Scenes, size: int) -> Tensor:
    """Give the pictures' latents in closed form, without drawing every pixel.

    Returns:
        Float32 ``[B, 4, size / 8, size / 8]``, about zero mean and unit variance: red, green and blue averaged over
        each cell, and the signed distance to the nearest outline at the cell's centre, cut off at two cells. An
        object inside another counts as a hole in it.
    """
    cells = size // CELL
    pooled = torch.nn.functional.avg_pool2d(draw_pictures(scenes, cells * _SUBSAMPLES), _SUBSAMPLES)
    distances = scene_distances(scenes, cells)
    inside = torch.from_numpy(scenes.inside)[:, None, None]
    ring = torch.maximum(-distances[:, 0], distances[:, 1])
    nearest = torch.where(inside, ring, distances.amin(dim=1))[:, None] * cells  # in cells
    distance = nearest.clamp(-DISTANCE_REACH, DISTANCE_REACH) / DISTANCE_REACH
    return torch.cat([(pooled - PICTURE_MEAN) / PICTURE_SCALE, (distance - DISTANCE_MEAN) / DISTANCE_SCALE], dim=1)


def told_labels(scenes: Scenes, *, wide: bool) -> dict[str, Tensor]:
    """Give what each caption tells as class indices, int64 ``[B]`` by attribute; -1 where it does not say.

    ``wide`` adds what only scenes of three objects, patterns, digits and objects inside others have.
    ``tells_…`` is 1 where a caption says an attribute that captions may leave out, so that a text encoder learns to
    tell silence from a value.
    """
    told, two, three = scenes.told, scenes.two, scenes.count == 3
    several = two | three
    columns = {
        "two": (two.astype(np.int64), np.ones_like(two)),
        "shape": (scenes.shape[:, 0], told.shape),
        "colour": (scenes.colour[:, 0], told.colour),
        "size": (scenes.size[:, 0], told.size[:, 0]),
        "place": (scenes.place, told.place),
        "background": (scenes.background, told.background),
        "relation": (scenes.relation, told.relation),
        "shape2": (scenes.shape[:, 1], several),
        "colour2": (scenes.colour[:, 1], several),
        "size2": (scenes.size[:, 1], two & told.size[:, 1]),
    }
    if wide:
        columns |= {
            "three": (three.astype(np.int64), np.ones_like(three)),
            "shape3": (scenes.shape[:, 2], three),
            "colour3": (scenes.colour[:, 2], three),
            "pattern": (scenes.pattern[:, 0], ~three),
            "pattern2": (scenes.pattern[:, 1], two),
            "row": (scenes.row, three),
        }
    labels = {name: np.where(is_told, value, -1) for name, (value, is_told) in columns.items()}
    may_be_silent = ("shape", "colour", "size", "place", "background", "relation", "size2")
    labels |= {f"tells_{name}": columns[name][1].astype(np.int64) for name in may_be_silent}
    return {name: torch.from_numpy(values) for name, values in labels.items()}


_WIDE = ("three_objects", "inside", "patterns", "digits")


@dataclass(frozen=True)
class DrawnShapes:
    """Captioned pictures of coloured shapes, endless; example i is a pure function of (settings, i).

    Training goes better from strict to varied, so the settings may come in by example number: until ``widen_from``
    words fix the picture almost completely and captions tell everything; from ``widen_to`` on ``spread``,
    the shares hold in full; in between they grow evenly.

    Attributes:
        seed: 0 … 2^64 - 1.
        size: Side of the pictures in pixels, a multiple of 8.
        spread: How freely radius and place vary around what words say, 0…1.
        two_objects: Share of scenes with two objects, 0…1, of those that the next two leave.
        three_objects: Share of scenes with three objects, 0…1.
        inside: Share of scenes with one object inside another, 0…1; with ``three_objects`` at most 1.
        patterns: Share of stripes and dots, 0…1, of objects big enough for them, alone or in a pair.
        digits: Share of digits, 0…1, of scenes with one object.
        loose: Share of captions that tell only some of the attributes, 0…1.
        widen_from: Number of the last example that is drawn strictly.
        widen_to: Number of the first example for which the settings hold in full; 0 for all examples.
        split: ``train``, or ``held_out`` for the pairs of colour and shape that training never shows.
        crop: Side in pixels of a window around an object, to which pictures and latents are cut; a multiple of 8.
            An autoencoder learns most at outlines, so windows teach more a pixel. 0 keeps whole pictures.
    """

    seed: int = 0
    size: int = 128
    spread: float = 1.0
    two_objects: float = 0.4
    loose: float = 0.5
    widen_from: int = 0
    widen_to: int = 0
    split: Literal["train", "held_out"] = "train"
    crop: int = 0
    three_objects: float = 0.0
    inside: float = 0.0
    patterns: float = 0.0
    digits: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 4 * CELL or self.size % CELL:
            raise InputError("size", f"{self.size} is not a size that can be drawn.", "Choose a multiple of 8 from 32.")
        for name in ("spread", "two_objects", "loose", *_WIDE):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise InputError(name, f"{share} is out of range.", "Choose a value from 0 to 1.")
        if self.crop % CELL or not 0 <= self.crop <= self.size:
            raise InputError("crop", f"{self.crop} is no window.", f"Choose a multiple of 8 up to {self.size}, or 0.")
        if self.three_objects + self.inside > 1:
            raise InputError("inside", "together with three_objects it is more than 1.", "Lower one of them.")
        if self.widen_to < self.widen_from:
            raise InputError("widen_to", f"{self.widen_to} comes before widen_from, {self.widen_from}.", "Raise it.")

    @property
    def length(self) -> int | None:
        """None: there is an example for every number."""
        return None

    @property
    def fields(self) -> Collection[ExampleField]:
        """Everything: pictures, captions, closed-form latents, and labels of what captions tell."""
        return ("images", "captions", "latents", "labels")

    @property
    def digest(self) -> str:
        """A hash of the settings and of the drawing's version."""
        settings = asdict(self) | {"drawing": 1}
        for name in ("crop", *_WIDE):  # younger than the first saved states, which hold a hash without them
            if not settings[name]:
                del settings[name]
        return _digest(settings)

    def scenes(self, indices: Sequence[int]) -> Scenes:
        """Draw the scenes with these numbers."""
        numbers = np.asarray(indices, dtype=np.float64)
        width = max(self.widen_to - self.widen_from, 1)
        widened = np.clip((numbers - self.widen_to) / width + 1, 0, 1)
        shares = ("spread", "two_objects", "loose", *_WIDE)
        variety = Variety(**{name: getattr(self, name) * widened for name in shares})
        return draw_scenes(self.seed, indices, variety, held_out=self.split == "held_out")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers; images are ``[B, 3, size, size]`` in -1…1."""
        scenes = self.scenes(indices)
        images = draw_pictures(scenes, self.size) * 2 - 1 if "images" in fields else None
        latents = draw_latents(scenes, self.size) if "latents" in fields else None
        if self.crop:
            corners = self._corners(scenes, indices)
            images = images if images is None else _windows(images, corners * CELL, self.crop)
            latents = latents if latents is None else _windows(latents, corners, self.crop // CELL)
        return Examples(
            images=images,
            captions=write_captions(scenes) if "captions" in fields else None,
            latents=latents,
            labels=told_labels(scenes, wide=any(getattr(self, name) for name in _WIDE)) if "labels" in fields else None,
        )

    def _corners(self, scenes: Scenes, indices: Sequence[int]) -> NDArray[np.int64]:
        """Place each example's window around one of its objects, off centre by up to a quarter of the window.

        Returns:
            Int64 ``[B, 2]``: left and top, in latent cells.
        """
        draws = numbered_uniform(self.seed, indices, COLUMNS)[:, WINDOW]
        second = (scenes.count > 1) & (draws[:, 0] < 0.5)
        centres = [np.where(second, places[:, 1], places[:, 0]) for places in (scenes.x, scenes.y)]
        middle = np.stack(centres, axis=1) * self.size + (draws[:, 1:] - 0.5) * self.crop / 2
        last = (self.size - self.crop) // CELL
        return np.clip(np.round((middle - self.crop / 2) / CELL), 0, last).astype(np.int64)


def _windows(planes: Tensor, corners: NDArray[np.int64], side: int) -> Tensor:
    """Cut a square window out of each of ``[B, C, H, W]``; corners are (left, top)."""
    cut = [plane[:, top : top + side, left : left + side] for plane, (left, top) in zip(planes, corners, strict=True)]
    return torch.stack(cut)


def _digest(settings: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
