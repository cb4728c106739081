"""Sample as KSampler does: a schedule by its name, a share of it, its steps from one to another."""

from __future__ import annotations

from dataclasses import replace

import torch

from graphengine.diffusion.denoisers import RunSteps, check_can_be_sampled
from graphengine.diffusion.masking import latent_mask
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.sampling_run import OnStep, Place, noised, run_sampler, run_scheduler, samples_for
from graphengine.diffusion.scheduler_samplers import PREFIX, SchedulerRun
from graphengine.diffusion.schedules import TrainedLevels, sampling_sigmas
from graphengine.errors import InputError
from graphengine.types import Conditioning, Guider, Latent, Model, RunNoise, SamplerName, ScheduleName, Sigmas


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
    check_can_be_sampled(model)
    end = _checked_end(steps, start_at_step, end_at_step)
    guider = Guider(model, positive, negative, cfg)
    place = Place(device=device, sparing=sparing, on_step=on_step)
    if sampler_name.startswith(PREFIX):
        _refuse_with_schedulers(add_noise=add_noise, stops_early=end < steps or return_with_leftover_noise)
        first_step = start_at_step + _skipped_steps(steps, denoise)
        _checked_end(steps, first_step, None)
        run = SchedulerRun(sampler_name.removeprefix(PREFIX), model, steps=steps, device=device)
        return run_scheduler(guider, seed, run, first_step, latent, place).latent
    levels = TrainedLevels.of(model.scheduler_config)
    sigmas = sampling_sigmas(levels, scheduler, steps=steps, denoise=denoise)[start_at_step : end + 1]
    if not return_with_leftover_noise:
        sigmas[-1] = 0
    noise, counted = RunNoise(seed, add_noise), RunSteps(start_at_step, steps)
    return run_sampler(guider, noise, sampler_name, Sigmas(sigmas), latent, place, counted=counted).latent


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
    samples = samples_for(model, latent)
    levels = TrainedLevels.of(model.scheduler_config)
    sigma = float(sampling_sigmas(levels, scheduler, steps=steps, denoise=denoise)[0])
    result = noised(samples, Noise(seed, samples.shape)(), sigma, levels)
    mask = latent_mask(latent)
    return replace(latent, samples=result if mask is None else torch.where(mask == 0, samples, result))


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
