"""Merge models weight by weight: blended, block by block, or by what sets one apart from another.

Each weight is computed in float32 and rounded once to the first model's type; a merge is a network of its own, and what
it was made from stays as it is, be it a mapped file or another node's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from graphengine.diffusion.network_copies import with_weights
from graphengine.errors import InputError
from graphengine.types import Clip, Model, Vae

Blend = Callable[[str, Tensor, Tensor], Tensor]
"""Gives a weight by its name, and by what it is in the first and the second network, both float32."""


def blend_models(first: Model, second: Model, ratio: float) -> Model:
    """Mix two models.

    Args:
        ratio: Share of the first, 0…1.

    Raises:
        InputError: naming ``model2``, if it is of another kind.
    """
    return _merged(first, second, lambda _name, a, b: torch.lerp(b, a, ratio))


def blend_blocks(first: Model, second: Model, *, input: float, middle: float, out: float) -> Model:
    """Mix two UNets with a share of the first for each of their three parts.

    Args:
        input: Share of what leads down, with the first convolution and what reads the timestep.
        middle: Share of the block in the middle.
        out: Share of what leads up again, with the last convolution.

    Raises:
        InputError: if one isn't a UNet, or the second is of another kind.
    """
    if not isinstance(first.network, UNet2DConditionModel | UNet2DModel):
        raise InputError(
            "model1",
            f"its network is a {type(first.network).__name__}, which has no input, middle and output blocks.",
            "Merge it with ModelMergeSimple.",
        )
    shares = {"up_blocks": out, "conv_norm_out": out, "conv_out": out, "mid_block": middle}
    return _merged(first, second, lambda name, a, b: torch.lerp(b, a, shares.get(name.partition(".")[0], input)))


def add_models(first: Model, second: Model) -> Model:
    """Add the weights of two models; of use where one is a difference.

    Raises:
        InputError: as ``blend_models``.
    """
    return _merged(first, second, lambda _name, a, b: a + b)


def subtract_models(first: Model, second: Model, multiplier: float) -> Model:
    """Give what sets one model apart from another, times a factor: not a model to sample, but one to add.

    Raises:
        InputError: as ``blend_models``.
    """
    return _merged(first, second, lambda _name, a, b: (a - b) * multiplier)


def add_model_difference(base: Model, tuned: Model, original: Model, multiplier: float) -> Model:
    """Give a model what a fine-tuned one learned: ``base + multiplier * (tuned - original)``.

    An inpainting model may be the base: what it takes beside the latents is left as it is.

    Raises:
        InputError: naming ``model2`` or ``model3``, if that is of another kind.
    """
    _check_predictions(base, tuned, "model2")
    _check_predictions(base, original, "model3")
    network = _with_difference(base.network, tuned.network, original.network, multiplier, ("model2", "model3"))
    return replace(base, network=network, source=f"{base.source} + ({tuned.source} - {original.source})")


def blend_clips(first: Clip, second: Clip, ratio: float) -> Clip:
    """Mix the text encoders of two models.

    Args:
        ratio: Share of the first, 0…1.

    Raises:
        InputError: naming ``clip2``, if it is of another kind.
    """
    _check_counts(first, second, "clip2")
    encoders = tuple(
        replace(a, network=_blended(a.network, b.network, lambda _name, x, y: torch.lerp(y, x, ratio), "clip2"))
        for a, b in zip(first.encoders, second.encoders, strict=True)
    )
    return replace(first, encoders=encoders, source=_both(first.source, second.source))


def add_clip_difference(base: Clip, tuned: Clip, original: Clip, multiplier: float) -> Clip:
    """Give text encoders what fine-tuned ones learned: ``base + multiplier * (tuned - original)``.

    Raises:
        InputError: naming ``clip2`` or ``clip3``, if that is of another kind.
    """
    _check_counts(base, tuned, "clip2")
    _check_counts(base, original, "clip3")
    encoders = tuple(
        replace(a, network=_with_difference(a.network, b.network, c.network, multiplier, ("clip2", "clip3")))
        for a, b, c in zip(base.encoders, tuned.encoders, original.encoders, strict=True)
    )
    return replace(base, encoders=encoders, source=f"{base.source} + ({tuned.source} - {original.source})")


def blend_vaes(first: Vae, second: Vae, ratio: float) -> Vae:
    """Mix two autoencoders.

    Args:
        ratio: Share of the first, 0…1.

    Raises:
        InputError: naming ``vae2``, if it is of another kind.
    """
    network = _blended(first.autoencoder, second.autoencoder, lambda _name, a, b: torch.lerp(b, a, ratio), "vae2")
    return replace(first, autoencoder=network, source=_both(first.source, second.source))


def _merged(first: Model, second: Model, blend: Blend) -> Model:
    _check_predictions(first, second, "model2")
    network = _blended(first.network, second.network, blend, "model2")
    return replace(first, network=network, source=_both(first.source, second.source))


def _blended(first: nn.Module, second: nn.Module, blend: Blend, name: str) -> nn.Module:
    """Compute every weight anew."""
    a, b = dict(first.named_parameters()), _fitting(first, second, name)
    with torch.no_grad():
        return with_weights(
            first,
            {
                each: blend(each, weight.float(), b[each].to(weight.device).float()).to(weight.dtype)
                for each, weight in a.items()
            },
        )


def _with_difference(
    base: nn.Module, tuned: nn.Module, original: nn.Module, multiplier: float, names: tuple[str, str]
) -> nn.Module:
    weights = dict(base.named_parameters())
    new, old = _fitting(base, tuned, names[0], or_narrower=True), _fitting(base, original, names[1], or_narrower=True)
    changed = {}
    with torch.no_grad():
        for name, weight in weights.items():
            if new[name].shape != old[name].shape:
                raise _differs(names[1], name, old[name].shape, new[name].shape)
            difference = (new[name].to(weight.device).float() - old[name].to(weight.device).float()) * multiplier
            changed[name] = (weight.float() + _widened(difference, weight)).to(weight.dtype)
    return with_weights(base, changed)


def _fitting(
    network: nn.Module, other: nn.Module, name: str, *, or_narrower: bool = False
) -> Mapping[str, nn.Parameter]:
    """Give another network's weights, of the same names and shapes.

    Args:
        name: The input to blame.
        or_narrower: Whether a weight may take fewer channels.
    """
    ours, theirs = dict(network.named_parameters()), dict(other.named_parameters())
    missing = sorted(ours.keys() ^ theirs.keys())
    if missing:
        raise InputError(
            name,
            f"it is of another kind: only one of the two networks has {missing[0]!r} ({len(missing)} such weights).",
            "Merge models of one family.",
        )
    for each, weight in ours.items():
        shape = theirs[each].shape
        if weight.shape != shape and not (or_narrower and _is_narrower(shape, weight.shape)):
            raise _differs(name, each, shape, weight.shape)
    return theirs


def _is_narrower(shape: torch.Size, wider: torch.Size) -> bool:
    """Tell whether a convolution takes fewer channels, and is as large otherwise."""
    return len(shape) == len(wider) == 4 and shape[1] < wider[1] and (shape[0], *shape[2:]) == (wider[0], *wider[2:])


def _widened(difference: Tensor, weight: Tensor) -> Tensor:
    """Fill up with zeros what a wider convolution takes besides; latents come first in it."""
    return (
        difference
        if difference.ndim != 4
        else F.pad(difference, (0, 0, 0, 0, 0, weight.shape[1] - difference.shape[1]))
    )


def _differs(name: str, weight: str, shape: torch.Size, other: torch.Size) -> InputError:
    return InputError(
        name,
        f"it is of another kind: its {weight!r} is {list(shape)}, and the other's {list(other)}.",
        "Merge models of one family.",
    )


def _check_predictions(first: Model, second: Model, name: str) -> None:
    if first.prediction != second.prediction:
        raise InputError(
            name,
            f"it predicts {second.prediction!r}, and the first {first.prediction!r}: their weights mean other things.",
            "Merge models that predict the same.",
        )


def _check_counts(first: Clip, second: Clip, name: str) -> None:
    if len(first.encoders) != len(second.encoders):
        raise InputError(
            name,
            f"it has {len(second.encoders)} text encoders, and the first {len(first.encoders)}.",
            "Merge those of one family.",
        )


def _both(first: str, second: str) -> str:
    return f"{first} and {second}"
