from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import sigmas
from graphengine.diffusion.level_text import parse_levels
from graphengine.diffusion.samplers import SAMPLERS
from graphengine.diffusion.sigmas import WALK_UP, check_sigmas
from graphengine.errors import InputError
from graphengine.types import Sigmas
from tests.diffusion.gaussian import Gaussian, levels_between
from tests.diffusion.tiny_checkpoint import tiny_model


def test_schedules_without_a_model_end_where_they_are_told() -> None:
    for levels in (
        sigmas.karras(5, sigma_max=10, sigma_min=0.1, rho=7),
        sigmas.exponential(5, sigma_max=10, sigma_min=0.1),
    ):
        assert levels.shape == (6,)
        assert levels[[0, 4, 5]].tolist() == pytest.approx([10, 0.1, 0])
    straight = sigmas.karras(3, sigma_max=3, sigma_min=1, rho=1)
    assert straight.tolist() == pytest.approx([3, 2, 1, 0])
    even = sigmas.exponential(3, sigma_max=4, sigma_min=1)
    assert even.tolist() == pytest.approx([4, 2, 1, 0])


def test_no_denoising_takes_no_step() -> None:
    assert len(sigmas.of_model(tiny_model(), "karras", 20, 0)) == 0
    assert len(sigmas.of_model(tiny_model(), "karras", 20, 0.5)) == 21


def test_levels_are_read_from_text() -> None:
    assert parse_levels("14.6, 7\n 3.5,0") == [14.6, 7, 3.5, 0]
    assert parse_levels("0.1 2 10") == [0.1, 2, 10]
    assert parse_levels(" ") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("14, x, 0", "'x' is not a number"),
        ("14, -1", "-1 is no noise level"),
        ("nan 1", "nan is no noise level"),
        ("14 7 8 0", "8 doesn't go on from 7"),
        ("1 5 5", "5 doesn't go on from 5"),
    ],
)
def test_what_is_no_row_of_levels_is_quoted(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_levels(text)


def test_both_parts_of_a_cut_have_the_level_between() -> None:
    levels = Sigmas(torch.tensor([8.0, 4, 2, 1, 0]))
    high, low = sigmas.split(levels, 1)
    assert (high.tolist(), low.tolist()) == ([8, 4], [4, 2, 1, 0])
    assert [part.tolist() for part in sigmas.split(levels, 0)] == [[8], [8, 4, 2, 1, 0]]
    high, low = sigmas.split_by_denoise(levels, 0.5)
    assert (high.tolist(), low.tolist()) == ([8, 4, 2], [2, 1, 0])
    assert [part.tolist() for part in sigmas.split_by_denoise(levels, 0)] == [[8, 4, 2, 1, 0], [0]]
    with pytest.raises(InputError, match="5 is past the last of 4 steps"):
        sigmas.split(levels, 5)


def test_turned_levels_begin_just_above_0() -> None:
    levels = Sigmas(torch.tensor([8.0, 1, 0]))
    assert sigmas.flip(levels).tolist() == pytest.approx([sigmas.FIRST_WALKING_UP, 1, 8])
    assert levels.tolist() == [8, 1, 0]
    assert sigmas.flip(Sigmas(torch.tensor([1.0, 2]))).tolist() == [2, 1]
    with pytest.raises(InputError, match="Leave out the smallest levels"):
        sigmas.flip(Sigmas(torch.tensor([1.0, 0.0005, 0])))


@pytest.mark.parametrize(
    ("levels", "sampler", "message"),
    [
        ([3.0, 4, 1], "euler", "don't fall"),
        ([3.0, 3, 0], "euler", "don't fall"),
        ([float("nan"), 0], "euler", "no row of numbers"),
        ([1.0, -1], "euler", "no row of numbers"),
        ([0.1, 5], "euler_ancestral", "can only go down"),
        ([0.0, 5], "euler", "rise from 0"),
    ],
)
def test_levels_that_a_sampler_cannot_walk_are_refused(levels: list[float], sampler: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_sigmas(torch.tensor(levels), sampler)
    assert caught.value.input == "sigmas"


@pytest.mark.parametrize("name", WALK_UP)
def test_samplers_that_walk_up_follow_the_exact_flow(name: str) -> None:
    gaussian = Gaussian()
    x = torch.linspace(-1, 2, 16, dtype=torch.float64).reshape(1, 1, 4, 4)
    levels = levels_between(0.01, 10, 200)
    end = gaussian.run(SAMPLERS[name](x, levels, lambda: pytest.fail("drew noise")))
    assert torch.allclose(end, gaussian.flow(x, 0.01, 10), rtol=0.02)
