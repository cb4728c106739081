"""What devices there are, how much they hold, and how weights get there."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_device", "copied", "free_bytes", "move_weights"]


def check_device(device: str) -> None:
    """Refuse a device that this machine, or this build of torch, doesn't have.

    Raises:
        GraphEngineError: naming those that it has.
    """
    if device == "cpu":  # which needs no torch to be known
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the second where torch was built without it
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise GraphEngineError(
            f"there is no device {device!r} for torch {torch.__version__}. It has {', '.join(there)}.\n"
            "  Choose one of these, or install a torch that is built for your device and its driver."
        ) from error


def free_bytes(device: str) -> int | None:
    """Tell how much more a device can hold; None if it doesn't say."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for later
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def move_weights(module: nn.Module, device: str, weights: Collection[int]) -> None:
    """Move weights of a network, given by their identity, one by one; what leaves a GPU is free for other programs.

    Its buffers follow once all weights are in one place.
    """
    import torch

    for weight in module.parameters():
        if id(weight) in weights:
            weight.data = weight.data.to(device)
    place = torch.device(device)
    if all(weight.device.type == place.type for weight in module.parameters()):
        for each in module.modules():
            for name, buffer in each._buffers.items():
                each._buffers[name] = None if buffer is None else buffer.to(place)
    if place.type == "cpu" and torch.cuda.is_available():
        torch.cuda.empty_cache()


def copied(tensor: Tensor, device: str) -> Tensor:
    """Give a tensor on a device; it stays where it is as well."""
    return tensor.to(device, non_blocking=True)
