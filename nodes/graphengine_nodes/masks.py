"""Masks: which part of a picture is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from graphengine import FilesIn, Widget, node
from graphengine.diffusion.geometry import Shape, parse_geometry
from graphengine.diffusion.options import Channel, ChannelOrAlpha, MaskOperation
from graphengine.types import Image, Mask
from graphengine_nodes.inputs import Offset, Share, Side, SideOrZero


@node("Mask", category="mask")
def draw_mask(
    shape: Shape = "rectangle",
    geometry: str = "25%,25%,50%,50%",
    width: Side = 128,
    height: Side = 128,
    feather: Annotated[float, Field(ge=0, le=1024)] = 0.0,
) -> Mask:
    """Draw a mask: white where the shape is.

    Args:
        shape: rectangle and ellipse fill a box, polygon joins its corners, gradient rises from one point to another.
        geometry: Where, in pixels or percent. Rectangle and ellipse "x,y,width,height"; polygon "x,y x,y x,y …";
            gradient "x,y x,y", from black to white.
        width: Of the mask, in pixels.
        height: Of the mask, in pixels.
        feather: Pixels over which the edge fades softly, half of them inside the shape.
    """
    from graphengine.diffusion import masks

    return masks.draw(shape, geometry, width, height, feather=feather)


@draw_mask.check
def _(shape: Shape, geometry: str, width: int, height: int) -> None:
    parse_geometry(shape, geometry, width, height)


@node("SolidMask", category="mask")
def solid_mask(value: Share = 1.0, width: Side = 512, height: Side = 512) -> Mask:
    """Make a mask that is the same everywhere.

    Args:
        value: 1 selects all, 0 nothing.
        width: Of the mask, in pixels.
        height: Of the mask, in pixels.
    """
    from graphengine.diffusion import masks

    return masks.solid(value, width, height)


@node("CropMask", category="mask")
def crop_mask(mask: Mask, x: SideOrZero = 0, y: SideOrZero = 0, width: Side = 512, height: Side = 512) -> Mask:
    """Cut a rectangle out of a mask.

    Args:
        mask: What to cut from.
        x: Its left edge, in pixels.
        y: Its top edge, in pixels.
        width: Of the part, in pixels.
        height: Of the part, in pixels.
    """
    from graphengine.diffusion import image_geometry

    return Mask(image_geometry.crop(mask, x=x, y=y, width=width, height=height))


@node("InvertMask", category="mask")
def invert_mask(mask: Mask) -> Mask:
    """Select what was not selected.

    Args:
        mask: What to turn around.
    """
    from graphengine.diffusion import masks

    return masks.invert(mask)


@node("GrowMask", category="mask")
def grow_mask(mask: Mask, expand: Offset = 0, tapered_corners: bool = True) -> Mask:
    """Widen or narrow what a mask selects.

    Args:
        mask: What to change.
        expand: Pixels to widen by; negative narrows.
        tapered_corners: Cut corners off while growing; else they stay square.
    """
    from graphengine.diffusion import masks

    return masks.grow(mask, expand, tapered_corners=tapered_corners)


@node("FeatherMask", category="mask")
def feather_mask(
    mask: Mask, left: SideOrZero = 0, top: SideOrZero = 0, right: SideOrZero = 0, bottom: SideOrZero = 0
) -> Mask:
    """Fade a mask out towards the borders of the picture.

    Args:
        mask: What to change.
        left: Pixels over which it fades at the left border.
        top: Pixels over which it fades at the top.
        right: Pixels over which it fades at the right border.
        bottom: Pixels over which it fades at the bottom.
    """
    from graphengine.diffusion import masks

    return masks.feather_edges(mask, left=left, top=top, right=right, bottom=bottom)


@node("ThresholdMask", category="mask")
def threshold_mask(mask: Mask, value: Share = 0.5) -> Mask:
    """Make a mask hard: all or nothing.

    Args:
        mask: What to change.
        value: What is brighter becomes white, the rest black.
    """
    from graphengine.diffusion import masks

    return masks.threshold(mask, value)


@node("MaskComposite", category="mask")
def mask_composite(
    destination: Mask, source: Mask, x: Offset = 0, y: Offset = 0, operation: MaskOperation = "multiply"
) -> Mask:
    """Combine two masks.

    Args:
        destination: The mask below; the result has its size.
        source: The mask laid on it; where it doesn't reach, the destination stays.
        x: Where the source's left edge lies, in pixels.
        y: Where the source's top edge lies, in pixels.
        operation: multiply and "and" keep what both select, add and "or" what either selects, subtract takes the source
            away, xor keeps what only one selects.
    """
    from graphengine.diffusion import masks

    return masks.composite(destination, source, x=x, y=y, operation=operation)


@node("ImageToMask", category="mask")
def image_to_mask(image: Image, channel: Channel = "red") -> Mask:
    """Take one colour of a picture as a mask: the brighter, the more selected.

    Args:
        image: The picture to read; of a batch each.
        channel: Which colour; in a grey picture all three are the same.
    """
    from graphengine.diffusion import masks

    return masks.from_image(image, channel)


@node("ImageColorToMask", category="mask")
def image_color_to_mask(
    image: Image, color: Annotated[int, Field(ge=0, le=0xFFFFFF)] = 0, tolerance: Share = 0.0
) -> Mask:
    """Select what has one colour in a picture.

    Args:
        image: The picture to read; of a batch each.
        color: Red, green and blue as one number, red × 65536 + green × 256 + blue: 0 is black, 16777215 white.
        tolerance: How far each of the three may be off; 0 takes that colour alone.
    """
    from graphengine.diffusion import masks

    return masks.from_color(image, color, tolerance)


@node("LoadImageMask", category="mask", outputs="mask")
def load_image_mask(
    image: Annotated[Path, FilesIn("input"), Widget("image")], channel: ChannelOrAlpha = "alpha"
) -> Mask:
    """Open a picture from the input folder as a mask.

    Args:
        image: The picture file.
        channel: alpha selects what is transparent, as LoadImage's mask does; a colour selects what is bright in it.
    """
    from graphengine.diffusion import images, masks

    picture, transparent = images.load(image)
    return transparent if channel == "alpha" else masks.from_image(picture, channel)


@node("MaskToImage", category="mask")
def mask_to_image(mask: Mask) -> Image:
    """Show a mask as a black and white picture.

    Args:
        mask: What to show: white where it selects.
    """
    from graphengine.diffusion import masks

    return masks.to_image(mask)
