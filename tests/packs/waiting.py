"""Async nodes, lists and blocks, for tests of the engine."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from graphengine import Blocked, Context, Expansion, Fragment, Lazy, NodePack, node

T = TypeVar("T")


@node("Wait", category="test", outputs="value")
async def wait(seconds: float = 0.05, value: float = 0.0) -> float:
    """Wait without working."""
    await asyncio.sleep(seconds)
    return value


@node("Work", category="test", outputs="value")
def work(seconds: float = 0.05, value: float = 0.0) -> float:
    """Work."""
    time.sleep(seconds)
    return value


@node("WaitAndFail", category="test", outputs="value")
async def wait_and_fail(seconds: float = 0.01) -> float:
    """Wait, then fail."""
    await asyncio.sleep(seconds)
    raise RuntimeError("it broke")


@node("Several", category="test", outputs="numbers")
def several(count: int = 3, start: float = 0.0) -> list[float]:
    """Give several numbers."""
    return [start + index for index in range(count)]


@node("Total", category="test", outputs="sum")
def total(numbers: list[float]) -> float:
    """Add up a list."""
    return sum(numbers)


@node("Odd", category="test", outputs="value")
def odd(value: float) -> float | Blocked:
    """Let odd numbers pass."""
    return value if value % 2 else Blocked(f"{value:g} is even")


@node("Either", category="test", outputs="value", wants=lambda condition: "yes" if condition else "no")
def either(condition: bool, yes: Lazy[T], no: Lazy[T]) -> T:
    """Compute one of two values, named before the call."""
    return yes.get() if condition else no.get()


@node("Below", category="test", outputs="below")
def below(value: float, limit: float = 3.0) -> bool:
    """Tell whether a number is below a limit."""
    return value < limit


@node("Repeat", category="test", outputs="sum")
def repeat(value: float, times: int = 2, kind: str = "Add") -> float | Expansion:
    """Add 1 so many times, by as many nodes."""
    fragment = Fragment()
    last: object = value
    for number in range(times):
        last = fragment.add(f"add{number}", kind, a=last, b=1.0)["sum"]
    return Expansion(fragment, [last])


@node("Grow", category="test", outputs="numbers")
def grow(numbers: list[float]) -> list[float]:
    """Spoil the list that it is given."""
    numbers.append(1.0)
    return numbers


@node("Count", category="test", outputs="value")
def count(ctx: Context, value: float = 0.0) -> float:
    """Pass a number on, and count the calls."""
    ctx.keep("calls", list).append(value)
    return value


pack = NodePack("waiting", modules=[__name__])
