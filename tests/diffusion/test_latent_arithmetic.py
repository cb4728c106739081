from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import latent_arithmetic, latents
from graphengine.errors import InputError
from graphengine.types import Latent, Mask


def drawn(seed: int, count: int = 1, side: int = 3) -> Latent:
    return Latent(torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed)))


def test_sums_differences_and_products() -> None:
    a, b = drawn(0), drawn(1)
    assert torch.equal(latent_arithmetic.add(a, b).samples, a.samples + b.samples)
    assert torch.equal(latent_arithmetic.subtract(a, b).samples, a.samples - b.samples)
    assert torch.equal(latent_arithmetic.multiply(a, -2).samples, a.samples * -2)
    assert torch.equal(latent_arithmetic.blend(a, b, 1).samples, a.samples)
    assert torch.equal(latent_arithmetic.blend(a, b, 0).samples, b.samples)


def test_single_latents_repeat_and_the_first_keeps_its_mask() -> None:
    mask = Mask(torch.ones(1, 24, 24))
    first = Latent(drawn(0).samples, mask)
    total = latent_arithmetic.add(first, drawn(1, count=2))
    assert total.samples.shape == (2, 4, 3, 3)
    assert total.noise_mask is mask
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2"):
        latent_arithmetic.add(drawn(0, count=2), drawn(1, count=3))


def test_the_second_is_resized_to_the_first() -> None:
    flat = Latent(torch.full((1, 4, 6, 12), 2.0))
    assert torch.allclose(latent_arithmetic.subtract(drawn(0), flat).samples, drawn(0).samples - 2)
    with pytest.raises(InputError, match="16 channels beside latents of 4"):
        latent_arithmetic.add(drawn(0), Latent(torch.zeros(1, 16, 3, 3)))


def test_interpolation_keeps_the_strength_that_averaging_loses() -> None:
    """Two directions at right angles: their average is weaker than both, and half way between them it should not be."""
    a, b = (torch.zeros(1, 4, 1, 1) for _ in range(2))
    a[0, 0], b[0, 1] = 2.0, 4.0
    half = latent_arithmetic.interpolate(Latent(a), Latent(b), 0.5).samples
    assert torch.allclose(half.norm(dim=1), torch.tensor(3.0))
    assert torch.allclose(half[0, 0], half[0, 1])
    for ratio, end in ((1.0, drawn(0)), (0.0, drawn(1))):
        assert torch.allclose(latent_arithmetic.interpolate(drawn(0), drawn(1), ratio).samples, end.samples, atol=1e-6)


def test_interpolation_of_nothing_is_nothing() -> None:
    blank = Latent(torch.zeros(1, 4, 2, 2))
    assert torch.equal(latent_arithmetic.interpolate(blank, blank, 0.5).samples, blank.samples)


def test_scaling_rounds_to_cells_and_leaves_at_least_one() -> None:
    assert latents.upscale_by(drawn(0), 1.5, method="bilinear").samples.shape == (1, 4, 4, 4)
    assert latents.upscale_by(drawn(0), 0.01, method="area").samples.shape == (1, 4, 1, 1)
