"""Turn a node's Expansion into steps: the fragment is checked and planned like a file, and continues the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphengine.authoring.expansion import Expansion, Reference
from graphengine.core.fingerprint import step_key
from graphengine.core.graph import build_graph
from graphengine.core.plan import Plan, fingerprints, make_plan
from graphengine.core.registry import Definitions, Registry
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import DeclaredOutput, Node, Subgraph, Workflow
from graphengine.engine.context import RunServices
from graphengine.errors import GraphEngineError, InvalidWorkflow

__all__ = ["Growth", "Origins", "grow"]

_LITERALS = frozenset({bool, int, float, str, type(None)})


@dataclass
class Origins:
    """Where values that a node has at hand came from, so that nodes it feeds them to have keys.

    Attributes:
        maker: Key of the node itself, or None; a value of unknown origin is known by it and a number.
        keys: Identity of a value -> its key, or None if what made it can't be reused.
        alive: The values, kept so that no other object takes their identity.
        occasion: Names the moment of the node's work in which it made values, where there are several.
    """

    maker: bytes | None
    keys: dict[int, bytes | None] = field(default_factory=dict)
    alive: list[Any] = field(default_factory=list)  # Any: socket values
    unknown: int = 0
    occasion: str = ""

    def add(self, value: Any, key: bytes | None, position: int) -> None:  # Any: a socket value
        """Note where a value came from; the items of a list have their own keys."""
        self.alive.append(value)
        self.keys[id(value)] = step_key("given", key, position) if key is not None else None
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.keys.setdefault(id(item), step_key("given", key, position, index) if key is not None else None)

    def key_of(self, value: Any) -> bytes | None:  # Any: a socket value
        """Give a value's key; None if it has none."""
        if id(value) in self.keys or self.maker is None:
            return self.keys.get(id(value))
        self.unknown += 1
        return step_key("made", self.maker, self.occasion, self.unknown)


class Growth(NamedTuple):
    """The steps of an expansion.

    Attributes:
        plan: The fragment's; its first step's index is what it was asked to be.
        given: Index of each step that stands for a value -> that value.
        sources: What the expansion's outputs are: step index and position, or None for a plain value.
    """

    plan: Plan
    given: Mapping[int, Any]  # Any: socket values
    sources: tuple[tuple[int, int] | None, ...]


def grow(
    expansion: Expansion,
    *,
    registry: Registry,
    services: RunServices,
    environment: str,
    origins: Origins,
    first: int,
    prefix: str,
) -> Growth:
    """Check and plan an expansion.

    Args:
        first: Index of its first step.
        prefix: Stands before the ids of its nodes.

    Raises:
        GraphEngineError: with all that is wrong with the fragment.
    """
    if not expansion.fragment.nodes:
        return Growth(Plan((), (), {}), {}, (None,) * len(expansion.outputs))
    fragment = _FragmentWriter(expansion, registry.definitions)
    try:
        graph = build_graph(
            fragment.workflow,
            registry.definitions,
            services.settings,
            function_of=registry.function,
            given={id_: "[*]" if isinstance(value, list) else "*" for id_, value in fragment.given.items()},
        )
    except InvalidWorkflow as error:
        raise GraphEngineError(f"the nodes that it made can't run: {error}") from None
    plan = make_plan(
        graph,
        environment=environment,
        fingerprint_of=fingerprints(registry.function, services.settings),
        given={id_: origins.key_of(value) for id_, value in fragment.given.items()},
        first=first,
        prefix=prefix,
    )
    given = {
        step.ordinal: fragment.given[id_]
        for step in plan.steps
        if (id_ := step.node.id.removeprefix(prefix)) in fragment.given
    }
    sources = tuple(plan.outputs[name] if name is not None else None for name in fragment.outputs)
    return Growth(plan, given, sources)


class _FragmentWriter:
    """Writes a fragment as a workflow; values that JSON can't hold become given nodes."""

    def __init__(self, expansion: Expansion, definitions: Definitions) -> None:
        self._definitions = definitions
        self.given: dict[str, Any] = {}  # Any: socket values
        self.outputs: list[str | None] = []
        self._ids: dict[int, str] = {}
        self._subgraphs: dict[str, Subgraph] = {}
        self._names: dict[str, str] = {}
        nodes = {id_: self._node(kind, inputs) for id_, (kind, inputs) in expansion.fragment.nodes.items()}
        declared: dict[str, DeclaredOutput] = {}
        for position, value in enumerate(expansion.outputs):
            if isinstance(value, Reference):
                declared[f"output{position}"] = DeclaredOutput.model_construct(source=f"{value.node}.{value.output}")
            self.outputs.append(f"output{position}" if isinstance(value, Reference) else None)
        self.workflow = Workflow.model_construct(nodes=nodes, outputs=declared, subgraphs=self._subgraphs)

    def _node(self, kind: str | SubgraphValue, inputs: Mapping[str, Any]) -> Node:  # Any: socket values
        definition = self._definitions.get(kind) if isinstance(kind, str) else None
        return Node.model_construct(
            type=kind if isinstance(kind, str) else f"subgraph:{self._name(kind)}",
            type_version=definition.version if definition is not None else 1,
            inputs={name: self._value(value) for name, value in inputs.items()},
        )

    def _value(self, value: Any) -> Any:  # Any: a socket value, and a JSON value
        if type(value) in _LITERALS:
            return value
        if isinstance(value, Reference):
            return {"$link": f"{value.node}.{value.output}"}
        if isinstance(value, SubgraphValue):
            return {"$subgraph": self._name(value)}
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if id(value) not in self._ids:
            self._ids[id(value)] = f"given:{len(self._ids)}"
            self.given[self._ids[id(value)]] = value
        return {"$link": f"{self._ids[id(value)]}.value"}

    def _name(self, subgraph: SubgraphValue) -> str:
        if subgraph.digest not in self._names:
            self._names[subgraph.digest] = f"body{len(self._names)}"
            self._subgraphs[self._names[subgraph.digest]] = subgraph.document
        return self._names[subgraph.digest]
