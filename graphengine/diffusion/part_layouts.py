"""How denoisers, text encoders and autoencoders in files of their own are built, told from headers alone.

Such files come in three ways of naming: the original programs', diffusers' and transformers'. Their networks' sizes
follow from the tensors' shapes. What no shape tells is what latents are multiplied by: autoencoders of Stable Diffusion
1, 2 and XL are alike but for that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphengine.diffusion.families import (
    UNET_PREFIX,
    VAE_PREFIX,
    Config,
    Header,
    Layout,
    layout_of,
    unet_layout,
)
from graphengine.diffusion.joint_layouts import is_joint, joint_layout
from graphengine.diffusion.model_files import damaged
from graphengine.diffusion.options import LatentKind
from graphengine.diffusion.recognition import recognise, what_else
from graphengine.errors import ModelFileError

Naming = Literal["original", "diffusers"]

_SCALING: Mapping[LatentKind, Config] = {
    "sd": {"scaling_factor": 0.18215},
    "sdxl": {"scaling_factor": 0.13025, "force_upcast": True},
    "sd3": {"scaling_factor": 1.5305, "shift_factor": 0.0609},
    "flux": {"scaling_factor": 0.3611, "shift_factor": 0.1159},
}
"""As the published configurations of these families have it."""

PART_KEY = "graphengine_part"
"""Where the metadata of a part's file say how it is built, if this project wrote it."""

_CLIP_VOCABULARY = 49408
_HEAD_WIDTH = 64  # of every CLIP and T5 encoder that diffusion models use


@dataclass(frozen=True)
class PartLayout:
    """A network in a file of its own.

    Attributes:
        kind: Its class, in diffusers or transformers.
        config: Its configuration.
        naming: Whose names its weights have.
        prefix: What comes before the names.
    """

    kind: str
    config: Config
    naming: Naming
    prefix: str = ""


def denoiser_layout(path: Path, header: Header, metadata: Mapping[str, str]) -> tuple[Layout, Naming, str]:
    """Tell how a denoiser is built: alone in its file, or in a checkpoint.

    Returns:
        The layout of its family, whose names its weights have, and what comes before them.

    Raises:
        ModelFileError: if there is none, or of an unknown family.
    """
    if UNET_PREFIX + "input_blocks.0.0.weight" in header or is_joint(header, UNET_PREFIX):
        return recognise(path, header, metadata), "original", UNET_PREFIX
    if "input_blocks.0.0.weight" in header:
        return unet_layout(path, header, ""), "original", ""
    if "conv_in.weight" in header and any(name.startswith("down_blocks.") for name in header):
        return unet_layout(path, header, "", first="conv_in", adding="add_embedding.linear_1"), "diffusers", ""
    if is_joint(header, ""):
        return joint_layout(path, header, ""), "original", ""
    if is_joint(header, "", in_diffusers_names=True):
        return joint_layout(path, header, "", in_diffusers_names=True), "diffusers", ""
    raise ModelFileError(f"{path}: not a denoiser: {what_else(header)}")


def vae_layout(path: Path, header: Header, metadata: Mapping[str, str], latents: LatentKind) -> PartLayout:
    """Tell how an autoencoder is built: alone in its file, or in a checkpoint.

    Args:
        latents: Whose latents it makes. "auto" goes by the denoiser beside it; without one by their channels, and among
            those of four by what the file says of itself, then by "xl" in its name.

    Raises:
        ModelFileError: if there is none.
    """
    noted = noted_part(path, metadata).get("vae")
    if noted is not None:
        return PartLayout("AutoencoderKL", noted, "original")
    of_checkpoint = _vae_of_checkpoint(path, header, metadata) if latents == "auto" else None
    if of_checkpoint is not None:
        return of_checkpoint
    if "encoder.layers.0.weight" in header and "decoder.layers.0.weight" in header:
        latent_channels = header["decoder.layers.0.weight"].shape[1]
        return PartLayout("AutoencoderTiny", {"latent_channels": latent_channels}, "diffusers")
    for prefix, naming in ((VAE_PREFIX, "original"), ("vae.", "original"), ("", "original"), ("", "diffusers")):
        first = "encoder.down.0.block.0" if naming == "original" else "encoder.down_blocks.0.resnets.0"
        if f"{prefix}{first}.conv1.weight" in header and f"{prefix}decoder.conv_in.weight" in header:
            chosen: Naming = "original" if naming == "original" else "diffusers"
            sizes = _vae_sizes(header, prefix, chosen)
            kind = _latent_kind(path, metadata, sizes["latent_channels"]) if latents == "auto" else latents
            return PartLayout("AutoencoderKL", {**sizes, **_SCALING[kind]}, chosen, prefix)
    raise ModelFileError(f"{path}: not an autoencoder: {what_else(header)}")


def _vae_of_checkpoint(path: Path, header: Header, metadata: Mapping[str, str]) -> PartLayout | None:
    """Tell how the autoencoder of a checkpoint of a known kind is built."""
    if not any(name.startswith(VAE_PREFIX) for name in header):
        return None
    try:
        return PartLayout("AutoencoderKL", recognise(path, header, metadata).vae, "original", VAE_PREFIX)
    except ModelFileError:
        return None


def noted_part(path: Path, metadata: Mapping[str, str]) -> Config:
    """Give what the file of a part says of it; nothing if it is of another program's."""
    try:
        noted = json.loads(metadata.get(PART_KEY, "{}"))
        if isinstance(noted, dict):
            return noted
        raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its metadata {PART_KEY!r} can't be read ({error!r})") from error


def text_layout(path: Path, header: Header) -> PartLayout:
    """Tell how a text encoder alone in its file is built.

    Raises:
        ModelFileError: if there is none, or its vocabulary isn't CLIP's.
    """
    if "encoder.block.0.layer.0.SelfAttention.q.weight" in header and "shared.weight" in header:
        return PartLayout("T5EncoderModel", _t5_sizes(header), "diffusers")
    for ending, naming in (("embeddings.token_embedding.weight", "diffusers"), ("token_embedding.weight", "original")):
        found = sorted(name for name in header if name.endswith(ending))
        if found:
            prefix = found[0].removesuffix(ending).removesuffix("text_model.")
            config = _clip_sizes(path, header, found[0], prefix, is_original=naming == "original")
            projects = any(f"{prefix}text_projection{end}" in header for end in ("", ".weight"))
            kind = "CLIPTextModelWithProjection" if projects else "CLIPTextModel"
            return PartLayout(kind, config, "original" if naming == "original" else "diffusers", prefix)
    raise ModelFileError(f"{path}: not a text encoder: {what_else(header)}")


def _vae_sizes(header: Header, prefix: str, naming: Naming) -> dict[str, Any]:  # Any: JSON values
    down, block = ("down", "block") if naming == "original" else ("down_blocks", "resnets")
    attention = "mid.attn_1.norm" if naming == "original" else "mid_block.attentions.0.group_norm"
    channels: list[int] = []
    while (name := f"{prefix}encoder.{down}.{len(channels)}.{block}.0.conv1.weight") in header:
        channels.append(header[name].shape[0])
    layers = 0
    while f"{prefix}encoder.{down}.0.{block}.{layers}.conv1.weight" in header:
        layers += 1
    return {
        **{name: value for name, value in layout_of("sd1").vae.items() if name != "sample_size"},
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": layers,
        "latent_channels": header[f"{prefix}decoder.conv_in.weight"].shape[1],
        "norm_num_groups": min(32, channels[0]),
        "mid_block_add_attention": f"{prefix}encoder.{attention}.weight" in header,
        "use_quant_conv": f"{prefix}quant_conv.weight" in header,
        "use_post_quant_conv": f"{prefix}post_quant_conv.weight" in header,
    }


def _latent_kind(path: Path, metadata: Mapping[str, str], latent_channels: int) -> LatentKind:
    said = f"{metadata.get('modelspec.architecture', '')} {path.stem}".lower()
    if latent_channels == 16:
        return "flux" if "flux" in said or path.stem == "ae" else "sd3"
    return "sdxl" if "xl" in said else "sd"


def _clip_sizes(
    path: Path, header: Header, embedding: str, prefix: str, *, is_original: bool
) -> dict[str, Any]:  # Any: JSON values
    words, width = header[embedding].shape
    if words != _CLIP_VOCABULARY:
        raise ModelFileError(
            f"{path}: its vocabulary has {words:,} words, CLIP's {_CLIP_VOCABULARY:,}\n"
            "  Load it as a diffusers folder with its own tokenizer, with LoadCheckpoint."
        )
    stem = (
        f"{prefix}transformer.resblocks" if is_original else embedding.removesuffix("embeddings.token_embedding.weight")
    )
    layer, inner = (f"{stem}.", "mlp.c_fc") if is_original else (f"{stem}encoder.layers.", "mlp.fc1")
    positions = f"{prefix}positional_embedding" if is_original else embedding.replace("token_", "position_")
    layers = 0
    while f"{layer}{layers}.{inner}.weight" in header:
        layers += 1
    if not layers or positions not in header:
        raise ModelFileError(f"{path}: this text encoder is incomplete\n  Download or copy it again.")
    projection = header.get(f"{prefix}text_projection") or header.get(f"{prefix}text_projection.weight")
    return {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": header[f"{layer}0.{inner}.weight"].shape[0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // _HEAD_WIDTH),
        "max_position_embeddings": header[positions].shape[0],
        "hidden_act": "quick_gelu" if width == 768 else "gelu",  # OpenAI's encoder, and OpenCLIP's
        "projection_dim": projection.shape[1 if is_original else 0] if projection else width,
        "bos_token_id": _CLIP_VOCABULARY - 2,
        "eos_token_id": _CLIP_VOCABULARY - 1,
        "pad_token_id": _CLIP_VOCABULARY - 1 if width == 768 else 0,
    }


def _t5_sizes(header: Header) -> dict[str, Any]:  # Any: JSON values
    words, width = header["shared.weight"].shape
    layers = 0
    while f"encoder.block.{layers}.layer.0.SelfAttention.q.weight" in header:
        layers += 1
    first = "encoder.block.0.layer"
    is_gated = f"{first}.1.DenseReluDense.wi_0.weight" in header
    inner = header[f"{first}.1.DenseReluDense.wi_0.weight" if is_gated else f"{first}.1.DenseReluDense.wi.weight"]
    buckets = header[f"{first}.0.SelfAttention.relative_attention_bias.weight"].shape
    heads = buckets[1]
    return {
        "vocab_size": words,
        "d_model": width,
        "d_ff": inner.shape[0],
        "d_kv": header[f"{first}.0.SelfAttention.q.weight"].shape[0] // heads,
        "num_layers": layers,
        "num_heads": heads,
        "relative_attention_num_buckets": buckets[0],
        "feed_forward_proj": "gated-gelu" if is_gated else "relu",
    }
