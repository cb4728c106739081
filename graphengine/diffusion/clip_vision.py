"""Open image encoders, and let them see pictures.

What they see is as in CLIP's own preparation: the shorter side resized to the network's size, the middle cut out, and
colours measured from CLIP's mean. Source: Radford et al. 2021, arXiv:2103.00020, and its published code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from graphengine.config import Precision
from graphengine.diffusion.image_prompt_layouts import vision_layout
from graphengine.diffusion.model_files import read_json
from graphengine.diffusion.options import Crop
from graphengine.diffusion.original_names import vision_places
from graphengine.diffusion.pretrained import Opener
from graphengine.diffusion.resampling import resize
from graphengine.diffusion.sharing import Share, unshared
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.errors import ModelFileError
from graphengine.types import ClipVision, ClipVisionOutput, Image

_KIND = "clip_vision_model"
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def read(
    path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
) -> ClipVision:
    """Open an image encoder, frozen and in eval mode, on the CPU.

    Args:
        path: A transformers folder, or a safetensors file in transformers' or OpenCLIP's names.
        precision: What the weights become.
        device: Where it will be used, which ``auto`` goes by; it isn't moved there.
        share: Whether and how a network that is opened again is the same one.

    Raises:
        ModelFileError: if it is missing, damaged, or of an unknown kind.
    """
    if path.is_dir():
        kind = read_json(path / "config.json").get("model_type")
        if kind != _KIND:
            raise ModelFileError(
                f"{path / 'config.json'}: an image encoder of the kind {kind!r} can't be used\n"
                f"  Choose a folder of the kind {_KIND!r}, such as an IP-Adapter's 'image_encoder'."
            )
        opened = Opener(precision, device, share).transformers(CLIPVisionModelWithProjection, path, None)
        return ClipVision(opened, source=path.name)
    file = WeightsFile(path, precision=precision, device=device, share=share)
    layout = vision_layout(path, file.header)
    network: Any = file.network(  # Any: transformers' networks are untyped
        lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**layout.config)),
        lambda names: vision_places(names, layout.form, layout.prefix),
        family=None,
    )
    embeddings = network.vision_model.embeddings
    if embeddings.position_ids.is_meta:  # no file holds it, and a shared network has it already
        embeddings.position_ids = torch.arange(embeddings.num_positions).expand((1, -1))
    return ClipVision(network, source=path.name)


@torch.no_grad()
def encode(
    clip_vision: ClipVision, image: Image, *, crop: Crop = "center", device: torch.device | str = "cpu"
) -> ClipVisionOutput:
    """Tell what pictures show, each on its own.

    Args:
        crop: Whether the middle is cut out, as in CLIP's own preparation, or the whole is squeezed into the square.
        device: Where to compute; the network is moved there.
    """
    network: Any = clip_vision.network.to(device)  # Any: transformers' networks are untyped
    pixels = prepared(image, network.config.image_size, crop).to(device, network.dtype)
    pooled, states = _seen(network, pixels)
    _, blank = _seen(network, torch.zeros_like(pixels[:1]))
    return ClipVisionOutput(pooled, states, blank, source=clip_vision.source)


def prepared(image: Image, size: int, crop: Crop = "center") -> Tensor:
    """Give pictures as CLIP takes them, float32 ``[B, 3, size, size]``."""
    planes = image.permute(0, 3, 1, 2)
    height, width = planes.shape[-2:]
    if crop == "center":
        shorter = min(height, width)
        height, width = (size * side // shorter for side in (height, width))
    else:
        height = width = size
    fitted = resize(planes, width, height, method="bicubic").clamp(0, 1)
    top, left = ((side - size) // 2 for side in fitted.shape[-2:])
    cut = fitted[..., top : top + size, left : left + size]
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (_MEAN, _DEVIATION))
    return (cut - mean) / deviation


def _seen(network: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:  # Any: as above
    output = network(pixels, output_hidden_states=True)
    return output.image_embeds.float().cpu(), output.hidden_states[-2].float().cpu()
