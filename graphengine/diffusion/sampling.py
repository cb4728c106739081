"""Run a sampler on a model: the driver between the two, and the two calls that nodes make.

    sample ──▶ sampler (generator) ──Ask──▶ drive ──Ask──▶ KnownRegion (masks) ──Ask──▶ Denoiser (guidance, network)
                        ◀──────────────────────────────────────────────denoised──

Stepping a generator (``drive``) is apart from answering its requests (``Denoiser``), so that requests of several
generators could be answered by one call of the network.

Latents and x are in the model's units, without the scaling of variance preserving models; see ``samplers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import torch
from diffusers import UNet2DModel
from torch import Tensor

from graphengine.diffusion.denoisers import Denoiser, check_can_be_sampled
from graphengine.diffusion.masking import KnownRegion, latent_mask
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Ask, Sampler
from graphengine.diffusion.scheduler_samplers import PREFIX, SchedulerRun
from graphengine.diffusion.schedules import TrainedLevels, sampling_sigmas
from graphengine.errors import InputError
from graphengine.types import Conditioning, Latent, Model, SamplerName, ScheduleName

OnStep = Callable[[int, int, Tensor], None]
"""Told after each step how many are done (1…total), the total, and the denoised estimate ``[B, C, h, w]``."""


def sample(
    model: Model,
    latent: Latent,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: SamplerName,
    scheduler: ScheduleName,
    positive: Conditioning,
    negative: Conditioning,
    denoise: float = 1.0,
    add_noise: bool = True,
    start_at_step: int = 0,
    end_at_step: int | None = None,
    return_with_leftover_noise: bool = False,
    device: torch.device | str = "cpu",
    sparing: bool = False,
    on_step: OnStep | None = None,
) -> Latent:
    """Denoise a latent step by step.

    Running steps 0…10 with leftover noise, then 10…20 without added noise, equals running 0…20 for samplers that need
    neither noise nor past steps: euler, heun, dpm_2, ddim. Those with noise repeat its first draws in the second part
    unless that gets another seed.

    Args:
        model: Predicting epsilon, v or the sample; its network is moved to ``device``.
        latent: Where to start: blank, an encoded picture, or with ``add_noise`` off a latent that already holds noise.
            Where its mask is 0 it is kept bit for bit.
        seed: Of all noise; item i of the batch is drawn from ``seed + i`` modulo 2^64, and equals that item alone.
        steps: Steps of the schedule, ≥ 1.
        cfg: How strongly to follow the prompt; 1 skips the negative prompt.
        sampler_name: One of our own, or ``diffusers:`` and a scheduler's class, which brings its own noise levels.
        scheduler: Which noise levels; ``diffusers:`` samplers don't use it.
        positive: What is wanted.
        negative: What is guided away from.
        denoise: Share of the schedule that is run, 0…1; 0 changes nothing. Our own samplers always run ``steps`` steps,
            at the end of a longer schedule; ``diffusers:`` samplers run the last ``int(steps * denoise)``, as in
            diffusers' image-to-image pipelines.
        add_noise: Whether to add noise first. Off, the latents must hold noise of the first level already; cells that
            a soft mask selects partly are then repainted wholly, since what lies under the noise isn't known.
        start_at_step: First step that is run.
        end_at_step: Step to stop before; all if None.
        return_with_leftover_noise: Whether to stop at the noise level of ``end_at_step``; else its last step goes to 0.
        device: Where to compute.
        sparing: Take as little memory as possible, at the cost of time.
        on_step: Told after each step; an exception it raises ends the run.

    Returns:
        The latent with new samples, float32 on the CPU.

    Raises:
        InputError: if a value can't be used, or the model gives NaN.
    """
    if denoise == 0:
        return latent
    samples = _samples_for(model, latent)
    end = _checked_end(steps, start_at_step, end_at_step)
    denoiser = Denoiser(model, positive, negative, cfg=cfg, batch=len(samples), device=device, sparing=sparing)
    mask = latent_mask(latent)
    start = _Start(denoiser, samples, mask, Noise(seed, samples.shape, device=device), torch.device(device))
    with torch.no_grad():
        if sampler_name.startswith(PREFIX):
            _refuse_with_schedulers(add_noise=add_noise, stops_early=end < steps or return_with_leftover_noise)
            first_step = start_at_step + _skipped_steps(steps, denoise)
            run = SchedulerRun(sampler_name.removeprefix(PREFIX), model, steps=steps, device=device)
            _checked_end(steps, first_step, None)
            prepared = _with_scheduler(start, run, first_step)
            total = steps - first_step
        else:
            sigmas = sampling_sigmas(denoiser.levels, scheduler, steps=steps, denoise=denoise)[start_at_step : end + 1]
            if not return_with_leftover_noise:
                sigmas[-1] = 0
            prepared = _with_own(start, _own_sampler(sampler_name), sigmas, add_noise=add_noise)
            total = end - start_at_step
        result = drive(*prepared, _step_reporter(denoiser, on_step, total)).float().cpu()
    return replace(latent, samples=result if mask is None else torch.where(mask == 0, samples, result))


def add_noise(
    model: Model, latent: Latent, *, seed: int, steps: int, scheduler: ScheduleName, denoise: float = 1.0
) -> Latent:
    """Add the noise that ``sample`` would begin with, so that it can be told not to.

    Args: as for ``sample``; where the latent's mask is 0 nothing is added.

    Returns:
        The latent with new samples, float32 on the CPU.

    Raises:
        InputError: if a value can't be used.
    """
    if denoise == 0:
        return latent
    check_can_be_sampled(model)
    samples = _samples_for(model, latent)
    levels = TrainedLevels.of(model.scheduler_config)
    sigma = float(sampling_sigmas(levels, scheduler, steps=steps, denoise=denoise)[0])
    noised = _noised(samples, Noise(seed, samples.shape)(), sigma, levels)
    mask = latent_mask(latent)
    return replace(latent, samples=noised if mask is None else torch.where(mask == 0, samples, noised))


def drive(sampler: Sampler, answer: Callable[[Ask], Tensor], after_step: Callable[[Ask, Tensor], None]) -> Tensor:
    """Step a sampler to its end.

    Args:
        sampler: Not started yet.
        answer: Gives what a request asks for.
        after_step: Told the last request of each step and its answer; an exception it raises ends the run.

    Returns:
        The sampler's result.
    """
    ask = next(sampler)
    while True:
        given = answer(ask)
        try:
            following = sampler.send(given)
        except StopIteration as finished:
            after_step(ask, given)
            result: Tensor = finished.value
            return result
        if not following.within_step:
            after_step(ask, given)
        ask = following


@dataclass(frozen=True)
class _Start:
    """What a run begins with, before it is known which kind of sampler steps it."""

    denoiser: Denoiser
    samples: Tensor
    mask: Tensor | None
    noise: Noise
    device: torch.device

    def known(self, first_noise: Tensor, *, is_clean: bool) -> KnownRegion | None:
        """Give the part that is kept; under noise, partly selected cells count as selected."""
        if self.mask is None:
            return None
        mask = self.mask if is_clean else (self.mask > 0).float()
        return KnownRegion(self.samples.to(self.device), mask.to(self.device), first_noise)


Prepared = tuple[Sampler, Callable[[Ask], Tensor]]


def _with_own(start: _Start, sampler: Callable[..., Sampler], sigmas: Tensor, *, add_noise: bool) -> Prepared:
    """Begin a run of one of our own samplers."""
    first_noise = start.noise()  # drawn even if it is not added, so that the noise of the steps is the same either way
    x = start.samples
    if add_noise:
        # On the CPU like the function add_noise, so that both give the same bits on every device.
        x = _noised(x, first_noise.cpu(), float(sigmas[0]), start.denoiser.levels)
    known = start.known(first_noise, is_clean=add_noise)
    return (
        sampler(x.to(start.device), sigmas, start.noise),
        start.denoiser if known is None else known.around(start.denoiser),
    )


def _with_scheduler(start: _Start, run: SchedulerRun, first_step: int) -> Prepared:
    """Begin a run of a diffusers scheduler."""
    first_noise = start.noise()
    x = run.start(start.samples.to(start.device), first_noise, first_step)
    known = start.known(first_noise, is_clean=True)
    sampler = run.sampler(x, start.noise, levels=start.denoiser.levels, first_step=first_step, known=known)
    return sampler, start.denoiser


def _noised(samples: Tensor, noise: Tensor, sigma: float, levels: TrainedLevels) -> Tensor:
    """Bring latents to a noise level.

    At the highest trained level the model expects noise and data together to have variance 1 + sigma^2; the noise alone
    is given it there, since blank latents have none of their own.
    """
    is_highest = sigma >= levels.sigma_max * (1 - 1e-6)  # sigma was rounded to float32
    return samples + noise * (sqrt(1 + sigma**2) if is_highest else sigma)


def _step_reporter(denoiser: Denoiser, on_step: OnStep | None, total: int) -> Callable[[Ask, Tensor], None]:
    """Turn ``drive``'s notice of a step into the caller's."""
    if on_step is None:
        return lambda ask, answer: None
    done = 0

    def report(ask: Ask, answer: Tensor) -> None:
        nonlocal done
        done += 1
        on_step(done, total, denoiser.preview(ask, answer))

    return report


def _own_sampler(name: str) -> Callable[..., Sampler]:
    if name not in SAMPLERS:
        raise InputError(
            "sampler_name",
            f"there is no sampler {name!r}.",
            f"Choose one of {', '.join(SAMPLERS)}; or {PREFIX!r} and the class of a diffusers scheduler.",
        )
    return SAMPLERS[name]


def _skipped_steps(steps: int, denoise: float) -> int:
    """Give the steps that diffusers' image-to-image pipelines leave out."""
    if not 0 < denoise <= 1:
        raise InputError("denoise", f"{denoise!r} is out of range.", "Choose a value from 0 to 1.")
    return steps - int(steps * denoise)


def _refuse_with_schedulers(*, add_noise: bool, stops_early: bool) -> None:
    """Refuse what would need x in our own variables: each scheduler keeps it in others."""
    remedy = f"Choose a sampler without {PREFIX!r}, or leave this input as it is by default."
    if not add_noise:
        raise InputError("add_noise", f"{PREFIX} samplers always add their own noise.", remedy)
    if stops_early:
        raise InputError("end_at_step", f"{PREFIX} samplers always run to the end of their schedule.", remedy)


def _checked_end(steps: int, start_at_step: int, end_at_step: int | None) -> int:
    """Give the step to stop before.

    Raises:
        InputError: if no step is left, or there are not as many.
    """
    end = steps if end_at_step is None else end_at_step
    if steps < 1:
        raise InputError("steps", f"{steps} is too small.", "Choose 1 or more.")
    if end > steps:
        raise InputError("end_at_step", f"{end} is past the last of {steps} steps.", f"Choose at most {steps}.")
    if not 0 <= start_at_step < end:
        raise InputError(
            "start_at_step",
            f"{start_at_step} leaves no step to run before step {end}.",
            f"Choose a value from 0 to {end - 1}.",
        )
    return end


def _samples_for(model: Model, latent: Latent) -> Tensor:
    """Give the latents as float32.

    Raises:
        InputError: if the model can't take them.
    """
    samples = latent.samples.float()
    if samples.ndim != 4 or samples.shape[1] != model.latent_channels:
        raise InputError(
            "latent_image",
            f"latents of shape {list(samples.shape)} don't fit a model of {model.latent_channels} channels.",
            "Make them with EmptyLatent or VAEEncode, with this model or its own VAE.",
        )
    if not torch.isfinite(samples).all():
        raise InputError("latent_image", "it holds NaN or infinite values.", "Look at the node that made it.")
    if isinstance(model.network, UNet2DModel):
        multiple = 2 ** (len(model.network.config.block_out_channels) - 1)
        height, width = samples.shape[2:]
        if height % multiple or width % multiple:
            raise InputError(
                "latent_image",
                f"latents of {width} x {height} cells can't be halved as often as this model does.",
                f"Choose a size so that both are multiples of {multiple}.",
            )
    return samples
