"""Save, show and arrange pictures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import Context, Widget, node
from graphengine.diffusion.options import Crop, Resampling
from graphengine.types import Image, Mask, PictureFormat
from graphengine_nodes.inputs import FileNamePrefix, Offset, SideOrZero, Text, check_prefix


@node("SaveImage", category="image", output_node=True, outputs="images")
def save_image(
    ctx: Context,
    images: Image,
    filename_prefix: FileNamePrefix = "image",
    format: Annotated[PictureFormat, Widget("select", advanced=True)] = "png",
    quality: Annotated[int, Field(ge=1, le=100), Widget("slider", advanced=True)] = 90,
) -> Image:
    """Save pictures with their workflow inside, and pass them on.

    Args:
        images: What to save; each picture of a batch becomes a file.
        filename_prefix: The files' first word; a number follows. "portraits/anna" saves in a folder of its own.
        format: png keeps every pixel; jpeg and webp are smaller.
        quality: Of jpeg and webp: 100 is the best, and keeps every pixel in a webp.
    """
    ctx.outputs.write_images(images, filename_prefix, picture_format=format, quality=quality)
    return images


save_image.check(check_prefix)


@node("PreviewImage", category="image", output_node=True, outputs="images")
def preview_image(ctx: Context, images: Image) -> Image:
    """Show pictures without keeping them, and pass them on.

    Args:
        images: What to show in the editor; nothing is kept.
    """
    ctx.outputs.write_images(images, "preview", temporary=True)
    return images


@node("ImageBatch", category="image")
def image_batch(image1: Image, image2: Image) -> Image:
    """Put pictures into one batch, one after the other.

    Args:
        image1: The first pictures; they decide the size.
        image2: The pictures that follow. Those of another size are resized, and what doesn't fit is cut off.
    """
    import torch

    from graphengine.diffusion import images

    height, width = image1.shape[1:3]
    if image2.shape[1:3] != image1.shape[1:3]:
        image2 = images.resize(image2, width, height, method="bilinear", crop="center")
    return Image(torch.cat([image1, image2]))


@node("ImageScale", category="image")
def image_scale(
    image: Image,
    upscale_method: Resampling = "lanczos",
    width: SideOrZero = 512,
    height: SideOrZero = 512,
    crop: Crop = "disabled",
) -> Image:
    """Resize a picture.

    Args:
        image: What to resize.
        upscale_method: lanczos is the sharpest, area the smoothest when shrinking, nearest-exact keeps hard pixels.
        width: In pixels; 0 follows the height.
        height: In pixels; 0 follows the width.
        crop: center cuts off what doesn't fit the new proportions; disabled stretches.
    """
    from graphengine.diffusion import images

    return images.resize(image, width, height, method=upscale_method, crop=crop)


@node("ImageCompositeMasked", category="image")
def image_composite_masked(
    destination: Image,
    source: Image,
    x: Offset = 0,
    y: Offset = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Image:
    """Lay a picture on another.

    Args:
        destination: The picture below; the result has its size.
        source: The picture laid on it.
        x: Where the source's left edge lies, in pixels.
        y: Where the source's top edge lies, in pixels.
        resize_source: Stretch the source to the destination first.
        mask: Which part of the source shows; left open, all of it. It is resized to the source.
    """
    from graphengine.diffusion import images

    return images.composite(destination, source, x=x, y=y, resize_source=resize_source, mask=mask)


@node("ImageGrid", category="image")
def image_grid(
    images: Image,
    columns: Annotated[int, Field(ge=0, le=4096)] = 0,
    gap: Annotated[int, Field(ge=0, le=1024)] = 4,
    labels: Text = "",
) -> Image:
    """Arrange a batch of pictures on one sheet.

    Args:
        images: The pictures, from left to right and top to bottom.
        columns: Pictures in a row; 0 makes the sheet about square.
        gap: White pixels between pictures.
        labels: A line for each picture, written under it; empty for none.
    """
    from graphengine.diffusion import images as pictures

    return pictures.grid(images, columns=columns, gap=gap, labels=labels.splitlines())
