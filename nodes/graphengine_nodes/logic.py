"""Choose what is computed."""

from __future__ import annotations

from typing import TypeVar

from graphengine import Lazy, node

T = TypeVar("T")


@node("Switch", category="logic")
def switch(condition: bool = True, *, if_true: Lazy[T], if_false: Lazy[T]) -> T:
    """Pass on one of two values; the other one is never computed.

    Args:
        condition: Which one: on for if_true, off for if_false.
        if_true: Passed on if the condition is on.
        if_false: Passed on if the condition is off; of the same type.
    """
    return if_true.get() if condition else if_false.get()
