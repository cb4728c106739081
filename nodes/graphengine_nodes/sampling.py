"""Make pictures out of noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.diffusion.memory import pixel_sampling_memory, sampling_memory
from graphengine.types import Conditioning, Image, Latent, Model, SamplerName, ScheduleName
from graphengine_nodes.inputs import Seed, Share, Steps

if TYPE_CHECKING:
    from torch import Tensor

PictureSide = Annotated[int, Field(ge=4, le=4096)]


@node("KSampler", category="sampling", device="gpu", memory=sampling_memory)
def ksampler(
    ctx: Context,
    model: Model,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Annotated[float, Field(ge=0, le=100), Widget("slider", step=0.1, to=20)] = 7.0,
    sampler_name: SamplerName = "euler",
    scheduler: ScheduleName = "normal",
    *,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: Share = 1.0,
    add_noise: Annotated[bool, Widget("checkbox", advanced=True)] = True,
    start_at_step: Annotated[int, Field(ge=0, le=10000), Widget("number", advanced=True)] = 0,
    end_at_step: Annotated[int, Field(ge=1, le=10000), Widget("number", advanced=True)] | None = None,
    return_with_leftover_noise: Annotated[bool, Widget("checkbox", advanced=True)] = False,
) -> Latent:
    """Denoise a latent step by step.

    Args:
        model: From LoadCheckpoint or TrainLoop.
        seed: The same seed gives the same picture; each picture of a batch has its own noise.
        steps: Model evaluations. 20 is plenty for most samplers; distilled models need 1–8.
        cfg: How strongly to follow the prompt. 1 disables guidance and halves the time; 3–8 suits most models.
        sampler_name: How each step is made. euler and dpmpp_2m are safe choices; "ancestral" and "sde" add noise on the
            way. Those with "diffusers:" equal diffusers' pipelines.
        scheduler: At which noise levels the steps lie; karras spends more of them on details.
        positive: What you want to see.
        negative: What you don't want to see; an empty prompt is fine.
        latent_image: Starting point; blank from EmptyLatent, or an encoded picture.
        denoise: Share of the schedule that is run; 1 starts from pure noise, 0.3 keeps most of the picture.
        add_noise: Off when the latent has noise already, from AddNoise or an earlier KSampler.
        start_at_step: First step to run, to go on where another KSampler stopped.
        end_at_step: Step to stop before; leave open to run all.
        return_with_leftover_noise: Keep the noise that is left at end_at_step, for the KSampler that goes on.
    """
    from graphengine.diffusion import sampling

    with ctx.loaded(model, positive, negative) as device:
        return sampling.sample(
            model,
            latent_image,
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name=sampler_name,
            scheduler=scheduler,
            positive=positive,
            negative=negative,
            denoise=denoise,
            add_noise=add_noise,
            start_at_step=start_at_step,
            end_at_step=end_at_step,
            return_with_leftover_noise=return_with_leftover_noise,
            device=device,
            sparing=ctx.settings.sparing,
            on_step=watched_by(ctx, model),
        )


@ksampler.check
def _(steps: int, start_at_step: int, end_at_step: int | None) -> None:
    end = steps if end_at_step is None else end_at_step
    if end > steps:
        raise InputError("end_at_step", f"{end} is past the last of {steps} steps.", f"Choose at most {steps}.")
    if start_at_step >= end:
        raise InputError(
            "start_at_step", f"{start_at_step} leaves no step to run before step {end}.", f"Choose at most {end - 1}."
        )


@node("PixelSampler", category="sampling", device="gpu", memory=pixel_sampling_memory, outputs="images")
def pixel_sampler(
    ctx: Context,
    model: Model,
    seed: Seed = 0,
    steps: Steps = 50,
    sampler_name: SamplerName = "euler",
    scheduler: ScheduleName = "normal",
    width: PictureSide = 32,
    height: PictureSide = 32,
    count: Annotated[int, Field(ge=1, le=4096)] = 16,
) -> Image:
    """Make pictures with a model that works on pictures themselves and reads no captions.

    Args:
        model: From TrainLoop, of NewUNet2D's kind.
        seed: The same seed gives the same pictures; each has noise of its own.
        steps: Model evaluations. 50 are plenty for most samplers; ddpm wants several hundred.
        sampler_name: How each step is made. ddpm adds noise at each step, as the model's paper does; euler adds none.
        scheduler: At which noise levels the steps lie.
        width: Of each picture, in pixels; best as the model was trained.
        height: Of each picture, in pixels.
        count: How many pictures to make at once.
    """
    from graphengine.diffusion.pixel_sampling import sample_pictures

    with ctx.loaded(model) as device:
        return sample_pictures(
            model,
            seed=seed,
            steps=steps,
            sampler_name=sampler_name,
            scheduler=scheduler,
            width=width,
            height=height,
            count=count,
            device=device,
            sparing=ctx.settings.sparing,
            on_step=watched_by(ctx, model),
        )


def watched_by(ctx: Context, model: Model) -> Callable[[int, int, Tensor], None]:
    """Tell the user of each step, and show its estimate to one who watches."""
    from graphengine.diffusion.latent_preview import latent_picture

    def on_step(done: int, total: int, denoised: Tensor) -> None:
        ctx.report_progress(done, total)
        ctx.preview(lambda: latent_picture(model, denoised))

    return on_step
