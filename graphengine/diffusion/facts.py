"""Tell what is known of a checkpoint's parts from their configurations alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphengine.diffusion.model_files import read_json
from graphengine.errors import ModelFileError

__all__ = ["checkpoint_facts", "factor_of_levels"]

_STABLE_DIFFUSION_LEVELS = [320, 640, 1280, 1280]
_STABLE_DIFFUSION = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2"}  # by the width of the text that it reads

Config = Mapping[str, Any]  # Any: a JSON object's values
Facts = dict[str, int | str | None]


def checkpoint_facts(folder: Path) -> dict[str, Facts]:
    """Give the facts of ``model``, ``clip`` and ``vae``; None for what the configurations don't tell.

    Nothing is raised: whatever is missing or damaged, opening the checkpoint will tell.
    """
    unet, vae, text = (_config(folder / part / "config.json") for part in ("unet", "vae", "text_encoder"))
    factor = factor_of_levels(vae.get("block_out_channels"))
    family = _family(unet)
    has_one_encoder = not (folder / "text_encoder_2").is_dir()  # the states of two are put side by side
    text_width = _size(text.get("hidden_size")) if has_one_encoder else None
    return {
        "model": {
            "family": family,
            "context_width": _context_width(unet),
            "latent_channels": _model_channels(unet),
            "latent_factor": factor,
        },
        "clip": {"family": family, "context_width": text_width},
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


def _context_width(unet: Config) -> int | None:
    if unet.get("_class_name") != "UNet2DConditionModel":
        return None
    if unet.get("encoder_hid_dim") is not None:  # text of another width is brought to that of the attention first
        return _size(unet["encoder_hid_dim"])
    width = unet.get("cross_attention_dim")
    if isinstance(width, list):  # one for each level
        return _size(width[0]) if width and all(each == width[0] for each in width) else None
    return _size(width)


def _model_channels(unet: Config) -> int | None:
    """Give None for one that takes more than it gives: an inpainting model's latents have fewer channels."""
    channels = unet.get("in_channels")
    return _size(channels) if channels == unet.get("out_channels") else None


def _family(unet: Config) -> str | None:
    if unet.get("block_out_channels") != _STABLE_DIFFUSION_LEVELS:
        return None
    return _STABLE_DIFFUSION.get(_context_width(unet) or 0)


def _size(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
