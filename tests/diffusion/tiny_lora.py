"""Random adapters for the layers of a network, in the names that the programs give them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
RANK = 2

Roles = dict[str, Tensor]


def kohya(prefix: str) -> Callable[[str, str], str]:
    return lambda layer, role: f"{prefix}_{layer.replace('.', '_')}.{role}"


def dotted(prefix: str) -> Callable[[str, str], str]:
    return lambda layer, role: f"{prefix}.{layer}.{role}"


def layers(network: nn.Module, endings: tuple[str, ...] = ATTENTION) -> Iterator[tuple[str, Any]]:
    """Give the layers whose name ends so."""
    for name, module in network.named_modules():
        if name.endswith(endings) and hasattr(module, "weight"):
            yield name, module


def random(*shape: int) -> Tensor:
    return torch.randn(*shape) * 0.3


def lora(weight: Tensor, rank: int = RANK) -> Roles:
    down = random(rank, *weight.shape[1:])
    return {"lora_up.weight": random(weight.shape[0], rank, *(1 for _ in weight.shape[2:])), "lora_down.weight": down}


def in_tensors(
    network: nn.Module, name: Callable[[str, str], str], roles_of: Callable[[Tensor], Roles] = lora, seed: int = 0
) -> dict[str, Tensor]:
    """Make a change of each attention layer."""
    torch.manual_seed(seed)
    return {
        name(layer, role): tensor
        for layer, module in layers(network)
        for role, tensor in roles_of(module.weight).items()
    }


def written(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path
