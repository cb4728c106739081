"""Nodes for the server's tests: quick, slow, failing, and ones that write."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from graphengine import Context, FilesIn, InputDefinition, InputError, NodePack, OutputDefinition, Sockets, node
from graphengine.types import Image


@node("t.Number", category="test", outputs="number")
def number(value: float = 0.0) -> float:
    """Give a number."""
    return value


@node("t.Whole", category="test", outputs="number")
def whole(value: int = 0) -> int:
    """Give a whole number of any size."""
    return value


@node("t.Add", category="test", outputs="sum")
def add(a: float, b: float = 0.0) -> float:
    """Add two numbers."""
    return a + b


@node("t.Slow", category="test", output_node=True, outputs="value", cacheable=False)
def slow(ctx: Context, seconds: float = 60.0) -> float:
    """Take a while, in parts of a hundredth of a second."""
    for _ in ctx.progress(range(int(seconds * 100))):
        time.sleep(0.01)
    return seconds


@node("t.Sketch", category="test", output_node=True, outputs="value", cacheable=False)
def sketch(ctx: Context, steps: int = 5) -> float:
    """Show a picture as it grows."""
    import torch

    for step in ctx.progress(range(steps)):
        ctx.preview(Image(torch.full((1, 16, 16, 3), step / steps)))
        time.sleep(0.15)
    return float(steps)


@node("t.Fail", category="test", output_node=True, outputs="value")
def fail(message: str = "it broke") -> float:
    """Fail."""
    raise RuntimeError(message)


@node("t.Say", category="test", output_node=True, outputs="text", cacheable=False)
def say(ctx: Context, text: str = "hello", name: str = "said.txt") -> str:
    """Print a text, and write it to a file."""
    sys.stdout.write(f"{text}\n")
    ctx.outputs.write_text(text, name)
    return text


@node("t.Paint", category="test", output_node=True, outputs="image")
def paint(ctx: Context, level: float = 0.5, side: int = 64) -> Image:
    """Save a picture of one grey."""
    import torch

    image = Image(torch.full((1, side, side, 3), level))
    ctx.outputs.write_images(image, "painted")
    return image


@node("t.SaveCopy", category="test", output_node=True, outputs="image")
def save_copy(ctx: Context, image: Image) -> Image:
    """Save a picture that another node gives."""
    ctx.outputs.write_images(image, "copy")
    return image


@node("t.Ordered", category="test", output_node=True, outputs="value")
def ordered(low: int = 0, high: int = 1) -> int:
    """Refuse limits in the wrong order."""
    return high - low


@ordered.check
def _check_order(low: int, high: int) -> None:
    if low > high:
        raise InputError("high", f"{high} is below low, {low}.", "Exchange them.")


def _form_sockets(picture: Path, count: int) -> Sockets:
    if count < 1:
        raise InputError("count", "a form has at least one field.", "Raise it.")
    fields = (InputDefinition(name=f"field{number}", type="FLOAT") for number in range(count))
    outputs = (OutputDefinition(name="sum", type="FLOAT", doc=f"Beside {picture.name}."),)
    return Sockets(inputs=tuple(fields), outputs=outputs, doc="A form.")


@node("t.Form", category="test", sockets=_form_sockets)
def form(picture: Annotated[Path, FilesIn("input")], count: int = 2, **fields: float) -> dict[str, float]:
    """Add as many numbers as one likes."""
    return {"sum": sum(fields.values())}


pack = NodePack("served", modules=[__name__])
