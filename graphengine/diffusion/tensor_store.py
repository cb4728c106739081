"""Tensors on disk by key: a file each, written whole or not at all, and bounded.

    <folder>/3f/3fa9….safetensors

What was used longest ago goes first where there is too much. A file that can't be read counts as missing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphengine.errors import GraphEngineError

__all__ = ["TensorStore"]


class TensorStore:
    """Tensors by key.

    Args:
        folder: Made when something is stored.
        max_bytes: What all files may take.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self.max_bytes = max_bytes

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def size(self, key: str) -> int:
        """Tell how many bytes the file of a key takes."""
        return self._path(key).stat().st_size

    def load(self, key: str) -> Mapping[str, Tensor] | None:
        """Read tensors; None if there are none, or they can't be read."""
        try:
            return load_file(self._path(key))
        except (OSError, SafetensorError):
            return None

    def save(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors.

        Raises:
            GraphEngineError: if the disk is full or fails; what was stored before is untouched.
        """
        path = self._path(key)
        partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(dict(tensors), partial)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                partial.unlink()
            raise GraphEngineError(
                f"{self._folder}: the cache can't be written: {error}.\n"
                "  Make room on the disk; what is cached already stays."
            ) from error

    def keep_within_bounds(self, used: Collection[str]) -> None:
        """Delete what was used longest ago, and what crashes left, until the rest fits; these keys stay in any case."""
        for key in used:
            self._path(key).touch()
        files = [(each, each.stat()) for each in self._folder.glob("??/*") if each.is_file()]
        room = self.max_bytes - sum(stat.st_size for _path, stat in files)
        stays = {self._path(key) for key in used}
        for path, stat in sorted(files, key=lambda each: each[1].st_mtime_ns):
            is_leftover = ".partial-" in path.name and path.suffix != f".partial-{os.getpid()}"
            if is_leftover or (room < 0 and path not in stays):
                path.unlink(missing_ok=True)
                room += stat.st_size

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"
