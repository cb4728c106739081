"""The pack's nodes. Torch is imported where it is used, so that the nodes are listed at once."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.types import Image

Share = Annotated[float, Field(ge=0, le=1), Widget("slider", step=0.01)]


@node("film.Grain", category="film")
def grain(
    ctx: Context,
    image: Image,
    amount: Share = 0.08,
    size: Annotated[float, Field(ge=1, le=16)] = 1.5,
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0,
) -> Image:
    """Add film grain, strongest in the middle tones.

    Args:
        image: What to put it on.
        amount: Standard deviation of the grain at medium grey.
        size: Of a grain, in pixels.
        seed: Another number gives other grain.
    """
    import torch
    from torch.nn.functional import interpolate

    count, height, width, _ = image.shape
    cells = (max(1, round(height / size)), max(1, round(width / size)))
    noise = torch.randn((count, 1, *cells), generator=ctx.generator(seed))
    noise = interpolate(noise, (height, width), mode="bilinear")[:, 0, :, :, None]  # [B, H, W, 1]
    noise = noise / noise.std().clamp(min=1e-6)  # smoothing took some of its strength
    brightness = image.mean(dim=-1, keepdim=True)
    middle = 4 * brightness * (1 - brightness)  # 1 at medium grey, 0 at black and white
    return Image((image + amount * middle * noise).clamp(0, 1))


@node("film.MatchColors", category="film")
def match_colors(image: Image, reference: Image, strength: Share = 1.0) -> Image:
    """Give a picture the colours of another one, by matching the histogram of each channel.

    Args:
        image: The picture to change.
        reference: Where the colours come from; of any size.
        strength: 0 leaves the picture as it is, 1 takes the colours over wholly.
    """
    import torch

    wanted = reference.reshape(-1, 3).sort(dim=0).values  # the reference's values in order, by channel
    matched = torch.empty_like(image)
    for number, picture in enumerate(image):
        pixels = picture.reshape(-1, 3)
        rank = pixels.argsort(dim=0, stable=True).argsort(dim=0)  # each pixel's place among its picture's
        place = rank * (len(wanted) - 1) // max(len(pixels) - 1, 1)
        matched[number] = wanted.gather(0, place).reshape(picture.shape)
    return Image(torch.lerp(image, matched, strength))


@node("film.Bracket", category="film", outputs="images")
def bracket(
    image: Image,
    stops: Annotated[float, Field(gt=0, le=8)] = 1.5,
    count: Annotated[int, Field(ge=1, le=9)] = 3,
) -> list[Image]:
    """Expose a picture several times, from too dark to too bright.

    Nodes after it run once for each exposure; film.Fuse takes them all.

    Args:
        image: The picture.
        stops: From one exposure to the next; each stop doubles the light.
        count: How many exposures.
    """
    middle = (count - 1) / 2
    return [Image((image * 2 ** (stops * (number - middle))).clamp(0, 1)) for number in range(count)]


@node("film.Fuse", category="film", version=2)
def fuse(ctx: Context, images: list[Image], low: Share = 0.05, high: Share = 0.95) -> Image:
    """Make one picture of several exposures, from the parts of each that are neither too dark nor too bright.

    Args:
        images: The exposures, all of one size.
        low: Brightness below which a pixel counts little.
        high: Brightness above which a pixel counts little.
    """
    import torch

    if len({tuple(each.shape) for each in images}) != 1:
        raise InputError("images", "the exposures have different sizes.", "Put an ImageScale node before the list.")
    total = torch.zeros_like(images[0])
    weights = torch.zeros_like(images[0][..., :1])
    for image in ctx.progress(images):
        brightness = image.mean(dim=-1, keepdim=True)
        outside = (low - brightness).clamp(min=0) + (brightness - high).clamp(min=0)
        weight = torch.exp(-((brightness - 0.5) ** 2) / 0.08) * torch.exp(-outside * 50) + 1e-6
        total += weight * image
        weights += weight
    return Image(total / weights)


@fuse.check
def _(low: float, high: float) -> None:
    if low >= high:
        raise InputError("low", f"{low} is not below high, {high}.", "Choose a smaller value, such as 0.05.")


@fuse.migrate_from(1)
def _(inputs: dict[str, Any]) -> dict[str, Any]:
    """Take version 1 to 2, which has an end of its own on each side instead of one 'margin'."""
    margin = inputs.pop("margin", 0.05)
    return {**inputs, "low": margin, "high": 1 - margin}
