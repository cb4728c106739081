"""Choose what is computed, and compute it more than once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from graphengine import Blocked, Body, Context, Expansion, Fragment, GraphEngineError, InputError, Lazy, Subgraph, node

T = TypeVar("T")


@node("Switch", category="logic", wants=lambda condition: "if_true" if condition else "if_false")
def switch(condition: bool = True, *, if_true: Lazy[T], if_false: Lazy[T]) -> T:
    """Pass on one of two values; the other one is never computed.

    Args:
        condition: Which one: on for if_true, off for if_false.
        if_true: Passed on if the condition is on.
        if_false: Passed on if the condition is off; of the same type.
    """
    return if_true.get() if condition else if_false.get()


@node("Block", category="logic")
def block(value: T, condition: bool = True, message: str = "blocked by a Block node") -> T | Blocked:
    """Pass a value on, or stop everything that depends on it without an error.

    Args:
        value: Passed on if the condition is off.
        condition: On: nothing that reads this node's output runs.
        message: Why, for those who look for the result.
    """
    return Blocked(message) if condition else value


@node("ForEach", category="logic", body=Body(supplies=("item", "index"), lists=True))
def for_each(
    ctx: Context,
    items: list[T],
    body: Subgraph,
    on_error: Literal["stop", "skip"] = "stop",
    **inputs: Any,  # Any: what the body asks for besides
) -> Expansion:
    """Run a sub-graph for each item of a list and collect each of its outputs into a list.

    Args:
        items: What to go through; nothing runs for an empty list.
        body: A sub-graph with the inputs item and index (whole number from 0), as far as it needs them. Its other
            inputs become inputs of this node, its outputs lists.
        on_error: stop ends the run when an item fails; skip reports it, leaves it out of the lists and goes on.
    """
    fragment = Fragment()
    supplied = {each.name for each in body.inputs}
    names = [output.name for output in body.outputs]
    outputs = []
    for index, item in enumerate(items):
        own = {name: value for name, value in (("item", item), ("index", index)) if name in supplied}
        made = fragment.add(str(index), body, **own, **inputs)
        outputs += [made[name] for name in names]

    def gather(values: list[Any]) -> dict[str, list[Any]]:  # Any: socket values
        rows = [values[start : start + len(names)] for start in range(0, len(values), len(names))] if names else []
        whole = [row for row in rows if not any(isinstance(value, Blocked) for value in row)]
        if len(whole) < len(rows):
            ctx.warn(f"{len(rows) - len(whole)} of {len(rows)} items gave nothing and are left out.")
        return {name: [row[position] for row in whole] for position, name in enumerate(names)}

    return Expansion(fragment, outputs, then=gather, on_error="block" if on_error == "skip" else "stop")


@node("While", category="logic", body=Body(consumes=("continue",)))
def while_(
    ctx: Context,
    body: Subgraph,
    max_rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000,
    **state: Any,  # Any: what the body carries from round to round
) -> Expansion:
    """Run a sub-graph again and again while its output 'continue' is on.

    Outputs of the sub-graph whose names are also inputs carry the state from one round to the next. The first round
    always runs.

    Args:
        body: A sub-graph with an output continue. Its inputs become inputs of this node: the state before the first
            round; its other outputs become outputs: the state after the last.
        max_rounds: A loop that would go on for longer is an error.
    """
    carried = [output.name for output in body.outputs]
    taken = {each.name for each in body.inputs}

    def next_round(number: int, state: dict[str, Any]) -> Expansion:  # Any: socket values
        fragment = Fragment()
        made = fragment.add(str(number), body, **state)
        return Expansion(fragment, [made[name] for name in carried], then=partial(finish, number, state))

    def finish(number: int, state: dict[str, Any], values: list[Any]) -> Any:  # Any: socket values
        results = dict(zip(carried, values, strict=True))
        goes_on = results.pop("continue")
        if isinstance(goes_on, Blocked):
            return goes_on
        if not goes_on:
            return results
        if number + 1 == max_rounds:
            raise InputError("max_rounds", f"after {max_rounds} rounds 'continue' is still on.", "Allow more rounds.")
        ctx.check_cancelled()
        return next_round(number + 1, state | {name: value for name, value in results.items() if name in taken})

    return next_round(0, state)


@node("Accumulate", category="logic", outputs="items")
def accumulate(value: T, items: list[T] | None = None) -> list[T]:
    """Put a value at the end of a list, such as one that a While carries from round to round.

    Args:
        value: What to add: one value of the items' type.
        items: The list so far; open for an empty one.
    """
    return [*(items or ()), value]


@node("Compare", category="logic", outputs="result")
def compare(a: float, b: float = 0.0, relation: Literal["<", "<=", "==", "!=", ">=", ">"] = "<") -> bool:
    """Compare two numbers.

    Args:
        a: Left of the relation.
        b: Right of the relation.
        relation: How they should stand to each other.
    """
    below, equal = a < b, a == b
    return {"<": below, "<=": below or equal, "==": equal, "!=": not equal, ">=": not below, ">": a > b}[relation]


_ROUNDINGS: Mapping[str, Callable[[float], int]] = {"nearest": round, "below": math.floor, "above": math.ceil}


@node("Round", category="logic", outputs="whole")
def round_(number: float, to: Literal["nearest", "below", "above"] = "nearest") -> int:
    """Make a whole number of any number.

    Args:
        number: What to round.
        to: Which whole number; halves go to the nearest even one.
    """
    return _ROUNDINGS[to](number)


_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "min": min,
    "max": max,
}


@node("Calculate", category="logic", outputs="number")
def calculate(
    a: float, b: float = 0.0, operation: Literal["+", "-", "*", "/", "//", "%", "**", "min", "max"] = "+"
) -> float:
    """Calculate with two numbers.

    Args:
        a: Left of the operation.
        b: Right of the operation.
        operation: What to do; // divides and rounds down, % is the rest of that, ** is a to the power of b.
    """
    if b == 0 and operation in ("/", "//", "%"):
        raise InputError("b", "nothing can be divided by 0.", "Give another number.")
    try:
        result = _OPERATIONS[operation](a, b)
    except (OverflowError, ZeroDivisionError) as error:
        raise GraphEngineError(f"{a} {operation} {b} is no number that fits.") from error
    if isinstance(result, complex) or not math.isfinite(result):
        raise GraphEngineError(f"{a} {operation} {b} is no finite number.")
    return result
