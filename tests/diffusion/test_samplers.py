"""Every sampler against mathematics, and where it has one, against its counterpart in diffusers.

Gaussian data has a closed-form denoiser and flow (``gaussian.py``), so the order at which a sampler's error falls can
be measured. With mean 0 that denoiser is linear: x can then be written as a vector of coefficients, one for each
independent draw of noise, and its variance is exactly the sum of their squares, without drawing anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from itertools import count
from math import log2, sqrt
from typing import Any, NoReturn, get_args

import diffusers
import pytest
import torch
from torch import Tensor

from graphengine.diffusion import samplers
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Ask, Sampler
from graphengine.diffusion.sampling_run import drive
from graphengine.diffusion.scheduler_samplers import FLOW_SCHEDULER_CLASSES, PREFIX, SCHEDULER_CLASSES
from graphengine.types import SamplerName
from tests.diffusion.gaussian import Gaussian, levels_between

# From diffusers itself. It turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")


def no_noise() -> NoReturn:
    raise AssertionError("a deterministic sampler drew noise")


def ignore_step(ask: Ask, answer: Tensor) -> None:
    pass


def test_names_are_those_of_the_socket() -> None:
    schedulers = sorted(PREFIX + name for name in (*SCHEDULER_CLASSES, *FLOW_SCHEDULER_CLASSES))
    assert [*SAMPLERS, *schedulers] == list(get_args(SamplerName))


DETERMINISTIC = {
    "euler": (samplers.euler, 1),
    "ddim": (samplers.ddim, 1),
    "euler_ancestral, eta 0": (partial(samplers.euler_ancestral, eta=0.0), 1),
    "lms, order 1": (partial(samplers.lms, order=1), 1),
    "lms, order 2": (partial(samplers.lms, order=2), 2),
    "heun": (samplers.heun, 2),
    "dpm_2": (samplers.dpm_2, 2),
    "dpm_2_ancestral, eta 0": (partial(samplers.dpm_2_ancestral, eta=0.0), 2),
    "dpmpp_2s_ancestral, eta 0": (partial(samplers.dpmpp_2s_ancestral, eta=0.0), 2),
    "dpmpp_2m": (samplers.dpmpp_2m, 2),
    "dpmpp_2m_sde, eta 0": (partial(samplers.dpmpp_2m_sde, eta=0.0), 2),
    "dpmpp_2m_sde, eta 0, heun": (partial(samplers.dpmpp_2m_sde, eta=0.0, solver_type="heun"), 2),
    "uni_pc, order 1": (partial(samplers.uni_pc, order=1), 2),  # the corrector adds an order
    "uni_pc": (samplers.uni_pc, 2),  # its first and last steps are of lower order
    "uni_pc, bh2": (partial(samplers.uni_pc, variant="bh2"), 2),
    "lms": (samplers.lms, 3),  # order 4 but for its first steps
}


@pytest.mark.parametrize(("sampler", "order"), DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_error_falls_at_the_order_of_the_method(sampler: Callable[..., Sampler], order: int) -> None:
    data = Gaussian()
    x = torch.tensor([3.0, -9.0], dtype=torch.float64)

    def error(steps: int) -> float:
        result = data.run(sampler(x, levels_between(10, 0.1, steps), no_noise))
        return (result - data.flow(x, 10, 0.1)).abs().max().item()

    assert log2(error(80) / error(160)) == pytest.approx(order, abs=0.15)


STOCHASTIC = {
    "euler_ancestral": (samplers.euler_ancestral, 1),
    "ddpm": (samplers.ddpm, 1),
    "ddim, eta 1": (partial(samplers.ddim, eta=1.0), 1),
    "ddim, eta 0.5": (partial(samplers.ddim, eta=0.5), 1),
    "dpm_2_ancestral": (samplers.dpm_2_ancestral, 2),
    "dpmpp_2s_ancestral": (samplers.dpmpp_2s_ancestral, 2),
    "dpmpp_2m_sde": (samplers.dpmpp_2m_sde, 2),
    "dpmpp_2m_sde, heun": (partial(samplers.dpmpp_2m_sde, solver_type="heun"), 2),
    "dpmpp_2m_sde, eta 0.5": (partial(samplers.dpmpp_2m_sde, eta=0.5), 2),
    "dpmpp_sde": (samplers.dpmpp_sde, 2),
    "dpmpp_sde, eta 0.5": (partial(samplers.dpmpp_sde, eta=0.5), 2),
    "euler, churn": (partial(samplers.euler, s_churn=2.0), 1),
    "heun, churn": (partial(samplers.heun, s_churn=2.0), 2),
    "dpm_2, churn": (partial(samplers.dpm_2, s_churn=2.0), 2),
}


@pytest.mark.parametrize(("sampler", "order"), STOCHASTIC.values(), ids=STOCHASTIC)
def test_variance_approaches_the_datas_at_the_order_of_the_method(sampler: Callable[..., Sampler], order: int) -> None:
    data = Gaussian(mean=0.0)

    def error(steps: int) -> float:
        draws = count(1)
        unit = torch.eye(2 * steps + 2, dtype=torch.float64)
        x = unit[0] * sqrt(data.std**2 + 10**2)
        result = data.run(sampler(x, levels_between(10, 0.1, steps), lambda: unit[next(draws)]))
        assert next(draws) > steps  # a draw in each step at least
        return abs(result.square().sum().item() - (data.std**2 + 0.1**2))

    assert log2(error(80) / error(160)) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    "name", ["euler_ancestral", "ddpm", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m_sde", "dpmpp_sde"]
)
def test_mean_and_variance_of_ten_thousand_samples(name: str) -> None:
    data, size = Gaussian(), 10_000
    noise = Noise(11, (1, 1, 100, 100), dtype=torch.float64)
    # Steps fine enough that the method's own error is a tenth of the standard errors; see the orders above.
    steps = 600 if name in {"euler_ancestral", "ddpm"} else 150
    sigmas = torch.cat([levels_between(10, 0.02, steps), torch.zeros(1)])
    x = data.mean + noise() * sqrt(data.std**2 + 10**2)
    result = data.run(SAMPLERS[name](x, sigmas, noise))
    assert abs(result.mean().item() - data.mean) < 3 * data.std / sqrt(size)
    assert abs(result.var().item() - data.std**2) < 3 * data.std**2 * sqrt(2 / size)


def test_lcm_jumps_to_the_data_and_back_into_noise() -> None:
    data = Gaussian()
    first, second = torch.tensor([0.3]), torch.tensor([-1.1])
    draws = iter([first, second])
    result = data.run(samplers.lcm(torch.tensor([20.0]), torch.tensor([8.0, 3.0, 1.0, 0.0]), lambda: next(draws)))
    x = data.denoised(torch.tensor([20.0]), 8.0) + 3 * first
    x = data.denoised(x, 3.0) + 1 * second
    assert torch.equal(result, data.denoised(x, 1.0))


@pytest.mark.parametrize("name", SAMPLERS)
def test_schedule_that_ends_at_zero_ends_on_the_data(name: str) -> None:
    """Where every estimate is the same picture, every sampler returns it, without infinities in the last interval."""
    picture = torch.tensor([0.25, -0.75])
    noise = Noise(0, (1, 2))
    sampler = SAMPLERS[name](torch.tensor([[5.0, -7.0]]), torch.tensor([10.0, 4.0, 1.0, 0.2, 0.0]), noise)
    result = drive(sampler, lambda ask: picture.expand_as(ask.x), ignore_step)
    torch.testing.assert_close(result[0], picture, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_step_begins_with_one_request_at_its_level(name: str) -> None:
    sigmas = [10.0, 4.0, 1.0, 0.2, 0.0]
    asks: list[Ask] = []

    def answer(ask: Ask) -> Tensor:
        asks.append(ask)
        return Gaussian().answer(ask)

    drive(SAMPLERS[name](torch.zeros(1, 2), torch.tensor(sigmas), Noise(0, (1, 2))), answer, ignore_step)
    assert [ask.sigma for ask in asks if not ask.within_step] == pytest.approx(sigmas[:-1])
    calls = 2 if name in {"heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde"} else 1
    assert len(asks) == 3 * calls + 1  # the last interval, to 0, takes one


@pytest.mark.parametrize("name", ["euler", "heun", "dpm_2"])
def test_churn_keeps_to_its_range_of_levels(name: str) -> None:
    sigmas = torch.tensor([10.0, 4.0, 1.0, 0.0])
    asks: list[float] = []

    def answer(ask: Ask) -> Tensor:
        asks.append(ask.sigma)
        return ask.x

    sampler = SAMPLERS[name](torch.zeros(1, 2), sigmas, Noise(0, (1, 2)), s_churn=0.9, s_tmin=2.0, s_tmax=5.0)
    drive(sampler, answer, ignore_step)
    assert 10.0 in asks
    assert any(sigma == pytest.approx(4.0 * 1.3) for sigma in asks)  # s_churn / 3 steps
    assert 1.0 in asks


def test_s_noise_scales_the_noise() -> None:
    """Where the estimate is 0, x after one ancestral step is the noise alone plus a known share of x."""
    one = torch.ones(1)

    def step(**options: float) -> float:
        sampler = samplers.euler_ancestral(torch.zeros(1), torch.tensor([2.0, 1.0]), lambda: one, **options)
        return drive(sampler, lambda ask: torch.zeros(1), ignore_step).item()

    assert step() == pytest.approx(sqrt(1 - 1 / 4))
    assert step(s_noise=1.5) == pytest.approx(1.5 * step())
    assert step(eta=0.5) == pytest.approx(0.5 * step())


TRAINED: dict[str, Any] = {
    "num_train_timesteps": 200,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.004,
    "beta_end": 0.06,
}
DPM: dict[str, object] = {"timestep_spacing": "linspace"}
COUNTERPARTS: dict[str, tuple[Callable[..., Sampler], str, dict[str, object]]] = {
    "euler": (samplers.euler, "EulerDiscreteScheduler", {}),
    "euler_ancestral": (samplers.euler_ancestral, "EulerAncestralDiscreteScheduler", {}),
    "heun": (samplers.heun, "HeunDiscreteScheduler", {}),
    "dpm_2": (samplers.dpm_2, "KDPM2DiscreteScheduler", {}),
    "dpm_2_ancestral": (samplers.dpm_2_ancestral, "KDPM2AncestralDiscreteScheduler", {}),
    "lms": (samplers.lms, "LMSDiscreteScheduler", {}),
    "dpmpp_2m": (samplers.dpmpp_2m, "DPMSolverMultistepScheduler", DPM),
    "dpmpp_2m, karras": (samplers.dpmpp_2m, "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpmpp_2m_sde": (
        samplers.dpmpp_2m_sde,
        "DPMSolverMultistepScheduler",
        {**DPM, "algorithm_type": "sde-dpmsolver++"},
    ),
    "dpmpp_2m_sde, heun": (
        partial(samplers.dpmpp_2m_sde, solver_type="heun"),
        "DPMSolverMultistepScheduler",
        {**DPM, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
    ),
    "ddim": (samplers.ddim, "DDIMScheduler", {"clip_sample": False}),
    "ddpm": (samplers.ddpm, "DDPMScheduler", {"clip_sample": False}),
    "lcm": (samplers.lcm, "LCMScheduler", {"clip_sample": False}),
    "uni_pc": (samplers.uni_pc, "UniPCMultistepScheduler", {"solver_type": "bh1", "solver_order": 3}),
    "uni_pc, bh2": (
        partial(samplers.uni_pc, variant="bh2"),
        "UniPCMultistepScheduler",
        {"solver_type": "bh2", "solver_order": 3},
    ),
    "uni_pc, order 2": (
        partial(samplers.uni_pc, order=2, variant="bh2"),
        "UniPCMultistepScheduler",
        {"solver_type": "bh2", "solver_order": 2},
    ),
}


@pytest.mark.parametrize(("sampler", "class_name", "options"), COUNTERPARTS.values(), ids=COUNTERPARTS)
def test_every_request_and_the_result_equal_diffusers_on_equal_levels(
    sampler: Callable[..., Sampler], class_name: str, options: dict[str, object]
) -> None:
    # Any: diffusers is untyped
    scheduler: Any = getattr(diffusers, class_name)(**TRAINED, **options)
    scheduler.set_timesteps(10)
    levels = levels_of_requests(scheduler)
    start = Noise(5, (2, 4, 4, 4))() * sqrt(1 + levels[0] ** 2)
    theirs = run_scheduler(scheduler, levels, start)

    sigmas = torch.tensor([*levels[:: scheduler.order], 0.0])
    ours: list[Tensor] = []

    def answer(ask: Ask) -> Tensor:
        ours.append(ask.x)
        return Gaussian().answer(ask)

    ours.append(drive(sampler(start, sigmas, Noise(77, start.shape)), answer, ignore_step))
    if options.get("solver_type") == "bh1":  # its B(h) is infinite in the last interval, and diffusers gives NaN
        assert theirs.pop().isnan().all()
        ours.pop()
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), rtol=0, atol=1e-4)


def test_dpmpp_2s_equals_diffusers_singlestep_solver_on_pairs_of_equal_levels() -> None:
    """That scheduler spends two of its levels on a step; with even log(sigma) the one between is the middle."""
    # Any: diffusers is untyped
    scheduler: Any = diffusers.DPMSolverSinglestepScheduler(
        **TRAINED, solver_order=2, use_exponential_sigmas=True, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(10)
    levels = levels_of_requests(scheduler)
    start = Noise(5, (2, 4, 4, 4))() * sqrt(1 + levels[0] ** 2)
    theirs = run_scheduler(scheduler, levels, start)[8]  # the last two levels get first-order steps
    solver = samplers.dpmpp_2s_ancestral(start, torch.tensor(levels[:9:2]), no_noise, eta=0.0)
    torch.testing.assert_close(Gaussian().run(solver), theirs, rtol=0, atol=1e-4)


def levels_of_requests(scheduler: Any) -> list[float]:  # Any: diffusers is untyped
    """Give the noise level at each of a scheduler's timesteps."""
    if not hasattr(scheduler, "sigmas"):
        alphas = scheduler.alphas_cumprod[scheduler.timesteps].double()
        return [float(level) for level in ((1 - alphas) / alphas).sqrt()]
    levels: list[float] = scheduler.sigmas[: len(scheduler.timesteps)].tolist()
    if hasattr(scheduler, "sigmas_interpol"):  # the middles of DPM-2, a place later in the one than in the other
        shift = 1 if hasattr(scheduler, "sigmas_up") else 0
        levels[1::2] = scheduler.sigmas_interpol[1 - shift :: 2][: len(levels[1::2])].tolist()
    return levels


def run_scheduler(scheduler: Any, levels: list[float], x: Tensor) -> list[Tensor]:  # Any: diffusers is untyped
    """Run a diffusers scheduler with the ideal denoiser; give x at each of its requests, unscaled, and its result."""
    is_scaled = scheduler.init_noise_sigma == 1  # it keeps x at unit variance
    named = {"generator": Noise(77, x.shape).generators}
    if "generator" not in inspect.signature(scheduler.step).parameters:
        named = {}
    requests = []
    for sigma, timestep in zip(levels, scheduler.timesteps, strict=True):
        requests.append(x)
        epsilon = (x - Gaussian().denoised(x, sigma)) / sigma
        kept = x / sqrt(1 + sigma**2) if is_scaled else x
        scheduler.scale_model_input(kept, timestep)  # finds its place in the schedule
        stepped = scheduler.step(epsilon, timestep, kept, return_dict=False, **named)[0]
        following = levels[len(requests)] if len(requests) < len(levels) else 0.0
        x = stepped * sqrt(1 + following**2) if is_scaled else stepped
    return [*requests, x]
