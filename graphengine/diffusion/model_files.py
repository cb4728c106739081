"""Look at model files before anything opens them, and say what is wrong with them.

Only the safetensors format is read: opening a pickle runs whatever code is in it. A safetensors file is

    8 bytes      n, the header's length, little-endian
    n bytes      JSON: tensor name -> {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__"
    the rest     the tensors, back to back, at those offsets

so the header alone tells whether the file is whole and which tensors it holds, whatever its size.

Source: the format's description, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from graphengine.errors import ModelFileError

# The format allows headers of 100 MB; libraries take 40 s to open one of 63 MB with a million tensors, and 4 s for
# 100,000. Models have some thousand in a file.
MAX_HEADER_BYTES = 10_000_000
MAX_TENSORS = 20_000
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")

# 4- and 6-bit types exist, so sizes are in bits.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class TensorEntry:
    """One tensor, as a safetensors header describes it.

    Attributes:
        dtype: The format's name for it, such as ``F16``.
        shape: Its size along each axis.
        begin: First byte, counted from the header's end.
        end: The byte after its last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Read which tensors a safetensors file holds, and prove that the file is whole.

    Raises:
        ModelFileError: if the file is missing, cut off, damaged, a pickle or a git-lfs pointer.
    """
    return read_header_and_metadata(path)[0]


def read_header_and_metadata(path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """Read a safetensors file's header as ``read_header`` does, and the texts that it holds besides."""
    size_bytes = _size(path)
    with path.open("rb") as file:
        start = file.read(64)
        _refuse_other_kinds(path, start)
        if size_bytes < 8:
            raise _cut_off(path, f"it has only {size_bytes} bytes")
        length = int.from_bytes(start[:8], "little")
        if length > MAX_HEADER_BYTES:
            raise damaged(path, f"its header claims {length:,} bytes; {MAX_HEADER_BYTES:,} are allowed")
        if 8 + length > size_bytes:
            raise _cut_off(path, f"its header claims {length:,} bytes, the file has {size_bytes:,}")
        file.seek(8)
        text = file.read(length)
    header = _parse_header(path, text)
    metadata = header.pop("__metadata__", None)
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    _check_offsets(path, entries, size_bytes - 8 - length)
    texts = metadata if isinstance(metadata, dict) else {}
    return entries, {name: value for name, value in texts.items() if isinstance(value, str)}


def read_json(path: Path) -> dict[str, Any]:  # Any: a JSON object's values
    """Read a JSON object, such as a model's configuration.

    Raises:
        ModelFileError: if the file is missing, isn't JSON, or holds something else than an object.
    """
    _size(path)
    content = path.read_bytes()
    _refuse_other_kinds(path, content[:64])
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"it isn't JSON ({error})") from error
    if not isinstance(value, dict):
        raise damaged(path, "it holds no JSON object")
    return value


def find_weights(folder: Path, stem: str) -> tuple[list[Path], str | None]:
    """Find a model's safetensors files in its folder.

    Args:
        folder: The model's folder, such as ``unet``.
        stem: The files' first word: ``diffusion_pytorch_model``, or ``model`` for a text encoder.

    Returns:
        The files (several if the model is sharded) and their variant: ``fp16``, or None for the plain one.

    Raises:
        ModelFileError: if there are none, only pickles, or a shard is missing.
    """
    for variant in (None, "fp16"):
        tag = f".{variant}" if variant else ""
        single = folder / f"{stem}{tag}.safetensors"
        if single.exists():
            return [single], variant
        index = folder / f"{stem}.safetensors.index{tag}.json"
        if index.exists():
            return _shards(index), variant
    pickles = sorted(path for path in folder.glob("*") if path.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise pickle_error(pickles[0])
    raise ModelFileError(
        f"{folder}: no weights here ({stem}.safetensors is missing)\n"
        "  Download or copy the checkpoint again, completely."
    )


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    files = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not files or not all(isinstance(name, str) for name in files):
        raise damaged(index, "it doesn't say which file holds which tensor ('weight_map')")
    if any(Path(name).name != name for name in files):
        raise damaged(index, "it names files outside its folder")
    return [index.parent / name for name in sorted(files)]


def _size(path: Path) -> int:
    if path.is_dir():
        raise ModelFileError(f"{path}: this is a folder, not a file\n  Download or copy the checkpoint again.")
    if not path.exists():
        raise ModelFileError(f"{path}: no such file\n  Download or copy the checkpoint again, completely.")
    return path.stat().st_size


def _refuse_other_kinds(path: Path, start: bytes) -> None:
    if start.startswith(b"version https://git-lfs"):
        raise ModelFileError(
            f"{path}: this is a git-lfs pointer, not the file itself\n"
            "  Run 'git lfs install' and 'git lfs pull' where it was cloned, or download the file."
        )
    # A zip is torch.save's format since 1.6; before that a bare pickle, which opens with its protocol number.
    # Those bytes also open a safetensors header of that length; only there do zeros and a brace follow.
    is_pickle = start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
    if is_pickle and not (start[4:8] == bytes(4) and start[8:9] == b"{"):
        raise pickle_error(path)


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:  # Any: a JSON object's values
    _check_count(path, text.count(b'"data_offsets"'))  # before all of them are made; within texts the quotes differ
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "its header isn't JSON") from error
    if not isinstance(header, dict):
        raise damaged(path, "its header isn't an object")
    _check_count(path, len(header) - 1)  # one is the metadata
    return header


def _check_count(path: Path, tensors: int) -> None:
    if tensors > MAX_TENSORS:
        raise damaged(path, f"its header names {tensors:,} tensors; {MAX_TENSORS:,} are allowed")


def _entry(path: Path, name: str, value: object) -> TensorEntry:
    fields = value if isinstance(value, Mapping) else {}
    dtype, shape, offsets = fields.get("dtype"), _sizes(fields.get("shape")), _sizes(fields.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise damaged(path, f"tensor {name!r} has the unknown type {dtype!r}")
    if shape is None or offsets is None or len(offsets) != 2:
        raise damaged(path, f"tensor {name!r} has an odd shape or place")
    entry = TensorEntry(dtype, shape, *offsets)
    if (entry.end - entry.begin) * 8 != prod(entry.shape) * DTYPE_BITS[dtype]:
        raise damaged(path, f"tensor {name!r} of shape {list(entry.shape)} ({dtype}) can't lie at bytes {offsets!r}")
    return entry


def _sizes(values: object) -> tuple[int, ...] | None:
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        return None
    return tuple(values)


def _check_offsets(path: Path, entries: Mapping[str, TensorEntry], size_bytes: int) -> None:
    """Refuse tensors that overlap, leave gaps, or don't fill exactly what follows the header."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            what = "overlaps another" if entry.begin < position else "leaves a gap before it"
            raise damaged(path, f"tensor {name!r} {what} (byte {entry.begin}, expected {position})")
        position = entry.end
    if position > size_bytes:
        raise _cut_off(path, f"its tensors take {position:,} bytes, the file has {size_bytes:,}")
    if position < size_bytes:
        raise damaged(path, f"{size_bytes - position:,} bytes follow its last tensor")


def damaged(path: Path, reason: str) -> ModelFileError:
    """Make the error that refuses a damaged file."""
    return ModelFileError(f"{path}: this file is damaged: {reason}\n  Download or copy it again.")


def _cut_off(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(f"{path}: this file is cut off: {reason}\n  Download or copy it again, completely.")


def pickle_error(path: Path) -> ModelFileError:
    """Make the error that refuses a pickle."""
    return ModelFileError(
        f"{path}: this is a pickle, which can run any code when it is opened; only safetensors files are read\n"
        "  Get the model as .safetensors, or convert it on a machine that trusts the file:"
        " load it with diffusers and call save_pretrained(folder, safe_serialization=True)."
    )
