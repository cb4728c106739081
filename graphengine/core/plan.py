"""Graph → Plan: which nodes in which order, under which cache keys, and who reads what.

Pure functions: nothing has run yet, and nothing is looked up in a cache.

    key(step) = H(node kind and version, pack version, numeric environment, literals, keys of what is linked)

Keys are chained, so a key stands for a whole ancestry; they depend on neither node ids nor layout.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from graphengine.core.definition import NodeDefinition
from graphengine.core.fingerprint import canonical, step_key
from graphengine.core.graph import FileValue, Graph, GraphNode

__all__ = ["Plan", "Step", "make_plan"]

FingerprintOf = Callable[[NodeDefinition], Callable[..., object] | None]


class Step(NamedTuple):  # a graph makes thousands, and a tuple takes a third of a frozen dataclass's time
    """One node in a plan.

    Attributes:
        ordinal: Its place in the order.
        key: 16 bytes that name its result, or None if the result can't be reused.
        sources: Linked input -> index of the step that feeds it, and the position of the output there.
        lazy: Those of ``sources`` that are computed only when the node asks.
    """

    ordinal: int
    node: GraphNode
    key: bytes | None
    sources: Mapping[str, tuple[int, int]]
    lazy: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run, ancestors first.

    Attributes:
        targets: Indices of the steps that the run is for.
        outputs: The workflow's declared outputs: name -> step index and position; those of targets.
    """

    steps: tuple[Step, ...]
    targets: tuple[int, ...]
    outputs: Mapping[str, tuple[int, int]]

    @cached_property
    def readers(self) -> tuple[int, ...]:
        """How many inputs read each step's outputs; a step's values may go after the last one."""
        counts = [0] * len(self.steps)
        for step in self.steps:
            for source, _ in step.sources.values():
                counts[source] += 1
        return tuple(counts)


def make_plan(
    graph: Graph,
    targets: Collection[str] | None = None,
    *,
    environment: str = "",
    fingerprint_of: FingerprintOf = lambda definition: None,
) -> Plan:
    """Order the targets' ancestry and give each step its key.

    Args:
        targets: Node ids; by default every output node and the nodes of declared outputs.
        environment: What numbers depend on besides inputs (device kind, library versions); part of the keys of nodes
            whose work belongs on the accelerator.
        fingerprint_of: A node's fingerprint function, called with the literals that it names.
    """
    ids = dict.fromkeys(graph.default_targets() if targets is None else targets)
    order = _depth_first(graph, ids)
    index_of = {id_: index for index, id_ in enumerate(order)}
    steps: list[Step] = []
    for index, id_ in enumerate(order):
        node = graph.nodes[id_]
        sources = {name: _source(graph, index_of, link) for name, link in node.links.items()}
        key = _key(node, sources, steps, environment, fingerprint_of)
        lazy = node.definition.lazy_inputs
        steps.append(Step(index, node, key, sources, lazy & sources.keys() if lazy else lazy))
    outputs = {name: _source(graph, index_of, link) for name, link in graph.outputs.items() if link[0] in ids}
    return Plan(tuple(steps), tuple(index_of[id_] for id_ in ids), outputs)


def _depth_first(graph: Graph, targets: Iterable[str]) -> list[str]:
    """Order the targets' ancestry, ancestors first.

    Depth first, so that one target's branch is finished before the next is begun: pictures appear early, and values
    are read soon after they are made. Iterative: graphs may be thousands of nodes deep.
    """
    order: list[str] = []
    begun: set[str] = set()
    for target in targets:
        stack = [(target, False)]
        while stack:
            id_, ancestors_done = stack.pop()
            if ancestors_done:
                order.append(id_)
            elif id_ not in begun:
                begun.add(id_)
                stack.append((id_, True))
                links = graph.nodes[id_].links
                if links:
                    stack.extend((source, False) for source, _ in reversed(list(links.values())) if source not in begun)
    return order


def _source(graph: Graph, index_of: Mapping[str, int], link: tuple[str, str]) -> tuple[int, int]:
    node, output = link
    return index_of[node], graph.nodes[node].definition.output_positions[output]


def _key(
    node: GraphNode,
    sources: Mapping[str, tuple[int, int]],
    steps: list[Step],
    environment: str,
    fingerprint_of: FingerprintOf,
) -> bytes | None:
    definition = node.definition
    if not definition.cacheable:
        return None
    linked = []
    for name, (source, position) in sources.items():
        source_key = steps[source].key
        if source_key is None:
            return None
        linked.append((name, source_key, position))
    literals = [
        (name, value if type(value) in _PLAIN else _identity(value)) for name, value in node.literals.items()
    ]  # in the order of the definition, like the links: the order of a file doesn't count
    fingerprint: object = None
    if definition.has_fingerprint:
        function = fingerprint_of(definition)
        names = inspect.signature(function).parameters if function is not None else {}
        if function is None or not names.keys() <= node.literals.keys():
            return None  # it reads a linked input, whose value isn't known yet
        fingerprint = canonical(function(**{name: _plain(node.literals[name]) for name in names}))
    numbers = environment if definition.device == "gpu" else ""
    return step_key(definition.key_prefix, literals, linked, numbers, fingerprint)


_PLAIN = frozenset({int, float, str, bool, type(None)})


def _identity(value: object) -> object:
    """Give what a literal adds to a key; a file counts by its path too, as unpacked ones may have one version."""
    if isinstance(value, FileValue):
        return ("file", os.fspath(value.path), value.version)
    return canonical(value) if isinstance(value, dict | list) else value


def _plain(value: object) -> object:
    return os.fspath(value.path) if isinstance(value, FileValue) else value
