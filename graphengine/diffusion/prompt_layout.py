"""Which prompts the network is asked about at a moment, in which calls, and how its answers become one.

    parts that count now ──▶ windows and weights ──▶ calls, alike ones batched ──▶ weighted mean at each cell

A part with an area, or cropped to its mask, is asked about that window of the latents alone. At each cell the answers
of a side (positive, negative) are averaged, each weighing as much as its strength, times its mask, times how far an
area's edge is away: areas fade in over up to 8 cells from the edges that lie within the picture, at most a quarter of
their side. A single part that counts everywhere is taken as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.errors import InputError
from graphengine.types import Area, ConditioningPart, Control, Mask

__all__ = ["Call", "Layout", "Place", "Side", "SidePart", "Window", "lay_out"]

Side = Literal["negative", "positive"]
Window = tuple[slice, slice]
"""Rows and columns of the latents' cells."""

_SIDES: tuple[Side, ...] = ("negative", "positive")
_FADE_CELLS = 8


@dataclass(frozen=True)
class SidePart:
    """A prompt ready for the network.

    Attributes:
        side: Whether it is wanted or guided away from.
        part: Where it counts.
        conditions: What the network is given besides x and timestep, by its name there, each of the latents' batch.
        channels: ``[B, extra channels, h, w]``, what x is given in addition; None for nothing.
    """

    side: Side
    part: ConditioningPart
    conditions: Mapping[str, Tensor]
    channels: Tensor | None = None


@dataclass(frozen=True)
class Place:
    """Where a call's answer for one part goes.

    Attributes:
        window: The cells that it is about.
        weight: ``[B or 1, 1, rows, columns]``, its share in the mean of its side; None for all of it.
    """

    side: Side
    window: Window
    weight: Tensor | None


@dataclass(frozen=True)
class Call:
    """One call of the network, about one or more parts whose inputs have the same shapes.

    Attributes:
        places: For each part.
        conditions: As for a part, the parts' batches one after the other.
        channels: As for a part, cut to the windows.
        controls: What steers all of them.
    """

    places: tuple[Place, ...]
    conditions: Mapping[str, Tensor]
    channels: Tensor | None
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The calls of one moment.

    Attributes:
        guided: Where there is a negative answer to guide away from: True for everywhere, False for nowhere, else
            ``[B or 1, 1, h, w]``.
    """

    calls: tuple[Call, ...]
    guided: Tensor | bool

    def inputs(self, x: Tensor) -> Iterator[Tensor]:
        """Give for each call the x that the network sees."""
        for call in self.calls:
            seen = [_cut(x, place.window) for place in call.places]
            together = seen[0] if len(seen) == 1 else torch.cat(seen)
            yield together if call.channels is None else torch.cat([together, call.channels], dim=1)

    def joined(self, outputs: Sequence[Tensor], like: Tensor) -> dict[Side, Tensor]:
        """Average the answers of each side, in the dtype of ``like`` and of its size."""
        sides: dict[Side, Tensor] = {}
        for call, output in zip(self.calls, outputs, strict=True):
            for place, answer in zip(call.places, output.to(like.dtype).chunk(len(call.places)), strict=True):
                if place.weight is None:
                    sides[place.side] = answer
                else:
                    mean = sides.setdefault(place.side, torch.zeros_like(like))
                    mean[(..., *place.window)] += answer * place.weight
        return sides


def lay_out(
    parts: Sequence[SidePart], *, size: tuple[int, int], factor: int, device: torch.device | str = "cpu"
) -> Layout:
    """Lay out the calls for parts that count at the same moment, those of the negative side first.

    Args:
        size: Height and width of the latents, in cells.
        factor: Pixels per cell, along one side.
        device: Where the weights are wanted.

    Raises:
        InputError: if an area lies outside the picture, or the positive parts don't cover it.
    """
    placed: list[tuple[SidePart, Place]] = []
    guided: Tensor | bool = False
    for side in _SIDES:
        mine = [each for each in parts if each.side == side]
        if len(mine) == 1 and mine[0].part.area is None and mine[0].part.mask is None:
            placed.append((mine[0], Place(side, _whole(size), None)))
            guided = side == "negative" or guided
        elif mine:
            shares, covered = _shares(mine, size, factor, device)
            placed += shares
            if side == "negative":
                guided = bool(covered.any()) if covered.all() or not covered.any() else covered.to(device)
            else:
                _check_covered(covered)
    return Layout(tuple(_calls(placed)), guided)


def _shares(
    parts: Sequence[SidePart], size: tuple[int, int], factor: int, device: torch.device | str
) -> tuple[list[tuple[SidePart, Place]], Tensor]:
    """Give each part of a side its share in the mean at each cell, and tell which cells have one at all."""
    windows = [_window(each, size, factor) for each in parts]
    weights = [_weight(each.part, window, size) for each, window in zip(parts, windows, strict=True)]
    batch = max(len(weight) for weight in weights)
    total = torch.zeros(batch, 1, *size)
    for window, weight in zip(windows, weights, strict=True):
        total[(..., *window)] += weight
    covered = total > 0
    total = torch.where(covered, total, 1.0)
    return [
        (each, Place(each.side, window, (weight / _cut(total, window)).to(device)))
        for each, window, weight in zip(parts, windows, weights, strict=True)
        if weight.any()
    ], covered


def _calls(placed: Sequence[tuple[SidePart, Place]]) -> Iterator[Call]:
    """Join parts whose inputs have the same shapes and which the same pictures steer."""
    alike: dict[object, list[tuple[SidePart, Place]]] = {}
    for each, place in placed:
        shapes = tuple((name, tensor.shape) for name, tensor in each.conditions.items())
        rows, columns = place.window
        controls = tuple(id(control) for control in each.part.controls)
        kind = (shapes, controls, each.channels is None, rows.stop - rows.start, columns.stop - columns.start)
        alike.setdefault(kind, []).append((each, place))
    for group in alike.values():
        channels = [_cut(each.channels, place.window) for each, place in group if each.channels is not None]
        yield Call(
            tuple(place for _, place in group),
            {name: _together([each.conditions[name] for each, _ in group]) for name in group[0][0].conditions},
            _together(channels) if channels else None,
            group[0][0].part.controls,
        )


def _together(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _cut(tensor: Tensor, window: Window) -> Tensor:
    """Cut a window out, or give the tensor itself if it is the whole."""
    return tensor if _whole(tensor.shape[-2:]) == window else tensor[(..., *window)]


def _whole(size: Sequence[int]) -> Window:
    return slice(0, size[0]), slice(0, size[1])


def _window(each: SidePart, size: tuple[int, int], factor: int) -> Window:
    """Give the cells that the model sees, which cover the area wholly."""
    part = each.part
    if part.area is not None:
        rows, columns = _cells(part.area, size, factor)
    elif part.crop_to_mask and part.mask is not None and part.mask.any():
        selected = _resized(part.mask, size).amax(dim=(0, 1)) > 0  # [h, w]
        rows, columns = _bounds(selected.any(dim=1)), _bounds(selected.any(dim=0))
    else:
        return _whole(size)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise InputError(
            each.side,
            f"the area of one of its prompts lies outside the picture of {size[1] * factor} x {size[0] * factor}.",
            "Choose an area within it; ConditioningSetAreaPercentage fits any size.",
        )
    return rows, columns


def _cells(area: Area, size: tuple[int, int], factor: int) -> Window:
    across, down = (1 / size[1], 1 / size[0]) if area.unit == "share" else (factor, factor)
    return _span(area.y / down, area.height / down, size[0]), _span(area.x / across, area.width / across, size[1])


def _span(start: float, length: float, most: int) -> slice:
    # Rounded: what is meant to be a whole number of cells shall be it.
    return slice(floor(round(start, 6)), min(most, ceil(round(start + length, 6))))


def _bounds(selected: Tensor) -> slice:
    places = selected.nonzero().flatten()
    return slice(int(places[0]), int(places[-1]) + 1)


def _weight(part: ConditioningPart, window: Window, size: tuple[int, int]) -> Tensor:
    """Give how much a part counts at each cell of its window: ``[B or 1, 1, rows, columns]``."""
    if part.mask is not None:
        return _cut(_resized(part.mask, size), window) * part.strength
    rows, columns = (_fade(span, most) for span, most in zip(window, size, strict=True))
    return (rows[:, None] * columns)[None, None] * part.strength


def _resized(mask: Mask, size: tuple[int, int]) -> Tensor:
    """Stretch masks to the latents by averaging areas: ``[B, 1, h, w]``."""
    return functional.interpolate(mask[:, None].float(), size=size, mode="area")


def _fade(span: slice, most: int) -> Tensor:
    """Rise from the edges that lie within the picture."""
    length = span.stop - span.start
    width = min(_FADE_CELLS, length // 4)
    rise = (torch.arange(length, dtype=torch.float32) + 1) / (width or 1)
    ones = torch.ones(length)
    before = rise.clamp(max=1) if span.start > 0 else ones
    after = rise.flip(0).clamp(max=1) if span.stop < most else ones
    return before * after


def _check_covered(covered: Tensor) -> None:
    if not covered.all():
        share = 1 - covered.float().mean().item()
        raise InputError(
            "positive",
            f"no prompt counts in {share:.1%} of the picture.",
            "Combine it with a prompt for the whole picture, by ConditioningCombine.",
        )
