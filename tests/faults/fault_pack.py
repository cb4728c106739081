"""Nodes that leave something to check, or too much to hear."""

from __future__ import annotations

import time

from graphengine import Context, NodePack, node

END = "whole"


@node("f.Write", category="test", output_node=True, cacheable=False)
def write(ctx: Context, text: str = "", kib: int = 64, seconds: float = 0.0) -> None:
    """Write a file that shows whether it is whole."""
    for _ in ctx.progress(range(int(seconds * 100))):
        time.sleep(0.01)
    ctx.outputs.write_text(f"{text}\n{'x' * kib * 1024}{END}", "text.txt")


@node("f.Tell", category="test", output_node=True, cacheable=False)
def tell(ctx: Context, count: int = 600, kib: int = 20, pause_s: float = 0.005) -> None:
    """Warn very often, at length."""
    for number in ctx.progress(range(count)):
        ctx.warn(f"{number} {'x' * kib * 1024}")
        time.sleep(pause_s)


pack = NodePack("f", modules=[__name__])
