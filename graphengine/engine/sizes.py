"""How many bytes a value holds, for the cache's budget."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

from pydantic import BaseModel

from graphengine.core.on_demand import held

__all__ = ["size_bytes"]

_SMALL = 64  # what a reference, or an object that isn't looked into, counts
_SCALARS = frozenset({bool, int, float, type(None)})


def size_bytes(value: object) -> int:
    """Add up tensors, buffers, texts and a little for each part of a value; what it holds twice counts once.

    Objects of unknown classes count a token amount: what they share with the rest of the process can't be known.
    """
    total = 0
    seen: set[int] = set()
    stack = [value]
    while stack:
        each = stack.pop()
        total += _SMALL
        if type(each) in _SCALARS or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, tuple | list | set | frozenset):
            stack.extend(each)
        elif isinstance(each, str | bytes | bytearray):
            total += sys.getsizeof(each)
        elif isinstance(each, Mapping):
            stack.extend(each.keys())
            stack.extend(each.values())
        elif isinstance(each, BaseModel):  # a workflow, such as within a sub-graph
            stack.append(vars(each))
        elif dataclasses.is_dataclass(each) and not isinstance(each, type):
            stack.extend(held(each, field.name) for field in dataclasses.fields(each))
        else:
            total += _tensors(each, seen)
    return total


def _tensors(value: object, seen: set[int]) -> int:
    """Count a tensor or a module of tensors, without importing torch: where there are any, it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return _buffer(value)
    if isinstance(value, torch.nn.Module):
        tensors = [*value.parameters(), *value.buffers()]
    elif isinstance(value, torch.Tensor):
        tensors = [value]
    else:
        return _buffer(value)
    total = 0
    for tensor in tensors:
        if tensor.layout is not torch.strided:  # a sparse tensor has no single storage
            total += tensor.element_size() * tensor._nnz()
            continue
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += storage.nbytes()
    return total


def _buffer(value: object) -> int:
    """Count an array by the size that it tells, as numpy's do."""
    told = getattr(value, "nbytes", None)
    return told if isinstance(told, int) else 0
