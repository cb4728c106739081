"""Check and plan workflow after workflow; of one that is much like the one before, only what differs.

Whoever works on a graph runs it again and again with one value changed. Then the graph's shape is as before, so only
the nodes whose literals changed are checked anew, and only keys below them are made anew. Whatever else differs, or
is wrong, takes the whole way of ``build_graph`` and ``make_plan``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from graphengine.core.definition import NodeDefinition
from graphengine.core.graph import Files, Graph, build_graph, recheck_literals
from graphengine.core.plan import Plan, fingerprints, make_plan, replan
from graphengine.core.registry import Definitions, RunnableNode
from graphengine.core.workflow import Workflow, split_reference

__all__ = ["Planner"]

_REMEMBERED = 4


@dataclass(frozen=True)
class _Planned:
    """A workflow that was planned, with the nodes that are looked at again each time because files may change."""

    workflow: Workflow
    files: Files
    targets: tuple[str, ...] | None
    graph: Graph
    plan: Plan
    reads_files: frozenset[str]


class Planner:
    """Plans workflows against one set of definitions."""

    def __init__(
        self,
        definitions: Definitions,
        function_of: Callable[[NodeDefinition], RunnableNode],
        *,
        environment: str = "",
    ) -> None:
        self._definitions = definitions
        self._function_of = function_of
        self._environment = environment
        self._planned: deque[_Planned] = deque(maxlen=_REMEMBERED)

    def plan(
        self, workflow: Workflow, files: Files, targets: Collection[str] | None = None, *, source: str = "workflow"
    ) -> Plan:
        """Check a workflow and plan it.

        Args:
            files: Where the files are that literals name.
            targets: Node ids; by default every output node and the nodes of declared outputs.
            source: What messages call the workflow.

        Raises:
            InvalidWorkflow: as ``build_graph``.
            GraphEngineError: as ``make_plan``.
        """
        wanted = None if targets is None else tuple(targets)
        for earlier in reversed(self._planned):
            if earlier.targets == wanted and earlier.files == files:
                again = self._again(earlier, workflow)
                if again is not None:
                    self._planned.append(again)
                    return again.plan
        graph = build_graph(
            workflow,
            self._definitions,
            files,
            targets=targets,
            function_of=self._function_of,
            source=source,
        )
        fingerprint_of = fingerprints(self._function_of, files)
        plan = make_plan(graph, targets, environment=self._environment, fingerprint_of=fingerprint_of)
        if graph.is_flat:
            reads_files = frozenset(
                id_ for id_, node in graph.nodes.items() if any(each.files for each in node.definition.inputs)
            )
            self._planned.append(_Planned(workflow, files, wanted, graph, plan, reads_files))
        return plan

    def _again(self, earlier: _Planned, workflow: Workflow) -> _Planned | None:
        """Plan from what was planned before; None if the two differ in more than literals."""
        changed = _changed_nodes(earlier.workflow, workflow)
        if changed is None:
            return None
        changed |= earlier.reads_files
        if any(problem.node is None or problem.node in changed for problem in earlier.plan.warnings):
            return None  # it may be right now, or wrong in another way
        graph = earlier.graph
        if changed:
            rechecked = recheck_literals(
                earlier.graph, workflow, changed, self._definitions, earlier.files, self._function_of
            )
            if rechecked is None:
                return None
            graph = rechecked
        fingerprint_of = fingerprints(self._function_of, earlier.files)
        plan = replan(earlier.plan, graph, environment=self._environment, fingerprint_of=fingerprint_of)
        return _Planned(workflow, earlier.files, earlier.targets, graph, plan, earlier.reads_files)


def _is_same(now: object, before: object) -> bool:
    return now is before or (now == before and repr(now) == repr(before))  # 1, 1.0 and True are equal, but not the same


def _changed_nodes(before: Workflow, now: Workflow) -> set[str] | None:
    """Name the nodes whose literals may have changed; None if more than that did."""
    if now is before:
        return set()
    if now.nodes.keys() != before.nodes.keys() or now.outputs != before.outputs or now.subgraphs != before.subgraphs:
        return None
    changed: set[str] = set()
    if now.inputs is not before.inputs:
        if now.inputs.keys() != before.inputs.keys():
            return None
        for name, declared in now.inputs.items():
            if not _is_same(declared, before.inputs[name]):
                if declared.to != before.inputs[name].to:
                    return None
                changed.update(split_reference(reference)[0] for reference in declared.to)
    for id_, node in now.nodes.items():
        old = before.nodes[id_]
        if not _is_same(node, old):
            if (node.type, node.type_version, node.mode) != (old.type, old.type_version, old.mode):
                return None
            changed.add(id_)
    return changed
