"""Values ⇄ bytes: a safetensors file whose metadata say how the tensors make up the values. Nothing is ever unpickled.

    {"__metadata__": {"graphengine": '[{"record": "graphengine.types:Latent", "fields": {"samples": {"tensor": 0, …
     "0": {"dtype": "F32", "shape": [1, 4, 64, 64], "data_offsets": [0, 65536]}}

What can be stored: tensors, numbers, texts, bytes, None, lists, tuples, dicts, enum members, named tuples and frozen
dataclasses of such. A pack's own types need no registration: they are stored under their module's and class's names,
and found again by them; a class that is gone by then, or has other fields, makes the entry useless. Nothing else is
stored: networks, tokenizers, open files, classes with a state of their own; nor tensors that require gradients, that
aren't dense or are of a subclass, since what comes back would be something else.

Reading imports the modules of the classes that a file names, and calls nothing of theirs. Who can write the cache
folder can have code imported, then, as who can write the packs' folder.

Numbers, bit patterns of floats and the order of a tensor's dimensions in memory survive exactly; the last because
convolutions choose their algorithm, and so their rounding, by it. What a tensor shares with another one doesn't.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import importlib
import json
import math
import struct
import sys
import zlib
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from graphengine.core.on_demand import held

if TYPE_CHECKING:
    import torch

__all__ = ["NotStorable", "Packed", "pack", "unpack"]

_DEEPEST = 100  # levels of nesting; each costs a few frames of Python's stack
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_CODES = {name: code for code, name in _DTYPES.items()}


class NotStorable(Exception):
    """A value can't be stored, or a stored one can't be brought back here."""


class Packed(NamedTuple):
    """Values on their way to a file.

    Attributes:
        header: What the file begins with.
        tensors: What follows, in order.
        size: Of the whole file, in bytes.
    """

    header: bytes
    tensors: Sequence[torch.Tensor]
    size: int

    def chunks(self) -> Sequence[memoryview]:
        """Give the file's bytes, piece by piece; tensors elsewhere are copied to the CPU now."""
        return [memoryview(self.header), *(_bytes_of(tensor) for tensor in self.tensors if tensor.numel())]


def pack(values: Sequence[Any]) -> Packed:  # Any: socket values
    """Describe values as a file, without copying tensors that are dense.

    Raises:
        NotStorable: if one of them can't be stored.
    """
    packer = _Packer()
    try:
        structure = json.dumps([packer.describe(value, 0) for value in values], separators=(",", ":"))
    except (ValueError, AttributeError) as error:  # a whole number of more digits than Python writes, an unset field
        raise NotStorable(str(error)) from error
    table: dict[str, object] = {"__metadata__": {"graphengine": structure}}
    offset = 0
    for number, tensor in enumerate(packer.tensors):
        end = offset + tensor.numel() * tensor.element_size()
        code = _CODES[str(tensor.dtype).removeprefix("torch.")]
        table[str(number)] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return Packed(struct.pack("<Q", len(header)) + header, packer.tensors, 8 + len(header) + offset)


def unpack(file: IO[bytes], *, size: int, checksum: int) -> list[Any]:  # Any: socket values
    """Bring back the values of a file; tensors each have memory of their own.

    Args:
        size: Of the file, in bytes; no more than that is allocated, whatever it says within.
        checksum: CRC-32 of all of it.

    Raises:
        NotStorable: if it isn't that file, or names classes that aren't as they were.
    """
    reader = _Reader(file, size)
    try:
        table = json.loads(reader.take(int.from_bytes(reader.take(8), "little")))
        structure = json.loads(table.pop("__metadata__")["graphengine"])
        tensors = [reader.take_tensor(table[str(number)]) for number in range(len(table))]
        if reader.left or reader.checksum != checksum:
            raise NotStorable("the file is not as it was written")
        return [_build(each, tensors) for each in structure]
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError) as error:
        raise NotStorable(f"it can't be read: {error!r}") from error  # AssertionError: torch's, of a device not there


class _Reader:
    """Reads a file from its beginning to its end, and adds up its checksum."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.left = size
        self.checksum = 0

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        self._claim(count)
        buffer = bytearray(count)
        self._fill(memoryview(buffer))
        return bytes(buffer)

    def take_tensor(self, entry: dict[str, Any]) -> torch.Tensor:  # Any: JSON
        """Read a tensor, as the file's table describes it."""
        import torch

        begin, end = entry["data_offsets"]
        self._claim(end - begin)
        dtype: torch.dtype = getattr(torch, _DTYPES[entry["dtype"]])
        buffer = torch.empty(end - begin, dtype=torch.uint8)
        self._fill(buffer.numpy().data)
        return buffer.view(dtype).view(entry["shape"])

    def _claim(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise NotStorable("the file is shorter than it says")

    def _fill(self, view: memoryview) -> None:
        while view:
            read = self._file.readinto(view)  # type: ignore[attr-defined]  # IO[bytes] doesn't tell; files have it
            if not read:
                raise NotStorable("the file ends too early")
            self.checksum = zlib.crc32(view[:read], self.checksum)
            view = view[read:]


class _Packer:
    """Turns values into JSON, and collects their tensors."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[object] = []

    def describe(self, value: Any, depth: int) -> object:  # Any: a socket value
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": struct.pack("<d", value).hex()}
        if depth > _DEEPEST:
            raise NotStorable(f"a value is nested more than {_DEEPEST} levels deep")
        if kind in (list, tuple):
            return {kind.__name__: [self.describe(item, depth + 1) for item in value]}
        if kind is dict:
            items = [[self.describe(key, depth + 1), self.describe(item, depth + 1)] for key, item in value.items()]
            return {"dict": items}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        return self._describe_object(value, kind, depth)

    def _describe_object(self, value: Any, kind: type[Any], depth: int) -> object:  # Any: a socket value
        torch = sys.modules.get("torch")  # without it there is no tensor either
        if torch is not None and kind is torch.Tensor:
            return self._describe_tensor(value)
        if isinstance(value, enum.Enum):
            return {"enum": _name(kind), "member": value.name}
        names = _field_names(kind)
        if names is None or set(getattr(value, "__dict__", names)) - set(names):  # it holds more than its fields
            raise NotStorable(f"a {kind.__qualname__} can't be stored")
        fields = {name: self.describe(held(value, name), depth + 1) for name in names}
        return {"record": _name(kind), "fields": fields}

    def _describe_tensor(self, tensor: torch.Tensor) -> object:
        import torch

        code = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout is not torch.strided or tensor.requires_grad or tensor.is_quantized or code not in _CODES:
            raise NotStorable(f"a tensor of {tensor.dtype} that is sparse, quantized or requires gradients")
        if tensor.device.type == "meta":
            raise NotStorable("a tensor without values")
        order = _order_in_memory(tensor)
        number = self._numbers.setdefault(id(tensor), len(self.tensors))
        if number == len(self.tensors):
            plain = tensor.detach().resolve_conj().resolve_neg()
            self.tensors.append(plain.permute(order) if order else plain)
            self._alive.append(tensor)
        description: dict[str, object] = {"tensor": number}
        if order:
            description["order"] = order
        if tensor.device.type != "cpu":
            description["device"] = str(tensor.device)
        return description


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    import torch

    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _order_in_memory(tensor: torch.Tensor) -> list[int]:
    """Give the order of dimensions in which the tensor lies in memory; none if that is its own, or it has gaps."""
    if tensor.is_contiguous():
        return []
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda axis: (-strides[axis], axis))
    return order if tensor.permute(order).is_contiguous() else []


def _build(described: Any, tensors: Sequence[torch.Tensor]) -> Any:  # Any: JSON, and a socket value
    if type(described) is not dict:
        return described
    if "tensor" in described:
        tensor = tensors[described["tensor"]]
        if "order" in described:
            order = described["order"]
            tensor = tensor.permute([order.index(axis) for axis in range(len(order))])
        return tensor.to(described["device"]) if "device" in described else tensor
    if "record" in described:
        fields = {name: _build(part, tensors) for name, part in described["fields"].items()}
        return _build_record(_find(described["record"]), fields)
    if "enum" in described:
        return _find(described["enum"])[described["member"]]
    if "dict" in described:
        return {_build(key, tensors): _build(item, tensors) for key, item in described["dict"]}
    if "float" in described:
        return struct.unpack("<d", bytes.fromhex(described["float"]))[0]
    if "bytes" in described:
        return base64.b64decode(described["bytes"])
    if "tuple" in described:
        return tuple(_build(item, tensors) for item in described["tuple"])
    return [_build(item, tensors) for item in described["list"]]


def _build_record(kind: Any, fields: dict[str, Any]) -> Any:  # Any: a class, a socket value
    names = _field_names(kind)
    if names is None or list(names) != list(fields):
        raise NotStorable(f"{kind.__qualname__} has other fields now")
    if issubclass(kind, tuple):
        return tuple.__new__(kind, fields.values())
    record = object.__new__(kind)  # its constructor has judged these values before, and may have changed them
    for name, value in fields.items():
        object.__setattr__(record, name, value)
    return record


def _field_names(kind: type[Any]) -> tuple[str, ...] | None:  # Any: of any class
    """Name the fields of a named tuple or frozen dataclass; None for other classes."""
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        return tuple(names) if names is not None else None
    parameters = getattr(kind, "__dataclass_params__", None)
    is_more = any(base.__module__ == "builtins" and base is not object for base in kind.__mro__)  # such as a str
    if parameters is None or not parameters.frozen or is_more:
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def _name(kind: type[Any]) -> str:  # Any: of any class
    """Name a class so that it is found again."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<" in name or _find(name) is not kind:
        raise NotStorable(f"{name} can't be found by its name")
    return name


def _find(name: str) -> Any:  # Any: a class
    module, _, qualname = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotStorable(f"there is no {name} any more") from error
    if not isinstance(found, type) or (not issubclass(found, enum.Enum) and _field_names(found) is None):
        raise NotStorable(f"{name} is no record")
    return found
