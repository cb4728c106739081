"""The debug mode that finds nodes which change their inputs; values are shared, so others would see the change.

Small tensors are compared by their bytes, large ones and networks by the counter that torch raises on every change in
place, which costs nothing. What is written past torch, through a NumPy view of a large tensor, isn't seen.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from graphengine.core.on_demand import held

__all__ = ["changed_input", "marks_of"]

_SMALL_BYTES = 1 << 20
Marks = dict[str, list[object]]


def marks_of(arguments: Mapping[str, Any]) -> Marks:  # Any: socket values
    """Take down the state of each argument."""
    return {name: list(_marks(value)) for name, value in arguments.items()}


def changed_input(arguments: Mapping[str, Any], before: Marks) -> str | None:  # Any: socket values
    """Name an argument whose state is another now; None if all are as before."""
    return next((name for name, value in arguments.items() if list(_marks(value)) != before[name]), None)


def _marks(value: Any) -> Iterator[object]:  # Any: a socket value
    torch = sys.modules.get("torch")  # without it there is no tensor either
    if isinstance(value, dict):
        yield list(value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        yield len(value)
        for item in value:
            yield from _marks(item)
    elif torch is not None and isinstance(value, torch.Tensor):
        yield _tensor_mark(value)
    elif torch is not None and isinstance(value, torch.nn.Module):
        for parameter in value.parameters():  # buffers are other tensors after a move to another device
            yield id(parameter), parameter._version
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _marks(held(value, field.name))


def _tensor_mark(tensor: Any) -> object:  # Any: a tensor; torch isn't imported here
    version = 0 if tensor.is_inference() else tensor._version
    if tensor.nbytes > _SMALL_BYTES or tensor.device.type != "cpu":
        return tuple(tensor.shape), version
    flat = tensor.detach().contiguous().flatten()
    return tuple(tensor.shape), version, blake2b(bytes(flat.untyped_storage())[: tensor.nbytes]).digest()
