"""How many bytes a value holds, for the cache's budget."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from graphengine.core.on_demand import OnDemand, held

__all__ = ["Sizes", "sizes_of"]

_SMALL = 64  # what a reference, or an object that isn't looked into, counts
_SCALARS = frozenset({bool, int, float, type(None)})


@dataclass
class Sizes:
    """What a value holds, in bytes.

    Attributes:
        own: All but networks' weights.
        weights: Each weight's size by its identity, which is the same in all networks that share it; with what is made
            on demand, whether it is there yet or not.
    """

    own: int = 0
    weights: dict[object, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Add up all of it."""
        return self.own + sum(self.weights.values())


def sizes_of(value: object) -> Sizes:
    """Add up tensors, buffers, texts and a little for each part of a value; what it holds twice counts once.

    Objects of unknown classes count a token amount: what they share with the rest of the process can't be known.
    """
    sizes = Sizes()
    seen: set[int] = set()
    stack = [value]
    while stack:
        each = stack.pop()
        sizes.own += _SMALL
        if type(each) in _SCALARS or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, tuple | list | set | frozenset):
            stack.extend(each)
        elif isinstance(each, str | bytes | bytearray):
            sizes.own += sys.getsizeof(each)
        elif isinstance(each, Mapping):
            stack.extend(each.keys())
            stack.extend(each.values())
        elif isinstance(each, BaseModel):  # a workflow, such as within a sub-graph
            stack.append(vars(each))
        elif dataclasses.is_dataclass(each) and not isinstance(each, type):
            if isinstance(each, OnDemand):
                sizes.weights.update(each.made_sizes())
            stack.extend(held(each, field.name) for field in dataclasses.fields(each))
        else:
            _add_tensors(sizes, each, seen)
    return sizes


def _add_tensors(sizes: Sizes, value: object, seen: set[int]) -> None:
    """Count a tensor or a module of tensors, without importing torch: where there are any, it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        sizes.own += _buffer(value)
    elif isinstance(value, torch.nn.Module):
        sizes.weights.update((id(weight), weight.nbytes) for weight in value.parameters())
        sizes.own += sum(_tensor(tensor, seen, torch.strided) for tensor in value.buffers())
    elif isinstance(value, torch.Tensor):
        sizes.own += _tensor(value, seen, torch.strided)
    else:
        sizes.own += _buffer(value)


def _tensor(tensor: Any, seen: set[int], dense: object) -> int:  # Any: a tensor; torch isn't imported here
    if tensor.layout != dense:  # a sparse tensor has no single storage
        return int(tensor.element_size() * tensor._nnz())
    storage = tensor.untyped_storage()
    if storage.data_ptr() in seen:
        return 0
    seen.add(storage.data_ptr())
    return int(storage.nbytes())


def _buffer(value: object) -> int:
    """Count an array by the size that it tells, as numpy's do."""
    told = getattr(value, "nbytes", None)
    return told if isinstance(told, int) else 0
