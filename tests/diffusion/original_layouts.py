"""Checkpoints of random weights in the original single-file layouts, for tests: full-size ones, and tiny ones.

A tiny one has a family's structure (blocks, kinds of text encoders, names) in other widths, so that reading it takes
milliseconds; diffusers reads it too, given its configurations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.families import Layout, layout_of
from graphengine.diffusion.single_file_writing import save_single_file
from graphengine.types import Clip, Family, Model, Prediction, TextEncoder, Vae

SINGLE_FILE_FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sdxl_refiner")
_TEXT_MODELS: Mapping[str, Any] = {  # Any: transformers leaves constructors untyped
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
}
Parts = tuple[Model, Clip, Vae]


def random_parts(
    family: Family,
    *,
    tiny: bool = True,
    prediction: Prediction = "epsilon",
    inpainting: bool = False,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Parts:
    """Make a checkpoint of a family with random weights that keep activations in a sane range.

    Args:
        tiny: Of the family's structure, but a few channels wide; its parts then say no family.
        inpainting: Give the denoiser its five further channels.
        dtype: Of the weights; float16 is made as such, so that a full-size checkpoint takes no more memory than needed.
    """
    layout = _narrowed(layout_of(family)) if tiny else layout_of(family)
    unet = dict(layout.unet) | ({"in_channels": 9} if inpainting else {})
    generator = torch.Generator().manual_seed(seed)
    denoiser = _filled(lambda: UNet2DConditionModel(**_arguments(unet)), generator, dtype)
    autoencoder = _filled(lambda: AutoencoderKL(**_arguments(layout.vae)), generator, dtype)
    encoders = tuple(_text_encoder(each, generator, dtype) for each in layout.text_encoders)
    model = Model(
        denoiser, prediction, {**layout.scheduler, "prediction_type": prediction}, 4, _factor(layout), "random",
        family=layout.family, extra_channels=5 if inpainting else 0,
    )  # fmt: skip
    return model, Clip(encoders, source="random", family=layout.family), Vae(autoencoder, "random")


def write_original(
    path: Path, parts: Parts, family: Family, *, dtype: torch.dtype | None = None, notes: bool = False
) -> Path:
    """Write a checkpoint in a family's names.

    Args:
        notes: Keep what this project's writer notes of how it is built, which other programs' files lack. Tiny ones
            open here only with it.
    """
    model, clip, vae = parts
    clip = replace(clip, family=family)
    if model.family == "sd2" and model.prediction == "v_prediction":
        _mark_v(model.network)
    save_single_file(path, model=model, clip=clip, vae=vae, dtype=dtype)
    if not notes:
        _without_metadata(path)
    return path


def write_configs(folder: Path, parts: Parts) -> Path:
    """Write the configurations of a checkpoint's networks, which diffusers wants beside a single file."""
    model, clip, vae = parts
    networks: dict[str, Any] = {"unet": model.network, "vae": vae.autoencoder}
    for part, network in networks.items():
        network.save_config(folder / part)
    for number, encoder in enumerate(clip.encoders):
        config: Any = encoder.network.config  # Any: transformers' configuration, untyped
        config.save_pretrained(folder / ("text_encoder" if number == 0 else f"text_encoder_{number + 1}"))
    return folder


def _mark_v(network: nn.Module) -> None:
    """Spread the biases by which a published Stable Diffusion 2 is known to predict v."""
    network.up_blocks[3].attentions[2].transformer_blocks[0].norm1.bias.data.normal_(0, 0.2)  # type: ignore[union-attr, index]  # nn.Module's attributes


def _without_metadata(path: Path) -> None:
    """Take the notes out of a file's header, in place: the header becomes shorter, and blanks fill it up."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = {"format": "pt"}
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":")).encode().ljust(length))


def _narrowed(layout: Layout) -> Layout:
    """Keep a family's structure in a few channels."""
    channels = tuple(8 * (level + 1) for level in range(len(layout.unet["block_out_channels"])))
    widths = [16 * (number + 1) for number in range(len(layout.text_encoders))]
    unet = dict(layout.unet) | {
        "block_out_channels": channels, "norm_num_groups": 4, "cross_attention_dim": sum(widths), "sample_size": 8,
        "attention_head_dim": 2 if isinstance(layout.unet["attention_head_dim"], int) else [2] * len(channels),
    }  # fmt: skip
    if unet.get("addition_embed_type") == "text_time":
        size_numbers = 6 if len(widths) == 2 else 5
        unet |= {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": widths[-1] + 8 * size_numbers}
        if unet["transformer_layers_per_block"] == [1, 2, 10]:
            unet["transformer_layers_per_block"] = [1, 2, 3]
    vae = dict(layout.vae) | {
        "block_out_channels": (8, 8), "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 16,
    }  # fmt: skip
    texts = tuple(
        {**text, "config": {**text["config"], "hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 3,
                            "num_attention_heads": 2, "projection_dim": width}}
        for text, width in zip(layout.text_encoders, widths, strict=True)
    )  # fmt: skip
    return replace(layout, family=None, unet=unet, vae=vae, text_encoders=texts)


def _text_encoder(text: Mapping[str, Any], generator: torch.Generator, dtype: torch.dtype) -> TextEncoder:
    network = _filled(lambda: _TEXT_MODELS[text["architecture"]](CLIPTextConfig(**text["config"])), generator, dtype)
    return TextEncoder(
        network, shared_tokenizer(text["pad_token"]), text["hidden_layer"], text["final_norm"], text["pooled"]
    )


@lru_cache
def shared_tokenizer(pad_token: str) -> Any:  # Any: as of clip_tokenizer
    """Make CLIP's tokenizer once for all tests' text encoders."""
    return clip_tokenizer(pad_token)


def _filled(make: Any, generator: torch.Generator, dtype: torch.dtype) -> nn.Module:  # Any: makes a network
    """Make a network without weights first: a full-size one in float32 would take twice the time and memory."""
    with torch.device("meta"):
        network: nn.Module = make()
    network.to_empty(device="cpu")
    for name, parameter in network.named_parameters():
        values = torch.empty(parameter.shape, dtype=dtype)
        if parameter.ndim > 1:
            values.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            values.normal_(1.0 if name.endswith("weight") else 0.0, 0.05, generator=generator)
        parameter.data = values
    for _name, buffer in network.named_buffers():  # CLIP's positions
        buffer.copy_(torch.arange(buffer.numel()).view(buffer.shape))
    return network.eval().requires_grad_(False)


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON values
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _factor(layout: Layout) -> int:
    return int(2 ** (len(layout.vae["block_out_channels"]) - 1))


def stored_names(path: Path) -> set[str]:
    """Give the names of a file's tensors."""
    with safe_open(path, "pt") as file:
        return set(file.keys())


def edited(path: Path, target: Path, edit: Any) -> Path:  # Any: changes a dict of tensors in place
    """Write a file with some of its tensors changed."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
        metadata = file.metadata()
    edit(tensors)
    save_file(tensors, target, metadata)
    return target
