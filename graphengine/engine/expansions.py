"""Steps that make steps: what stands for a node that returned an Expansion, round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphengine.authoring.expansion import Expansion
from graphengine.core.fingerprint import step_key
from graphengine.core.plan import Step
from graphengine.engine.cache import Result
from graphengine.engine.calling import Values, collect, fit_outputs, read_outputs
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.engine.growth import Growth, Origins, grow
from graphengine.engine.run_state import RunState

__all__ = ["Expanding", "Expansions"]

Harvest = list[tuple[Any, bytes | None, int]]  # Any: socket values, each with the key and position of what gave it


@dataclass
class Call:
    """One call of a node that expands: the steps that stand for it now, or what came out in the end."""

    values: Values | None = None
    expansion: Expansion | None = None
    growth: Growth | None = None


@dataclass
class Expanding:
    """A step whose outputs come from steps that it made."""

    calls: list[Call]
    origins: Origins
    arguments: Mapping[str, Any]  # Any: socket values
    context: ExecutionContext | None
    seconds: float
    made_of: list[bytes | None] = field(default_factory=list)

    def values(self, step: Step) -> Values:
        """Give the step's outputs, once it is done."""
        outputs = [call.values or [] for call in self.calls]
        return collect(step.node.definition, outputs) if step.node.mapped else outputs[0]

    def fold(self) -> None:
        """Make one key of those that it was made of: a loop's rounds are thousands."""
        if len(self.made_of) > 1:
            self.made_of = [None if None in self.made_of else step_key("rounds", *self.made_of)]


class Expansions:
    """The steps of a run that expand, by index, until they are done."""

    def __init__(self, state: RunState, services: RunServices) -> None:
        self._state = state
        self._services = services
        self._running: dict[int, Expanding] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._running

    def __len__(self) -> int:
        return len(self._running)

    def arguments(self, index: int) -> Mapping[str, Any]:  # Any: socket values
        """Give what the step was called with."""
        return self._running[index].arguments

    def sources(self, index: int) -> list[int]:
        """Give the steps that stand for this one now."""
        calls = self._running[index].calls
        return [target for call in calls if call.growth is not None for target in call.growth.plan.targets]

    def stop(self, index: int) -> None:
        """Give a step up."""
        self._running.pop(index, None)

    def start(
        self,
        step: Step,
        arguments: Mapping[str, Any],  # Any: socket values
        context: ExecutionContext | None,
        returned: list[Values | Expansion],
        seconds: float,
    ) -> None:
        """Put steps in the place of one that returned expansions.

        Raises:
            GraphEngineError: with all that is wrong with what it made.
        """
        calls = [Call(expansion=each) if isinstance(each, Expansion) else Call(values=each) for each in returned]
        self._running[step.ordinal] = Expanding(calls, self._origins(step, arguments, []), arguments, context, seconds)
        self._grow(step)

    def go_on(self, step: Step) -> Expanding | None:
        """Read what a step's expansions gave: it grows further, or it is done and its outputs are known.

        Raises:
            Exception: whatever the node's own code raises.
        """
        state, expanding = self._state, self._running[step.ordinal]
        harvests = [
            (call, call.expansion, self._harvest(call.expansion, call.growth, expanding))
            for call in expanding.calls
            if call.expansion is not None and call.growth is not None
        ]
        expanding.fold()
        definition = step.node.definition
        for call, expansion, harvest in harvests:
            values = [value for value, _, _ in harvest]
            then = expansion.then
            read = read_outputs(definition, then(values)) if then is not None else fit_outputs(definition, values)
            call.growth = None
            call.expansion, call.values = (read, None) if isinstance(read, Expansion) else (None, read)
        if any(call.expansion is not None for call in expanding.calls):
            expanding.origins = self._origins(step, expanding.arguments, expanding.made_of)
            for _, _, harvest in harvests:
                for value, key, position in harvest:
                    expanding.origins.add(value, key, position)
            self._grow(step)
            return None
        state.keys[step.ordinal] = state.late_key(step, expanding.arguments, expanding.made_of)
        return self._running.pop(step.ordinal)

    def run_inside(
        self,
        step: Step,
        arguments: Mapping[str, Any],  # Any: socket values
        expansion: Expansion,
        occasion: str,
        compute: Callable[[Iterable[int]], None],
    ) -> list[Any]:  # Any: as above
        """Run an expansion while its step runs, and give what came out; a failure inside blocks what depends on it.

        Raises:
            GraphEngineError: with all that is wrong with the expansion.
        """
        growth = self._grown(expansion, self._origins(step, arguments, [], occasion), f"{step.node.id}/")
        self._add_steps(step, expansion, growth)
        compute(growth.plan.targets)
        sources = zip(expansion.outputs, growth.sources, strict=True)
        values = [
            value if source is None else self._state.table[source[0]].values[source[1]] for value, source in sources
        ]
        for inner in growth.plan.steps:
            self._state.forget(inner.ordinal)
        return values

    def _origins(
        self, step: Step, arguments: Mapping[str, Any], made_of: list[bytes | None], occasion: str = ""
    ) -> Origins:
        """Note where the values came from that a node has at hand: its inputs."""  # Any above: socket values
        state = self._state
        origins = Origins(state.late_key(step, arguments, made_of), occasion=occasion)
        for source, position in step.sources.values():
            if source in state.table:
                origins.add(state.table[source].values[position], state.key_of(source), position)
        return origins

    def _grow(self, step: Step) -> None:
        """Plan the expansions that have no steps yet."""
        expanding = self._running[step.ordinal]
        for number, call in enumerate(expanding.calls):
            if call.expansion is not None and call.growth is None:
                prefix = f"{step.node.id}/{number}/" if step.node.mapped else f"{step.node.id}/"
                call.growth = self._grown(call.expansion, expanding.origins, prefix)
                self._add_steps(step, call.expansion, call.growth)

    def _grown(self, expansion: Expansion, origins: Origins, prefix: str) -> Growth:
        return grow(
            expansion,
            registry=self._state.registry,
            services=self._services,
            environment=self._state.environment,
            origins=origins,
            first=len(self._state.steps),
            prefix=prefix,
        )

    def _add_steps(self, maker: Step, expansion: Expansion, growth: Growth) -> None:
        state, first = self._state, len(self._state.steps)
        state.steps.extend(growth.plan.steps)
        state.unread.extend(growth.plan.readers)
        state.kept_for_result.update(growth.plan.targets)
        state.first.update(step.ordinal for step in growth.plan.steps if step.node.definition.is_async)
        if expansion.on_error == "block" or maker.ordinal in state.guarded:
            state.guarded.update(range(first, len(state.steps)))
        for index, value in growth.given.items():
            state.table[index] = Result([value])

    def _harvest(self, expansion: Expansion, growth: Growth, expanding: Expanding) -> Harvest:
        """Take an expansion's outputs and let its steps go."""
        state = self._state
        harvest: Harvest = []
        for value, source in zip(expansion.outputs, growth.sources, strict=True):
            if source is None:
                harvest.append((value, expanding.origins.key_of(value), 0))
            else:
                key = state.key_of(source[0])
                expanding.made_of.append(key)
                harvest.append((state.table[source[0]].values[source[1]], key, source[1]))
        for step in growth.plan.steps:
            state.forget(step.ordinal)
        return harvest
