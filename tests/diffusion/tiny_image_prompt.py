"""Image encoders and IP-Adapters too small to be good, in the layouts of real ones, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

Kind = Literal["plain", "plus", "full"]
WIDTH, PROJECTED, PATCHES = 24, 20, 16


def image_encoder() -> Any:  # Any: transformers' networks are untyped
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=3, num_attention_heads=1, image_size=32,
        patch_size=8, projection_dim=PROJECTED, hidden_act="gelu",
    )  # fmt: skip
    network: Any = CLIPVisionModelWithProjection(config)  # Any: as above
    return network.eval().requires_grad_(False)


def ip_adapter(network: Any, kind: Kind = "plain", seed: int = 0) -> dict[str, Tensor]:  # Any: a diffusers network
    """Make an adapter for a denoiser, by the names of its files."""
    assert isinstance(network, UNet2DConditionModel)
    generator = torch.Generator().manual_seed(seed)
    reads = network.config.cross_attention_dim
    tensors = {f"image_proj.{name}": shape for name, shape in SHAPES[kind](reads).items()}
    number = 1
    for name, module in network.named_modules():
        if name.endswith(".attn2"):
            shape = tuple(module.to_k.weight.shape)
            tensors |= {f"ip_adapter.{number}.to_k_ip.weight": shape, f"ip_adapter.{number}.to_v_ip.weight": shape}
            number += 2
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in tensors.items()}


def written(path: Path, tensors: dict[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def in_parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Give an adapter as diffusers' pipelines take it."""
    return {
        part: {name.removeprefix(f"{part}."): each for name, each in tensors.items() if name.startswith(f"{part}.")}
        for part in ("image_proj", "ip_adapter")
    }


def _plain(reads: int) -> dict[str, tuple[int, ...]]:
    return {
        "proj.weight": (4 * reads, PROJECTED), "proj.bias": (4 * reads,),
        "norm.weight": (reads,), "norm.bias": (reads,),
    }  # fmt: skip


def _full(reads: int) -> dict[str, tuple[int, ...]]:
    return {
        "proj.0.weight": (WIDTH, WIDTH), "proj.0.bias": (WIDTH,), "proj.2.weight": (reads, WIDTH),
        "proj.2.bias": (reads,), "proj.3.weight": (reads,), "proj.3.bias": (reads,),
    }  # fmt: skip


def _plus(reads: int) -> dict[str, tuple[int, ...]]:
    inner = 32
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 5, inner), "proj_in.weight": (inner, WIDTH), "proj_in.bias": (inner,),
        "proj_out.weight": (reads, inner), "proj_out.bias": (reads,), "norm_out.weight": (reads,),
        "norm_out.bias": (reads,),
    }  # fmt: skip
    for layer in range(4):
        shapes |= {
            f"layers.{layer}.0.norm1.weight": (inner,), f"layers.{layer}.0.norm1.bias": (inner,),
            f"layers.{layer}.0.norm2.weight": (inner,), f"layers.{layer}.0.norm2.bias": (inner,),
            f"layers.{layer}.0.to_q.weight": (64, inner), f"layers.{layer}.0.to_kv.weight": (128, inner),
            f"layers.{layer}.0.to_out.weight": (inner, 64), f"layers.{layer}.1.0.weight": (inner,),
            f"layers.{layer}.1.0.bias": (inner,), f"layers.{layer}.1.1.weight": (4 * inner, inner),
            f"layers.{layer}.1.3.weight": (inner, 4 * inner),
        }  # fmt: skip
    return shapes


SHAPES = {"plain": _plain, "plus": _plus, "full": _full}
