"""Nodes whose sockets follow from a literal of their own, such as the folder of the pipeline that they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition, OutputDefinition, Sockets
from graphengine.core.literals import check_literal
from graphengine.core.registry import RunnableNode
from graphengine.core.workflow import Link, Node, link_of
from graphengine.errors import InputError, Problem

__all__ = ["find_sockets", "open_sockets", "refusal"]


class _Files(Protocol):
    def find_file(self, kind: str, name: str) -> Any: ...  # Any: a path, or None


def find_sockets(
    kind: NodeDefinition, inputs: Mapping[str, object], files: _Files, function: RunnableNode
) -> Sockets | None:
    """Ask a node's code which sockets it has besides those of its kind.

    Returns:
        The sockets; None if a literal that they follow from is missing or wrong by itself, which is said elsewhere.

    Raises:
        InputError: a literal is linked, or the node's code refuses it.
    """
    literals: dict[str, Any] = {}  # Any: of each input's own type
    for name in kind.sockets_from:
        definition = kind.inputs_by_name[name]
        value = inputs.get(name, definition.default)
        if link_of(value) is not None:
            message = "it is linked, but which inputs and outputs the node has follows from it."
            raise InputError(name, message, "Choose it at the node itself.")
        value, problem = check_literal(definition, value)
        if problem is not None or (value is None and definition.required):
            return None
        literals[name] = value if definition.files is None else files.find_file(definition.files, value)
        if literals[name] is None and definition.files is not None:
            return None
    found: Sockets = function.sockets(**literals)
    return found


def open_sockets(id_: str, inputs: Iterable[str], nodes: Mapping[str, Node], outputs: Iterable[Link]) -> Sockets:
    """Give the sockets that a workflow takes a node to have, where its own aren't known: they fit everything.

    Args:
        outputs: What the workflow's declared outputs read.
    """
    links = [*outputs, *(link for node in nodes.values() for _name, link in node.links)]
    read = dict.fromkeys(output for source, output in links if source == id_)
    return Sockets(
        inputs=tuple(InputDefinition(name=name, type=sockets.ANY, required=False) for name in inputs),
        outputs=tuple(OutputDefinition(name=name, type=sockets.ANY) for name in read if name),
    )


def refusal(error: InputError) -> Problem:
    """Make the problem of a literal that a node's own code refuses."""
    return Problem("refused", error.message, error.remedy)
