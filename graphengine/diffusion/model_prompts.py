"""Prompts as one model takes them: its contexts, its added conditions, and which of them count at a moment.

SDXL is told the picture's size beside the pooled prompt (Podell et al. 2023, arXiv:2307.01952, section 2.2), as six
numbers: original height and width, rows and columns cut off at the top and left, target height and width. Its refiner
is told an aesthetic score in place of the last two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion.conditioning_parts import lengthened
from graphengine.diffusion.prompt_layout import Layout, Side, SidePart, lay_out
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import Conditioning, ConditioningPart, InpaintingGuide, Model, PictureSize, StepRange

__all__ = ["ADDED_CONDITIONS", "ModelPrompts", "Moments", "reads_captions"]

ADDED_CONDITIONS = ("text_embeds", "time_ids")
"""Conditions that a UNet2DConditionModel takes together, as ``added_cond_kwargs``."""

_WIDTHS = ("encoder_hid_dim", "joint_attention_dim", "cross_attention_dim")
"""Where a configuration says how many features a token has: before what only the layers within are told."""

_AESTHETIC_SCORES: Mapping[Side, float] = {"positive": 6.0, "negative": 2.5}


def reads_captions(model: Model) -> bool:
    """Tell whether a model's network takes prompts."""
    return isinstance(model.network, UNet2DConditionModel | SD3Transformer2DModel)


class ModelPrompts:
    """The prompts of a run, ready for its model.

    Args:
        sides: By side; an unconditional model ignores them.
        batch: Items in the latents.
        is_negative: Whether whoever asks guides away from the answers, also from those to the positive side.

    Attributes:
        parts: Each with its side, the negative ones first.

    Raises:
        InputError: if one does not fit the model or the batch.
    """

    def __init__(
        self,
        model: Model,
        sides: Mapping[Side, Conditioning],
        *,
        batch: int,
        device: torch.device | str,
        dtype: torch.dtype,
        is_negative: bool = False,
    ) -> None:
        self._is_negative = is_negative
        self._model = model
        self._batch = batch
        self._to: Any = {"device": device, "dtype": dtype}  # Any: named arguments of Tensor.to
        self._is_conditional = reads_captions(model)
        if not self._is_conditional:
            sides = {"positive": Conditioning.of(torch.zeros(1, 0, 0))}
        self.parts = [(side, part) for side, prompt in sides.items() for part in prompt.parts]
        if self._is_conditional:
            for side, part in self.parts:
                self._check(side, part)
        tokens = max(part.embedding.shape[1] for _, part in self.parts)
        self._contexts = [self._context(part, tokens) for _, part in self.parts]

    def layout(self, numbers: Sequence[int], size: tuple[int, int]) -> Layout:
        """Lay out the parts of these numbers, for latents of this height and width.

        Raises:
            InputError: if they do not fit the latents, or leave some of the picture without a prompt.
        """
        parts = [self._side_part(number, size) for number in numbers]
        return lay_out(parts, size=size, factor=self._model.latent_factor, device=self._to["device"])

    def _context(self, part: ConditioningPart, tokens: int) -> Tensor:
        """Give a part's embedding for each item, as long as the longest if it can be lengthened."""
        embedding = lengthened(part, tokens)
        embedding = part.embedding if embedding is None else embedding
        return embedding.expand(self._batch, -1, -1).to(**self._to)

    def _side_part(self, number: int, size: tuple[int, int]) -> SidePart:
        side, part = self.parts[number]
        if not self._is_conditional:
            return SidePart(side, part, {})
        conditions = {"encoder_hidden_states": self._contexts[number]}
        config: Any = self._model.network.config  # Any: diffusers builds configurations at run time
        if config.get("addition_embed_type") == "text_time":
            pooled = part.pooled
            assert pooled is not None, "it was checked"
            conditions["text_embeds"] = pooled.expand(self._batch, -1).to(**self._to)
            as_told: Side = "negative" if self._is_negative else side
            told = _told(part.size, as_told, size, self._model.latent_factor, _told_count(config, pooled))
            conditions["time_ids"] = torch.tensor([told] * self._batch).to(**self._to)
        if config.get("pooled_projection_dim") is not None:
            assert part.pooled is not None, "it was checked"
            conditions["pooled_projections"] = part.pooled.expand(self._batch, -1).to(**self._to)
        channels = None
        if self._model.extra_channels:
            assert part.inpainting is not None, "it was checked"
            channels = _channels(side, part.inpainting, size).expand(self._batch, -1, -1, -1).to(**self._to)
        return SidePart(side, part, conditions, channels)

    def _check(self, side: Side, part: ConditioningPart) -> None:
        config: Any = self._model.network.config  # Any: diffusers builds configurations at run time
        items, _, features = part.embedding.shape
        width = next((config[name] for name in _WIDTHS if config.get(name) is not None), None)
        remedy = "Encode it with the text encoder of the model's own checkpoint."
        if isinstance(width, int) and features != width:
            raise InputError(side, f"the prompt has {features} features a token, and the model takes {width}.", remedy)
        counts = {items} | {len(each) for each in (part.pooled, part.mask) if each is not None}
        if counts - {1, self._batch}:
            raise InputError(
                side,
                f"{max(counts)} prompts don't fit {self._batch} latents.",
                f"Give one prompt for all, or {self._batch}.",
            )
        if config.get("addition_embed_type") == "text_time":
            if part.pooled is None:
                raise InputError(side, "the prompt has no pooled state, which the model takes.", remedy)
            if _told_count(config, part.pooled) not in (5, 6):
                raise InputError(side, f"its pooled state of {part.pooled.shape[1]} features doesn't fit.", remedy)
        pooled_width = config.get("pooled_projection_dim")
        if pooled_width is not None and (part.pooled is None or part.pooled.shape[1] != pooled_width):
            raise InputError(side, f"its pooled state doesn't have the {pooled_width} features that fit.", remedy)
        if self._model.extra_channels and part.inpainting is None:
            raise InputError(
                side,
                "the model repaints, and isn't told which part of which picture.",
                "Put an InpaintModelConditioning node between prompt and sampler.",
            )


class Moments:
    """Which of some parts count at a moment.

    Args:
        parts: Each with its side.
        steps: Of the whole run.
    """

    def __init__(self, parts: Sequence[tuple[Side, ConditioningPart]], levels: TrainedLevels, *, steps: int) -> None:
        self._sides = [side for side, _ in parts]
        self._levels = [tuple(levels.at_share(share) for share in part.timesteps) for _, part in parts]
        self._steps = [[_counted(each, steps) for each in part.steps] for _, part in parts]
        self._always = all(part.timesteps == (0, 1) and not part.steps for _, part in parts)

    def at(self, sigma: float, step: int) -> tuple[int, ...]:
        """Give the numbers of those that count.

        Raises:
            InputError: if none of them is positive.
        """
        if self._always:
            return tuple(range(len(self._sides)))
        numbers = tuple(
            number
            for number, ((highest, lowest), ranges) in enumerate(zip(self._levels, self._steps, strict=True))
            if highest >= sigma > lowest and all(start <= step < end for start, end in ranges)
        )
        if not any(self._sides[number] == "positive" for number in numbers):
            raise InputError(
                "positive",
                f"no prompt counts at step {step + 1}, noise level {sigma:.4g}.",
                "Combine it with a prompt for the rest of the way, or widen its timestep range.",
            )
        return numbers


def _counted(steps: StepRange, total: int) -> StepRange:
    """Give a range of steps in numbers."""
    # 0.29 * 100 is less than 29 in floating point
    start, end = (floor(each * total + 1e-6) if each <= 1 else each for each in steps)
    return start, end


def _told_count(config: Any, pooled: Tensor) -> float:  # Any: diffusers builds configurations at run time
    """Tell how many numbers a model takes beside a pooled prompt."""
    return float((config.projection_class_embeddings_input_dim - pooled.shape[1]) / config.addition_time_embed_dim)


def _told(size: PictureSize | None, side: Side, latent: tuple[int, int], factor: int, count: float) -> list[float]:
    height, width = latent[0] * factor, latent[1] * factor
    given = size or PictureSize(width=width, height=height)
    told: list[float] = [given.height, given.width, given.crop_y, given.crop_x]
    if count == 5:
        return [*told, _AESTHETIC_SCORES[side] if given.aesthetic_score is None else given.aesthetic_score]
    return [*told, given.target_height or height, given.target_width or width]


def _channels(side: Side, guide: InpaintingGuide, size: tuple[int, int]) -> Tensor:
    """Give what an inpainting model is shown beside x: the mask, then the latents of what is kept."""
    if guide.latents.shape[-2:] != size:
        raise InputError(
            side,
            f"its picture has latents of {list(guide.latents.shape[-2:])} cells, and what is sampled {list(size)}.",
            "Sample the latent that InpaintModelConditioning gives.",
        )
    mask = functional.interpolate(guide.mask[:, None].float(), size=size)  # [B or 1, 1, h, w], as in training
    count = max(len(mask), len(guide.latents))
    return torch.cat([each.expand(count, -1, -1, -1) for each in (mask, guide.latents)], dim=1)
