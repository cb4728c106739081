"""Call a node in a test as the engine would, without an engine. ::

    def test_it_says_when_nothing_is_bright() -> None:
        ctx = FakeContext()
        parts = run_node(bright_parts, ctx=ctx, image=torch.zeros(1, 8, 8, 3))
        assert parts.mask.sum() == 0
        assert ctx.warnings == ["nothing is brighter than 0.8"]

The node gets what an engine would give it, and nothing of the machine it runs on.
"""

from __future__ import annotations

import asyncio
import difflib
import enum
import inspect
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, overload

from graphengine.authoring.context import Blocked, Lazy
from graphengine.authoring.expansion import Expansion
from graphengine.authoring.fake_context import FakeContext, FakeOutputs, Metrics
from graphengine.authoring.node import NodeFunction
from graphengine.config import Settings
from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.core.literals import check_literal
from graphengine.core.own_sockets import find_sockets
from graphengine.errors import DefinitionError, GraphEngineError, InputError

__all__ = ["FakeContext", "FakeOutputs", "Metrics", "run_node"]

T = TypeVar("T")
R = TypeVar("R")
Inputs = dict[str, Any]  # Any: socket values are each node's own


@overload
def run_node(function: NodeFunction[..., Coroutine[Any, Any, R]], /, **inputs: Any) -> R: ...
@overload
def run_node(function: NodeFunction[..., R], /, **inputs: Any) -> R: ...
def run_node(function: NodeFunction[..., Any], /, **inputs: Any) -> Any:  # Any: socket values are each node's own
    """Call a node with its inputs checked and completed as the engine does, and give what it returns.

    Literals are held to their limits and brought to their types, defaults are filled in, the node's own checks are
    made, plain values for lazy inputs become lazy, names of files become paths, and async nodes are awaited. An
    ``Expansion`` is given as it is: its nodes need an engine.

    Args:
        inputs: By name; the node's ``Context`` parameter may be given a ``FakeContext``, otherwise it gets a new one.

    Raises:
        InputError: for an input that is missing, unknown or refused.
        GraphEngineError: if what it returns doesn't fit its outputs.
        Exception: whatever the node raises.
    """
    if not isinstance(function, NodeFunction):
        raise DefinitionError(f"{function!r} is no node. Decorate it with '@node(\"mypack.Name\", category=…)'.")
    name = function.context_parameter
    context = inputs.pop(name, None) if name is not None else None
    context = context if context is not None else FakeContext()
    definition = _with_own_sockets(function, inputs, context.settings)
    arguments = _checked_inputs(definition, inputs, context.settings)
    _run_own_checks(function, arguments)
    arguments.update(_lazies(function, arguments))
    returned = function(**arguments, **({name: context} if name is not None else {}))
    if inspect.iscoroutine(returned):
        returned = _await(returned)
    _check_returned(definition, returned)
    return returned


def _with_own_sockets(function: NodeFunction[..., Any], inputs: Inputs, settings: Settings) -> NodeDefinition:
    """Give the definition with the sockets that follow from what the node is given."""
    definition = function.definition
    if not definition.sockets_from:
        return definition
    plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in inputs.items()}
    found = find_sockets(definition, plain, settings, function)
    return definition if found is None else definition.with_sockets(found.inputs, found.outputs)


def _checked_inputs(definition: NodeDefinition, given: Inputs, settings: Settings) -> Inputs:
    unknown = [name for name in given if name not in definition.inputs_by_name and definition.body is None]
    if unknown:
        near = difflib.get_close_matches(unknown[0], definition.inputs_by_name, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(definition.inputs_by_name) or "none"
        raise InputError(unknown[0], f"{definition.id} has no such input.", f"{guess}Its inputs: {known}.")
    arguments = {name: value for name, value in given.items() if name not in definition.inputs_by_name}
    for name, each in definition.inputs_by_name.items():
        if name not in given and each.required:
            if not any(other in given for other in each.unless):
                raise InputError(name, "it is required.", "Give it a value.")
            arguments[name] = None
            continue
        arguments[name] = _checked(each, given.get(name, each.default), settings)
    return arguments


def _checked(definition: InputDefinition, value: Any, settings: Settings) -> Any:  # Any: of the input's own type
    if isinstance(value, Lazy):
        return value
    if value is None:
        if definition.required or definition.default is not None:
            raise InputError(definition.name, "it is None, but may not be left open.", "Give it a value.")
        return None
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not _takes_literals_only(definition.type):
        return _as_linked(definition, value)
    value, problem = check_literal(definition, value)
    if problem is not None:
        raise InputError(definition.name, problem.message, problem.remedy)
    if definition.files is None:
        return value
    path = settings.find_file(definition.files, value)
    if path is None:
        raise InputError(definition.name, f"there is no file {value!r}.", "Give the path of one that is there.")
    return path


def _takes_literals_only(type_name: str) -> bool:
    item = sockets.item_type(type_name) if sockets.is_list(type_name) else type_name
    return all(member in sockets.SCALARS for member in sockets.members(item))


def _as_linked(definition: InputDefinition, value: Any) -> Any:  # Any: a socket value
    """Treat a value as if it came along a link: where a list belongs, one value becomes a list of one."""
    if sockets.is_list(definition.type):
        return value if isinstance(value, list) else [value]
    if isinstance(value, list) and definition.type != sockets.ANY and not definition.lazy:
        message = f"it takes one {definition.type}, not a list; the engine calls the node once for each item."
        raise InputError(definition.name, message, "Call run_node for each.")
    return value


def _run_own_checks(function: NodeFunction[..., Any], arguments: Inputs) -> None:
    known = {
        name: value
        for name, value in arguments.items()
        if not isinstance(value, Lazy) and _is_checked(function.definition, name)
    }
    for check in function.checks:
        parameters = inspect.signature(check).parameters
        if parameters.keys() <= known.keys():
            check(**{name: known[name] for name in parameters})


def _is_checked(definition: NodeDefinition, name: str) -> bool:
    """Tell whether the engine could know this input's value before the run."""
    each = definition.inputs_by_name.get(name)
    return each is not None and sockets.is_scalar(each.type)


def _lazies(function: NodeFunction[..., Any], arguments: Inputs) -> dict[str, Lazy[Any]]:  # Any: socket values
    """Make the lazy inputs lazy; an async node gets only those that its ``wants`` names."""
    definition = function.definition
    wanted = set(definition.lazy_inputs)
    if function.wants is not None:
        names = inspect.signature(function.wants).parameters
        asked = function.wants(**{name: arguments[name] for name in names})
        wanted = {asked} if isinstance(asked, str) else set(asked)
        unknown = sorted(wanted - definition.lazy_inputs)
        if unknown:
            raise GraphEngineError(f"its 'wants' names {unknown[0]!r}, which is no lazy input.")
    lazies = {}
    for name in definition.lazy_inputs:
        value = arguments[name]
        if definition.is_async and name not in wanted:
            lazies[name] = Lazy(_not_wanted)
        else:
            lazies[name] = value if isinstance(value, Lazy) else Lazy(partial(_same, value))
    return lazies


def _same(value: T) -> T:
    return value


def _not_wanted() -> None:
    raise GraphEngineError("an async node asked for a lazy input that its 'wants' had not named.")


def _await(returned: Coroutine[Any, Any, T]) -> T:
    """Wait for an async node, on a thread of its own if the test is async itself."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(returned)
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, returned).result()


def _check_returned(definition: NodeDefinition, returned: object) -> None:
    """Refuse what the engine would refuse."""
    outputs = definition.outputs
    if isinstance(returned, Blocked) or not outputs:
        return
    if definition.has_own_sockets and isinstance(returned, Mapping):
        returned = tuple(returned.get(output.name, Blocked()) for output in outputs)
    if isinstance(returned, Expansion):
        if not definition.expands:
            raise GraphEngineError("it returned an Expansion. Say so in its return type, e.g. '-> Image | Expansion'.")
        return
    is_record = isinstance(returned, tuple) and hasattr(returned, "_fields")
    values = returned if isinstance(returned, tuple) and (is_record or len(outputs) > 1) else (returned,)
    if len(values) != len(outputs):
        names = ", ".join(output.name for output in outputs)
        raise GraphEngineError(f"it returned {returned!r} instead of its outputs ({names}).")
    for output, value in zip(outputs, values, strict=True):
        if sockets.is_list(output.type) and not isinstance(value, list | tuple | Blocked):
            raise GraphEngineError(f"it returned {value!r} for its output {output.name!r}, which is a list.")
