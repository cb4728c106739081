"""Run a sampler on a guided model, over noise levels that are given: what all sampling nodes come down to.

    sampler (generator) ──Ask──▶ drive ──Ask──▶ KnownRegion (masks) ──Ask──▶ guider, network
             ◀──────────────────────────────────────────────denoised──

Stepping a generator (``drive``) is apart from answering its requests, so that requests of several generators could be
answered by one call of the network. Latents and x are in the model's units, without the scaling of variance preserving
models; see ``samplers``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, UNet2DModel
from torch import Tensor

from graphengine.diffusion.denoisers import RunSteps
from graphengine.diffusion.flow_samplers import flow_sampler
from graphengine.diffusion.guiders import Answerer, answerer_for
from graphengine.diffusion.masking import KnownRegion, latent_mask
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Ask, Sampler
from graphengine.diffusion.scheduler_samplers import PREFIX, SchedulerRun
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.diffusion.sigmas import check_sigmas
from graphengine.errors import InputError
from graphengine.types import Guider, Latent, Model, RunNoise, Sigmas

OnStep = Callable[[int, int, Tensor], None]
"""Told after each step how many are done (1…total), the total, and the denoised estimate ``[B, C, h, w]``."""


@dataclass(frozen=True)
class Sampled:
    """Where a run came to.

    Attributes:
        latent: What the sampler ended with; it holds noise if the last level is above 0.
        denoised: The last estimate of the data, without noise.
    """

    latent: Latent
    denoised: Latent


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run computes, and who is told of it.

    Attributes:
        device: The network is moved there.
        sparing: Take as little memory as possible, at the cost of time.
        on_step: Told after each step; an exception it raises ends the run.
    """

    device: torch.device | str = "cpu"
    sparing: bool = False
    on_step: OnStep | None = None


def run_sampler(
    guider: Guider,
    noise: RunNoise,
    sampler_name: str,
    sigmas: Sigmas,
    latent: Latent,
    place: Place,
    *,
    counted: RunSteps | None = None,
) -> Sampled:
    """Step one of our own samplers over noise levels.

    Args:
        sampler_name: A key of ``SAMPLERS``.
        sigmas: From high to low; some samplers also go from low to high, which turns a picture into noise.
        latent: What is denoised; where its mask is 0 it is kept bit for bit. With fewer than two levels there is no
            step, and it stays as it is.
        counted: Where its steps lie in a longer run; they are all of it if None.

    Raises:
        InputError: if a value can't be used, or the model gives NaN.
    """
    if sampler_name not in SAMPLERS:
        raise InputError(
            "sampler_name",
            f"there is no sampler {sampler_name!r}.",
            f"Choose one of {', '.join(SAMPLERS)}; or {PREFIX!r} and the class of a diffusers scheduler.",
        )
    levels = check_sigmas(sigmas, sampler_name)
    start = _Start.of(guider, noise, latent, place, counted or RunSteps(0, max(1, len(levels) - 1)))
    if len(levels) < 2:
        return Sampled(latent, latent)
    # drawn even if it is not added, so that the noise of the steps is the same either way
    first_noise = start.noise()
    x = start.samples
    if noise.is_added:
        # On the CPU like the function add_noise, so that both give the same bits on every device.
        x = noised(x, first_noise.cpu(), float(levels[0]), start.answerer.levels)
    known = start.known(first_noise, float(levels[0]), is_clean=noise.is_added)
    answer = start.answerer if known is None else known.around(start.answerer)
    begin = partial(flow_sampler, sampler_name) if start.answerer.levels.is_flow else SAMPLERS[sampler_name]
    steps = begin(x.to(place.device), levels, start.noise)
    return start.finish(steps, answer, len(levels) - 1)


def run_scheduler(
    guider: Guider, seed: int, run: SchedulerRun, first_step: int, latent: Latent, place: Place
) -> Sampled:
    """Step a diffusers scheduler from one of its steps to the end; it adds its own noise.

    Raises:
        InputError: as ``run_sampler``.
    """
    start = _Start.of(guider, RunNoise(seed), latent, place, RunSteps(first_step, run.steps))
    first_noise = start.noise()
    with torch.no_grad():
        x = run.start(start.samples.to(place.device), first_noise, first_step)
    first_level = start.answerer.levels.level_told(run.first_timestep(first_step))
    known = start.known(first_noise, first_level, is_clean=True)
    steps = run.sampler(x, start.noise, levels=start.answerer.levels, first_step=first_step, known=known)
    return start.finish(steps, start.answerer, run.steps - first_step)


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


def noised(samples: Tensor, noise: Tensor, sigma: float, levels: TrainedLevels) -> Tensor:
    """Bring latents to a noise level.

    At the highest trained level the model expects noise and data together to have unit variance once scaled; the noise
    alone is given it there, since blank latents have none of their own.
    """
    is_highest = sigma >= levels.sigma_max * (1 - 1e-6)  # sigma was rounded to float32
    return samples + noise * (1 / levels.scale(sigma) if is_highest else sigma)


def samples_for(model: Model, latent: Latent) -> Tensor:
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
    multiple = _cells_together(model)
    height, width = samples.shape[2:]
    if height % multiple or width % multiple:
        raise InputError(
            "latent_image",
            f"latents of {width} x {height} cells can't be divided as this model does.",
            f"Choose a size so that both are multiples of {multiple}.",
        )
    return samples


def _cells_together(model: Model) -> int:
    """Give of what a latent's sides have to be multiples: of how often it is halved, or of a transformer's patches."""
    config: Any = model.network.config  # Any: diffusers builds configurations at run time
    match model.network:
        case UNet2DModel():
            return int(2 ** (len(config.block_out_channels) - 1))
        case SD3Transformer2DModel():
            return int(config.patch_size)
        case _:
            return 1


@dataclass(frozen=True)
class _Start:
    """What a run begins with, before it is known which kind of sampler steps it."""

    answerer: Answerer
    latent: Latent
    samples: Tensor
    mask: Tensor | None
    noise: Noise
    place: Place
    differential: bool

    @classmethod
    def of(cls, guider: Guider, noise: RunNoise, latent: Latent, place: Place, steps: RunSteps) -> _Start:
        samples = samples_for(guider.model, latent)
        answerer = answerer_for(guider, batch=len(samples), device=place.device, sparing=place.sparing, steps=steps)
        drawn = Noise(noise.seed, samples.shape, device=place.device)
        return cls(answerer, latent, samples, latent_mask(latent), drawn, place, guider.model.differential)

    def known(self, first_noise: Tensor, first_level: float, *, is_clean: bool) -> KnownRegion | None:
        """Give the part that is kept; under noise, partly selected cells count as selected."""
        if self.mask is None:
            return None
        mask = self.mask if is_clean else (self.mask > 0).float()
        levels = self.answerer.levels
        first = levels.timestep(first_level)

        def share_left(sigma: float) -> float:
            return levels.timestep(sigma) / first if sigma > 0 < first else 0.0

        device = self.place.device
        share = share_left if self.differential else None
        return KnownRegion(self.samples.to(device), mask.to(device), first_noise, share)

    def finish(self, sampler: Sampler, answer: Callable[[Ask], Tensor], total: int) -> Sampled:
        """Step the sampler, and bring what it gives to the CPU; what the mask keeps is as it was."""
        steps = _Steps(self.answerer, total, self.place.on_step)
        with torch.no_grad():
            result = drive(sampler, answer, steps)
        return Sampled(self._with(result), self._with(steps.denoised))

    def _with(self, x: Tensor) -> Latent:
        x = x.float().cpu()
        kept = x if self.mask is None else torch.where(self.mask == 0, self.samples, x)
        return replace(self.latent, samples=kept)


class _Steps:
    """Counts a run's steps, tells who watches, and keeps the last estimate."""

    denoised: Tensor

    def __init__(self, answerer: Answerer, total: int, on_step: OnStep | None) -> None:
        self._answerer = answerer
        self._total = total
        self._on_step = on_step
        self._done = 0

    def __call__(self, ask: Ask, answer: Tensor) -> None:
        self._done += 1
        self.denoised = self._answerer.preview(ask, answer)
        if self._on_step is not None:
            self._on_step(self._done, self._total, self.denoised)
