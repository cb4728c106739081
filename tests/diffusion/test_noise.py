from __future__ import annotations

import pytest
import torch

from graphengine.diffusion.noise import Noise

SHAPE = (3, 4, 6, 5)


def test_item_of_a_batch_equals_that_item_alone_in_every_draw() -> None:
    batch, third = Noise(7, SHAPE), Noise(9, (1, *SHAPE[1:]))
    for _ in range(3):
        assert torch.equal(batch()[2:], third())


def test_draws_follow_each_other_as_those_of_one_generator() -> None:
    generator = torch.Generator().manual_seed(7)
    noise = Noise(7, (1, 4, 6, 5))
    for _ in range(2):
        assert torch.equal(noise(), torch.randn(1, 4, 6, 5, generator=generator))


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1])
def test_every_64_bit_seed_is_taken_as_it_is(seed: int) -> None:
    assert Noise(seed, SHAPE).generators[0].initial_seed() == seed


def test_seeds_of_a_batch_go_on_at_0_after_the_last() -> None:
    assert [generator.initial_seed() for generator in Noise(2**64 - 1, SHAPE).generators] == [2**64 - 1, 0, 1]


def test_other_random_numbers_of_the_process_change_nothing() -> None:
    before = torch.random.get_rng_state()
    first = Noise(1, SHAPE)()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(Noise(1, SHAPE)(), first)


def test_noise_is_standard_normal() -> None:
    values = Noise(3, (1, 1, 100, 100))().flatten()
    assert abs(values.mean()) < 0.03  # three standard errors of 10,000 values
    assert abs(values.var() - 1) < 3 * (2 / 10_000) ** 0.5
