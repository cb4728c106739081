"""Keep Python's garbage collector from going through a large graph again and again.

A graph, its plan and its results are tens of thousands of objects that stay until the run is over and hold no cycles.
Each full collection would look at all of them: at 10,000 nodes that doubles the cost per node.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held_back", "set_aside"]

_MANY = 500  # nodes


@contextmanager
def held_back() -> Iterator[None]:
    """Collect nothing meanwhile: for code of our own that makes objects which stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def set_aside(nodes: int) -> Iterator[None]:
    """Leave out what exists by now, while a graph of so many nodes runs: what they make is collected as always.

    A small graph isn't worth it: afterwards the collector looks at all there is once more, and that takes most of a
    second in a process that has loaded torch and its libraries.
    """
    if nodes < _MANY:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
