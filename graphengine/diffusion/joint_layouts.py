"""How the transformers of Stable Diffusion 3 and 3.5 are built, told from a file's header alone, without torch.

width    layers   normalised queries   second attentions
1536     24       –                    –                     3 medium
1536     24       yes                  in the first 13       3.5 medium
2432     38       yes                  –                     3.5 large
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

from graphengine.diffusion.families import Config, Header, Layout, layout_of
from graphengine.diffusion.model_files import damaged
from graphengine.errors import ModelFileError

_HEAD_WIDTH = 64
_ORIGINAL: Mapping[str, str] = {
    "positions": "pos_embed",
    "patches": "x_embedder.proj.weight",
    "prompt": "context_embedder.weight",
    "pooled": "y_embedder.mlp.0.weight",
    "answer": "final_layer.linear.weight",
    "layer": "joint_blocks.{}.x_block.attn.proj.weight",
    "query_norm": "joint_blocks.{}.x_block.attn.ln_q.weight",
    "second": "joint_blocks.{}.x_block.attn2.proj.weight",
}
_DIFFUSERS: Mapping[str, str] = {
    "positions": "pos_embed.pos_embed",
    "patches": "pos_embed.proj.weight",
    "prompt": "context_embedder.weight",
    "pooled": "time_text_embed.text_embedder.linear_1.weight",
    "answer": "proj_out.weight",
    "layer": "transformer_blocks.{}.attn.to_out.0.weight",
    "query_norm": "transformer_blocks.{}.attn.norm_q.weight",
    "second": "transformer_blocks.{}.attn2.to_out.0.weight",
}


def is_joint(header: Header, prefix: str, *, in_diffusers_names: bool = False) -> bool:
    """Tell whether a file has such a transformer."""
    names = _names(prefix, in_diffusers_names)
    return names["layer"].format(0) in header and names["prompt"] in header


def joint_layout(path: Path, header: Header, prefix: str, *, in_diffusers_names: bool = False) -> Layout:
    """Tell how a transformer is built, and which text encoders lie beside it.

    Args:
        prefix: What comes before its tensors' names.

    Raises:
        ModelFileError: if it is incomplete, or of another family.
    """
    config = _config(path, header, _names(prefix, in_diffusers_names))
    known = layout_of("sd3")
    if (config["joint_attention_dim"], config["in_channels"]) != (
        known.unet["joint_attention_dim"],
        known.unet["in_channels"],
    ):
        raise ModelFileError(
            f"{path}: a joint transformer of an unknown family: it reads prompts {config['joint_attention_dim']} wide"
            f" and {config['in_channels']} channels\n"
            "  Known are Stable Diffusion 3 and 3.5. Others may open as a diffusers folder."
        )
    texts = tuple(text for text in known.text_encoders if _has(header, str(text["prefix"])))
    return replace(known, name=_name(config), unet=config, text_encoders=texts)


def _names(prefix: str, in_diffusers_names: bool) -> dict[str, str]:
    names = _DIFFUSERS if in_diffusers_names else _ORIGINAL
    return {what: prefix + name for what, name in names.items()}


def _has(header: Header, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in header)


def _config(path: Path, header: Header, names: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON values
    ranks = {"positions": 3, "patches": 4, "prompt": 2, "pooled": 2, "answer": 2}
    shapes = {what: header[names[what]].shape if names[what] in header else () for what in ranks}
    odd = [names[what] for what, rank in ranks.items() if len(shapes[what]) != rank]
    if odd:
        raise damaged(path, f"tensor {odd[0]!r} is missing, or has an odd shape")
    width, channels, patch, _ = shapes["patches"]
    layers = 0
    while names["layer"].format(layers) in header:
        layers += 1
    second = [number for number in range(layers) if names["second"].format(number) in header]
    return {
        **layout_of("sd3").unet,
        "patch_size": patch,
        "in_channels": channels,
        "num_layers": layers,
        "attention_head_dim": _HEAD_WIDTH,
        "num_attention_heads": width // _HEAD_WIDTH,
        "joint_attention_dim": shapes["prompt"][1],
        "caption_projection_dim": width,
        "pooled_projection_dim": shapes["pooled"][1],
        "out_channels": shapes["answer"][0] // max(1, patch) ** 2,
        "pos_embed_max_size": isqrt(shapes["positions"][1]),
        "qk_norm": "rms_norm" if names["query_norm"].format(0) in header else None,
        "dual_attention_layers": second,
    }


def _name(config: Config) -> str:
    if not config["qk_norm"]:
        return "Stable Diffusion 3"
    return f"Stable Diffusion 3.5 {'medium' if config['dual_attention_layers'] else 'large'}"
