"""Nodes to be interrupted, for tests in processes of their own."""

from __future__ import annotations

import time

from graphengine import Context, InputError, NodePack, node


@node("Endless", category="test", output_node=True, outputs="count")
def endless(ctx: Context, text: str = "whole\n", seconds: float = 60.0) -> int:
    """Write a file again and again until stopped."""
    for count in ctx.progress(range(int(seconds * 100))):
        ctx.outputs.write_text(text * 2000, f"file_{count % 3}.txt")
        time.sleep(0.01)
    return 0


@node("Paint", category="test", output_node=True, outputs="path")
def paint(ctx: Context, level: float = 0.5) -> str:
    """Save a small picture; the only node here that needs torch."""
    import torch

    from graphengine.types import Image

    (path,) = ctx.outputs.write_images(Image(torch.full((1, 8, 8, 3), level)), "paint")
    return str(path)


@node("Refuse", category="test", output_node=True, outputs="value")
def refuse(width: int = 3) -> int:
    """Refuse an input."""
    raise InputError("width", f"{width} is odd.", "Choose an even one.")


pack = NodePack("interruptible", modules=[__name__])
