"""Nodes whose results are worth keeping on disk: each takes 20 ms."""

from __future__ import annotations

import time

from graphengine import Context, NodePack, node
from graphengine.types import Image


@node("Work", category="test", outputs="number")
def work(number: float = 0.0) -> float:
    """Add 1, slowly."""
    time.sleep(0.02)
    return number + 1


@node("Sketch", category="test", output_node=True, outputs="image")
def sketch(ctx: Context, level: float = 0.5, prefix: str = "sketch", preview: bool = False) -> Image:
    """Save a picture of one grey, and write about it."""
    import torch

    time.sleep(0.02)
    image = Image(torch.full((1, 8, 8, 3), level / 10))
    ctx.outputs.write_images(image, prefix, temporary=preview)
    if not preview:
        ctx.outputs.write_text(f"level {level}\n", f"{prefix}.txt")
    return image


@node("Carve", category="test", output_node=True, outputs="number")
def carve(ctx: Context, number: float = 0.0) -> float:
    """Write a folder."""
    time.sleep(0.02)
    folder = ctx.outputs.folder("carved")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "number").write_text(str(number))
    return number


pack = NodePack("lasting", modules=[__name__])
