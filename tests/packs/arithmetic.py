"""Nodes of numbers, for tests of the engine."""

from __future__ import annotations

import time
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import Field

from graphengine import Context, InputError, Lazy, NodePack, node

T = TypeVar("T")


class Parts(NamedTuple):
    """A division.

    Attributes:
        quotient: How often it goes.
        remainder: What is left.
    """

    quotient: int
    remainder: int


class Box:
    """A socket type of its own: it holds a number."""

    def __init__(self, number: float) -> None:
        self.number = number


@node("Number", category="test", outputs="number")
def number(value: Annotated[float, Field(ge=-1e9, le=1e9)] = 0.0) -> float:
    """Give a number."""
    return value


@node("Whole", category="test", outputs="number")
def whole(value: int = 0) -> int:
    """Give a whole number of any size."""
    return value


@node("Add", category="test", outputs="sum")
def add(a: float, b: float = 0.0) -> float:
    """Add two numbers."""
    return a + b


@node("Divide", category="test")
def divide(a: int, b: Annotated[int, Field(ge=1)]) -> Parts:
    """Divide whole numbers."""
    return Parts(a // b, a % b)


@node("Choose", category="test", outputs="text")
def choose(colour: Literal["red", "green", "blue"] = "red", size: Annotated[int, Field(multiple_of=8)] = 8) -> str:
    """Choose a colour."""
    return f"{colour} {size}"


@node("Pack", category="test", outputs="box")
def pack_number(number: float) -> Box:
    """Put a number into a box."""
    return Box(number)


@node("Unpack", category="test", outputs="number")
def unpack(box: Box, spare: Box | None = None) -> float:
    """Take the number out of a box."""
    return box.number + (spare.number if spare else 0)


@node("Show", category="test", output_node=True, outputs="value")
def show(value: T) -> T:
    """Show any value."""
    return value


@node("Pick", category="test", outputs="value")
def pick(condition: bool, if_true: Lazy[T], if_false: Lazy[T]) -> T:
    """Compute one of two values."""
    return if_true.get() if condition else if_false.get()


@node("Fail", category="test", outputs="value")
def fail(value: float = 0.0, message: str = "it broke") -> float:
    """Fail."""
    raise RuntimeError(message)


@node("Slow", category="test", outputs="value")
def slow(ctx: Context, value: float = 0.0, parts: int = 3) -> float:
    """Take a while, in parts."""
    for _ in ctx.progress(range(parts)):
        time.sleep(0.001)
    return value


@node("Uneven", category="test", outputs="value")
def uneven(low: int = 0, high: int = 1) -> int:
    """Refuse limits in the wrong order."""
    return high - low


@uneven.check
def _check_limits(low: int, high: int) -> None:
    if low > high:
        raise InputError("high", f"{high} is below low, {low}.", "Exchange them.")


@node("Tick", category="test", outputs="value", cacheable=False)
def tick(ctx: Context) -> int:
    """Count how often it ran."""
    counter = ctx.keep("counter", lambda: [0])
    counter[0] += 1
    return int(counter[0])


@node("ReadText", category="test", outputs="text", fingerprint=lambda path: path)
def read_text(path: str = "") -> str:
    """Repeat a text."""
    return path


pack = NodePack("arithmetic", modules=[__name__])
