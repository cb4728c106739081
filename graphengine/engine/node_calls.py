"""Call a step's function with its arguments: once, or once per item of a list."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from graphengine.authoring.expansion import Expansion
from graphengine.core.literals import check_literal
from graphengine.core.plan import Step
from graphengine.core.registry import RunnableNode
from graphengine.engine.calling import Values, blocked_among, exited, items_of, read_outputs
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.engine.immutability import changed_input, marks_of
from graphengine.errors import GraphEngineError, InputError

__all__ = ["NodeCalls"]


class NodeCalls:
    """Calls nodes' functions in one run."""

    def __init__(self, services: RunServices) -> None:
        self._services = services

    def call(
        self,
        step: Step,
        function: RunnableNode,
        arguments: dict[str, Any],  # Any: socket values
        context: ExecutionContext | None,
    ) -> list[Values | Expansion]:
        """Call the function, once or per item."""
        if not step.node.mapped:
            return [self._call_once(step, function, arguments, context)]
        calls: list[Values | Expansion] = []
        for item in items_of(arguments, step.node.mapped):
            blocked = blocked_among(item)
            if blocked is not None:
                calls.append([blocked] * len(step.node.definition.outputs))
                continue
            with _share_of_the_bar(step, arguments, context):
                calls.append(self._call_once(step, function, item, context))
        return calls

    def _call_once(
        self,
        step: Step,
        function: RunnableNode,
        arguments: dict[str, Any],  # Any: socket values
        context: ExecutionContext | None,
    ) -> Values | Expansion:
        given = self._prepare(step, function, arguments, context)
        if not self._services.settings.check_immutable:
            return read_outputs(step.node.definition, function(**given))
        marks = marks_of(given)
        outputs = read_outputs(step.node.definition, function(**given))
        changed = changed_input(given, marks)
        if changed is not None:
            raise InputError(
                changed,
                "the node changed this input's value, which other nodes share.",
                "Change a copy (.clone()) and return that.",
            )
        return outputs

    async def call_async(
        self,
        step: Step,
        function: RunnableNode,
        arguments: dict[str, Any],  # Any: socket values
        context: ExecutionContext | None,
    ) -> list[Values | Expansion]:
        """Call an async function, once or for all items at a time."""
        definition = step.node.definition

        async def call(item: dict[str, Any]) -> Values | Expansion:  # Any: socket values
            blocked = blocked_among(item) if step.node.mapped else None
            if blocked is not None:
                return [blocked] * len(definition.outputs)
            try:
                return read_outputs(definition, await function(**self._prepare(step, function, item, context)))
            except SystemExit as error:  # it would end the loop
                raise GraphEngineError(exited(error)) from error

        items = items_of(arguments, step.node.mapped) if step.node.mapped else [arguments]
        tasks = [asyncio.ensure_future(call(item)) for item in items]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:  # the first failure decides; the others need not go on
                if not task.cancelling():  # a second time would interrupt its cleaning up
                    task.cancel()
            raise

    def _prepare(
        self, step: Step, function: RunnableNode, arguments: dict[str, Any], context: ExecutionContext | None
    ) -> dict[str, Any]:  # Any: socket values
        """Bring the arguments of one call into the form the function takes, and make room for it."""
        arguments = self._check_linked(step, arguments)
        work_bytes = 0
        if function.memory is not None and step.node.definition.device == "gpu":
            work_bytes = self._services.make_room(function, arguments)
        if context is not None:
            context.work_bytes = work_bytes
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
                value = self._services.settings.find_file(definition.files, value)
                if value is None:
                    raise InputError(
                        name, f"there is no file {arguments[name]!r}.", "Give the name of one that exists."
                    )
            checked = {**checked, name: value}
        return checked


def _share_of_the_bar(
    step: Step, arguments: dict[str, Any], context: ExecutionContext | None
) -> AbstractContextManager[None]:  # Any: socket values
    """Let an item's progress cover its part of the node's."""
    if context is None:
        return nullcontext()
    return context.part(1 / max(len(arguments[name]) for name in step.node.mapped))
