from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphengine.errors import InputError
from graphengine.types import Image, Latent, Mask
from graphengine_nodes import latents as nodes
from tests.diffusion.tiny_checkpoint import tiny_model, tiny_vae
from tests.nodes.running import Run


def picture(count: int = 1) -> Image:
    return Image(torch.rand(count, 8, 8, 3, generator=torch.Generator().manual_seed(0)))


def test_empty_latent_takes_its_shape_from_the_model() -> None:
    assert nodes.empty_latent(64, 32, 2).samples.shape == (2, 4, 4, 8)
    pixel_model = replace(tiny_model(), latent_channels=1, latent_factor=1)
    assert nodes.empty_latent(28, 27, 1, pixel_model).samples.shape == (1, 1, 27, 28)


def test_sides_are_checked_before_anything_runs() -> None:
    (check,) = nodes.empty_latent.checks
    check(width=64, height=32, model=None)
    with pytest.raises(InputError, match="100 is not a multiple of 8") as caught:
        check(width=100, height=64, model=None)
    assert (caught.value.input, caught.value.remedy) == ("width", "Choose 96 or 104, or link the model.")
    (check,) = nodes.latent_upscale.checks
    check(width=64, height=0)
    with pytest.raises(InputError, match="30 is not a multiple of 8"):
        check(width=64, height=30)


def test_a_picture_survives_encoding_only_with_its_seed(tmp_path: Path) -> None:
    run, vae = Run(tmp_path), tiny_vae()
    mean = nodes.vae_encode(run.context, picture(), vae)
    assert torch.equal(mean.samples, nodes.vae_encode(run.context, picture(), vae).samples)
    drawn = nodes.vae_encode(run.context, picture(), vae, 7)
    assert torch.equal(drawn.samples, nodes.vae_encode(run.context, picture(), vae, 7).samples)
    assert not torch.equal(drawn.samples, mean.samples)
    assert nodes.vae_decode(run.context, mean, vae).shape == (1, 8, 8, 3)


def test_items_of_a_batch_are_drawn_from_following_seeds_that_wrap_around(tmp_path: Path) -> None:
    run, vae = Run(tmp_path), tiny_vae()
    batch = nodes.vae_encode(run.context, picture(2), vae, 2**64 - 1)
    second = nodes.vae_encode(run.context, Image(picture(2)[1:]), vae, 0)
    assert torch.equal(batch.samples[1:], second.samples)


def test_noise_is_added_by_seed() -> None:
    latent = Latent(torch.zeros(1, 4, 4, 4))
    noisy = nodes.add_noise(tiny_model(), latent, 3, 5)
    assert noisy.samples.std() > 1
    assert torch.equal(noisy.samples, nodes.add_noise(tiny_model(), latent, 3, 5).samples)
    weaker = nodes.add_noise(tiny_model(), latent, 3, 5, denoise=0.5)
    assert weaker.samples.std() < noisy.samples.std()


def test_mask_and_size_are_passed_on() -> None:
    latent, mask = nodes.empty_latent(32, 32), Mask(torch.ones(1, 32, 32))
    masked = nodes.set_latent_noise_mask(latent, mask)
    assert masked.noise_mask is mask
    assert nodes.latent_upscale(masked, "bilinear", 64, 0).samples.shape == (1, 4, 8, 8)


def test_a_large_picture_goes_through_in_tiles(tmp_path: Path) -> None:
    run, vae = Run(tmp_path), tiny_vae()
    large = Image(torch.rand(1, 96, 64, 3, generator=torch.Generator().manual_seed(0)))
    latent = nodes.vae_encode_tiled(run.context, large, vae, 64, 32)
    assert torch.allclose(latent.samples, nodes.vae_encode(run.context, large, vae).samples, atol=0.3)
    tiled = nodes.vae_decode_tiled(run.context, latent, vae, 64, 32)
    whole = nodes.vae_decode(run.context, latent, vae)
    assert 0 < (tiled - whole).abs().mean() < 0.05
    for node in (nodes.vae_encode_tiled, nodes.vae_decode_tiled):
        (check,) = node.checks
        with pytest.raises(InputError, match="more than half"):
            check(64, 64)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.empty_latent, "width height batch_size model"),
        (nodes.vae_encode, "pixels vae seed"),
        (nodes.vae_decode, "samples vae"),
        (nodes.vae_encode_tiled, "pixels vae tile_size overlap"),
        (nodes.vae_decode_tiled, "samples vae tile_size overlap"),
        (nodes.add_noise, "model latent_image seed steps scheduler denoise"),
        (nodes.set_latent_noise_mask, "samples mask"),
        (nodes.latent_upscale, "samples upscale_method width height crop"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
