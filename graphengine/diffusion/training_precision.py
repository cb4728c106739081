"""How a training computes: in which precision, from which memory, compiled or not. The weights stay float32."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from graphengine.errors import InputError
from graphengine.training_types import Precision


class MixedPrecision:
    """Runs a step's networks in half precision, and with float16 scales its loss so that small gradients don't vanish.

    The scale grows until gradients overflow; such a step changes nothing but the scale, which is halved.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self._precision = precision
        self._device = device.type
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
        self._scaler = self._fresh_scaler()

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the precision for this block."""
        return torch.autocast(self._device, self._dtype, enabled=self._dtype != torch.float32)

    def scaled(self, loss: Tensor) -> Tensor:
        """Give a loss whose gradients are large enough for the precision."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: Optimizer) -> None:
        """Bring the gradients to their own size."""
        self._scaler.unscale_(optimizer)

    def may_overflow(self) -> bool:
        """Whether gradients that aren't finite are no more than a scale too large."""
        return self._scaler.is_enabled() and self._scaler.get_scale() > 1

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimizer step unless gradients overflowed, and set the scale for the next step."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, float | int]:
        """Give what the next step needs; empty without a scale."""
        state: dict[str, float | int] = self._scaler.state_dict()
        return state

    def _fresh_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self._device, enabled=self._precision == "float16")

    def restore(self, state: dict[str, float | int]) -> None:
        """Go on from a state, also after a step that was given up."""
        self._scaler = self._fresh_scaler()
        if state:
            self._scaler.load_state_dict(state)


@contextmanager
def gradient_checkpointing(modules: Collection[nn.Module]) -> Iterator[None]:
    """Compute what lies inside blocks again in the backward pass of this block, instead of keeping it.

    Raises:
        InputError: if a network can't do that.
    """
    switches = [_switches(module) for module in modules]
    for on, _ in switches:
        on()
    try:
        yield
    finally:
        for _, off in switches:
            off()


def _switches(module: Any) -> tuple[Any, Any]:  # Any: diffusers' and transformers' methods are untyped
    if getattr(module, "_supports_gradient_checkpointing", False):
        return module.enable_gradient_checkpointing, module.disable_gradient_checkpointing
    if getattr(module, "supports_gradient_checkpointing", False):
        return module.activation_checkpointing_enable, module.activation_checkpointing_disable
    if isinstance(module, nn.ModuleDict) or next(module.children(), None) is None:  # small heads, a word's vectors
        return lambda: None, lambda: None
    raise InputError(
        "recipe", f"{type(module).__name__} knows no gradient checkpointing.", "Turn gradient_checkpointing off."
    )


@contextmanager
def compiled(modules: Collection[nn.Module], backend: str = "inductor") -> Iterator[None]:
    """Let torch.compile make kernels for networks within the block: a minute at first, which pays off on GPUs."""
    for module in modules:
        module.compile(backend=backend)
    try:
        yield
    finally:
        for module in modules:
            module._compiled_call_impl = None
