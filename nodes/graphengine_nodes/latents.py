"""Latents: the small, compressed pictures that samplers work on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import Context, InputError, node
from graphengine.diffusion.memory import (
    decoding_memory,
    encoding_memory,
    tiled_decoding_memory,
    tiled_encoding_memory,
)
from graphengine.diffusion.options import Crop, Resampling
from graphengine.types import Image, Latent, Mask, Model, ScheduleName, Vae
from graphengine_nodes.inputs import Seed, Share, Side, SideOrZero, Steps

TileSize = Annotated[int, Field(ge=64, le=4096, multiple_of=32)]
Overlap = Annotated[int, Field(ge=0, le=2048, multiple_of=32)]


@node(
    "EmptyLatent",
    category="latent",
    refine=lambda _literals, facts: {} if "model" in facts else {"latent": {"latent_channels": 4, "latent_factor": 8}},
)
def empty_latent(
    width: Side = 128,
    height: Side = 128,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 1,
    model: Model | None = None,
) -> Latent:
    """Make a blank latent, where text-to-image starts.

    Args:
        width: Of the picture, in pixels; a multiple of 8 for Stable Diffusion. The embedded model draws 128.
        height: Of the picture, in pixels.
        batch_size: How many pictures to make at once; each gets noise of its own.
        model: Link it if the model is not of the Stable Diffusion kind: its latents may have another shape.
    """
    from graphengine.diffusion import latents

    if model is None:
        return latents.empty(width, height, batch_size)
    return latents.empty(width, height, batch_size, channels=model.latent_channels, factor=model.latent_factor)


@empty_latent.check
def _(width: int, height: int, model: None) -> None:
    """Without a model, known here as None, the factor is 8."""
    for name, side in (("width", width), ("height", height)):
        if side % 8:
            below = side // 8 * 8
            near = f"{below} or {below + 8}" if below else "8"
            raise InputError(name, f"{side} is not a multiple of 8.", f"Choose {near}, or link the model.")


@node("VAEEncode", category="latent", device="gpu", memory=encoding_memory)
def vae_encode(ctx: Context, pixels: Image, vae: Vae, seed: Seed | None = None) -> Latent:
    """Turn a picture into a latent, where image-to-image and inpainting start.

    Args:
        pixels: The picture; its sides must be multiples of 8 for Stable Diffusion. ImageScale brings it there.
        vae: From LoadCheckpoint.
        seed: Leave open for the most faithful latent; a seed draws a slightly varied one.
    """
    from graphengine.diffusion import vae as autoencoder
    from graphengine.diffusion.tiling import Tiles

    count = pixels.shape[0]
    generators = None if seed is None else [ctx.generator((seed + index) % 2**64) for index in range(count)]
    with ctx.loaded(vae) as device:
        tiles = Tiles() if ctx.settings.sparing else None
        return autoencoder.encode(vae, pixels, generators=generators, device=device, tiles=tiles)


@node("VAEDecode", category="latent", device="gpu", memory=decoding_memory)
def vae_decode(ctx: Context, samples: Latent, vae: Vae) -> Image:
    """Turn a latent into the picture that it stands for.

    Args:
        samples: From KSampler.
        vae: From LoadCheckpoint, of the checkpoint that made the latent.
    """
    from graphengine.diffusion import vae as autoencoder
    from graphengine.diffusion.tiling import Tiles

    with ctx.loaded(vae) as device:
        tiles = Tiles() if ctx.settings.sparing else None
        return autoencoder.decode(vae, samples, device=device, tiles=tiles)


@node("VAEEncodeTiled", category="latent", device="gpu", memory=tiled_encoding_memory)
def vae_encode_tiled(ctx: Context, pixels: Image, vae: Vae, tile_size: TileSize = 512, overlap: Overlap = 64) -> Latent:
    """Turn a large picture into a latent tile by tile, for when the memory is too small for the whole.

    Args:
        pixels: The picture; its sides must be multiples of 8 for Stable Diffusion. ImageScale brings it there.
        vae: From LoadCheckpoint.
        tile_size: Of a tile, in pixels along a side.
        overlap: Pixels that neighbouring tiles share, over which they fade into each other.
    """
    from graphengine.diffusion import vae as autoencoder
    from graphengine.diffusion.tiling import Tiles

    with ctx.loaded(vae) as device:
        return autoencoder.encode(vae, pixels, device=device, tiles=Tiles(tile_size, overlap))


@node("VAEDecodeTiled", category="latent", device="gpu", memory=tiled_decoding_memory)
def vae_decode_tiled(
    ctx: Context, samples: Latent, vae: Vae, tile_size: TileSize = 512, overlap: Overlap = 64
) -> Image:
    """Turn a large latent into its picture tile by tile, for when the memory is too small for the whole.

    Args:
        samples: From KSampler.
        vae: From LoadCheckpoint, of the checkpoint that made the latent.
        tile_size: Of a tile, in pixels along a side; larger ones differ less from the whole.
        overlap: Pixels that neighbouring tiles share, over which they fade into each other.
    """
    from graphengine.diffusion import vae as autoencoder
    from graphengine.diffusion.tiling import Tiles

    with ctx.loaded(vae) as device:
        return autoencoder.decode(vae, samples, device=device, tiles=Tiles(tile_size, overlap))


def _check_overlap(tile_size: int, overlap: int) -> None:
    if overlap > tile_size // 2:
        raise InputError(
            "overlap", f"{overlap} is more than half of a tile of {tile_size}.", f"Choose at most {tile_size // 2}."
        )


vae_encode_tiled.check(_check_overlap)
vae_decode_tiled.check(_check_overlap)


@node("AddNoise", category="latent")
def add_noise(
    model: Model,
    latent_image: Latent,
    seed: Seed = 0,
    steps: Steps = 20,
    scheduler: ScheduleName = "normal",
    denoise: Share = 1.0,
) -> Latent:
    """Add the noise that KSampler would begin with, so that its own can be switched off.

    Args:
        model: The model that will remove the noise.
        latent_image: What the noise is added to.
        seed: Another seed gives other noise.
        steps: As in the KSampler that follows.
        scheduler: As in the KSampler that follows.
        denoise: As in the KSampler that follows; less than 1 adds less noise.
    """
    from graphengine.diffusion import sampling

    return sampling.add_noise(model, latent_image, seed=seed, steps=steps, scheduler=scheduler, denoise=denoise)


@node("SetLatentNoiseMask", category="latent/inpaint")
def set_latent_noise_mask(samples: Latent, mask: Mask) -> Latent:
    """Repaint only a part of a picture: the sampler changes what the mask selects and keeps the rest.

    Args:
        samples: The picture's latent, from VAEEncode.
        mask: White is repainted, black is kept. It is resized to the latent.
    """
    from graphengine.diffusion import latents

    return latents.set_noise_mask(samples, mask)


@node("LatentUpscale", category="latent")
def latent_upscale(
    samples: Latent,
    upscale_method: Resampling = "nearest-exact",
    width: SideOrZero = 512,
    height: SideOrZero = 512,
    crop: Crop = "disabled",
) -> Latent:
    """Resize a latent; a second KSampler with less denoise then draws the details.

    Args:
        samples: What to resize.
        upscale_method: How values between the old ones are found.
        width: Of the picture, in pixels; 0 follows the height.
        height: Of the picture, in pixels; 0 follows the width.
        crop: center cuts off what doesn't fit the new proportions; disabled stretches.
    """
    from graphengine.diffusion import latents

    return latents.upscale(samples, width, height, method=upscale_method, crop=crop)


@latent_upscale.check
def _(width: int, height: int) -> None:
    for name, side in (("width", width), ("height", height)):
        if side % 8:
            raise InputError(name, f"{side} is not a multiple of 8.", f"Choose {side // 8 * 8 or 8} or 0, say.")
