"""Small pictures to watch training by: curves, grids of examples, and what noise does to a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from torch import Tensor

from graphengine.diffusion import images
from graphengine.diffusion.objectives import mix_with_noise
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_levels import NoiseLevels
from graphengine.diffusion.walkthrough import MixingStep
from graphengine.errors import InputError
from graphengine.training_types import Report
from graphengine.types import Image, Model

_COLOURS = ((31, 119, 180), (214, 93, 14), (44, 140, 60), (148, 82, 178), (170, 130, 20), (30, 150, 165))
_MARGIN_LEFT, _MARGIN_TOP, _MARGIN_RIGHT, _MARGIN_BOTTOM = 64, 28, 16, 32
_TICKS = 5


def plot_curves(
    curves: Mapping[str, Sequence[float]], *, first: int = 0, width: int = 640, height: int = 400, faint: str = ""
) -> Image:
    """Draw curves over whole numbers on common axes, with a legend; ``[1, height, width, 3]``.

    Args:
        curves: Name -> values, all of one length, ≥ 1. Values that are not finite are left out.
        first: The number of the first value.
        faint: Name of a curve to draw in light grey, behind the others.
    """
    finite = [value for values in curves.values() for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    count = max(len(values) for values in curves.values())
    picture = PilImage.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    ordered = sorted(curves.items(), key=lambda curve: curve[0] != faint)
    places = _legend_places([name for name, _ in ordered], width)
    lowest = max((row for _, row in places), default=0)
    box = (_MARGIN_LEFT, _MARGIN_TOP + lowest, width - _MARGIN_RIGHT, height - _MARGIN_BOTTOM)
    _draw_axes(draw, box, low=low, high=high, first=first, last=first + count - 1)
    for number, ((name, values), (left, row)) in enumerate(zip(ordered, places, strict=True)):
        colour = (205, 205, 205) if name == faint else _COLOURS[number % len(_COLOURS)]
        _draw_curve(draw, box, values, low=low, high=high, colour=colour)
        draw.text((left, 8 + row), name, fill=colour if name != faint else (150, 150, 150), font=_font())
    return Image(torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None])


def plot_losses(report: Report, *, smoothing: float, width: int = 640, height: int = 400) -> Image:
    """Draw a training's loss over its steps, with a moving average of decay ``smoothing`` unless that is 0.

    Losses over examples that are not trained on are drawn too, where they were measured.
    """
    curves: dict[str, Sequence[float]] = {"loss": report.losses}
    if smoothing > 0:
        curves["smoothed"] = smooth(report.losses, smoothing)
    if report.held_out:
        curves["held out"] = [report.held_out.get(step, math.nan) for step in range(1, len(report.losses) + 1)]
    return plot_curves(curves, first=1, width=width, height=height, faint="loss" if smoothing > 0 else "")


def compare_losses(reports: Sequence[Report], *, smoothing: float, width: int = 640, height: int = 400) -> Image:
    """Draw the losses of trainings over each other, each named by what it was given that others weren't."""
    longest = max((len(report.losses) for report in reports), default=0)
    curves = {}
    for number, (name, report) in enumerate(zip(difference_names(reports), reports, strict=True), start=1):
        rest = [math.nan] * (longest - len(report.losses))
        curves[f"{number}  {name}".strip()] = [*smooth(report.losses, smoothing), *rest]
    return plot_curves(curves, first=1, width=width, height=height)


def difference_names(reports: Sequence[Report]) -> list[str]:
    """Name trainings by what differs in what they were given; an empty name where nothing is known to differ."""
    known = {name: None for report in reports for name in report.training if name != "steps"}
    differing = [name for name in known if len({report.training.get(name) for report in reports}) > 1]
    told = [{name: report.training.get(name, "-") for name in differing} for report in reports]
    # A changed dataset changes its digest, and a changed model that of its weights, which nobody could read.
    return [", ".join(f"{name} {_brief(value)}" for name, value in each.items()) for each in told]


def _brief(value: str) -> str:
    return value if len(value) <= 16 else f"{value[:7]}…"


def plot_schedule(model: Model, *, width: int = 640, height: int = 400) -> Image:
    """Draw how much of the picture and how much noise a model's schedule has at each timestep."""
    levels = NoiseLevels(_timed(model).scheduler_config)
    curves = {"signal": levels.signal.tolist(), "noise": levels.noise.tolist()}
    return plot_curves(curves, width=width, height=height)


def smooth(values: Sequence[float], decay: float) -> list[float]:
    """Average values exponentially; corrected at the start, so that the first average is the first value."""
    averages: list[float] = []
    total = weight = 0.0
    for value in values:
        total = decay * total + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        averages.append(total / weight)
    return averages


def noise_strip(image: Image, model: Model, *, levels: int, seed: int) -> Image:
    """Show the first picture of a batch at noise levels from none to all, side by side, ``[1, H, levels W, 3]``.

    The noise is the model's own kind: uniform mixing, or the schedule's at evenly spaced timesteps. It is the same at
    each level.
    """
    picture = image[:1].permute(0, 3, 1, 2)  # [1, 3, H, W]
    if model.latent_channels == 1:  # a model of grey pictures sees grey noise
        picture = picture.mean(dim=1, keepdim=True)
    random = StepRandom(seed, 0)
    if model.prediction == "mixing":
        noise = random.uniform(*picture.shape)
        shown = mix_with_noise(picture, noise, torch.linspace(0, 1, levels))
    else:
        schedule = NoiseLevels(model.scheduler_config)
        timesteps = torch.linspace(0, len(schedule) - 1, levels).round().long()
        shown = (schedule.noised(picture * 2 - 1, random.normal(*picture.shape), timesteps) + 1) / 2
    return images.grid(to_image(shown), columns=levels)


def to_image(pictures: Tensor) -> Image:
    """Turn ``[B, 1 or 3, H, W]`` in about 0…1 into an Image; grey becomes RGB."""
    rgb = pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures
    return Image(rgb.permute(0, 2, 3, 1).clamp(0, 1).contiguous())


def mixing_grid(history: Sequence[MixingStep]) -> Image:
    """Arrange a mixing sampler's steps in rows: left what the network was shown, right what it answered."""
    rows = []
    for step in history:
        shown, answered = (images.grid(to_image(side), columns=len(side)) for side in (step.noisy, step.predicted))
        rows.append(torch.cat([shown, torch.ones_like(shown[:, :, :4]), answered], dim=2))
    return Image(torch.cat(rows, dim=1))


def _timed(model: Model) -> Model:
    if model.prediction == "mixing":
        raise InputError("model", "it mixes with uniform noise and has no schedule.", "Link a model with timesteps.")
    return model


def _legend_places(names: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Place names beside each other, and below where there is no room; how far from the left, and below the first."""
    places = []
    left, row = _MARGIN_LEFT, 0
    for name in names:
        length = int(_font().getlength(name)) + 18
        if left > _MARGIN_LEFT and left + length > width:
            left, row = _MARGIN_LEFT, row + 16
        places.append((left, row))
        left += length
    return places


def _draw_axes(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], *, low: float, high: float, first: int, last: int
) -> None:
    left, top, right, bottom = box
    for tick in range(_TICKS):
        share = tick / (_TICKS - 1)
        y = round(bottom - share * (bottom - top))
        draw.line([(left, y), (right, y)], fill=(225, 225, 225))
        draw.text((left - 6, y), f"{low + share * (high - low):.3g}", fill="black", font=_font(), anchor="rm")
        x = round(left + share * (right - left))
        number = round(first + share * (last - first))
        draw.text((x, bottom + 6), f"{number:,}", fill="black", font=_font(), anchor="mt")
    draw.rectangle(box, outline=(120, 120, 120))


def _draw_curve(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    values: Sequence[float],
    *,
    low: float,
    high: float,
    colour: tuple[int, int, int],
) -> None:
    left, top, right, bottom = box
    finite = np.flatnonzero(np.isfinite(np.asarray(values, dtype=float)))
    if not len(finite):
        return
    # More points than pixels would take long and show no more.
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, 4 * (right - left)).round().astype(int))]
    across = (right - left) / max(len(values) - 1, 1)
    points = [
        (left + index * across, bottom - (values[index] - low) / (high - low) * (bottom - top))
        for index in chosen.tolist()
    ]
    if len(points) == 1:
        (x, y) = points[0]
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    draw.line(points, fill=colour, width=2, joint="curve")


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(11)
