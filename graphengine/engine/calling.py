"""Call a node's function: once, or once per item of a list; and read what it returns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from graphengine.authoring.context import Blocked
from graphengine.authoring.expansion import Expansion
from graphengine.core import sockets
from graphengine.core.definition import NodeDefinition
from graphengine.errors import GraphEngineError

__all__ = [
    "Values",
    "blocked_among",
    "blocked_list",
    "collect",
    "describe",
    "exited",
    "fit_outputs",
    "from_node",
    "items_of",
    "read_outputs",
]

Values = list[Any]  # Any: socket values are each node's own


def items_of(arguments: Mapping[str, Any], mapped: frozenset[str]) -> Iterator[dict[str, Any]]:  # Any: socket values
    """Give the arguments of each call of a mapped node; shorter lists repeat their last item, an empty one ends all."""
    lengths = [len(arguments[name]) for name in mapped]
    for index in range(max(lengths) if all(lengths) else 0):
        yield {
            name: value[min(index, len(value) - 1)] if name in mapped else value for name, value in arguments.items()
        }


def blocked_among(arguments: Mapping[str, Any]) -> Blocked | None:  # Any: socket values
    """Find what blocks a call: a blocked input, or a list with a blocked item."""
    for value in arguments.values():
        if type(value) is Blocked:
            return value
        if type(value) is list:
            for item in value:
                if type(item) is Blocked:
                    return item
    return None


def blocked_list(arguments: Mapping[str, Any], mapped: frozenset[str]) -> Blocked | None:  # Any: socket values
    """Find a list that is blocked as a whole, so that its items can't be gone through."""
    return next((arguments[name] for name in mapped if type(arguments[name]) is Blocked), None)


def read_outputs(definition: NodeDefinition, returned: Any) -> Values | Expansion:  # Any: whatever a node returns
    """Read what a function returned as its outputs, in the order of the definition.

    Raises:
        GraphEngineError: if it doesn't fit the definition.
    """
    outputs = definition.outputs
    if type(returned) is Expansion:
        if not definition.expands:
            raise GraphEngineError("it returned an Expansion. Say so in its return type, e.g. '-> Image | Expansion'.")
        return returned
    if type(returned) is Blocked:
        return [returned] * len(outputs)
    if definition.has_own_sockets and isinstance(returned, Mapping):
        returned = tuple(returned.get(output.name, Blocked()) for output in outputs)
    elif len(outputs) == 1 and not _is_record_of_one(returned):
        returned = (returned,)
    elif not outputs:
        return []
    if not isinstance(returned, tuple) or len(returned) != len(outputs):
        names = ", ".join(output.name for output in outputs)
        raise GraphEngineError(f"it returned {describe(returned)} instead of its outputs ({names}).")
    return fit_outputs(definition, returned)


def fit_outputs(definition: NodeDefinition, returned: Sequence[Any]) -> Values:  # Any: socket values
    """Check that there is a value for each output, and a list for each that is a list.

    Raises:
        GraphEngineError: if not.
    """
    outputs = definition.outputs
    if len(returned) != len(outputs):
        names = ", ".join(output.name for output in outputs)
        raise GraphEngineError(f"it gave {len(returned)} values for its outputs ({names}).")
    values = list(returned)
    for position, output in enumerate(outputs):
        if output.type[0] == "[":
            values[position] = _as_list(output.name, values[position])
    return values


def collect(definition: NodeDefinition, calls: list[Values]) -> Values:
    """Join the outputs of a mapped node's calls: a list per output, flat for those that were lists already."""
    joined: Values = []
    for position, output in enumerate(definition.outputs):
        column = [values[position] for values in calls]
        if sockets.is_list(output.type):
            column = [item for each in column for item in (each if isinstance(each, list) else [each])]
        joined.append(column)
    return joined


def describe(value: object) -> str:
    """Describe an input in a line: tensors by shape, dtype and device, the rest as text."""
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        text = f"tensor {'×'.join(map(str, shape))} {str(value.dtype).removeprefix('torch.')}"
        return f"{text} on {getattr(value, 'device', 'cpu')}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bool | int | float | str | None):
        text = repr(value)
        return text if len(text) <= 200 else f"{text[:197]}…"
    parts = [
        f"{name} {describe(part)}"
        for name, part in getattr(value, "__dict__", {}).items()
        if hasattr(part, "shape") and hasattr(part, "dtype")
    ]
    return f"{type(value).__name__}({', '.join(parts)})"


def from_node(trace: TracebackType | None) -> TracebackType | None:
    """Cut a traceback so that it begins with the node's own first line."""
    while trace is not None and trace.tb_next is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(("graphengine.engine", "graphengine.authoring", "asyncio", "concurrent")):
            return trace
        trace = trace.tb_next
    return trace


def exited(error: SystemExit) -> str:
    """Say that a node called ``exit()``."""
    return f"it tried to end the program (exit code {error.code!r})."


def _as_list(name: str, value: Any) -> Any:  # Any: a socket value
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, list | Blocked):
        raise GraphEngineError(f"it returned {describe(value)} for its output {name!r}, which is a list.")
    return value


def _is_record_of_one(returned: object) -> bool:
    return isinstance(returned, tuple) and hasattr(returned, "_fields") and len(returned) == 1
