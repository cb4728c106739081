"""Noise levels as values: checked, made by hand or without a model, cut apart and turned round."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphengine.diffusion.schedules import (
    FloatArray,
    TrainedLevels,
    exponential_between,
    karras_between,
    sampling_sigmas,
)
from graphengine.errors import InputError
from graphengine.types import Model, ScheduleName, Sigmas

WALK_UP = ("euler", "heun", "dpm_2", "dpmpp_2m")
"""The samplers that also step from low noise to high: those without noise of their own and without use of the ends."""

FIRST_WALKING_UP = 0.001
"""What stands for 0 where a walk up begins: too little noise to see, and a slope can be told."""


def check_sigmas(sigmas: Tensor, sampler_name: str) -> Tensor:
    """Refuse noise levels that a sampler can't step along.

    Returns:
        Them, float32 on the CPU.

    Raises:
        InputError: if they are no levels, don't fall, or rise with a sampler that can't walk up.
    """
    levels = sigmas.detach().float().cpu()
    if levels.ndim != 1 or not torch.isfinite(levels).all() or bool((levels < 0).any()):
        raise InputError("sigmas", "they are no row of numbers from 0 up.", "Make them with BasicScheduler, say.")
    steps = levels.diff()
    if bool((steps < 0).all()):
        return levels
    if not bool((steps > 0).all()):
        raise InputError("sigmas", f"they don't fall from each to the next: {_shown(levels)}.", "Sort them.")
    if sampler_name not in WALK_UP:
        raise InputError(
            "sigmas",
            f"they rise from {levels[0]:.4g} to {levels[-1]:.4g}, and {sampler_name!r} can only go down.",
            f"Choose the sampler {' or '.join(WALK_UP)}, or turn them with FlipSigmas.",
        )
    if levels[0] == 0:
        raise InputError("sigmas", "they rise from 0, where no slope is known.", "Begin at 0.001, as FlipSigmas does.")
    return levels


def _shown(levels: Tensor) -> str:
    shown = ", ".join(f"{level:.4g}" for level in levels[:6].tolist())
    return f"{shown}, …" if len(levels) > 6 else shown


def of_model(model: Model, scheduler: ScheduleName, steps: int, denoise: float) -> Sigmas:
    """Give the levels that KSampler would visit; none at all for ``denoise`` 0.

    Raises:
        InputError: if a value can't be used.
    """
    if denoise == 0:
        return Sigmas(torch.zeros(0))
    return Sigmas(sampling_sigmas(TrainedLevels.of(model.scheduler_config), scheduler, steps=steps, denoise=denoise))


def karras(steps: int, *, sigma_max: float, sigma_min: float, rho: float) -> Sigmas:
    """Space levels densely near the data, then 0."""
    return _ending_at_zero(karras_between(sigma_max, sigma_min, steps, rho=rho))


def exponential(steps: int, *, sigma_max: float, sigma_min: float) -> Sigmas:
    """Space levels evenly in log(sigma), then 0."""
    return _ending_at_zero(exponential_between(sigma_max, sigma_min, steps))


def split(sigmas: Sigmas, step: int) -> tuple[Sigmas, Sigmas]:
    """Cut after a step: both parts have the level in between.

    Raises:
        InputError: if there are not as many steps.
    """
    steps = max(len(sigmas) - 1, 0)
    if not 0 <= step <= steps:
        raise InputError("step", f"{step} is past the last of {steps} steps.", f"Choose at most {steps}.")
    return Sigmas(sigmas[: step + 1]), Sigmas(sigmas[step:])


def split_by_denoise(sigmas: Sigmas, denoise: float) -> tuple[Sigmas, Sigmas]:
    """Cut so that this share of the steps, rounded, is in the second part."""
    steps = max(len(sigmas) - 1, 0)
    return split(sigmas, steps - round(steps * denoise))


def flip(sigmas: Sigmas) -> Sigmas:
    """Turn levels round, to walk from a picture to noise; a 0 becomes ``FIRST_WALKING_UP``.

    Raises:
        InputError: if that isn't below the next level.
    """
    turned = sigmas.flip(0)
    if len(turned) and turned[0] == 0:
        if len(turned) > 1 and turned[1] <= FIRST_WALKING_UP:
            raise InputError(
                "sigmas",
                f"their last level above 0 is {turned[1]:.4g}, below the {FIRST_WALKING_UP} that stands for 0.",
                "Leave out the smallest levels.",
            )
        turned[0] = FIRST_WALKING_UP
    return Sigmas(turned)


def _ending_at_zero(levels: FloatArray) -> Sigmas:
    return Sigmas(torch.from_numpy(np.append(levels, 0.0)).float())
