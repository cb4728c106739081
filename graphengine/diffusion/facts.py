"""Tell what is known of a checkpoint's parts from their configurations alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphengine.diffusion.families import CHECKPOINT_PREFIXES, NAMES, family_of_folder
from graphengine.diffusion.image_prompt_layouts import ip_adapter_layout, vision_layout
from graphengine.diffusion.model_files import read_header, read_header_and_metadata, read_json
from graphengine.diffusion.options import ClipKind, LatentKind
from graphengine.diffusion.part_layouts import denoiser_layout, noted_part, text_layout, vae_layout
from graphengine.diffusion.recognition import recognise
from graphengine.errors import ModelFileError
from graphengine.types import Family

__all__ = [
    "checkpoint_facts",
    "clip_facts",
    "clip_vision_facts",
    "control_net_facts",
    "denoiser_facts",
    "factor_of_levels",
    "ip_adapter_facts",
    "vae_facts",
]

_T5_WIDTH = 4096  # of the encoder that Stable Diffusion 3 reads; the states of others are filled up to it
_TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3")

Config = Mapping[str, Any]  # Any: a JSON object's values
Facts = dict[str, int | str | None]


def checkpoint_facts(path: Path) -> dict[str, Facts]:
    """Give the facts of ``model``, ``clip`` and ``vae``; None for what the configurations don't tell.

    Nothing is raised: whatever is missing or damaged, opening the checkpoint will tell.

    Args:
        path: A diffusers folder, or a single file, of which the header is read.
    """
    if path.is_file():
        return _single_file_facts(path)
    denoiser = "transformer" if (path / "transformer").is_dir() else "unet"
    unet, vae = _config(path / denoiser / "config.json"), _config(path / "vae" / "config.json")
    texts = [_config(path / part / "config.json") for part in _TEXT_PARTS if (path / part).is_dir()]
    return _facts(unet, vae, texts, family_of_folder(unet))


def denoiser_facts(path: Path) -> dict[str, Facts]:
    """Give the facts of ``model``, a denoiser in a checkpoint or alone, as above."""
    try:
        if path.is_file():
            header, metadata = read_header_and_metadata(path)
            layout, _naming, _prefix = denoiser_layout(path, header, metadata)
            return {"model": _facts(_object(layout.unet), _object(layout.vae), [], layout.family)["model"]}
    except (ModelFileError, OSError):
        return {}
    if (path / "config.json").exists():
        unet = _config(path / "config.json")
        return {"model": {**_facts(unet, {}, [], family_of_folder(unet))["model"], "latent_factor": 8}}
    return {"model": checkpoint_facts(path)["model"]}


def vae_facts(path: Path, latents: LatentKind) -> dict[str, Facts]:
    """Give the facts of ``vae``, an autoencoder in a checkpoint or alone, as above."""
    try:
        if path.is_file():
            header, metadata = read_header_and_metadata(path)
            vae = vae_layout(path, header, metadata, latents)
            levels = {"block_out_channels": [64] * 4} if vae.kind == "AutoencoderTiny" else {}
            return {"vae": _facts({}, {**levels, **vae.config}, [], None)["vae"]}
    except (ModelFileError, OSError):
        return {}
    if (path / "config.json").exists():
        return {"vae": _facts({}, _config(path / "config.json"), [], None)["vae"]}
    return {"vae": checkpoint_facts(path)["vae"]}


def clip_facts(paths: Sequence[Path], kind: ClipKind) -> dict[str, Facts]:
    """Give the facts of ``clip``, text encoders in a checkpoint or alone, as above."""
    if len(paths) == 1 and paths[0].is_dir():
        return {"clip": checkpoint_facts(paths[0])["clip"]}
    texts = []
    try:
        for path in paths:
            header, metadata = read_header_and_metadata(path)
            if any(name.startswith(CHECKPOINT_PREFIXES) for name in header):
                return {"clip": checkpoint_facts(path)["clip"]}
            noted = _object(noted_part(path, metadata).get("text_encoder"))
            texts.append(_object(noted.get("config")) if noted else text_layout(path, header).config)
    except (ModelFileError, OSError):
        return {}
    return {"clip": {"context_width": _T5_WIDTH if kind == "sd3" else _text_width(texts)}}


def _single_file_facts(path: Path) -> dict[str, Facts]:
    try:
        header, metadata = read_header_and_metadata(path)
        layout = recognise(path, header, metadata)
    except (ModelFileError, OSError):
        return _facts({}, {}, [], None)
    texts = [_object(text.get("config")) for text in layout.text_encoders]
    return _facts(_object(layout.unet), _object(layout.vae), texts, layout.family)


def _facts(unet: Config, vae: Config, texts: Sequence[Config], family: Family | None) -> dict[str, Facts]:
    factor = factor_of_levels(vae.get("block_out_channels"))
    name = NAMES[family] if family else None
    return {
        "model": {
            "family": name,
            "context_width": _context_width(unet),
            "latent_channels": _model_channels(unet),
            "latent_factor": factor,
        },
        "clip": {"family": name, "context_width": _joint_width(unet) or _text_width(texts)},
        "vae": {"latent_channels": _size(vae.get("latent_channels")), "latent_factor": factor},
    }


def factor_of_levels(levels: object) -> int | None:
    """Give how many pixels an autoencoder makes one, along a side: each level but the last halves the picture."""
    return 2 ** (len(levels) - 1) if isinstance(levels, list | tuple) and levels else None


def _config(path: Path) -> Config:
    try:
        return read_json(path)
    except (ModelFileError, OSError):
        return {}


def _object(value: object) -> Config:
    return value if isinstance(value, Mapping) else {}


def _text_width(texts: Sequence[Config]) -> int | None:
    """Give how wide the states of all encoders are, side by side, or filled up to those of T5 that follow."""
    if texts and "d_model" in texts[-1]:
        return _size(texts[-1]["d_model"])
    widths = [_size(text.get("hidden_size")) for text in texts]
    return sum(width or 0 for width in widths) if widths and all(widths) else None


def _joint_width(unet: Config) -> int | None:
    return _size(unet.get("joint_attention_dim")) if unet.get("_class_name") == "SD3Transformer2DModel" else None


def _context_width(unet: Config) -> int | None:
    if unet.get("_class_name") != "UNet2DConditionModel":
        return _joint_width(unet)
    if unet.get("encoder_hid_dim") is not None:  # text of another width is brought to that of the attention first
        return _size(unet["encoder_hid_dim"])
    width = unet.get("cross_attention_dim")
    if isinstance(width, list):  # one for each level
        return _size(width[0]) if width and all(each == width[0] for each in width) else None
    return _size(width)


def _model_channels(unet: Config) -> int | None:
    """Give the smaller number: an inpainting model takes more than latents, one that learnt variances gives more."""
    takes, gives = _size(unet.get("in_channels")), _size(unet.get("out_channels"))
    return min(takes, gives) if takes and gives else None


def _size(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def control_net_facts(path: Path) -> dict[str, Facts]:
    """Give the facts of a ControlNet, from its folder's configuration or its file's header."""
    if path.is_dir():
        return {"control_net": {"context_width": _size(_config(path / "config.json").get("cross_attention_dim"))}}
    try:
        header = read_header(path)
    except (ModelFileError, OSError):
        header = {}
    widths = [entry.shape[-1] for name, entry in header.items() if name.endswith("attn2.to_k.weight") and entry.shape]
    return {"control_net": {"context_width": widths[0] if widths else None}}


def ip_adapter_facts(path: Path) -> dict[str, Facts]:
    """Give the facts of an IP-Adapter: which family's prompts it stands beside, and what it reads of a picture."""
    try:
        layout = ip_adapter_layout(path, read_header(path))
    except (ModelFileError, OSError):
        return {}
    read = {"pooled": "image_width", "states": "image_state_width"}[layout.reads]
    return {"ip_adapter": {"context_width": layout.context_width, read: layout.image_width}}


def clip_vision_facts(path: Path) -> dict[str, Facts]:
    """Give the facts of an image encoder, from its folder's configuration or its file's header."""
    try:
        config = _config(path / "config.json") if path.is_dir() else vision_layout(path, read_header(path)).config
    except (ModelFileError, OSError):
        return {}
    pooled, states = _size(config.get("projection_dim")), _size(config.get("hidden_size"))
    return {"clip_vision": {"image_width": pooled, "image_state_width": states}}
