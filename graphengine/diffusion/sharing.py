"""Networks that several nodes open from the same file in the same format, which are there once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from graphengine.core.fingerprint import file_version

__all__ = ["Share", "network_key", "unshared"]

T = TypeVar("T")


class Share(Protocol):
    """Gives what was made under a key, or makes it; ``Context.shared`` is one."""

    def __call__(self, key: str, factory: Callable[[], T], /) -> T: ...


def unshared(_key: str, factory: Callable[[], T], /) -> T:
    """Make it anew."""
    return factory()


def network_key(path: Path, dtype: torch.dtype, *parts: object) -> str:
    """Name a network by all that decides what it is.

    Args:
        path: Its file or folder.
        dtype: The format of its weights.
        parts: What it is built like, and where its weights are.
    """
    return repr((str(path.resolve()), file_version(path), str(dtype), *parts))
