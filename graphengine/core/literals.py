"""Check a literal against the input that it is given to, and bring it to the input's type."""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import Any

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition
from graphengine.errors import Problem

__all__ = ["check_literal", "with_article"]

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
    if not sockets.is_scalar(definition.type):
        return None, Problem(
            "not_linked",
            f"it takes a link to {with_article(definition.type)}, not the value {_shown(value)}.",
            f"Link an output of type {definition.type}.",
        )
    coerced = _coerce(definition.type, value)
    if coerced is _MISMATCH:
        wanted = " or ".join(_TYPES_IN_WORDS.get(each, each) for each in sockets.members(definition.type))
        return None, Problem("wrong_type", f"{_shown(value)} is not {wanted}.", f"Give {wanted}.")
    return coerced, _check_limits(definition, coerced) if definition.is_bounded else None


def _coerce(type_name: str, value: object) -> object:
    kind = type(value)
    for member in sockets.members(type_name):
        if member == "INT" and kind is int:
            return value
        if member == "FLOAT" and kind is float:
            return value
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
        return Problem("value_too_small", f"{value!r} is too small.", remedy)
    if (definition.maximum is not None and value > definition.maximum) or (
        definition.exclusive_maximum is not None and value >= definition.exclusive_maximum
    ):
        return Problem("value_too_large", f"{value!r} is too large.", remedy)
    step = definition.multiple_of
    if step and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        below = math.floor(value / step) * step
        return Problem(
            "not_a_multiple", f"{value!r} is not a multiple of {step}.", f"Choose {below} or {below + step}, say."
        )
    return None


def _range_in_words(definition: InputDefinition) -> str:
    low, high = definition.minimum, definition.maximum
    if definition.exclusive_minimum is not None:
        return f"Choose a value above {definition.exclusive_minimum}" + (
            f" and up to {high}." if high is not None else "."
        )
    if definition.exclusive_maximum is not None:
        return f"Choose a value below {definition.exclusive_maximum}."
    if low is not None and high is not None:
        return f"Choose a value from {low} to {high}."
    return f"Choose a value of at least {low}." if low is not None else f"Choose a value of at most {high}."


def _check_text(definition: InputDefinition, value: str) -> Problem | None:
    if definition.min_length is not None and len(value) < definition.min_length:
        return Problem("text_too_short", f"{_shown(value)} is too short.", f"Give at least {definition.min_length}.")
    if definition.max_length is not None and len(value) > definition.max_length:
        remedy = f"Give at most {definition.max_length} characters."
        return Problem("text_too_long", f"the text has {len(value)} characters.", remedy)
    if definition.pattern is not None and not re.search(definition.pattern, value):
        return Problem("wrong_text", f"{_shown(value)} does not fit.", f"It must match {definition.pattern}.")
    return None


def not_a_choice(value: object, choices: tuple[object, ...]) -> Problem:
    """Say that a value isn't among the choices, and which one is most like it."""
    shown = ", ".join(map(str, choices[:12])) + (f", … ({len(choices)} in all)" if len(choices) > 12 else "")
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return Problem("not_a_choice", f"{_shown(value)} is not one of its choices.", f"{guess}Choose one of: {shown}.")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def with_article(type_name: str) -> str:
    """Put "a" or "an" before a socket type."""
    return f"{'an' if type_name[:1] in 'AEIOU' else 'a'} {type_name}"
