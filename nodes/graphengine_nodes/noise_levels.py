"""Noise levels for samplers: laid out, written, cut apart and turned round."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphengine import InputError, Widget, node
from graphengine.diffusion.level_text import parse_levels
from graphengine.types import Model, ScheduleName, Sigmas
from graphengine_nodes.inputs import Share, Steps, Text

Level = Annotated[float, Field(gt=0, le=5000), Widget("number", step=0.01)]


class SplitLevels(NamedTuple):
    """Noise levels in two parts, which share the level between them.

    Attributes:
        high_sigmas: For the sampler that begins.
        low_sigmas: For the one that goes on.
    """

    high_sigmas: Sigmas
    low_sigmas: Sigmas


@node("BasicScheduler", category="sampling/parts/schedulers")
def basic_scheduler(
    model: Model, scheduler: ScheduleName = "normal", steps: Steps = 20, denoise: Share = 1.0
) -> Sigmas:
    """Lay out the noise levels that KSampler would visit.

    Args:
        model: The model that will be sampled; its training decides the highest level.
        scheduler: Where the levels lie; karras spends more of them on details.
        steps: How many steps.
        denoise: Share of the schedule that is run; 1 starts from pure noise, 0 takes no step.
    """
    from graphengine.diffusion import sigmas

    return sigmas.of_model(model, scheduler, steps, denoise)


@node("KarrasScheduler", category="sampling/parts/schedulers")
def karras_scheduler(
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    rho: Annotated[float, Field(gt=0, le=100), Widget("number", step=0.1)] = 7.0,
) -> Sigmas:
    """Lay out noise levels densely near the picture.

    Args:
        steps: How many steps.
        sigma_max: The first level; Stable Diffusion's highest is 14.6.
        sigma_min: The last level above 0.
        rho: 1 spaces them evenly; larger spends more steps at low noise.
    """
    from graphengine.diffusion import sigmas

    return sigmas.karras(steps, sigma_max=sigma_max, sigma_min=sigma_min, rho=rho)


@node("ExponentialScheduler", category="sampling/parts/schedulers")
def exponential_scheduler(steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675) -> Sigmas:
    """Lay out noise levels so that each is the same part of the one before.

    Args:
        steps: How many steps.
        sigma_max: The first level; Stable Diffusion's highest is 14.6.
        sigma_min: The last level above 0.
    """
    from graphengine.diffusion import sigmas

    return sigmas.exponential(steps, sigma_max=sigma_max, sigma_min=sigma_min)


def _check_levels(sigma_max: float, sigma_min: float) -> None:
    if sigma_min >= sigma_max:
        raise InputError("sigma_min", f"{sigma_min} isn't below sigma_max, {sigma_max}.", "Choose a smaller one.")


karras_scheduler.check(_check_levels)
exponential_scheduler.check(_check_levels)


@node("ManualSigmas", category="sampling/parts/schedulers")
def manual_sigmas(sigmas: Text = "14.6, 7, 3.5, 1.7, 0.8, 0.3, 0") -> Sigmas:
    """Write the noise levels yourself.

    Args:
        sigmas: From high to low, separated by commas or spaces; they usually end with 0.
    """
    import torch

    return Sigmas(torch.tensor(parse_levels(sigmas)))


@manual_sigmas.check
def _(sigmas: str) -> None:
    parse_levels(sigmas)


@node("SplitSigmas", category="sampling/parts/sigmas")
def split_sigmas(sigmas: Sigmas, step: Annotated[int, Field(ge=0, le=10000)] = 0) -> SplitLevels:
    """Cut noise levels in two, for two samplers one after the other.

    Args:
        sigmas: Noise levels from a scheduler node.
        step: How many steps are in the first part.
    """
    from graphengine.diffusion import sigmas as levels

    return SplitLevels(*levels.split(sigmas, step))


@node("SplitSigmasDenoise", category="sampling/parts/sigmas")
def split_sigmas_denoise(sigmas: Sigmas, denoise: Share = 1.0) -> SplitLevels:
    """Cut noise levels in two by the share of the steps that is in the second part.

    Args:
        sigmas: Noise levels from a scheduler node.
        denoise: The second part's share; 1 leaves no step in the first.
    """
    from graphengine.diffusion import sigmas as levels

    return SplitLevels(*levels.split_by_denoise(sigmas, denoise))


@node("FlipSigmas", category="sampling/parts/sigmas")
def flip_sigmas(sigmas: Sigmas) -> Sigmas:
    """Turn noise levels round, to walk from a picture to the noise that it would come from.

    Sample with DisableNoise and a sampler that can walk up (euler, heun, dpm_2, dpmpp_2m).

    Args:
        sigmas: What to turn; a 0 becomes 0.001.
    """
    from graphengine.diffusion import sigmas as levels

    return levels.flip(sigmas)
