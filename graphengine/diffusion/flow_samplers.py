"""Samplers for flows: the same as for other models, those without randomness in the flow's own variables.

A flow's path ``y = (1 - t) data + t noise`` obeys ``dy / dt = (y - denoised) / t``, which is the equation that samplers
solve for ``x`` over ``sigma``. So those that only solve it may take y for x and t for sigma, from t = 1 on, where sigma
is infinite. Those that add noise on their way do it as x wants it; they run over ``x = y / (1 - t)`` and
``sigma = t / (1 - t)``, from a level at which what data adds to x is lost in rounding. That is too coarse a first step
for ``dpm_2_ancestral``: over t it has a form of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import sqrt

from torch import Tensor

from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Sampler, midpoint_step

__all__ = ["flow_sampler"]

_SOLVERS = ("euler", "heun", "dpm_2", "lms", "dpmpp_2m", "ddim", "uni_pc")
_HIGHEST_WITH_NOISE = 4096.0
"""Steps subtract numbers of this size in float32; a higher one would cost more precision than it brings."""


def flow_sampler(name: str, x: Tensor, sigmas: Tensor, noise: Noise) -> Sampler:
    """Begin a run of one of our own samplers on a flow; it asks as on other models.

    Args:
        x: Unscaled data plus noise, at the first level.
    """
    if name in _SOLVERS:
        return _in_time(SAMPLERS[name], x, sigmas, noise)
    if name == "dpm_2_ancestral":
        return _in_time(_dpm_2_ancestral, x, sigmas, noise)
    first = float(sigmas[0])
    if first > _HIGHEST_WITH_NOISE:
        x = x * (_HIGHEST_WITH_NOISE / first)
    return SAMPLERS[name](x, sigmas.clamp(max=_HIGHEST_WITH_NOISE), noise)


def _in_time(sampler: Callable[[Tensor, Tensor, Noise], Sampler], x: Tensor, sigmas: Tensor, noise: Noise) -> Sampler:
    """Step over t, and ask for what is said at sigma."""
    times = sigmas.double()
    times = times / (1 + times)
    steps = sampler(x * (1 - times[0].item()), times, noise)
    ask = next(steps)
    while True:
        kept = 1 - ask.sigma
        answer = yield replace(ask, x=ask.x * (1 / kept), sigma=ask.sigma / kept)
        try:
            ask = steps.send(answer)
        except StopIteration as finished:
            result: Tensor = finished.value
            return result * (1 / (1 - times[-1].item()))


def _dpm_2_ancestral(y: Tensor, times: Tensor, noise: Noise) -> Sampler:
    """Step below the next time as ``dpm_2`` does, by the share of the step before it, then add noise up to it.

    What is stepped to holds less noise and more data than the next time has; both are brought to their shares there.
    """
    for t, t_next in pairwise(times.tolist()):
        t_down = t_next**2 / t
        y = yield from midpoint_step(y, t, t_down)
        kept = (1 - t_next) / (1 - t_down)
        y = y * kept
        if t_next > 0:
            y = y + noise() * sqrt(t_next**2 - (t_down * kept) ** 2)
    return y
