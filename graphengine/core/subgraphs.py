"""A sub-graph as a value: what ``{"$subgraph": "NAME"}`` stands for, such as the body of a loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition, OutputDefinition
from graphengine.core.workflow import Subgraph

__all__ = ["SUBGRAPH", "SubgraphValue", "with_body"]

SUBGRAPH = "SUBGRAPH"
"""The socket type of sub-graphs."""


@dataclass(frozen=True)
class SubgraphValue:
    """A sub-graph with everything it refers to.

    Attributes:
        name: As in the file.
        document: The sub-graph; its own ``subgraphs`` hold all that it may name.
        output_types: Output name -> socket type, as far as a check found it out.
    """

    name: str
    document: Subgraph
    output_types: Mapping[str, str] | None = None

    @cached_property
    def inputs(self) -> tuple[InputDefinition, ...]:
        """Its declared inputs."""
        return tuple(
            InputDefinition(
                name=name,
                type=declared.type,
                required=declared.default is None,
                default=declared.default,
                minimum=declared.min,
                maximum=declared.max,
                doc=declared.doc,
            )
            for name, declared in self.document.inputs.items()
        )

    @cached_property
    def outputs(self) -> tuple[OutputDefinition, ...]:
        """Its declared outputs."""
        types = self.output_types or {}
        return tuple(
            OutputDefinition(name=name, type=types.get(name, sockets.ANY), doc=declared.doc)
            for name, declared in self.document.outputs.items()
        )

    @cached_property
    def digest(self) -> str:
        """A hash of its content; layout, titles and descriptions don't count."""
        return blake2b(json.dumps(_content(self.document), sort_keys=True).encode(), digest_size=16).hexdigest()

    def typed(self, output_types: Mapping[str, str]) -> SubgraphValue:
        """Give it with the types of its outputs."""
        return replace(self, output_types=output_types)


def with_body(kind: NodeDefinition, body: SubgraphValue) -> NodeDefinition:
    """Give a node's definition with the sockets that it takes over from its body."""
    rule = kind.body
    if rule is None:
        return kind
    inputs = [each for each in body.inputs if each.name not in rule.supplies]
    outputs = [
        each.model_copy(update={"type": _list_of(each.type)}) if rule.lists else each
        for each in body.outputs
        if rule.outputs and each.name not in rule.consumes
    ]
    return kind.with_sockets(inputs, outputs)


def _list_of(type_name: str) -> str:
    return type_name if sockets.is_list(type_name) else sockets.list_of(type_name)


def _content(document: Subgraph) -> dict[str, object]:
    return {
        "inputs": {name: each.model_dump(exclude={"doc"}) for name, each in document.inputs.items()},
        "outputs": {name: each.source for name, each in document.outputs.items()},
        "nodes": {id_: each.model_dump(exclude={"title"}) for id_, each in document.nodes.items()},
        "subgraphs": {name: _content(each) for name, each in document.subgraphs.items()},
    }
