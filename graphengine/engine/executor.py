"""Run a plan: a ready set of steps, a table of values, a cache of earlier results."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from types import TracebackType
from typing import Any

from graphengine.authoring.context import Lazy
from graphengine.core.events import (
    Event,
    JobFinished,
    JobStarted,
    NodeCached,
    NodeFailedEvent,
    NodeFinished,
    NodeShowed,
    NodeStarted,
)
from graphengine.core.graph import FileValue
from graphengine.core.literals import check_literal
from graphengine.core.plan import Plan, Step
from graphengine.core.registry import Registry, RunnableNode
from graphengine.engine.cache import MemoryCache, Result, Shown
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.errors import Cancelled, GraphEngineError, InputError, NodeFailed

__all__ = ["Executor", "RunResult"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Attributes:
        outputs: The workflow's declared outputs, by name.
        targets: Target node id -> its outputs by name.
        shown: Everything that was written for the user, in order.
    """

    outputs: Mapping[str, Any]  # Any: socket values are each node's own
    targets: Mapping[str, Mapping[str, Any]]
    shown: tuple[Shown, ...]


class Executor:
    """Runs plans one after the other on the calling thread; the cache outlives each."""

    def __init__(self, registry: Registry, cache: MemoryCache) -> None:
        self._registry = registry
        self._cache = cache

    def run(self, plan: Plan, services: RunServices, emit: Callable[[Event], None] = lambda event: None) -> RunResult:
        """Run a plan's targets.

        Raises:
            NodeFailed: after the events that say so; the node's own exception is its cause.
            Cancelled: when ``services.cancel`` was set.
        """
        run = _Run(self._registry, self._cache, plan, services, emit)
        started = time.perf_counter()
        state = "failed"
        run.emit(JobStarted, steps=len(plan.steps))
        try:
            run.compute(plan.targets)
            state = "done"
            return run.result()
        except (Cancelled, KeyboardInterrupt):
            state = "cancelled"
            raise
        finally:
            run.emit(JobFinished, state=state, seconds=time.perf_counter() - started)


class _Run:
    """The state of one run."""

    def __init__(
        self,
        registry: Registry,
        cache: MemoryCache,
        plan: Plan,
        services: RunServices,
        emit: Callable[[Event], None],
    ) -> None:
        self.plan = plan
        self.registry = registry
        self.cache = cache
        self.services = services
        self.table: dict[int, Result] = {}
        self.unread = list(plan.readers)
        self.kept_for_result = set(plan.targets)
        self.shown: list[Shown] = []
        self._emit = emit
        self._number = 0

    def emit(self, kind: type[Event], **facts: Any) -> None:  # Any: the event's own fields
        self._number += 1
        self._emit(kind(number=self._number, **facts))

    def result(self) -> RunResult:
        outputs = {name: self.table[source].values[position] for name, (source, position) in self.plan.outputs.items()}
        targets = {}
        for index in self.plan.targets:
            node = self.plan.steps[index].node
            names = node.definition.outputs_by_name
            targets[node.id] = dict(zip(names, self.table[index].values, strict=True))
        return RunResult(outputs, targets, tuple(self.shown))

    def compute(self, wanted: Iterable[int]) -> None:
        """Compute the steps wanted and what they need; those whose results are known are not run."""
        needed = self._needed(wanted)
        waiting: dict[int, int] = {}
        followers: dict[int, list[int]] = {}
        for index in needed:
            step = self.plan.steps[index]
            count = 0
            for name, (source, _) in step.sources.items():
                if source in needed and name not in step.lazy:
                    followers.setdefault(source, []).append(index)
                    count += 1
            waiting[index] = count
        ready = [index for index, count in waiting.items() if count == 0]
        heapify(ready)
        while ready:
            if self.services.cancel.is_set():
                raise Cancelled
            index = heappop(ready)
            if index not in self.table:  # a lazy input may have been computed on the way
                self._run_step(self.plan.steps[index])
            for follower in followers.get(index, ()):
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heappush(ready, follower)

    def _needed(self, wanted: Iterable[int]) -> set[int]:
        """Walk backwards from what is wanted and stop at what is known: a cached step hides its whole ancestry."""
        needed: set[int] = set()
        stack = list(wanted)
        while stack:
            index = stack.pop()
            if index in needed or index in self.table:
                continue
            step = self.plan.steps[index]
            if self._take_from_cache(step):
                continue
            needed.add(index)
            stack.extend(source for name, (source, _) in step.sources.items() if name not in step.lazy)
        return needed

    def _take_from_cache(self, step: Step) -> bool:
        result = self.cache.get(step.key) if step.key is not None else None
        if result is None or not all(shown.path.exists() for shown in result.shown):
            return False
        self.table[step.ordinal] = result
        self._release(step)
        self.emit(NodeCached, node=step.node.id)
        for shown in result.shown:
            self.shown.append(shown)
            self.emit(NodeShowed, node=step.node.id, path=str(shown.path), temporary=shown.temporary)
        return True

    def _run_step(self, step: Step) -> None:
        node = step.node
        function = self.registry.function(node.definition)
        arguments = self._arguments(step)
        context: ExecutionContext | None = None
        if function.context_parameter is not None:
            context = arguments[function.context_parameter] = self._context(step)
        self.emit(NodeStarted, node=node.id, node_type=node.definition.id)
        started = time.perf_counter()
        try:
            self._check_linked(step, arguments)
            values = _as_outputs(function, function(**arguments))
        except NodeFailed:  # a node that this one asked for lazily; it was blamed already
            raise
        except Exception as error:  # a border: a node's own code may raise anything
            raise self._failed(step, function, arguments, error) from error
        seconds = time.perf_counter() - started
        del arguments
        result = Result(values, tuple(context.shown) if context else (), seconds)
        self.table[step.ordinal] = result
        self.shown.extend(result.shown)
        if step.key is not None:
            self.cache.put(step.key, result)
        self.emit(NodeFinished, node=node.id, seconds=seconds)
        self._release(step)

    def _context(self, step: Step) -> ExecutionContext:
        return ExecutionContext(self.services, step.node.id, self.emit, node_type=step.node.definition.id)

    def _arguments(self, step: Step) -> dict[str, Any]:  # Any: of each input's own type
        arguments = {
            name: value.path if type(value) is FileValue else value for name, value in step.node.literals.items()
        }
        for name, (source, position) in step.sources.items():
            if name in step.lazy:
                arguments[name] = Lazy(partial(self._value, source, position))
            else:
                arguments[name] = self.table[source].values[position]
        for name in step.node.definition.lazy_inputs - step.sources.keys():
            arguments[name] = Lazy(partial(_same, arguments[name]))
        return arguments

    def _check_linked(self, step: Step, arguments: dict[str, Any]) -> None:  # Any: of each input's own type
        """Hold linked values to the limits that ``check`` holds literals to, and find the files that they name."""
        for name in step.sources:
            definition = step.node.definition.inputs_by_name[name]
            if not definition.is_bounded or name in step.lazy:
                continue
            value, problem = check_literal(definition, arguments[name])
            if problem is not None:
                raise InputError(name, problem.message, problem.remedy)
            if definition.files is not None:
                value = self.services.settings.find_file(definition.files, value)
                if value is None:
                    raise InputError(
                        name, f"there is no file {arguments[name]!r}.", "Give the name of one that exists."
                    )
            arguments[name] = value

    def _value(self, source: int, position: int) -> Any:  # Any: of the output's own type
        self.compute([source])
        return self.table[source].values[position]

    def _release(self, step: Step) -> None:
        """Let go of values whose last reader this step was, and of its own if nobody reads them.

        A source that was never computed won't read its own sources either: a lazy branch that was not chosen, the
        ancestry that a cached step hides.
        """
        done = [step]
        while done:
            for source, _ in done.pop().sources.values():
                self.unread[source] -= 1
                if self.unread[source] == 0 and source not in self.kept_for_result:
                    if source in self.table:
                        del self.table[source]
                    else:
                        done.append(self.plan.steps[source])
        if self.unread[step.ordinal] == 0 and step.ordinal not in self.kept_for_result:
            del self.table[step.ordinal]

    def _failed(
        self, step: Step, function: RunnableNode, arguments: Mapping[str, object], error: Exception
    ) -> NodeFailed:
        inputs = {name: describe(value) for name, value in arguments.items() if name != function.context_parameter}
        message = str(error) if isinstance(error, GraphEngineError) else f"{type(error).__name__}: {error}"
        node = step.node
        self.emit(
            NodeFailedEvent,
            node=node.id,
            node_type=node.definition.id,
            message=message,
            inputs=inputs,
            traceback="".join(traceback.format_exception(error.with_traceback(_from_node(error.__traceback__)))),
        )
        logger.debug("node %r failed", node.id, exc_info=error)
        return NodeFailed(node.id, node.definition.id, inputs, message)


def _same(value: object) -> object:
    return value


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


def _as_outputs(function: RunnableNode, returned: Any) -> tuple[Any, ...]:  # Any: socket values
    outputs = function.definition.outputs
    if len(outputs) == 1 and not (isinstance(returned, tuple) and hasattr(returned, "_fields") and len(returned) == 1):
        return (returned,)
    if not outputs:
        return ()
    if not isinstance(returned, tuple) or len(returned) != len(outputs):
        names = ", ".join(output.name for output in outputs)
        raise GraphEngineError(f"it returned {describe(returned)} instead of its outputs ({names}).")
    return tuple(returned)


def _from_node(trace: TracebackType | None) -> TracebackType | None:
    """Cut a traceback so that it begins with the node's own first line."""
    while trace is not None and trace.tb_next is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(("graphengine.engine", "graphengine.authoring")):
            return trace
        trace = trace.tb_next
    return trace
