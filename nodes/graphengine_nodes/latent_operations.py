"""Change, join and calculate with latents. Places and sizes are in pixels of the picture, multiples of 8."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import InputError, node
from graphengine.diffusion.options import Axis, Flip, Resampling, Rotation
from graphengine.types import Latent, Mask
from graphengine_nodes.inputs import Amount, Index, Length, Offset, ScaleBy, Share, Side

CellOffset = Annotated[Offset, Field(multiple_of=8)]
CellSide = Annotated[Side, Field(multiple_of=8)]


@node("LatentUpscaleBy", category="latent")
def latent_upscale_by(samples: Latent, upscale_method: Resampling = "nearest-exact", scale_by: ScaleBy = 1.5) -> Latent:
    """Resize a latent by a factor; a second KSampler with less denoise then draws the details.

    Args:
        samples: What to resize.
        upscale_method: How values between the old ones are found.
        scale_by: New sides for each old one, rounded to whole cells of 8 pixels.
    """
    from graphengine.diffusion import latents

    return latents.upscale_by(samples, scale_by, method=upscale_method)


@node("LatentCrop", category="latent/transform")
def latent_crop(
    samples: Latent, width: CellSide = 512, height: CellSide = 512, x: CellOffset = 0, y: CellOffset = 0
) -> Latent:
    """Cut a rectangle out of a latent, and out of its mask.

    Args:
        samples: What to cut from.
        width: Of the part, in pixels.
        height: Of the part, in pixels.
        x: Its left edge, in pixels.
        y: Its top edge, in pixels.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.crop(samples, x=x, y=y, width=width, height=height)


@node("LatentFlip", category="latent/transform")
def latent_flip(samples: Latent, flip_method: Flip = "x-axis: vertically") -> Latent:
    """Mirror a latent. Decoded it is roughly the mirrored picture; a sampler with some denoise mends the rest.

    Args:
        samples: What to mirror.
        flip_method: Upside down, or left to right.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.flip(samples, flip_method)


@node("LatentRotate", category="latent/transform")
def latent_rotate(samples: Latent, rotation: Rotation = "90 degrees") -> Latent:
    """Turn a latent clockwise. Decoded it is roughly the turned picture; a sampler with some denoise mends the rest.

    Args:
        samples: The latent to turn; its mask turns with it.
        rotation: How far, clockwise.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.rotate(samples, rotation)


@node("LatentComposite", category="latent")
def latent_composite(
    samples_to: Latent, samples_from: Latent, x: CellOffset = 0, y: CellOffset = 0, feather: CellOffset = 0
) -> Latent:
    """Lay a latent on another.

    Args:
        samples_to: The latent below; the result has its size and its mask.
        samples_from: The latent laid on it; what reaches over the border is cut off.
        x: Where its left edge lies, in pixels.
        y: Where its top edge lies, in pixels.
        feather: Pixels over which it fades in at its edges, but not at the border of the latent below.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.composite(samples_to, samples_from, x=x, y=y, feather=feather)


@latent_composite.check
def _(feather: int) -> None:
    if feather < 0:
        raise InputError("feather", f"{feather} is below 0.", "Choose 0 for a hard edge, or more.")


@node("LatentCompositeMasked", category="latent")
def latent_composite_masked(
    destination: Latent,
    source: Latent,
    x: CellOffset = 0,
    y: CellOffset = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Latent:
    """Lay a latent on another through a mask.

    Args:
        destination: The latent below; the result has its size and its mask.
        source: The latent laid on it; what reaches over the border is cut off.
        x: Where the source's left edge lies, in pixels.
        y: Where the source's top edge lies, in pixels.
        resize_source: Stretch the source to the destination first.
        mask: Which part of the source shows; left open, all of it. It is resized to the source.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.composite_masked(destination, source, x=x, y=y, resize_source=resize_source, mask=mask)


@node("LatentBlend", category="latent")
def latent_blend(samples1: Latent, samples2: Latent, blend_factor: Share = 0.5) -> Latent:
    """Mix two latents.

    Args:
        samples1: The first; it decides the size, and the result has its mask.
        samples2: The second, resized to the first.
        blend_factor: Share of the first; 1 leaves nothing of the second.
    """
    from graphengine.diffusion import latent_arithmetic

    return latent_arithmetic.blend(samples1, samples2, blend_factor)


@node("LatentInterpolate", category="latent/arithmetic")
def latent_interpolate(samples1: Latent, samples2: Latent, ratio: Share = 1.0) -> Latent:
    """Mix two latents so that no contrast is lost in between: their directions and their strengths apart.

    Args:
        samples1: The first; it decides the size, and the result has its mask.
        samples2: The second, resized to the first.
        ratio: Share of the first.
    """
    from graphengine.diffusion import latent_arithmetic

    return latent_arithmetic.interpolate(samples1, samples2, ratio)


@node("LatentAdd", category="latent/arithmetic")
def latent_add(samples1: Latent, samples2: Latent) -> Latent:
    """Add two latents, value by value.

    Args:
        samples1: The first; it decides the size, and the result has its mask.
        samples2: The second, resized to the first.
    """
    from graphengine.diffusion import latent_arithmetic

    return latent_arithmetic.add(samples1, samples2)


@node("LatentSubtract", category="latent/arithmetic")
def latent_subtract(samples1: Latent, samples2: Latent) -> Latent:
    """Take a latent away from another, value by value.

    Args:
        samples1: What is taken away from; it decides the size, and the result has its mask.
        samples2: What is taken away, resized to the first.
    """
    from graphengine.diffusion import latent_arithmetic

    return latent_arithmetic.subtract(samples1, samples2)


@node("LatentMultiply", category="latent/arithmetic")
def latent_multiply(samples: Latent, multiplier: Annotated[float, Field(ge=-100, le=100)] = 1.0) -> Latent:
    """Multiply every value of a latent by a number.

    Args:
        samples: What to multiply.
        multiplier: Below 1 pictures get flatter, above 1 stronger.
    """
    from graphengine.diffusion import latent_arithmetic

    return latent_arithmetic.multiply(samples, multiplier)


@node("LatentConcat", category="latent/transform")
def latent_concat(samples1: Latent, samples2: Latent, dim: Axis = "x") -> Latent:
    """Put two latents beside each other.

    Args:
        samples1: The first; masks are joined as well.
        samples2: The second; only the side along which it is joined may differ.
        dim: x side by side, y one below the other, t one batch after the other; with a minus sign the second first.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.joined(samples1, samples2, dim)


@node("LatentCut", category="latent/transform")
def latent_cut(samples: Latent, dim: Axis = "x", index: Index = 0, amount: Length = 1) -> Latent:
    """Take a strip out of a latent, or items out of its batch.

    Args:
        samples: What to cut from.
        dim: x takes columns, y rows, t items of the batch.
        index: The first one, from 0; below 0 counts from the end. A column or row is 8 pixels.
        amount: How many columns, rows or items.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.cut(samples, dim, index, amount)


@node("LatentBatch", category="latent/batch")
def latent_batch(samples1: Latent, samples2: Latent) -> Latent:
    """Put latents into one batch, one after the other.

    Args:
        samples1: The first latents; they decide the size.
        samples2: The latents that follow. Those of another size are resized, and what doesn't fit is cut off.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.batch(samples1, samples2)


@node("RepeatLatentBatch", category="latent/batch")
def repeat_latent_batch(samples: Latent, amount: Amount = 1) -> Latent:
    """Repeat the latents of a batch; a sampler gives each repetition noise of its own.

    Args:
        samples: What to repeat.
        amount: How often they are there afterwards.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.repeat(samples, amount)


@node("LatentFromBatch", category="latent/batch")
def latent_from_batch(samples: Latent, batch_index: Index = 0, length: Length = 1) -> Latent:
    """Take some latents out of a batch.

    Args:
        samples: The batch to take from.
        batch_index: The first one, from 0; below 0 counts from the end.
        length: How many items; no more than there are from there on.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.from_batch(samples, batch_index, length)


@node("RebatchLatents", category="latent/batch", outputs="latents")
def rebatch_latents(latents: list[Latent], batch_size: Amount = 1) -> list[Latent]:
    """Cut batches anew, as large as the memory allows; the nodes after it run once for each.

    Args:
        latents: One batch, or a list of them.
        batch_size: Latents in each batch; the last one may be smaller, and so is one before latents of another size.
    """
    from graphengine.diffusion import latent_geometry

    return latent_geometry.rebatch(latents, batch_size)
