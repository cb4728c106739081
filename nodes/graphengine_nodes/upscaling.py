"""Enlarge pictures with networks made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from graphengine import Context, FilesIn, Widget, node
from graphengine.diffusion.memory import upscaling_memory
from graphengine.types import Image, UpscaleModel


@node("UpscaleModelLoader", category="loaders")
def upscale_model_loader(model_name: Annotated[Path, FilesIn("upscale_models")]) -> UpscaleModel:
    """Open a model that enlarges pictures: ESRGAN and its relatives, and Real-ESRGAN's small models.

    Args:
        model_name: A safetensors file in models/upscale_models.
    """
    from graphengine.diffusion import upscale_models

    return upscale_models.load(model_name)


@node("ImageUpscaleWithModel", category="image/transform", device="gpu", memory=upscaling_memory)
def image_upscale_with_model(
    ctx: Context,
    upscale_model: UpscaleModel,
    image: Image,
    tile_size: Annotated[int, Field(ge=64, le=4096, multiple_of=32), Widget("number", advanced=True)] = 512,
) -> Image:
    """Enlarge a picture with a model, which decides how many times.

    Args:
        upscale_model: From UpscaleModelLoader.
        image: What to enlarge.
        tile_size: Pictures that are larger go through in tiles of so many pixels; less takes less memory.
    """
    from graphengine.diffusion import upscale_models
    from graphengine.diffusion.tiling import Tiles

    size = min(tile_size, 192) if ctx.settings.sparing else tile_size
    with ctx.loaded(upscale_model) as device:
        return upscale_models.upscale(
            upscale_model, image, device=device, tiles=Tiles(size, 32), before_tile=ctx.check_cancelled
        )
