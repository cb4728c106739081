from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import latents
from graphengine.errors import InputError
from graphengine.types import Latent, Mask


def test_empty_latents_are_zeros_of_the_models_shape() -> None:
    assert torch.equal(latents.empty(64, 32, 2).samples, torch.zeros(2, 4, 4, 8))
    assert latents.empty(6, 4, channels=3, factor=1).samples.shape == (1, 3, 4, 6)


@pytest.mark.parametrize(("value", "nearest"), [(100, 96), (3, 8), (0, 8), (-16, 8)])
def test_sides_that_do_not_fit_are_refused_with_the_nearest(value: int, nearest: int) -> None:
    with pytest.raises(InputError, match=f"{value} is not a multiple of 8") as caught:
        latents.empty(64, value)
    assert caught.value.input == "height"
    assert caught.value.remedy == f"The nearest that fits is {nearest}."


def test_upscaling_counts_in_pixels_and_follows_proportions() -> None:
    latent = Latent(torch.arange(8.0).reshape(1, 1, 2, 4))
    bigger = latents.upscale(latent, 64, 32, method="nearest-exact")
    assert torch.equal(bigger.samples, latent.samples.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert latents.upscale(latent, 0, 64, method="bilinear").samples.shape == (1, 1, 8, 16)


def test_upscaling_with_a_crop_takes_the_mask_along() -> None:
    """
    columns  0 1 2 3      the middle two columns remain, and of the mask the middle half
    mask     . . # #
    """
    mask = torch.zeros(1, 16, 32)
    mask[..., 16:] = 1
    latent = Latent(torch.arange(4.0).expand(1, 1, 2, 4), Mask(mask))

    square = latents.upscale(latent, 16, 16, method="nearest-exact", crop="center")

    assert square.samples[0, 0].tolist() == [[1, 2], [1, 2]]
    assert square.noise_mask is not None
    assert torch.equal(square.noise_mask, mask[..., 8:24])
    stretched = latents.upscale(latent, 64, 16, method="nearest-exact")
    assert stretched.noise_mask is not None
    assert stretched.noise_mask.shape == (1, 16, 64)


def test_noise_mask_of_any_size_is_kept_but_not_of_any_count() -> None:
    latent = latents.empty(32, 32, 2)
    mask = Mask(torch.ones(1, 5, 7))
    assert latents.set_noise_mask(latent, mask).noise_mask is mask
    assert latent.noise_mask is None
    assert latents.set_noise_mask(latent, Mask(torch.ones(2, 8, 8))).samples is latent.samples
    with pytest.raises(InputError, match=r"\[3, 8, 8\] for 2 latents"):
        latents.set_noise_mask(latent, Mask(torch.ones(3, 8, 8)))
    with pytest.raises(InputError, match=r"\[1, 0, 8\]"):
        latents.set_noise_mask(latent, Mask(torch.ones(1, 0, 8)))
