"""Bring saved nodes to the installed versions of their kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from graphengine.core.definition import NodeDefinition
from graphengine.core.registry import Definitions, RunnableNode
from graphengine.core.workflow import DeclaredInput, Node, Subgraph, Workflow
from graphengine.errors import GraphEngineError, InvalidWorkflow, Problem

__all__ = ["Change", "migrate", "migrated_inputs"]

FunctionOf = Callable[[NodeDefinition], RunnableNode]
Inputs = Mapping[str, Any]  # Any: JSON values
_Graph = TypeVar("_Graph", Workflow, Subgraph)


class Change(NamedTuple):
    """What was done to one node."""

    node: str
    message: str


def migrated_inputs(inputs: Inputs, version: int, kind: NodeDefinition, function: RunnableNode) -> dict[str, Any]:
    """Run a node's migrations, each over what the one before gave.

    Raises:
        GraphEngineError: a migration raised, or gave no inputs.
    """
    result = dict(inputs)
    for step in range(version, kind.version):
        try:
            result = function.migrations[step](dict(result))
        except Exception as error:  # a border: a pack's own code may raise anything
            text = str(error) if isinstance(error, GraphEngineError) else f"{type(error).__name__}: {error}"
            raise GraphEngineError(f"bringing it from version {step} to {step + 1} failed: {text}") from error
        if not isinstance(result, dict):
            raise GraphEngineError(f"bringing it from version {step} to {step + 1} gave {result!r}, no inputs.")
    return result


def migrate(workflow: Workflow, definitions: Definitions, function_of: FunctionOf) -> tuple[Workflow, list[Change]]:
    """Write a workflow anew with each node at the installed version and under its kind's present id.

    A declared input that leads to an input which a migration renamed follows it: to the one new input that holds the
    same value.

    Raises:
        InvalidWorkflow: for nodes of the future, and migrations that raise; all at once.
    """
    changes: list[Change] = []
    problems: list[Problem] = []
    migrated = _migrate_graph(workflow, "", definitions, function_of, changes, problems)
    if problems:
        raise InvalidWorkflow(problems)
    return migrated, changes


def _migrate_graph(
    graph: _Graph,
    prefix: str,
    definitions: Definitions,
    function_of: FunctionOf,
    changes: list[Change],
    problems: list[Problem],
) -> _Graph:
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for id_, node in graph.nodes.items():
        kind = definitions.get(node.type)
        nodes[id_] = node
        if kind is None:
            continue
        if node.type != kind.id:
            changes.append(Change(prefix + id_, f"{node.type} is called {kind.id} now."))
            nodes[id_] = node = node.model_copy(update={"type": kind.id})
        if node.type_version > kind.version:
            message = f"it was saved with version {node.type_version}; version {kind.version} is installed."
            problems.append(
                Problem("newer_version", message, f"Upgrade {kind.pack or 'its pack'}.", prefix + id_, kind.id)
            )
        elif node.type_version < kind.version:
            try:
                inputs = migrated_inputs(node.inputs, node.type_version, kind, function_of(kind))
            except GraphEngineError as error:
                remedy = f"Report it to the author of {kind.pack or 'its pack'}."
                problems.append(Problem("migration_failed", str(error), remedy, prefix + id_, kind.id))
                continue
            renamed.update({f"{id_}.{old}": f"{id_}.{new}" for old, new in _renames(node.inputs, inputs)})
            changes.append(Change(prefix + id_, f"from version {node.type_version} to {kind.version}."))
            nodes[id_] = node.model_copy(update={"inputs": inputs, "type_version": kind.version})
    inputs_declared = {name: _led_on(declared, renamed) for name, declared in graph.inputs.items()}
    subgraphs = {
        name: _migrate_graph(inner, f"{prefix}{name}/", definitions, function_of, changes, problems)
        for name, inner in graph.subgraphs.items()
    }
    return graph.model_copy(update={"nodes": nodes, "inputs": inputs_declared, "subgraphs": subgraphs})


def _renames(before: Inputs, after: Inputs) -> list[tuple[str, str]]:
    added = [name for name in after if name not in before]
    found = []
    for name in before:
        same = [each for each in added if after[each] == before[name]]
        if name not in after and len(same) == 1:
            found.append((name, same[0]))
    return found


def _led_on(declared: DeclaredInput, renamed: Mapping[str, str]) -> DeclaredInput:
    if not any(reference in renamed for reference in declared.to):
        return declared
    return declared.model_copy(update={"to": tuple(renamed.get(reference, reference) for reference in declared.to)})
