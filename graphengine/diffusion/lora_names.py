"""Names in adapter files: what each program calls a layer, and what a file is for by its header, without torch.

A tensor's name says which network it is for, which layer of it, and what it is in the change of that layer:

    lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight         kohya's scripts, LyCORIS
    lora_unet_input_blocks_4_1_proj_in.hada_w1_a                        the same, for SDXL in the original numbering
    oft_unet_down_blocks_1_attentions_0_proj_in.oft_blocks              kohya's scripts, for rotations
    unet.down_blocks.1.attentions.0.proj_in.lora_B.weight               diffusers, PEFT
    unet.down_blocks.1.….attn1.processor.to_q_lora.up.weight            diffusers before 0.22
    └──────────── layer ──────────────────┘ └── role ──┘

Layers are matched with dots as underscores: kohya's names don't tell which of them were dots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Literal

from graphengine.diffusion.families import FAMILY_BY_CONTEXT_WIDTH, NAMES
from graphengine.diffusion.model_files import read_header
from graphengine.errors import InputError, ModelFileError

Part = Literal["denoiser", "text_encoder", "text_encoder_2", "text_encoder_3"]
"""Which network of a checkpoint a change is for."""

_PREFIXES: tuple[tuple[str, Part], ...] = (
    (r"text_encoder_2\.|lora_te2_|text_encoders\.clip_g\.transformer\.", "text_encoder_2"),
    (r"text_encoder_3\.|lora_te3_|text_encoders\.t5xxl\.transformer\.", "text_encoder_3"),
    (
        r"text_encoder\.|lora_te1?_|text_encoders\.clip_l\.transformer\.|(?=text_model\.|encoder\.layers\.)",
        "text_encoder",
    ),
    (
        r"unet\.|transformer\.|lora_unet_|oft_unet_|lora_transformer_|lycoris_|(?:model\.)?diffusion_model\."
        r"|(?=(?:down_blocks|mid_block|up_blocks|transformer_blocks)\.)",
        "denoiser",
    ),
)
_PARTS = tuple((re.compile(pattern), part) for pattern, part in _PREFIXES)
_ROLES = re.compile(
    r"(?P<old>_lora|\.lora_linear_layer|\.lora)\.(?P<side>up|down)\.weight$"
    r"|\.lora_(?P<factor>up|down|mid|A|B)(?:\.(?!weight|bias)\w+)?(?P<bias>\.bias)?(?:\.weight)?$"
    r"|\.(?P<magnitude>lora_magnitude_vector)(?:\.(?!weight)\w+)?(?:\.weight)?$"
    r"|\.(?P<plain>alpha|dora_scale|hada_[wt]\w+|lokr_[wt]\w+|diff|diff_b|w_norm|b_norm|oft_blocks|rescale)$"
)
_FACTORS = {"up": "up", "B": "up", "down": "down", "A": "down", "mid": "mid"}
_PEFT = "base_model.model."
IN_FOLDER = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
_READS_PROMPT = "attn2_to_k"


def weights_file(path: Path) -> Path:
    """Find the weights in an adapter's folder; a file is itself."""
    if not path.is_dir():
        return path
    for name in IN_FOLDER:
        if (path / name).exists():
            return path / name
    raise ModelFileError(
        f"{path}: no adapter here\n  Choose a folder that holds {' or '.join(IN_FOLDER)}, or the file itself."
    )


def split_name(name: str) -> tuple[Part, str, str] | None:
    """Tell a tensor's network, layer (with underscores) and role from its name; None if it has none of an adapter."""
    match = _ROLES.search(name)
    if match is None:
        return None
    full = name[: match.start()]
    layer = full.removeprefix(_PEFT).replace(".processor.", ".")
    if match["old"] == "_lora" and layer.endswith(".to_out"):
        layer += ".0"
    role = match["plain"] or match["magnitude"] or _FACTORS[match["side"] or match["factor"]]
    if match["bias"]:
        role += "_bias"
    for pattern, part in _PARTS:
        prefix = pattern.match(layer)
        if prefix is not None:
            layer = layer[prefix.end() :]
            if match["old"] and part != "denoiser":
                layer = re.sub(r"\.to_(q|k|v|out)(?:\.0)?$", r".\1_proj", layer)  # the denoiser's names, once
            return part, layer.replace(".", "_"), role
    return ("denoiser", layer.replace(".", "_"), role) if full.startswith(_PEFT) else None


def prompt_width(layers: Mapping[tuple[Part, str], Mapping[str, Sequence[int]]]) -> int | None:
    """Tell how many features a prompt's token has for a LoRA's denoiser; None if it changes nothing that reads them.

    Args:
        layers: By network and layer, the shape of each tensor by its role.
    """
    for (part, layer), roles in layers.items():
        if part != "denoiser" or not layer.endswith(_READS_PROMPT):
            continue
        for role in ("down", "hada_w1_b", "diff"):
            if role in roles:
                return roles[role][1]
        widths = [roles.get(f"lokr_{each}", roles.get(f"lokr_{each}_b")) for each in ("w1", "w2")]
        if all(widths):
            return prod(shape[1] for shape in widths if shape)
    return None


def family_of(width: int) -> str:
    """Name the family of a denoiser that reads prompts of a width."""
    family = FAMILY_BY_CONTEXT_WIDTH.get(width)
    return NAMES[family] if family else f"a family whose prompts have {width} features a token"


def width_of_file(path: Path) -> int | None:
    """Tell by its header how many features a prompt's token has for a LoRA's denoiser; None if it can't be told so."""
    try:
        header = read_header(weights_file(path))
    except (ModelFileError, OSError):
        return None
    layers: dict[tuple[Part, str], dict[str, Sequence[int]]] = {}
    for name, entry in header.items():
        place = split_name(name)
        if place is not None and len(entry.shape) > 1:
            layers.setdefault(place[:2], {})[place[2]] = entry.shape
    return prompt_width(layers)


def check_family(path: Path, width: object) -> None:
    """Refuse an adapter for another family by its header alone; what can't be told so, opening it will tell.

    Args:
        width: How many features of a prompt's token the model reads, if that is known.

    Raises:
        InputError: that names both families.
    """
    made_for = width_of_file(path)
    if isinstance(width, int) and made_for is not None and made_for != width:
        raise InputError(
            "lora_name",
            f"{path.name!r} is made for {family_of(made_for)}, this model is of {family_of(width)}.",
            "Choose a LoRA for this model's family.",
        )
