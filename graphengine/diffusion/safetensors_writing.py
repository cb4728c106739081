"""Write safetensors files tensor by tensor: weights that are views of a mapped file aren't all copied at once.

``model_files`` describes the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNMENT = 8


def write_safetensors(
    path: Path, tensors: Mapping[str, Callable[[], Tensor]], metadata: Mapping[str, str], dtype: torch.dtype | None
) -> None:
    """Write a file.

    Args:
        tensors: What makes each tensor, called twice: for its shape and to write it.
        dtype: What tensors of numbers with a point become; None leaves them.
    """
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    position = 0
    # The widest types first, as the format's own library has it, so that all tensors begin at multiples of their size.
    order = sorted(tensors, key=lambda name: (-_type(tensors[name](), dtype).itemsize, name))
    for name in order:
        tensor = tensors[name]()
        kind = _type(tensor, dtype)
        end = position + prod(tensor.shape) * kind.itemsize
        entries[name] = {"dtype": _NAMES[kind], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in order:
            tensor = tensors[name]().detach()
            flat = tensor.to("cpu", _type(tensor, dtype)).contiguous().flatten()
            file.write(flat.view(torch.uint8).numpy().data if flat.numel() else b"")


def _type(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
