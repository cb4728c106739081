"""Graph → Plan: which nodes in which order, under which cache keys, and who reads what.

Pure functions: nothing has run yet, and nothing is looked up in a cache.

    key(step) = H(node kind and version, pack version, numeric environment, literals, keys of what is linked)

Keys are chained, so a key stands for a whole ancestry; they depend on neither node ids nor layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from graphengine.core.definition import NodeDefinition
from graphengine.core.fingerprint import canonical, step_key
from graphengine.core.graph import Files, FileValue, Graph, GraphNode
from graphengine.core.parameters import parameters_of
from graphengine.core.registry import RunnableNode
from graphengine.core.subgraphs import SubgraphValue
from graphengine.errors import GraphEngineError, Problem

__all__ = ["FingerprintOf", "Plan", "Step", "fingerprints", "late_key", "make_plan", "replan"]

FingerprintOf = Callable[[NodeDefinition], Callable[..., object] | None]


class Step(NamedTuple):  # a graph makes thousands, and a tuple takes a third of a frozen dataclass's time
    """One node in a plan.

    Attributes:
        ordinal: Its place in the order.
        key: 16 bytes that name its result; None if the result can't be reused, or if the key is late.
        sources: Linked input -> index of the step that feeds it, and the position of the output there.
        lazy: Those of ``sources`` that are computed only when the node asks.
        late: The key depends on a value that is linked to an input of the fingerprint function, here or upstream. It
            is made with ``late_key`` when the step's inputs are known.
    """

    ordinal: int
    node: GraphNode
    key: bytes | None
    sources: Mapping[str, tuple[int, int]]
    lazy: frozenset[str]
    late: bool = False


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run, ancestors first.

    Attributes:
        targets: Indices of the steps that the run is for.
        outputs: The workflow's declared outputs: name -> step index and position; those of targets.
        warnings: What is wrong with the workflow and stops nothing.
    """

    steps: tuple[Step, ...]
    targets: tuple[int, ...]
    outputs: Mapping[str, tuple[int, int]]
    warnings: tuple[Problem, ...] = ()

    @cached_property
    def readers(self) -> tuple[int, ...]:
        """How many inputs read each step's outputs; a step's values may go after the last one."""
        first = self.steps[0].ordinal if self.steps else 0
        counts = [0] * len(self.steps)
        for step in self.steps:
            for source, _ in step.sources.values():
                counts[source - first] += 1
        return tuple(counts)


def make_plan(
    graph: Graph,
    targets: Collection[str] | None = None,
    *,
    environment: str = "",
    fingerprint_of: FingerprintOf = lambda definition: None,
    given: Mapping[str, bytes | None] = MappingProxyType({}),
    first: int = 0,
    prefix: str = "",
) -> Plan:
    """Order the targets' ancestry and give each step its key.

    Args:
        targets: Node ids; by default every output node and the nodes of declared outputs.
        environment: What numbers depend on besides inputs (device kind, library versions); part of the keys of nodes
            whose work belongs on the accelerator.
        fingerprint_of: A node's fingerprint function, called with the literals that it names.
        given: Keys of the nodes that stand for values given from outside, for a graph made during a run.
        first: Index of the first step, for a plan that continues another.
        prefix: Stands before node ids in events and messages.

    Raises:
        GraphEngineError: a fingerprint function raised.
    """
    ids = dict.fromkeys(graph.default_targets() if targets is None else graph.nodes_of(targets))
    order = _depth_first(graph, ids)
    index_of = {id_: index for index, id_ in enumerate(order, first)}
    steps: list[Step] = []
    for index, id_ in enumerate(order, first):
        node = graph.nodes[id_]
        sources = {name: _source(graph, index_of, link) for name, link in node.links.items()}
        if id_ in given:
            key, late = given[id_], False
        else:
            key, late = _key(node, sources, steps, first, environment, fingerprint_of)
        lazy = node.definition.lazy_inputs
        if prefix:
            node = node._replace(id=prefix + id_)
        steps.append(Step(index, node, key, sources, lazy & sources.keys() if lazy else lazy, late))
    outputs = {name: _source(graph, index_of, link) for name, link in graph.outputs.items() if link[0] in ids}
    return Plan(tuple(steps), tuple(index_of[id_] for id_ in ids), outputs, graph.warnings)


def fingerprints(function_of: Callable[[NodeDefinition], RunnableNode], files: Files) -> FingerprintOf:
    """Give the way to nodes' fingerprint functions; one that asks for ``files`` first is told where they are."""
    told: dict[Callable[..., object], Callable[..., object]] = {}

    def fingerprint_of(definition: NodeDefinition) -> Callable[..., object] | None:
        fingerprint: Callable[..., object] | None = function_of(definition).fingerprint
        if fingerprint is None or "files" in definition.inputs_by_name:
            return fingerprint
        if fingerprint not in told:
            takes_files = next(iter(parameters_of(fingerprint)), None) == "files"
            told[fingerprint] = partial(fingerprint, files) if takes_files else fingerprint
        return told[fingerprint]

    return fingerprint_of


def replan(earlier: Plan, graph: Graph, *, environment: str, fingerprint_of: FingerprintOf) -> Plan:
    """Plan a graph that differs from an earlier one in literals alone: the order stays, keys change where they must."""
    steps = list(earlier.steps)
    fresh: set[int] = set()
    for index, step in enumerate(earlier.steps):
        node = graph.nodes[step.node.id]
        if (
            node is step.node
            and not node.definition.has_fingerprint
            and (not fresh or not any(source in fresh for source, _ in step.sources.values()))
        ):
            continue
        key, late = _key(node, step.sources, steps, 0, environment, fingerprint_of)
        if key != step.key:
            fresh.add(index)
        elif node is step.node:
            continue
        steps[index] = step._replace(node=node, key=key, late=late)
        fresh.add(index)
    if not fresh:
        return earlier
    plan = replace(earlier, steps=tuple(steps))
    plan.__dict__["readers"] = earlier.readers  # the links are the same
    return plan


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


def late_key(
    step: Step,
    source_keys: Mapping[int, bytes | None],
    values: Mapping[str, Any],  # Any: socket values
    *,
    environment: str = "",
    fingerprint_of: FingerprintOf = lambda definition: None,
    expanded_to: Sequence[bytes | None] = (),
) -> bytes | None:
    """Make the key of a late step when its inputs are known.

    Args:
        source_keys: Keys of the steps that feed it, by index.
        values: Its inputs as its function will get them.
        expanded_to: Keys of the steps whose outputs its expansions gave.

    Raises:
        GraphEngineError: the fingerprint function raised.
    """
    linked = []
    for name, (source, position) in step.sources.items():
        source_key = source_keys[source]
        if source_key is None:
            return None
        linked.append((name, source_key, position))
    fingerprint: object = None
    if step.node.definition.has_fingerprint:
        function = fingerprint_of(step.node.definition)
        if function is None:
            return None
        fingerprint = _fingerprint(function, step.node, values)
    if None in expanded_to:
        return None
    key = _hashed(step.node, linked, environment, fingerprint)
    return step_key("expanded", key, *expanded_to) if expanded_to else key


def _key(
    node: GraphNode,
    sources: Mapping[str, tuple[int, int]],
    steps: list[Step],
    first: int,
    environment: str,
    fingerprint_of: FingerprintOf,
) -> tuple[bytes | None, bool]:
    """Make a step's key; None and whether it is late if that can't be done before the run."""
    definition = node.definition
    if not definition.cacheable:
        return None, False
    linked = []
    late = definition.expands  # what it expands to may depend on nodes whose code its own key doesn't cover
    for name, (source, position) in sources.items():
        step = steps[source - first]
        if step.key is None:
            if not step.late:
                return None, False
            late = True
        linked.append((name, step.key, position))
    fingerprint: object = None
    if definition.has_fingerprint:
        function = fingerprint_of(definition)
        if function is None:
            return None, False
        if any(is_needed and name not in node.literals for name, is_needed in parameters_of(function).items()):
            late = True  # it reads a linked input, whose value isn't known yet
        elif not late:
            fingerprint = _fingerprint(function, node, node.literals)
    return (None, True) if late else (_hashed(node, linked, environment, fingerprint), False)


def _hashed(node: GraphNode, linked: list[Any], environment: str, fingerprint: object) -> bytes:  # Any: see _key
    literals = [
        (name, value if type(value) in _PLAIN else _identity(value)) for name, value in node.literals.items()
    ]  # in the order of the definition, like the links: the order of a file doesn't count
    numbers = environment if node.definition.device == "gpu" else ""
    return step_key(node.definition.key_prefix, literals, linked, numbers, fingerprint)


def _fingerprint(function: Callable[..., object], node: GraphNode, values: Mapping[str, Any]) -> object:
    names = parameters_of(function)
    try:
        return canonical(function(**{name: _plain(values[name]) for name in names if name in values}))
    except Exception as error:  # a border: a pack's own code may raise anything
        text = str(error) if isinstance(error, GraphEngineError) else f"{type(error).__name__}: {error}"
        raise GraphEngineError(
            f"node {node.id!r} ({node.definition.id}): whether it changed can't be told: {text}"
        ) from error


_PLAIN = frozenset({int, float, str, bool, type(None)})


def _identity(value: object) -> object:
    """Give what a literal adds to a key; a file counts by its path too, as unpacked ones may have one version."""
    if isinstance(value, FileValue):
        return ("file", os.fspath(value.path), value.version)
    if isinstance(value, SubgraphValue):
        return ("subgraph", value.digest)
    return canonical(value) if isinstance(value, dict | list) else value


def _plain(value: object) -> object:
    if isinstance(value, FileValue):
        return os.fspath(value.path)
    return os.fspath(value) if isinstance(value, os.PathLike) else value
