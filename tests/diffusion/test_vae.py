from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.image_processor import VaeImageProcessor

import graphengine
from graphengine.diffusion import checkpoints
from graphengine.diffusion import vae as codec
from graphengine.errors import InputError
from graphengine.types import Image, Latent
from tests.diffusion.tiny_checkpoint import tiny_vae

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"


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
    _model, _clip, vae = checkpoints.load(EMBEDDED)
    latents = [Latent(torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(3))) for side in (16, 40)]
    (small, small_tiled), (large, large_tiled) = (
        [codec.decode(vae, latent, tiled=tiled) for tiled in (False, True)] for latent in latents
    )
    assert torch.equal(small, small_tiled)
    assert 0 < (large - large_tiled).abs().mean() < 0.03
    assert torch.equal(codec.decode(vae, latents[1]), large)  # the model is as it was
    back, back_tiled = (codec.encode(vae, large, tiled=tiled).samples for tiled in (False, True))
    assert 0 < (back - back_tiled).abs().mean() < 0.3
