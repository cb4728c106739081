"""Give models IP-Adapters, after a look at whether they were made for each other.

Nothing is computed here: the model only remembers which pictures it is to attend to, see ``image_prompts``. Of Stable
Diffusion XL it is known that one layer's attention decides about style, and another's about composition.

Source: Wang et al. 2024, arXiv:2404.02733, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from graphengine.diffusion.adapters import base_network
from graphengine.diffusion.lora_names import family_of
from graphengine.diffusion.options import PictureAspect, PictureCombination
from graphengine.errors import InputError
from graphengine.types import ClipVisionOutput, ImagePrompt, IPAdapter, Mask, Model

__all__ = ["reader_names", "with_pictures"]

_READER = ".attn2"  # ends the names of attentions that read the prompt
_LAYERS: Mapping[PictureAspect, tuple[str, ...]] = {  # of Stable Diffusion XL
    "all": (),
    "style": ("up_blocks.0.attentions.1.",),
    "composition": ("down_blocks.2.attentions.1.",),
    "style and composition": ("up_blocks.0.attentions.1.", "down_blocks.2.attentions.1."),
}


def with_pictures(
    model: Model,
    ip_adapter: IPAdapter,
    pictures: ClipVisionOutput,
    *,
    weight: float,
    timesteps: tuple[float, float] = (0.0, 1.0),
    mask: Mask | None = None,
    combine: PictureCombination = "concat",
    aspect: PictureAspect = "all",
) -> Model:
    """Give a model that attends to pictures too.

    Args:
        weight: How much they count beside the prompt; 0 leaves the model as it is.
        timesteps: When they count, as shares of the way from pure noise (0) to the picture (1).
        mask: Where they count.
        combine: Whether it attends to all of several pictures, or to their mean.
        aspect: What it takes from them.

    Raises:
        InputError: if the adapter is for another family, or reads another image encoder, or it isn't known which of
            the model's layers decide about the aspect.
    """
    _check_fit(model, ip_adapter, pictures)
    _check_aspect(model, aspect)
    if weight == 0:
        return model
    shown = pictures.pooled if ip_adapter.reads == "pooled" else pictures.states
    blank = torch.zeros_like(shown[:1]) if ip_adapter.reads == "pooled" else pictures.blank
    if combine == "average":
        shown = shown.mean(dim=0, keepdim=True)
    prompt = ImagePrompt(ip_adapter, shown, blank, weight, timesteps, mask, _LAYERS[aspect])
    return replace(model, image_prompts=(*model.image_prompts, prompt))


def reader_names(network: nn.Module) -> list[str]:
    """Name the attentions that read the prompt, in the order by which adapters number them: that of diffusers' own."""
    return [name for name, _ in network.named_modules() if name.endswith(_READER)]


def _check_fit(model: Model, ip_adapter: IPAdapter, pictures: ClipVisionOutput) -> None:
    network: Any = base_network(model)  # Any: diffusers' networks are untyped
    adapter: Any = ip_adapter.network  # Any: modules in modules aren't typed
    if not isinstance(network, UNet2DConditionModel) or network.config.encoder_hid_dim_type is not None:
        raise InputError(
            "model", f"its network, a {type(network).__name__}, can't attend to pictures.", "Choose a Stable Diffusion."
        )
    sizes = [list(network.get_submodule(name).to_k.weight.shape) for name in reader_names(network)]
    theirs = [list(each["to_k_ip"].weight.shape) for each in adapter["layers"]]
    if sizes != theirs:
        made_for, this = (family_of(each[0][1]) if each else "no prompt" for each in (theirs, sizes))
        raise InputError(
            "ip_adapter",
            f"{ip_adapter.source!r} is made for {made_for}, this model is of {this}: "
            f"it has {len(theirs)} attentions, the model {len(sizes)}.",
            "Choose an IP-Adapter for this model's family.",
        )
    width = (pictures.pooled if ip_adapter.reads == "pooled" else pictures.states).shape[-1]
    wanted = _read_width(adapter["image_proj"])
    if width != wanted:
        raise InputError(
            "pictures",
            f"{pictures.source!r} says {width} numbers of a picture, {ip_adapter.source!r} reads {wanted}.",
            "Choose the image encoder that the IP-Adapter was trained with.",
        )


def _check_aspect(model: Model, aspect: PictureAspect) -> None:
    network: Any = base_network(model)  # Any: diffusers' networks are untyped
    names = reader_names(network)
    are_there = all(any(name.startswith(layer) for name in names) for layer in _LAYERS[aspect])
    if aspect != "all" and (network.config.addition_embed_type != "text_time" or not are_there):
        raise InputError(
            "aspect",
            f"which of this model's layers decide about {aspect} isn't known.",
            'Choose "all", or a Stable Diffusion XL model.',
        )


def _read_width(projection: nn.Module) -> int:
    """Tell how many numbers a projection's first layer reads."""
    first = next(each for name, each in projection.named_modules() if isinstance(each, nn.Linear))
    return first.in_features
