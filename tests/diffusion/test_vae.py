from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.image_processor import VaeImageProcessor

import graphengine
from graphengine.diffusion import checkpoints
from graphengine.diffusion import vae as codec
from graphengine.diffusion.images import load
from graphengine.diffusion.tiling import Tiles
from graphengine.errors import InputError
from graphengine.types import Image, Latent, Vae
from tests.diffusion.tiny_checkpoint import tiny_vae

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def pictures(count: int, height: int = 8, width: int = 6) -> Image:
    return Image(torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(3)))


def test_mean_encoding_is_scaled_and_shifted() -> None:
    vae = tiny_vae(shift=0.25)
    images = pictures(1)

    latent = codec.encode(vae, images)

    autoencoder: Any = vae.autoencoder  # Any: AutoencoderKL's methods are untyped
    mean = autoencoder.encode(images.permute(0, 3, 1, 2).contiguous() * 2 - 1).latent_dist.mean
    assert latent.samples.shape == (1, 4, 4, 3)
    assert torch.equal(latent.samples, (mean - 0.25) * 0.5)


def test_decoding_equals_the_pipelines_steps() -> None:
    vae = tiny_vae()
    samples = torch.randn(1, 4, 4, 3, generator=torch.Generator().manual_seed(4))

    image = codec.decode(vae, Latent(samples))

    autoencoder: Any = vae.autoencoder  # Any: AutoencoderKL's methods are untyped
    raw = autoencoder.decode(samples / autoencoder.config.scaling_factor, return_dict=False)[0]
    expected = VaeImageProcessor().postprocess(raw, output_type="np")
    assert image.shape == (1, 8, 6, 3)
    assert torch.equal(image, torch.from_numpy(expected))


def test_an_item_of_a_batch_equals_the_same_item_alone() -> None:
    vae, images = tiny_vae(), pictures(3)
    whole = codec.encode(vae, images, generators=[torch.Generator().manual_seed(seed) for seed in (5, 6, 7)])
    alone = codec.encode(vae, Image(images[1:2]), generators=[torch.Generator().manual_seed(6)])

    assert torch.equal(whole.samples[1:2], alone.samples)
    assert not torch.equal(alone.samples, codec.encode(vae, Image(images[1:2])).samples)
    assert torch.equal(codec.decode(vae, whole)[1:2], codec.decode(vae, alone))


def test_decoded_pictures_stay_in_range() -> None:
    image = codec.decode(tiny_vae(), Latent(torch.full((1, 4, 2, 2), 1e4)))
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.is_contiguous()


def test_sizes_that_do_not_fit_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="picture is 7x9; this VAE takes multiples of 2") as caught:
        codec.encode(tiny_vae(), pictures(1, 9, 7))
    assert "ImageScale" in caught.value.remedy
    with pytest.raises(InputError, match="2 generators for 1 pictures"):
        codec.encode(tiny_vae(), pictures(1), generators=[torch.Generator(), torch.Generator()])
    with pytest.raises(InputError, match=r"\[0, 8, 6, 3\]"):
        codec.encode(tiny_vae(), pictures(0))


def test_latents_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[1, 16, 2, 2\]; this VAE decodes \[B, 4, h, w\]"):
        codec.decode(tiny_vae(), Latent(torch.zeros(1, 16, 2, 2)))


def test_tiles_change_a_large_picture_a_little_and_a_small_one_not_at_all() -> None:
    """Two pictures side by side, in tiles as large as one: nowhere far from the whole, and no seam where tiles meet."""
    _model, _clip, vae = checkpoints.load(EMBEDDED)
    square, _ = load(WORKFLOWS / "inputs" / "blue_square.png")
    latent, tiles = codec.encode(vae, Image(torch.cat([square, square], dim=2))), Tiles(128, 32)
    whole, tiled = (codec.decode(vae, latent, tiles=each) for each in (None, tiles))
    assert 0 < (whole - tiled).abs().mean() < 0.002
    background = tiled[0, 4, 90:200]
    assert background.diff(dim=0).abs().max() < 0.005
    small = Latent(latent.samples[..., :16])
    assert torch.equal(codec.decode(vae, small), codec.decode(vae, small, tiles=tiles))
    back, back_tiled = (codec.encode(vae, whole, tiles=each).samples for each in (None, tiles))
    assert 0 < (back - back_tiled).abs().mean() < 0.03


def test_a_varied_latent_is_drawn_from_the_same_noise_in_tiles() -> None:
    vae, image = tiny_vae(), pictures(1, 32, 32)
    drawn = [
        codec.encode(vae, image, generators=[torch.Generator().manual_seed(1)], tiles=tiles).samples
        for tiles in (None, Tiles(16, 8))
    ]
    mean = codec.encode(vae, image).samples
    assert (drawn[0] - drawn[1]).abs().mean() < 0.2 * (drawn[0] - mean).abs().mean()


def test_a_tiny_autoencoder_takes_the_place_of_a_large_one() -> None:
    torch.manual_seed(3)
    tiny = Vae(
        AutoencoderTiny(
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1), latent_channels=4,
        ).eval()
    )  # fmt: skip
    latent = codec.encode(tiny, pictures(2))
    assert latent.samples.shape == (2, 4, 4, 3)
    with torch.no_grad():
        expected = tiny.autoencoder.decode(latent.samples[:1]).sample  # type: ignore[operator]  # a module's methods are untyped
    assert torch.allclose(codec.decode(tiny, latent)[:1], (expected / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1))
    assert codec.decode(tiny, latent, tiles=Tiles(4, 2)).shape == (2, 8, 6, 3)
