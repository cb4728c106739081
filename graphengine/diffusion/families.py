"""The architectures that single-file checkpoints come in, told from a file's header alone, without torch.

A single file names no architecture. But the denoiser's first layers have sizes that each family has of its own:

    channels of the first layer   width of the prompt it reads   width of its size conditioning
    320                           768                            –                               Stable Diffusion 1
    320                           1024                           –                               Stable Diffusion 2
    320                           2048                           2816                            Stable Diffusion XL
    384                           1280                           2560                            its refiner

An inpainting model's first layer reads five channels more. The transformers of Stable Diffusion 3 are
another matter (``joint_layouts``). Files that this project wrote say in their metadata how their networks are built, so
that those of no family open as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from graphengine.diffusion.model_files import TensorEntry, damaged
from graphengine.errors import ModelFileError
from graphengine.types import Family, LatentRgb

Config = Mapping[str, Any]  # Any: values of a JSON object
Header = Mapping[str, TensorEntry]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
CHECKPOINT_PREFIXES = (UNET_PREFIX, VAE_PREFIX, "cond_stage_model.", "conditioner.", "text_encoders.")
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

FAMILY_BY_CONTEXT_WIDTH: Mapping[object, Family] = {768: "sd1", 1024: "sd2", 1280: "sdxl_refiner", 2048: "sdxl"}
"""Those with a UNet, by the features of a prompt's token, as the attention to it reads them."""

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
    return layout_from(content, family)


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


def layout_from(content: Config, family: Family | None) -> Layout:
    """Make a layout of a JSON object, as a family's or what a file's metadata say."""
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


def _unknown(path: Path, what: str) -> ModelFileError:
    known = ", ".join(NAMES[family] for family in _FAMILIES.values())
    return ModelFileError(
        f"{path}: a denoiser of an unknown family: {what}\n"
        f"  Known are {known}, and inpainting models of these. Others may open as a diffusers folder."
    )


def _shape(header: Header, name: str) -> tuple[int, ...]:
    return header[name].shape if name in header else ()


def _last(shape: tuple[int, ...]) -> int | None:
    return shape[-1] if shape else None
