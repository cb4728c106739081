"""Run a plan: a ready set of steps, a table of values, a cache of earlier results."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from graphengine.authoring.context import Blocked, Lazy
from graphengine.authoring.expansion import Expansion
from graphengine.core.events import (
    Event,
    JobFinished,
    JobStarted,
    NodeCached,
    NodeFailedEvent,
    NodeFinished,
    NodeShowed,
    NodeSkipped,
    NodeStarted,
)
from graphengine.core.fingerprint import step_key
from graphengine.core.graph import FileValue
from graphengine.core.literals import check_literal
from graphengine.core.plan import Plan, Step, late_key
from graphengine.core.registry import Registry, RunnableNode
from graphengine.engine.async_nodes import AsyncNodes
from graphengine.engine.cache import Cache, Result, Shown
from graphengine.engine.calling import (
    blocked_among,
    blocked_list,
    collect,
    describe,
    fit_outputs,
    from_node,
    items_of,
    read_outputs,
)
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.engine.front import Front
from graphengine.engine.growth import Growth, Origins, grow
from graphengine.engine.immutability import changed_input, marks_of
from graphengine.errors import Cancelled, GraphEngineError, InputError, NodeFailed

__all__ = ["Executor", "RunResult"]

logger = logging.getLogger(__name__)

_POLL_S = 0.1  # how often a run that waits for async nodes looks whether it was cancelled
_FRAMES_PER_LAZY = 12  # of Python's stack, between a node's .get() and the next node's
Values = list[Any]  # Any: socket values are each node's own


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

    def run(self, plan: Plan, services: RunServices, emit: Callable[[Event], None] = lambda event: None) -> RunResult:
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


@dataclass
class _Call:
    """One call of a node that expands: the steps that stand for it now, or what came out in the end."""

    values: Values | None = None
    expansion: Expansion | None = None
    growth: Growth | None = None


@dataclass
class _Expanding:
    """A step whose outputs come from steps that it made."""

    calls: list[_Call]
    origins: Origins
    arguments: Mapping[str, Any]  # Any: socket values
    context: ExecutionContext | None
    seconds: float
    made_of: list[bytes | None] = field(default_factory=list)

    def fold(self) -> None:
        """Make one key of those that it was made of: a loop's rounds are thousands."""
        if len(self.made_of) > 1:
            self.made_of = [None if None in self.made_of else step_key("rounds", *self.made_of)]


class _Run:
    """The state of one run."""

    def __init__(
        self,
        registry: Registry,
        cache: Cache,
        plan: Plan,
        services: RunServices,
        emit: Callable[[Event], None],
        environment: str,
    ) -> None:
        self.plan = plan
        self.registry = registry
        self.cache = cache
        self.services = services
        self.environment = environment
        self.steps: list[Step] = list(plan.steps)
        self.table: dict[int, Result] = {}
        self.unread = list(plan.readers)
        self.kept_for_result = set(plan.targets)
        self.keys: dict[int, bytes | None] = {}
        self.asked: set[int] = set()
        self.fronts: list[Front] = []
        self.first = {step.ordinal for step in plan.steps if step.node.definition.is_async}
        self.expanding: dict[int, _Expanding] = {}
        self.guarded: set[int] = set()
        self.in_flight: dict[int, tuple[Mapping[str, Any], ExecutionContext | None, float]] = {}  # Any: socket values
        self.async_nodes = AsyncNodes()
        self.shown: list[Shown] = []
        self.failure: NodeFailed | None = None
        self.thread = threading.current_thread()
        self._emit = emit
        self._number = 0
        self._emitting = threading.Lock()

    def emit(self, kind: type[Event], **facts: Any) -> None:  # Any: the event's own fields
        with self._emitting:  # async nodes report from their own thread
            self._number += 1
            self._emit(kind(number=self._number, **facts))

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
                self._finish_async(wait=index is None)
        finally:
            self.fronts.pop()

    def _require(self, front: Front, wanted: Iterable[int]) -> None:
        """Walk backwards from what is wanted and stop at what is known: a cached step hides its whole ancestry."""
        stack = list(wanted)
        needed: list[int] = []
        seen: set[int] = set()
        while stack:
            index = stack.pop()
            if index in seen or index in self.table or index in front.waiting:
                continue
            seen.add(index)
            step = self.steps[index]
            if index not in self.expanding and self._take_from_cache(step, step.key):
                continue
            needed.append(index)
            stack.extend(self._sources(index, step))
        for index in needed:
            sources = [source for source in self._sources(index, self.steps[index]) if source not in self.table]
            if index in self.in_flight:
                front.waiting[index] = 1  # it is told when the node is done
            else:
                front.add(index, sources, first=index in self.first)

    def _sources(self, index: int, step: Step) -> Iterable[int]:
        if self.expanding and index in self.expanding:
            return self._grown(self.expanding[index])
        if step.lazy:
            return [source for name, (source, _) in step.sources.items() if name not in step.lazy]
        return [source for source, _ in step.sources.values()]

    def _settled(self, index: int) -> None:
        for front in self.fronts:
            front.settle(index, self.first)

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
            self._settled(index)
            return
        if index in self.expanding:
            self._go_on_expanding(front, index)
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
            self.keys[index] = self._late_key(step, arguments)
            if self._take_from_cache(step, self.keys[index]):
                self._settled(index)
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
            context = ExecutionContext(self.services, node.id, self.emit, node_type=node.definition.id)
        self.emit(NodeStarted, node=node.id, node_type=node.definition.id)
        started = time.perf_counter()
        if node.definition.is_async:
            self.in_flight[step.ordinal] = (arguments, context, started)
            self.async_nodes.start(step.ordinal, self._call_async(step, function, arguments, context))
            return
        try:
            calls = self._call(step, function, arguments, context)
            if self.failure is not None:
                raise self.failure  # of a lazy input; the node swallowed it
        except _BlockedInput as blocked:
            self._skip(step, blocked.blocked)
        except NodeFailed:  # a node that this one asked for lazily; it was blamed already
            raise
        except (Exception, SystemExit) as error:  # a border: a node's own code may raise anything, and call exit()
            if self.failure is not None:
                raise self.failure from error
            self._fail(step, arguments, error)
        else:
            self._returned(front, step, arguments, context, calls, time.perf_counter() - started)

    def _call(
        self,
        step: Step,
        function: RunnableNode,
        arguments: dict[str, Any],  # Any: socket values
        context: ExecutionContext | None,
    ) -> list[Values | Expansion]:
        """Call the function, once or per item."""
        definition = step.node.definition
        calls: list[Values | Expansion] = []
        checked = self.services.settings.check_immutable
        for item in items_of(arguments, step.node.mapped) if step.node.mapped else (arguments,):
            blocked = blocked_among(item) if step.node.mapped else None
            if blocked is not None:
                calls.append([blocked] * len(definition.outputs))
                continue
            given = self._prepare(step, function, item, context)
            marks = marks_of(given) if checked else None
            calls.append(read_outputs(definition, function(**given)))
            if marks is not None and (name := changed_input(given, marks)) is not None:
                raise InputError(
                    name,
                    "the node changed this input's value, which other nodes share.",
                    "Change a copy (.clone()) and return that.",
                )
        return calls

    async def _call_async(
        self,
        step: Step,
        function: RunnableNode,
        arguments: dict[str, Any],  # Any: socket values
        context: ExecutionContext | None,
    ) -> list[Values | Expansion]:
        definition = step.node.definition

        async def call(item: dict[str, Any]) -> Values | Expansion:  # Any: socket values
            blocked = blocked_among(item) if step.node.mapped else None
            if blocked is not None:
                return [blocked] * len(definition.outputs)
            try:
                return read_outputs(definition, await function(**self._prepare(step, function, item, context)))
            except SystemExit as error:  # it would end the loop
                raise GraphEngineError(_exited(error)) from error

        items = items_of(arguments, step.node.mapped) if step.node.mapped else [arguments]
        tasks = [asyncio.ensure_future(call(item)) for item in items]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:  # the first failure decides; the others need not go on
                if not task.cancelling():  # a second time would interrupt its cleaning up
                    task.cancel()
            raise

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
            self._fail(step, arguments, error)
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
            self._expand(front, step, arguments, context, calls, seconds)
            return
        values: Values = [*calls[0]] if not step.node.mapped else collect(step.node.definition, calls)  # type: ignore[arg-type, misc]  # no expansion among them
        if step.node.definition.expands:
            self.keys[step.ordinal] = self._late_key(step, arguments)
        self._done(step, values, context, seconds)

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
            self.cache.put(key, result)
        self.emit(NodeFinished, node=step.node.id, seconds=seconds)
        self._release(step)
        self._settled(step.ordinal)

    def _skip(self, step: Step, blocked: Blocked) -> None:
        self.emit(NodeSkipped, node=step.node.id, message=blocked.message)
        self._give_blocked(step, blocked)

    def _give_blocked(self, step: Step, blocked: Blocked) -> None:
        """Put a blocked value in the place of each output; nothing that depends on it is cached."""
        self.keys[step.ordinal] = None
        self.table[step.ordinal] = Result([blocked] * len(step.node.definition.outputs))
        self._release(step)
        self._settled(step.ordinal)

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
        self._release(step)
        self.emit(NodeCached, node=step.node.id)
        for shown in result.shown:
            self.shown.append(shown)
            self.emit(NodeShowed, node=step.node.id, path=str(shown.path), temporary=shown.temporary)
        return True

    # Expansion

    def _expand(
        self,
        front: Front,
        step: Step,
        arguments: Mapping[str, Any],  # Any: socket values
        context: ExecutionContext | None,
        returned: list[Values | Expansion],
        seconds: float,
    ) -> None:
        calls = [_Call(expansion=each) if isinstance(each, Expansion) else _Call(values=each) for each in returned]
        expanding = _Expanding(calls, self._origins(step, arguments, []), arguments, context, seconds)
        self._grow(front, step, expanding)

    def _origins(self, step: Step, arguments: Mapping[str, Any], made_of: list[bytes | None]) -> Origins:
        """Note where the values came from that a node has at hand: its inputs."""  # Any above: socket values
        origins = Origins(self._late_key(step, arguments, made_of))
        for source, position in step.sources.values():
            if source in self.table:
                origins.add(self.table[source].values[position], self._key_of(source), position)
        return origins

    def _grow(self, front: Front, step: Step, expanding: _Expanding) -> None:
        """Plan the expansions that have none yet, and let the step wait for them."""
        try:
            for number, call in enumerate(expanding.calls):
                if call.expansion is not None and call.growth is None:
                    prefix = f"{step.node.id}/{number}/" if step.node.mapped else f"{step.node.id}/"
                    call.growth = grow(
                        call.expansion,
                        registry=self.registry,
                        services=self.services,
                        environment=self.environment,
                        origins=expanding.origins,
                        first=len(self.steps),
                        prefix=prefix,
                    )
                    self._add_steps(step, call.expansion, call.growth)
        except GraphEngineError as error:
            self.expanding.pop(step.ordinal, None)
            self._fail(step, expanding.arguments, error)
            return
        self.expanding[step.ordinal] = expanding
        targets = self._grown(expanding)
        self._require(front, targets)
        front.add(step.ordinal, [index for index in targets if index not in self.table])

    def _add_steps(self, maker: Step, expansion: Expansion, growth: Growth) -> None:
        first = len(self.steps)
        self.steps.extend(growth.plan.steps)
        self.unread.extend(growth.plan.readers)
        self.kept_for_result.update(growth.plan.targets)
        self.first.update(step.ordinal for step in growth.plan.steps if step.node.definition.is_async)
        if expansion.on_error == "block" or maker.ordinal in self.guarded:
            self.guarded.update(range(first, len(self.steps)))
        for index, value in growth.given.items():
            self.table[index] = Result([value])

    def _grown(self, expanding: _Expanding) -> list[int]:
        return [index for call in expanding.calls if call.growth is not None for index in call.growth.plan.targets]

    def _go_on_expanding(self, front: Front, index: int) -> None:
        """Read what an expansion gave, and expand further or finish."""
        step, expanding = self.steps[index], self.expanding[index]
        harvests = [
            (call, call.expansion, self._harvest(call.expansion, call.growth, expanding))
            for call in expanding.calls
            if call.expansion is not None and call.growth is not None
        ]
        expanding.fold()
        again = False
        for call, expansion, harvest in harvests:
            values = [value for value, _, _ in harvest]
            try:
                definition = step.node.definition
                read = (
                    read_outputs(definition, expansion.then(values))
                    if expansion.then is not None
                    else fit_outputs(definition, values)
                )
            except (Exception, SystemExit) as error:  # a border, as for the node's function itself
                del self.expanding[index]
                self._fail(step, expanding.arguments, error)
                return
            call.growth = None
            call.expansion, call.values = (read, None) if isinstance(read, Expansion) else (None, read)
            again = again or call.expansion is not None
        if again:
            expanding.origins = self._origins(step, expanding.arguments, expanding.made_of)
            for _, _, harvest in harvests:
                for value, key, position in harvest:
                    expanding.origins.add(value, key, position)
            self._grow(front, step, expanding)
            return
        del self.expanding[index]
        self.keys[index] = self._late_key(step, expanding.arguments, expanding.made_of)
        outputs = [call.values or [] for call in expanding.calls]
        values = outputs[0] if not step.node.mapped else collect(step.node.definition, outputs)
        self._done(step, values, expanding.context, expanding.seconds)

    def _harvest(
        self, expansion: Expansion, growth: Growth, expanding: _Expanding
    ) -> list[tuple[Any, bytes | None, int]]:  # Any: socket values
        """Take an expansion's outputs, with the key and position of what gave each, and let its steps go."""
        harvest: list[tuple[Any, bytes | None, int]] = []
        for value, source in zip(expansion.outputs, growth.sources, strict=True):
            if source is None:
                harvest.append((value, expanding.origins.key_of(value), 0))
            else:
                key = self._key_of(source[0])
                expanding.made_of.append(key)
                harvest.append((self.table[source[0]].values[source[1]], key, source[1]))
        for step in growth.plan.steps:
            index = step.ordinal
            self.table.pop(index, None)
            self.kept_for_result.discard(index)
            self.guarded.discard(index)
            self.keys.pop(index, None)
            self.steps[index] = None  # type: ignore[call-overload]  # nobody comes back to it, and a loop makes thousands
        return harvest

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

    def _prepare(
        self, step: Step, function: RunnableNode, arguments: dict[str, Any], context: ExecutionContext | None
    ) -> dict[str, Any]:  # Any: socket values
        """Bring the arguments of one call into the form the function takes, and make room for it."""
        arguments = self._check_linked(step, arguments)
        if function.memory is not None and step.node.definition.device == "gpu":
            self.services.make_room(function, arguments)
        if context is not None:
            arguments = {**arguments, str(function.context_parameter): context}
        return arguments

    def _check_linked(self, step: Step, arguments: dict[str, Any]) -> dict[str, Any]:  # Any: of each input's own type
        """Hold linked values to the limits that ``check`` holds literals to, and find the files that they name."""
        checked = arguments
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
            checked = {**checked, name: value}
        return checked

    def _ask_wants(self, step: Step) -> list[int]:
        """Give the steps behind the lazy inputs that the node names from its plain ones."""
        function = self.registry.function(step.node.definition)
        names = _parameters(function.wants)
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
            self._fail(step, arguments, error)
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

    # Keys, release, failure

    def _key_of(self, index: int) -> bytes | None:
        return self.keys[index] if index in self.keys else self.steps[index].key

    def _late_key(
        self, step: Step, arguments: Mapping[str, Any], made_of: list[bytes | None] | None = None
    ) -> bytes | None:  # Any: socket values
        if not step.node.definition.cacheable:
            return None
        return late_key(
            step,
            {source: self._key_of(source) for source, _ in step.sources.values()},
            arguments,
            environment=self.environment,
            fingerprint_of=lambda definition: self.registry.function(definition).fingerprint,
            expanded_to=made_of or (),
        )

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
                        done.append(self.steps[source])
        if self.unread[step.ordinal] == 0 and step.ordinal not in self.kept_for_result:
            del self.table[step.ordinal]

    def _fail(self, step: Step, arguments: Mapping[str, object], error: BaseException) -> None:
        """Report a failed node; it ends the run, unless an expansion blocks what depends on it.

        Raises:
            NodeFailed: if it ends the run.
        """
        failure = self._report(step, arguments, error)
        if step.ordinal not in self.guarded:
            self.failure = failure
            raise failure from error
        self._give_blocked(
            step, Blocked(f"node {step.node.id!r} ({step.node.definition.id}) failed: {failure.message}")
        )

    def _report(self, step: Step, arguments: Mapping[str, object], error: BaseException) -> NodeFailed:
        inputs = {name: describe(value) for name, value in arguments.items() if not isinstance(value, ExecutionContext)}
        if isinstance(error, GraphEngineError):
            message = str(error)
        elif isinstance(error, SystemExit):
            message = _exited(error)
        else:
            message = f"{type(error).__name__}: {error}"
        node = step.node
        self.emit(
            NodeFailedEvent,
            node=node.id,
            node_type=node.definition.id,
            message=message,
            inputs=inputs,
            traceback="".join(traceback.format_exception(error.with_traceback(from_node(error.__traceback__)))),
        )
        logger.debug("node %r failed", node.id, exc_info=error)
        return NodeFailed(node.id, node.definition.id, inputs, message)


def _same(value: object) -> object:
    return value


def _exited(error: SystemExit) -> str:
    return f"it tried to end the program (exit code {error.code!r})."


@lru_cache
def _parameters(function: Callable[..., object]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
