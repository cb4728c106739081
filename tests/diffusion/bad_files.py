"""Bad model files, and what is asked of every refusal: which file, what is wrong with it, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphengine.errors import ModelFileError

Spoil = Callable[[Path], object]


def edited(change: Callable[[dict[str, Tensor]], object]) -> Spoil:
    """Change the tensors of a file."""

    def edit(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return edit


def without(name: str) -> Spoil:
    return edited(lambda tensors: tensors.pop(name))


def only(*names: str) -> Spoil:
    """Put tensors of these names in the place of all others."""
    return lambda path: save_file({name: torch.ones(2, 2) for name in names}, path)


DAMAGES: dict[str, tuple[Spoil, str]] = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-50]), "cut off"),
    "empty": (lambda path: path.write_bytes(b""), "cut off"),
    "a pickle": (lambda path: torch.save({"x": torch.zeros(1)}, path), "is a pickle"),
    "a git-lfs pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
}
"""What happens to files of all kinds, with a part of the message."""


def refused(read: Callable[[Path], object], path: Path, message: str, place: Path | None = None) -> None:
    """Insist that a file is refused for a reason, with its name and a remedy.

    Args:
        place: What the message names, if not the file.
    """
    with pytest.raises(ModelFileError, match=f"(?s){message}") as caught:
        read(path)
    what, remedy = str(caught.value).split("\n", 1)
    assert what.startswith(str(place or path))
    assert remedy.strip()
