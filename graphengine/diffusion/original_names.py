"""The names that weights have in single-file checkpoints, beside those of diffusers and transformers.

Single files keep the names of the programs that first trained such models: latent-diffusion for the denoiser and the
autoencoder, OpenCLIP for some text encoders. What a weight is called follows from the network's structure:

    down_blocks.1.resnets.0.conv1.weight    input_blocks.4.0.in_layers.2.weight     blocks counted through all levels
    up_blocks.0.upsamplers.0.conv.bias      output_blocks.2.1.conv.bias             where they lie in their block
    decoder.up_blocks.0.resnets.0…          decoder.up.3.block.0…                   levels counted from the finest
    layers.3.self_attn.k_proj.weight        resblocks.3.attn.in_proj_weight         the second third of its rows

One table of places for each network serves both ways, reading and writing. Weights that the original programs don't
have, such as those which pool a prompt's states, keep their name.

Sources: github.com/CompVis/latent-diffusion, github.com/mlfoundations/open_clip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

TextForm = Literal["clip", "open_clip", "t5"]
Config = Mapping[str, Any]  # Any: a network's configuration, of JSON values


class Place(NamedTuple):
    """Where one weight of a network is in a file.

    Attributes:
        name: The tensor's name there.
        third: Which third of its rows it is; None for all of it.
        form: How it differs there: ``transposed``, a matrix written as the ``convolution`` over one cell it was, or the
            halves of its rows ``swapped``.
    """

    name: str
    third: int | None = None
    form: Literal["same", "transposed", "convolution", "swapped"] = "same"


Places = Mapping[str, Place]


def unet_places(names: Iterable[str], config: Config, prefix: str = "model.diffusion_model.") -> Places:
    """Give the places of a ``UNet2DConditionModel``'s weights."""
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        raise ValueError(f"levels of different depth ({layers}) have no name in single files")
    attends = [kind.startswith("CrossAttn") for kind in config["up_block_types"]]
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"(time|add)_embedding\.linear_([12])\.", lambda m: f"{_EMBEDDINGS[m[1]]}.{2 * int(m[2]) - 2}."),
        (r"conv_in\.", lambda m: "input_blocks.0.0."),
        (r"conv_norm_out\.", lambda m: "out.0."),
        (r"conv_out\.", lambda m: "out.2."),
        (
            r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.",
            lambda m: f"input_blocks.{1 + int(m[1]) * (layers + 1) + int(m[3])}.{_WITHIN[m[2]]}.",
        ),
        (
            r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.",
            lambda m: f"input_blocks.{(int(m[1]) + 1) * (layers + 1)}.0.op.",
        ),
        (r"mid_block\.resnets\.(\d)\.", lambda m: f"middle_block.{2 * int(m[1])}."),
        (r"mid_block\.attentions\.0\.", lambda m: "middle_block.1."),
        (
            r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.",
            lambda m: f"output_blocks.{int(m[1]) * (layers + 1) + int(m[3])}.{_WITHIN[m[2]]}.",
        ),
        (
            r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.",
            lambda m: f"output_blocks.{int(m[1]) * (layers + 1) + layers}.{2 if attends[int(m[1])] else 1}.conv.",
        ),
    ]
    return {name: Place(prefix + _within_unet(name, _renamed(name, rules))) for name in names}


def vae_places(names: Iterable[str], config: Config, prefix: str = "first_stage_model.") -> Places:
    """Give the places of an ``AutoencoderKL``'s weights."""
    last = len(config["block_out_channels"]) - 1
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"encoder\.down_blocks\.(\d+)\.resnets\.", lambda m: f"encoder.down.{m[1]}.block."),
        (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", lambda m: f"encoder.down.{m[1]}.downsample."),
        (r"decoder\.up_blocks\.(\d+)\.resnets\.", lambda m: f"decoder.up.{last - int(m[1])}.block."),
        (r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"decoder.up.{last - int(m[1])}.upsample."),
        (r"(en|de)coder\.mid_block\.resnets\.(\d)\.", lambda m: f"{m[1]}coder.mid.block_{int(m[2]) + 1}."),
        (r"(en|de)coder\.mid_block\.attentions\.0\.", lambda m: f"{m[1]}coder.mid.attn_1."),
        (r"(en|de)coder\.conv_norm_out\.", lambda m: f"{m[1]}coder.norm_out."),
    ]
    return {name: _vae_place(name, prefix + _renamed(name, rules)) for name in names}


def text_places(names: Iterable[str], form: TextForm, prefix: str) -> Places:
    """Give the places of the weights of a transformers text encoder.

    Args:
        prefix: Up to the encoder's own names: ``cond_stage_model.transformer.`` or ``conditioner.embedders.1.model.``.
    """
    if form == "open_clip":
        return {name: _open_clip_place(name.removeprefix("text_model."), prefix) for name in names}
    if form == "t5":
        return {name: Place(prefix + name) for name in names}
    # transformers >= 5.6 left "text_model." out of its own names, though not with a projection
    return {name: Place(prefix + _with_text_model(name)) for name in names}


def vision_places(names: Iterable[str], form: Literal["clip", "open_clip"], prefix: str) -> Places:
    """Give the places of the weights of a transformers ``CLIPVisionModelWithProjection``.

    Args:
        prefix: What comes before the names; in OpenCLIP's files ``visual.`` too.
    """
    if form == "clip":
        return {name: Place(prefix + name) for name in names}
    return {name: _open_clip_place(name.removeprefix("vision_model."), prefix) for name in names}


def read_weight(place: Place, stored: Tensor, shape: torch.Size) -> Tensor:
    """Give a network's weight from what a file holds at its place; a view of it wherever that is possible.

    Raises:
        ValueError: if it can't have that shape.
    """
    given = stored if place.third is None else stored.chunk(3)[place.third]
    if place.form == "transposed":
        given = given.T.contiguous()
    if place.form == "swapped":
        given = torch.cat(given.chunk(2)[::-1])
    if given.shape != shape:
        if given.squeeze().shape != torch.Size([side for side in shape if side != 1]):
            raise ValueError(f"{place.name!r} is {list(stored.shape)}")
        given = given.reshape(shape)  # a matrix that one program writes as a convolution over one cell, or back
    return given


def written_weights(places: Places, weights: Mapping[str, Tensor]) -> dict[str, Callable[[], Tensor]]:
    """Give what makes each tensor of a file from a network's weights."""
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    for name, place in places.items():
        parts.setdefault(place.name, []).append((place.third or 0, weights[name]))
    forms = {place.name: place.form for place in places.values()}
    return {stored: partial(_written, given, forms[stored]) for stored, given in parts.items()}


def _written(parts: list[tuple[int, Tensor]], form: str) -> Tensor:
    if len(parts) > 1:
        return torch.cat([tensor for _third, tensor in sorted(parts, key=lambda part: part[0])])
    tensor = parts[0][1]
    if form == "transposed":
        return tensor.T
    if form == "swapped":
        return torch.cat(tensor.chunk(2)[::-1])
    return tensor[:, :, None, None] if form == "convolution" else tensor


_EMBEDDINGS = {"time": "time_embed", "add": "label_emb.0"}
_WITHIN = {"resnets": 0, "attentions": 1}
_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "pre_layrnorm.weight": "ln_pre.weight",  # so spelled in transformers
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_THIRDS = {"q_proj": 0, "k_proj": 1, "v_proj": 2}


def _renamed(name: str, rules: Iterable[tuple[str, Callable[[re.Match[str]], str]]]) -> str:
    for pattern, renamed in rules:
        match = re.match(pattern, name)
        if match:
            return renamed(match) + name[match.end() :]
    return name


def _within_unet(name: str, renamed: str) -> str:
    """Rename the layers of a residual block."""
    if ".resnets." not in name:
        return renamed
    stem, layer, kind = renamed.rsplit(".", 2)
    return f"{stem}.{_UNET_RESNET[layer]}.{kind}"


def _vae_place(name: str, renamed: str) -> Place:
    if ".attentions." in name:
        for ours, theirs in _VAE_ATTENTION.items():
            if f".{ours}." in renamed:
                is_matrix = ours != "group_norm" and renamed.endswith(".weight")
                return Place(renamed.replace(f".{ours}.", f".{theirs}."), form="convolution" if is_matrix else "same")
    return Place(renamed.replace(".conv_shortcut.", ".nin_shortcut."))


def _with_text_model(name: str) -> str:
    return name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"


def _open_clip_place(name: str, prefix: str) -> Place:
    if name in ("text_projection.weight", "visual_projection.weight"):
        return Place(prefix + {"text": "text_projection", "visual": "proj"}[name.partition("_")[0]], form="transposed")
    if name in _OPEN_CLIP:
        return Place(prefix + _OPEN_CLIP[name])
    _encoder, _layers, number, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    block = f"{prefix}transformer.resblocks.{number}."
    third = _THIRDS.get(stem.removeprefix("self_attn."))
    if third is not None:
        return Place(f"{block}attn.in_proj_{kind}", third=third)
    return Place(f"{block}{_OPEN_CLIP_LAYER[stem]}.{kind}")
