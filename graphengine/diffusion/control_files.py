"""Open ControlNets and T2I-Adapters: diffusers folders, and single files in its names or those of the first program.

A file says nothing of how its network is built, but the tensors' sizes do: how many levels there are and how wide, on
which of them and how deep it reads the prompt, how it takes the picture in. Only the number of attention heads has to
be known of the family: 8 for Stable Diffusion 1, one for each 64 channels for all others.

Sources: github.com/lllyasviel/ControlNet, huggingface.co/xinsir/controlnet-union-sdxl-1.0,
github.com/TencentARC/T2I-Adapter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, ControlNetUnionModel, T2IAdapter
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from torch import Tensor, nn

from graphengine.config import Precision
from graphengine.diffusion.families import FAMILY_BY_CONTEXT_WIDTH
from graphengine.diffusion.model_files import (
    PICKLE_SUFFIXES,
    damaged,
    find_weights,
    pickle_error,
    read_header_and_metadata,
    read_json,
)
from graphengine.diffusion.precision import weights_dtype
from graphengine.diffusion.sharing import Share, network_key, unshared
from graphengine.diffusion.weights_files import read_tensors
from graphengine.errors import ModelFileError
from graphengine.types import ControlNet

_NETWORKS: Mapping[str, Any] = {  # Any: diffusers leaves constructors untyped
    "ControlNetModel": ControlNetModel,
    "ControlNetUnionModel": ControlNetUnionModel,
    "T2IAdapter": T2IAdapter,
}
CONFIG_KEY = "graphengine_control_net"
"""Where the metadata of a file say how its network is built, if this project wrote it."""

_STEM = "diffusion_pytorch_model"
_T2I_LEVELS = 4
_PREFIXES = ("control_model.", "controlnet.")
_OTHER_KINDS = {
    "lllite_unet": "a ControlNet-LLLite",
    "lora_controlnet": "a Control-LoRA",
    "lora_": "a LoRA",
    "model.diffusion_model.": "a checkpoint",
    "transformer_blocks.": "a ControlNet of a transformer",
    "double_blocks.": "a ControlNet of Flux",
}
Shapes = Mapping[str, tuple[int, ...]]


def read(
    path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
) -> ControlNet:
    """Open a ControlNet or T2I-Adapter, frozen and in eval mode, on the CPU.

    Args:
        path: A diffusers folder, or a safetensors file.
        precision: What the weights become.
        device: Where it will be used, which ``auto`` goes by; it isn't moved there.
        share: Whether and how a network that is opened again is the same one.

    Raises:
        ModelFileError: if it is missing, damaged, or of an unknown kind.
    """
    if path.is_dir():
        kind, config, files = _of_folder(path)
        weights = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    else:
        if path.suffix in PICKLE_SUFFIXES:
            raise pickle_error(path)
        weights = _in_diffusers_names(path, read_tensors(path))
        kind, config = _noted(path) or _recognised(
            path, {name: tuple(tensor.shape) for name, tensor in weights.items()}
        )
    stored = Counter(tensor.dtype for tensor in weights.values()).most_common(1)[0][0]
    dtype = weights_dtype(precision, device, FAMILY_BY_CONTEXT_WIDTH.get(config.get("cross_attention_dim")), stored)
    network = share(network_key(path, dtype, kind), lambda: _built(path, kind, config, weights, dtype))
    return ControlNet(network, source=path.name)


def _of_folder(folder: Path) -> tuple[str, dict[str, Any], list[Path]]:  # Any: a JSON object's values
    config = read_json(folder / "config.json")
    kind = config.get("_class_name")
    if not isinstance(kind, str) or kind not in _NETWORKS:
        raise _unknown_kind(folder / "config.json", kind)
    files, _variant = find_weights(folder, _STEM)
    return kind, _plain(config), files


def _noted(path: Path) -> tuple[str, dict[str, Any]] | None:  # Any: a JSON object's values
    """Give a network's kind and configuration from what the file says of them; None where it says nothing."""
    text = read_header_and_metadata(path)[1].get(CONFIG_KEY)
    if text is None:
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its metadata {CONFIG_KEY!r} can't be read ({error!r})") from error
    kind = config.get("_class_name") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in _NETWORKS:
        raise _unknown_kind(path, kind)
    return kind, _plain(config)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:  # Any: as above
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _unknown_kind(path: Path, kind: object) -> ModelFileError:
    return ModelFileError(
        f"{path}: a control network of the kind {kind!r} can't be used\n  Known kinds: {', '.join(_NETWORKS)}."
    )


def _in_diffusers_names(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = next((each for each in _PREFIXES if any(name.startswith(each) for name in tensors)), "")
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if "input_hint_block.0.weight" in named:
        changes_of_size = [int(name.split(".")[1]) for name in named if name.endswith(".0.op.weight")]
        layers = min(changes_of_size, default=3) - 1
        adding = "text_time" if "label_emb.0.0.weight" in named else None
        converted = convert_controlnet_checkpoint(
            dict(named), {"layers_per_block": layers, "addition_embed_type": adding, "class_embed_type": None}
        )
        missing = sorted(name for name, tensor in converted.items() if tensor is None)
        if missing:
            raise _incomplete(path, missing)
        if adding:  # which the converter leaves out
            for number, kind in ((1, "weight"), (1, "bias"), (2, "weight"), (2, "bias")):
                converted[f"add_embedding.linear_{number}.{kind}"] = named[f"label_emb.0.{2 * number - 2}.{kind}"]
        return dict(converted)
    if "body.0.block1.weight" in named:
        return _t2i_in_diffusers_names(named)
    return named


def _recognised(path: Path, shapes: Shapes) -> tuple[str, dict[str, Any]]:  # Any: a configuration's values
    """Tell a network's kind and configuration from its tensors' sizes."""
    try:
        if "adapter.conv_in.weight" in shapes:
            return "T2IAdapter", _t2i_config(shapes)
        if "controlnet_cond_embedding.conv_in.weight" in shapes:
            config = _control_config(shapes)
            if "task_embedding" in shapes:
                return "ControlNetUnionModel", config | _union_config(shapes)
            return "ControlNetModel", config
    except (KeyError, IndexError, StopIteration) as error:
        raise _incomplete(path, [str(error.args[0]) if error.args else "part of its layers"]) from error
    found = next((what for mark, what in _OTHER_KINDS.items() if any(mark in name for name in shapes)), None)
    example = next(iter(shapes), "nothing")
    raise ModelFileError(
        f"{path}: {f'this is {found}' if found else 'no ControlNet'}: it holds {example!r}\n"
        "  Choose a ControlNet or T2I-Adapter of Stable Diffusion 1, 2 or XL."
    )


def _control_config(shapes: Shapes) -> dict[str, Any]:  # Any: as above
    levels = _count(shapes, "down_blocks.{}.resnets.0.conv2.weight")
    layers = _count(shapes, "down_blocks.0.resnets.{}.conv2.weight")
    channels = tuple(shapes[f"down_blocks.{level}.resnets.0.conv2.weight"][0] for level in range(levels))
    blocks = "attentions.0.transformer_blocks.{}.norm1.weight"
    depths = [_count(shapes, f"down_blocks.{level}.{blocks}") for level in range(levels)]
    middle = _count(shapes, f"mid_block.{blocks}")
    width = _prompt_width(shapes)
    hint = "controlnet_cond_embedding"
    hint_levels = _count(shapes, f"{hint}.blocks.{{}}.weight") // 2
    projection = next(shape for name, shape in shapes.items() if name.endswith("attentions.0.proj_in.weight"))
    added = shapes.get("add_embedding.linear_1.weight")
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "conditioning_channels": shapes[f"{hint}.conv_in.weight"][1],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "transformer_layers_per_block": (*(depth or 1 for depth in depths[:-1]), depths[-1] or middle),
        "cross_attention_dim": width,
        "attention_head_dim": 8 if width == 768 else tuple(max(1, each // 64) for each in channels),
        "use_linear_projection": len(projection) == 2,
        "conditioning_embedding_out_channels": (
            shapes[f"{hint}.conv_in.weight"][0],
            *(shapes[f"{hint}.blocks.{2 * level + 1}.weight"][0] for level in range(hint_levels)),
        ),
        **({"addition_embed_type": "text_time", "addition_time_embed_dim": 256} if added else {}),
        **({"projection_class_embeddings_input_dim": added[1]} if added else {}),
    }


def _union_config(shapes: Shapes) -> dict[str, Any]:  # Any: as above
    kinds, channels = shapes["task_embedding"]
    return {
        "num_control_type": kinds,
        "num_trans_channel": channels,
        "num_trans_layer": _count(shapes, "transformer_layes.{}.ln_1.weight"),  # so spelled in its files
        "num_proj_channel": shapes["spatial_ch_projs.weight"][0],
    }


def _t2i_in_diffusers_names(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a T2I-Adapter's tensors: the first program's files count its blocks through all levels."""
    blocks = len({name.split(".")[1] for name in named if name.startswith("body.")})
    result = {}
    for name, tensor in named.items():
        if name.startswith("body."):
            _body, number, rest = name.split(".", 2)
            level, within = divmod(int(number), max(1, blocks // _T2I_LEVELS))
            name = f"body.{level}.{rest if rest.startswith('in_conv') else f'resnets.{within}.{rest}'}"
        result[f"adapter.{name}"] = tensor
    return result


def _t2i_config(shapes: Shapes) -> dict[str, Any]:  # Any: as above
    levels = _count(shapes, "adapter.body.{}.resnets.0.block1.weight")
    inputs = shapes["adapter.conv_in.weight"][1]
    factor = 16 if inputs % 16**2 == 0 else 8  # the former is Stable Diffusion XL's
    return {
        "in_channels": inputs // factor**2,
        "channels": [shapes[f"adapter.body.{level}.resnets.0.block2.weight"][0] for level in range(levels)],
        "num_res_blocks": _count(shapes, "adapter.body.0.resnets.{}.block1.weight"),
        "downscale_factor": factor,
        "adapter_type": "full_adapter_xl" if factor == 16 else "full_adapter",
    }


def _count(shapes: Shapes, pattern: str) -> int:
    """Count the numbers from 0 on for which there is a tensor of that name."""
    number = 0
    while pattern.format(number) in shapes:
        number += 1
    return number


def _prompt_width(shapes: Shapes) -> int | None:
    return next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)


def _built(
    path: Path,
    kind: str,
    config: Mapping[str, Any],  # Any: as above
    weights: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> nn.Module:
    """Make a network around its weights."""
    try:
        with torch.device("meta"):
            network: nn.Module = _NETWORKS[kind](**config)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:  # diffusers raises any of these
        raise ModelFileError(
            f"{path}: can't be opened: {error}\n  Its configuration is damaged; copy it again."
        ) from error
    expected = network.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    if missing:
        raise _incomplete(path, missing)
    for name, tensor in weights.items():
        if name not in expected or tensor.shape != expected[name].shape:
            has = list(expected[name].shape) if name in expected else "nothing"
            raise ModelFileError(
                f"{path}: wrong architecture: {name!r} is {list(tensor.shape)}, there should be {has}\n"
                "  The file is damaged, or a variant which can't be read."
            )
    network.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()}, assign=True)
    return network.eval().requires_grad_(False)


def _incomplete(path: Path, missing: list[str]) -> ModelFileError:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return ModelFileError(
        f"{path}: it lacks {missing[0]!r}{more}\n  It is incomplete, or a variant which can't be read."
    )
