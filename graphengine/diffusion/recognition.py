"""Tell what a single file is from its header alone, without torch: how its checkpoint is built, or what else it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from graphengine.diffusion.families import METADATA_KEY, UNET_PREFIX, Header, Layout, layout_from, unet_layout
from graphengine.diffusion.joint_layouts import is_joint, joint_layout
from graphengine.diffusion.model_files import damaged
from graphengine.errors import ModelFileError
from graphengine.types import Family

__all__ = ["recognise", "what_else"]


def recognise(path: Path, header: Header, metadata: Mapping[str, str]) -> Layout:
    """Tell how a single-file checkpoint is built.

    Args:
        path: The file, for messages.
        header: Its tensors.
        metadata: What its header says besides.

    Raises:
        ModelFileError: if it is of no known kind, saying what it is instead where that can be told.
    """
    written = _written_layout(path, metadata)
    if written is not None:
        return written
    if is_joint(header, UNET_PREFIX):
        return joint_layout(path, header, UNET_PREFIX)
    if UNET_PREFIX + "input_blocks.0.0.weight" not in header:
        raise ModelFileError(f"{path}: not a checkpoint: {what_else(header)}")
    return unet_layout(path, header, UNET_PREFIX)


def _written_layout(path: Path, metadata: Mapping[str, str]) -> Layout | None:
    """Read what this project's own writer noted in the header."""
    if METADATA_KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[METADATA_KEY])
        family = content["family"]
        known = cast(Family, family) if family in get_args(Family) else None
        return replace(layout_from(content, known), is_written=True)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise damaged(path, f"its metadata {METADATA_KEY!r} can't be read ({error!r})") from error


_OTHER_KINDS: tuple[tuple[str, str, str], ...] = (
    ("lora_", "a LoRA", "Load it with LoadLora, on top of a checkpoint."),
    ("control_model.", "a ControlNet", "Load it with LoadControlNet."),
    ("controlnet_cond_embedding.", "a ControlNet", "Load it with LoadControlNet."),
    ("input_blocks.", "a denoiser alone", "Load it with LoadUNet, from models/unet."),
    ("joint_blocks.", "a denoiser alone", "Load it with LoadUNet, from models/unet."),
    (
        "transformer_blocks.0.attn.add_q",
        "a denoiser alone, in diffusers' names",
        "Load it with LoadUNet, from models/unet.",
    ),
    ("down_blocks.", "a denoiser alone, in diffusers' names", "Load it with LoadUNet, from models/unet."),
    ("encoder.down", "an autoencoder alone", "Load it with LoadVAE, from models/vae."),
    ("decoder.up", "an autoencoder alone", "Load it with LoadVAE, from models/vae."),
    ("text_model.", "a text encoder alone", "Load it with LoadCLIP, from models/clip."),
    ("encoder.block.", "a T5 text encoder alone", "Load it with LoadCLIP, from models/clip."),
    ("image_proj.", "an IP-Adapter", "Load it with LoadIPAdapter, from models/ipadapter."),
    ("ip_adapter.", "an IP-Adapter", "Load it with LoadIPAdapter, from models/ipadapter."),
    ("vision_model.", "an image encoder", "Load it with LoadCLIPVision, from models/clip_vision."),
    ("visual.", "an image encoder", "Load it with LoadCLIPVision, from models/clip_vision."),
    ("emb_params", "a textual inversion", "Put it into models/embeddings and write embedding:NAME in a prompt."),
    ("model.diffusion_model.double_blocks.", "a Flux checkpoint", "This family can't be read."),
    ("double_blocks.", "a Flux denoiser", "This family can't be read."),
    ("model.diffusion_model.", "a checkpoint of an unknown family", "Others may open as a diffusers folder."),
)
_ONLY_LORA = (".lora_up.weight", ".lora_A.weight", ".lora.up.weight", ".lora_B.weight", ".hada_w1_a", ".lokr_w1")


def what_else(header: Header) -> str:
    """Say what a file is that is no checkpoint, and what to do with it."""
    if any(name.endswith(_ONLY_LORA) for name in header):
        return "it is a LoRA\n  Load it with LoadLora, on top of a checkpoint."
    for start, what, remedy in _OTHER_KINDS:
        if any(name.startswith(start) for name in header):
            return f"it is {what}\n  {remedy}"
    names = ", ".join(repr(name) for name in list(header)[:3])
    return f"it has no denoiser; it holds {names or 'nothing'}\n  Choose another file."
