from __future__ import annotations

from typing import Any, get_args

import diffusers
import numpy as np
import pytest
import torch

from graphengine.diffusion.schedules import SCHEDULES, TrainedLevels, sampling_sigmas
from graphengine.errors import InputError
from graphengine.types import ScheduleName

STABLE_DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
FEW = {"num_train_timesteps": 50}
ZERO_SNR = {**STABLE_DIFFUSION, "rescale_betas_zero_snr": True}
CONFIGS = [
    pytest.param(STABLE_DIFFUSION, id="stable-diffusion"),
    pytest.param(COSINE, id="cosine"),
    pytest.param(ZERO_SNR, id="zero-snr"),
]

# From diffusers itself. It turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")


def test_names_are_those_of_the_socket() -> None:
    assert tuple(SCHEDULES) == get_args(ScheduleName)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 400])
def test_levels_fall_strictly_to_zero(name: ScheduleName, config: dict[str, object], steps: int) -> None:
    sigmas = sampling_sigmas(TrainedLevels.of(config), name, steps=steps)
    assert sigmas.shape == (steps + 1,)
    assert (sigmas.dtype, sigmas.device.type) == (torch.float32, "cpu")
    assert bool((sigmas.diff() < 0).all())
    assert sigmas[-1] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_denoise_runs_the_end_of_a_longer_schedule(name: ScheduleName) -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    part = sampling_sigmas(levels, name, steps=6, denoise=0.4)
    assert torch.equal(part, sampling_sigmas(levels, name, steps=15)[-7:])


@pytest.mark.parametrize("name", ["normal", "karras", "exponential", "sgm_uniform", "beta"])
def test_more_steps_than_trained_levels_repeat_none(name: ScheduleName) -> None:
    sigmas = sampling_sigmas(TrainedLevels.of(FEW), name, steps=333)
    assert len(set(sigmas.tolist())) == 334


@pytest.mark.parametrize(("name", "most"), [("simple", 50), ("ddim_uniform", 49)])
def test_schedules_of_whole_timesteps_refuse_more_than_there_are(name: ScheduleName, most: int) -> None:
    levels = TrainedLevels.of(FEW)
    assert len(set(sampling_sigmas(levels, name, steps=most).tolist())) == most + 1
    with pytest.raises(InputError, match=f"'{name}' would need {most + 1} levels .* has only {most} trained"):
        sampling_sigmas(levels, name, steps=most + 1)


def scheduler_sigmas(class_name: str, **options: object) -> torch.Tensor:
    # Any: diffusers is untyped
    scheduler: Any = getattr(diffusers, class_name)(**STABLE_DIFFUSION, **options)
    scheduler.set_timesteps(20)
    sigmas: torch.Tensor = scheduler.sigmas
    return sigmas.float()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("normal", {"timestep_spacing": "linspace"}),
        ("simple", {"timestep_spacing": "trailing"}),
        ("ddim_uniform", {"timestep_spacing": "leading", "steps_offset": 1}),
        ("karras", {"use_karras_sigmas": True}),
        ("exponential", {"use_exponential_sigmas": True}),
    ],
)
def test_levels_equal_those_of_diffusers(name: ScheduleName, options: dict[str, object]) -> None:
    ours = sampling_sigmas(TrainedLevels.of(STABLE_DIFFUSION), name, steps=20)
    torch.testing.assert_close(ours, scheduler_sigmas("EulerDiscreteScheduler", **options), rtol=2e-3, atol=0)


def test_sgm_uniform_is_normal_without_its_last_level() -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    longer = sampling_sigmas(levels, "normal", steps=21)
    assert torch.equal(sampling_sigmas(levels, "sgm_uniform", steps=20)[:-1], longer[:-2])


def test_karras_follows_equation_5() -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    sigmas = sampling_sigmas(levels, "karras", steps=5)
    assert sigmas[0].item() == pytest.approx(14.6146, abs=1e-4)  # Stable Diffusion's published range of levels
    assert sigmas[4].item() == pytest.approx(0.0292, abs=1e-4)
    middle = ((14.6146 ** (1 / 7) + 0.0292 ** (1 / 7)) / 2) ** 7
    assert sigmas[2].item() == pytest.approx(middle, rel=1e-3)


def test_beta_crowds_both_ends() -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    sigmas = sampling_sigmas(levels, "beta", steps=21)[:-1]
    gaps = np.diff([-levels.timestep(sigma) for sigma in sigmas.tolist()])
    assert gaps[0] < gaps[10] > gaps[-1]
    # The distribution with equal parameters is symmetric, so the middle quantile is the middle timestep.
    assert levels.timestep(sampling_sigmas(levels, "beta", steps=2)[1].item()) == pytest.approx(499.5, abs=1e-2)


@pytest.mark.parametrize("timestep", [0, 0.25, 17.5, 998.75, 999])
def test_timestep_of_a_level_undoes_the_level_of_a_timestep(timestep: float) -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    assert levels.timestep(levels.sigma(timestep)) == pytest.approx(timestep, abs=1e-6)


def test_trained_levels_are_the_published_formula() -> None:
    alphas = diffusers.DDPMScheduler(**STABLE_DIFFUSION).alphas_cumprod.double()
    expected = ((1 - alphas) / alphas).sqrt()
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    assert len(levels) == 1000
    assert [levels.sigma(t) for t in (0, 500, 999)] == pytest.approx([expected[t].item() for t in (0, 500, 999)])


def test_zero_terminal_snr_gets_a_finite_highest_level() -> None:
    assert TrainedLevels.of(ZERO_SNR).sigma_max == pytest.approx(4096, rel=1e-3)


def test_levels_beyond_the_trained_ones_count_as_the_nearest_end() -> None:
    levels = TrainedLevels.of(STABLE_DIFFUSION)
    assert (levels.timestep(1e-6), levels.timestep(1e6)) == (0, 999)


@pytest.mark.parametrize(
    ("given", "wrong_input", "message"),
    [
        ({"steps": 0}, "steps", "0 is too small"),
        ({"denoise": 0.0}, "denoise", "0.0 is out of range"),
        ({"denoise": 1.5}, "denoise", "1.5 is out of range"),
        ({"denoise": 1e-7}, "denoise", "need a grid of 200000000 steps"),
        ({"name": "linear"}, "scheduler", "there is no schedule 'linear'"),
    ],
)
def test_values_out_of_range_are_refused(given: dict[str, Any], wrong_input: str, message: str) -> None:
    arguments = {"name": "normal", "steps": 20, **given}
    with pytest.raises(InputError, match=message) as caught:
        sampling_sigmas(TrainedLevels.of(STABLE_DIFFUSION), **arguments)
    assert caught.value.input == wrong_input


@pytest.mark.parametrize(
    "config", [{"beta_schedule": "no such"}, {"trained_betas": [0.0, 0.0, 0.0]}], ids=["unknown", "flat"]
)
def test_configurations_without_levels_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(InputError, match="gives no noise levels"):
        TrainedLevels.of(config)
