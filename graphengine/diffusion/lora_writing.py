"""Write trained adapters under the names that other programs know.

    lora_unet_mid_block_attentions_0_….lora_down.weight     kohya's scripts, ComfyUI, A1111; each with alpha
    lora_transformer_transformer_blocks_0_….lora_down.…     the same for transformers: OneTrainer, ComfyUI
    unet.mid_block.attentions.0.….lora_A.weight             diffusers, PEFT; with its configuration in the header
    transformer.transformer_blocks.0.….lora_A.weight        the same for transformers

Both say in the header what the training was: under kohya's names (``ss_…``), those of the model specification
(``modelspec.…``), and whole as ``graphengine_training``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from graphengine.diffusion.adapter_files import modelspec, write_whole
from graphengine.errors import InputError
from graphengine.training_types import Lora

LoraLayout = Literal["kohya", "diffusers"]

_KOHYA_PARTS = {"denoiser": "lora_unet", "text_encoder": "lora_te"}
_KOHYA_XL_PARTS = {"denoiser": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_KOHYA_SD3_PARTS = {**_KOHYA_XL_PARTS, "denoiser": "lora_transformer"}
_DIFFUSERS_PARTS = {"denoiser": "unet", "text_encoder": "text_encoder", "text_encoder_2": "text_encoder_2"}
_DIFFUSERS_SD3_PARTS = {**_DIFFUSERS_PARTS, "denoiser": "transformer"}
_KOHYA_ROLES = {"down": "lora_down.weight", "up": "lora_up.weight"}
_DIFFUSERS_ROLES = {
    "down": "lora_A.weight",
    "up": "lora_B.weight",
    "lora_magnitude_vector": "lora_magnitude_vector",
}
_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_SS_NAMES = {
    "learning_rate": "ss_learning_rate",
    "lr_schedule": "ss_lr_scheduler",
    "warmup_steps": "ss_lr_warmup_steps",
    "optimizer": "ss_optimizer",
    "max_grad_norm": "ss_max_grad_norm",
    "steps": "ss_steps",
    "seed": "ss_seed",
    "batch_size": "ss_total_batch_size",
    "caption_dropout": "ss_caption_dropout_rate",
    "loss": "ss_loss_type",
    "base model": "ss_sd_model_name",
    "base version": "ss_base_model_version",
}


def write_lora(path: Path, lora: Lora, *, layout: LoraLayout, dtype: torch.dtype, workflow: str = "") -> None:
    """Write adapters as a safetensors file; it appears there complete or not at all.

    Args:
        workflow: JSON that goes into the header; an empty text for none.

    Raises:
        InputError: if the layout has no names for this method.
        OSError: if it can't be written.
    """
    tensors, metadata = _in_layout(lora, layout)
    metadata = {**metadata, **_described(lora, path.stem)} | ({"workflow": workflow} if workflow else {})
    converted = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    metadata["sshs_model_hash"] = hashlib.sha256(_body(save(converted))).hexdigest()
    write_whole(path, converted, metadata)


def _in_layout(lora: Lora, layout: LoraLayout) -> tuple[dict[str, Tensor], dict[str, str]]:
    if layout == "kohya":
        parts = _KOHYA_XL_PARTS if "text_encoder_2" in lora.layers else _KOHYA_PARTS
        parts = _KOHYA_SD3_PARTS if _is_transformer(lora) else parts
        return _named(lora, partial(_kohya_name, parts)), {}
    if lora.recipe.method in ("loha", "lokr"):
        raise InputError(
            "layout", f"diffusers has no names for a {lora.recipe.method}.", "Choose kohya, whose names LyCORIS uses."
        )
    parts = _DIFFUSERS_SD3_PARTS if _is_transformer(lora) else _DIFFUSERS_PARTS
    config = json.dumps(_peft_config(parts, lora), sort_keys=True)
    return _named(lora, partial(_diffusers_name, parts)), {"lora_adapter_metadata": config}


def _is_transformer(lora: Lora) -> bool:
    return "Transformer" in lora.training.get("base network", "")


def _named(lora: Lora, name_of: Callable[[str, str, str], str | None]) -> dict[str, Tensor]:
    tensors = {}
    for part, layers in lora.layers.items():
        for layer, roles in layers.items():
            for role, tensor in roles.items():
                name = name_of(part, _full_name(part, layer), role)
                if name is not None:
                    tensors[name] = tensor[:, None] if name.endswith(".dora_scale") else tensor
    return tensors


def _full_name(part: str, layer: str) -> str:
    """Give the name with the ``text_model`` that other programs expect, and that some versions of transformers drop."""
    return layer if part == "denoiser" else f"text_model.{layer.removeprefix('text_model.')}"


def _kohya_name(parts: Mapping[str, str], part: str, layer: str, role: str) -> str:
    role = "dora_scale" if role == "lora_magnitude_vector" else _KOHYA_ROLES.get(role, role)
    return f"{parts[part]}_{layer.replace('.', '_')}.{role}"


def _diffusers_name(parts: Mapping[str, str], part: str, layer: str, role: str) -> str | None:
    """Give the name, or None for alpha, which the configuration tells."""
    return f"{parts[part]}.{layer}.{_DIFFUSERS_ROLES[role]}" if role in _DIFFUSERS_ROLES else None


def _peft_config(parts: Mapping[str, str], lora: Lora) -> dict[str, object]:
    """Give PEFT's configuration of each network, as diffusers writes it: names begin with the network's."""
    config: dict[str, object] = {}
    for part, layers in lora.layers.items():
        # Without text_model: PEFT compares the ends of names, which fit whether it is there or not.
        ranks = {layer.removeprefix("text_model."): len(roles["down"]) for layer, roles in layers.items()}
        values: dict[str, object] = {
            "r": lora.recipe.rank,
            "lora_alpha": lora.recipe.alpha,
            "lora_dropout": lora.recipe.dropout,
            "rank_pattern": {name: rank for name, rank in ranks.items() if rank != lora.recipe.rank},
            "target_modules": sorted(ranks),
            "use_dora": lora.recipe.method == "dora",
        }
        config |= {f"{parts[part]}.{name}": value for name, value in values.items()}
    return config


def _described(lora: Lora, title: str) -> dict[str, str]:
    recipe, training = lora.recipe, lora.training
    is_lycoris = recipe.method in ("loha", "lokr")
    arguments = {"algo": recipe.method} if is_lycoris else {}
    described = {
        "ss_network_module": "lycoris.kohya" if is_lycoris else "networks.lora",
        "ss_network_dim": str(recipe.rank),
        "ss_network_alpha": str(recipe.alpha),
        "ss_network_dropout": str(recipe.dropout),
        "ss_network_args": json.dumps(arguments),
        "ss_mixed_precision": _PRECISIONS.get(training.get("precision", ""), "no"),
        "ss_v2": str(training.get("base version") == "sd_v2"),
        "graphengine_training": json.dumps(dict(training), sort_keys=True),
    }
    described |= {known: training[name] for name, known in _SS_NAMES.items() if name in training}
    if training.get("loss_weighting") == "min_snr":
        described["ss_min_snr_gamma"] = training["min_snr_gamma"]
    return described | modelspec(title, "lora", training)


def _body(file: bytes) -> memoryview:
    """Give what follows a safetensors file's header: the tensors alone, by which other programs tell files apart."""
    return memoryview(file)[8 + int.from_bytes(file[:8], "little") :]


def base_facts(source: str, family: str | None, network: str, digest: str) -> Mapping[str, str]:
    """Name the model that adapters were trained on.

    Args:
        network: The name of its denoiser's class.
        digest: A hash of its weights.
    """
    version = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0", "sd3": "sd3"}.get(family or "", "")
    facts = {"base model": source, "base model weights": digest, "base network": network}
    return facts | ({"base version": version} if version else {})
