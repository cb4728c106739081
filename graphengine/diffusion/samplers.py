"""Samplers: from noise to data, one function per published algorithm.

A sampler is a generator that never sees the model. It yields the points at which it needs the denoised estimate, is
sent the answer, and returns the result; the formulas stay as in the papers, in the variables of Karras et al. 2022
(arXiv:2206.00364): ``x = data + sigma * noise`` with unscaled data, and ``denoised`` the model's estimate of the data.
There the probability flow is ``dx / dsigma = (x - denoised) / sigma``, and a model of the variance preserving kind is
the same thing scaled: ``x / sqrt(1 + sigma^2)``.

    sampler = euler(x, sigmas, noise)
    ask = next(sampler)                      # Ask(x, sigma)
    ask = sampler.send(denoiser(ask))        # … until StopIteration carries the result

All take ``x`` ``[B, C, h, w]`` at level ``sigmas[0]``, ``sigmas`` ``[steps + 1]`` decreasing (usually to 0), and
``noise``, a function that draws standard normal noise like ``x``. Only samplers with randomness in them call it.

The last interval of a schedule ends at 0, where log(sigma) does not exist. Every sampler here but lms takes it with a
first-order step, which there gives x = denoised exactly; as that step starts at the smallest trained level, its error
is of the order of what the model can't resolve. So dpm_2 and uni_pc need no extra step and no level left out before 0,
as some programs do, which would cost a call of the model and end with one longer first-order step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, expm1, inf, log, sqrt
from typing import Literal

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Ask:
    """A sampler's request: what does the model say about ``x`` at this noise level?

    Attributes:
        x: ``[B, C, h, w]``; for ``denoised`` data plus ``sigma`` times noise, for ``raw`` just what the network sees.
        sigma: The noise level.
        want: ``denoised``, the estimate of the data; or ``raw``, the network's own output under guidance.
        timestep: For ``raw``, what the network is told, passed on as it is.
        within_step: A further evaluation of a step that an earlier request began.
    """

    x: Tensor
    sigma: float
    want: Literal["denoised", "raw"] = "denoised"
    timestep: Tensor | None = None
    within_step: bool = False


Sampler = Generator[Ask, Tensor, Tensor]
"""A run of a sampler: yields requests, is sent their answers, returns ``x`` at the last noise level."""

DrawNoise = Callable[[], Tensor]


def euler(
    x: Tensor,
    sigmas: Tensor,
    noise: DrawNoise,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = inf,
    s_noise: float = 1.0,
) -> Sampler:
    """Follow the probability flow by straight lines, optionally adding some noise back before each step.

    Args:
        s_churn: Amount of noise added back over all steps; 0 is deterministic.
        s_tmin: Lowest level at which noise is added back.
        s_tmax: Highest level at which noise is added back.
        s_noise: Standard deviation of that noise; slightly above 1 counters a loss of detail.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 2 without the second-order correction.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        churn = s_churn / (len(sigmas) - 1) if s_tmin <= sigma <= s_tmax else 0.0
        x, sigma_hat = _churned(x, sigma, churn, s_noise, noise)
        denoised = yield Ask(x, sigma_hat)
        d = (x - denoised) / sigma_hat
        x = x + d * (sigma_next - sigma_hat)
    return x


def heun(
    x: Tensor,
    sigmas: Tensor,
    noise: DrawNoise,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = inf,
    s_noise: float = 1.0,
) -> Sampler:
    """Correct each Euler step with the slope at its end (second order, two evaluations a step).

    Args: as for ``euler``.

    Source: Karras et al. 2022, arXiv:2206.00364, algorithm 2.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        churn = s_churn / (len(sigmas) - 1) if s_tmin <= sigma <= s_tmax else 0.0
        x, sigma_hat = _churned(x, sigma, churn, s_noise, noise)
        denoised = yield Ask(x, sigma_hat)
        d = (x - denoised) / sigma_hat
        x_next = x + d * (sigma_next - sigma_hat)
        if sigma_next > 0:
            denoised_next = yield Ask(x_next, sigma_next, within_step=True)
            d_next = (x_next - denoised_next) / sigma_next
            x_next = x + (d + d_next) * (0.5 * (sigma_next - sigma_hat))
        x = x_next
    return x


def dpm_2(
    x: Tensor,
    sigmas: Tensor,
    noise: DrawNoise,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = inf,
    s_noise: float = 1.0,
) -> Sampler:
    """Take each step with the slope at its middle in log(sigma) (second order, two evaluations a step).

    Args: as for ``euler``.

    Source: DPM-Solver-2, Lu et al. 2022, arXiv:2206.00927, algorithm 1; noise is added back as in ``heun``.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        churn = s_churn / (len(sigmas) - 1) if s_tmin <= sigma <= s_tmax else 0.0
        x, sigma_hat = _churned(x, sigma, churn, s_noise, noise)
        x = yield from midpoint_step(x, sigma_hat, sigma_next)
    return x


def euler_ancestral(x: Tensor, sigmas: Tensor, noise: DrawNoise, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampler:
    """Step below the next level by Euler's method, then add noise up to it.

    Args:
        eta: Share of the level that is fresh noise; 0 is deterministic, 1 the posterior's variance.
        s_noise: Standard deviation of the noise added, 1 as published.

    Source: ancestral sampling, Ho et al. 2020, arXiv:2006.11239, for unscaled data as in Song et al. 2021,
    arXiv:2011.13456, appendix F.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        sigma_down, sigma_up = _ancestral(sigma, sigma_next, eta)
        denoised = yield Ask(x, sigma)
        d = (x - denoised) / sigma
        x = x + d * (sigma_down - sigma)
        x = _with_noise(x, sigma_up * s_noise, noise)
    return x


def dpm_2_ancestral(x: Tensor, sigmas: Tensor, noise: DrawNoise, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampler:
    """Step below the next level as ``dpm_2`` does, then add noise up to it.

    Args: as for ``euler_ancestral``.

    Source: as for ``dpm_2`` and ``euler_ancestral``.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        sigma_down, sigma_up = _ancestral(sigma, sigma_next, eta)
        x = yield from midpoint_step(x, sigma, sigma_down)
        x = _with_noise(x, sigma_up * s_noise, noise)
    return x


def lms(x: Tensor, sigmas: Tensor, noise: DrawNoise, *, order: int = 4) -> Sampler:
    """Extrapolate the slopes of the last steps by a polynomial in sigma (linear multistep, one evaluation a step).

    Args:
        order: How many slopes are used once there are as many, ≥ 1.

    Source: Adams-Bashforth methods on uneven grids, Hairer, Nørsett & Wanner 1993, section III.5; as "PLMS" with equal
    steps in Liu et al. 2022, arXiv:2202.09778.
    """
    levels = sigmas.tolist()
    slopes: list[Tensor] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        denoised = yield Ask(x, sigma)
        slopes = [(x - denoised) / sigma, *slopes][:order]
        past = levels[i::-1][: len(slopes)]
        for slope, weight in zip(slopes, _multistep_weights(past, sigma_next), strict=True):
            x = x + slope * weight
    return x


def dpmpp_2s_ancestral(
    x: Tensor, sigmas: Tensor, noise: DrawNoise, *, eta: float = 1.0, s_noise: float = 1.0
) -> Sampler:
    """Step below the next level by DPM-Solver++(2S), then add noise up to it (two evaluations a step).

    Args: as for ``euler_ancestral``; with ``eta`` 0 it is DPM-Solver++(2S) itself.

    Source: Lu et al. 2022, arXiv:2211.01095, algorithm 1 with r = 1/2.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        sigma_down, sigma_up = _ancestral(sigma, sigma_next, eta)
        denoised = yield Ask(x, sigma)
        if sigma_down > 0:
            sigma_mid = sqrt(sigma * sigma_down)
            x_mid = _towards(denoised, x, sigma_mid / sigma)
            denoised = yield Ask(x_mid, sigma_mid, within_step=True)
        x = _towards(denoised, x, sigma_down / sigma)
        x = _with_noise(x, sigma_up * s_noise, noise)
    return x


def dpmpp_2m(x: Tensor, sigmas: Tensor, noise: DrawNoise) -> Sampler:
    """Extrapolate the last two denoised estimates linearly in log(sigma) (second order, one evaluation a step).

    Source: DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, algorithm 2.
    """
    denoised_old, h_old = None, 0.0
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = yield Ask(x, sigma)
        h = log(sigma / sigma_next) if sigma_next > 0 else inf
        estimate = denoised
        if denoised_old is not None and sigma_next > 0:
            r = h_old / h
            estimate = denoised + (denoised - denoised_old) / (2 * r)
        x = _towards(estimate, x, sigma_next / sigma)
        denoised_old, h_old = denoised, h
    return x


def dpmpp_2m_sde(
    x: Tensor,
    sigmas: Tensor,
    noise: DrawNoise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
) -> Sampler:
    """Solve the reverse diffusion with DPM-Solver++(2M)'s extrapolation and fresh noise in each step.

    Args:
        eta: Strength of the noise; 0 is ``dpmpp_2m``.
        s_noise: Standard deviation of the noise added, 1 as published.
        solver_type: How the extrapolated part is weighted over a step.

    Source: SDE-DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, section 5 and appendix B; for eta other than 1 the
    family of reverse processes of Karras et al. 2022, arXiv:2206.00364, eq. 6.
    """
    denoised_old, h_old = None, 0.0
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = yield Ask(x, sigma)
        if sigma_next == 0:
            return denoised
        h = log(sigma / sigma_next)
        decay = -expm1(-h - eta * h)
        x = x * (sigma_next / sigma * exp(-eta * h)) + denoised * decay
        if denoised_old is not None:
            r = h_old / h
            weight = decay / 2 if solver_type == "midpoint" else 1 - decay / (h + eta * h)
            x = x + (denoised - denoised_old) * (weight / r)
        x = _with_noise(x, sigma_next * sqrt(-expm1(-2 * eta * h)) * s_noise, noise)
        denoised_old, h_old = denoised, h
    return x


def dpmpp_sde(x: Tensor, sigmas: Tensor, noise: DrawNoise, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampler:
    """Solve the reverse diffusion by DPM-Solver++(2S) with fresh noise at the middle and the end of each step.

    Both noises of a step are increments of one Brownian path: the noise of the whole step contains that of its first
    half. With eta 1 the noise gathered by level sigma is ``sigma^2`` times a Brownian motion in ``1 / sigma^2``, so the
    two independent draws are combined by the lengths of the two halves in that time.

    Args: as for ``euler_ancestral``.

    Source: the stochastic DPM-Solver++(2S), Lu et al. 2022, arXiv:2211.01095, with r = 1/2 in log(sigma).
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = yield Ask(x, sigma)
        if sigma_next == 0:
            return denoised
        sigma_mid = sqrt(sigma * sigma_next)
        first, second = (1 / sigma_mid**2 - 1 / sigma**2), (1 / sigma_next**2 - 1 / sigma_mid**2)
        noise_mid, noise_rest = noise(), noise()
        noise_whole = (noise_mid * sqrt(first) + noise_rest * sqrt(second)) / sqrt(first + second)

        sigma_down, sigma_up = _ancestral(sigma, sigma_mid, eta)
        x_mid = _towards(denoised, x, sigma_down / sigma) + noise_mid * (sigma_up * s_noise)
        denoised_mid = yield Ask(x_mid, sigma_mid, within_step=True)

        sigma_down, sigma_up = _ancestral(sigma, sigma_next, eta)
        x = _towards(denoised_mid, x, sigma_down / sigma) + noise_whole * (sigma_up * s_noise)
    return x


def ddim(x: Tensor, sigmas: Tensor, noise: DrawNoise, *, eta: float = 0.0) -> Sampler:
    """Move to the next level along the predicted noise, with a share of it drawn afresh.

    The paper's sigma_t is, in unscaled variables, that of ancestral sampling: eta 0 walks as ``euler``, 1 as ``ddpm``.

    Args:
        eta: Share of the level that is fresh noise, 0…1.

    Source: Song et al. 2021, arXiv:2010.02502, eqs. 12 and 16.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        sigma_down, sigma_up = _ancestral(sigma, sigma_next, eta)
        denoised = yield Ask(x, sigma)
        eps = (x - denoised) / sigma
        x = denoised + eps * sigma_down
        x = _with_noise(x, sigma_up, noise)
    return x


def ddpm(x: Tensor, sigmas: Tensor, noise: DrawNoise) -> Sampler:
    """Draw each level from its posterior, given this one and the estimated data.

    Source: Ho et al. 2020, arXiv:2006.11239, eqs. 6 and 7 in unscaled variables, with the variance beta-tilde.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = yield Ask(x, sigma)
        kept = (sigma_next / sigma) ** 2
        x = _towards(denoised, x, kept)
        x = _with_noise(x, sigma_next * sqrt(1 - kept), noise)
    return x


def lcm(x: Tensor, sigmas: Tensor, noise: DrawNoise) -> Sampler:
    """Jump to the estimated data, then add fresh noise up to the next level; for consistency models.

    Source: multistep consistency sampling, Song et al. 2023, arXiv:2303.01469, algorithm 1; Luo et al. 2023,
    arXiv:2310.04378.
    """
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        denoised = yield Ask(x, sigma)
        x = _with_noise(denoised, sigma_next, noise)
    return x


def uni_pc(
    x: Tensor, sigmas: Tensor, noise: DrawNoise, *, order: int = 3, variant: Literal["bh1", "bh2"] = "bh1"
) -> Sampler:
    """Predict each step from past estimates, and correct it with the next one (one evaluation a step).

    Args:
        order: Order of the predictor, 1…3 are of use; lower in the first steps, and in the last ones for stability.
        variant: B(h) = h, or exp(h) - 1 (better with few steps and strong guidance).

    Source: UniPC-p in its data prediction form, Zhao et al. 2023, arXiv:2302.04867, algorithms 1, 2 and 7.
    """
    levels = sigmas.tolist()
    steps = len(levels) - 1
    estimates: list[Tensor] = []  # newest first
    x_before, order_before = x, 0
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        denoised = yield Ask(x, sigma)
        if i > 0:
            past = levels[i - 1 :: -1][:order_before]
            x = _unified_step(x_before, past, sigma, [*estimates[:order_before], denoised], variant=variant)
        estimates = [denoised, *estimates][:order]
        x_before, order_before = x, min(order, i + 1, steps - i)
        past = levels[i::-1][:order_before]
        x = _unified_step(x, past, sigma_next, estimates[:order_before], variant=variant)
    return x


def _unified_step(
    x: Tensor, past: Sequence[float], sigma_next: float, estimates: Sequence[Tensor], *, variant: str
) -> Tensor:
    """Go from level ``past[0]`` to ``sigma_next`` as in UniPC; a further estimate, at ``sigma_next``, makes it UniC.

    In the variables here alpha is 1 and lambda is -log(sigma). Written ``m_k`` for the estimates and ``r_k`` for their
    places, 0 at the start of the step and 1 at its end, the step is that of DDIM plus a combination of the differences:

        x_next = (sigma_next / sigma) x - (e^-h - 1) m_0 - B(h) sum_k rho_k (m_k - m_0) / r_k

    with rho from the linear system of the paper's theorem 3.1, ``sum_k r_k^(n-1) rho_k = n! phi_(n+1)(-h) / B(h)``.
    """
    sigma = past[0]
    newest = estimates[0]
    base = _towards(newest, x, sigma_next / sigma)
    if len(estimates) == 1 or sigma_next == 0:
        return base
    h = log(sigma / sigma_next)
    places = [log(sigma / level) / h for level in past[1:]]
    if len(estimates) > len(past):
        places.append(1.0)
    scale = -h if variant == "bh1" else expm1(-h)
    for place, estimate, rho in zip(places, estimates[1:], _unified_weights(h, places, scale), strict=True):
        base = base - (estimate - newest) * (scale * rho / place)
    return base


def _unified_weights(h: float, places: Sequence[float], scale: float) -> list[float]:
    """Solve for rho; a single unknown has the value 1/2, which is of the same order and stable (paper, section 3.4)."""
    if len(places) == 1:
        return [0.5]
    rows, right = [], []
    phi, factorial = expm1(-h) / -h - 1, 1.0
    for n in range(len(places)):
        rows.append([place**n for place in places])
        right.append(phi * factorial / scale)
        factorial *= n + 2
        phi = phi / -h - 1 / factorial
    rhos: list[float] = np.linalg.solve(np.array(rows), np.array(right)).tolist()
    return rhos


def midpoint_step(x: Tensor, sigma: float, sigma_next: float) -> Generator[Ask, Tensor, Tensor]:
    """Take one step of DPM-Solver-2; of Euler's method if it ends at 0."""
    denoised = yield Ask(x, sigma)
    d = (x - denoised) / sigma
    if sigma_next == 0:
        return x + d * (sigma_next - sigma)
    sigma_mid = sqrt(sigma * sigma_next)
    x_mid = x + d * (sigma_mid - sigma)
    denoised_mid = yield Ask(x_mid, sigma_mid, within_step=True)
    d_mid = (x_mid - denoised_mid) / sigma_mid
    return x + d_mid * (sigma_next - sigma)


def _towards(denoised: Tensor, x: Tensor, kept: float) -> Tensor:
    """Keep a share of x, and take the rest from the estimate: ``kept * x + (1 - kept) * denoised``."""
    return x * kept + denoised * (1 - kept)


def _with_noise(x: Tensor, scale: float, noise: DrawNoise) -> Tensor:
    """Add fresh noise; draws none where there is none to add, so that a deterministic setting stays so."""
    return x + noise() * scale if scale > 0 else x


def _churned(x: Tensor, sigma: float, churn: float, s_noise: float, noise: DrawNoise) -> tuple[Tensor, float]:
    """Raise x to a higher noise level: Karras et al. 2022, algorithm 2, lines 4-6."""
    gamma = min(churn, sqrt(2) - 1)
    sigma_hat = sigma * (1 + gamma)
    return _with_noise(x, sqrt(sigma_hat**2 - sigma**2) * s_noise, noise), sigma_hat


def _ancestral(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Split the next level into what is stepped to and what is added as noise: down^2 + up^2 = next^2."""
    posterior = sigma_next * sqrt(1 - (sigma_next / sigma) ** 2)
    sigma_up = min(sigma_next, eta * posterior)
    return sqrt(sigma_next**2 - sigma_up**2), sigma_up


def _multistep_weights(past: Sequence[float], sigma_next: float) -> list[float]:
    """Integrate from ``past[0]`` to ``sigma_next`` the polynomials that are 1 at one past level and 0 at the others."""
    nodes, weights = np.polynomial.legendre.leggauss(len(past))  # exact for these degrees
    half = (sigma_next - past[0]) / 2
    at = past[0] + half * (nodes + 1)
    integrals = []
    for j, level in enumerate(past):
        others = [other for k, other in enumerate(past) if k != j]
        values = np.prod([(at - other) / (level - other) for other in others], axis=0)
        integrals.append(float(half * np.sum(weights * values)))
    return integrals


SAMPLERS: Mapping[str, Callable[..., Sampler]] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpm_2": dpm_2,
    "dpm_2_ancestral": dpm_2_ancestral,
    "lms": lms,
    "dpmpp_2s_ancestral": dpmpp_2s_ancestral,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "dpmpp_sde": dpmpp_sde,
    "ddim": ddim,
    "ddpm": ddpm,
    "uni_pc": uni_pc,
    "lcm": lcm,
}
