"""What is known of a run: its steps, their values and keys, who still reads them, and what failed."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from graphengine.authoring.context import Blocked
from graphengine.core.events import Event, NodeFailedEvent
from graphengine.core.graph import Files
from graphengine.core.plan import Plan, Step, fingerprints
from graphengine.core.plan import late_key as make_late_key
from graphengine.core.registry import Registry
from graphengine.engine.cache import Result, Shown
from graphengine.engine.calling import describe, exited, from_node
from graphengine.engine.context import ExecutionContext
from graphengine.engine.front import Front
from graphengine.errors import GraphEngineError, NodeFailed

__all__ = ["RunState"]

logger = logging.getLogger(__name__)


class RunState:
    """The tables of one run. The plan's steps come first; those that nodes make are added behind.

    Attributes:
        table: Step -> its result, until the last reader has run.
        unread: How many readers of each step are still to come.
        kept_for_result: Steps whose values stay although nobody is left to read them.
        keys: Keys that were made during the run; None for what can't be reused after all.
        fronts: What is being computed: the run's own, and one for each lazy input that a running node asked for.
        first: Steps that are started before others: the async ones.
        guarded: Steps whose failure blocks what depends on them, and ends nothing.
        failure: The failure that ends the run, should a node swallow it.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        files: Files,
        emit: Callable[[Event], None] | None,
        environment: str,
    ) -> None:
        self.plan = plan
        self.registry = registry
        self.environment = environment
        self.steps: list[Step] = list(plan.steps)
        self.table: dict[int, Result] = {}
        self.unread = list(plan.readers)
        self.kept_for_result = set(plan.targets)
        self.keys: dict[int, bytes | None] = {}
        self.computed: set[bytes] = set()  # keys of the results of this run
        self.fronts: list[Front] = []
        self.first = {step.ordinal for step in plan.steps if step.node.definition.is_async}
        self.guarded: set[int] = set()
        self.shown: list[Shown] = []
        self.failure: NodeFailed | None = None
        self._emit = emit
        self._fingerprint_of = fingerprints(registry.function, files)
        self._number = 0
        self._emitting = threading.Lock()

    def emit(self, kind: type[Event], **facts: Any) -> None:  # Any: the event's own fields
        """Tell an event, numbered; without a listener none is made."""
        if self._emit is None:
            return
        with self._emitting:  # async nodes report from their own thread
            self._number += 1
            self._emit(kind(number=self._number, **facts))

    def settled(self, index: int) -> None:
        """Tell all that wait for a step that it is done."""
        for front in self.fronts:
            front.settle(index, self.first)

    def give_blocked(self, step: Step, blocked: Blocked) -> None:
        """Put a blocked value in the place of each output; nothing that depends on it is cached."""
        self.keys[step.ordinal] = None
        self.table[step.ordinal] = Result([blocked] * len(step.node.definition.outputs))
        self.release(step)
        self.settled(step.ordinal)

    def key_of(self, index: int) -> bytes | None:
        """Give a step's key, as far as it is known by now."""
        return self.keys[index] if index in self.keys else self.steps[index].key

    def late_key(
        self, step: Step, arguments: Mapping[str, Any], made_of: list[bytes | None] | None = None
    ) -> bytes | None:  # Any: socket values
        """Make the key of a step whose inputs are known; see ``core.plan.late_key``."""
        if not step.node.definition.cacheable:
            return None
        return make_late_key(
            step,
            {source: self.key_of(source) for source, _ in step.sources.values()},
            arguments,
            environment=self.environment,
            fingerprint_of=self._fingerprint_of,
            expanded_to=made_of or (),
        )

    def forget(self, index: int) -> None:
        """Drop a step that nobody comes back to: a loop makes thousands."""
        self.table.pop(index, None)
        self.kept_for_result.discard(index)
        self.guarded.discard(index)
        self.keys.pop(index, None)
        self.steps[index] = None  # type: ignore[call-overload]  # its place stays, so that the others keep theirs

    def release(self, step: Step) -> None:
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

    def fail(self, step: Step, arguments: Mapping[str, object], error: BaseException) -> None:
        """Report a failed node; it ends the run, unless an expansion blocks what depends on it.

        Raises:
            NodeFailed: if it ends the run.
        """
        failure = self._report(step, arguments, error)
        if step.ordinal not in self.guarded:
            self.failure = failure
            raise failure from error
        self.give_blocked(step, Blocked(f"node {step.node.id!r} ({step.node.definition.id}) failed: {failure.message}"))

    def _report(self, step: Step, arguments: Mapping[str, object], error: BaseException) -> NodeFailed:
        inputs = {name: describe(value) for name, value in arguments.items() if not isinstance(value, ExecutionContext)}
        if isinstance(error, GraphEngineError):
            message = str(error)
        elif isinstance(error, SystemExit):
            message = exited(error)
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
