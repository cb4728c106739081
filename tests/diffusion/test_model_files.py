"""How much of a file is looked at before it is refused: its header at most, whatever its size and its header's."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine.diffusion import checkpoints
from graphengine.diffusion.model_files import MAX_HEADER_BYTES, MAX_TENSORS, read_header
from graphengine.errors import ModelFileError
from tests.diffusion.original_layouts import random_parts, write_original
from tests.diffusion.test_single_files import REFUSED, million_tensors

HUGE = 2**36  # bytes, in a file without contents: reading them would take a minute, and more memory than there is
FIRST_LOOK = 64


class CountedPath(type(Path())):  # type: ignore[misc]  # the class for this system's paths
    """A path that counts what is read through it."""

    read_bytes_count = 0

    def open(self, *given: Any, **named: Any) -> Any:  # Any: as the base class has them, and a file
        file: Any = super().open(*given, **named)  # Any: its method is replaced
        read = file.read

        def counted(size: int = -1) -> bytes:
            content: bytes = read(size)
            self.read_bytes_count += len(content)
            return content

        return Counted(file, counted)


class Counted:
    """A file whose reading is counted."""

    def __init__(self, file: Any, read: Callable[[int], bytes]) -> None:  # Any: as above
        self._file, self.read = file, read

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def seek(self, position: int) -> int:
        return int(self._file.seek(position))


def written(path: Path, header: bytes, size_bytes: int) -> CountedPath:
    """Write a file's beginning, and nothing up to its end."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(size_bytes)
    return CountedPath(path)


def header_of(tensors: Mapping[str, int]) -> bytes:
    """Describe tensors of so many bytes, back to back."""
    entries, position = {}, 0
    for name, size in tensors.items():
        entries[name] = {"dtype": "U8", "shape": [size], "data_offsets": [position, position + size]}
        position += size
    return json.dumps(entries).encode()


def test_of_a_sound_file_only_the_header_is_read(tmp_path: Path) -> None:
    header = header_of({"a": HUGE - 1, "b": 1})
    path = written(tmp_path / "large.safetensors", header, 8 + len(header) + HUGE)
    assert list(read_header(path)) == ["a", "b"]
    assert path.read_bytes_count <= FIRST_LOOK + len(header)


def test_of_a_file_that_was_cut_off_only_the_header_is_read(tmp_path: Path) -> None:
    header = header_of({"a": HUGE})
    path = written(tmp_path / "cut.safetensors", header, HUGE - 5)
    with pytest.raises(ModelFileError, match="cut off: its tensors take"):
        read_header(path)
    assert path.read_bytes_count <= FIRST_LOOK + len(header)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02}q", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_safetensors_file_is_known_by_its_first_bytes(tmp_path: Path, start: bytes) -> None:
    with (tmp_path / "other.safetensors").open("wb") as file:
        file.write(start)
        file.truncate(HUGE)
    path = CountedPath(tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="this is a"):
        read_header(path)
    assert path.read_bytes_count <= FIRST_LOOK


def test_a_header_of_a_million_tensors_is_not_read(tmp_path: Path) -> None:
    million_tensors(tmp_path, tmp_path / "many.safetensors")
    path = CountedPath(tmp_path / "many.safetensors")
    assert path.stat().st_size > 5 * MAX_HEADER_BYTES
    with pytest.raises(ModelFileError, match="its header claims 53,000,001 bytes"):
        read_header(path)
    assert path.read_bytes_count <= FIRST_LOOK


def test_of_as_many_tensors_as_a_header_can_name_none_is_looked_at(tmp_path: Path) -> None:
    """They are counted before anything is made of them: what isn't even JSON is still refused for their number."""
    entry = b'"x":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},'
    header = b"{" + entry * (MAX_HEADER_BYTES // len(entry) - 1)
    path = written(tmp_path / "many.safetensors", header, HUGE)
    with pytest.raises(ModelFileError, match=rf"names 18\d,\d+ tensors; {MAX_TENSORS:,} are allowed"):
        read_header(path)
    assert path.read_bytes_count <= FIRST_LOOK + MAX_HEADER_BYTES


@pytest.mark.parametrize(
    ("name", "message"),
    [("lora_unet_x.lora_up.weight", "it is a LoRA"), ("model.diffusion_model.x", "of an unknown family")],
)
def test_a_file_of_another_kind_is_refused_by_its_header(tmp_path: Path, name: str, message: str) -> None:
    header = header_of({name: HUGE})
    path = written(tmp_path / "other.safetensors", header, 8 + len(header) + HUGE)
    with pytest.raises(ModelFileError, match=message):
        checkpoints.load(path)
    assert path.read_bytes_count <= FIRST_LOOK + len(header)


@pytest.mark.slow
def test_each_bad_file_is_refused_within_two_seconds_of_work(tmp_path: Path) -> None:
    good = write_original(tmp_path / "good.safetensors", random_parts("sd1", dtype=torch.float16), "sd1", notes=True)
    bad, seconds = tmp_path / "bad.safetensors", {}
    for kind, (make, _message) in REFUSED.items():
        make(good, bad)
        started = time.process_time()
        with pytest.raises(ModelFileError):
            checkpoints.load(bad)
        seconds[kind] = time.process_time() - started
    assert max(seconds.values()) < 2, seconds
