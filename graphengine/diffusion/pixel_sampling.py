"""Sample models that work on the pictures themselves and read no captions."""

from __future__ import annotations

from typing import Any

import torch

from graphengine.diffusion import latents, sampling
from graphengine.diffusion.denoisers import check_can_be_sampled
from graphengine.diffusion.model_prompts import reads_captions
from graphengine.diffusion.plots import to_image
from graphengine.diffusion.sampling_run import OnStep
from graphengine.errors import InputError
from graphengine.types import Conditioning, Image, Model, SamplerName, ScheduleName


def sample_pictures(
    model: Model,
    *,
    seed: int,
    steps: int,
    sampler_name: SamplerName,
    scheduler: ScheduleName,
    width: int,
    height: int,
    count: int,
    device: torch.device | str = "cpu",
    sparing: bool = False,
    on_step: OnStep | None = None,
) -> Image:
    """Make pictures from noise, as ``sampling.sample`` does without a prompt.

    Args:
        model: An unconditional one in pixel space, of 1 or 3 channels in -1…1.
        seed: Picture k starts from the noise of ``seed + k``, so it is the same alone as among others.
        width: In pixels.
        height: In pixels.
        count: Pictures, ≥ 1.

    Returns:
        ``[count, height, width, 3]``; grey pictures as RGB.

    Raises:
        InputError: for a model of another kind or sides that don't fit it, or if it gives NaN.
    """
    _check_can_be_shown(model)
    _check_sides(model, width, height)
    nothing = Conditioning.of(torch.zeros(1, 0, 0))
    start = latents.empty(width, height, count, channels=model.latent_channels, factor=1)
    made = sampling.sample(
        model,
        start,
        seed=seed,
        steps=steps,
        cfg=1,
        sampler_name=sampler_name,
        scheduler=scheduler,
        positive=nothing,
        negative=nothing,
        device=device,
        sparing=sparing,
        on_step=on_step,
    )
    return to_image(made.samples / 2 + 0.5)


def _check_can_be_shown(model: Model) -> None:
    check_can_be_sampled(model)
    if model.latent_factor != 1:
        raise InputError("model", "it works on latents, not on pictures.", "Sample it with KSampler.")
    if reads_captions(model):
        raise InputError("model", "it reads captions.", "Sample it with KSampler.")
    if model.latent_channels not in (1, 3):
        raise InputError("model", f"its pictures have {model.latent_channels} channels.", "Only 1 or 3 can be shown.")


def _check_sides(model: Model, width: int, height: int) -> None:
    """Refuse sides that the network's levels, each half the one before, do not bring back to where they were."""
    config: Any = model.network.config  # Any: diffusers builds configurations at run time
    step = 2 ** (len(config.block_out_channels) - 1)
    for name, side in (("width", width), ("height", height)):
        if side % step:
            near = max(1, round(side / step)) * step
            raise InputError(name, f"{side} is not a multiple of {step}, as the model needs.", f"Choose {near}.")
