"""Nodes that answer with more nodes: loops, and whatever depends on values that only a run knows.

    @node("mypack.Repeat", category="image")
    def repeat(image: Image, times: int = 2) -> Expansion:
        fragment = Fragment()
        for number in range(times):
            image = fragment.add(f"blur{number}", "Blur", image=image)["image"]
        return Expansion(fragment, [image])

The engine checks the fragment as it checks a file, runs its nodes as ``<node>/<id>`` and puts what comes out in the
place of the node's own outputs. Nodes of a fragment are cached like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType

from graphengine.core.subgraphs import SubgraphValue
from graphengine.errors import GraphEngineError

__all__ = ["Expansion", "Fragment", "FragmentNode", "Reference", "Subgraph"]

Subgraph = NewType("Subgraph", SubgraphValue)
"""A sub-graph as a value, ``{"$subgraph": "NAME"}`` in files; the body of a loop."""

_ID = re.compile(r"[A-Za-z0-9_:-]+")


class Reference(NamedTuple):
    """An output of a fragment's node: an input for others, or an output of the expansion."""

    node: str
    output: str


class FragmentNode(NamedTuple):
    """A node of a fragment; ``node["image"]`` is its output of that name."""

    id: str

    def __getitem__(self, output: Any) -> Reference:  # type: ignore[override]  # Any: a tuple's own index is a number
        return Reference(self.id, output)


@dataclass
class Fragment:
    """Nodes to run instead of one.

    Attributes:
        nodes: Id -> its kind (a ``type``, or a sub-graph) and its inputs.
    """

    nodes: dict[str, tuple[str | SubgraphValue, dict[str, Any]]] = field(default_factory=dict)  # Any: socket values

    def add(self, id: str, kind: str | SubgraphValue, /, **inputs: Any) -> FragmentNode:  # Any: socket values
        """Add a node.

        Args:
            id: Its name within the fragment; messages and progress call it ``<maker>/<id>``.
            kind: A node's ``type``, or a sub-graph that the node received.
            inputs: Literals, ``Reference``s to nodes of this fragment, and any value that the node has at hand.

        Raises:
            GraphEngineError: for an id that is no id, or that was given before.
        """
        if id in self.nodes or not _ID.fullmatch(id):
            raise GraphEngineError(f"{id!r} can't name a node of the fragment. Give each a name of its own.")
        self.nodes[id] = (kind, inputs)
        return FragmentNode(id)


@dataclass(frozen=True)
class Expansion:
    """What a node returns to have a fragment run in its place.

    Attributes:
        outputs: The node's outputs in the order of its definition: references into the fragment, or values.
        then: Called with the values of ``outputs`` when they are known; it returns what the node returns: its
            outputs, or the next expansion. Without it the values are the node's outputs.
        on_error: ``block`` reports a node of the fragment that fails and puts ``Blocked`` in the place of what
            depends on it; ``stop`` ends the run, as for other nodes.
    """

    fragment: Fragment
    outputs: Sequence[Any]  # Any: references and socket values
    then: Callable[[list[Any]], Any] | None = None
    on_error: Literal["stop", "block"] = "stop"
