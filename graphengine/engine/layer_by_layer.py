"""Networks that are larger than the device: their layers come there as they are computed, and go at once.

    resident     norms, small layers …                       on the device as long as the network is used
    visiting          conv ─▶ attention ─▶ linear …          one after the other, from the CPU, where they stay as well

Layers are hooked with accelerate's hooks. What a hook puts into its layer is a copy; the weights themselves are neither
moved nor written to, so a weight that networks share is as it was for the others, and a mapped file stays mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from accelerate.hooks import (  # type: ignore[import-untyped]  # accelerate ships no types
    ModelHook,
    add_hook_to_module,
    remove_hook_from_module,
)
from accelerate.utils import send_to_device  # type: ignore[import-untyped]  # as above
from torch import Tensor, nn

__all__ = ["Layer", "layers_of", "visiting"]

Copied = Callable[[Tensor, str], Tensor]


@dataclass(frozen=True)
class Layer:
    """A module with weights or buffers of its own; those of the modules within it are layers themselves.

    Attributes:
        weights: By their identity, with their sizes in bytes.
        buffers_bytes: What comes along when it visits.
    """

    module: nn.Module
    weights: dict[int, int]
    buffers_bytes: int

    @property
    def size_bytes(self) -> int:
        return sum(self.weights.values()) + self.buffers_bytes


def layers_of(network: nn.Module) -> list[Layer]:
    """Give the layers of a network, in its own order."""
    layers = []
    for module in network.modules():
        weights = {id(weight): weight.nbytes for weight in module.parameters(recurse=False)}
        buffers = [buffer.nbytes for buffer in module.buffers(recurse=False)]
        if weights or buffers:
            layers.append(Layer(module, weights, sum(buffers)))
    return layers


@contextmanager
def visiting(network: nn.Module, layers: Sequence[Layer], device: str, copied: Copied) -> Iterator[None]:
    """Let some layers of a network come to a device as they are computed, within the block.

    Whoever moves the network there meanwhile, as code does that is also used without a ``DeviceMemory``, moves nothing.

    Args:
        copied: Gives a tensor on a device.
    """
    hooks = [_hook(layer.module, device, copied) for layer in layers]
    for hook in hooks:
        hook.holders += 1
    moves_elsewhere = "to" in vars(network)
    if not moves_elsewhere:
        vars(network)["to"] = lambda *_given, **_named: network
    try:
        yield
    finally:
        if not moves_elsewhere:
            del vars(network)["to"]
        for layer, hook in zip(layers, hooks, strict=True):
            hook.holders -= 1
            if not hook.holders:
                remove_hook_from_module(layer.module)
                vars(layer.module).pop("forward", None)  # which would hide the class's own


def _hook(module: nn.Module, device: str, copied: Copied) -> _Visit:
    """Hook a layer; networks may share it, and then its hook too."""
    hook = vars(module).get("_hf_hook")
    if not isinstance(hook, _Visit):
        hook = _Visit(device, copied)
        add_hook_to_module(module, hook)
    return hook


class _Visit(ModelHook):  # type: ignore[misc]  # accelerate ships no types
    """Puts copies in the place of a layer's weights while it is computed.

    Attributes:
        holders: How many networks in use have the layer.
    """

    def __init__(self, device: str, copied: Copied) -> None:
        self.holders = 0
        self._device = device
        self._copied = copied
        self._home: tuple[dict[str, Any], dict[str, Any]] | None = None  # Any: weights and buffers may be None

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Bring the layer and what it is given."""
        self._home = dict(module._parameters), dict(module._buffers)
        brought: list[Tensor] = []
        for name, weight in self._home[0].items():
            if weight is not None:
                brought.append(self._copied(weight.data, self._device))
                module._parameters[name] = nn.Parameter(brought[-1], requires_grad=False)
        for name, buffer in self._home[1].items():
            if buffer is not None:
                brought.append(self._copied(buffer, self._device))
                module._buffers[name] = brought[-1]
        place = brought[0].device
        return send_to_device(args, place), send_to_device(kwargs, place)

    def post_forward(self, module: nn.Module, output: Any) -> Any:  # Any: whatever the layer gives
        """Put the weights back."""
        self.detach_hook(module)
        return output

    def detach_hook(self, module: nn.Module) -> nn.Module:
        """Put the weights back, also after a layer that failed."""
        if self._home is not None:
            module._parameters.update(self._home[0])
            module._buffers.update(self._home[1])
            self._home = None
        return module
