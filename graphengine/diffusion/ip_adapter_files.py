"""Open IP-Adapters: safetensors files as the program that trained the first ones writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin
from torch import Tensor, nn

from graphengine.config import Precision
from graphengine.diffusion.families import FAMILY_BY_CONTEXT_WIDTH
from graphengine.diffusion.image_prompt_layouts import LAYERS, PROJECTION, ip_adapter_layout
from graphengine.diffusion.precision import STORED, weights_dtype
from graphengine.diffusion.sharing import Share, network_key, unshared
from graphengine.diffusion.step_random import seeded_globally
from graphengine.diffusion.weights_files import WeightsFile, read_tensors
from graphengine.errors import ModelFileError
from graphengine.types import IPAdapter


def read(
    path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
) -> IPAdapter:
    """Open an IP-Adapter, frozen and in eval mode, on the CPU.

    Args:
        precision: What the weights become.
        device: Where it will be used, which ``auto`` goes by; it isn't moved there.
        share: Whether and how a network that is opened again is the same one.

    Raises:
        ModelFileError: if it is missing, damaged, or of a kind that can't be used.
    """
    file = WeightsFile(path, precision=precision, device=device)
    layout = ip_adapter_layout(path, file.header)
    stored = STORED.get(file.header[f"{LAYERS}1.to_k_ip.weight"].dtype, torch.float32)
    dtype = weights_dtype(precision, device, FAMILY_BY_CONTEXT_WIDTH.get(layout.context_width), stored)
    network = share(network_key(path, dtype, "IPAdapter"), lambda: _built(path, layout.layers, dtype))
    return IPAdapter(network, layout.reads, source=path.name)


def _built(path: Path, count: int, dtype: torch.dtype) -> nn.ModuleDict:
    tensors = read_tensors(path)
    layers = nn.ModuleList(
        nn.ModuleDict({kind: _linear(tensors[f"{LAYERS}{2 * position + 1}.{kind}.weight"], dtype) for kind in _KINDS})
        for position in range(count)
    )
    network = nn.ModuleDict({"image_proj": _projection(path, tensors).to(dtype), "layers": layers})
    return network.eval().requires_grad_(False)


_KINDS = ("to_k_ip", "to_v_ip")


def _linear(weight: Tensor, dtype: torch.dtype) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    return layer


def _projection(path: Path, tensors: dict[str, Tensor]) -> nn.Module:
    """Let diffusers make the network that tokens come from."""
    given = {name.removeprefix(PROJECTION): each for name, each in tensors.items() if name.startswith(PROJECTION)}
    loader: Any = (
        UNet2DConditionLoadersMixin()
    )  # Any: diffusers is untyped; of a UNet itself this doesn't read anything
    try:
        with seeded_globally(0):  # it draws weights first, which are overwritten
            made: nn.Module = loader._convert_ip_adapter_image_proj_to_diffusers(given, low_cpu_mem_usage=False)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:  # torch says by RuntimeError what is missing
        raise ModelFileError(
            f"{path}: wrong architecture: {error}\n  The file is damaged, or a variant which can't be read."
        ) from error
    return made
