"""Latents are shown by a linear map that the checkpoint's autoencoder gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import graphengine
from graphengine.diffusion import checkpoints, vae
from graphengine.diffusion.drawing import DrawnShapes
from graphengine.diffusion.latent_preview import fit_latent_rgb, latent_picture, shown_by
from graphengine.errors import InputError
from graphengine.types import Latent, LatentRgb, Model
from tests.diffusion.tiny_checkpoint import tiny_model, tiny_vae

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"
BLACK = (0.0, 0.0, 0.0)
FIRST_IS_RED: LatentRgb = ((0.25, 0.0, 0.0), BLACK, BLACK, BLACK, (0.5, 0.5, 0.5))


def model_shown_by(latent_rgb: LatentRgb | None, factor: int = 2) -> Model:
    return replace(tiny_model(), latent_rgb=latent_rgb, latent_factor=factor)


def test_previews_of_the_embedded_model_have_the_pictures_colours() -> None:
    model, _, autoencoder = checkpoints.load(EMBEDDED)
    latents = DrawnShapes(seed=3, size=128).examples(range(4), ["latents"]).latents
    assert latents is not None
    for samples in latents:
        picture = vae.decode(autoencoder, Latent(samples[None]))[0]
        shown = latent_picture(model, samples[None])
        assert shown is not None
        assert shown.shape == picture.shape
        cells = torch.nn.functional.avg_pool2d((shown - picture).permute(2, 0, 1), 8)
        assert cells.square().mean().sqrt() < 0.06  # drawn smoothly, which edges aren't


def test_map_of_the_embedded_model_is_the_picture_in_its_first_three_channels() -> None:
    model = checkpoints.load(EMBEDDED)[0]
    assert model.latent_rgb is not None
    fitted = torch.tensor(model.latent_rgb)
    expected = torch.cat([torch.eye(3) / 3, torch.zeros(1, 3), torch.full((1, 3), 0.5)])
    torch.testing.assert_close(fitted, expected, atol=0.02, rtol=0)


def test_map_is_the_same_each_time_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    autoencoder = tiny_vae()
    torch.set_rng_state(before)
    assert fit_latent_rgb(autoencoder) == fit_latent_rgb(autoencoder)
    assert torch.equal(torch.get_rng_state(), before)


def test_broken_autoencoder_has_no_map() -> None:
    autoencoder = tiny_vae()
    next(autoencoder.autoencoder.parameters()).fill_(float("nan"))
    assert fit_latent_rgb(autoencoder) is None


def test_model_of_unknown_latents_is_not_shown() -> None:
    assert latent_picture(model_shown_by(None), torch.zeros(1, 4, 8, 8)) is None


def test_first_of_a_batch_is_shown() -> None:
    samples = torch.zeros(2, 4, 8, 6)
    samples[0, 0] = 1
    shown = latent_picture(model_shown_by(FIRST_IS_RED), samples)
    assert shown is not None
    assert shown.shape == (16, 12, 3)
    torch.testing.assert_close(shown[3, 3], torch.tensor([0.75, 0.5, 0.5]))


@pytest.mark.parametrize(
    ("cells", "pixels"), [((16, 16), (128, 128)), ((64, 128), (128, 256)), ((300, 600), (128, 256))]
)
def test_previews_are_no_larger_than_the_picture_nor_than_256_pixels(
    cells: tuple[int, int], pixels: tuple[int, int]
) -> None:
    shown = latent_picture(model_shown_by(FIRST_IS_RED, factor=8), torch.zeros(1, 4, *cells))
    assert shown is not None
    assert tuple(shown.shape) == (*pixels, 3)


def test_a_linked_autoencoder_shows_previews_as_it_decodes_them() -> None:
    model, autoencoder = shown_by(tiny_model(), "vae", tiny_vae()), tiny_vae()
    samples = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    shown = latent_picture(model, samples)
    assert shown is not None
    assert torch.equal(shown, vae.decode(autoencoder, Latent(samples[:1]))[0])
    large = latent_picture(model, torch.zeros(1, 4, 300, 40))
    assert large is not None
    assert large.shape == (300, 40, 3)  # every second cell, of two pixels each


def test_the_way_of_showing_is_chosen() -> None:
    colored = model_shown_by(FIRST_IS_RED)
    decoded = shown_by(colored, "vae", tiny_vae())
    assert shown_by(decoded, "colors", None) == colored
    assert latent_picture(shown_by(decoded, "none", None), torch.zeros(1, 4, 2, 2)) is None
    with pytest.raises(InputError, match="nothing is linked"):
        shown_by(colored, "vae", None)
    with pytest.raises(InputError, match="16 channels, and the model's have 4"):
        shown_by(colored, "vae", tiny_vae(channels=16))
