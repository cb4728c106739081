"""End a process with the one that started it, however that ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Ask the kernel, where it can, to kill this process when its parent dies; at once if it has died already.

    The kernel goes by the thread that started this process, so that one must live as long as the parent.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(os, "getppid") and os.getppid() != parent:
        os._exit(1)
