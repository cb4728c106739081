"""Diffusers' schedulers behind the same seam as our own samplers, bit for bit as in its pipelines.

A scheduler keeps x in variables of its own, so these samplers ask for the network's ``raw`` output, and say themselves
what the network sees and is told. In float32 on the CPU the result equals that of ``StableDiffusionPipeline`` with the
same scheduler and a list of generators, one an item; with ``denoise`` below 1, ``StableDiffusionImg2ImgPipeline``'s.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import Tensor

from graphengine.diffusion.masking import KnownRegion
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import Ask, Sampler
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import Model

PREFIX = "diffusers:"

# Those that are built from betas and step without further inputs. Left out: EDM schedulers (other
# noise levels), inverse ones, DPMSolverSDE (needs torchsde), and the Parallel twins of DDIM and DDPM (the same steps).
SCHEDULER_CLASSES = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)

FLOW_SCHEDULER_CLASSES = ("FlowMatchEulerDiscreteScheduler",)


class SchedulerRun:
    """One run of a diffusers scheduler, from its first timestep or a later one.

    Args:
        class_name: One of ``SCHEDULER_CLASSES``.
        model: Whose scheduler configuration is used.
        steps: Of the whole schedule, ≥ 1.
        device: Where x will be.

    Attributes:
        steps: Steps of the whole schedule.

    Raises:
        InputError: if there is no such scheduler, or it does not take the configuration or so many steps.
    """

    def __init__(self, class_name: str, model: Model, *, steps: int, device: torch.device | str = "cpu") -> None:
        if class_name not in (*SCHEDULER_CLASSES, *FLOW_SCHEDULER_CLASSES):
            raise InputError(
                "sampler_name",
                f"there is no sampler {PREFIX + class_name!r}.",
                f"After {PREFIX!r} comes one of {', '.join(SCHEDULER_CLASSES)}.",
            )
        self.steps = steps
        self._is_flow = class_name in FLOW_SCHEDULER_CLASSES
        if self._is_flow != (model.prediction == "flow"):
            fitting = FLOW_SCHEDULER_CLASSES if model.prediction == "flow" else SCHEDULER_CLASSES
            raise InputError(
                "sampler_name",
                f"{class_name} doesn't fit a model that predicts {model.prediction!r}.",
                f"Choose one without {PREFIX!r}, or after it one of {', '.join(fitting)}.",
            )
        self._class_name = class_name
        self._prediction = model.prediction
        scheduler_class = getattr(diffusers, class_name)
        try:
            # Any: diffusers is untyped
            told = {} if self._is_flow else {"prediction_type": model.prediction}
            self._scheduler: Any = scheduler_class.from_config(dict(model.scheduler_config), **told)
            self._scheduler.set_timesteps(steps, device=device)
        except (NotImplementedError, ValueError) as error:
            raise InputError(
                "sampler_name", f"{class_name} refused the model or {steps} steps: {error}", "Choose another sampler."
            ) from error

    def first_timestep(self, first_step: int) -> float:
        """Give the timestep that a step begins at."""
        return float(self._scheduler.timesteps[first_step * self._scheduler.order])

    def start(self, samples: Tensor, noise: Tensor, first_step: int) -> Tensor:
        """Give x to begin with: pure noise at step 0, else the latents with the noise of that step's timestep."""
        if first_step == 0:
            x: Tensor = noise if self._is_flow else noise * self._scheduler.init_noise_sigma
            return x
        first = first_step * self._scheduler.order
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(first)
        return self._noised(samples, noise, self._scheduler.timesteps[first])

    def sampler(
        self, x: Tensor, noise: Noise, *, levels: TrainedLevels, first_step: int, known: KnownRegion | None = None
    ) -> Sampler:
        """Step from ``first_step`` to the end.

        Args:
            x: As ``start`` gives it.
            noise: Whose generators draw the noise of the steps.
            levels: For telling the noise level at a timestep.
            first_step: As given to ``start``.
            known: What a mask keeps: put back after each step, at its noise level, as diffusers' inpainting does.
        """
        scheduler = self._scheduler
        options = _step_options(scheduler.step, noise)
        timesteps = scheduler.timesteps[first_step * scheduler.order :]
        asks_before_second_step = len(timesteps) - (self.steps - first_step) * scheduler.order
        for i, (timestep, t) in enumerate(zip(timesteps, timesteps.tolist(), strict=True)):
            raw = yield Ask(
                x if self._is_flow else scheduler.scale_model_input(x, timestep),
                levels.level_told(t),
                want="raw",
                timestep=timestep,
                # PNDM asks more often in its first step; Heun's method and DPM-2 (order 2) twice in all but the last.
                within_step=i > 0 and (i <= asks_before_second_step or i % scheduler.order != 0),
            )
            x = self._step(raw, timestep, x, options)
            if known is not None:
                is_last = i + 1 == len(timesteps)
                kept = known.samples if is_last else self._noised(known.samples, known.noise, timesteps[i + 1])
                x = torch.lerp(kept, x, known.mask_at(0.0 if is_last else levels.level_told(float(timesteps[i + 1]))))
        return x

    def _step(self, raw: Tensor, timestep: Tensor, x: Tensor, options: dict[str, object]) -> Tensor:
        try:
            stepped: Tensor = self._scheduler.step(raw, timestep, x, return_dict=False, **options)[0]
        except (NotImplementedError, ValueError) as error:
            raise InputError(
                "sampler_name",
                f"{self._class_name} can't step with a model that predicts {self._prediction!r}: {error}",
                "Choose another sampler.",
            ) from error
        return stepped

    def _noised(self, samples: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        if self._is_flow:  # not by its scale_noise, which takes the timestep of the step that it is at
            t = timestep / float(self._scheduler.config.num_train_timesteps)
            return t * noise + (1.0 - t) * samples
        noised: Tensor = self._scheduler.add_noise(samples, noise, timestep.repeat(len(samples)))
        return noised


def _step_options(step: Callable[..., object], noise: Noise) -> dict[str, object]:
    """Give a scheduler's step what the pipelines give it: generators, and eta 0, where its signature has them."""
    offered: dict[str, object] = {"generator": noise.generators, "eta": 0.0}
    taken = inspect.signature(step).parameters
    return {name: value for name, value in offered.items() if name in taken}
