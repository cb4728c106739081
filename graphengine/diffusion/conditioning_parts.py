"""Combine and change what encoded prompts say, and where and when they count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphengine.errors import InputError
from graphengine.types import Area, Conditioning, ConditioningPart, InpaintingGuide, Mask, PictureSize

__all__ = [
    "average",
    "combine",
    "concat",
    "lengthened",
    "set_area",
    "set_inpainting",
    "set_mask",
    "set_size",
    "set_timesteps",
    "zero_out",
]


def combine(first: Conditioning, second: Conditioning) -> Conditioning:
    """Let both count: the model is asked about each, and the answers are averaged."""
    return Conditioning(first.parts + second.parts)


def concat(to: Conditioning, from_: Conditioning) -> Conditioning:
    """Let the model read one prompt's tokens after the other's, as one longer prompt.

    Raises:
        InputError: if the second has several parts, or the two are of different text encoders.
    """
    added = _only_part(from_, "conditioning_from")

    def change(part: ConditioningPart) -> ConditioningPart:
        _check_same_encoder(part, added)
        return replace(part, embedding=torch.cat(_same_batch(part.embedding, added.embedding), dim=1))

    return _each(to, change)


def average(to: Conditioning, from_: Conditioning, strength: float) -> Conditioning:
    """Mix what two prompts say, token by token; the shorter is lengthened by the empty prompt.

    Args:
        strength: Share of the first; at 0 all is the second's.

    Raises:
        InputError: as for ``concat``.
    """
    other = _only_part(from_, "conditioning_from")

    def change(part: ConditioningPart) -> ConditioningPart:
        _check_same_encoder(part, other)
        tokens = max(part.embedding.shape[1], other.embedding.shape[1])
        first, second = _same_batch(_filled(part, tokens), _filled(other, tokens))
        pooled = part.pooled
        if pooled is not None and other.pooled is not None:
            pooled = torch.lerp(*_same_batch(other.pooled, pooled), strength)
        return replace(part, embedding=torch.lerp(second, first, strength), pooled=pooled)

    return _each(to, change)


def zero_out(conditioning: Conditioning) -> Conditioning:
    """Say nothing at all, as models learn it whose empty prompt is all zeros, such as SDXL's."""

    def zeros(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else torch.zeros_like(tensor)

    return _each(
        conditioning,
        lambda part: replace(
            part, embedding=torch.zeros_like(part.embedding), pooled=zeros(part.pooled), padding=zeros(part.padding)
        ),
    )


def set_area(conditioning: Conditioning, area: Area, strength: float) -> Conditioning:
    """Let the prompt count in a rectangle only.

    Args:
        strength: Multiplies what the prompt counts beside others.
    """
    return _each(conditioning, lambda part: replace(part, area=area, strength=part.strength * strength))


def set_mask(conditioning: Conditioning, mask: Mask, strength: float, *, crop: bool) -> Conditioning:
    """Let the prompt count where a mask selects.

    Args:
        strength: Multiplies what the prompt counts beside others.
        crop: Whether the model sees only the mask's bounds.
    """
    return _each(
        conditioning, lambda part: replace(part, mask=mask, crop_to_mask=crop, strength=part.strength * strength)
    )


def set_size(conditioning: Conditioning, size: PictureSize) -> Conditioning:
    """Say what size of picture an SDXL model should make it look like."""
    return _each(conditioning, lambda part: replace(part, size=size))


def set_inpainting(conditioning: Conditioning, guide: InpaintingGuide) -> Conditioning:
    """Show an inpainting model which part of which picture it repaints."""
    return _each(conditioning, lambda part: replace(part, inpainting=guide))


def set_timesteps(conditioning: Conditioning, start: float, end: float) -> Conditioning:
    """Let the prompt count for a part of the way from noise to picture, as shares of the trained timesteps.

    Raises:
        InputError: if the start isn't before the end.
    """
    if not 0 <= start < end <= 1:
        raise InputError("end", f"from {start:g} to {end:g} there is nothing.", "Choose 0 ≤ start < end ≤ 1.")
    return _each(conditioning, lambda part: replace(part, timesteps=(start, end)))


def lengthened(part: ConditioningPart, tokens: int) -> Tensor | None:
    """Give a part's embedding with so many tokens, filled up by empty prompts; None if they don't fill it evenly."""
    missing = tokens - part.embedding.shape[1]
    if missing == 0:
        return part.embedding
    if part.padding is None or missing % part.padding.shape[1]:
        return None
    filling = part.padding.repeat(1, missing // part.padding.shape[1], 1)
    return torch.cat(_same_batch(part.embedding, filling), dim=1)


def _filled(part: ConditioningPart, tokens: int) -> Tensor:
    embedding = lengthened(part, tokens)
    if embedding is None:
        batch, has, width = part.embedding.shape
        embedding = torch.cat([part.embedding, torch.zeros(batch, tokens - has, width)], dim=1)
    return embedding


def _each(conditioning: Conditioning, change: Callable[[ConditioningPart], ConditioningPart]) -> Conditioning:
    return Conditioning(tuple(change(part) for part in conditioning.parts))


def _only_part(conditioning: Conditioning, name: str) -> ConditioningPart:
    if len(conditioning.parts) > 1:
        raise InputError(
            name,
            f"it has {len(conditioning.parts)} parts, combined or scheduled, and one is needed here.",
            "Give a single prompt without schedules; what is combined can come after this node.",
        )
    return conditioning.parts[0]


def _check_same_encoder(to: ConditioningPart, from_: ConditioningPart) -> None:
    widths = to.embedding.shape[2], from_.embedding.shape[2]
    if widths[0] != widths[1]:
        raise InputError(
            "conditioning_from",
            f"it has {widths[1]} features a token, and conditioning_to {widths[0]}.",
            "Encode both with the same text encoder.",
        )


def _same_batch(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat single items so that both are batches alike."""
    count = max(len(first), len(second))
    if {len(first), len(second)} - {1, count}:
        raise InputError("conditioning_from", f"{len(second)} prompts don't fit {len(first)}.", "Give as many, or one.")
    return first.expand(count, *first.shape[1:]), second.expand(count, *second.shape[1:])
