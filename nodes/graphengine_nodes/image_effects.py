"""Change how pictures look: colours, sharpness, and several laid on each other; and find their lines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import InputError, Widget, node
from graphengine.diffusion.options import BlendMode
from graphengine.types import Image
from graphengine_nodes.inputs import Share

Radius = Annotated[int, Field(ge=1, le=256)]
Sigma = Annotated[float, Field(ge=0.1, le=100), Widget("number", step=0.1)]
Factor = Annotated[float, Field(ge=0, le=10), Widget("slider", step=0.05, to=3)]
Strength = Annotated[float, Field(ge=0.01, le=4), Widget("slider", step=0.01)]


@node("ImageInvert", category="image/color")
def image_invert(image: Image) -> Image:
    """Turn a picture into its negative.

    Args:
        image: What to make negative.
    """
    return Image(1.0 - image)


@node("ImageAdjust", category="image/color")
def image_adjust(
    image: Image,
    brightness: Factor = 1.0,
    contrast: Factor = 1.0,
    saturation: Factor = 1.0,
    hue: Annotated[float, Field(ge=-360, le=360), Widget("slider", step=1)] = 0.0,
    gamma: Annotated[float, Field(ge=0.05, le=10), Widget("slider", step=0.05, to=3)] = 1.0,
) -> Image:
    """Change the colours of a picture; what is set to change nothing leaves it bit for bit.

    Args:
        image: What to change.
        brightness: 0 is black, 2 twice as bright.
        contrast: 0 is grey, 2 twice as far from it.
        saturation: 0 is a grey picture, 2 twice as colourful.
        hue: Degrees around the colour circle: 120 makes red things green.
        gamma: Above 1 middle tones get lighter, below 1 darker; black and white stay.
    """
    from graphengine.diffusion import filters

    return filters.adjust(image, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, gamma=gamma)


@node("ImageBlend", category="image/color")
def image_blend(image1: Image, image2: Image, blend_factor: Share = 0.5, blend_mode: BlendMode = "normal") -> Image:
    """Lay a picture on another as painting programs do.

    Args:
        image1: The picture below; the result has its size.
        image2: The picture laid on it; one of another size is resized, and what doesn't fit is cut off.
        blend_factor: How much of the result replaces the picture below.
        blend_mode: normal covers, multiply darkens, screen lightens, overlay and the lights add contrast.
    """
    from graphengine.diffusion import blending

    return blending.blend(image1, image2, blend_mode, blend_factor)


@node("ImageBlur", category="image/filter")
def image_blur(image: Image, blur_radius: Radius = 1, sigma: Sigma = 1.0) -> Image:
    """Blur a picture.

    Args:
        image: The picture to soften; of a batch each.
        blur_radius: How many pixels away the blur reaches; three times sigma is enough.
        sigma: How soft: the Gaussian's standard deviation in pixels.
    """
    from graphengine.diffusion import filters

    return filters.blur(image, sigma, radius=blur_radius)


@node("ImageSharpen", category="image/filter")
def image_sharpen(
    image: Image,
    sharpen_radius: Radius = 1,
    sigma: Sigma = 1.0,
    alpha: Annotated[float, Field(ge=0, le=5), Widget("slider", step=0.01)] = 1.0,
) -> Image:
    """Sharpen a picture by strengthening what a blur would take away.

    Args:
        image: What to sharpen.
        sharpen_radius: How many pixels away the blur reaches.
        sigma: Size of the details: the Gaussian's standard deviation in pixels.
        alpha: How much; 0.1 doubles the details, 1 makes them eleven times as strong.
    """
    from graphengine.diffusion import filters

    return filters.sharpen(image, sigma, radius=sharpen_radius, amount=10 * alpha)


@node("Canny", category="image/lines")
def canny(image: Image, low_threshold: Strength = 0.4, high_threshold: Strength = 0.8) -> Image:
    """Find the edges of a picture: thin white lines on black, as ControlNets for edges take them.

    Args:
        image: What to look at.
        low_threshold: How strong an edge must be that goes on from a strong one.
        high_threshold: How strong an edge must be to count by itself; black beside white has about 2.6.
    """
    from graphengine.diffusion import edges

    return edges.canny(image, low=low_threshold, high=high_threshold)


@canny.check
def _(low_threshold: float, high_threshold: float) -> None:
    if low_threshold > high_threshold:
        raise InputError(
            "low_threshold",
            f"{low_threshold} is above the high threshold, {high_threshold}.",
            f"Choose at most {high_threshold}.",
        )


@node("LineArt", category="image/lines")
def line_art(
    image: Image,
    line_width: Annotated[float, Field(ge=0.3, le=20), Widget("slider", step=0.1, to=5)] = 1.0,
    detail: Annotated[float, Field(ge=0.001, le=1), Widget("slider", step=0.005, to=0.2)] = 0.02,
) -> Image:
    """Draw the lines of a picture, white on black, as ControlNets for line art and scribbles take them.

    Args:
        image: What to draw; dark lines and the dark sides of edges are found.
        line_width: In pixels; wider lines are fewer.
        detail: How much darker than its surroundings a line has to be; less draws more.
    """
    from graphengine.diffusion import edges

    return edges.line_art(image, sigma=line_width, detail=detail)
