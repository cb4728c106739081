"""What a node's functions beside its own take: its checks, its fingerprint, its wants, its memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache

__all__ = ["parameters_of"]


@lru_cache(maxsize=1024)
def parameters_of(function: Callable[..., object]) -> Mapping[str, bool]:
    """Give a function's parameters, and whether each must be given; reading a signature takes as long as many calls."""
    parameters = inspect.signature(function).parameters
    return {name: each.default is each.empty for name, each in parameters.items()}
