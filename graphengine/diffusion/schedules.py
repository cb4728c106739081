"""Which noise levels a sampler visits.

A model is trained at levels ``sigma[t] = sqrt((1 - a) / a)``, a = alphas_cumprod[t]: the standard deviation of the
noise beside data of unscaled size (the variables of Karras et al. 2022, in which our own samplers work). A schedule
picks ``steps`` of them, or levels between them, from high to low, and ends at 0.

A flow goes straight from data to noise: ``(1 - t) data + t noise`` (Liu et al. 2022, arXiv:2209.03003). Divided by
``1 - t`` that is unscaled data plus noise of ``sigma = t / (1 - t)``, the same as elsewhere. The last of its T levels,
t = 1, would be infinite. Its t are shifted towards noise (Esser et al. 2024, arXiv:2403.03206, eq. 23), and T times the
shifted t is what the network is told.

Levels between two trained ones are found by interpolating log(sigma) in the timestep, so a schedule is not bound to
table entries, and asking for more steps than were trained does not give a level twice. The two schedules that are
defined by whole timesteps, ``simple`` and ``ddim_uniform``, refuse more steps than the table has.

>>> levels = TrainedLevels.of(model.scheduler_config)
>>> sampling_sigmas(levels, "karras", steps=20)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from graphengine.diffusion.objectives import alphas_cumprod
from graphengine.errors import InputError
from graphengine.types import ScheduleName

FloatArray = NDArray[np.float64]

_SMALLEST_ALPHA = 2.0**-24
"""With zero terminal SNR the last level would be infinite; this makes it 4096, as diffusers' Euler schedulers do."""

_LARGEST_FLOW_LEVEL = 2.0**20
"""In place of the infinite level of pure noise; what data adds to that is lost in rounding."""

_LONGEST_GRID = 100_000
"""A small ``denoise`` asks for a long grid to cut its end from; beyond this, float32 levels start to coincide."""


@dataclass(frozen=True)
class TrainedLevels:
    """The noise levels that a model was trained at, and the way between them and timesteps.

    Attributes:
        log_sigmas: float64 ``[T]``, log of the level at each timestep, increasing.
        is_flow: Whether they are those of a flow.
    """

    log_sigmas: FloatArray
    is_flow: bool = False

    @classmethod
    def of(cls, scheduler_config: Mapping[str, object]) -> TrainedLevels:
        """Read the levels off a diffusers scheduler's configuration: off its betas, or for a flow its shift.

        Raises:
            InputError: if the configuration does not describe rising noise levels.
        """
        if str(scheduler_config.get("_class_name")).startswith("FlowMatch"):
            return cls(_flow_log_sigmas(scheduler_config), is_flow=True)
        try:
            alphas = alphas_cumprod(scheduler_config).double().clamp(min=_SMALLEST_ALPHA).numpy()
        except (NotImplementedError, TypeError, ValueError) as error:
            raise _unusable(str(error)) from error
        with np.errstate(divide="ignore", invalid="ignore"):
            log_sigmas = 0.5 * np.log((1 - alphas) / alphas)
        if len(log_sigmas) < 2 or not np.isfinite(log_sigmas).all() or not (np.diff(log_sigmas) > 0).all():
            raise _unusable("its betas do not give noise levels that rise from each timestep to the next")
        return cls(log_sigmas)

    def scale(self, sigma: float) -> float:
        """Give what x is multiplied by before the network sees it, as it was trained."""
        return 1 / (1 + sigma) if self.is_flow else 1 / sqrt(1 + sigma**2)

    def told(self, sigma: float) -> float:
        """Give the timestep that the network is told at a level above 0."""
        if not self.is_flow:
            return self.timestep(sigma)
        return len(self) * (1.0 if sigma >= _LARGEST_FLOW_LEVEL else sigma / (1 + sigma))

    def level_told(self, timestep: float) -> float:
        """Give the level at which the network is told a timestep."""
        if not self.is_flow:
            return self.sigma(timestep)
        share = timestep / len(self)
        return min(_LARGEST_FLOW_LEVEL, share / (1 - share)) if share < 1 else _LARGEST_FLOW_LEVEL

    def __len__(self) -> int:
        return len(self.log_sigmas)

    @property
    def sigma_min(self) -> float:
        """The level at timestep 0."""
        return float(np.exp(self.log_sigmas[0]))

    @property
    def sigma_max(self) -> float:
        """The level at the last timestep."""
        return float(np.exp(self.log_sigmas[-1]))

    def sigmas_at(self, timesteps: NDArray[np.floating]) -> FloatArray:
        """Give the levels at timesteps in 0…T-1, whole or between."""
        sigmas: FloatArray = np.exp(np.interp(timesteps, np.arange(len(self)), self.log_sigmas))
        return sigmas

    def sigma(self, timestep: float) -> float:
        """Give the level at one timestep in 0…T-1, whole or between."""
        return float(np.exp(np.interp(timestep, np.arange(len(self)), self.log_sigmas)))

    def at_share(self, share: float) -> float:
        """Give the level that far on the way from noise (0) to picture (1); infinite at both ends."""
        if share <= 0:
            return inf
        return -inf if share >= 1 else self.sigma((1 - share) * (len(self) - 1))

    def timestep(self, sigma: float) -> float:
        """Give the timestep of a level above 0; levels out of range count as the nearest end."""
        return float(np.interp(np.log(sigma), self.log_sigmas, np.arange(len(self))))


def _flow_log_sigmas(scheduler_config: Mapping[str, object]) -> FloatArray:
    if scheduler_config.get("use_dynamic_shifting"):
        raise _unusable("its shift depends on the picture's size, which isn't known here; ModelSampling can set one")
    try:
        count, shift = int(str(scheduler_config["num_train_timesteps"])), float(str(scheduler_config.get("shift", 1.0)))
    except (KeyError, ValueError) as error:
        raise _unusable(f"it has no usable number of timesteps or shift ({error})") from error
    if count < 2 or not 0 < shift < np.inf:
        raise _unusable(f"{count} timesteps with a shift of {shift} give no noise levels that rise")
    t = np.arange(1, count + 1) / count
    t = shift * t / (1 + (shift - 1) * t)
    with np.errstate(divide="ignore"):
        return np.log(np.minimum(t / (1 - t), _LARGEST_FLOW_LEVEL))


def sampling_sigmas(levels: TrainedLevels, name: ScheduleName, *, steps: int, denoise: float = 1.0) -> Tensor:
    """Lay out the noise levels of a run.

    Args:
        levels: What the model was trained at.
        name: A key of ``SCHEDULES``.
        steps: Number of intervals, ≥ 1.
        denoise: Share of the schedule that is run, above 0 to 1: of a grid of ``int(steps / denoise)`` intervals, the
            last ``steps``.

    Returns:
        Float32 ``[steps + 1]`` on the CPU, strictly decreasing, last element 0.

    Raises:
        InputError: if a value is out of range, or the schedule has fewer levels than are asked for.
    """
    if steps < 1:
        raise InputError("steps", f"{steps} is too small.", "Choose 1 or more.")
    if not 0 < denoise <= 1:
        raise InputError("denoise", f"{denoise!r} is out of range.", "Choose a value above 0, to 1.")
    if name not in SCHEDULES:
        raise InputError("scheduler", f"there is no schedule {name!r}.", f"Choose one of {', '.join(SCHEDULES)}.")
    total = int(steps / denoise)
    if total > _LONGEST_GRID:
        raise InputError(
            "denoise",
            f"{steps} steps over the last {denoise!r} of the schedule need a grid of {total} steps.",
            f"Choose fewer steps or a larger denoise, so that steps / denoise is at most {_LONGEST_GRID}.",
        )
    grid = np.append(SCHEDULES[name](levels, total), 0.0)
    sigmas = torch.from_numpy(grid[-(steps + 1) :]).float()
    if not bool((sigmas.diff() < 0).all()):
        raise _too_many_steps(name, total, "levels that float32 can tell apart")
    return sigmas


def normal(levels: TrainedLevels, steps: int) -> FloatArray:
    """Space levels evenly in the timestep, from the last one to 0 itself.

    Returns:
        Float64 ``[steps]``, decreasing, above 0; the closing 0 is left to the caller. So do all schedules here.

    Source: "linspace" in Lin et al. 2023, arXiv:2305.08891, table 2.
    """
    return levels.sigmas_at(np.linspace(len(levels) - 1.0, 0.0, steps))


def sgm_uniform(levels: TrainedLevels, steps: int) -> FloatArray:
    """Space levels evenly in the timestep, one interval above 0, as Stability's generative-models do."""
    return levels.sigmas_at(np.linspace(len(levels) - 1.0, 0.0, steps + 1)[:-1])


def simple(levels: TrainedLevels, steps: int) -> FloatArray:
    """Take whole timesteps at even distances, counted down from the last one.

    Source: "trailing" in Lin et al. 2023, arXiv:2305.08891, table 2.
    """
    trained = len(levels)
    if steps > trained:
        raise _too_many_steps("simple", steps, f"{trained} trained timesteps")
    return levels.sigmas_at(np.round(trained - np.arange(steps) * (trained / steps)) - 1)


def ddim_uniform(levels: TrainedLevels, steps: int) -> FloatArray:
    """Take whole timesteps at even whole distances, counted up from 1; the first level is below the highest.

    Source: "leading" in Lin et al. 2023, arXiv:2305.08891, table 2, with Stable Diffusion's offset of 1.
    """
    trained = len(levels)
    if steps >= trained:
        raise _too_many_steps("ddim_uniform", steps, f"{trained - 1} trained timesteps above 0")
    return levels.sigmas_at(np.arange(steps)[::-1] * (trained // steps) + 1.0)


def karras(levels: TrainedLevels, steps: int, *, rho: float = 7.0) -> FloatArray:
    """Space levels densely near the data, between the two ends of those trained; see ``karras_between``."""
    return karras_between(levels.sigma_max, levels.sigma_min, steps, rho=rho)


def karras_between(sigma_max: float, sigma_min: float, steps: int, *, rho: float = 7.0) -> FloatArray:
    """Space levels densely near the data.

    Args:
        sigma_max: The first level.
        sigma_min: The last level above 0.
        steps: Number of levels above 0, ≥ 1.
        rho: Curvature; 1 is linear, larger spends more steps at low noise.

    Source: Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """
    sigmas: FloatArray = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps) ** rho
    return sigmas


def exponential(levels: TrainedLevels, steps: int) -> FloatArray:
    """Space levels evenly in log(sigma), between the two ends of those trained; see ``exponential_between``."""
    return np.exp(np.linspace(levels.log_sigmas[-1], levels.log_sigmas[0], steps))


def exponential_between(sigma_max: float, sigma_min: float, steps: int) -> FloatArray:
    """Space levels evenly in log(sigma).

    Source: the uniform-logSNR grid of Lu et al. 2022, arXiv:2206.00927, section 3.2.
    """
    return np.exp(np.linspace(np.log(sigma_max), np.log(sigma_min), steps))


def beta(levels: TrainedLevels, steps: int, *, alpha_parameter: float = 0.6, beta_parameter: float = 0.6) -> FloatArray:
    """Space levels by the quantiles of a beta distribution over the timestep: densely at both ends.

    Timesteps are not rounded, so levels stay apart where the distribution crowds them.

    Source: Lee et al. 2024, "Beta Sampling is All You Need", arXiv:2407.12173.
    """
    quantiles = stats.beta.ppf(1 - np.arange(steps) / steps, alpha_parameter, beta_parameter)
    return levels.sigmas_at(quantiles * (len(levels) - 1))


SCHEDULES: Mapping[ScheduleName, Callable[[TrainedLevels, int], FloatArray]] = {
    "normal": normal,
    "karras": karras,
    "exponential": exponential,
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
}


def _too_many_steps(name: str, total: int, available: str) -> InputError:
    return InputError(
        "steps",
        f"schedule {name!r} would need {total} levels (steps / denoise), and has only {available}.",
        "Choose fewer steps, or the karras, exponential or sgm_uniform schedule.",
    )


def _unusable(reason: str) -> InputError:
    return InputError(
        "model",
        f"its scheduler configuration gives no noise levels: {reason}.",
        "Sampling works for models trained with betas (DDPM, Stable Diffusion) and for flows with a fixed shift.",
    )
