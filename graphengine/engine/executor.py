"""Run a plan: a ready set of steps, a table of values, a cache of earlier results."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphengine.authoring.context import Blocked, Lazy
from graphengine.authoring.expansion import Expansion, Fragment
from graphengine.core.collector import set_aside
from graphengine.core.events import (
    Event,
    JobFinished,
    JobStarted,
    NodeCached,
    NodeFinished,
    NodeShowed,
    NodeSkipped,
    NodeStarted,
)
from graphengine.core.graph import FileValue
from graphengine.core.parameters import parameters_of
from graphengine.core.plan import Plan, Step
from graphengine.core.registry import Registry
from graphengine.core.subgraphs import SubgraphValue
from graphengine.engine.async_nodes import AsyncNodes
from graphengine.engine.cache import Cache, Result, Shown
from graphengine.engine.calling import Values, blocked_among, blocked_list, collect, items_of
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.engine.expansions import Expansions
from graphengine.engine.front import Front
from graphengine.engine.node_calls import NodeCalls
from graphengine.engine.run_state import RunState
from graphengine.errors import Cancelled, GraphEngineError, NodeFailed

__all__ = ["Executor", "RunResult"]

_POLL_S = 0.1  # how often a run that waits for async nodes looks whether it was cancelled
_FRAMES_PER_LAZY = 12  # of Python's stack, between a node's .get() and the next node's


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

    def __init__(self, registry: Registry, cache: Cache, *, environment: str = "") -> None:
        self._registry = registry
        self._cache = cache
        self._environment = environment

    def run(self, plan: Plan, services: RunServices, emit: Callable[[Event], None] | None = None) -> RunResult:
        """Run a plan's targets.

        Raises:
            NodeFailed: after the events that say so; the node's own exception is its cause.
            Cancelled: when ``services.cancel`` was set.
        """
        run = _Run(self._registry, self._cache, plan, services, emit, self._environment)
        started = time.perf_counter()
        state = "failed"
        run.emit(JobStarted, steps=len(plan.steps))
        try:
            with set_aside(len(plan.steps)):
                run.compute(plan.targets)
            state = "done"
            return run.result()
        except (Cancelled, KeyboardInterrupt):
            state = "cancelled"
            raise
        finally:
            run.close()
            run.emit(JobFinished, state=state, seconds=time.perf_counter() - started)


class _BlockedInput(BaseException):
    """A lazy input turned out to be blocked; no ``except Exception`` of a node's swallows it."""

    def __init__(self, blocked: Blocked) -> None:
        self.blocked = blocked


class _Run(RunState):
    """One run: what to do next, step by step."""

    def __init__(
        self,
        registry: Registry,
        cache: Cache,
        plan: Plan,
        services: RunServices,
        emit: Callable[[Event], None] | None,
        environment: str,
    ) -> None:
        super().__init__(plan, registry, services.settings, emit, environment)
        self.cache = cache
        self.services = services
        self.calls = NodeCalls(services)
        self.expansions = Expansions(self, services)
        self.asked: set[int] = set()
        self.in_flight: dict[int, tuple[Mapping[str, Any], ExecutionContext | None, float]] = {}  # Any: socket values
        self.async_nodes = AsyncNodes()
        self.thread = threading.current_thread()

    def close(self) -> None:
        self.async_nodes.close()

    def result(self) -> RunResult:
        outputs = {name: self.table[source].values[position] for name, (source, position) in self.plan.outputs.items()}
        targets = {}
        for index in self.plan.targets:
            node = self.steps[index].node
            names = node.definition.outputs_by_name
            targets[node.id] = dict(zip(names, self.table[index].values, strict=True))
        return RunResult(outputs, targets, tuple(self.shown))

    # The ready set

    def compute(self, wanted: Iterable[int]) -> None:
        """Compute the steps wanted and what they need; those whose results are known are not run."""
        front = Front()
        self.fronts.append(front)
        try:
            self._require(front, wanted)
            while front.waiting:
                if self.services.cancel.is_set():
                    raise Cancelled
                index = front.take()
                if index is not None:
                    self._begin(front, index)
                assert index is not None or self.in_flight, "steps wait for each other, though the graph has no cycle"
                if self.in_flight:
                    self._finish_async(wait=index is None)
        finally:
            self.fronts.pop()

    def _require(self, front: Front, wanted: Iterable[int]) -> None:
        """Walk backwards from what is wanted and stop at what is known: a cached step hides its whole ancestry."""
        stack = list(wanted)
        needed: list[tuple[int, list[int]]] = []
        seen: set[int] = set()
        while stack:
            index = stack.pop()
            if index in seen or index in self.table or index in front.waiting:
                continue
            seen.add(index)
            step = self.steps[index]
            if index not in self.expansions and self._take_from_cache(step, step.key):
                continue
            sources = self._sources(index, step)
            needed.append((index, sources))
            stack.extend(sources)
        table = self.table
        for index, sources in needed:
            if index in self.in_flight:
                front.waiting[index] = 1  # it is told when the node is done
            else:
                front.add(index, [source for source in sources if source not in table], first=index in self.first)

    def _sources(self, index: int, step: Step) -> list[int]:
        if self.expansions and index in self.expansions:
            return self.expansions.sources(index)
        if step.lazy:
            return [source for name, (source, _) in step.sources.items() if name not in step.lazy]
        return [source for source, _ in step.sources.values()]

    def _finish_async(self, *, wait: bool) -> None:
        while self.in_flight:
            done = self.async_nodes.next_done(_POLL_S if wait else 0)
            if done is None:
                return
            index, future = done
            self._end_async(self.steps[index], future)
            wait = False

    # One step

    def _begin(self, front: Front, index: int) -> None:
        if index in self.in_flight:
            return
        if index in self.table:
            self.settled(index)
            return
        if index in self.expansions:
            self._go_on_expanding(front, self.steps[index])
            return
        step = self.steps[index]
        if step.lazy and step.node.definition.has_wants and index not in self.asked:
            self.asked.add(index)
            asked = self._ask_wants(step)
            if index in self.table:
                return  # naming them failed, and what depends on the step is blocked
            if asked:
                self._require(front, asked)
                waits = [source for source in asked if source not in self.table]
                if waits:
                    front.add(index, waits, first=index in self.first)
                    return
        arguments = self._arguments(step)
        if step.late and not step.node.definition.expands:
            try:
                self.keys[index] = self.late_key(step, arguments)
            except GraphEngineError as error:  # the fingerprint function failed
                self.fail(step, arguments, error)
                return
            if self._take_from_cache(step, self.keys[index]):
                self.settled(index)
                return
        elif step.key in self.computed and self._take_from_cache(step, step.key):
            self.settled(index)  # another node of this run did the same: two that open one file share what is in it
            return
        blocked = blocked_among(arguments) if not step.node.mapped else blocked_list(arguments, step.node.mapped)
        if blocked is not None:
            self._skip(step, blocked)
            return
        self._run_step(front, step, arguments)

    def _run_step(self, front: Front, step: Step, arguments: dict[str, Any]) -> None:  # Any: socket values
        node = step.node
        function = self.registry.function(node.definition)
        context = None
        if function.context_parameter is not None:
            run_subgraph = partial(self._run_subgraph, step, arguments)
            context = ExecutionContext(
                self.services,
                node.id,
                self.emit,
                node_type=node.definition.id,
                run_subgraph=run_subgraph,
                cache=self.cache,
            )
        self.emit(NodeStarted, node=node.id, node_type=node.definition.id)
        started = time.perf_counter()
        if node.definition.is_async:
            self.in_flight[step.ordinal] = (arguments, context, started)
            self.async_nodes.start(step.ordinal, self.calls.call_async(step, function, arguments, context))
            return
        try:
            calls = self.calls.call(step, function, arguments, context)
            if self.failure is not None:
                raise self.failure  # of a lazy input; the node swallowed it
        except _BlockedInput as blocked:
            self._skip(step, blocked.blocked)
        except NodeFailed:  # a node that this one asked for lazily; it was blamed already
            raise
        except (Exception, SystemExit) as error:  # a border: a node's own code may raise anything, and call exit()
            if self.failure is not None:
                raise self.failure from error
            self.fail(step, arguments, error)
        else:
            self._returned(front, step, arguments, context, calls, time.perf_counter() - started)

    def _run_subgraph(
        self,
        step: Step,
        arguments: Mapping[str, Any],  # Any: socket values
        body: SubgraphValue,
        name: str,
        inputs: Mapping[str, Any],  # Any: socket values
    ) -> dict[str, Any]:  # Any: as above
        """Run a sub-graph while a step runs."""
        if threading.current_thread() is not self.thread:
            raise GraphEngineError("an async node asked to run a sub-graph; return an Expansion instead.")
        fragment = Fragment()
        made = fragment.add(name, body, **inputs)
        names = [output.name for output in body.outputs]
        expansion = Expansion(fragment, [made[output] for output in names], on_error="block")
        return dict(zip(names, self.expansions.run_inside(step, arguments, expansion, name, self.compute), strict=True))

    def _end_async(self, step: Step, future: Future[Any]) -> None:  # Any: what the calls returned
        arguments, context, started = self.in_flight.pop(step.ordinal)
        error = future.exception() if not future.cancelled() else None
        if isinstance(error, Cancelled):
            raise error
        if future.cancelled():
            error = GraphEngineError("it waited for something that was cancelled.")
        if isinstance(error, _BlockedInput):
            self._skip(step, error.blocked)
        elif isinstance(error, Exception | SystemExit):
            self.fail(step, arguments, error)
        elif error is not None:
            raise error
        else:
            front = next(front for front in reversed(self.fronts) if step.ordinal in front.waiting)
            self._returned(front, step, arguments, context, future.result(), time.perf_counter() - started)

    def _returned(
        self,
        front: Front,
        step: Step,
        arguments: Mapping[str, Any],  # Any: socket values
        context: ExecutionContext | None,
        calls: list[Values | Expansion],
        seconds: float,
    ) -> None:
        if any(type(each) is Expansion for each in calls):
            try:
                self.expansions.start(step, arguments, context, calls, seconds)
            except GraphEngineError as error:
                self.expansions.stop(step.ordinal)
                self.fail(step, arguments, error)
            else:
                self._wait_for_expansion(front, step)
            return
        values: Values = [*calls[0]] if not step.node.mapped else collect(step.node.definition, calls)  # type: ignore[arg-type, misc]  # no expansion among them
        if step.node.definition.expands:
            self.keys[step.ordinal] = self.late_key(step, arguments)
        self._done(step, values, context, seconds)

    def _wait_for_expansion(self, front: Front, step: Step) -> None:
        made = self.expansions.sources(step.ordinal)
        self._require(front, made)
        front.add(step.ordinal, [index for index in made if index not in self.table])

    def _go_on_expanding(self, front: Front, step: Step) -> None:
        """Let a step whose expansions are done grow further, or finish it."""
        arguments = self.expansions.arguments(step.ordinal)
        try:
            done = self.expansions.go_on(step)
        except (Exception, SystemExit) as error:  # a border, as for the node's function itself
            self.expansions.stop(step.ordinal)
            self.fail(step, arguments, error)
            return
        if done is None:
            self._wait_for_expansion(front, step)
        else:
            self._done(step, done.values(step), done.context, done.seconds)

    def _done(self, step: Step, values: Values, context: ExecutionContext | None, seconds: float) -> None:
        result = Result(
            values,
            tuple(context.shown) if context else (),
            seconds,
            storable=context is None or not context.left_traces,
        )
        self.table[step.ordinal] = result
        self.shown.extend(result.shown)
        key = self.keys[step.ordinal] if step.late else step.key
        if key is not None and not step.node.definition.expands:
            self.computed.add(key)
            self.cache.put(key, result)
        self.emit(NodeFinished, node=step.node.id, seconds=seconds)
        self.release(step)
        self.settled(step.ordinal)

    def _skip(self, step: Step, blocked: Blocked) -> None:
        self.emit(NodeSkipped, node=step.node.id, message=blocked.message)
        self.give_blocked(step, blocked)

    def _take_from_cache(self, step: Step, key: bytes | None) -> bool:
        result = self.cache.get(key) if key is not None else None
        if result is None or key is None:
            return False
        if result.shown:
            published = self.services.publish(result.shown)
            if published is None:
                return False
            if published != result.shown:
                result = result._replace(shown=published)
                self.cache.put(key, result)  # so that the next run finds it at its new place
        self.table[step.ordinal] = result
        self.release(step)
        self.emit(NodeCached, node=step.node.id)
        for shown in result.shown:
            self.shown.append(shown)
            self.emit(NodeShowed, node=step.node.id, path=str(shown.path), temporary=shown.temporary)
        return True

    # Arguments

    def _arguments(self, step: Step) -> dict[str, Any]:  # Any: of each input's own type
        node = step.node
        arguments = {name: value.path if type(value) is FileValue else value for name, value in node.literals.items()}
        for name, (source, position) in step.sources.items():
            if name in step.lazy:
                arguments[name] = Lazy(partial(self._value, source, position, name in node.wrapped))
            else:
                value = self.table[source].values[position]
                arguments[name] = [value] if name in node.wrapped and type(value) is not Blocked else value
        for name in node.definition.lazy_inputs - step.sources.keys():
            arguments[name] = Lazy(partial(_same, arguments[name]))
        return arguments

    def _ask_wants(self, step: Step) -> list[int]:
        """Give the steps behind the lazy inputs that the node names from its plain ones."""
        function = self.registry.function(step.node.definition)
        names = parameters_of(function.wants)
        arguments = {name: value for name, value in self._arguments(step).items() if name in names}
        mapped = step.node.mapped & arguments.keys()
        if blocked_list(arguments, mapped) is not None:
            return []
        wanted: dict[str, None] = {}
        try:
            for item in items_of(arguments, mapped) if mapped else (arguments,):
                if blocked_among(item) is not None:
                    continue  # it won't be called
                asked = function.wants(**item)
                wanted.update(dict.fromkeys([asked] if isinstance(asked, str) else asked))
            unknown = [name for name in wanted if name not in step.node.definition.lazy_inputs]
            if unknown:
                raise GraphEngineError(f"its 'wants' names {unknown[0]!r}, which is no lazy input.")
        except Exception as error:  # a border: a node's own code may raise anything
            self.emit(NodeStarted, node=step.node.id, node_type=step.node.definition.id)
            self.fail(step, arguments, error)
            return []
        return [step.sources[name][0] for name in wanted if name in step.sources]

    def _value(self, source: int, position: int, wrapped: bool) -> Any:  # Any: of the output's own type
        if source not in self.table:
            if len(self.fronts) * _FRAMES_PER_LAZY > sys.getrecursionlimit() * 0.8:
                raise GraphEngineError(
                    f"lazy inputs ask for each other {len(self.fronts)} levels deep. "
                    "Give the nodes 'wants=', which names what they need before they are called."
                )
            if threading.current_thread() is not self.thread:
                raise GraphEngineError("an async node asked for a lazy input that its 'wants' had not named.")
            self.compute([source])
        value = self.table[source].values[position]
        if type(value) is Blocked:
            raise _BlockedInput(value)
        return [value] if wrapped else value


def _same(value: object) -> object:
    return value


def _exited(error: SystemExit) -> str:
    return f"it tried to end the program (exit code {error.code!r})."
