"""Cut, widen, turn, scale and join pictures, and take batches of them apart."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphengine import Widget, node
from graphengine.diffusion.options import Flip, Resampling, Rotation, SpacingColor
from graphengine.diffusion.options import Side as Direction
from graphengine.types import Image, Mask
from graphengine_nodes.inputs import Amount, Index, Length, ScaleBy, Side, SideOrZero


class Padded(NamedTuple):
    """A widened picture.

    Attributes:
        image: The picture with grey around it.
        mask: What is to be painted: all that is new, and the seam.
    """

    image: Image
    mask: Mask


@node("ImageCrop", category="image/transform")
def image_crop(image: Image, width: Side = 512, height: Side = 512, x: SideOrZero = 0, y: SideOrZero = 0) -> Image:
    """Cut a rectangle out of a picture.

    Args:
        image: What to cut from.
        width: Of the part, in pixels.
        height: Of the part, in pixels.
        x: Its left edge, in pixels.
        y: Its top edge, in pixels.
    """
    from graphengine.diffusion import image_geometry

    return Image(image_geometry.crop(image, x=x, y=y, width=width, height=height))


@node("ImagePadForOutpaint", category="image/transform")
def image_pad_for_outpaint(
    image: Image,
    left: SideOrZero = 0,
    top: SideOrZero = 0,
    right: SideOrZero = 0,
    bottom: SideOrZero = 0,
    feathering: SideOrZero = 40,
) -> Padded:
    """Widen a picture, to have a model paint what lies around it.

    Args:
        image: What to widen.
        left: New pixels on the left.
        top: New pixels above.
        right: New pixels on the right.
        bottom: New pixels below.
        feathering: Pixels of the old picture, along the seam, that are softly painted over.
    """
    from graphengine.diffusion import image_geometry

    return Padded(
        *image_geometry.pad_for_outpainting(image, left=left, top=top, right=right, bottom=bottom, feather=feathering)
    )


@node("ImageFlip", category="image/transform")
def image_flip(image: Image, flip_method: Flip = "x-axis: vertically") -> Image:
    """Mirror a picture.

    Args:
        image: What to mirror.
        flip_method: Upside down, or left to right.
    """
    from graphengine.diffusion import image_geometry

    return image_geometry.flip(image, flip_method)


@node("ImageRotate", category="image/transform")
def image_rotate(image: Image, rotation: Rotation = "90 degrees") -> Image:
    """Turn a picture clockwise.

    Args:
        image: The picture to turn; of a batch each.
        rotation: How far, clockwise.
    """
    from graphengine.diffusion import image_geometry

    return image_geometry.rotate(image, rotation)


@node("ImageScaleBy", category="image/transform")
def image_scale_by(image: Image, upscale_method: Resampling = "lanczos", scale_by: ScaleBy = 1.0) -> Image:
    """Resize a picture by a factor.

    Args:
        image: What to resize.
        upscale_method: lanczos is the sharpest, area the smoothest when shrinking, nearest-exact keeps hard pixels.
        scale_by: New sides for each old one.
    """
    from graphengine.diffusion import image_geometry

    return image_geometry.scale_by(image, scale_by, method=upscale_method)


@node("ImageScaleToTotalPixels", category="image/transform")
def image_scale_to_total_pixels(
    image: Image,
    upscale_method: Resampling = "lanczos",
    megapixels: Annotated[float, Field(ge=0.01, le=64), Widget("number", step=0.05)] = 1.0,
) -> Image:
    """Resize a picture to about so many pixels, in the same proportions.

    Args:
        image: What to resize.
        upscale_method: lanczos is the sharpest, area the smoothest when shrinking, nearest-exact keeps hard pixels.
        megapixels: 1 is as many as 1024 × 1024 has.
    """
    from graphengine.diffusion import image_geometry

    return image_geometry.scale_to_total_pixels(image, megapixels, method=upscale_method)


@node("ImageStitch", category="image/transform")
def image_stitch(
    image1: Image,
    image2: Image,
    direction: Direction = "right",
    match_image_size: bool = True,
    spacing_width: Annotated[int, Field(ge=0, le=1024)] = 0,
    spacing_color: SpacingColor = "white",
) -> Image:
    """Put two pictures side by side, or one above the other.

    Args:
        image1: The first picture.
        image2: The picture put beside it.
        direction: On which side of the first the second goes.
        match_image_size: Resize the second so that the sides that touch are of one length; else the shorter is centred.
        spacing_width: Pixels between them.
        spacing_color: Of the space between them, and beside the shorter one.
    """
    from graphengine.diffusion import image_geometry

    return image_geometry.stitch(
        image1, image2, direction, match_size=match_image_size, spacing=spacing_width, color=spacing_color
    )


@node("ImageFromBatch", category="image/batch")
def image_from_batch(image: Image, batch_index: Index = 0, length: Length = 1) -> Image:
    """Take some pictures out of a batch.

    Args:
        image: The batch to take from.
        batch_index: The first one, from 0; below 0 counts from the end.
        length: How many pictures; no more than there are from there on.
    """
    from graphengine.diffusion import batches

    return Image(batches.chosen(image, batch_index, length))


@node("RepeatImageBatch", category="image/batch")
def repeat_image_batch(image: Image, amount: Amount = 1) -> Image:
    """Repeat the pictures of a batch.

    Args:
        image: What to repeat.
        amount: How often they are there afterwards.
    """
    from graphengine.diffusion import batches

    return Image(batches.repeated(image, amount))


@node("RebatchImages", category="image/batch", outputs="images")
def rebatch_images(images: list[Image], batch_size: Amount = 1) -> list[Image]:
    """Cut batches anew, as large as the memory allows; the nodes after it run once for each.

    Args:
        images: One batch, or a list of them.
        batch_size: Pictures in each batch; the last one may be smaller, and so is one before pictures of another size.
    """
    from graphengine.diffusion import batches

    return [Image(group) for group in batches.regrouped(images, batch_size)]
