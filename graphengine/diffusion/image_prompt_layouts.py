"""How image encoders and IP-Adapters in files of their own are built, told from headers alone, without torch.

An IP-Adapter has two parts, by the names of the program that trained the first ones:

    image_proj.…                  makes tokens of what an image encoder says of a picture
    ip_adapter.1.to_k_ip.weight   attends to them, beside the denoiser's first attention to the prompt
    ip_adapter.3.…                beside its second one, and so on: the even numbers are attention without a prompt

What ``image_proj`` reads follows from its layers: the plain ones take a picture's one vector, those called "plus" and
"full face" the states of all its patches.

Sources: github.com/tencent-ailab/IP-Adapter, huggingface.co/h94/IP-Adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Literal

from graphengine.diffusion.families import Config, Header
from graphengine.diffusion.recognition import what_else
from graphengine.errors import ModelFileError

__all__ = ["IPAdapterLayout", "VisionLayout", "ip_adapter_layout", "vision_layout"]

PROJECTION = "image_proj."
LAYERS = "ip_adapter."

_HEADS: Mapping[int, int] = {1024: 16, 1280: 16, 1664: 16}  # of ViT-L, -H and -bigG; others have one for 64 numbers
_WITH_QUICK_GELU = (768, 1024)  # OpenAI's ViT-B and -L; OpenCLIP's larger ones have GELU


@dataclass(frozen=True)
class VisionLayout:
    """An image encoder.

    Attributes:
        config: Of a transformers ``CLIPVisionModelWithProjection``.
        form: Whose names its weights have.
        prefix: What comes before them.
    """

    config: Config
    form: Literal["clip", "open_clip"]
    prefix: str


@dataclass(frozen=True)
class IPAdapterLayout:
    """An IP-Adapter.

    Attributes:
        reads: What it reads of a picture.
        image_width: How many numbers there are in each vector that it reads.
        context_width: How many there are in a token that it makes, as in those of the denoiser's prompt.
        layers: How many attentions it has.
    """

    reads: Literal["pooled", "states"]
    image_width: int
    context_width: int
    layers: int


def vision_layout(path: Path, header: Header) -> VisionLayout:
    """Tell how an image encoder is built.

    Raises:
        ModelFileError: if there is none, or it is incomplete.
    """
    for first, form in (("vision_model.embeddings.class_embedding", "clip"), ("visual.class_embedding", "open_clip")):
        found = next((name for name in header if name.endswith(first)), None)
        if found is not None:
            prefix = found.removesuffix(first)
            try:
                if form == "clip":
                    return VisionLayout(_clip_config(header, prefix), "clip", prefix)
                return VisionLayout(_open_clip_config(header, f"{prefix}visual."), "open_clip", f"{prefix}visual.")
            except (KeyError, IndexError) as error:
                raise _incomplete(path, str(error.args[0])) from error
    raise ModelFileError(f"{path}: not an image encoder: {what_else(header)}")


def _clip_config(header: Header, prefix: str) -> Config:
    model = f"{prefix}vision_model."
    layers = f"{model}encoder.layers."
    return _vision_config(
        patch=header[f"{model}embeddings.patch_embedding.weight"].shape,
        positions=header[f"{model}embeddings.position_embedding.weight"].shape[0],
        layers=_count(header, layers + "{}.mlp.fc1.weight"),
        inner=header[f"{layers}0.mlp.fc1.weight"].shape[0],
        projected=header[f"{prefix}visual_projection.weight"].shape[0],
    )


def _open_clip_config(header: Header, prefix: str) -> Config:
    layers = f"{prefix}transformer.resblocks."
    return _vision_config(
        patch=header[f"{prefix}conv1.weight"].shape,
        positions=header[f"{prefix}positional_embedding"].shape[0],
        layers=_count(header, layers + "{}.mlp.c_fc.weight"),
        inner=header[f"{layers}0.mlp.c_fc.weight"].shape[0],
        projected=header[f"{prefix}proj"].shape[1],
    )


def _vision_config(*, patch: tuple[int, ...], positions: int, layers: int, inner: int, projected: int) -> Config:
    width, side = patch[0], patch[3]
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": _HEADS.get(width, max(1, width // 64)),
        "patch_size": side,
        "image_size": isqrt(positions - 1) * side,  # one position is the whole picture's
        "projection_dim": projected,
        "hidden_act": "quick_gelu" if width in _WITH_QUICK_GELU else "gelu",
    }


def ip_adapter_layout(path: Path, header: Header) -> IPAdapterLayout:
    """Tell how an IP-Adapter is built.

    Raises:
        ModelFileError: if there is none, it is incomplete or of a kind that reads something else than pictures.
    """
    names = {
        name.removeprefix(PROJECTION): entry.shape for name, entry in header.items() if name.startswith(PROJECTION)
    }
    if not names or not any(name.startswith(LAYERS) for name in header):
        raise ModelFileError(f"{path}: not an IP-Adapter: {what_else(header)}")
    is_plain, is_full = "proj.weight" in names, "proj.3.weight" in names
    if not is_plain and not is_full and ("norm.weight" in names or any("perceiver" in name for name in names)):
        raise ModelFileError(
            f"{path}: a FaceID adapter, which reads what a face recognition says of a face instead of a picture\n"
            "  Such networks can't be run here. Choose an IP-Adapter for pictures, such as a 'plus-face' one."
        )
    layers = _layers(path, header)
    try:
        if is_plain:
            return IPAdapterLayout("pooled", names["proj.weight"][1], names["norm.weight"][0], layers)
        if is_full:
            return IPAdapterLayout("states", names["proj.0.weight"][1], names["proj.3.weight"][0], layers)
        return IPAdapterLayout("states", names["proj_in.weight"][1], names["proj_out.weight"][0], layers)
    except (KeyError, IndexError) as error:
        raise _incomplete(path, f"{PROJECTION}{error.args[0]}") from error


def _layers(path: Path, header: Header) -> int:
    """Count the attentions, and insist that none is missing."""
    numbers = {name.removeprefix(LAYERS).partition(".")[0] for name in header if name.startswith(LAYERS)}
    for position in range(len(numbers)):
        for kind in ("to_k_ip", "to_v_ip"):
            name = f"{LAYERS}{2 * position + 1}.{kind}.weight"
            if name not in header:
                raise _incomplete(path, name)
    return len(numbers)


def _count(header: Header, pattern: str) -> int:
    number = 0
    while pattern.format(number) in header:
        number += 1
    return number


def _incomplete(path: Path, name: str) -> ModelFileError:
    return ModelFileError(f"{path}: it lacks {name!r}\n  It is incomplete, or a variant which can't be read.")
