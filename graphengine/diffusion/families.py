"""The architectures that single-file checkpoints come in, told from a file's header alone, without torch.

A single file names no architecture. But the denoiser's first layers have sizes that each family has of its own:

    channels of the first layer   width of the prompt it reads   width of its size conditioning
    320                           768                            –                               Stable Diffusion 1
    320                           1024                           –                               Stable Diffusion 2
    320                           2048                           2816                            Stable Diffusion XL
    384                           1280                           2560                            its refiner

An inpainting model's first layer reads five channels more. Files that this project wrote say in their metadata how
their networks are built, so that those of no family open as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

from graphengine.diffusion.model_files import TensorEntry, damaged
from graphengine.errors import ModelFileError
from graphengine.types import Family, LatentRgb

Config = Mapping[str, Any]  # Any: values of a JSON object
Header = Mapping[str, TensorEntry]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
CHECKPOINT_PREFIXES = (UNET_PREFIX, VAE_PREFIX, "cond_stage_model.", "conditioner.")
METADATA_KEY = "graphengine"
CONFIGS = Path(__file__).parent / "configs"

NAMES: Mapping[Family, str] = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "sdxl_refiner": "Stable Diffusion XL refiner",
    "sd3": "Stable Diffusion 3",
}
"""What users call them."""

_FAMILIES: Mapping[tuple[int, int | None, int | None], Family] = {
    (320, 768, None): "sd1",
    (320, 1024, None): "sd2",
    (320, 2048, 2816): "sdxl",
    (384, 1280, 2560): "sdxl_refiner",
}
_INPAINTING_CHANNELS = 5


@dataclass(frozen=True)
class Layout:
    """How the networks of a checkpoint are built, and where their weights are in its single file.

    Attributes:
        family: What it is one of; None for others.
        name: What users call it, variants included.
        unet: Configuration of the denoiser.
        vae: Of the autoencoder.
        scheduler: Of a diffusers scheduler.
        text_encoders: Each with ``form``, ``architecture``, ``prefix``, ``config``, and what is read of it.
        latent_rgb: Roughly how its latents look.
        is_written: Whether the file itself says all this, rather than that it is known of its family.
    """

    family: Family | None
    name: str
    unet: Config
    vae: Config
    scheduler: Config
    text_encoders: tuple[Config, ...]
    latent_rgb: LatentRgb | None = None
    is_written: bool = False

    @property
    def extra_channels(self) -> int:
        """What the denoiser reads beside the latents."""
        return int(self.unet["in_channels"]) - int(self.unet["out_channels"])


@cache
def layout_of(family: Family) -> Layout:
    """Read a family's configurations."""
    content = json.loads((CONFIGS / f"{family}.json").read_text(encoding="utf-8"))
    return _layout(content, family)


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
    if UNET_PREFIX + "input_blocks.0.0.weight" not in header:
        raise ModelFileError(f"{path}: not a checkpoint: {what_else(header)}")
    return unet_layout(path, header, UNET_PREFIX)


def unet_layout(
    path: Path, header: Header, prefix: str, *, first: str = "input_blocks.0.0", adding: str = "label_emb.0.0"
) -> Layout:
    """Tell the family from a denoiser.

    Args:
        prefix: What comes before its tensors' names.
        first: The layer that reads latents.
        adding: The layer that reads sizes.

    Raises:
        ModelFileError: if it is none of the known ones.
    """
    sizes = _shape(header, f"{prefix}{first}.weight")
    if len(sizes) != 4:
        raise damaged(path, f"tensor '{prefix}{first}.weight' has the shape {list(sizes)}")
    reading = (name for name in header if name.startswith(prefix) and name.endswith(".attn2.to_k.weight"))
    reads = _last(_shape(header, next(reading, "")))
    family = _FAMILIES.get((sizes[0], reads, _last(_shape(header, f"{prefix}{adding}.weight"))))
    if family is None:
        prompts = f"{reads} wide" if reads else "not read"
        raise _unknown(path, f"{sizes[0]} channels at first, prompts {prompts}")
    layout = layout_of(family)
    if sizes[1] == 4:
        return layout
    if sizes[1] == 4 + _INPAINTING_CHANNELS:
        return replace(layout, name=f"{layout.name} inpainting", unet={**layout.unet, "in_channels": sizes[1]})
    kind = {8: "instruct-pix2pix", 5: "depth-conditioned", 7: "an upscaler"}.get(sizes[1], "unknown")
    raise _unknown(path, f"{layout.name} with {sizes[1]} input channels, {kind}")


def family_of_folder(config: Config) -> Family | None:
    """Tell the family from the configuration of a diffusers denoiser; None for networks of other sizes."""
    if config.get("_class_name") == "SD3Transformer2DModel":
        return "sd3" if config.get("joint_attention_dim") == 4096 and config.get("in_channels") == 16 else None
    compared = ("block_out_channels", "cross_attention_dim", "projection_class_embeddings_input_dim")
    for family in _FAMILIES.values():
        unet = layout_of(family).unet
        if all(config.get(name) == unet.get(name) for name in compared):
            return family
    return None


def _layout(content: Config, family: Family | None) -> Layout:
    colors = content.get("latent_rgb")
    return Layout(
        family=family,
        name=NAMES[family] if family else "a model of its own",
        unet=content["unet"],
        vae=content["vae"],
        scheduler=content["scheduler"],
        text_encoders=tuple(content["text_encoders"]),
        latent_rgb=None if colors is None else tuple((row[0], row[1], row[2]) for row in colors),
    )


def _written_layout(path: Path, metadata: Mapping[str, str]) -> Layout | None:
    """Read what this project's own writer noted in the header."""
    if METADATA_KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[METADATA_KEY])
        family = content["family"]
        known = cast(Family, family) if family in get_args(Family) else None
        return replace(_layout(content, known), is_written=True)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise damaged(path, f"its metadata {METADATA_KEY!r} can't be read ({error!r})") from error


def _unknown(path: Path, what: str) -> ModelFileError:
    known = ", ".join(NAMES[family] for family in _FAMILIES.values())
    return ModelFileError(
        f"{path}: a denoiser of an unknown family: {what}\n"
        f"  Known are {known}, and inpainting models of these. Others may open as a diffusers folder."
    )


_OTHER_KINDS: tuple[tuple[str, str, str], ...] = (
    ("lora_", "a LoRA", "Load it with LoadLora, on top of a checkpoint."),
    ("control_model.", "a ControlNet", "Load it with LoadControlNet."),
    ("controlnet_cond_embedding.", "a ControlNet", "Load it with LoadControlNet."),
    ("input_blocks.", "a denoiser alone", "Load it with LoadUNet, from models/unet."),
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


def _shape(header: Header, name: str) -> tuple[int, ...]:
    return header[name].shape if name in header else ()


def _last(shape: tuple[int, ...]) -> int | None:
    return shape[-1] if shape else None
