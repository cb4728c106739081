"""Samplers for flows: the same as for other models, those without randomness in the flow's own variables.

A flow's path ``y = (1 - t) data + t noise`` obeys ``dy / dt = (y - denoised) / t``, which is the equation that samplers
solve for ``x`` over ``sigma``. So those that only solve it may take y for x and t for sigma, from t = 1 on, where sigma
is infinite. Those that add noise on their way do it as x wants it; they run over ``x = y / (1 - t)`` and
``sigma = t / (1 - t)``, from a level at which what data adds to x is lost in rounding.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Sampler
from graphengine.errors import InputError

__all__ = ["flow_sampler"]

_SOLVERS = ("euler", "heun", "dpm_2", "lms", "dpmpp_2m", "ddim", "uni_pc")
_HIGHEST_WITH_NOISE = 4096.0
"""Steps subtract numbers of this size in float32; a higher one would cost more precision than it brings."""


def flow_sampler(name: str, x: Tensor, sigmas: Tensor, noise: Noise) -> Sampler:
    """Begin a run of one of our own samplers on a flow; it asks as on other models.

    Args:
        x: Unscaled data plus noise, at the first level.

    Raises:
        InputError: if the sampler can't begin in pure noise.
    """
    if name in _SOLVERS:
        return _in_time(name, x, sigmas, noise)
    if name == "dpm_2_ancestral":
        raise InputError(
            "sampler_name",
            "dpm_2_ancestral can't step away from the pure noise that a flow begins in.",
            "Choose another, such as euler_ancestral or dpmpp_2s_ancestral.",
        )
    first = float(sigmas[0])
    if first > _HIGHEST_WITH_NOISE:
        x = x * (_HIGHEST_WITH_NOISE / first)
    return SAMPLERS[name](x, sigmas.clamp(max=_HIGHEST_WITH_NOISE), noise)


def _in_time(name: str, x: Tensor, sigmas: Tensor, noise: Noise) -> Sampler:
    """Step over t, and ask for what is said at sigma."""
    times = sigmas.double()
    times = times / (1 + times)
    steps = SAMPLERS[name](x * (1 - times[0].item()), times, noise)
    ask = next(steps)
    while True:
        kept = 1 - ask.sigma
        answer = yield replace(ask, x=ask.x * (1 / kept), sigma=ask.sigma / kept)
        try:
            ask = steps.send(answer)
        except StopIteration as finished:
            result: Tensor = finished.value
            return result * (1 / (1 - times[-1].item()))
