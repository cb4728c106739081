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
    Sigmas,
)
from graphengine_nodes.inputs import Seed
from graphengine_nodes.sampling import watched_by

if TYPE_CHECKING:
    from graphengine.diffusion.sampling_run import Sampled

Cfg = Annotated[float, Field(ge=0, le=100), Widget("slider", step=0.1, to=20)]


class Sampling(NamedTuple):
    """What sampling gave.

    Attributes:
        output: Where the sampler stopped; with the noise that is left if the last level is above 0.
        denoised_output: The last estimate of the picture, without noise.
    """

    output: Latent
    denoised_output: Latent


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
