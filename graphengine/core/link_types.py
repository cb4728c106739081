"""What travels along links: which outputs fit which inputs, and what type variables and lists become.

A list that meets an input for one value maps the node over it; one value that meets a list input becomes a list of
one. Both are decided here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.core.literals import with_article
from graphengine.core.workflow import Link
from graphengine.errors import Problem

__all__ = ["LinkTypes", "NodeTypes"]

_NONE: frozenset[str] = frozenset()


class NodeTypes(NamedTuple):
    """What one node's links come to.

    Attributes:
        problems: Input name and what is wrong with its link.
        mapped: As in ``GraphNode``.
        wrapped: As in ``GraphNode``.
    """

    problems: list[tuple[str, Problem]]
    mapped: frozenset[str] = _NONE
    wrapped: frozenset[str] = _NONE


class LinkTypes:
    """Goes through a graph, sources first, and remembers the type of each output."""

    def __init__(self, kinds: Iterable[NodeDefinition]) -> None:
        self._kinds = kinds
        self.outputs: dict[Link, str] = {}

    def add(self, id_: str, kind: NodeDefinition, links: Mapping[str, Link]) -> NodeTypes:
        """Check a node's links and note the types of its outputs."""
        problems: list[tuple[str, Problem]] = []
        binding: dict[str, str] = {}
        first: dict[str, str] = {}
        mapped: set[str] = set()
        wrapped: set[str] = set()
        for name, link in links.items():
            given = self.outputs.get(link, sockets.ANY)
            definition = kind.inputs_by_name[name]
            wanted = definition.type
            if wanted[0] == "[":
                if given[0] != "[":
                    wrapped.add(name)
                given, wanted = given.strip("[]"), sockets.item_type(wanted)
            elif given[0] == "[" and not definition.lazy:
                mapped.add(name)
                given = sockets.item_type(given)
            if wanted[0] == "$":
                problem = self._bind(kind, name, link, given, binding, first)
                if problem is not None:
                    problems.append((name, problem))
            elif not sockets.accepts(wanted, given):
                problems.append((name, self._wrong_link(link, given, wanted, definition)))
        for output in kind.outputs:
            type_name = sockets.resolve(output.type, binding) if "$" in output.type else output.type
            if mapped and type_name[0] != "[":
                type_name = sockets.list_of(type_name)
            self.outputs[id_, output.name] = type_name
        if not mapped and not wrapped:
            return NodeTypes(problems)
        return NodeTypes(problems, frozenset(mapped), frozenset(wrapped))

    def _bind(
        self,
        kind: NodeDefinition,
        name: str,
        link: Link,
        given: str,
        binding: dict[str, str],
        first: dict[str, str],
    ) -> Problem | None:
        """Let a type variable stand for what is linked; what several inputs are given must be of one type."""
        variable = kind.inputs_by_name[name].type.strip("[]")
        allowed = kind.variables.get(variable, sockets.ANY)
        known = binding.get(variable, sockets.ANY)
        if known == sockets.ANY:
            if not sockets.accepts(allowed, given):
                return self._wrong_link(link, given, allowed, kind.inputs_by_name[name])
            binding[variable] = given
            first[variable] = name
        elif given == "FLOAT" and known == "INT":
            binding[variable] = given
        elif not sockets.accepts(known, given):
            message = (
                f"linked to {'.'.join(link)!r}, {with_article(given)}; "
                f"{first[variable]!r} is {with_article(known)}, and both must be of one type."
            )
            return self._with_converters(given, known, message, f"Link it to {with_article(known)}.")
        return None

    def _wrong_link(self, link: Link, given: str, wanted: str, definition: InputDefinition) -> Problem:
        message = f"linked to {'.'.join(link)!r}, {with_article(given)}; it takes {with_article(wanted)}."
        if given[0] == "[" and definition.lazy and sockets.accepts(wanted, sockets.item_type(given)):
            return Problem("wrong_link_type", message, "Put a SelectItem node between them, or a ForEach around this.")
        return self._with_converters(given, wanted, message, f"Link it to {with_article(wanted)}.")

    def _with_converters(self, given: str, wanted: str, message: str, otherwise: str) -> Problem:
        converters = self._converters(given, wanted)
        names = " or ".join(map(with_article, converters))
        remedy = f"Put {names} node between them." if converters else otherwise
        return Problem("wrong_link_type", message, remedy, extra={"converters": converters})

    def _converters(self, given: str, wanted: str) -> list[str]:
        """Name up to two nodes that turn one type into the other, those that need the least besides first."""
        found: list[tuple[int, str]] = []
        for kind in self._kinds:
            takes = any(each.type == given for each in kind.inputs)
            if takes and any(each.type == wanted for each in kind.outputs) and kind.status != "deprecated":
                others = sum(each.required and not sockets.is_scalar(each.type) for each in kind.inputs)
                found.append((others * 100 + len(kind.inputs), kind.id))
        return [name for _, name in sorted(found)[:2]]
