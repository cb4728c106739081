"""Between pictures and latents.

Both directions go through a batch item by item: the memory needed doesn't grow with the batch, and an item of a batch
equals the same item alone, bit for bit, which one batched convolution doesn't promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from graphengine.diffusion.tiling import Tiles, in_tiles
from graphengine.errors import InputError
from graphengine.types import Image, Latent, Vae


def latent_factor(vae: Vae) -> int:
    """How many pixels one latent cell covers, along one side."""
    config: Any = vae.autoencoder.config  # Any: diffusers' configuration, untyped
    return int(2 ** (len(config.block_out_channels) - 1))


def encode(
    vae: Vae,
    pixels: Image,
    *,
    generators: Sequence[torch.Generator] | None = None,
    device: torch.device | str = "cpu",
    tiles: Tiles | None = None,
) -> Latent:
    """Encode pictures into latents of about unit variance.

    Args:
        pixels: [B, H, W, 3]; H and W have to be multiples of the factor, for cropping silently would shift masks.
        generators: One CPU generator for each item, to draw from the posterior; None takes its mean.
        device: Where to compute; the autoencoder is moved there.
        tiles: Go through large pictures in overlapping tiles, which takes less memory and changes them a little.

    Returns:
        ``samples`` [B, C, H/f, W/f] as ``(z - shift_factor) * scaling_factor``.

    Raises:
        InputError: if the sizes don't fit, or there isn't one generator for each item.
    """
    _check_pixels(pixels, latent_factor(vae))
    if generators is not None and len(generators) != pixels.shape[0]:
        raise InputError(
            "generators", f"{len(generators)} generators for {pixels.shape[0]} pictures.", "Give one each."
        )
    autoencoder: Any = vae.autoencoder.to(device)  # Any: AutoencoderKL's methods are untyped
    dtype = next(vae.autoencoder.parameters()).dtype
    scale, shift = scaling(vae)
    latents = []

    def encoded(planes: Tensor) -> Tensor:
        x = (planes * 2 - 1).to(device, dtype)
        if isinstance(autoencoder, AutoencoderTiny):
            z: Tensor = autoencoder.encode(x, return_dict=False)[0]
            return z
        moments: Tensor = autoencoder.encode(x).latent_dist.parameters  # mean and log variance, [1, 2 C, h, w]
        return moments

    with torch.no_grad():
        for index, picture in enumerate(pixels):
            # contiguous: convolutions round differently on other memory layouts
            planes = picture.permute(2, 0, 1).contiguous()[None]  # [1, 3, H, W]
            z = encoded(planes) if tiles is None else in_tiles(planes, encoded, tile=tiles.size, overlap=tiles.overlap)
            if not isinstance(autoencoder, AutoencoderTiny):
                posterior: Any = DiagonalGaussianDistribution(z)  # Any: untyped
                z = posterior.sample(generators[index]) if generators else posterior.mode()  # [1, C, h, w]
            latents.append(((z - shift) * scale).to("cpu", torch.float32))
    return Latent(samples=torch.cat(latents))


def decode(vae: Vae, latent: Latent, *, device: torch.device | str = "cpu", tiles: Tiles | None = None) -> Image:
    """Decode latents into pictures, clamped to 0…1; the same numbers as StableDiffusionPipeline's.

    Args:
        latent: Its mask, if it has one, plays no part.
        device: Where to compute; the autoencoder is moved there.
        tiles: As for ``encode``.

    Returns:
        float32 [B, H, W, 3] on the CPU.

    Raises:
        InputError: if the latents have another number of channels than the autoencoder.
    """
    autoencoder: Any = vae.autoencoder  # Any: AutoencoderKL's methods are untyped
    channels = autoencoder.config.latent_channels
    if latent.samples.ndim != 4 or latent.samples.shape[1] != channels:
        raise InputError(
            "samples",
            f"latents of shape {list(latent.samples.shape)}; this VAE decodes [B, {channels}, h, w].",
            "Use the VAE of the checkpoint that made these latents.",
        )
    dtype = next(autoencoder.to(device).parameters()).dtype
    scale, shift = scaling(vae)
    factor = latent_factor(vae)
    pictures = []

    def decoded(z: Tensor) -> Tensor:
        x: Tensor = autoencoder.decode(z.to(device, dtype) / scale + shift, return_dict=False)[0]
        return x / 2 + 0.5  # [1, 3, H, W]

    with torch.no_grad():
        for sample in latent.samples:
            z = sample[None]
            if tiles is None:
                x = decoded(z)
            else:
                x = in_tiles(z, decoded, tile=max(tiles.size // factor, 1), overlap=tiles.overlap // factor)
            pictures.append(x.clamp(0, 1).permute(0, 2, 3, 1).to("cpu", torch.float32))
    return Image(torch.cat(pictures).contiguous())


def scaling(vae: Vae) -> tuple[float, float]:
    """Give what latents are multiplied by, after this is subtracted: latents = (z - shift) * scale; scale, shift."""
    config: Any = vae.autoencoder.config  # Any: diffusers' configuration, untyped
    return float(config.scaling_factor), float(config.get("shift_factor") or 0.0)


def _check_pixels(pixels: Tensor, factor: int) -> None:
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.shape[0] == 0:
        shape = list(pixels.shape)
        raise InputError("pixels", f"a picture of shape {shape}.", "Give [B, H, W, 3], at least one picture.")
    height, width = pixels.shape[1:3]
    if height % factor or width % factor or not height or not width:
        nearest = [max(factor, round(side / factor) * factor) for side in (width, height)]
        raise InputError(
            "pixels",
            f"the picture is {width}x{height}; this VAE takes multiples of {factor}.",
            f"Put an ImageScale node before it, to {nearest[0]}x{nearest[1]}.",
        )
