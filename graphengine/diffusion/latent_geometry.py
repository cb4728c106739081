"""Move latents about: cut out, turn, put on each other, join and take apart.

Places and sizes are in pixels of the picture, whole multiples of ``FACTOR``. A latent's mask has pixels of its own; it
is turned, cut and joined as the latent is. Where two latents come together, one without a mask counts as selected
wholly, for that is how it would be sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphengine.diffusion.batches import chosen, common_batch, regrouped, repeated, widened
from graphengine.diffusion.latents import FACTOR, check_multiple, upscale
from graphengine.diffusion.masks import feather_edges, overlap
from graphengine.diffusion.options import Axis, Flip, Rotation, turns
from graphengine.diffusion.resampling import resize
from graphengine.errors import InputError
from graphengine.types import Latent, Mask

_AXES: dict[str, int] = {"t": 0, "y": 2, "x": 3}


def crop(latent: Latent, *, x: int, y: int, width: int, height: int) -> Latent:
    """Cut a rectangle out, given in pixels.

    Raises:
        InputError: if a number is no multiple of the factor, or the rectangle reaches over the border.
    """
    rows, columns = latent.samples.shape[-2:]
    for name, begin, side, whole in (("x", x, width, columns * FACTOR), ("y", y, height, rows * FACTOR)):
        side_name = "width" if name == "x" else "height"
        check_multiple(name, begin)
        check_multiple(side_name, side)
        if side <= 0 or begin < 0 or begin + side > whole:
            raise InputError(
                side_name,
                f"{side} from {name} = {begin} on reaches over the border of a latent for {whole} pixels.",
                f"Choose {name} and {side_name} so that they are at most {whole} together.",
            )
    there = slice(y // FACTOR, (y + height) // FACTOR), slice(x // FACTOR, (x + width) // FACTOR)
    mask = _mask_in_pixels(latent)
    return Latent(
        latent.samples[(..., *there)].contiguous(),
        None if mask is None else Mask(mask[..., y : y + height, x : x + width].contiguous()),
    )


def flip(latent: Latent, method: Flip) -> Latent:
    """Mirror up and down, or left and right."""
    axis = -2 if method.startswith("x") else -1
    return _each(latent, lambda planes: planes.flip(axis))


def rotate(latent: Latent, rotation: Rotation) -> Latent:
    """Turn clockwise by quarters."""
    quarters = turns(rotation)
    return _each(latent, lambda planes: torch.rot90(planes, quarters, (-1, -2)).contiguous()) if quarters else latent


def composite(destination: Latent, source: Latent, *, x: int, y: int, feather: int = 0) -> Latent:
    """Lay a latent on another; what reaches over the border is cut off.

    Args:
        x: Where the source's left edge lies on the destination, in pixels; may be negative.
        y: Where its top edge lies.
        feather: Pixels over which the source fades in at those of its edges that lie inside the destination.

    Returns:
        The destination's size, and its mask.
    """
    check_multiple("x", x)
    check_multiple("y", y)
    rows, columns = source.samples.shape[-2:]
    below_rows, below_columns = destination.samples.shape[-2:]
    left, top, cells = x // FACTOR, y // FACTOR, feather // FACTOR
    share = feather_edges(
        Mask(torch.ones(1, rows, columns)),
        left=cells if left > 0 else 0,
        top=cells if top > 0 else 0,
        right=cells if left + columns < below_columns else 0,
        bottom=cells if top + rows < below_rows else 0,
    )
    return _laid_on(destination, source, left, top, share, names=("samples_to", "samples_from"))


def composite_masked(
    destination: Latent, source: Latent, *, x: int, y: int, resize_source: bool = False, mask: Mask | None = None
) -> Latent:
    """Lay a latent on another through a mask; where that is 0 the destination stays, bit for bit.

    Args:
        x: Where the source's left edge lies on the destination, in pixels; may be negative.
        y: Where its top edge lies.
        resize_source: Stretch the source to the destination's size first.
        mask: How much of the source shows, resized to the source; None shows all of it.

    Returns:
        The destination's size, and its mask.
    """
    check_multiple("x", x)
    check_multiple("y", y)
    if resize_source:
        rows, columns = destination.samples.shape[-2:]
        source = Latent(resize(source.samples, columns, rows, method="bilinear"))
    rows, columns = source.samples.shape[-2:]
    share = torch.ones(1, rows, columns)
    if mask is not None:
        share = resize(mask[:, None], columns, rows, method="bilinear")[:, 0].clamp(0, 1)
    return _laid_on(destination, source, x // FACTOR, y // FACTOR, share, names=("destination", "source"))


def joined(first: Latent, second: Latent, axis: Axis) -> Latent:
    """Put two latents beside each other along an axis; with a minus sign the second comes first.

    Args:
        axis: ``x`` across, ``y`` down, ``t`` one batch after the other.

    Raises:
        InputError: if their other sides differ.
    """
    if axis.startswith("-"):
        first, second = second, first
    along = _AXES[axis.removeprefix("-")]
    if along:
        count = common_batch({"samples1": first.samples, "samples2": second.samples})
        first, second = (_each(each, lambda part: widened(part, count)) for each in (first, second))
    shapes = [[size for axis_, size in enumerate(each.samples.shape) if axis_ != along] for each in (first, second)]
    if shapes[0] != shapes[1]:
        raise InputError(
            "samples2",
            f"latents of shape {list(second.samples.shape)} can't be put beside {list(first.samples.shape)} "
            f"along {axis}.",
            "Only the side along which they are joined may differ; bring the others to one size with LatentUpscale.",
        )
    samples = torch.cat([first.samples, second.samples], along)
    if first.noise_mask is None and second.noise_mask is None:
        return Latent(samples)
    masks: list[Tensor] = [_mask_or_all(each) for each in (first, second)]
    return Latent(samples, Mask(torch.cat(masks, {0: 0, 2: 1, 3: 2}[along])))


def cut(latent: Latent, axis: Axis, index: int, amount: int) -> Latent:
    """Take cells ``index`` to ``index + amount`` along an axis: columns, rows or items of the batch, not pixels.

    Raises:
        InputError: if there are not as many.
    """
    along = _AXES[axis.removeprefix("-")]
    samples = chosen(latent.samples.transpose(0, along), index, amount, named=("index", "amount")).transpose(0, along)
    if not along:
        return Latent(samples, _mask_of_items(latent, index, amount))
    mask = _mask_in_pixels(latent)
    if mask is not None:
        begin = index % latent.samples.shape[along] * FACTOR
        mask = Mask(mask.narrow(along - 1, begin, amount * FACTOR).contiguous())
    return Latent(samples.contiguous(), mask)


def batch(first: Latent, second: Latent) -> Latent:
    """Put one batch after another; latents of another size are resized to the first's, the middle of them."""
    rows, columns = first.samples.shape[-2:]
    if second.samples.shape[-2:] != first.samples.shape[-2:]:
        second = upscale(second, columns * FACTOR, rows * FACTOR, method="bilinear", crop="center")
    return joined(first, second, "t")


def repeat(latent: Latent, amount: int) -> Latent:
    """Repeat a batch as a whole: a b a b."""
    mask = latent.noise_mask
    if mask is not None and len(mask) > 1:
        mask = Mask(repeated(mask, amount))
    return Latent(repeated(latent.samples, amount), mask)


def from_batch(latent: Latent, index: int, length: int) -> Latent:
    """Take ``length`` items from ``index`` on.

    Raises:
        InputError: if there are not as many.
    """
    return Latent(chosen(latent.samples, index, length), _mask_of_items(latent, index, length))


def rebatch(latents: Sequence[Latent], size: int) -> list[Latent]:
    """Cut a row of latents anew into batches of a size; a smaller one remains at the end of each run of one shape."""
    groups = regrouped([each.samples for each in latents], size)
    if all(each.noise_mask is None for each in latents):
        return [Latent(group) for group in groups]
    masks = regrouped([widened(_mask_or_all(each), len(each.samples)) for each in latents], size)
    return [Latent(group, Mask(mask)) for group, mask in zip(groups, masks, strict=True)]


def _laid_on(
    destination: Latent, source: Latent, left: int, top: int, share: Tensor, *, names: tuple[str, str]
) -> Latent:
    """Mix the source in by a share [B or 1, h, w] of its own size.

    Args:
        left: In cells; so is ``top``.
        names: What the user calls the two.
    """
    if destination.samples.shape[1] != source.samples.shape[1]:
        raise InputError(
            names[1],
            f"latents of {source.samples.shape[1]} channels on latents of {destination.samples.shape[1]}.",
            "Take both from the same model.",
        )
    count = common_batch({names[0]: destination.samples, names[1]: source.samples, "mask": share})
    there, here = overlap(destination.samples.shape[-2:], source.samples.shape[-2:], left, top)
    result = widened(destination.samples, count).clone()
    below, above, part = result[(..., *there)], source.samples[(..., *here)], share[(..., *here)][:, None]
    result[(..., *there)] = below * (1 - part) + above * part
    return Latent(result, destination.noise_mask)


def _each(latent: Latent, change: Callable[[Tensor], Tensor]) -> Latent:
    """Do the same with the samples and the mask."""
    mask = latent.noise_mask
    return Latent(change(latent.samples), None if mask is None else Mask(change(mask)))


def _mask_in_pixels(latent: Latent) -> Mask | None:
    """Give the mask with ``FACTOR`` pixels for each cell."""
    if latent.noise_mask is None:
        return None
    rows, columns = latent.samples.shape[-2:]
    return Mask(resize(latent.noise_mask[:, None], columns * FACTOR, rows * FACTOR, method="bilinear")[:, 0])


def _mask_or_all(latent: Latent) -> Mask:
    """Give the mask in pixels for each item; all is selected where there is none."""
    mask = _mask_in_pixels(latent)
    if mask is None:
        rows, columns = latent.samples.shape[-2:]
        mask = Mask(torch.ones(1, rows * FACTOR, columns * FACTOR))
    return Mask(widened(mask, len(latent.samples)))


def _mask_of_items(latent: Latent, index: int, length: int) -> Mask | None:
    mask = latent.noise_mask
    return Mask(chosen(mask, index, length)) if mask is not None and len(mask) > 1 else mask
