"""Handwriting-like digits, 28 x 28 grey, drawn from the example's number: the walk-through's stand-in for MNIST.

A digit is a polyline of control points. Each example bends it a little: points move, the whole is slanted, turned,
scaled and shifted, and the pen's width varies. Brightness follows from the distance to the line, so strokes have round
ends and soft edges, as MNIST's have.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphengine.diffusion.numbered_random import numbered_uniform
from graphengine.training_types import ExampleField, Examples

SIDE = 28
_POINTS = 15  # control points a digit; shorter strokes repeat their last point
_STROKE_SOFTNESS = 0.75  # pixels over which a stroke's edge fades

Floats = NDArray[np.float64]

# An example's numbers: digit, slant, turn, width, height, shift x, shift y, pen; then two for each control point.
_SHAPE_COLUMNS = 8


def _arc(x: float, y: float, across: float, down: float, *, start: float, end: float, points: int) -> list[list[float]]:
    """Points on an ellipse, from angle to angle in degrees, clockwise from the right as y points down."""
    angles = np.radians(np.linspace(start, end, points))
    return np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1).tolist()  # type: ignore[no-any-return]  # numpy: tolist is untyped


def digit_strokes() -> Floats:
    """Give the control points of the ten digits, ``[10, points, 2]``, in a box of -1…1 by -1.4…1.4."""
    digits: list[list[list[float]]] = [
        _arc(0, 0, 0.75, 1.25, start=-90, end=270, points=15),
        [[-0.35, -0.85], [0.1, -1.25], [0.1, 1.25]],
        [*_arc(0, -0.6, 0.7, 0.65, start=-170, end=40, points=9), [-0.75, 1.2], [0.8, 1.2]],
        [
            *_arc(-0.05, -0.65, 0.65, 0.6, start=-160, end=90, points=8),
            *_arc(-0.05, 0.6, 0.75, 0.65, start=-90, end=160, points=7),
        ],
        [[0.25, -1.25], [-0.8, 0.4], [0.8, 0.4], [0.35, 0.4], [0.35, -0.3], [0.35, 1.25]],
        [[0.7, -1.2], [-0.5, -1.2], [-0.6, -0.2], *_arc(-0.05, 0.45, 0.75, 0.75, start=-110, end=150, points=10)],
        [[0.45, -1.2], [-0.3, -0.6], *_arc(0, 0.5, 0.65, 0.7, start=-170, end=190, points=12)],
        [[-0.75, -1.2], [0.75, -1.2], [0.2, 0.0], [-0.2, 1.25]],
        [
            *_arc(0, -0.62, 0.55, 0.6, start=90, end=-270, points=8),
            *_arc(0, 0.62, 0.65, 0.62, start=-90, end=270, points=7),
        ],
        [*_arc(0, -0.5, 0.62, 0.68, start=0, end=-360, points=11), [0.6, 0.3], [0.4, 1.25]],
    ]
    return np.array([points + [points[-1]] * (_POINTS - len(points)) for points in digits])


@dataclass(frozen=True)
class DrawnDigits:
    """Drawn digits with their labels; example i is a pure function of (seed, i).

    Attributes:
        seed: 0 … 2^64 - 1.
        count: How many there are, so that an epoch means something; MNIST has 60,000.
    """

    seed: int = 0
    count: int = 60_000

    @property
    def length(self) -> int | None:
        """How many digits there are."""
        return self.count

    @property
    def fields(self) -> Collection[ExampleField]:
        """Pictures, captions such as "a seven", and labels."""
        return ("images", "captions", "labels")

    @property
    def digest(self) -> str:
        """A hash of the settings and of the drawing's version."""
        settings = asdict(self) | {"digits": 1}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the digits with these numbers; images are ``[B, 1, 28, 28]`` in -1…1, white on black."""
        draws = numbered_uniform(self.seed, indices, _SHAPE_COLUMNS + 2 * _POINTS)
        digit = np.floor(draws[:, 0] * 10).astype(np.int64)
        return Examples(
            images=_draw(digit, 2 * draws[:, 1:] - 1) * 2 - 1 if "images" in fields else None,
            captions=[f"a {_NAMES[value]}" for value in digit] if "captions" in fields else None,
            labels={"digit": torch.from_numpy(digit)} if "labels" in fields else None,
        )


_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _draw(digit: NDArray[np.int64], bends: Floats) -> Tensor:
    """Draw digits ``[B]`` bent by numbers in -1…1 ``[B, 37]``; gives ``[B, 1, 28, 28]`` in 0…1."""
    slant, turn, width, height, right, down, pen = bends[:, :7].T
    points = digit_strokes()[digit] + 0.09 * bends[:, 7:].reshape(len(digit), _POINTS, 2)  # [B, P, 2]
    x = (points[..., 0] - (0.2 + 0.25 * slant)[:, None] * points[..., 1]) * (1 + 0.2 * width)[:, None]
    y = points[..., 1] * (1 + 0.1 * height)[:, None]
    angle = (math.radians(9) * turn)[:, None]
    scale = 6.3  # pixels: MNIST's digits are 20 pixels high
    placed_x = scale * (x * np.cos(angle) - y * np.sin(angle)) + SIDE / 2 + 1.2 * right[:, None]
    placed_y = scale * (x * np.sin(angle) + y * np.cos(angle)) + SIDE / 2 + 1.2 * down[:, None]
    placed = torch.from_numpy(np.stack([placed_x, placed_y], axis=-1)).float()  # [B, P, 2]
    pen_radius = torch.from_numpy(1.15 + 0.45 * pen).float()[:, None, None]
    axis = torch.arange(SIDE) + 0.5
    pixel_y, pixel_x = (grid.reshape(1, -1) for grid in torch.meshgrid(axis, axis, indexing="ij"))  # [1, 784]
    distance = distance_to_polyline(pixel_x, pixel_y, placed).reshape(-1, SIDE, SIDE)
    coverage = (pen_radius - distance) / _STROKE_SOFTNESS + 0.5
    return coverage.clamp(0, 1)[:, None]


def distance_to_polyline(x: Tensor, y: Tensor, points: Tensor) -> Tensor:
    """Give each place's distance to the line through points ``[B, P, 2]``; places are ``[B, N]`` or ``[1, N]``."""
    nearest = torch.full((len(points), x.shape[1]), torch.inf)
    for start, end in zip(points.unbind(1)[:-1], points.unbind(1)[1:], strict=True):
        along_x, along_y = (end - start)[:, :1], (end - start)[:, 1:]  # [B, 1]
        offset_x, offset_y = x - start[:, :1], y - start[:, 1:]  # [B, N]
        length = (along_x**2 + along_y**2).clamp(min=1e-6)
        share = ((offset_x * along_x + offset_y * along_y) / length).clamp(0, 1)
        squared = (offset_x - share * along_x) ** 2 + (offset_y - share * along_y) ** 2
        nearest = torch.minimum(nearest, squared)
    return nearest.sqrt()
