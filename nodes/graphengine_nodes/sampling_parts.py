"""Sampling in parts: noise, guider, sampler and noise levels each by a node of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.diffusion.memory import guided_memory, sampling_memory
from graphengine.types import (
    Conditioning,
    Guider,
    Latent,
    Model,
    OwnSamplerName,
    RunNoise,
    SamplerChoice,
    ScheduleName,
    Sigmas,
)
from graphengine_nodes.inputs import Seed, Share, Steps, Text
from graphengine_nodes.sampling import watched_by

if TYPE_CHECKING:
    from graphengine.diffusion.sampling_run import Sampled

Cfg = Annotated[float, Field(ge=0, le=100), Widget("slider", step=0.1, to=20)]
Level = Annotated[float, Field(gt=0, le=5000), Widget("number", step=0.01)]


class Sampling(NamedTuple):
    """What sampling gave.

    Attributes:
        output: Where the sampler stopped; with the noise that is left if the last level is above 0.
        denoised_output: The last estimate of the picture, without noise.
    """

    output: Latent
    denoised_output: Latent


class SplitLevels(NamedTuple):
    """Noise levels in two parts, which share the level between them.

    Attributes:
        high_sigmas: For the sampler that begins.
        low_sigmas: For the one that goes on.
    """

    high_sigmas: Sigmas
    low_sigmas: Sigmas


@node("RandomNoise", category="sampling/parts/noise", outputs="noise")
def random_noise(noise_seed: Seed = 0) -> RunNoise:
    """Give the noise that a run begins with, and draws on its way.

    Args:
        noise_seed: Another seed gives other noise; each picture of a batch has its own.
    """
    return RunNoise(noise_seed)


@node("DisableNoise", category="sampling/parts/noise", outputs="noise")
def disable_noise() -> RunNoise:
    """Add no noise: for a latent that has it already, from another sampler or from walking up."""
    return RunNoise(0, is_added=False)


@node("BasicGuider", category="sampling/parts/guiders")
def basic_guider(model: Model, conditioning: Conditioning) -> Guider:
    """Follow one prompt without guidance, as distilled models are meant to.

    Args:
        model: From LoadCheckpoint.
        conditioning: What you want to see.
    """
    return Guider(model, conditioning)


@node("CFGGuider", category="sampling/parts/guiders")
def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, cfg: Cfg = 8.0) -> Guider:
    """Follow one prompt and keep away from another.

    Args:
        model: From LoadCheckpoint.
        positive: What you want to see.
        negative: What you don't want to see; an empty prompt is fine.
        cfg: How strongly to follow the prompt. 1 disables guidance and halves the time.
    """
    return Guider(model, positive, negative, cfg)


@node("DualCFGGuider", category="sampling/parts/guiders")
def dual_cfg_guider(
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: Cfg = 8.0,
    cfg_cond2_negative: Cfg = 8.0,
    style: Literal["regular", "nested"] = "regular",
) -> Guider:
    """Follow two prompts, each as strongly as you like; a step takes three calls of the model.

    Args:
        model: From LoadCheckpoint.
        cond1: What you want to see.
        cond2: What you want to see as well; the first is measured against it.
        negative: What you don't want to see; an empty prompt is fine.
        cfg_conds: How strongly to follow the first prompt, as against the second.
        cfg_cond2_negative: How strongly to follow the second prompt, as against the negative one.
        style: regular adds both; nested strengthens by the second scale what both come to together.
    """
    return Guider(model, cond1, negative, cfg_conds, cond2, cfg_cond2_negative, nested=style == "nested")


@node("KSamplerSelect", category="sampling/parts/samplers", outputs="sampler")
def ksampler_select(sampler_name: OwnSamplerName = "euler") -> SamplerChoice:
    """Choose how each step is made.

    Args:
        sampler_name: euler and dpmpp_2m are safe choices; "ancestral" and "sde" add noise on the way.
    """
    return SamplerChoice(sampler_name)


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
    from graphengine.diffusion import sigmas as levels

    return levels.parse(sigmas)


@node("SplitSigmas", category="sampling/parts/sigmas")
def split_sigmas(sigmas: Sigmas, step: Annotated[int, Field(ge=0, le=10000)] = 0) -> SplitLevels:
    """Cut noise levels in two, for two samplers one after the other.

    Args:
        sigmas: What to cut.
        step: How many steps are in the first part.
    """
    from graphengine.diffusion import sigmas as levels

    return SplitLevels(*levels.split(sigmas, step))


@node("SplitSigmasDenoise", category="sampling/parts/sigmas")
def split_sigmas_denoise(sigmas: Sigmas, denoise: Share = 1.0) -> SplitLevels:
    """Cut noise levels in two by the share of the steps that is in the second part.

    Args:
        sigmas: What to cut.
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


@node("SamplerCustom", category="sampling/parts", device="gpu", memory=sampling_memory)
def sampler_custom(
    ctx: Context,
    model: Model,
    add_noise: bool = True,
    noise_seed: Seed = 0,
    cfg: Cfg = 8.0,
    *,
    positive: Conditioning,
    negative: Conditioning,
    sampler: SamplerChoice,
    sigmas: Sigmas,
    latent_image: Latent,
) -> Sampling:
    """Denoise a latent with a sampler and noise levels of your choice.

    Args:
        model: From LoadCheckpoint.
        add_noise: Off when the latent has noise already.
        noise_seed: The same seed gives the same picture; each picture of a batch has its own noise.
        cfg: How strongly to follow the prompt. 1 disables guidance and halves the time.
        positive: What you want to see.
        negative: What you don't want to see; an empty prompt is fine.
        sampler: From KSamplerSelect.
        sigmas: The noise levels to visit, from BasicScheduler or another.
        latent_image: Starting point; blank from EmptyLatent, or an encoded picture.
    """
    guider = Guider(model, positive, negative, cfg)
    return _sampled(ctx, guider, RunNoise(noise_seed, add_noise), sampler, sigmas, latent_image)


@node("SamplerCustomAdvanced", category="sampling/parts", device="gpu", memory=guided_memory)
def sampler_custom_advanced(
    ctx: Context, noise: RunNoise, guider: Guider, sampler: SamplerChoice, sigmas: Sigmas, latent_image: Latent
) -> Sampling:
    """Denoise a latent with noise, guidance, sampler and noise levels of your choice.

    Args:
        noise: From RandomNoise or DisableNoise.
        guider: The model and its prompts, from CFGGuider or another.
        sampler: From KSamplerSelect.
        sigmas: The noise levels to visit, from BasicScheduler or another.
        latent_image: Starting point; blank from EmptyLatent, or an encoded picture.
    """
    with _inputs_of_the_guider():
        return _sampled(ctx, guider, noise, sampler, sigmas, latent_image)


def _sampled(
    ctx: Context, guider: Guider, noise: RunNoise, sampler: SamplerChoice, sigmas: Sigmas, latent: Latent
) -> Sampling:
    from graphengine.diffusion.sampling_run import Place, run_sampler

    with ctx.loaded(guider) as device:
        place = Place(device=device, sparing=ctx.settings.sparing, on_step=watched_by(ctx, guider.model))
        sampled: Sampled = run_sampler(guider, noise, sampler.name, sigmas, latent, place)
    return Sampling(sampled.latent, sampled.denoised)


@contextmanager
def _inputs_of_the_guider() -> Iterator[None]:
    """Name the guider where the model or a prompt in it is at fault."""
    try:
        yield
    except InputError as error:
        if error.input in ("model", "positive", "negative"):
            raise InputError("guider", error.message, error.remedy) from error
        raise
