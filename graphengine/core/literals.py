"""Check a literal against the input that it is given to, and bring it to the input's type."""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import replace
from typing import Any

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition
from graphengine.errors import Problem

__all__ = ["check_literal", "not_a_choice", "shown", "with_article"]

_TYPES_IN_WORDS = {"INT": "a whole number", "FLOAT": "a number", "STRING": "a text", "BOOLEAN": "true or false"}
_MISMATCH = object()


def check_literal(definition: InputDefinition, value: object) -> tuple[Any, Problem | None]:  # Any: of the input's type
    """Coerce a literal to its input's type and check its limits.

    Only lossless conversions are made: 7 for a FLOAT becomes 7.0, and 7.0 for an INT becomes 7.

    Returns:
        The value, and None or the problem; the caller adds the node to it.
    """
    if value is None and not definition.required and definition.default is None:
        return None, None
    if definition.type[:2] == "[$" and isinstance(value, list):
        definition = definition.model_copy(update={"type": sockets.list_of(sockets.ANY)})
    if not sockets.is_scalar(definition.type):
        what = "any output" if sockets.is_variable(definition.type) else with_article(definition.type)
        message = f"it takes a link to {what}, not the value {shown(value)}."
        return None, Problem("not_linked", message, 'Write it as {"$link": "node.output"}.')
    if sockets.is_list(definition.type):
        return _check_list(definition, value)
    coerced = _coerce(definition.type, value)
    if coerced is _MISMATCH:
        wanted = " or ".join(_TYPES_IN_WORDS.get(each, each) for each in sockets.members(definition.type))
        return None, Problem("wrong_type", f"{shown(value)} is not {wanted}.", f"Give it {wanted}.")
    return coerced, _check_limits(definition, coerced) if definition.is_bounded else None


def _check_list(definition: InputDefinition, value: object) -> tuple[Any, Problem | None]:  # Any: as above
    """Check each item of a literal list."""
    if not isinstance(value, list | tuple):
        return None, Problem("wrong_type", f"{shown(value)} is not a list.", f"Write a list: [{shown(value)}].")
    one = definition.model_copy(update={"type": sockets.item_type(definition.type), "default": None})
    items = []
    for number, each in enumerate(value):
        if isinstance(each, dict | list):
            message = f"item {number}: {shown(each)} can't stand in a list."
            return None, Problem(
                "wrong_type", message, "Give plain values; JoinLists and Accumulate make lists of links."
            )
        item, problem = check_literal(one, each)
        if problem is not None:
            return None, replace(problem, message=f"item {number}: {problem.message}")
        items.append(item)
    return items, None


def _coerce(type_name: str, value: object) -> object:
    kind = type(value)
    for member in sockets.members(type_name):
        if member == "INT" and kind is int:
            return value
        if member == "FLOAT" and kind is float:
            return value if math.isfinite(value) else _MISMATCH  # type: ignore[arg-type]  # a float, as kind says
        if member == "STRING" and kind is str:
            return value
        if (member == "BOOLEAN" and kind is bool) or member == sockets.ANY:
            return value
    for member in sockets.members(type_name):
        if member == "FLOAT" and kind is int:
            return _exact_float(value)
        if member == "INT" and isinstance(value, float) and value.is_integer():
            return int(value)
    return _MISMATCH


def _exact_float(value: object) -> object:
    try:
        return float(value)  # type: ignore[arg-type]  # an int, as the caller saw
    except OverflowError:
        return _MISMATCH


def _check_limits(definition: InputDefinition, value: Any) -> Problem | None:  # Any: of the input's type
    if definition.choices is not None:
        return None if value in definition.choices else not_a_choice(value, definition.choices)
    if isinstance(value, str):
        return _check_text(definition, value)
    if isinstance(value, bool):
        return None
    return _check_number(definition, value)


def _check_number(definition: InputDefinition, value: float) -> Problem | None:
    remedy = _range_in_words(definition)
    if (definition.minimum is not None and value < definition.minimum) or (
        definition.exclusive_minimum is not None and value <= definition.exclusive_minimum
    ):
        return Problem("value_too_small", f"{shown(value)} is too small.", remedy)
    if (definition.maximum is not None and value > definition.maximum) or (
        definition.exclusive_maximum is not None and value >= definition.exclusive_maximum
    ):
        return Problem("value_too_large", f"{shown(value)} is too large.", remedy)
    step = definition.multiple_of
    if step and not _is_multiple(value, step):
        below = value // step * step
        inside = [each for each in (below, below + step) if not _is_outside(definition, each)]
        remedy = f"Choose {' or '.join(map(str, inside))}, say." if inside else remedy
        return Problem("not_a_multiple", f"{shown(value)} is not a multiple of {step}.", remedy)
    return None


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    ratio = float(value) / step
    return math.isinf(ratio) or math.isclose(ratio, round(ratio), abs_tol=1e-9)


def _is_outside(definition: InputDefinition, value: float) -> bool:
    return (definition.minimum is not None and value < definition.minimum) or (
        definition.maximum is not None and value > definition.maximum
    )


def _range_in_words(definition: InputDefinition) -> str:
    low, high = definition.minimum, definition.maximum
    above, below = definition.exclusive_minimum, definition.exclusive_maximum
    if low is not None and high is not None:
        return f"Choose a value from {low} to {high}."
    start = f"of at least {low}" if low is not None else f"above {above}" if above is not None else ""
    end = f"of at most {high}" if high is not None else f"below {below}" if below is not None else ""
    return f"Choose a value {' and '.join(part for part in (start, end) if part)}."


def _check_text(definition: InputDefinition, value: str) -> Problem | None:
    if definition.min_length is not None and len(value) < definition.min_length:
        remedy = f"Give at least {definition.min_length} character{'s' if definition.min_length > 1 else ''}."
        return Problem("text_too_short", f"{shown(value)} is too short.", remedy)
    if definition.max_length is not None and len(value) > definition.max_length:
        remedy = f"Give at most {definition.max_length} characters."
        return Problem("text_too_long", f"the text has {len(value)} characters.", remedy)
    if definition.pattern is not None and not re.search(definition.pattern, value):
        return Problem("wrong_text", f"{shown(value)} does not fit.", f"It must match {definition.pattern}.")
    return None


def not_a_choice(value: object, choices: tuple[object, ...]) -> Problem:
    """Say that a value isn't among the choices, and which one is most like it."""
    listed = ", ".join(map(str, choices[:12])) + (f", … ({len(choices)} in all)" if len(choices) > 12 else "")
    by_stem = {_without_ending(str(choice)): str(choice) for choice in reversed(choices)}
    near = difflib.get_close_matches(_without_ending(str(value)), by_stem, n=1)
    guess = f"Did you mean {by_stem[near[0]]!r}? " if near else ""
    return Problem("not_a_choice", f"{shown(value)} is not one of its choices.", f"{guess}Choose one of: {listed}.")


def _without_ending(name: str) -> str:
    """Leave out what many files end with, which would make all of them alike."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and ending.isalpha() and stem else name


def shown(value: object) -> str:
    """Show a literal in a message, shortened if it is long."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def with_article(type_name: str) -> str:
    """Put "a" or "an" before a socket type or a node's kind."""
    if type_name[:2] == "[$":
        return "a list"
    if type_name[:1] == "[":
        return f"a list of {sockets.item_type(type_name).replace('|', ' or ')}"
    return f"{'an' if type_name[:1] in 'AEIOU' else 'a'} {type_name.replace('|', ' or ')}"
